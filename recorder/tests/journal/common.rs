//! A small journal written by hand, and helpers to look at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use recorder::journal::key::Entropy;
use recorder::journal::{Disk, Encryption, JournalError, Opened, RealDisk, Writer, WriterConfig};
use recorder::model::*;
use recorder::verify::{self, EndPolicy, Options, Report, Verdict};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Repeatable randomness.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), JournalError> {
        for b in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *b = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

pub(crate) fn at(seconds: u64) -> ClockPair {
    ClockPair {
        boot: BootNanos::new(seconds * SECOND),
        real: RealNanos::new(1_700_000_000 * SECOND + seconds * SECOND),
    }
}

pub(crate) fn boot(n: u8) -> BootId {
    BootId::new([n; 16])
}

pub(crate) fn config(dir: &Path, segment_bytes: u64) -> WriterConfig {
    WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    }
}

pub(crate) type Real = Writer<RealDisk, Dice>;

pub(crate) fn open(dir: &Path, segment_bytes: u64, seed: u64, seconds: u64) -> (Real, Opened) {
    Writer::open(config(dir, segment_bytes), RealDisk, Dice(seed), boot(1), at(seconds)).unwrap()
}

pub(crate) fn task(n: u32) -> Arc<Task> {
    Arc::new(Task {
        id: TaskId { pid: 1000 + n, start: BootNanos::new(7) },
        tid: 1000 + n,
        ppid: 1,
        comm: Bytes::from("sh"),
        auid: 1001,
        uid: 0,
        euid: 0,
    })
}

pub(crate) fn exec(seconds: u64, n: u32) -> Record {
    let body = Body::Exec(Exec {
        path: Bytes::from("/usr/bin/true"),
        argv: vec![Bytes::from("true"), Bytes::from(format!("x-{n}").as_str())],
        cwd: Bytes::from("/root"),
        dev: (254, 0),
        ino: 77,
        ..Exec::default()
    });
    Record { boot_ns: at(seconds).boot, cpu: 1, flags: Flags::default(), task: Some(task(n % 3)), body }
}

pub(crate) fn opened_file(seconds: u64, path: &str) -> Record {
    let body = Body::File(FileOp::Open, File { path: Bytes::from(path), count: 1, ..File::default() });
    Record { boot_ns: at(seconds).boot, cpu: 0, flags: Flags::AS_PASSED, task: Some(task(0)), body }
}

pub(crate) fn heartbeat(seconds: u64) -> Record {
    let body = Body::Heartbeat(Heartbeat { clock: at(seconds), sessions: 1, ..Heartbeat::default() });
    Record { boot_ns: at(seconds).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

pub(crate) fn stop(seconds: u64) -> Stop {
    Stop { clock: at(seconds), signal: 15, open_sessions: 1 }
}

/// Several segments, a stop and a resume, a break, one session closed and one open. `ending`: how the last run ends.
pub(crate) fn small<D: Disk, E: Entropy>(mut open: impl FnMut(u64) -> Writer<D, E>, ending: Ending) {
    let mut w = open(0);
    let a = w.open_session(session(1), at(1).boot);
    for n in 0..4 {
        w.append(a, exec(1, n));
        w.append(a, opened_file(1, &format!("/etc/conf.d/{n}")));
        w.append(StreamNo::LOG, heartbeat(1));
        w.commit(at(1)).unwrap();
    }
    w.close_session(a, EndReason::LastTask, 0, at(2).boot);
    w.commit(at(2)).unwrap();
    w.stop(stop(3)).unwrap();
    let mut w = open(10);
    let b = w.open_session(session(2), at(10).boot);
    for n in 0..2 {
        w.append(b, exec(11, n));
        w.commit(at(11)).unwrap();
    }
    drop(w);
    let mut w = open(20);
    let c = w.open_session(session(3), at(20).boot);
    for n in 0..2 {
        w.append(c, exec(21, n));
        w.commit(at(21)).unwrap();
    }
    if ending == Ending::Stop {
        w.stop(stop(22)).unwrap();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Stop,
    Running,
}

pub(crate) fn small_at(dir: &Path, seed: u64, ending: Ending) {
    let mut seed = seed;
    small(
        |seconds| {
            seed += 1;
            open(dir, 3072, seed, seconds).0
        },
        ending,
    );
}

pub(crate) fn verify(dir: &Path) -> Report {
    verify::verify(dir, &Options::default(), &mut |_| ()).unwrap()
}

/// Everything that a stopped log with a known origin can show.
pub(crate) fn strict(dir: &Path, origin: &Path) -> Report {
    let options = Options { origin: Some(origin.to_owned()), end: EndPolicy::Stopped, ..Options::default() };
    verify::verify(dir, &options, &mut |_| ()).unwrap()
}

pub(crate) fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|f| f.code).collect()
}

pub(crate) fn has(report: &Report, code: &str) -> bool {
    report.findings.iter().any(|f| f.code == code)
}

/// The only log of a journal.
pub(crate) fn log_dir(journal: &Path) -> PathBuf {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(journal).unwrap().map(|e| e.unwrap().path()).collect();
    logs.sort();
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs.remove(0)
}

pub(crate) fn segments(log: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(log).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "rj")).collect();
    list.sort();
    list
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn is_whole(v: Verdict) -> bool {
    matches!(v, Verdict::Verified | Verdict::VerifiedWithGaps)
}
