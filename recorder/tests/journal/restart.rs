//! What is written comes back; stops, breaks, restarts; who may not restart.

use crate::common::*;
use recorder::journal::{Abandoned, JournalError, Writer};
use recorder::model::*;
use recorder::verify::{self, Options, Verdict};

#[test]
fn what_was_written_is_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    small_at(dir.path(), 1, Ending::Stop);
    let (report, entries) = verify::read(dir.path(), &Options::default()).unwrap();
    let entries: Vec<_> = entries.map(|e| e.unwrap().into_inner()).collect();
    assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{:#?}", report.findings);
    assert_eq!(
        codes(&report),
        ["ENCRYPTION_OFF", "ORIGIN_UNCHECKED", "RESUME", "RESTART", "END_UNPROVEN"],
        "{:#?}",
        report.findings
    );
    let numbers: Vec<u64> = entries.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let of = |n: u8| entries.iter().filter(move |e| e.session == Some(session(n))).map(|e| e.record.clone());
    let first: Vec<Record> = of(1).collect();
    let expected: Vec<Record> =
        (0..4).flat_map(|n| [exec(1, n), opened_file(1, &format!("/etc/conf.d/{n}"))]).collect();
    assert_eq!(first, expected);
    assert_eq!(of(2).count(), 2);
    assert!(entries.iter().all(|e| e.sealed));
    assert!(
        entries.iter().all(|e| e.time == RealNanos::new(e.record.boot_ns.get() + 1_700_000_000 * SECOND))
    );
    let states: Vec<_> = report.sessions.iter().map(|s| (s.id, s.completeness, s.records)).collect();
    assert_eq!(states, [(session(1), "complete", 8), (session(2), "incomplete", 2), (session(3), "open", 2)]);
    assert!(segments(&log_dir(dir.path())).len() > 3, "the test wants rotation");
}

#[test]
fn what_belongs_to_logs_is_read_without_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    small_at(dir.path(), 1, Ending::Stop);
    let read = || verify::read(dir.path(), &Options::default()).unwrap().1;
    let all = read().map(|e| e.unwrap().into_inner());
    let of_logs: Vec<_> = all.filter(|e| e.session.is_none()).collect();
    let alone: Vec<_> = read().of_logs().map(|e| e.unwrap().into_inner()).collect();
    assert!(!alone.is_empty());
    assert_eq!(alone, of_logs);
}

#[test]
fn the_newest_segments_are_read_whatever_became_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    small_at(dir.path(), 1, Ending::Stop);
    let files = segments(&log_dir(dir.path()));
    let read = |newest| {
        let options = Options { newest, ..Options::default() };
        let (report, entries) = verify::read(dir.path(), &options).unwrap();
        (report, entries.of_logs().map(|e| e.unwrap().into_inner()).collect::<Vec<_>>())
    };
    let (_, all) = read(None);
    let (report, as_many) = read(Some(files.len()));
    assert_eq!((&as_many, codes(&report)), (&all, codes(&read(None).0)));
    let (report, last) = read(Some(2));
    assert!(!last.is_empty() && last.len() < all.len(), "{} of {}", last.len(), all.len());
    assert!(all.ends_with(&last));
    let left_out = files.len() - 2;
    let told = format!("its first {left_out} segments, which nobody asked for");
    assert!(report.not_checked.iter().any(|text| text.contains(&told)), "{:?}", report.not_checked);
    // Nothing of the others is looked at.
    std::fs::write(&files[0], "nothing").unwrap();
    assert_eq!(read(Some(2)).1, last);
    assert!(read(None).1.is_empty());
    std::fs::remove_file(&files[0]).unwrap();
    assert_eq!(read(Some(2)).1, last);
}

#[test]
fn a_stopped_log_with_its_origin_is_verified_as_the_policy_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, opened) = open(dir.path(), 1 << 16, 1, 0);
    let note = dir.path().join("../saved.note");
    let note = tempfile::Builder::new().tempfile_in(note.parent().unwrap()).unwrap();
    std::fs::write(note.path(), &opened.origin).unwrap();
    w.append(StreamNo::LOG, heartbeat(1));
    w.commit(at(1)).unwrap();
    w.stop(stop(2)).unwrap();
    let report = strict(dir.path(), note.path());
    assert_eq!((report.verdict, report.exit), (Verdict::Verified, 0), "{:#?}", report.findings);
    let options = Options { origin: Some(note.path().to_owned()), ..Options::default() };
    let report = verify::verify(dir.path(), &options, &mut |_| ()).unwrap();
    assert_eq!(codes(&report), ["ENCRYPTION_OFF", "END_UNPROVEN"]);
    // Another host's journal under that origin.
    let other = tempfile::tempdir().unwrap();
    small_at(other.path(), 50, Ending::Stop);
    assert_eq!(strict(other.path(), note.path()).verdict, Verdict::Untrusted);
}

#[test]
fn a_writer_may_move_to_its_thread() {
    fn is_send<T: Send>() {}
    is_send::<Writer>();
    is_send::<recorder::verify::Entries>();
}

#[test]
fn f6_two_recorders_at_once_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_w, _) = open(dir.path(), 4096, 1, 0);
    let second = Writer::open(config(dir.path(), 4096), recorder::journal::RealDisk, Dice(2), boot(1), at(1));
    assert!(matches!(second, Err(JournalError::Locked { .. })));
}

/// Cuts the newest segment behind its `keep`-th seal from the end and restores the zeros of an active segment.
fn cut_back(dir: &std::path::Path, keep: usize) {
    let path = segments(&log_dir(dir)).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let frames = crate::surgery::frames(&bytes);
    let seals: Vec<usize> = frames.iter().filter(|f| bytes[f.start + 5] == 3).map(|f| f.end).collect();
    let end = seals[seals.len() - 1 - keep];
    bytes[end..].fill(0);
    std::fs::write(&path, bytes).unwrap();
}

fn minutes(dir: &std::path::Path, count: u64) {
    let (mut w, _) = open(dir, 1 << 16, 1, 0);
    for n in 0..count {
        w.append(StreamNo::LOG, heartbeat(n * 30));
        w.commit(at(n * 30)).unwrap();
    }
}

#[test]
fn f9_truncating_to_an_older_seal_and_restarting_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    minutes(dir.path(), 10);
    cut_back(dir.path(), 6);
    let (w, opened) = open(dir.path(), 1 << 16, 9, 400);
    assert!(opened.enrolled);
    assert_eq!(opened.incarnation, 2);
    assert_eq!(opened.abandoned.map(|(_, why)| why), Some(Abandoned::KeyMismatch));
    drop(w);
    let report = verify(dir.path());
    assert_eq!(report.verdict, Verdict::Tampered);
    assert!(has(&report, "RESTART_UNAUTHORISED"), "{:#?}", report.findings);
}

#[test]
fn f9_within_the_minute_the_admitted_weakness_holds() {
    let dir = tempfile::tempdir().unwrap();
    minutes(dir.path(), 10);
    cut_back(dir.path(), 1);
    let (_, opened) = open(dir.path(), 1 << 16, 9, 400);
    assert!(!opened.enrolled, "one minute back is what the page admits");
    assert!(is_whole(verify(dir.path()).verdict));
}

#[test]
fn a_missing_recovery_key_leaves_the_end_open() {
    let dir = tempfile::tempdir().unwrap();
    minutes(dir.path(), 3);
    std::fs::remove_file(log_dir(dir.path()).join("recovery.key")).unwrap();
    let (_, opened) = open(dir.path(), 1 << 16, 9, 400);
    assert_eq!(opened.abandoned.map(|(_, why)| why), Some(Abandoned::KeyMissing));
    let report = verify(dir.path());
    assert_eq!(report.verdict, Verdict::Incomplete);
    assert!(has(&report, "RECOVERY_KEY_MISSING"));
}

#[test]
fn recovery_is_idempotent() {
    let dir = tempfile::tempdir().unwrap();
    small_at(dir.path(), 1, Ending::Running);
    for n in 0..4 {
        let (w, opened) = open(dir.path(), 4096, 90 + n, 30 + n);
        assert!(!opened.enrolled && opened.set_aside.is_none());
        drop(w);
        let report = verify(dir.path());
        assert!(is_whole(report.verdict), "{:#?}", report.findings);
    }
}

#[test]
fn f4_losses_jumps_and_silence_are_findings() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    let control = |s: u64, body| Record {
        boot_ns: at(s).boot,
        cpu: u16::MAX,
        flags: Flags::default(),
        task: None,
        body,
    };
    let loss = Loss {
        class: Bytes::from("file"),
        ring: Bytes::from("bulk"),
        cpu: 1,
        from: 9,
        to: 17,
        count: 8,
        reason: LossReason::RingFull,
    };
    w.append(StreamNo::LOG, control(1, Body::Loss(loss.clone())));
    w.append(StreamNo::LOG, control(1, Body::Loss(loss)));
    let mut after = at(2);
    after.real = RealNanos::new(after.real.get() + 5);
    w.append(StreamNo::LOG, control(2, Body::Jump(Jump { before: at(1), after })));
    w.append(StreamNo::LOG, control(2, Body::Unknown { kind: Kind::new(900), bytes: vec![1, 2, 3] }));
    w.commit(at(2)).unwrap();
    w.append(StreamNo::LOG, heartbeat(60));
    w.commit(at(60)).unwrap();
    w.stop(stop(61)).unwrap();
    let (report, entries) = verify::read(dir.path(), &Options::default()).unwrap();
    for code in ["LOSS", "JUMP", "GAP"] {
        assert_eq!(codes(&report).iter().filter(|c| **c == code).count(), 1, "{code}");
    }
    let entries: Vec<_> = entries.map(|e| e.unwrap()).collect();
    assert!(entries.iter().any(|e| e.record.body.kind() == Kind::new(900)));
    assert_eq!(report.exit, 1);
}

#[test]
fn a_record_that_no_frame_can_hold_is_declared_not_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    let s = w.open_session(session(1), at(1).boot);
    let huge = Tty { data: Bytes::new(vec![7u8; 600 << 10]), ..Tty::default() };
    w.append(s, Record { body: Body::Tty(TtyOp::Output, huge), ..exec(1, 1) });
    w.append(StreamNo::new(99), exec(1, 1));
    w.close_session(s, EndReason::LastTask, 1, at(2).boot);
    w.commit(at(2)).unwrap();
    w.stop(stop(3)).unwrap();
    let report = verify(dir.path());
    assert_eq!(codes(&report).iter().filter(|c| **c == "LOSS").count(), 2);
    assert_eq!(report.sessions[0].completeness, "complete_with_loss");
}
