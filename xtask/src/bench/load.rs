//! The loads of docs/performance.md: one run of one of them in an elevated session on a terminal of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{proc, pty};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use serde_json::Value;

use crate::sh;

/// The person at the terminal: no account is needed, the kernel only wants numbers.
const UID: u32 = 64_123;
/// No load may take longer.
const LIMIT: Duration = Duration::from_mins(10);
/// No single key may take longer.
const KEY_LIMIT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// A person's keys come apart; without a pause both sides would stay awake between them.
const BETWEEN_KEYS: Duration = Duration::from_millis(1);
/// Keys that are not counted: the program is still starting.
const WARM_UP: u64 = 20;

/// What is measured of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// Seconds from the first operation to the last.
    Wall,
    /// Processor seconds of the load and its children.
    Cpu,
    /// Milliseconds between key and echo, half of them faster.
    P50,
    /// The same, 99 of 100 faster.
    P99,
}

/// One load.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// The word of `recorder-workload storm`.
    word: &'static str,
    quick: u64,
    full: u64,
    /// Figures with the goal for their ratio, where docs/performance.md names one.
    pub(super) figures: &'static [(Figure, Option<f64>)],
    /// The kinds of record that its operations make; none where operations and records don't correspond.
    pub(super) kinds: &'static [&'static str],
}

impl Load {
    pub(super) fn count(&self, is_full: bool) -> u64 {
        if is_full { self.full } else { self.quick }
    }

    /// How many records of `kinds` it should make.
    pub(super) fn expected(&self, count: u64) -> u64 {
        count * u64::try_from(self.kinds.len()).unwrap_or(1)
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.word == "flood"
    }
}

pub(super) const LOADS: &[Load] = &[
    Load {
        name: "W1",
        what: "exec storm",
        word: "exec",
        quick: 2000,
        full: 10_000,
        figures: &[(Figure::Wall, Some(1.05)), (Figure::Cpu, None)],
        kinds: &["exec"],
    },
    Load {
        name: "W2",
        what: "open storm",
        word: "open",
        quick: 300_000,
        full: 2_000_000,
        figures: &[(Figure::Wall, None), (Figure::Cpu, Some(1.6))],
        kinds: &["open"],
    },
    Load {
        name: "W2b",
        what: "create, rename, unlink",
        word: "change",
        quick: 50_000,
        full: 300_000,
        figures: &[(Figure::Wall, None), (Figure::Cpu, Some(1.1))],
        kinds: &["create", "rename", "unlink"],
    },
    Load {
        name: "W4",
        what: "terminal flood",
        word: "flood",
        quick: 20_000_000,
        full: 100_000_000,
        figures: &[(Figure::Wall, Some(1.1)), (Figure::Cpu, None)],
        kinds: &[],
    },
    Load {
        name: "W5",
        what: "key echo",
        word: "echo",
        quick: 2000,
        full: 10_000,
        figures: &[(Figure::P50, Some(1.1)), (Figure::P99, Some(1.5))],
        kinds: &[],
    },
];

/// Those that `--hooks` counts programs around: one for each family.
pub(super) const HOOK_LOADS: &[Load] = &[
    hook_load("fork and exec", "exec", 2000, Figure::Wall),
    hook_load("open", "open", 200_000, Figure::Wall),
    hook_load("create, rename, unlink", "change", 30_000, Figure::Wall),
    hook_load("terminal, KiB shown", "flood", 20_000_000, Figure::Wall),
    hook_load("key echo", "echo", 1000, Figure::P50),
    hook_load("set the own uid", "cred", 200_000, Figure::Wall),
    hook_load("send to a socket", "send", 200_000, Figure::Wall),
    hook_load("read and write a pipe", "pipe", 200_000, Figure::Wall),
];

const fn hook_load(what: &'static str, word: &'static str, count: u64, figure: Figure) -> Load {
    let figures: &[(Figure, Option<f64>)] = match figure {
        Figure::P50 => &[(Figure::P50, None)],
        _ => &[(Figure::Wall, None)],
    };
    Load { name: what, what, word, quick: count, full: count, figures, kinds: &[] }
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A person with his own rights: not recorded.
    Himself,
    /// The same, elevated.
    Root,
}

impl Who {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Himself => "not recorded",
            Self::Root => "recorded",
        }
    }
}

/// What one run came to, in the order of the load's figures.
pub(super) struct Run {
    pub(super) figures: Vec<f64>,
    /// Operations; bytes for the flood.
    pub(super) done: u64,
}

/// The programs and directories the loads need.
pub(super) struct Place {
    dir: PathBuf,
    workload: PathBuf,
    become_root: PathBuf,
}

impl Place {
    /// Copies the workload to where a throw-away user may run it, once more as the setuid helper.
    pub(super) fn prepare(dir: &Path, workload: &Path) -> Result<Self> {
        let place = Self {
            dir: dir.to_path_buf(),
            workload: dir.join("workload"),
            become_root: dir.join("become-root"),
        };
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        for (copy, mode) in [(&place.workload, 0o755), (&place.become_root, 0o4755)] {
            fs::copy(workload, copy).with_context(|| format!("cannot copy {}", workload.display()))?;
            fs::set_permissions(copy, fs::Permissions::from_mode(mode))?;
        }
        Ok(place)
    }

    /// One run: log-in, the user's own program, elevation, the load.
    pub(super) fn run(&self, load: &Load, count: u64) -> Result<Run> {
        self.run_as(load, count, Who::Root)
    }

    /// The same, or without elevation.
    pub(super) fn run_as(&self, load: &Load, count: u64, who: Who) -> Result<Run> {
        let dir = match who {
            Who::Root => self.dir.clone(),
            Who::Himself => self.dir.join("own"),
        };
        if who == Who::Himself {
            fs::create_dir_all(&dir)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
        }
        let (truth, work) = (dir.join("truth.json"), dir.join("work"));
        let pair = pty::open_pair(80, 24)?;
        let is_echo = load.word == "echo";
        if is_echo {
            let mut modes = tcgetattr(&pair.slave)?;
            modes.make_raw();
            tcsetattr(&pair.slave, OptionalActions::Now, &modes)?;
        }
        let keys = if is_echo { count + WARM_UP } else { count };
        let mut child = self.start(load, keys, who, &work, &truth, pair.slave)?;
        let mut master = File::from(pair.master);
        let result = (|| -> Result<Vec<f64>> {
            let mut times = if is_echo { echo(&mut master, keys)? } else { Vec::new() };
            let drain = thread::spawn(move || drain(master));
            let status = proc::wait(&mut child, LIMIT)?;
            let said = drain.join().unwrap_or_default();
            ensure!(
                status.success(),
                "{} ended with {status}: {}",
                load.name,
                String::from_utf8_lossy(&said)
            );
            times.sort_by(f64::total_cmp);
            Ok(times)
        })();
        proc::kill(&mut child);
        let times = result?;
        let told: Value = serde_json::from_slice(&fs::read(&truth).context("the load told nothing")?)?;
        fs::remove_file(&truth)?;
        fs::remove_dir_all(&work)?;
        let number = |key: &str| told.get(key).and_then(Value::as_f64).with_context(|| format!("no {key}"));
        let figures = load.figures.iter().map(|(figure, _)| match figure {
            Figure::Wall => number("wall_s"),
            Figure::Cpu => number("cpu_s"),
            Figure::P50 => percentile(&times, 50),
            Figure::P99 => percentile(&times, 99),
        });
        let figures = figures.collect::<Result<_>>()?;
        Ok(Run { figures, done: told.get("done").and_then(Value::as_u64).context("no count")? })
    }

    /// What `gzip -6` makes of a load's output, per byte: what sudo's I/O log would store of the same text.
    pub(super) fn gzipped(&self, load: &Load, count: u64) -> Result<f64> {
        let work = self.dir.join("work");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "\"$@\" | gzip -6 | wc -c", "sh"]).arg(&self.workload);
        command.args(["storm", load.word, "--count", &count.to_string(), "--dir"]).arg(&work);
        command.arg("--truth").arg(self.dir.join("truth.json"));
        let said = sh::output(&mut command)?;
        let told: Value = serde_json::from_slice(&fs::read(self.dir.join("truth.json"))?)?;
        fs::remove_dir_all(&work)?;
        let bytes: f64 = said.trim().parse().context("wc counted nothing")?;
        Ok(bytes / told.get("done").and_then(Value::as_f64).context("no count")?)
    }

    fn start(
        &self,
        load: &Load,
        count: u64,
        who: Who,
        work: &Path,
        truth: &Path,
        slave: OwnedFd,
    ) -> Result<Child> {
        let mut command = pty::on_terminal(&[&self.workload]);
        let id = UID.to_string();
        command.args(["human", "--uid", &id, "--gid", &id, "--name", "bench", "--home"]).arg(&self.dir);
        // A program of the user's own stands first, as a login shell does.
        command.args(["--", "/bin/sh", "-c", "exec \"$@\"", "sh"]);
        if who == Who::Root {
            command.arg(&self.become_root).args(["elevate", "--"]);
        }
        command.arg(&self.workload).args(["storm", load.word, "--count", &count.to_string()]);
        command.arg("--dir").arg(work).arg("--truth").arg(truth);
        command
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave))
            .env("TERM", "xterm")
            .spawn()
            .context("cannot start the load")
    }
}

/// Reads until the terminal is hung up; keeps the end, for an error.
fn drain(mut master: File) -> Vec<u8> {
    let mut chunk = vec![0; 65536];
    let mut end = 0;
    // EIO is how a master learns that the last slave is gone.
    while let Ok(n @ 1..) = master.read(&mut chunk) {
        end = n;
    }
    chunk.truncate(end.min(400));
    chunk
}

/// Types key after key and gives the milliseconds until each came back.
fn echo(master: &mut File, keys: u64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut key = [0u8; 1];
    for number in 0..keys {
        let start = Instant::now();
        master.write_all(b"k").context("typing")?;
        if poll(&mut [PollFd::new(&*master, PollFlags::IN)], Some(&KEY_LIMIT))? == 0 {
            bail!("key {number} was not echoed");
        }
        master.read_exact(&mut key).context("echo")?;
        if number >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        thread::sleep(BETWEEN_KEYS);
    }
    Ok(times)
}

/// Of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> Result<f64> {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().context("nothing was measured")
}
