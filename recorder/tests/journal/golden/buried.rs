//! Deletions as the service makes them, and as somebody does who gets one thing wrong.

use std::path::{Path, PathBuf};

use super::changes::{j, log_of};
use super::forge::Forger;
use super::scenes::{control, patient};
use super::sign::{signer_line, ssh_signature};
use crate::common::*;
use recorder::journal::key::sha256;
use recorder::journal::retain::{Item, Maker, Permit, Plan, Successor, build, permit, shelf};
use recorder::journal::{Disk, RealDisk};
use recorder::model::*;

/// What goes, and what is done to each step of it.
pub(crate) struct Burial<'a> {
    /// Segments by their places among those that are there.
    pub(crate) which: &'a [usize],
    /// Who signs.
    pub(crate) by: u8,
    /// Before the stub's digest is made.
    pub(crate) stub: fn(&mut [u8]),
    /// Before the permit is written.
    pub(crate) plan: fn(&mut Plan),
    /// Before the tombstone is.
    pub(crate) tombstone: fn(&mut Tombstone),
}

/// Nothing wrong.
pub(crate) const fn honest(which: &[usize]) -> Burial<'_> {
    Burial { which, by: 1, stub: |_| (), plan: |_| (), tombstone: |_| () }
}

/// The checksum of a stub.
pub(crate) fn fix_stub(bytes: &mut [u8]) {
    let (covered, crc) = bytes.split_last_chunk_mut::<4>().unwrap();
    *crc = crc32c::crc32c(covered).to_le_bytes();
}

/// Where a stub's roots and its rows begin.
pub(crate) fn parts(stub: &[u8]) -> (usize, usize) {
    let number = |at: usize| u32::from_le_bytes(stub[at..at + 4].try_into().unwrap()) as usize;
    let roots = 128 + number(8) + 376;
    (roots, roots + 32 * number(12))
}

/// Tombstones, stubs, permit; the segments go. The permit's file. `seconds`: when, and until 400 later it may be.
pub(crate) fn bury(forger: &mut Forger, seconds: u64, burial: &Burial<'_>) -> PathBuf {
    let mut w = forger.open(seconds);
    let (dir, files) = (log_of(forger), forger.files());
    let log = LogId::from_hex(dir.file_name().unwrap().to_str().unwrap()).unwrap();
    let (mut items, mut stubs) = (Vec::new(), Vec::new());
    for n in burial.which {
        let next = Successor::read(std::fs::File::open(&files[n + 1]).unwrap()).unwrap();
        let (mut bytes, stub) = build(std::fs::File::open(&files[*n]).unwrap(), &next).unwrap();
        (burial.stub)(&mut bytes);
        let first = stub.first.header.leaf;
        items.push(Item { first, last: first + stub.leaves() - 1, stub: sha256(&bytes) });
        stubs.push((first, stub.leaves(), bytes));
    }
    let mut plan = Plan { log, policy: "keep 90d".into(), holds: Digest::default(), segments: items };
    (burial.plan)(&mut plan);
    let maker = Maker { signer: "dana".into(), made: at(50).real, nonce: [burial.by; 16] };
    let (permit, bytes) = Permit::write(&maker, &plan, "disk", at(seconds + 400).real).unwrap();
    let root = RealDisk.root(&dir).unwrap();
    shelf::keep_permit(&RealDisk, &root, permit.head.id, &bytes, &ssh_signature(burial.by, &bytes)).unwrap();
    for (first, leaves, bytes) in &stubs {
        let mut tombstone = Tombstone {
            permit: permit.head.id,
            stub: sha256(bytes),
            first: *first,
            leaves: *leaves,
            applied: at(seconds).real,
        };
        (burial.tombstone)(&mut tombstone);
        w.append(StreamNo::LOG, control(seconds, Body::Tombstone(tombstone)));
    }
    w.commit(at(seconds)).unwrap();
    for (first, _, bytes) in &stubs {
        shelf::replace(&RealDisk, &root, *first, bytes).unwrap();
    }
    w.stop(stop(seconds + 1)).unwrap();
    dir.join(permit::file_name(permit.head.id))
}

/// A list in which person 1 is `dana`, who may delete.
pub(crate) fn list_dana(d: &Path) {
    let line = signer_line("dana", "namespaces=\"recorder-retention\" ", 1);
    std::fs::write(d.join("allowed_signers"), line).unwrap();
}

/// The patient after a burial, with the list of signers.
pub(crate) fn grave(d: &Path, burial: &Burial<'_>) -> (Forger, PathBuf) {
    let mut forger = patient(&j(d));
    let permit = bury(&mut forger, 100, burial);
    list_dana(d);
    (forger, permit)
}

/// A burial in which one thing is wrong.
pub(crate) fn wrong(d: &Path, change: impl FnOnce(&mut Burial<'_>)) {
    let mut burial = honest(&[1]);
    change(&mut burial);
    grave(d, &burial);
}

/// A burial of a stub that somebody changed: checksum, permit and tombstone are those of the changed one.
pub(crate) fn forged_stub(d: &Path, change: fn(&mut [u8])) {
    wrong(d, |b| b.stub = change);
}

/// The stubs of the log.
pub(crate) fn stubs(forger: &Forger) -> Vec<PathBuf> {
    let all = std::fs::read_dir(log_of(forger)).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "stub")).collect();
    list.sort();
    list
}
