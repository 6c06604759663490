//! The real binary on the real kernel: named scenarios, each with its own scratch directory and its own recorder.
//!
//! No test harness, so that one static file runs inside a machine that has a kernel, busybox and nothing else.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program talks on standard output")]

mod anchors;
mod changes;
mod company;
mod contents;
mod contract;
mod crowds;
mod damage;
mod disk;
mod enforce;
mod floods;
mod fuse;
mod gate;
mod grants;
mod guard;
mod handed;
mod held;
mod hostile;
mod lineage;
mod links;
mod liveness;
mod loads;
mod logins;
mod overdue;
mod perms;
mod programs;
mod redaction;
mod relays;
mod restarts;
mod retention;
mod sealed;
mod secrets;
mod stage;
mod status;
mod streams;
mod system;
mod ways;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::stage::{Stage, World};

/// End-to-end scenarios of the recorder.
#[derive(Parser)]
struct Args {
    /// The binary under test
    #[arg(long)]
    recorder: PathBuf,
    /// The workload program [default: beside this one]
    #[arg(long)]
    workload: Option<PathBuf>,
    /// Backend to ask for
    #[arg(long, default_value = "auto")]
    backend: String,
    /// Run only these scenarios
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Which group
    #[arg(long, value_enum, default_value = "all")]
    suite: Suite,
    /// Factor on every deadline, for slow machines
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// Divide the counts of the counted loads by this
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    share: u32,
    /// How often kill-9-under-load kills [default: 6, emulated 4]
    #[arg(long)]
    crashes: Option<u32>,
    /// Emulated: also what is the same on every kernel
    #[arg(long)]
    whole: bool,
    /// Keep the scratch directories of failed scenarios
    #[arg(long)]
    keep: bool,
    /// List the scenarios and end
    #[arg(long)]
    list: bool,
}

/// Groups of scenarios.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Everything
    All,
    /// Needs no kernel feature: the command line's contract
    Cli,
    /// Needs root and BPF
    E2e,
    /// The kernel is too old: the refusal is what is tested
    Refused,
}

/// Where a scenario makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere.
    Any,
    /// What it shows is the same on every kernel: natively, and on one machine.
    Once,
    /// Needs sudo, su and useradd.
    Accounts,
    /// Needs sshd as well.
    Sshd,
    /// Needs loop devices, mkfs.ext4 and fsfreeze.
    Disks,
    /// A machine made for the run: clocks and kernel settings are changed.
    Alone,
}

/// One scenario.
struct Scenario {
    name: &'static str,
    suite: Suite,
    place: Place,
    run: fn(&mut Stage) -> Result<()>,
}

const fn cli(name: &'static str, run: fn(&mut Stage) -> Result<()>) -> Scenario {
    Scenario { name, suite: Suite::Cli, place: Place::Any, run }
}

const fn e2e(name: &'static str, place: Place, run: fn(&mut Stage) -> Result<()>) -> Scenario {
    Scenario { name, suite: Suite::E2e, place, run }
}

const SCENARIOS: &[Scenario] = &[
    cli("help-names-the-commands", contract::help_names_the_commands),
    cli("usage-errors-are-64", contract::usage_errors_are_64),
    cli("unknown-config-keys-are-named", contract::unknown_config_keys_are_named),
    cli("encryption-must-be-chosen", contract::encryption_must_be_chosen),
    cli("no-privilege-is-69", contract::no_privilege_is_69),
    cli("no-journal-is-said", contract::no_journal_is_said),
    cli("foreign-files-are-refused", contract::foreign_files_are_refused),
    e2e("starts-and-stops", Place::Any, contract::starts_and_stops),
    e2e("doctor-tells-the-backend", Place::Any, contract::doctor_tells_the_backend),
    e2e("kernel-log-when-asked", Place::Once, contract::kernel_log_when_asked),
    e2e("execs-all-there", Place::Any, loads::execs_all_there),
    e2e("files-all-there", Place::Any, loads::files_all_there),
    e2e("d9-names-and-attributes", Place::Any, changes::names_and_attributes),
    e2e("d6-system-and-sockets", Place::Any, system::system_and_sockets),
    e2e("terminal-byte-exact", Place::Any, loads::terminal_byte_exact),
    e2e("flood-is-folded", Place::Once, loads::flood_is_folded),
    e2e("e6-acts-in-a-flood", Place::Any, floods::acts_in_a_flood),
    e2e("e6-paused-instead-of-losing", Place::Any, floods::paused_instead_of_losing),
    e2e("e7-masses-and-full-maps", Place::Once, crowds::masses),
    e2e("relay-is-folded", Place::Once, relays::relay_is_folded),
    e2e("terminals-used-again", Place::Any, relays::terminals_used_again),
    e2e("odd-bytes", Place::Any, hostile::odd_bytes),
    e2e("secret-at-hidden-prompt", Place::Any, secrets::hidden_prompt),
    e2e("secret-at-sudo", Place::Accounts, secrets::sudo_prompt),
    e2e("g7-secrets", Place::Once, redaction::g7_secrets),
    e2e("plain-session-leaves-nothing", Place::Any, logins::plain_session_leaves_nothing),
    e2e("sudo-i", Place::Accounts, logins::sudo_i),
    e2e("su-login", Place::Accounts, logins::su_login),
    e2e("sudo-other-user", Place::Accounts, logins::sudo_other_user),
    e2e("detached-work", Place::Any, logins::detached_work),
    e2e("killed-login-shell", Place::Any, logins::killed_login_shell),
    e2e("two-people-two-sessions", Place::Any, logins::two_people_two_sessions),
    e2e("ssh-sudo-without-tty", Place::Sshd, logins::ssh_sudo_without_tty),
    e2e("ssh-interactive-sudo-i", Place::Sshd, logins::ssh_interactive_sudo_i),
    e2e("ssh-plain-leaves-nothing", Place::Sshd, logins::ssh_plain_leaves_nothing),
    e2e("pam-asks-first", Place::Accounts, gate::pam_asks_first),
    e2e("sudo-plugin-asks-first", Place::Accounts, gate::sudo_plugin_asks_first),
    e2e("ssh-login-tells-its-key", Place::Sshd, gate::ssh_login_tells_its_key),
    e2e("grant-covers-a-session", Place::Sshd, grants::grant_covers_a_session),
    e2e("sealed-journal", Place::Sshd, sealed::sealed_journal),
    e2e("recipients-change", Place::Sshd, sealed::recipients_change),
    e2e("every-reason-has-its-name", Place::Sshd, grants::every_reason_has_its_name),
    e2e("told-that-it-is-recorded", Place::Accounts, enforce::a_session_is_told_that_it_is_recorded),
    e2e("elevation-is-refused", Place::Any, enforce::elevation_is_refused),
    e2e("grants-are-enforced", Place::Sshd, enforce::grants_are_enforced),
    e2e("status-and-add", Place::Sshd, status::status_and_add),
    e2e("shared-account-by-key", Place::Sshd, status::shared_account_by_key),
    e2e("expired-by-permit", Place::Sshd, retention::expired_by_permit),
    e2e("permissions-used", Place::Any, perms::permissions_used),
    e2e("namespaces-entered", Place::Any, perms::namespaces_entered),
    e2e("a1-no-terminal", Place::Any, lineage::no_terminal),
    e2e("a1-what-pipes-show", Place::Any, streams::what_pipes_show),
    e2e("a6-his-own-tmux", Place::Accounts, lineage::his_own_tmux),
    e2e("a6-two-at-one-tmux", Place::Accounts, company::two_at_one_tmux),
    e2e("a7-older-tmux", Place::Accounts, company::older_tmux),
    e2e("a8-shells-out-of-programs", Place::Any, lineage::shells_out_of_programs),
    e2e("a9-one-connection-many-channels", Place::Sshd, lineage::one_connection_many_channels),
    e2e("a10-one-user-after-the-other", Place::Accounts, lineage::one_user_after_the_other),
    e2e("b6-taken-hold-of", Place::Any, handed::taken_hold_of),
    e2e("b7-loginuid-rewritten", Place::Any, lineage::loginuid_rewritten),
    e2e("b8-moved-to-another-group", Place::Any, lineage::moved_to_another_group),
    e2e("b10-numbers-used-again", Place::Alone, lineage::numbers_used_again),
    e2e("c1-digests-of-programs", Place::Any, contents::digests_of_programs),
    e2e("d-what-changed", Place::Once, contents::what_changed),
    e2e("c4-c7-c9-beyond-the-exec", Place::Any, programs::beyond_the_exec),
    e2e("c2-c3-c5-c6-c8-c10-what-the-kernel-used", Place::Any, programs::what_the_kernel_used),
    e2e("d1-d2-d3-d4-d8-other-ways", Place::Any, ways::other_ways),
    e2e("c10-a-file-system-of-his-own", Place::Disks, fuse::a_file_system_of_his_own),
    e2e("d10-descriptors-from-elsewhere", Place::Any, ways::descriptors_from_elsewhere),
    e2e("d11-d12-names-and-masses", Place::Any, ways::names_and_masses),
    e2e("resize-is-recorded", Place::Any, loads::resize_is_recorded),
    e2e("b1-asked-for-a-unit", Place::Any, handed::asked_for_a_unit),
    e2e("b1-asked-in-haste", Place::Any, handed::asked_in_haste),
    e2e("b2-planted-jobs", Place::Any, handed::planted_jobs),
    e2e("b4-planted-program", Place::Any, handed::planted_program),
    e2e("b4-planted-script", Place::Any, handed::planted_script),
    e2e("b4-planted-helper", Place::Alone, handed::planted_helper),
    e2e("damaged-journals", Place::Once, damage::damaged_journals),
    e2e("missing-links", Place::Any, links::missing_links),
    e2e("anchored-journal", Place::Once, anchors::a_journal_is_anchored),
    e2e("f3-disk-hangs", Place::Disks, disk::f3_disk_hangs),
    e2e("f3-disk-hangs-for-good", Place::Disks, disk::f3_disk_hangs_for_good),
    e2e("canaries-come-back", Place::Any, liveness::canaries_come_back),
    e2e("e2-no-descriptors-left", Place::Once, liveness::e2_no_descriptors_left),
    e2e("e5-ftrace-off", Place::Alone, liveness::e5_ftrace_off),
    e2e("e1-e4-e5-f2-attempts-on-record", Place::Alone, guard::attempts_are_recorded),
    e2e("e1-e4-e5-f2-attempts-refused", Place::Alone, guard::attempts_are_refused),
    e2e("e1-held-from-before", Place::Any, guard::held_from_before),
    e2e("e9-acts-before-the-start", Place::Any, liveness::e9_acts_before_the_start),
    e2e("restart-in-the-middle", Place::Any, restarts::restart_in_the_middle),
    e2e("e11-restart-while-busy", Place::Any, liveness::e11_restart_while_busy),
    e2e("f4-clock-set-and-slewed", Place::Alone, liveness::f4_clock_set_and_slewed),
    e2e("kill-9-under-load", Place::Any, hostile::kill_9_under_load),
    Scenario {
        name: "old-kernel-is-69",
        suite: Suite::Refused,
        place: Place::Any,
        run: contract::old_kernel_is_69,
    },
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("recorder-e2e: {error:#}");
            ExitCode::from(64)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    for name in &args.only {
        anyhow::ensure!(SCENARIOS.iter().any(|s| s.name == name), "no scenario is named {name}");
    }
    let chosen = SCENARIOS.iter().filter(|s| match args.suite {
        Suite::All => s.suite != Suite::Refused,
        suite => s.suite == suite,
    });
    let chosen: Vec<_> =
        chosen.filter(|s| args.only.is_empty() || args.only.iter().any(|name| name == s.name)).collect();
    if args.list {
        for scenario in chosen {
            println!("{}", scenario.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let world = World::discover(&args.recorder, args.workload.as_deref(), &args.backend)?.with(
        args.patience,
        args.share,
        args.crashes,
        args.whole,
    );
    let (mut passed, mut failed, mut skipped) = (0u32, 0u32, 0u32);
    let held = held::tracepoints();
    for scenario in chosen {
        let name = scenario.name;
        if let Some(why) = world.misplaced(scenario.place) {
            // Not a skip: the scenario has its place elsewhere, and runs there.
            println!("elsewhere {name}: {why}");
            continue;
        }
        if let Some(why) = (scenario.suite == Suite::E2e).then(|| world.lacks()).flatten() {
            println!("SKIPPED {name}: {why}");
            skipped += 1;
            continue;
        }
        let start = Instant::now();
        let running = overdue::watch(name, args.patience, args.crashes.unwrap_or(0));
        let result = Stage::set(&world, name).and_then(|mut stage| {
            let result = (scenario.run)(&mut stage);
            stage.strike(args.keep && result.is_err());
            result
        });
        drop(running);
        match result {
            Ok(()) => {
                println!("ok {name} ({:.1} s)", start.elapsed().as_secs_f64());
                passed += 1;
            }
            Err(error) => {
                println!("FAILED {name} ({:.1} s): {error:#}", start.elapsed().as_secs_f64());
                failed += 1;
            }
        }
    }
    drop(held);
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
