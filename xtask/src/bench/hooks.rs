//! What each family of kernel programs costs: the kernel's own counts of their runs and their time (`BPF_ENABLE_STATS`), around
//! counted loads of somebody who is recorded and of somebody who is not, as a section of the report.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{proc, recorder::Site};
use serde_json::Value;

use super::{
    PATIENCE,
    load::{HOOK_LOADS, Place, Who},
    report::Machine,
};
use crate::sh;

pub(super) const TITLE: &str = "## Cost of each hook family";
/// The kernel keeps so much of a program's name.
const NAME: usize = 15;
/// Families and their programs, of either backend. What an event says of its context (namespaces, control group) is read where
/// the event is made, and has no program of its own.
const FAMILIES: [(&str, &[&str]); 11] = [
    ("exec", &["on_exec", "bprm_check", "gate_exec", "sys_exit_exec"]),
    ("fork, exit", &["on_fork", "on_exit"]),
    (
        "guard",
        &[
            "guard_file",
            "guard_kill",
            "guard_trace",
            "guard_limit",
            "guard_nice",
            "guard_scheduler",
            "guard_ioprio",
            "guard_unlink",
            "guard_rmdir",
            "guard_rename",
            "guard_link",
            "guard_create",
            "guard_mkdir",
            "guard_symlink",
            "guard_setattr",
            "guard_setxattr",
            "guard_removexattr",
            "guard_control",
            "guard_map",
            "guard_mount",
            "guard_truncate",
            "guard_move_mount",
            "guard_umount",
            "guard_ftruncate",
            "guard_acl",
        ],
    ),
    (
        "file",
        &[
            "sys_exit_open",
            "sys_exit_unlink",
            "sys_exit_rename",
            "do_filp_open",
            "file_open_root",
            "want_write",
            "want_write_file",
            "drop_write",
            "drop_write_file",
            "path_rename",
            "vfs_unlink",
            "vfs_rmdir",
            "vfs_rename",
        ],
    ),
    ("executable mappings", &["sys_exit_mmap", "vm_mmap", "file_mprotect"]),
    (
        "system, sockets",
        &[
            "sys_exit_system",
            "sys_exit_socket",
            "sys_exit_send",
            "udp_sendmsg",
            "udpv6_sendmsg",
            "raw_sendmsg",
            "rawv6_sendmsg",
        ],
    ),
    (
        "links, attributes",
        &[
            "sys_exit_link",
            "sys_exit_symlink",
            "sys_exit_make",
            "sys_exit_setattr",
            "sys_exit_xattr",
            "sys_exit_fallocate",
            "vfs_link",
            "vfs_symlink",
            "vfs_mkdir",
            "vfs_mknod",
            "notify_change",
            "do_truncate",
            "vfs_setxattr",
            "vfs_removexattr",
            "vfs_set_acl",
            "vfs_remove_acl",
            "vfs_fallocate",
        ],
    ),
    (
        "terminal",
        &[
            "sys_exit_read",
            "sys_exit_readv",
            "sys_enter_write",
            "sys_exit_write",
            "sys_exit_writev",
            "pty_write_enter",
            "pty_write",
            "con_write",
            "con_put_char",
            "uart_write",
            "vfs_read",
            "vfs_write",
            "vfs_readv",
            "vfs_writev",
            "uart_put_char",
            "hvc_write",
        ],
    ),
    ("credentials, capabilities", &["sys_exit_cred", "commit_creds", "on_capable", "security_capable"]),
    (
        "delegation, sockets",
        &["on_cgroup", "on_attach", "on_data_ready", "def_readable", "unix_send", "sys_enter_send"],
    ),
    (
        "control of others",
        &["sys_exit_ptrace", "sys_exit_process_vm", "sys_exit_pidfd_getfd", "ptrace_access"],
    ),
];

/// Runs and nanoseconds by family.
type Counts = BTreeMap<&'static str, (u64, u64)>;

/// One load of one person.
struct Around {
    load: &'static str,
    who: Who,
    done: u64,
    wall: f64,
    by: Counts,
}

/// Measures, and gives the section.
pub(super) fn measure(
    recorder: &Path,
    place: &Place,
    dir: &Path,
    backend: &str,
    machine: &Machine,
) -> Result<String> {
    // As the suites are built: the programs are the same, and linking as a whole takes minutes.
    sh::run(sh::cargo().args(["build", "--locked", "-p", "recorder", "--example", "hook_stats"]))?;
    let example = sh::root().join("target/debug/examples/hook_stats");
    let site = Site::prepare(recorder, dir, backend)?;
    let running = site.start(PATIENCE)?;
    let mut stats = Reader::start(&example, running.child().id())?;
    let mut all = Vec::new();
    // Nobody is recorded until all of the others are through: what a session switches on stays on.
    for who in [Who::Himself, Who::Root] {
        for load in HOOK_LOADS {
            println!("bench: hooks: {} by {}", load.what, who.name());
            let before = stats.counts()?;
            let began = Instant::now();
            let run = place.run_as(load, load.count(false), who)?;
            let wall = began.elapsed().as_secs_f64();
            let after = stats.counts()?;
            let by = after.into_iter().map(|(family, (runs, ns))| {
                let (r, n) = before.get(family).copied().unwrap_or_default();
                (family, (runs - r, ns - n))
            });
            let done = if load.is_terminal() { run.done / 1024 } else { run.done };
            all.push(Around { load: load.what, who, done, wall, by: by.collect() });
        }
    }
    drop(stats);
    running.stop(PATIENCE)?;
    let on = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").unwrap_or_default();
    ensure!(on.trim() != "1", "the kernel counts on: kernel.bpf_stats_enabled was set by somebody else");
    let name = super::stored::Stored::load(&site)?.backend;
    Ok(section(&all, machine, &name))
}

fn section(all: &[Around], machine: &Machine, backend: &str) -> String {
    let mut out = format!(
        "{TITLE}\n\n\
         `cargo xtask bench --hooks`: the kernel's own runs and times of each program (`BPF_ENABLE_STATS`, which itself adds some 20-50 ns a\n\
         run, and is off again afterwards), by family, around counted loads: first of a person who is not recorded while nobody is, then of one\n\
         in an elevated session. What else ran on the machine meanwhile is in it; loads start a few programs, so small counts are theirs.\n\
         Share is program time over the load's wall time, start-up included: of one processor. Families with less than a\n\
         run in a hundred acts are left out. An event's context (namespaces, control group) is read by the program that makes the event.\n\
         Emulated kernels give no honest times, so only `{backend}` is here.\n\
         {where_it_was}\n\n\
         | load | acts | who | family | runs per act | ns per run | ns per act | share |\n|---|--:|---|---|--:|--:|--:|--:|\n",
        where_it_was = machine.line(),
    );
    for load in HOOK_LOADS {
        for one in all.iter().filter(|one| one.load == load.what) {
            for (family, _) in FAMILIES {
                let (runs, ns) = one.by.get(family).copied().unwrap_or_default();
                if runs * 100 < one.done || runs == 0 {
                    continue;
                }
                let (acts, runs_f, ns_f) = (float(one.done), float(runs), float(ns));
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {family} | {:.2} | {:.0} | {:.0} | {:.2} % |",
                    one.load,
                    one.done,
                    one.who.name(),
                    runs_f / acts,
                    ns_f / runs_f,
                    ns_f / acts,
                    ns_f / 1e7 / one.wall,
                );
            }
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
const fn float(n: u64) -> f64 {
    n as f64
}

/// The example that asks the kernel; it counts as long as this lives.
struct Reader {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Reader {
    fn start(example: &Path, pid: u32) -> Result<Self> {
        let mut child = Command::new(example)
            .arg(pid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("hook_stats")?;
        let ask = child.stdin.take().context("no pipe")?;
        let told = BufReader::new(child.stdout.take().context("no pipe")?);
        Ok(Self { child, ask, told })
    }

    fn counts(&mut self) -> Result<Counts> {
        self.ask.write_all(b"\n").context("hook_stats ended")?;
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        by_family(&serde_json::from_str(&line).context("hook_stats told nothing")?)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        proc::kill(&mut self.child);
    }
}

fn by_family(told: &Value) -> Result<Counts> {
    let mut out = Counts::new();
    for program in told.as_array().context("hook_stats told no list")? {
        let name = program.get("name").and_then(Value::as_str).unwrap_or_default();
        let number = |key| program.get(key).and_then(Value::as_u64).unwrap_or(0);
        let is = |known: &&str| known.get(..NAME).unwrap_or(known) == name;
        let family = FAMILIES.iter().find(|(_, programs)| programs.iter().any(is));
        let (family, _) = family.with_context(|| format!("the program {name} is of no family here"))?;
        let (runs, ns) = out.entry(*family).or_insert((0, 0));
        *runs += number("runs");
        *ns += number("ns");
    }
    ensure!(!out.is_empty(), "the recorder holds no programs");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_summed_by_family_and_strangers_are_told() {
        let told = json!([{"name": "on_fork", "runs": 2, "ns": 10}, {"name": "on_exit", "runs": 3, "ns": 20},
                          {"name": "sys_exit_proces", "runs": 1, "ns": 5}]);
        let counts = by_family(&told).unwrap();
        assert_eq!(counts, Counts::from([("fork, exit", (5, 30)), ("control of others", (1, 5))]));
        let stranger = by_family(&json!([{"name": "new_hook", "runs": 1, "ns": 1}])).unwrap_err();
        assert!(stranger.to_string().contains("new_hook"), "{stranger}");
    }
}
