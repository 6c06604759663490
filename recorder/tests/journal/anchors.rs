//! A journal held against checkpoints that were kept elsewhere: what was cut, put back, restored or cloned is found.

use std::path::{Path, PathBuf};

use crate::common::*;
use proptest::prelude::*;
use recorder::journal::checkpoint::{Head, Signer, to_word, verifier};
use recorder::journal::key::SecretKey;
use recorder::journal::note::{Algorithm, Verifier, cosign};
use recorder::journal::{Opened, leaves, proof};
use recorder::model::*;
use recorder::sys::secret::Secret;
use recorder::verify::{self, AnchorState, Options, Report, Verdict};

/// A journal with what was kept of it elsewhere.
struct Host {
    dir: tempfile::TempDir,
    opened: Opened,
}

impl Host {
    fn new() -> (Self, Real) {
        Self::with(4096, 1)
    }

    fn with(segment: u64, seed: u64) -> (Self, Real) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("kept")).unwrap();
        let (w, opened) = open(&dir.path().join("journal"), segment, seed, 0);
        std::fs::write(dir.path().join("origin.note"), &opened.origin).unwrap();
        (Self { dir, opened }, w)
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn kept(&self) -> PathBuf {
        self.dir.path().join("kept")
    }

    fn note(&self, head: Head) -> String {
        Signer::open(&self.journal(), self.opened.log).unwrap().unwrap().sign(head)
    }

    /// Keeps a checkpoint away from the journal.
    fn keep(&self, head: Head) {
        std::fs::write(self.kept().join(format!("{:06}", head.size)), self.note(head)).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            origin: Some(self.dir.path().join("origin.note")),
            anchors: vec![self.kept()],
            ..Options::default()
        }
    }

    fn verify(&self) -> Report {
        verify_with(&self.journal(), &self.options())
    }

    /// The directory as it is now, to be put back later.
    fn snapshot(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        copy(&self.journal(), &to);
        to
    }

    fn put_back(&self, snapshot: &Path) {
        std::fs::remove_dir_all(self.journal()).unwrap();
        copy(snapshot, &self.journal());
    }
}

fn verify_with(dir: &Path, options: &Options) -> Report {
    verify::verify(dir, options, &mut |_| ()).unwrap()
}

fn beat(w: &mut Real, from: u64, to: u64) -> Head {
    for n in from..to {
        w.append(StreamNo::LOG, heartbeat(n));
        w.commit(at(n)).unwrap();
    }
    w.head()
}

#[test]
fn a_stop_an_anchor_behind_it_and_the_origin_are_verified() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 30);
    host.keep(w.stop(stop(30)).unwrap());
    let report = host.verify();
    assert_eq!((report.verdict, report.exit), (Verdict::Verified, 0), "{:#?}", report.findings);
    assert_eq!(codes(&report), ["ENCRYPTION_OFF"]);
    assert!(segments(&log_dir(&host.journal())).len() > 2, "the test wants rotation");
    // One earlier anchor alone does not show the end, and says how far it goes.
    for entry in std::fs::read_dir(host.kept()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(has(&host.verify(), "END_UNPROVEN"));
}

#[test]
fn an_older_anchor_says_how_far_it_reaches() {
    let (host, mut w) = Host::new();
    let early = beat(&mut w, 1, 5);
    host.keep(early);
    beat(&mut w, 5, 9);
    w.stop(stop(9)).unwrap();
    let report = host.verify();
    assert_eq!(codes(&report), ["ENCRYPTION_OFF", "END_UNPROVEN"]);
    let text = &report.findings[1].text;
    assert!(
        text.contains(&format!("its first {} leaves, sealed at 2023-11-14T22:13:24Z", early.size)),
        "{text}"
    );
    assert_eq!(report.anchors[0].state, AnchorState::Matches);
}

#[test]
fn f1_a_cut_at_any_seal_is_found_with_an_anchor() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 8);
    host.keep(w.head());
    drop(w);
    let whole = host.snapshot("whole");
    assert_eq!(host.verify().verdict, Verdict::VerifiedWithGaps);
    let paths = segments(&log_dir(&host.journal()));
    let last = paths.last().unwrap();
    let bytes = std::fs::read(last).unwrap();
    let seals: Vec<usize> =
        crate::surgery::frames(&bytes).iter().filter(|f| bytes[f.start + 5] == 3).map(|f| f.end).collect();
    for end in &seals[..seals.len() - 1] {
        let mut cut = bytes.clone();
        cut[*end..].fill(0);
        std::fs::write(last, &cut).unwrap();
        assert!(is_whole(verify(&host.journal()).verdict), "without an anchor nothing shows it");
        let report = host.verify();
        assert_eq!((report.verdict, report.exit), (Verdict::Incomplete, 3), "{:#?}", report.findings);
        assert!(has(&report, "ROLLED_BACK"));
        assert_eq!(report.anchors[0].state, AnchorState::RolledBack);
    }
    // Whole segments gone from the end.
    for n in (1..paths.len()).rev() {
        std::fs::remove_file(&paths[n]).unwrap();
        assert_eq!(host.verify().exit, 3, "{n} segments left");
    }
    host.put_back(&whole);
    assert_eq!(host.verify().exit, 1);
}

#[test]
fn f1_an_older_copy_put_back_is_found_with_an_anchor() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 5);
    w.stop(stop(5)).unwrap();
    let older = host.snapshot("older");
    let (mut w, _) = open(&host.journal(), 4096, 7, 10);
    beat(&mut w, 11, 20);
    host.keep(w.stop(stop(20)).unwrap());
    host.put_back(&older);
    let without = verify(&host.journal());
    assert!(is_whole(without.verdict) && has(&without, "END_UNPROVEN"), "{:#?}", without.findings);
    let report = host.verify();
    assert_eq!((report.verdict, report.exit), (Verdict::Incomplete, 3), "{:#?}", report.findings);
    assert!(has(&report, "ROLLED_BACK"));
}

#[test]
fn f6_a_restored_snapshot_is_rolled_back_until_it_has_grown_and_a_fork_from_then_on() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 5);
    host.keep(w.head());
    drop(w);
    let snapshot = host.snapshot("snapshot");
    let (mut w, _) = open(&host.journal(), 4096, 7, 10);
    let head = beat(&mut w, 11, 16);
    host.keep(head);
    drop(w);
    assert_eq!(host.verify().exit, 1, "the log itself is whole");
    host.put_back(&snapshot);
    let (mut w, _) = open(&host.journal(), 4096, 8, 10);
    assert_eq!(host.verify().exit, 3, "shorter than it was");
    let mut n = 11;
    while w.head().size < head.size {
        beat(&mut w, n, n + 1);
        n += 1;
    }
    let report = host.verify();
    assert_eq!((report.verdict, report.exit), (Verdict::Tampered, 2), "{:#?}", report.findings);
    assert!(has(&report, "FORK"));
    assert!(is_whole(verify(&host.journal()).verdict), "by itself it shows nothing");
}

#[test]
fn f6_a_cloned_host_is_a_fork_against_the_others_anchors() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 5);
    drop(w);
    let clone = host.snapshot("clone");
    let signer = Signer::open(&host.journal(), host.opened.log).unwrap().unwrap();
    let grow = |dir: &Path, seed: u64| {
        let (mut w, opened) = open(dir, 4096, seed, 10);
        assert!(!opened.enrolled);
        let heads: Vec<Head> = (11..30).map(|n| beat(&mut w, n, n + 1)).collect();
        heads.into_iter().map(|head| signer.sign(head)).collect::<String>()
    };
    let ours = grow(&host.journal(), 7);
    let theirs = grow(&clone, 8);
    for (name, dir, own, other) in
        [("ours", host.journal(), &ours, &theirs), ("theirs", clone.clone(), &theirs, &ours)]
    {
        let file = host.dir.path().join(name);
        let judge = |notes: &str| {
            std::fs::write(&file, notes).unwrap();
            verify_with(&dir, &Options { anchors: vec![file.clone()], ..Options::default() })
        };
        let report = judge(own);
        assert!(is_whole(report.verdict), "{:#?}", report.findings);
        assert_eq!(report.anchors.len(), 19);
        let report = judge(other);
        assert_eq!(report.verdict, Verdict::Tampered, "{:#?}", report.findings);
        assert!(has(&report, "FORK"));
    }
}

#[test]
fn f5_what_the_log_did_not_sign_is_no_anchor() {
    let (host, mut w) = Host::new();
    beat(&mut w, 1, 5);
    let head = w.stop(stop(5)).unwrap();
    let good = host.note(head);
    let (other, mut w) = Host::with(4096, 900);
    beat(&mut w, 1, 5);
    let file = host.dir.path().join("anchor");
    let judge = |text: &str| {
        std::fs::write(&file, text).unwrap();
        verify_with(&host.journal(), &Options { anchors: vec![file.clone()], ..host.options() })
    };
    assert_eq!(judge(&good).exit, 0);
    assert_eq!(judge(&format!("Nov 21 web-1: {}\n", to_word(&good))).exit, 0);
    assert_eq!(judge(&format!("junk\n{good}junk\n")).exit, 0);
    // A larger size that nobody signed is no proof of a cut.
    let more = good.replacen(&format!("\n{}\n", head.size), &format!("\n{}\n", head.size + 9), 1);
    let report = judge(&more);
    assert_eq!((report.exit, has(&report, "ANCHOR_INVALID")), (4, true), "{:#?}", report.findings);
    // Another log's anchors alone are not this one's; beside its own they are not checked.
    let foreign = other.note(w.head());
    let report = judge(&foreign);
    assert_eq!((report.exit, has(&report, "ANCHOR_INVALID")), (4, true), "{:#?}", report.findings);
    let report = judge(&format!("{foreign}{good}"));
    assert_eq!(report.exit, 0);
    assert!(report.not_checked.iter().any(|t| t.contains(&other.opened.log.to_string())));
    // A cut note is told, and proves nothing.
    let cut: String = good.chars().take(100).collect();
    let report = judge(&format!("{cut}\n\n{good}"));
    assert_eq!(report.exit, 0);
    assert!(report.not_checked.iter().any(|t| t.contains("line 1 ")), "{:?}", report.not_checked);
    let none = host.dir.path().join("origin.note");
    let options = Options { anchors: vec![none], ..Options::default() };
    assert!(verify::verify(&host.journal(), &options, &mut |_| ()).is_err(), "no anchor in it");
}

#[test]
fn behind_damage_nothing_is_said_of_anchors() {
    let (host, mut w) = Host::new();
    let early = beat(&mut w, 1, 3);
    host.keep(early);
    beat(&mut w, 3, 20);
    host.keep(w.stop(stop(20)).unwrap());
    let second = segments(&log_dir(&host.journal())).remove(1);
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    let report = host.verify();
    assert_eq!(report.verdict, Verdict::Tampered);
    assert!(!has(&report, "ROLLED_BACK"), "{:#?}", report.findings);
    let states: Vec<_> = report.anchors.iter().map(|a| a.state).collect();
    assert_eq!(states, [AnchorState::Matches, AnchorState::NotChecked]);
}

fn secret(n: u8) -> SecretKey {
    let mut page = Secret::new().unwrap();
    page.expose_mut().copy_from_slice(&[n; 32]);
    SecretKey::from_secret(page)
}

/// Witness n signs at that time.
fn cosigned(note: &str, n: u8, time: u64) -> String {
    let text = note.split_once("\n\n").unwrap().0;
    format!("{note}{}", cosign(&format!("w{n}"), &secret(n), &format!("{text}\n"), time))
}

fn vkey(n: u8) -> String {
    Verifier::new(&format!("w{n}"), Algorithm::Cosignature, secret(n).public()).unwrap().to_string()
}

#[test]
fn a_policy_is_held_against_anchors_and_records() {
    let (host, mut w) = Host::with(1 << 16, 1);
    let early = beat(&mut w, 1, 4);
    let back = Cosigned {
        size: early.size,
        root: early.root,
        note: Bytes::from(cosigned(&host.note(early), 1, 1_700_000_005).as_str()),
    };
    let body = Body::Checkpoint(Box::new(back));
    w.append(StreamNo::LOG, Record { body, ..heartbeat(5) });
    let at_leaf = w.head().size;
    beat(&mut w, 5, 9);
    let end = w.stop(stop(9)).unwrap();
    let policy = host.dir.path().join("policy");
    let judge = |quorum: &str, note: &str| {
        let log = verifier(
            host.opened.log,
            Signer::open(&host.journal(), host.opened.log).unwrap().unwrap().identity().admission,
        );
        let text = format!("log {}\nwitness A {}\nwitness B {}\n{quorum}\n", log.unwrap(), vkey(1), vkey(2));
        std::fs::write(&policy, text).unwrap();
        std::fs::write(host.kept().join("last"), note).unwrap();
        verify_with(&host.journal(), &Options { policy: Some(policy.clone()), ..host.options() })
    };
    let plain = host.note(end);
    let one = cosigned(&plain, 1, 1_700_000_020);
    let two = cosigned(&one, 2, 1_700_000_030);
    assert_eq!(judge("quorum A", &one).exit, 0);
    assert_eq!(judge("group G all A B\nquorum G", &two).exit, 0);
    assert_eq!(judge("quorum none", &plain).exit, 0);
    for (quorum, note) in [("quorum A", &plain), ("quorum B", &one), ("group G all A B\nquorum G", &one)] {
        let report = judge(quorum, note);
        assert_eq!(
            (report.exit, has(&report, "WITNESSES_SHORT")),
            (1, true),
            "{quorum}: {:#?}",
            report.findings
        );
    }
    // The time bracket: what was there at the latest, and what came back into the log when.
    let report = judge("quorum A", &one);
    let seen: Vec<_> = report.witnessed.iter().map(|w| (w.leaves, w.not_after, w.recorded_at)).collect();
    assert_eq!(seen, [(early.size, 1_700_000_005, Some(at_leaf)), (end.size, 1_700_000_020, None)]);
    // Another log's policy.
    std::fs::write(&policy, format!("log PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\nwitness A {}\nquorum A\n", vkey(1))).unwrap();
    let report = verify_with(&host.journal(), &Options { policy: Some(policy), ..host.options() });
    assert!(has(&report, "WITNESSES_SHORT"), "{:#?}", report.findings);
}

#[test]
fn f6_a_checkpoint_in_the_log_that_is_not_of_its_past_is_a_fork() {
    let (host, mut w) = Host::with(1 << 16, 1);
    let early = beat(&mut w, 1, 4);
    let lie = Head { size: early.size, root: Digest::new([7; 32]) };
    let note = cosigned(&host.note(lie), 1, 5);
    let back = Cosigned { size: lie.size, root: lie.root, note: Bytes::from(note.as_str()) };
    let body = Body::Checkpoint(Box::new(back));
    w.append(StreamNo::LOG, Record { body, ..heartbeat(5) });
    host.keep(w.stop(stop(9)).unwrap());
    let policy = host.dir.path().join("policy");
    std::fs::write(&policy, "quorum none\n").unwrap();
    let report = verify_with(&host.journal(), &Options { policy: Some(policy), ..host.options() });
    assert_eq!(report.verdict, Verdict::Tampered);
    assert!(has(&report, "FORK"), "{:#?}", report.findings);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Every head that a writer ever gave fits its log, and any two of them can be proven from the files alone.
    #[test]
    fn every_head_fits_and_every_two_are_consistent(runs in prop::collection::vec((1u64..12, any::<bool>()), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        let (mut heads, mut n, mut log) = (Vec::new(), 1, LogId::default());
        for (run, (commits, stops)) in runs.into_iter().enumerate() {
            let (mut w, opened) = open(&journal, 3072, run as u64 + 1, n);
            log = opened.log;
            heads.push(w.head());
            for _ in 0..commits {
                n += 1;
                heads.push(beat(&mut w, n, n + 1));
            }
            n += 1;
            if stops {
                heads.push(w.stop(stop(n)).unwrap());
            }
        }
        let signer = Signer::open(&journal, log).unwrap().unwrap();
        let file = dir.path().join("kept");
        std::fs::write(&file, heads.iter().map(|head| signer.sign(*head)).collect::<String>()).unwrap();
        let options = Options { anchors: vec![file], ..Options::default() };
        let report = verify_with(&journal, &options);
        prop_assert!(is_whole(report.verdict), "{:#?}", report.findings);
        prop_assert!(!has(&report, "END_UNPROVEN"));
        prop_assert!(report.anchors.iter().all(|a| a.state == AnchorState::Matches));
        let dirs = [journal.join(log.to_string())];
        for (i, old) in heads.iter().enumerate() {
            for new in &heads[i..] {
                let hashes = leaves::prove(&dirs, old.size, *new).unwrap();
                prop_assert!(proof::verifies(old.size, &old.root, new.size, &new.root, &hashes));
            }
        }
        let last = *heads.last().unwrap();
        let wrong = Head { root: Digest::new([1; 32]), ..last };
        prop_assert!(leaves::prove(&dirs, heads[0].size, wrong).is_err(), "another tree");
        let beyond = Head { size: last.size + 1, ..last };
        prop_assert!(leaves::prove(&dirs, heads[0].size, beyond).is_err(), "more than there is");
    }
}
