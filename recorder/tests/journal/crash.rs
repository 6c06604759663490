//! The power goes at every write and sync, and of what was not synced any sectors survive, in any order: nothing that was
//! acknowledged is lost, and nobody is accused.

use std::path::Path;

use crate::common::*;
use crate::fake::FakeDisk;
use recorder::journal::{Committed, JournalError, Writer, WriterConfig};
use recorder::model::*;
use recorder::verify::{self, Options, Verdict};

type Fake = Writer<FakeDisk, Dice>;

fn start(disk: &FakeDisk, seed: u64, seconds: u64) -> Result<Fake, JournalError> {
    let config = config(Path::new("/j"), 4096);
    Writer::open(config, disk.clone(), Dice(seed), boot(1), at(seconds)).map(|(w, _)| w)
}

/// Two runs with rotation and a renewed recovery key; returns the records that were acknowledged, by their number.
fn life(disk: &FakeDisk) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    let mut waiting = Vec::new();
    let mut n = 0;
    for run in 0..2 {
        let Ok(mut w) = start(disk, 40 + run, run * 1000) else { return acknowledged };
        let s = w.open_session(session(run as u8), at(run * 1000).boot);
        for step in 0..8 {
            let now = run * 1000 + step * 25;
            w.append(s, exec(now, n));
            waiting.push(n);
            n += 1;
            if w.commit(at(now)).is_err() {
                return acknowledged;
            }
            acknowledged.append(&mut waiting);
        }
        if run == 0 && w.stop(stop(999)).is_err() {
            return acknowledged;
        }
    }
    acknowledged
}

fn number(record: &Record) -> Option<u32> {
    let Body::Exec(exec) = &record.body else { return None };
    exec.argv[1].as_utf8()?.strip_prefix("x-")?.parse().ok()
}

/// What verification vouches for.
fn vouched(dir: &Path) -> (verify::Report, Vec<u32>) {
    let (report, entries) = verify::read(dir, &Options::default()).unwrap();
    let sealed = entries.map(|e| e.unwrap()).filter(|e| e.sealed).filter_map(|e| number(&e.record)).collect();
    (report, sealed)
}

fn check(dir: &Path, acknowledged: &[u32], what: &str) {
    let journal = dir.join("j");
    if acknowledged.is_empty() && verify::read(&journal, &Options::default()).is_err() {
        return;
    }
    let (report, sealed) = vouched(&journal);
    assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
    assert!(sealed.starts_with(acknowledged), "{what}: {sealed:?} for {acknowledged:?}");
    // The recorder starts again, twice, and goes on with the same log.
    for again in 0..2 {
        let (mut w, opened) = open(&journal, 4096, 500 + again, 5000 + again * 10);
        assert_eq!(opened.abandoned, None, "{what}");
        let s = w.open_session(session(9), at(5001).boot);
        w.append(s, exec(5001, 1_000_000));
        w.commit(at(5001)).unwrap();
        drop(w);
        let (report, after) = vouched(&journal);
        assert!(is_whole(report.verdict), "{what} restarted: {:#?}", report.findings);
        assert!(after.starts_with(acknowledged), "{what} restarted");
    }
}

#[test]
fn f8_a_power_cut_at_every_operation_loses_nothing_acknowledged_and_accuses_nobody() {
    let whole = FakeDisk::default();
    assert_eq!(life(&whole).len(), 16);
    let operations = whole.operations();
    assert!(operations > 60, "{operations}");
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for cut in (0..=operations).filter(|n| n % 2 == half) {
                    let disk = FakeDisk::default();
                    disk.freeze_at(cut);
                    let acknowledged = life(&disk);
                    for variant in 0..7u64 {
                        let base = Path::new("/dev/shm");
                        let dir =
                            if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() };
                        let dir = dir.unwrap();
                        let mut dice = cut as u64 * 31 + variant;
                        let keep = |sector: usize| match variant {
                            0 => false,
                            1 => true,
                            2 => sector.is_multiple_of(2),
                            3 => sector % 2 == 1,
                            _ => {
                                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                                dice >> 63 == 0
                            }
                        };
                        disk.after_power_cut(dir.path(), variant % 2 == 1, keep);
                        check(dir.path(), &acknowledged, &format!("cut at {cut}, variant {variant}"));
                    }
                }
            });
        }
    });
}

#[test]
fn f3_a_failing_write_or_sync_restarts_the_chain_and_loses_nothing() {
    let whole = FakeDisk::default();
    life(&whole);
    for spare in [false, true] {
        let mut restarts = 0;
        for fail in 0..whole.operations() {
            let disk = FakeDisk::default();
            disk.fail_at(fail);
            let config =
                WriterConfig { spare_dir: spare.then(|| "/spare".into()), ..config(Path::new("/j"), 4096) };
            let Ok((mut w, _)) = Writer::open(config, disk.clone(), Dice(3), boot(1), at(0)) else {
                continue;
            };
            let s = w.open_session(session(1), at(0).boot);
            let mut expected = Vec::new();
            for n in 0..12u32 {
                let now = u64::from(n) * 25;
                w.append(s, exec(now, n));
                expected.push(n);
                // An error leaves everything waiting: the next commit takes it along.
                let done: Result<Committed, _> = w.commit(at(now));
                restarts += done.map_or(0, |d| d.restarts);
            }
            w.stop(stop(400)).unwrap();
            let dir = tempfile::tempdir().unwrap();
            disk.after_power_cut(dir.path(), true, |_| true);
            let journal = dir.path().join("j");
            let options = Options { spare: Some(dir.path().join("spare")), ..Options::default() };
            let (report, entries) = verify::read(&journal, &options).unwrap();
            let told: Vec<_> = report.findings.iter().map(|f| (f.code, &f.text, &f.segment)).collect();
            assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{fail} spare {spare}: {told:#?}");
            let numbers: Vec<u32> = entries.filter_map(|e| number(&e.unwrap().record)).collect();
            assert_eq!(numbers, expected, "operation {fail} failed");
            let faults = report.findings.iter().filter(|f| f.code == "FAULT_RESTART").count();
            assert!(faults <= 1, "{fail}");
        }
        assert!(restarts > 10, "{restarts}");
    }
}
