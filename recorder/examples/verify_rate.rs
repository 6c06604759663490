//! How fast a journal is verified, and in how much memory. Figures, no test.
//!
//! `cargo run --release -p recorder --example verify_rate -- /var/tmp/verify-rate 1024 64`
//! writes 1024 MiB of bytes that don't compress, a seal for each 64 KiB, and verifies it; 0 KiB: a seal for each record. More than 500 KiB need more sessions.
//! A fourth argument is the number of sessions that share each commit, a frame each (default 1), a fifth the length of a
//! segment in MiB (default 64). 0 MiB: only verifies what is there. One core: `taskset -c 0`.
#![expect(clippy::as_conversions, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a measurement")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use recorder::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
use recorder::model::{
    Body, BootId, BootNanos, Bytes, ClockPair, Flags, RealNanos, Record, SessionId, Stop, Tty, TtyOp,
};
use recorder::verify::{self, Options};

fn pair(ns: u64) -> ClockPair {
    ClockPair { boot: BootNanos::new(ns), real: RealNanos::new(1_700_000_000_000_000_000 + ns) }
}

fn argument(n: usize, default: usize) -> usize {
    std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/var/tmp/verify-rate".to_owned()));
    let (total, commit) = (argument(2, 1024) << 20, argument(3, 64) << 10);
    if total > 0 {
        write(&dir, total, commit, argument(4, 1).max(1), argument(5, 64));
    }
    // Peak memory from here on.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    for _ in 0..3 {
        check(&dir);
    }
}

fn write(dir: &Path, total: usize, commit: usize, sessions: usize, segment_mib: usize) {
    let _ = std::fs::remove_dir_all(dir);
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: u64::try_from(segment_mib).unwrap() << 20,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("bench"),
    };
    let (mut w, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), pair(0)).unwrap();
    let streams: Vec<_> = (1..=sessions)
        .map(|n| w.open_session(SessionId::new(u128::try_from(n).unwrap().to_be_bytes()), BootNanos::new(0)))
        .collect();
    // Header, seal and tables are part of the commit's bytes.
    let data = commit.saturating_sub(700 + 200 * sessions) / sessions;
    let (mut now, mut dice, mut stored) = (0u64, 1u64, 0usize);
    while stored < total {
        now += 1_000_000;
        for stream in &streams {
            let mut bytes = Vec::with_capacity(data + 8);
            while bytes.len() < data.max(8) {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.extend_from_slice(&(dice ^ (dice >> 29)).to_le_bytes());
            }
            let tty = Tty { name: Bytes::from("pts/1"), data: Bytes::from(&*bytes), ..Tty::default() };
            let body = Body::Tty(TtyOp::Output, tty);
            let boot_ns = BootNanos::new(now);
            w.append(*stream, Record { boot_ns, cpu: 0, flags: Flags::default(), task: None, body });
        }
        stored += usize::try_from(w.commit(pair(now)).unwrap().bytes).unwrap();
    }
    w.stop(Stop { clock: pair(now), ..Stop::default() }).unwrap();
}

/// Seconds of processor time so far: wall time lies on a machine that others use, too.
fn cpu() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn check(dir: &Path) {
    let (t, before) = (Instant::now(), cpu());
    let report = verify::verify(dir, &Options::default(), &mut |_| ()).unwrap();
    let (seconds, busy) = (t.elapsed().as_secs_f64(), cpu() - before);
    let bytes: u64 = report.logs.iter().map(|l| l.bytes).sum();
    let (seals, frames): (u64, u64) =
        report.logs.iter().map(|l| (l.seals, l.last)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    eprintln!(
        "wall {:.2} GB/s, cpu {:.2} GB/s a core, {:.1} us a seal, {:.2} us a frame, {:.2} s: {} MiB, {frames} frames, {seals} seals, {cores} cores, peak memory {peak}, {:?}",
        bytes as f64 / seconds / 1e9,
        bytes as f64 / busy / 1e9,
        busy * 1e6 / seals as f64,
        busy * 1e6 / frames as f64,
        seconds,
        bytes >> 20,
        report.verdict
    );
}
