//! Writes a journal under load until it dies, and says what of it is there: the inside of the power cuts
//! (tests/src/bin/powercut, docs/testing.md). It is no measurement.
//!
//! `recorder-pen check DIR`: one line `@@FOUND exit=… count=… crashes=… codes=…`; count: the numbers 0..count are sealed, in order.
//! `recorder-pen write DIR`: the same line, then goes on, `@@ACK seal=… count=…` behind each acknowledged commit.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the suites")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use recorder::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
use recorder::model::{
    Body, BootId, BootNanos, Bytes, ClockPair, Exec, Flags, RealNanos, Record, SessionId, Task,
};
use recorder::sys::clock;
use recorder::verify::{self, Options};

fn number(record: &Record) -> Option<u64> {
    let Body::Exec(exec) = &record.body else { return None };
    exec.argv.first()?.as_utf8()?.parse().ok()
}

/// Prints what a verifier finds; the number of records that are sealed.
fn check(dir: &Path) -> u64 {
    let (mut next, mut told) = (0, "exit=0 count=0 crashes=0 codes=-".to_owned());
    if let Ok((report, entries)) = verify::read(dir, &Options::default()) {
        let mut is_in_order = true;
        for entry in entries.flatten().filter(|e| e.sealed) {
            if let Some(n) = number(&entry.record) {
                is_in_order &= n == next;
                next = n + 1;
            }
        }
        let crashes = report.findings.iter().filter(|f| f.code == "RESTART").count();
        let mut codes: Vec<&str> = report.findings.iter().map(|f| f.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let exit = if is_in_order { report.exit } else { 99 };
        told = format!("exit={exit} count={next} crashes={crashes} codes={}", codes.join(","));
    } else if dir
        .read_dir()
        .is_ok_and(|mut d| d.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().len() == 32)))
    {
        "exit=98 count=0 crashes=0 codes=-".clone_into(&mut told);
    }
    println!("@@FOUND {told}");
    next
}

/// Commits of a few records each, some of them large, with rotation every few of them.
fn write(dir: PathBuf, first: u64) {
    let config = WriterConfig {
        dir,
        spare_dir: None,
        segment_bytes: 1 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 2 << 20,
        encryption: Encryption::Off,
        host: Bytes::from("power"),
    };
    let boot = recorder::sys::process::boot_id().unwrap_or(BootId::new([1; 16]));
    let (mut w, _) = Writer::open(config, RealDisk, OsEntropy, boot, clock::pair()).unwrap();
    let s = w.open_session(SessionId::new([1; 16]), clock::pair().boot);
    let task = Arc::new(Task { comm: Bytes::from("load"), auid: 1001, ..Task::default() });
    let (mut n, mut dice) = (first, first | 1);
    let mut out = std::io::stdout();
    loop {
        let ClockPair { boot: at, real: RealNanos { .. } } = clock::pair();
        for _ in 0..=dice % 4 {
            // What packs to nothing would leave commits of one sector.
            let noise: Vec<u8> = (0..dice % 9000)
                .map(|_| {
                    dice =
                        dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    dice.to_be_bytes()[0]
                })
                .collect();
            let argv = vec![Bytes::from(n.to_string().as_str()), Bytes::new(noise)];
            let body = Body::Exec(Exec {
                path: Bytes::from("/bin/load"),
                argv,
                cwd: Bytes::from("/"),
                dev: (254, 0),
                ino: 1,
                cut: None,
            });
            w.append(
                s,
                Record {
                    boot_ns: BootNanos::new(at.get()),
                    cpu: 0,
                    flags: Flags::default(),
                    task: Some(Arc::clone(&task)),
                    body,
                },
            );
            n += 1;
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice = dice.rotate_left(31);
        }
        let done = w.commit(clock::pair()).unwrap();
        w.tend();
        writeln!(out, "@@ACK seal={} count={n}", done.seal).unwrap();
        out.flush().unwrap();
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (what, dir) = (words.next().unwrap_or_default(), PathBuf::from(words.next().unwrap_or_default()));
    let next = check(&dir);
    if what == "write" {
        write(dir, next);
    }
}
