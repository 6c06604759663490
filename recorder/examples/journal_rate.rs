//! How fast one core writes, verifies and reads a journal, and what an event costs on disk. Figures, no test.
//!
//! `cargo run --release -p recorder --example journal_rate -- /var/tmp/rate 2000000`
//! (0 events: only check what is there; a third argument: verify and do not read)
#![expect(clippy::as_conversions, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a measurement")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use recorder::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
use recorder::model::{
    Body, BootId, BootNanos, Bytes, ClockPair, File, FileOp, Flags, RealNanos, Record, SessionId, Stop, Task,
};
use recorder::verify::{self, Options};

/// Real names with real inode numbers, as `find /usr` would open them.
fn names(dir: &Path, out: &mut Vec<(Bytes, u64)>) {
    let Ok(list) = std::fs::read_dir(dir) else { return };
    for entry in list.flatten() {
        if out.len() >= 200_000 {
            return;
        }
        let Ok(meta) = entry.metadata() else { continue };
        let path = entry.path();
        out.push((Bytes::from(path.as_os_str().as_encoded_bytes()), meta.ino()));
        if meta.is_dir() {
            names(&path, out);
        }
    }
}

fn open_record(n: usize, now: u64, (path, ino): &(Bytes, u64), task: &Arc<Task>) -> Record {
    let file = File {
        path: path.clone(),
        flags: 0o2_000_000,
        mode: 0o100_644,
        dev: (254, 0),
        ino: *ino,
        count: 1,
        ..File::default()
    };
    Record {
        boot_ns: BootNanos::new(now),
        cpu: u16::from(n / 5000 % 2 == 1),
        flags: Flags::default(),
        task: Some(Arc::clone(task)),
        body: Body::File(FileOp::Open, file),
    }
}

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/var/tmp/journal-rate".to_owned()));
    let total: usize = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    if total == 0 {
        return check(&dir);
    }
    let _ = std::fs::remove_dir_all(&dir);
    let mut files = Vec::new();
    names(Path::new("/usr"), &mut files);
    let config = WriterConfig {
        dir: dir.clone(),
        spare_dir: None,
        segment_bytes: 64 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("bench"),
    };
    let pair = |ns: u64| ClockPair {
        boot: BootNanos::new(ns),
        real: RealNanos::new(1_700_000_000_000_000_000 + ns),
    };
    let (mut w, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), pair(0)).unwrap();
    let s = w.open_session(SessionId::new([1; 16]), BootNanos::new(0));
    let task = Arc::new(Task { comm: Bytes::from("find"), tid: 42, auid: 1001, ..Task::default() });
    let (mut now, mut jitter) = (0u64, 1u64);
    let (mut stored, mut commits, mut worst) = (0u64, 0u64, Duration::ZERO);
    let (mut appending, mut committing) = (Duration::ZERO, Duration::ZERO);
    let batch = 15_000;
    for start in (0..total).step_by(batch) {
        let records: Vec<Record> = (start..(start + batch).min(total))
            .map(|n| {
                jitter = jitter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += 700 + (jitter >> 54);
                open_record(n, now, files.get(n % files.len()).unwrap(), &task)
            })
            .collect();
        let t = Instant::now();
        for record in records {
            w.append(s, record);
        }
        appending += t.elapsed();
        let t = Instant::now();
        stored += w.commit(pair(now)).unwrap().bytes;
        committing += t.elapsed();
        worst = worst.max(t.elapsed());
        commits += 1;
    }
    w.stop(Stop { clock: pair(now), ..Stop::default() }).unwrap();
    eprintln!(
        "{total} opens of {} files: append {:.2} M/s, with durable commits {:.2} M/s; {:.2} bytes each; {commits} commits, mean {:?}, worst {worst:?}",
        files.len(),
        total as f64 / appending.as_secs_f64() / 1e6,
        total as f64 / (appending + committing).as_secs_f64() / 1e6,
        stored as f64 / total as f64,
        committing / u32::try_from(commits).unwrap(),
    );
    check(&dir);
}

/// Rates of the readers.
fn check(dir: &Path) {
    let t = Instant::now();
    let report = verify::verify(dir, &Options::default(), &mut |_| ()).unwrap();
    let bytes: u64 = report.logs.iter().map(|l| l.bytes).sum();
    let seals: u64 = report.logs.iter().map(|l| l.seals).sum();
    eprintln!(
        "verify: {:.2} GB/s of {} MB with {seals} seals, {:?}",
        bytes as f64 / t.elapsed().as_secs_f64() / 1e9,
        bytes >> 20,
        report.verdict
    );
    let t = Instant::now();
    if std::env::args().nth(3).is_some() {
        return;
    }
    let (_, entries) = verify::read(dir, &Options::default()).unwrap();
    let count = entries.flatten().count();
    eprintln!(
        "read: {:.2} M records/s (verification included)",
        count as f64 / t.elapsed().as_secs_f64() / 1e6
    );
}
