//! Writes a journal under load until it dies, and says what of it is there: the inside of the power cuts
//! (tests/src/bin/powercut, docs/testing.md). It is no measurement.
//!
//! `recorder-pen check DIR`: one line `@@FOUND exit=… count=… crashes=… codes=…`; count: the numbers 0..count are sealed, in order.
//! `recorder-pen write DIR`: the same line, then goes on, `@@ACK seal=… count=…` behind each acknowledged commit.
//! `recorder-pen hand DIR`: `@@WAIT`, then a line `NAME COMMITS` from standard input: so many commits by that name, `@@NOTE` and the checkpoint
//! behind them, and again; `stop 0` ends the log (snapshots and clones of a machine).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the suites")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use recorder::journal::checkpoint::{Signer, to_word};
use recorder::journal::{Encryption, Opened, OsEntropy, RealDisk, Writer, WriterConfig};
use recorder::model::{Body, BootId, Bytes, EndReason, Exec, Flags, Record, SessionId, Stop, Task};
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

fn open(dir: &Path) -> (Writer, Opened) {
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 1 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 2 << 20,
        encryption: Encryption::Off,
        host: Bytes::from("power"),
    };
    let boot = recorder::sys::process::boot_id().unwrap_or(BootId::new([1; 16]));
    Writer::open(config, RealDisk, OsEntropy, boot, clock::pair()).unwrap()
}

fn exec(by: &str, argument: Bytes) -> Record {
    let body = Body::Exec(Exec {
        path: Bytes::from("/bin/load"),
        argv: vec![Bytes::from(by), argument],
        cwd: Bytes::from("/"),
        dev: (254, 0),
        ino: 1,
        ..Exec::default()
    });
    let task = Arc::new(Task { comm: Bytes::from("load"), auid: 1001, ..Task::default() });
    Record { boot_ns: clock::boot(), cpu: 0, flags: Flags::default(), task: Some(task), body }
}

/// Commits as it is told, and hands out where the log stands.
fn hand(dir: &Path) {
    let (mut w, opened) = open(dir);
    let signer = Signer::open(dir, opened.log).unwrap().unwrap();
    let session = w.open_session(SessionId::new([1; 16]), clock::boot());
    let tell = |head| {
        let note = to_word(&signer.sign(head));
        println!("@@NOTE {note}");
    };
    let mut lines = std::io::stdin().lines();
    loop {
        println!("@@WAIT");
        let line = lines.next().unwrap().unwrap();
        let (name, commits) = line.trim().split_once(' ').unwrap();
        if name == "stop" {
            let stop = Stop { clock: clock::pair(), signal: 15, open_sessions: 0 };
            w.close_session(session, EndReason::LastTask, 0, clock::boot());
            tell(w.stop(stop).unwrap());
            println!("@@WAIT");
            return;
        }
        for n in 0..commits.parse().unwrap() {
            w.append(session, exec(name, Bytes::from(u64::to_string(&n).as_str())));
            w.commit(clock::pair()).unwrap();
        }
        tell(w.head());
    }
}

/// Commits of a few records each, some of them large, with rotation every few of them.
fn write(dir: &Path, first: u64) {
    let (mut w, _) = open(dir);
    let s = w.open_session(SessionId::new([1; 16]), clock::pair().boot);
    let (mut n, mut dice) = (first, first | 1);
    let mut out = std::io::stdout();
    loop {
        for _ in 0..=dice % 4 {
            // What packs to nothing would leave commits of one sector.
            let noise: Vec<u8> = (0..dice % 9000)
                .map(|_| {
                    dice =
                        dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    dice.to_be_bytes()[0]
                })
                .collect();
            w.append(s, exec(&n.to_string(), Bytes::new(noise)));
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
    if what == "hand" {
        return hand(&dir);
    }
    let next = check(&dir);
    if what == "write" {
        write(&dir, next);
    }
}
