//! Segments that gave way to their stubs: what verification says across them, and that nothing else passes as one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::*;
use recorder::journal::retain::{
    BuildFault, Item, Maker, Permit, Plan, Stub, StubFault, Successor, build, permit, shelf,
};
use recorder::journal::{Disk, RealDisk, segment};
use recorder::model::*;
use recorder::verify::{self, EndPolicy, Options, PermitSigners, Report, Verdict};

/// Takes one word for a good signature.
#[derive(Debug)]
struct Seal;

impl PermitSigners for Seal {
    fn check(&self, _: &[u8], signature: &[u8], signer: &str, _: RealNanos) -> Result<String, String> {
        if signature == b"good" && signer == "dana" { Ok("key".into()) } else { Err("not by dana".into()) }
    }
}

pub(crate) fn maker() -> Maker {
    Maker { signer: "dana".into(), made: at(50).real, nonce: [7; 16] }
}

/// The stub of the n-th segment.
pub(crate) fn stub(files: &[PathBuf], n: usize) -> (Vec<u8>, Stub) {
    let next = Successor::read(std::fs::File::open(&files[n + 1]).unwrap()).unwrap();
    build(std::fs::File::open(&files[n]).unwrap(), &next).unwrap()
}

pub(crate) fn item(stub: &Stub) -> Item {
    let first = stub.first.header.leaf;
    Item { first, last: first + stub.leaves() - 1, stub: stub.digest }
}

pub(crate) fn tombstone(permit: Digest, stub: &Stub) -> Record {
    let body = Body::Tombstone(Tombstone {
        permit,
        stub: stub.digest,
        first: stub.first.header.leaf,
        leaves: stub.leaves(),
        applied: at(100).real,
    });
    Record { boot_ns: at(100).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

pub(crate) fn permit_for(log: LogId, items: Vec<Item>) -> (Permit, Vec<u8>) {
    let plan = Plan { log, policy: "keep 90d".into(), holds: Digest::default(), segments: items };
    Permit::write(&maker(), &plan, "disk", at(500).real).unwrap()
}

/// A journal with the small life in it, one more run that buries, and what was buried.
struct Grave {
    dir: tempfile::TempDir,
    log: PathBuf,
    files: Vec<PathBuf>,
    origin: PathBuf,
}

impl Grave {
    /// Which segments go is told by their places.
    fn dig(which: &[usize]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("j");
        small_at(&journal, 11, Ending::Stop);
        let log = log_dir(&journal);
        let origin = dir.path().join("origin");
        std::fs::copy(log.join("origin.note"), &origin).unwrap();
        let files = segments(&log);
        assert!(files.len() > 4, "{}", files.len());
        let grave = Self { dir, log, files, origin };
        grave.bury(which, 100);
        grave
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("j")
    }

    /// Tombstones, stubs, permit; the segments go.
    fn bury(&self, which: &[usize], seconds: u64) -> Digest {
        let (mut w, opened) = open(&self.journal(), 3072, 900 + seconds, seconds);
        if which.is_empty() {
            w.stop(stop(seconds + 1)).unwrap();
            return Digest::default();
        }
        let now = segments(&self.log);
        let stubs: Vec<_> = which.iter().map(|n| stub(&now, *n)).collect();
        let (permit, bytes) = permit_for(opened.log, stubs.iter().map(|(_, s)| item(s)).collect());
        let root = RealDisk.root(&self.log).unwrap();
        shelf::keep_permit(&RealDisk, &root, permit.head.id, &bytes, b"good").unwrap();
        for (_, stub) in &stubs {
            w.append(StreamNo::LOG, tombstone(permit.head.id, stub));
        }
        w.commit(at(seconds)).unwrap();
        for (bytes, stub) in &stubs {
            shelf::replace(&RealDisk, &root, stub.first.header.leaf, bytes).unwrap();
        }
        w.stop(stop(seconds + 1)).unwrap();
        permit.head.id
    }

    fn permit(&self) -> PathBuf {
        let mut all = std::fs::read_dir(&self.log).unwrap().map(|e| e.unwrap().path());
        all.find(|p| {
            let name = p.file_name().unwrap().to_str().unwrap();
            name.starts_with("permit-") && p.extension().is_some_and(|e| e == "toml")
        })
        .unwrap()
    }

    fn report(&self) -> Report {
        report(&self.journal(), &self.origin, true)
    }
}

fn options(origin: &Path, signers: bool) -> Options {
    Options {
        origin: Some(origin.to_owned()),
        end: EndPolicy::Stopped,
        permits: signers.then(|| Arc::new(Seal) as Arc<dyn PermitSigners>),
        ..Options::default()
    }
}

fn report(journal: &Path, origin: &Path, signers: bool) -> Report {
    verify::verify(journal, &options(origin, signers), &mut |_| ()).unwrap()
}

fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

#[test]
fn whatever_was_expired_by_permit_shows_as_expired_and_the_rest_verifies() {
    let n = Grave::dig(&[0]).files.len();
    // First, middle (a restart among them), the last of a run, several, all but the one that is written.
    let mut cases: Vec<Vec<usize>> = (0..n).map(|k| vec![k]).collect();
    cases.extend([vec![0, 1], vec![1, 3], all(n), all(n - 1)]);
    for which in cases {
        let grave = Grave::dig(&which);
        let report = grave.report();
        assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{which:?} {:#?}", report.findings);
        assert!(has(&report, "EXPIRED") && !has(&report, "PERMIT_UNCHECKED"), "{which:?}");
        let text = &report.findings.iter().find(|f| f.code == "EXPIRED").unwrap().text;
        assert!(text.contains("dana") && text.contains("keep 90d"), "{text}");
        let unchecked = self::report(&grave.journal(), &grave.origin, false);
        assert!(has(&unchecked, "PERMIT_UNCHECKED") && has(&unchecked, "EXPIRED"));
        assert_eq!(unchecked.verdict, Verdict::VerifiedWithGaps);
        // The recorder starts again and goes on with the same log.
        let (w, opened) = open(&grave.journal(), 3072, 77, 300);
        assert_eq!(opened.abandoned, None, "{which:?}");
        w.stop(stop(301)).unwrap();
        assert_eq!(grave.report().verdict, Verdict::VerifiedWithGaps, "{which:?}");
    }
}

#[test]
fn readers_get_what_is_left_with_its_sessions() {
    let whole = Grave::dig(&[]);
    let read = |g: &Grave| -> BTreeMap<u64, (Option<SessionId>, Record, RealNanos)> {
        let (_, entries) = verify::read(&g.journal(), &options(&g.origin, true)).unwrap();
        entries.map(|e| e.unwrap().into_inner()).map(|e| (e.seq, (e.session, e.record, e.time))).collect()
    };
    let before = read(&whole);
    for k in 0..whole.files.len() {
        let grave = Grave::dig(&[k]);
        let after = read(&grave);
        let same = before.iter().filter(|(_, (_, r, _))| r.boot_ns < at(100).boot);
        let (mut gone, mut left) = (0, 0);
        for (seq, entry) in same {
            match after.get(seq) {
                Some(found) => {
                    assert_eq!(found, entry, "segment {k}, record {seq}");
                    left += 1;
                }
                None => gone += 1,
            }
        }
        assert!(left > 0, "segment {k}: {gone} gone, {left} left");
    }
}

#[test]
fn sessions_are_counted_on_across_a_hole() {
    let whole = Grave::dig(&[]).report();
    for k in 0..Grave::dig(&[]).files.len() {
        let grave = Grave::dig(&[k]);
        let report = grave.report();
        assert_eq!(report.sessions.len(), whole.sessions.len(), "segment {k}");
        for (a, b) in whole.sessions.iter().zip(&report.sessions) {
            assert_eq!((a.id, a.records, a.losses), (b.id, b.records, b.losses), "segment {k}");
            let same = a.completeness == b.completeness;
            assert!(same || (a.completeness, b.completeness) == ("complete", "expired"), "{b:?}");
        }
    }
    let first = Grave::dig(&[0, 1]).report();
    assert_eq!(first.sessions[0].completeness, "expired");
}

#[test]
fn what_nothing_allows_is_missing() {
    let grave = Grave::dig(&[1]);
    let permit = grave.permit();
    let bytes = std::fs::read(&permit).unwrap();
    std::fs::remove_file(&permit).unwrap();
    let report = grave.report();
    assert_eq!(report.verdict, Verdict::Incomplete, "{:#?}", report.findings);
    assert!(has(&report, "SEGMENT_MISSING") && !has(&report, "EXPIRED"));
    std::fs::write(&permit, bytes).unwrap();
    // The segment behind a tombstone is gone without its stub.
    std::fs::remove_file(grave.log.join(grave.files[1].with_extension("stub").file_name().unwrap())).unwrap();
    let report = grave.report();
    assert_eq!(report.verdict, Verdict::Incomplete);
    // A stub, but nobody wrote a tombstone.
    let grave = Grave::dig(&[]);
    let (bytes, stub) = stub(&grave.files, 2);
    let (permit, document) = permit_for(stub.header.log, vec![item(&stub)]);
    let root = RealDisk.root(&grave.log).unwrap();
    shelf::keep_permit(&RealDisk, &root, permit.head.id, &document, b"good").unwrap();
    shelf::replace(&RealDisk, &root, stub.first.header.leaf, &bytes).unwrap();
    let report = grave.report();
    assert_eq!(report.verdict, Verdict::Incomplete, "{:#?}", report.findings);
    assert!(has(&report, "SEGMENT_MISSING"));
    let (_, entries) = verify::read(&grave.journal(), &options(&grave.origin, true)).unwrap();
    let last = entries.map(|e| e.unwrap().seq).max().unwrap();
    assert!(last < stub.first.header.record, "nothing behind the hole is vouched for");
}

#[test]
fn a_permit_that_is_not_one_is_untrusted() {
    let grave = Grave::dig(&[1, 2]);
    let path = grave.permit();
    let good = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("keep 90d", "keep 91d"),
        ("dana", "dora"),
        ("last = ", "last = 1"),
        ("kind = \"permit\"", "kind = \"x\""),
    ] {
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let report = grave.report();
        assert_eq!(report.verdict, Verdict::Untrusted, "{from}: {:#?}", report.findings);
        assert!(has(&report, "PERMIT_INVALID"));
    }
    std::fs::write(&path, good).unwrap();
    let beside = PathBuf::from(format!("{}.sig", path.display()));
    std::fs::write(&beside, "bad").unwrap();
    assert_eq!(grave.report().verdict, Verdict::Untrusted);
    std::fs::remove_file(&beside).unwrap();
    assert_eq!(grave.report().verdict, Verdict::Untrusted);
}

/// Buries one segment with a permit and tombstones that somebody else may have made.
fn buried(change: impl Fn(&Stub) -> (Permit, Vec<u8>), applied: u64) -> Report {
    let grave = Grave::dig(&[]);
    let (mut w, _) = open(&grave.journal(), 3072, 901, 200);
    let (bytes, stub) = stub(&segments(&grave.log), 1);
    let (permit, document) = change(&stub);
    let mut record = tombstone(permit.head.id, &stub);
    if let Body::Tombstone(t) = &mut record.body {
        t.applied = at(applied).real;
    }
    let root = RealDisk.root(&grave.log).unwrap();
    shelf::keep_permit(&RealDisk, &root, permit.head.id, &document, b"good").unwrap();
    w.append(StreamNo::LOG, record);
    w.commit(at(200)).unwrap();
    shelf::replace(&RealDisk, &root, stub.first.header.leaf, &bytes).unwrap();
    w.stop(stop(201)).unwrap();
    grave.report()
}

#[test]
fn a_permit_for_something_else_is_untrusted() {
    let good = |stub: &Stub| permit_for(stub.header.log, vec![item(stub)]);
    let report = buried(good, 100);
    assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{:#?}", report.findings);
    // Applied when it could not be any more.
    assert_eq!(buried(good, 501).verdict, Verdict::Untrusted);
    let log = buried(|stub| permit_for(LogId::new([9; 16]), vec![item(stub)]), 100);
    assert_eq!(log.verdict, Verdict::Untrusted, "{:#?}", log.findings);
    let range = |stub: &Stub| {
        let mut item = item(stub);
        item.last += 1;
        permit_for(stub.header.log, vec![item])
    };
    assert_eq!(buried(range, 100).verdict, Verdict::Untrusted);
    let other = |stub: &Stub| {
        let mut item = item(stub);
        item.stub = Digest::new([1; 32]);
        permit_for(stub.header.log, vec![item])
    };
    assert_eq!(buried(other, 100).verdict, Verdict::Untrusted);
}

#[test]
fn any_flipped_byte_of_a_stub_is_found() {
    let grave = Grave::dig(&[1]);
    let path = grave.files[1].with_extension("stub");
    let healthy = std::fs::read(&path).unwrap();
    for fix in [false, true] {
        for i in 0..healthy.len() - 4 {
            let mut bytes = healthy.clone();
            bytes[i] ^= 1 << (i % 8);
            if fix {
                let end = bytes.len() - 4;
                let crc = crc32c::crc32c(&bytes[..end]);
                bytes[end..].copy_from_slice(&crc.to_le_bytes());
            }
            std::fs::write(&path, &bytes).unwrap();
            let report = grave.report();
            let newer = report.verdict == Verdict::Unsupported && fix && i == 4;
            assert!(newer || report.verdict == Verdict::Tampered, "byte {i}: {:#?}", report.findings);
            assert!(newer || has(&report, "STUB_INVALID"), "byte {i}: {:#?}", report.findings);
        }
    }
    for cut in [0, 3, 100, healthy.len() - 1] {
        std::fs::write(&path, &healthy[..cut]).unwrap();
        assert!(has(&grave.report(), "STUB_INVALID"));
    }
}

#[test]
fn another_segments_stub_does_not_fit() {
    let grave = Grave::dig(&[1, 2]);
    let (one, two) = (grave.files[1].with_extension("stub"), grave.files[2].with_extension("stub"));
    std::fs::copy(&two, &one).unwrap();
    let report = grave.report();
    assert_eq!(report.verdict, Verdict::Tampered, "{:#?}", report.findings);
    assert!(has(&report, "STUB_INVALID"));
}

#[test]
fn a_stub_is_the_same_each_time_and_comes_back() {
    let grave = Grave::dig(&[]);
    let files = segments(&grave.log);
    for n in 0..files.len() - 1 {
        let (bytes, made) = stub(&files, n);
        assert_eq!(stub(&files, n).0, bytes);
        assert_eq!(Stub::parse(&bytes).unwrap(), made);
        for cut in 0..bytes.len() {
            assert!(matches!(Stub::parse(&bytes[..cut]), Err(StubFault::Damaged(_))));
        }
        // Not by any other successor.
        for (m, other) in files.iter().enumerate().filter(|(m, _)| *m != n + 1) {
            let next = Successor::read(std::fs::File::open(other).unwrap()).unwrap();
            let made = build(std::fs::File::open(&files[n]).unwrap(), &next);
            assert!(matches!(made, Err(BuildFault::NotFollowed | BuildFault::Damaged { .. })), "{n} {m}");
        }
    }
}

#[test]
fn tombstones_outlive_the_segment_that_they_stood_in() {
    let grave = Grave::dig(&[0, 1]);
    // What holds the tombstones goes, too, and what holds their tombstones.
    for seconds in [400, 450] {
        let files = segments(&grave.log);
        let which: Vec<usize> = (0..files.len()).collect();
        grave.bury(&which, seconds);
        let report = grave.report();
        assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{:#?}", report.findings);
    }
    assert!(segments(&grave.log).len() < 3);
    // Without the stub that keeps them, nothing allowed the first.
    let stubs: Vec<_> = std::fs::read_dir(&grave.log)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "stub"))
        .collect();
    std::fs::remove_file(stubs.iter().max().unwrap()).unwrap();
    assert_eq!(grave.report().verdict, Verdict::Incomplete);
}

#[test]
fn a_stub_beside_its_segment_changes_nothing() {
    let grave = Grave::dig(&[]);
    let before = grave.report();
    let (bytes, stub) = stub(&grave.files, 2);
    let name = shelf::stub_name(stub.first.header.leaf);
    std::fs::write(grave.log.join(&name), bytes).unwrap();
    assert_eq!(grave.report(), before);
    assert_eq!(shelf::stub_leaf(&name), Some(stub.first.header.leaf));
    assert_eq!(permit::file_name(Digest::default()).len(), 7 + 64 + 5);
}

mod crash {
    //! The power goes at every step of a deletion.

    use super::*;
    use crate::fake::FakeDisk;
    use recorder::journal::{JournalError, Writer};

    const DIR: &str = "/j";

    fn start(disk: &FakeDisk, seconds: u64) -> Result<(Writer<FakeDisk, Dice>, LogId), JournalError> {
        let config = config(Path::new(DIR), 3072);
        Writer::open(config, disk.clone(), Dice(seconds), boot(1), at(seconds)).map(|(w, o)| (w, o.log))
    }

    /// Two runs; the second expires the first three segments. Errors end it where they come.
    fn life(disk: &FakeDisk) -> Option<()> {
        small(|seconds| start(disk, seconds).unwrap().0, Ending::Stop);
        disk.started();
        let (mut w, log) = start(disk, 100).ok()?;
        expire(disk, &mut w, log)?;
        w.stop(stop(102)).ok().map(drop)
    }

    /// What the service does, on this disk.
    fn expire(disk: &FakeDisk, w: &mut Writer<FakeDisk, Dice>, log: LogId) -> Option<()> {
        let dir = disk.subdir(&disk.root(Path::new(DIR)).ok()?, &log.to_string(), false).ok()?;
        let mut names = disk.list(&dir).ok()?;
        names.retain(|n| segment::leaf_of(n).is_some());
        names.sort();
        let stubs: Vec<(Vec<u8>, Stub)> = (0..3)
            .map(|n| {
                let next = Successor::read(disk.open(&dir, &names[n + 1]).unwrap()).unwrap();
                build(disk.open(&dir, &names[n]).unwrap(), &next).unwrap()
            })
            .collect();
        let (permit, bytes) = permit_for(log, stubs.iter().map(|(_, s)| item(s)).collect());
        shelf::keep_permit(disk, &dir, permit.head.id, &bytes, b"good").ok()?;
        for (_, stub) in &stubs {
            w.append(StreamNo::LOG, tombstone(permit.head.id, stub));
        }
        w.commit(at(101)).ok()?;
        stubs
            .iter()
            .try_for_each(|(bytes, stub)| shelf::replace(disk, &dir, stub.first.header.leaf, bytes).ok())
    }

    #[test]
    fn a_power_cut_at_every_step_of_a_deletion_leaves_no_hole_that_nothing_explains() {
        let whole = FakeDisk::default();
        life(&whole).unwrap();
        let operations = whole.operations();
        let (mut expired, mut there) = (0, 0);
        for cut in whole.from()..=operations {
            let disk = FakeDisk::default();
            disk.freeze_at(cut);
            let _ = life(&disk);
            for (variant, names) in [(0, false), (1, true), (2, false), (3, true)] {
                let base = Path::new("/dev/shm");
                let dir = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() };
                let dir = dir.unwrap();
                disk.after_power_cut(dir.path(), names, |sector| match variant {
                    0 => false,
                    1 => true,
                    _ => sector % 2 == variant % 2,
                });
                let journal = dir.path().join("j");
                let origin = log_dir(&journal).join("origin.note");
                let report = super::report(&journal, &origin, true);
                let what = format!("cut at {cut}, variant {variant}: {:#?}", report.findings);
                assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{what}");
                if has(&report, "EXPIRED") {
                    expired += 1;
                } else {
                    there += 1;
                }
                // What was not done is done again.
                let (mut w, opened) = open(&journal, 3072, 900, 300);
                assert_eq!(opened.abandoned, None, "{what}");
                w.append(StreamNo::LOG, heartbeat(300));
                w.commit(at(300)).unwrap();
                w.stop(stop(301)).unwrap();
                let grave = Grave {
                    log: log_dir(&journal),
                    files: Vec::new(),
                    origin: dir.path().join("origin"),
                    dir,
                };
                std::fs::copy(grave.log.join("origin.note"), &grave.origin).unwrap();
                grave.bury(&[0, 1], 350);
                assert_eq!(grave.report().verdict, Verdict::VerifiedWithGaps, "{what}");
            }
        }
        assert!(expired > 10 && there > 10, "{expired} {there}");
    }
}
