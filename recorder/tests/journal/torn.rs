//! F8: the last commit of a real segment, stopped at every byte and with its sectors in every order. What a restart then does is
//! what docs/journal-format.md says, byte for byte the same each time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::common::*;
use recorder::journal::Abandoned;
use recorder::model::*;
use recorder::verify::{self, Options};

const CAPACITY: u64 = 16 << 10;

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A journal of three commits, and where its last one lies. `large`: over several sectors.
fn written(dir: &Path, large: bool) -> (PathBuf, Range<usize>) {
    let (mut w, _) = open(dir, CAPACITY, 1, 0);
    let s = w.open_session(session(1), at(1).boot);
    let mut starts = Vec::new();
    for n in 0..3u32 {
        starts.push(used(&segments(&log_dir(dir))[0]));
        w.append(s, exec(1, n));
        if large {
            // What doesn't pack.
            let noise: Vec<u8> = (0..1200u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let tty = Tty { data: Bytes::new(noise), ..Tty::default() };
            w.append(s, Record { body: Body::Tty(TtyOp::Output, tty), ..exec(1, 9) });
        }
        w.commit(at(u64::from(n) + 1)).unwrap();
    }
    drop(w);
    let path = segments(&log_dir(dir)).remove(0);
    let end = used(&path);
    (path, starts[2]..end)
}

/// Where the frames end.
fn used(path: &Path) -> usize {
    crate::surgery::frames(&std::fs::read(path).unwrap()).last().unwrap().end
}

fn sealed(dir: &Path) -> (verify::Report, Vec<u32>) {
    let (report, entries) = verify::read(dir, &Options::default()).unwrap();
    let numbers = entries.map(|e| e.unwrap()).filter(|e| e.sealed).filter_map(|e| match &e.record.body {
        Body::Exec(exec) => exec.argv[1].as_utf8()?.strip_prefix("x-")?.parse().ok(),
        _ => None,
    });
    (report, numbers.collect())
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let log = log_dir(dir);
    let all = std::fs::read_dir(log).unwrap().map(|e| e.unwrap().path());
    all.map(|p| (p.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&p).unwrap())).collect()
}

/// Leaves `bytes` as the segment, and holds everything that follows against the law.
fn holds(journal: &Path, segment: &Path, bytes: &[u8], last: &Range<usize>, what: &str) {
    let dir = scratch();
    copy(journal, dir.path());
    let path = dir.path().join(segment.strip_prefix(journal).unwrap());
    std::fs::write(&path, bytes).unwrap();
    let whole = std::fs::read(segment).unwrap();
    // Padding is zero: what lacks only that is whole.
    let is_there = bytes[last.clone()] == whole[last.clone()];
    let tail = bytes[last.start..].iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let expected: &[u32] = if is_there { &[0, 1, 2] } else { &[0, 1] };
    let (report, numbers) = sealed(dir.path());
    assert!(is_whole(report.verdict), "{what}: {:#?}", report.findings);
    assert_eq!(numbers, expected, "{what}");
    assert_eq!(has(&report, "UNSEALED_TAIL"), !is_there && tail > 0, "{what}: {:#?}", report.findings);
    // A restart leaves everything where it is and says what it set aside; done twice it gives the same bytes.
    let twin = scratch();
    copy(dir.path(), twin.path());
    let (w, opened) = open(dir.path(), CAPACITY, 9, 20);
    drop(w);
    assert_eq!(
        (opened.enrolled, opened.abandoned, opened.previous_end),
        (false, None, PreviousEnd::Crash),
        "{what}"
    );
    let aside = opened.set_aside.map_or((0, 0), |a| (a.offset, a.bytes));
    let wanted = if is_there || tail == 0 { (0, 0) } else { (last.start as u64, tail as u64) };
    assert_eq!(aside, wanted, "{what}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: nothing that lay there was touched");
    let (w, _) = open(twin.path(), CAPACITY, 9, 20);
    drop(w);
    assert_eq!(files(dir.path()), files(twin.path()), "{what}");
    let (report, numbers) = sealed(dir.path());
    assert!(is_whole(report.verdict), "{what} restarted: {:#?}", report.findings);
    assert_eq!(numbers, expected, "{what} restarted");
    // A second restart finds nothing to do but to restart.
    let (w, opened) = open(dir.path(), CAPACITY, 10, 30);
    drop(w);
    assert_eq!((opened.abandoned, opened.set_aside), (None, None), "{what} again");
    let (report, numbers) = sealed(dir.path());
    assert!(is_whole(report.verdict), "{what} again: {:#?}", report.findings);
    assert_eq!(numbers, expected, "{what} again");
}

#[test]
fn f8_a_commit_that_stopped_at_any_byte_is_set_aside_and_nothing_before_it() {
    let dir = scratch();
    let (segment, last) = written(dir.path(), false);
    let whole = std::fs::read(&segment).unwrap();
    assert!(last.len() > 600, "{last:?}");
    for stop in last.start..=last.end {
        let mut bytes = whole.clone();
        bytes[stop..].fill(0);
        holds(
            dir.path(),
            &segment,
            &bytes,
            &last,
            &format!("stopped at {} of {}", stop - last.start, last.len()),
        );
    }
}

#[test]
fn f8_a_commit_with_any_of_its_sectors_is_set_aside_and_nothing_before_it() {
    let dir = scratch();
    let (segment, last) = written(dir.path(), true);
    let whole = std::fs::read(&segment).unwrap();
    let sectors: Vec<usize> = (last.start / 512..last.end.div_ceil(512)).collect();
    assert!((4..9).contains(&sectors.len()), "{sectors:?}");
    for subset in 0..1u32 << sectors.len() {
        let mut bytes = whole.clone();
        for (bit, sector) in sectors.iter().enumerate() {
            if subset & 1 << bit == 0 {
                // The sector as the commit before it left it.
                bytes[(sector * 512).max(last.start)..(sector + 1) * 512].fill(0);
            }
        }
        holds(dir.path(), &segment, &bytes, &last, &format!("sectors {subset:b}"));
    }
}

#[test]
fn f8_a_segment_that_is_shorter_than_it_must_be_is_never_written_again() {
    let dir = scratch();
    let (segment, last) = written(dir.path(), false);
    let whole = std::fs::read(&segment).unwrap();
    for len in (last.start..=last.end).step_by(7) {
        let other = scratch();
        copy(dir.path(), other.path());
        let path = other.path().join(segment.strip_prefix(dir.path()).unwrap());
        std::fs::write(&path, &whole[..len]).unwrap();
        let (report, numbers) = sealed(other.path());
        assert!(is_whole(report.verdict) && has(&report, "UNSEALED_TAIL"), "{len}: {:#?}", report.findings);
        assert_eq!(numbers, if len == last.end { vec![0, 1, 2] } else { vec![0, 1] }, "{len}");
        let (w, opened) = open(other.path(), CAPACITY, 9, 20);
        drop(w);
        assert_eq!(opened.abandoned.map(|(_, why)| why), Some(Abandoned::Damaged), "{len}");
        assert_eq!(std::fs::read(&path).unwrap(), whole[..len], "{len}");
        let report = verify(other.path());
        assert!(has(&report, "LOG_ABANDONED"), "{len}: {:#?}", report.findings);
    }
}
