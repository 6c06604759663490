//! Commands, exit codes and messages that scripts rely on (docs/cli.md).

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, text},
};

use crate::{hostile::output, stage::Stage};

const OK: i32 = 0;
const USAGE: i32 = 64;
const MISSING: i32 = 69;
const IO: i32 = 74;
/// The user who has nothing.
const NOBODY: u32 = 65534;

pub(crate) fn help_names_the_commands(stage: &mut Stage) -> Result<()> {
    let out = output(recorder(stage).arg("--help"))?;
    expect(&out, &[OK])?;
    let help = String::from_utf8_lossy(&out.stdout).into_owned();
    for name in ["run", "doctor", "sessions", "events", "timeline", "replay", "verify"] {
        ensure!(help.lines().any(|line| line.trim_start().starts_with(name)), "--help does not list {name}");
        expect(&output(recorder(stage).args([name, "--help"]))?, &[OK])?;
    }
    expect(&output(recorder(stage).arg("--version"))?, &[OK])
}

pub(crate) fn usage_errors_are_64(stage: &mut Stage) -> Result<()> {
    for args in [&["frobnicate"][..], &["verify", "--no-such-flag"], &["events", "--format", "xml"], &[]] {
        let out = output(recorder(stage).args(args))?;
        expect(&out, &[USAGE]).with_context(|| format!("{args:?}"))?;
        ensure!(!out.stderr.is_empty(), "{args:?}: nothing on standard error");
    }
    Ok(())
}

pub(crate) fn unknown_config_keys_are_named(stage: &mut Stage) -> Result<()> {
    for (extra, named) in [("[journal]\ndirr = \"x\"\n", "dirr"), ("[jurnal]\ndir = \"x\"\n", "jurnal")] {
        let text = format!("[encryption]\nmode = \"off\"\n{extra}");
        refused_config(stage, &text, named)?;
    }
    refused_config(stage, "[journal\n", "toml")?;
    let out = output(recorder(stage).args(["run", "--config", &stage.path("no-such-file")]))?;
    expect(&out, &[USAGE, IO])
}

pub(crate) fn encryption_must_be_chosen(stage: &mut Stage) -> Result<()> {
    let dir = stage.site.journal.display().to_string();
    refused_config(stage, &format!("[journal]\ndir = \"{dir}\"\n"), "encryption")?;
    let recipients = format!("[journal]\ndir = \"{dir}\"\n[encryption]\nrecipients = [\"age1x\"]\n");
    refused_config(stage, &recipients, "recipients")
}

/// One error that names the fault, exit 64, and nothing was made.
fn refused_config(stage: &Stage, config: &str, named: &str) -> Result<()> {
    fs::write(&stage.site.config, config)?;
    let out = output(recorder(stage).args(["run", "--config"]).arg(&stage.site.config))?;
    expect(&out, &[USAGE]).with_context(|| config.to_owned())?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(said.contains(named), "the error does not name {named}: {said}");
    ensure!(!stage.site.journal.exists(), "a refused configuration made a journal");
    Ok(())
}

pub(crate) fn no_privilege_is_69(stage: &mut Stage) -> Result<()> {
    let mut command = Command::new(copy_of_recorder(stage)?);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let out = output(command.args(["run", "--config"]).arg(&stage.site.config))?;
    expect(&out, &[MISSING])?;
    one_error(&out)
}

pub(crate) fn old_kernel_is_69(stage: &mut Stage) -> Result<()> {
    let (status, said) = stage.site.launch()?.end(stage.limit(60))?;
    ensure!(status.code() == Some(MISSING), "ended with {status} instead of {MISSING}: {said}");
    ensure!(said.to_lowercase().contains("kernel"), "the reason is not given: {said}");
    ensure!(!stage.site.journal.join("segments").exists(), "a refused start left a journal");
    Ok(())
}

pub(crate) fn no_journal_is_said(stage: &mut Stage) -> Result<()> {
    for command in ["verify", "sessions", "events"] {
        let out = stage.site.read(&[command])?;
        expect(&out, &[IO]).with_context(|| command.to_owned())?;
        one_error(&out)?;
    }
    Ok(())
}

pub(crate) fn foreign_files_are_refused(stage: &mut Stage) -> Result<()> {
    let log = stage.site.journal.join("0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&log)?;
    fs::write(log.join("origin.note"), "not a note\n")?;
    fs::write(log.join("seg-0000000000000000.rj"), b"\x7fELF this is no journal".repeat(50))?;
    let out = stage.site.read(&["verify"])?;
    // Any refusal of the evidence table; never a pass and never a crash.
    expect(&out, &[2, 3, 4, 5, IO])?;
    let out = stage.site.read(&["events", "--format", "ndjson"])?;
    ensure!(
        out.status.code().is_some_and(|code| code != 0 && code != 101),
        "events ended with {}",
        out.status
    );
    Ok(())
}

pub(crate) fn starts_and_stops(stage: &mut Stage) -> Result<()> {
    let running = stage.record()?;
    let events = stage.finish(running)?;
    let boot = events.of_kind("boot").next().context("no boot record")?;
    for key in ["backend", "kernel", "boot_id"] {
        ensure!(!text(boot, &["boot", key]).is_empty(), "the boot record has no {key}: {boot}");
    }
    if stage.world.backend != "auto" {
        ensure!(text(boot, &["boot", "backend"]) == stage.world.backend, "another backend was taken: {boot}");
    }
    ensure!(
        field(boot, &["boot", "hooks"]).and_then(|h| h.as_array()).is_some_and(|h| !h.is_empty()),
        "no live hooks"
    );
    let blind = field(boot, &["boot", "blind"]).and_then(|b| b.as_array()).context("no blind spots")?;
    for spot in blind.iter().filter_map(|spot| spot.as_str()) {
        println!("blind {}: {spot}", text(boot, &["boot", "backend"]));
    }
    ensure!(text(boot, &["boot", "previous_end"]) != "crash", "a first start speaks of a crash");
    let last = events.0.last().context("an empty journal")?;
    ensure!(events.of_kind("stop").count() == 1, "no STOP record; the last is {last}");

    // The second start on the same journal is declared as one after a stop.
    let running = stage.record()?;
    let events: Events = stage.finish(running)?;
    let boots: Vec<_> = events.of_kind("boot").map(|boot| text(boot, &["boot", "previous_end"])).collect();
    ensure!(boots.len() == 2 && boots.last() == Some(&"stop"), "starts say {boots:?}");

    // A reader whose reader goes away is not in error.
    let line = format!(
        "'{}' events --format ndjson --journal '{}' | true",
        stage.world.recorder.display(),
        stage.site.journal.display()
    );
    let shell = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output()?;
    ensure!(shell.stderr.is_empty(), "a closed pipe is reported: {}", String::from_utf8_lossy(&shell.stderr));
    Ok(())
}

pub(crate) fn doctor_tells_the_backend(stage: &mut Stage) -> Result<()> {
    let out = output(recorder(stage).arg("doctor"))?;
    expect(&out, &[OK, 1])?;
    let said = String::from_utf8_lossy(&out.stdout).to_lowercase();
    ensure!(said.contains("tracepoint") || said.contains("trampoline"), "doctor names no backend: {said}");
    Ok(())
}

/// The kernel programs say what they decide when the configuration asks, and are silent otherwise.
pub(crate) fn kernel_log_when_asked(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let config = fs::read_to_string(&stage.site.config)?;
    for asked in [true, false] {
        let text = config.replacen("[capture]\n", &format!("[capture]\nkernel_log = {asked}\n"), 1);
        fs::write(&stage.site.config, text)?;
        let running = stage.record()?;
        stage.elevated(&oncall, &[&stage.workload(), "noop", "log"])?.finish(stage.limit(20))?;
        let (status, said) = running.terminate(stage.limit(60))?;
        ensure!(status.success(), "ended with {status}: {said}");
        let told = said.lines().any(|line| line.contains("kernel: session") && line.contains("begins"));
        ensure!(told == asked, "kernel_log = {asked}, and it said: {said}");
    }
    stage.whole()?;
    Ok(())
}

fn recorder(stage: &Stage) -> Command {
    Command::new(&stage.world.recorder)
}

/// The checkout may lie where nobody can look.
fn copy_of_recorder(stage: &Stage) -> Result<std::path::PathBuf> {
    let copy = stage.dir.join("recorder");
    fs::copy(&stage.world.recorder, &copy)?;
    Ok(copy)
}

fn expect(out: &Output, codes: &[i32]) -> Result<()> {
    let good = out.status.code().is_some_and(|code| codes.contains(&code));
    ensure!(
        good,
        "ended with {} instead of {codes:?}: {}",
        out.status,
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}

/// One clear error: something, and no backtrace or list of consequences.
fn one_error(out: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let lines = said.lines().filter(|line| !line.trim().is_empty()).count();
    ensure!((1..=4).contains(&lines) && !said.contains("panicked"), "not one clear error: {said}");
    Ok(())
}
