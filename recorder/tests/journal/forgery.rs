//! A restart made by hand: only the key that the last seal names may, and only behind the last seal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::common::*;
use crate::surgery::Watched;
use recorder::journal::chain::{Position, Sealer};
use recorder::journal::key::{PublicKey, RESTART_LABEL, SecretKey};
use recorder::journal::segment::{LastSeal, Reason, SegmentHeader, SetAside, file_name};
use recorder::journal::walk::{Event, State, Walk};
use recorder::journal::{RealDisk, Writer};
use recorder::model::*;
use recorder::sys::secret::Secret;
use recorder::verify::{Report, Verdict};

struct Scene {
    dir: tempfile::TempDir,
    path: PathBuf,
    header: SegmentHeader,
    /// At every seal.
    states: Vec<State>,
    secrets: Vec<[u8; 32]>,
}

/// A log of five commits that crashed.
fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let entropy = Watched(Dice(3), Arc::clone(&seen));
    let (mut w, _) = Writer::open(config(dir.path(), 1 << 16), RealDisk, entropy, boot(1), at(0)).unwrap();
    for n in 0..5 {
        w.append(StreamNo::LOG, heartbeat(n));
        w.commit(at(n)).unwrap();
    }
    drop(w);
    let path = segments(&log_dir(dir.path())).remove(0);
    let mut walk = Walk::open(std::fs::File::open(&path).unwrap()).unwrap().unwrap();
    let mut states = Vec::new();
    loop {
        match walk.step().unwrap() {
            Event::Sealed(_) => states.push(walk.committed.clone()),
            Event::Leaf(_) => {}
            Event::End => break,
            Event::Fault(fault) => panic!("{fault:?}"),
        }
    }
    let secrets = seen.lock().unwrap().clone();
    Scene { dir, path, header: walk.header, states, secrets }
}

fn key(raw: [u8; 32]) -> SecretKey {
    let mut page = Secret::new().unwrap();
    page.expose_mut().copy_from_slice(&raw);
    SecretKey::from_secret(page)
}

/// Restarts the chain behind `from` with a signature by `signer`, with a seal of its own, as the recorder would.
fn restart(s: &Scene, from: &State, signer: &SecretKey, aside: SetAside) -> Report {
    let point = from.seal.unwrap();
    let mut at_seal = Position {
        leaf: from.leaf,
        record: from.record,
        control: from.control,
        prev: from.prev,
        tree: from.tree.clone(),
        next_seal: from.next_seal,
        last_seal: Some(LastSeal { no: point.seal.no, hash: point.hash }),
    };
    let identity = recorder::journal::key::Identity { log: s.header.log, admission: s.header.admission };
    let mut dice = Dice(77);
    let mut sealer = Sealer::start(identity, boot(1), &mut dice).unwrap();
    let header = SegmentHeader {
        reason: Reason::Break,
        clock: at(50),
        last_seal: at_seal.last_seal,
        next_seal: at_seal.next_seal,
        next_key: sealer.public(),
        next_control: at_seal.control,
        set_aside: aside,
        peaks: at_seal.tree.peaks().to_vec(),
        ..s.header.clone()
    };
    let mut out = Vec::new();
    let name = file_name(at_seal.leaf);
    at_seal.put_segment(&mut out, &header, 1, Some((RESTART_LABEL, signer)));
    sealer.seal(&mut out, &mut at_seal, PublicKey([9; 32]), at(50), &mut dice).unwrap();
    out.resize(header.capacity as usize, 0);
    std::fs::write(s.path.parent().unwrap().join(name), out).unwrap();
    verify(s.dir.path())
}

fn aside(bytes: &Path, from: &State) -> SetAside {
    let offset = from.seal.unwrap().end;
    let all = std::fs::read(bytes).unwrap();
    let used = all.iter().rposition(|b| *b != 0).map_or(0, |n| n as u64 + 1).max(offset);
    let range = &all[offset as usize..used as usize];
    SetAside { offset, bytes: used - offset, sha256: recorder::journal::key::sha256(range) }
}

#[test]
fn f9_only_the_named_recovery_key_restarts_and_only_behind_the_last_seal() {
    let s = scene();
    let last = s.states.last().unwrap();
    let named = last.seal.unwrap().seal.recovery_key;
    let true_key = s.secrets.iter().map(|raw| key(*raw)).find(|k| k.public() == named).unwrap();
    // Any other key, the admission key and the current seal key among them.
    for raw in &s.secrets {
        let signer = key(*raw);
        if signer.public() != named {
            let report = restart(&s, last, &signer, aside(&s.path, last));
            assert_eq!(report.verdict, Verdict::Tampered);
            assert!(has(&report, "RESTART_UNAUTHORISED"), "{:#?}", report.findings);
        }
    }
    let report = restart(&s, last, &true_key, aside(&s.path, last));
    assert!(is_whole(report.verdict) && has(&report, "RESTART"), "{:#?}", report.findings);
    std::fs::remove_file(s.path.parent().unwrap().join(file_name(last.leaf))).unwrap();
    // The stolen key voids acknowledged commits: they are still there, so it is a fork.
    for from in &s.states[..s.states.len() - 1] {
        let report = restart(&s, from, &true_key, aside(&s.path, from));
        assert_eq!(report.verdict, Verdict::Tampered);
        assert!(has(&report, "FORK"), "{:#?}", report.findings);
        std::fs::remove_file(s.path.parent().unwrap().join(file_name(from.leaf))).unwrap();
    }
}
