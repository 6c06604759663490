//! F3: the disk fails, fills up, becomes read-only, loses its directories. Nothing sealed and acknowledged is lost, what found
//! no place is declared, and the log goes on by itself when storage is back.

use std::path::{Path, PathBuf};

use crate::common::*;
use crate::fake::*;
use recorder::journal::{Writer, WriterConfig};
use recorder::model::*;
use recorder::verify::{self, Entry, Options, Report};

type Fake = Writer<FakeDisk, Dice>;

/// Room for one frame of the largest kind, and what the test writes in it.
const RESERVE: u64 = 64 << 10;

fn start(disk: &FakeDisk, spare: bool, reserve: u64) -> Fake {
    let config =
        WriterConfig { spare_dir: spare.then(|| "/spare".into()), reserve, ..config(Path::new("/j"), 4096) };
    Writer::open(config, disk.clone(), Dice(3), boot(1), at(0)).unwrap().0
}

/// What the disk holds, as a verifier sees it.
fn read(disk: &FakeDisk) -> (Report, Vec<Entry>) {
    let dir = tempfile::tempdir().unwrap();
    disk.after_power_cut(dir.path(), true, |_| true);
    let options = Options { spare: Some(dir.path().join("spare")), ..Options::default() };
    let (report, entries) = verify::read(&dir.path().join("j"), &options).unwrap();
    (report, entries.map(|e| e.unwrap().into_inner()).collect())
}

fn number(entry: &Entry) -> Option<u32> {
    let Body::Exec(exec) = &entry.record.body else { return None };
    exec.argv[1].as_utf8()?.strip_prefix("x-")?.parse().ok()
}

fn numbers(entries: &[Entry]) -> Vec<u32> {
    entries.iter().filter(|e| e.sealed).filter_map(number).collect()
}

fn lost(entries: &[Entry]) -> Vec<(String, u64)> {
    let losses = entries.iter().filter_map(|e| match &e.record.body {
        Body::Loss(loss) if loss.reason == LossReason::Storage => Some(loss),
        _ => None,
    });
    losses.map(|loss| (loss.class.escaped(), loss.count)).collect()
}

fn faults(entries: &[Entry]) -> Vec<(String, i32)> {
    let all = entries.iter().filter_map(|e| match &e.record.body {
        Body::Storage(fault) => Some((fault.operation.escaped(), fault.errno)),
        _ => None,
    });
    all.collect()
}

/// Commits one exec; true if it was acknowledged.
fn step(w: &mut Fake, s: StreamNo, n: u32) -> bool {
    let now = u64::from(n);
    w.append(s, exec(now, n));
    w.commit(at(now)).is_ok()
}

/// What a life of the recorder leaves when some operations fail and the rest does not.
fn live_through(fault: Fault, spare: bool) -> Option<(Report, Vec<Entry>, bool)> {
    let disk = FakeDisk::default();
    let mut w = start(&disk, spare, 0);
    let s = w.open_session(session(1), at(0).boot);
    let before = disk.operations();
    disk.fail(Fault { from: before + fault.from, ..fault });
    let mut failed = false;
    for n in 0..14 {
        failed |= !step(&mut w, s, n);
    }
    disk.mend();
    w.commit(at(400)).ok()?;
    w.stop(stop(401)).unwrap();
    let (report, entries) = read(&disk);
    Some((report, entries, failed))
}

#[test]
fn f3_short_writes_failing_syncs_and_every_errno_lose_nothing_and_repeat_nothing() {
    let mut failures = 0;
    for errno in [EIO, ENOSPC, EDQUOT, EROFS] {
        for percent in [0, 50, 100] {
            for count in [1, 2, 9] {
                for spare in [false, true] {
                    for from in (0..40).step_by(3) {
                        let fault = Fault { from, count, errno, percent };
                        let what = format!("errno {errno}, {percent} %, {count} from {from}, spare {spare}");
                        let (report, entries, failed) = live_through(fault, spare).expect(&what);
                        failures += usize::from(failed);
                        assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
                        assert_eq!(numbers(&entries), (0..14).collect::<Vec<_>>(), "{what}");
                        assert!(faults(&entries).iter().all(|(_, no)| *no == errno), "{what}");
                    }
                }
            }
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn f3_a_spare_directory_that_fails_leaves_the_one_that_works_again() {
    let disk = FakeDisk::default();
    let mut w = start(&disk, true, 0);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    // One write in the journal's directory fails, and everything in the spare one after it, and so on.
    let mut failed = 0;
    for n in 1..60 {
        let from = disk.operations() + n as usize % 7;
        disk.fail(Fault { from, count: 4 + n as usize % 5, errno: EIO, percent: 50 });
        failed += usize::from(!step(&mut w, s, n));
        disk.mend();
    }
    w.commit(at(100)).unwrap();
    w.stop(stop(101)).unwrap();
    assert!(failed > 5, "{failed}");
    let (report, entries) = read(&disk);
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    assert_eq!(numbers(&entries), (0..60).collect::<Vec<_>>());
    let dirs: Vec<PathBuf> = disk.names();
    assert!(dirs.iter().any(|p| p.starts_with("/spare")));
}

/// Fills the disk in one way, and goes on until the log is in the reserve.
fn into_the_reserve(fill: impl Fn(&FakeDisk)) -> (FakeDisk, Fake, StreamNo, u32) {
    let disk = FakeDisk::default();
    let mut w = start(&disk, false, RESERVE);
    let s = w.open_session(session(1), at(0).boot);
    fill(&disk);
    let mut n = 0;
    while !w.is_in_reserve() {
        assert!(step(&mut w, s, n), "the reserve takes what the disk does not");
        n += 1;
        assert!(n < 40);
    }
    (disk, w, s, n)
}

#[test]
fn f3_a_full_disk_and_full_inodes_go_on_in_the_reserve_and_out_of_it() {
    for (what, fill) in
        [("space", (|d| d.fill(0)) as fn(&FakeDisk)), ("inodes", |d: &FakeDisk| d.fill_inodes(0))]
    {
        let (disk, mut w, s, n) = into_the_reserve(fill);
        assert!(!w.tend(), "{what}: there is no room for another one");
        for _ in 0..5 {
            w.lost(Kind::EXEC, 1);
        }
        w.lost(Kind::OPEN, 1);
        assert!(w.owes());
        w.commit(at(100)).unwrap();
        assert!(!w.owes());
        // What is acknowledged in the reserve is as good as anything else.
        let (report, entries) = read(&disk);
        assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
        assert_eq!(numbers(&entries), (0..n).collect::<Vec<_>>(), "{what}");
        assert_eq!(lost(&entries), [("exec".to_owned(), 5), ("file".to_owned(), 1)], "{what}");
        assert_eq!(faults(&entries), [("begin a segment".to_owned(), ENOSPC)], "{what}");
        // Room again: there is a reserve again, and later segments are ordinary ones.
        disk.mend();
        assert!(w.tend(), "{what}");
        assert!(!w.is_in_reserve());
        for n in n..n + 20 {
            assert!(step(&mut w, s, n), "{what}");
        }
        w.stop(stop(300)).unwrap();
        let (report, entries) = read(&disk);
        assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
        assert_eq!(numbers(&entries), (0..n + 20).collect::<Vec<_>>(), "{what}");
        assert_eq!(faults(&entries).len(), 1, "{what}");
    }
}

#[test]
fn f3_when_the_reserve_is_used_up_too_the_count_comes_first_when_storage_is_back() {
    let (disk, mut w, s, first) = into_the_reserve(|d| d.fill(0));
    let mut n = first;
    while step(&mut w, s, n) {
        n += 1;
        assert!(n < 2000);
    }
    // Nothing takes writes: what can't be kept is counted, and asking again changes nothing.
    for _ in 0..3 {
        w.lost(Kind::EXEC, 1);
        w.lost(Kind::TTY_OUTPUT, 1);
        w.commit(at(u64::from(n))).unwrap_err();
    }
    assert!(w.owes());
    disk.mend();
    w.commit(at(u64::from(n) + 1)).unwrap();
    assert!(!w.owes() && !w.is_in_reserve() && w.tend());
    assert!(step(&mut w, s, n + 1));
    w.stop(stop(u64::from(n) + 3)).unwrap();
    let (report, entries) = read(&disk);
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    assert_eq!(numbers(&entries), (0..=n + 1).collect::<Vec<_>>());
    assert_eq!(lost(&entries), [("exec".to_owned(), 3), ("tty".to_owned(), 3)]);
    // Fault, losses, then what waited.
    let place = |found: &dyn Fn(&Entry) -> bool| entries.iter().rposition(found).unwrap();
    let fault = place(&|e| matches!(e.record.body, Body::Storage(_)));
    assert!(entries[fault + 1..fault + 3].iter().all(|e| matches!(e.record.body, Body::Loss(_))));
    assert_eq!(number(&entries[fault + 3]), Some(n));
}

#[test]
fn f3_e8_a_full_disk_does_not_keep_the_recorder_from_starting() {
    let disk = FakeDisk::default();
    let mut w = start(&disk, false, RESERVE);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    drop(w);
    disk.fill(0);
    let mut w = start(&disk, false, RESERVE);
    assert!(w.is_in_reserve());
    let s = w.open_session(session(2), at(2).boot);
    assert!(step(&mut w, s, 1));
    w.stop(stop(3)).unwrap();
    let (report, entries) = read(&disk);
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    assert_eq!(numbers(&entries), [0, 1]);
    assert_eq!(faults(&entries), [("begin a segment".to_owned(), ENOSPC)]);
}

#[test]
fn f3_read_only_for_a_while_loses_nothing() {
    let disk = FakeDisk::default();
    let mut w = start(&disk, false, RESERVE);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    disk.read_only();
    for n in 1..20 {
        assert!(!step(&mut w, s, n));
    }
    assert!(w.pending().bytes > 0 && !w.is_in_reserve());
    disk.mend();
    w.commit(at(30)).unwrap();
    w.stop(stop(31)).unwrap();
    let (report, entries) = read(&disk);
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    assert_eq!(numbers(&entries), (0..20).collect::<Vec<_>>());
    assert_eq!(
        faults(&entries),
        [("write a commit".to_owned(), EROFS)],
        "told once, however often it was tried"
    );
}

#[test]
fn f2_f3_a_removed_directory_is_noticed_with_the_next_commit_and_the_log_goes_on_under_its_name() {
    for (what, spare) in [("log", false), ("log", true), ("journal", false), ("journal", true)] {
        let disk = FakeDisk::default();
        let mut w = start(&disk, spare, RESERVE);
        let s = w.open_session(session(1), at(0).boot);
        assert!(step(&mut w, s, 0));
        let before = tempfile::tempdir().unwrap();
        disk.after_power_cut(before.path(), true, |_| true);
        let log = disk.names().iter().find_map(|p| p.parent().map(Path::to_owned)).unwrap();
        disk.remove_dir(if what == "log" { &log } else { Path::new("/j") });
        assert!(step(&mut w, s, 1), "{what}: the fault is mended within the commit");
        assert!(step(&mut w, s, 2));
        // What lay there is gone and nobody can say otherwise; what came behind it is whole.
        let (report, entries) = read(&disk);
        assert_eq!(report.exit, 3, "{what}: {:#?}", report.findings);
        assert!(has(&report, "SEGMENT_MISSING"), "{what}: {:#?}", report.findings);
        assert_eq!(numbers(&entries), [0u32; 0], "{what}: readers stop where the chain is broken");
        // With a copy of what was removed the chain is whole again.
        let both = tempfile::tempdir().unwrap();
        copy(before.path(), both.path());
        disk.after_power_cut(both.path(), true, |_| true);
        let options = Options { spare: Some(both.path().join("spare")), ..Options::default() };
        let (report, entries) = verify::read(&both.path().join("j"), &options).unwrap();
        let entries: Vec<Entry> = entries.map(|e| e.unwrap().into_inner()).collect();
        assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
        assert_eq!(numbers(&entries), [0, 1, 2], "{what}");
        assert_eq!(faults(&entries), [("find the segment's name".to_owned(), 2)], "{what}");
        drop(w);
        // The next start continues this log.
        let config = WriterConfig {
            spare_dir: spare.then(|| "/spare".into()),
            reserve: RESERVE,
            ..config(Path::new("/j"), 4096)
        };
        let (_, opened) = Writer::open(config, disk.clone(), Dice(9), boot(1), at(9)).unwrap();
        assert_eq!((opened.enrolled, opened.abandoned), (false, None), "{what}");
    }
}

#[test]
fn f3_the_reserve_survives_a_power_cut_at_every_operation_of_its_making_and_its_use() {
    let life = |disk: &FakeDisk| -> Vec<u32> {
        let mut acknowledged = Vec::new();
        let config = WriterConfig { reserve: 8192, ..config(Path::new("/j"), 4096) };
        let Ok((mut w, _)) = Writer::open(config, disk.clone(), Dice(3), boot(1), at(0)) else {
            return acknowledged;
        };
        let s = w.open_session(session(1), at(0).boot);
        disk.fill(0);
        for n in 0..12 {
            if n == 8 {
                disk.mend();
                w.tend();
            }
            if !step(&mut w, s, n) {
                break;
            }
            acknowledged.push(n);
        }
        acknowledged
    };
    let whole = FakeDisk::default();
    assert_eq!(life(&whole).len(), 12);
    for cut in 0..=whole.operations() {
        for variant in 0..3 {
            let disk = FakeDisk::default();
            disk.freeze_at(cut);
            let acknowledged = life(&disk);
            let dir = tempfile::tempdir().unwrap();
            disk.after_power_cut(dir.path(), variant == 1, |sector| variant == 1 || sector % 2 == variant);
            let journal = dir.path().join("j");
            let what = format!("cut at {cut}, variant {variant}");
            if acknowledged.is_empty() && verify::read(&journal, &Options::default()).is_err() {
                continue;
            }
            let (report, entries) = verify::read(&journal, &Options::default()).unwrap();
            let entries: Vec<Entry> = entries.map(|e| e.unwrap().into_inner()).collect();
            assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
            assert!(numbers(&entries).starts_with(&acknowledged), "{what}");
            let config = WriterConfig { reserve: 8192, ..config(&journal, 4096) };
            let real = recorder::journal::RealDisk;
            let (mut w, opened) = Writer::open(config, real, Dice(9), boot(1), at(50)).unwrap();
            assert_eq!(opened.abandoned, None, "{what}");
            assert!(w.tend(), "{what}");
            w.commit(at(51)).unwrap();
            drop(w);
            assert!(is_whole(verify(&journal).verdict), "{what} restarted");
        }
    }
}
