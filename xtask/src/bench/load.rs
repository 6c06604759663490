//! One run of one load: a human logs in, becomes root by a setuid program, and his program is the load.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{Events, argv, files, number, text},
    proc,
    pty::{self, on_terminal},
    recorder::Site,
};
use serde_json::Value;

use crate::build::Binaries;

const LIMIT: Duration = Duration::from_mins(5);
/// The loginuid of the load's person; no account is needed for it.
const PERSON: &str = "61234";

/// A load of docs/performance.md.
pub(super) struct Load {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) goal: &'static str,
    word: &'static str,
    count: u64,
    kind: Kind,
}

/// How its records are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Execs,
    Opens,
    Changes,
    Bytes,
    Keys,
}

pub(super) const LOADS: &[Load] = &[
    Load { id: "W1", what: "exec storm", goal: "wall <= 1.05", word: "exec", count: 2000, kind: Kind::Execs },
    Load {
        id: "W2",
        what: "open storm",
        goal: "cpu <= 1.6",
        word: "open",
        count: 200_000,
        kind: Kind::Opens,
    },
    Load {
        id: "W2b",
        what: "create, rename, unlink",
        goal: "cpu <= 1.10",
        word: "change",
        count: 20_000,
        kind: Kind::Changes,
    },
    Load {
        id: "W4",
        what: "terminal flood 100 MB",
        goal: "wall <= 1.10; recorder <= 0.15 s",
        word: "flood",
        count: 100_000_000,
        kind: Kind::Bytes,
    },
    Load {
        id: "W5",
        what: "key echo",
        goal: "p50 <= 1.10, p99 <= 1.5",
        word: "echo",
        count: 2000,
        kind: Kind::Keys,
    },
];

impl Load {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

/// Figures of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) wall: f64,
    pub(super) cpu: f64,
    /// Seconds; of the echo only.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// What the load says it did, in records that it must leave (bytes for terminals).
    pub(super) truth: f64,
    /// What is in the journal.
    pub(super) recorded: f64,
    /// What the journal declares as lost.
    pub(super) lost: f64,
    /// All records of the run.
    pub(super) records: f64,
    pub(super) recorder_cpu: f64,
    pub(super) stored: f64,
    pub(super) backend: String,
}

/// Where the loads run.
pub(super) struct Place {
    dir: PathBuf,
    recorder: PathBuf,
}

impl Place {
    pub(super) fn set(binaries: &Binaries, dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        for (name, mode) in [("workload", 0o755), ("become-root", 0o4755)] {
            let to = dir.join(name);
            fs::copy(&binaries.workload, &to)?;
            fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        }
        Ok(Self { dir, recorder: binaries.recorder.clone() })
    }

    pub(super) fn measure(&self, load: &Load, recorded: bool) -> Result<Measured> {
        let dir = self.dir.join("run");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        if !recorded {
            return self.work(load, &dir).map(|(measured, _)| measured);
        }
        let site = Site::prepare(&self.recorder, &dir, "auto")?;
        let running = site.start(LIMIT)?;
        let before = cpu_of(running.child().id())?;
        let (mut measured, shown) = self.work(load, &dir)?;
        // The whole life's processor time is known once it was waited for; draining and sealing count too.
        let others = children_cpu()?;
        running.stop(LIMIT)?;
        measured.recorder_cpu = children_cpu()? - others - before;
        let events = Events::load(&site)?;
        measured.recorded = recorded_of(load, &events, shown)?;
        measured.lost = float(events.lost());
        measured.records = float(u64::try_from(events.0.len())?);
        measured.stored = float(stored(&site.journal)?);
        measured.backend = events
            .of_kind("boot")
            .next()
            .map(|boot| text(boot, &["boot", "backend"]).to_owned())
            .unwrap_or_default();
        Ok(measured)
    }

    /// Runs the load on a terminal that we read as a terminal emulator does; gives how much was shown too.
    fn work(&self, load: &Load, dir: &Path) -> Result<(Measured, u64)> {
        let truth = dir.join("truth");
        let quoted = |path: &Path| format!("'{}'", path.display());
        let script = format!(
            "stty raw -echo; echo go; exec {} storm {} --count {} --dir {} --truth {}",
            quoted(&self.dir.join("workload")),
            load.word,
            load.count,
            quoted(&dir.join("files")),
            quoted(&truth)
        );
        let pair = pty::open_pair(100, 30)?;
        let mut command: Command = on_terminal(&[self.dir.join("workload")]);
        command.args(["human", "--uid", PERSON, "--gid", PERSON, "--name", "bench", "--home", "/", "--"]);
        command.arg(self.dir.join("become-root")).args(["elevate", "/bin/sh", "-c", &script]);
        command.stdin(Stdio::from(pair.slave.try_clone()?)).stdout(Stdio::from(pair.slave.try_clone()?));
        let mut child = command.stderr(Stdio::from(pair.slave)).spawn()?;
        drop(command);
        let mut master = File::from(pair.master);
        // `stty raw` also ends output post-processing, so this line has no CR.
        let mut byte = [0u8; 1];
        let mut said = Vec::new();
        while !said.ends_with(b"go\n") {
            master.read_exact(&mut byte).with_context(|| String::from_utf8_lossy(&said).into_owned())?;
            said.extend(byte);
        }
        let mut latencies = Vec::new();
        if load.kind == Kind::Keys {
            for _ in 0..load.count {
                let start = Instant::now();
                master.write_all(b"k")?;
                master.read_exact(&mut byte)?;
                latencies.push(start.elapsed().as_secs_f64());
            }
        }
        let mut chunk = vec![0u8; 65536];
        let mut shown = u64::try_from(latencies.len())?;
        while let Ok(n @ 1..) = master.read(&mut chunk) {
            shown += u64::try_from(n)?;
        }
        let status = proc::wait(&mut child, LIMIT)?;
        ensure!(status.success(), "the load {} ended with {status}", load.id);
        let told: Value = serde_json::from_slice(&fs::read(&truth).context("the load left no truth")?)?;
        let figure = |key: &str| told.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        latencies.sort_by(f64::total_cmp);
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or(0.0);
        let truth = match load.kind {
            Kind::Changes => figure("done") * 3.0,
            _ => figure("done"),
        };
        let (wall, cpu) = (figure("wall_s"), figure("cpu_s"));
        Ok((Measured { wall, cpu, p50: at(50), p99: at(99), truth, ..Measured::default() }, shown))
    }
}

/// How many records (or terminal bytes) of this load the journal holds.
fn recorded_of(load: &Load, events: &Events, shown: u64) -> Result<f64> {
    let of = |kind: &str, part: &str| -> u64 {
        events
            .of_kind(kind)
            .filter(|event| text(event, &["file", "path"]).contains(part))
            .map(|event| number(event, &["file", "count"]).unwrap_or(1).max(1))
            .sum()
    };
    Ok(float(match load.kind {
        Kind::Execs => u64::try_from(
            events.of_kind("exec").filter(|e| argv(e).any(|arg| arg.starts_with("w1-"))).count(),
        )?,
        // The 64 files were made by the load too, as creates.
        Kind::Opens => of("open", "/w2-"),
        Kind::Changes => of("create", "/w2b-") + of("rename", "/w2b-") + of("unlink", "/w2b-"),
        Kind::Bytes | Kind::Keys => {
            let longest = events.shown()?.into_values().map(|bytes| bytes.len()).max().unwrap_or(0);
            // What `echo go` showed is no part of the load.
            u64::try_from(longest)?.min(shown)
        }
    }))
}

/// Bytes that the segments really use; the preallocated tail is zero.
fn stored(journal: &Path) -> Result<u64> {
    let mut total = 0;
    for path in files(journal)?.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rj")) {
        let bytes = fs::read(&path)?;
        total += bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    }
    Ok(u64::try_from(total)?)
}

/// Seconds of processor time of a running process.
fn cpu_of(pid: u32) -> Result<f64> {
    stat_seconds(&format!("/proc/{pid}/stat"), 11)
}

/// Seconds of processor time of all children that we waited for.
fn children_cpu() -> Result<f64> {
    stat_seconds("/proc/self/stat", 13)
}

/// Two neighbouring fields behind the parenthesised name, in ticks of 1/100 s (the same on every Linux architecture).
fn stat_seconds(path: &str, from: usize) -> Result<f64> {
    let stat = fs::read_to_string(path)?;
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = behind.split_whitespace().skip(from).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// Counts here are far below 2^53, where every whole number is exact.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or_else(|_| f64::from(u32::MAX), f64::from)
}
