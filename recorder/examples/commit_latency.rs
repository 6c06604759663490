//! How long an event waits until it is sealed and durable, at so many events a second. Figures, no test.
//!
//! `cargo run --release -p recorder --example commit_latency -- DIR SECONDS RATE...`: one line of JSON for each rate.
//!
//! One thread stamps events and hands them over every millisecond, as the service's pump does while events come; another takes
//! them at the service's pace (`journal::pace`). The way from the kernel to the pump is not in it. Every hundredth event is an
//! exec, which starts a commit at once; the others are opens.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use recorder::journal::pace::{ENOUGH, Pace};
use recorder::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
use recorder::model::{Body, BootId, Bytes, Exec, File, FileOp, Flags, Record, SessionId, StreamNo, Task};
use recorder::sys::clock;

/// Between batches, as in the pump.
const NAP: Duration = Duration::from_millis(1);
/// Batches between the threads, as in the service.
const QUEUE: usize = 64;

fn record(n: u64, task: &Arc<Task>) -> Record {
    let body = if n.is_multiple_of(100) {
        Body::Exec(Exec {
            path: Bytes::from("/usr/bin/true"),
            argv: vec![Bytes::from("true"), Bytes::from(n.to_string().as_str())],
            cwd: Bytes::from("/root"),
            dev: (254, 0),
            ino: 77,
            ..Exec::default()
        })
    } else {
        let path = Bytes::from(format!("/etc/conf.d/{}", n % 5000).as_str());
        Body::File(FileOp::Open, File { path, dev: (254, 0), ino: n % 5000, count: 1, ..File::default() })
    };
    Record {
        boot_ns: clock::pair().boot,
        cpu: 0,
        flags: Flags::default(),
        task: Some(Arc::clone(task)),
        body,
    }
}

type Batch = (Vec<Record>, Vec<Instant>);

/// Takes batches as the service's writer does; the waits in microseconds, and the commits.
fn write(journal: &mut Writer, stream: StreamNo, batches: &Receiver<Batch>) -> (Vec<u64>, u64) {
    let (mut waits, mut stamps, mut commits) = (Vec::new(), Vec::new(), 0);
    let mut pace = Pace::new(Instant::now());
    loop {
        let mut ended = false;
        let mut take = |(records, stamped): Batch, journal: &mut Writer| {
            for record in records {
                journal.append(stream, record);
            }
            stamps.extend(stamped);
        };
        match batches.recv_timeout(pace.wait(journal.pending(), Instant::now())) {
            Ok(batch) => {
                take(batch, journal);
                pace.came(Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        while journal.pending().bytes < ENOUGH && !ended {
            match batches.try_recv() {
                Ok(batch) => take(batch, journal),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => ended = true,
            }
        }
        let (pending, now) = (journal.pending(), Instant::now());
        if (pending.bytes > 0 && pace.is_due(pending, now)) || ended {
            pace.begins(now);
            journal.commit(clock::pair()).unwrap();
            pace.done();
            let done = Instant::now();
            commits += 1;
            waits.extend(stamps.drain(..).map(|at| u64::try_from((done - at).as_micros()).unwrap()));
        }
        if ended {
            return (waits, commits);
        }
    }
}

fn measure(dir: &Path, seconds: u64, rate: u64) {
    let _ = std::fs::remove_dir_all(dir);
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 64 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 16 << 20,
        encryption: Encryption::Off,
        host: Bytes::from("bench"),
    };
    let now = clock::pair();
    let (mut journal, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), now).unwrap();
    let stream = journal.open_session(SessionId::new([1; 16]), now.boot);
    let (to_writer, from_source) = sync_channel(QUEUE);
    let source = std::thread::spawn(move || {
        let task = Arc::new(Task { comm: Bytes::from("load"), auid: 1001, ..Task::default() });
        let start = Instant::now();
        let mut n = 0;
        while start.elapsed() < Duration::from_secs(seconds) {
            // What is due by now, stamped now: a late thread sends more, and invents no waiting.
            let due = u64::try_from(start.elapsed().as_micros()).unwrap() * rate / 1_000_000;
            let batch: Batch = (n..due).map(|n| (record(n, &task), Instant::now())).unzip();
            n = due.max(n);
            if !batch.0.is_empty() {
                to_writer.send(batch).unwrap();
            }
            std::thread::sleep(NAP);
        }
        n
    });
    let (mut waits, commits) = write(&mut journal, stream, &from_source);
    let events = source.join().unwrap();
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len() - 1)).copied().unwrap();
    println!(
        "{{\"rate\":{rate},\"seconds\":{seconds},\"events\":{events},\"commits\":{commits},\"p50_us\":{},\"p99_us\":{},\"worst_us\":{}}}",
        at(50),
        at(99),
        at(100)
    );
    let _ = std::fs::remove_dir_all(dir);
}

fn main() {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().unwrap_or_else(|| "/var/tmp/commit-latency".to_owned()));
    let seconds = words.next().and_then(|n| n.parse().ok()).unwrap_or(10);
    let rates: Vec<u64> = words.filter_map(|n| n.parse().ok()).collect();
    for rate in if rates.is_empty() { vec![1000, 10_000, 50_000] } else { rates } {
        measure(&dir, seconds, rate);
    }
}
