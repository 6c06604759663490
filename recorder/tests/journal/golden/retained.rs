//! Fixtures of retention: segments that gave way to their stubs, by a permit or not.

use std::path::{Path, PathBuf};

use super::buried::*;
use super::changes::{capacity, edit, flip, j, keep_origin, log_of};
use super::forge::Forger;
use super::list::{Fixture, ended, fixture};
use super::scenes::{crashed, cut_back, patient, tear};
use super::secret::{reader_of, sealed_life, sealed_to_reader};
use super::sign::{signer_line, ssh_signature};
use crate::common::*;
use recorder::journal::cipher::Aead;
use recorder::journal::retain::Successor;
use recorder::model::*;

fn sig(permit: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sig", permit.display()))
}

fn list(d: &Path, text: &str) {
    std::fs::write(d.join("allowed_signers"), text).unwrap();
}

/// Adds to an 8-byte number of a stub.
fn add(stub: &mut [u8], at: usize, more: u64) {
    let raw: [u8; 8] = stub[at..at + 8].try_into().unwrap();
    stub[at..at + 8].copy_from_slice(&u64::from_le_bytes(raw).wrapping_add(more).to_le_bytes());
}

/// A stub that somebody changed, with its checksum mended.
macro_rules! mended_stub {
    ($d:expr, |$s:ident| $change:expr) => {
        forged_stub($d, |$s| {
            $change;
            fix_stub($s);
        })
    };
}

fn put_back(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

pub(crate) const FIXTURES: &[Fixture] = &[
    ended("stub", "a segment gone by a permit that is checked", |d| {
        grave(d, &honest(&[1]));
        keep_origin(d);
    }),
    fixture("stub-unchecked", "no list of signers: PERMIT_UNCHECKED", |d| {
        grave(d, &honest(&[1]));
        std::fs::remove_file(d.join("allowed_signers")).unwrap();
    }),
    fixture("stub-beside", "a stub beside its segment is nothing yet", |d| {
        let mut f = patient(&j(d));
        let files = f.files();
        std::fs::copy(&files[1], d.join("kept")).unwrap();
        bury(&mut f, 100, &honest(&[1]));
        put_back(&d.join("kept"), &files[1]);
        list_dana(d);
    }),
    ended("stub-first", "the log's first segment gone, held against its origin", |d| {
        grave(d, &honest(&[0]));
        keep_origin(d);
    }),
    fixture(
        "stubs",
        "several gone: neighbours are one range, a session opened, went on and closed in them",
        |d| {
            let mut f = Forger::new(&j(d), 220, 3072);
            let mut w = f.open(0);
            let (first, second) =
                (w.open_session(session(1), at(1).boot), w.open_session(session(2), at(1).boot));
            for n in 0..12 {
                w.append(if n < 4 { first } else { second }, exec(1, n));
                if n == 6 {
                    w.close_session(first, EndReason::LastTask, 0, at(1).boot);
                }
                w.commit(at(1)).unwrap();
            }
            w.close_session(second, EndReason::LastTask, 1, at(2).boot);
            w.stop(stop(2)).unwrap();
            bury(&mut f, 10, &honest(&[0, 1, 3]));
            list_dana(d);
        },
    ),
    fixture("stubs-all", "all gone but the last", |d| {
        let mut f = patient(&j(d));
        let all: Vec<usize> = (0..f.files().len()).collect();
        bury(&mut f, 100, &honest(&all));
        list_dana(d);
    }),
    fixture("stubs-of-two-permits", "neighbours under two permits are two ranges", |d| {
        let (mut f, _) = grave(d, &honest(&[1]));
        bury(&mut f, 200, &Burial { by: 2, ..honest(&[1]) });
        let more = signer_line("dana", "namespaces=\"recorder-retention\" ", 2);
        let line = std::fs::read_to_string(d.join("allowed_signers")).unwrap();
        list(d, &(line + &more));
    }),
    fixture("stub-before-a-break", "a segment without a footer gone, a restart behind it", |d| {
        let mut f = crashed(&j(d));
        bury(&mut f, 100, &honest(&[0]));
        list_dana(d);
    }),
    fixture("stub-in-a-session", "a session through a hole that is still open", |d| {
        let mut f = Forger::new(&j(d), 210, 3072);
        let mut w = f.open(0);
        let s = w.open_session(session(1), at(1).boot);
        for n in 0..8 {
            w.append(s, exec(1, n));
            w.commit(at(1)).unwrap();
        }
        drop(w);
        bury(&mut f, 10, &honest(&[1]));
        list_dana(d);
    }),
    fixture("stub-sealed", "an encrypted segment gone: its streams go on, the log's own too", |d| {
        let mut f = sealed_life(d, Aead::Aes256Gcm);
        bury(&mut f, 100, &honest(&[1]));
        list_dana(d);
        reader_of(d);
    }),
    fixture("tombstones-kept", "a tombstone outlives the segment that it stood in", |d| {
        let (mut f, _) = grave(d, &honest(&[1]));
        let last = f.files().len() - 1;
        bury(&mut f, 200, &honest(&[last]));
    }),
    fixture("stub-without-tombstone", "a stub, and nothing in the log says that it was allowed", |d| {
        wrong(d, |b| b.tombstone = |t| t.first += 1);
    }),
    fixture("tombstone-unsealed", "a tombstone in a commit that lost its seal", |d| {
        let (f, _) = grave(d, &honest(&[1]));
        let last = f.files().len() - 1;
        cut_back(&f, 1);
        edit(&f, last, |bytes| bytes.resize(capacity(bytes), 0));
        tear(&f, 1);
    }),
    fixture("stub-behind-a-hole", "a stub that nothing allows, and a good one behind it", |d| {
        let mut f = patient(&j(d));
        let files = f.files();
        let next = Successor::read(std::fs::File::open(&files[1]).unwrap()).unwrap();
        let first = std::fs::File::open(&files[0]).unwrap();
        let (bytes, _) = recorder::journal::retain::build(first, &next).unwrap();
        bury(&mut f, 100, &honest(&[1]));
        std::fs::write(files[0].with_extension("stub"), bytes).unwrap();
        std::fs::remove_file(&files[0]).unwrap();
        list_dana(d);
    }),
    fixture("stub-clear", "a clear segment gone: what is there is encrypted", |d| {
        let mut f = Forger::new(&j(d), 230, 3072);
        f.open(0).stop(stop(1)).unwrap();
        f.encryption = sealed_to_reader();
        f.open(10).stop(stop(11)).unwrap();
        bury(&mut f, 100, &honest(&[0]));
        list_dana(d);
    }),
    fixture("stub-another-length", "a tombstone of another number of leaves", |d| {
        wrong(d, |b| b.tombstone = |t| t.leaves += 1);
    }),
    fixture("stub-of-another", "a tombstone that names another stub", |d| {
        wrong(d, |b| b.tombstone = |t| t.stub = Digest::new([9; 32]));
    }),
    fixture("stub-gone", "a tombstone, and neither segment nor stub", |d| {
        let (f, _) = grave(d, &honest(&[1]));
        std::fs::remove_file(stubs(&f).remove(0)).unwrap();
    }),
    fixture("stub-last", "a stub at the end of a log", |d| {
        let (f, _) = grave(d, &honest(&[1]));
        for path in f.files().split_off(1) {
            std::fs::remove_file(path).unwrap();
        }
    }),
    fixture("stub-holes", "a good stub, and one behind it that nothing allows", |d| {
        let (f, _) = grave(d, &honest(&[0]));
        let files = f.files();
        let next = Successor::read(std::fs::File::open(&files[2]).unwrap()).unwrap();
        let (bytes, _) =
            recorder::journal::retain::build(std::fs::File::open(&files[1]).unwrap(), &next).unwrap();
        std::fs::write(files[1].with_extension("stub"), bytes).unwrap();
        std::fs::remove_file(&files[1]).unwrap();
    }),
    fixture("stub-behind-damage", "a break between a stub and its tombstone", |d| {
        let (f, _) = grave(d, &honest(&[0]));
        edit(&f, 0, |bytes| flip(bytes, 2, 130));
    }),
    // Under permits for exactly these bytes: what is refused is refused for the stub alone.
    fixture("stub-checksum", "a stub whose checksum does not fit", |d| {
        forged_stub(d, |s| *s.last_mut().unwrap() ^= 1);
    }),
    fixture("stub-magic", "a stub that begins as something else", |d| mended_stub!(d, |s| s[3] = b'2')),
    fixture("stub-newer", "a stub of a newer version", |d| mended_stub!(d, |s| s[4] = 2)),
    fixture("stub-ending", "a stub with an ending that is none", |d| mended_stub!(d, |s| s[5] = 3)),
    fixture("stub-lengths", "a stub of other lengths than its own", |d| mended_stub!(d, |s| s[16] += 1)),
    fixture("stub-roots", "roots that don't give the seal's", |d| {
        mended_stub!(d, |s| {
            let (roots, _) = parts(s);
            s[roots] ^= 1;
        });
    }),
    fixture("stub-seals", "a seal that is not of its header's numbers", |d| {
        mended_stub!(d, |s| add(s, 24, 1));
    }),
    fixture("stub-row", "a row that contradicts itself", |d| {
        mended_stub!(d, |s| {
            let (_, rows) = parts(s);
            s[rows + 8] = 2;
        });
    }),
    fixture("stub-misfit", "a stub that the segment behind it does not continue", |d| {
        mended_stub!(d, |s| add(s, 88, 1));
    }),
    fixture("stub-misfit-closed", "a stub without the footer that a rotation needs", |d| {
        mended_stub!(d, |s| s[5] = 0);
    }),
    fixture("stub-changed", "a stub that was changed afterwards", |d| {
        let (f, _) = grave(d, &honest(&[1]));
        let path = stubs(&f).remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        let (_, rows) = parts(&bytes);
        bytes[rows + 16] ^= 1;
        fix_stub(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }),
    fixture("stub-misfit-aside", "a stub that says other remains than the restart behind it", |d| {
        let mut f = crashed(&j(d));
        let aside = |s: &mut [u8]| {
            s[60] ^= 1;
            fix_stub(s);
        };
        bury(&mut f, 100, &Burial { stub: aside, ..honest(&[0]) });
        list_dana(d);
    }),
    fixture("stub-foreign", "another log's stub", |d| {
        let (ours, _) = grave(d, &honest(&[1]));
        let mut theirs = Forger::new(&d.join("theirs"), 900, 3072);
        let mut w = theirs.open(0);
        for n in 0..12 {
            w.append(StreamNo::LOG, heartbeat(n));
            w.commit(at(n)).unwrap();
        }
        drop(w);
        bury(&mut theirs, 100, &honest(&[1]));
        put_back(&stubs(&theirs)[0], &stubs(&ours)[0]);
        std::fs::remove_dir_all(d.join("theirs")).unwrap();
    }),
    fixture("stub-stream", "a row that does not continue its stream, under a permit", |d| {
        mended_stub!(d, |s| {
            let (_, rows) = parts(s);
            add(s, rows + 32, 1);
        });
    }),
    fixture("stub-counts", "a row of other counts than the session was closed with, under a permit", |d| {
        mended_stub!(d, |s| {
            let (_, rows) = parts(s);
            add(s, rows + 48, 1);
        });
    }),
    fixture("stub-own-stream", "a row that does not continue the log's own stream, under a permit", |d| {
        let mut f = sealed_life(d, Aead::Aes256Gcm);
        let own = |s: &mut [u8]| {
            let (_, rows) = parts(s);
            add(s, rows + 32, 1);
            fix_stub(s);
        };
        bury(&mut f, 100, &Burial { stub: own, ..honest(&[1]) });
        list_dana(d);
    }),
    fixture("permit-missing", "the permit that the tombstone names is gone", |d| {
        let (_, permit) = grave(d, &honest(&[1]));
        std::fs::remove_file(permit).unwrap();
    }),
    fixture("permit-changed", "a permit of other bytes than the tombstone names, signed again", |d| {
        let (_, permit) = grave(d, &honest(&[1, 2]));
        let text = std::fs::read_to_string(&permit).unwrap().replace("keep 90d", "keep 91d");
        std::fs::write(sig(&permit), ssh_signature(1, text.as_bytes())).unwrap();
        std::fs::write(permit, text).unwrap();
    }),
    fixture("permit-of-another-log", "a permit for another log", |d| {
        wrong(d, |b| b.plan = |p| p.log = LogId::new([9; 16]));
    }),
    fixture("permit-other-leaves", "a permit for other leaves", |d| {
        wrong(d, |b| b.plan = |p| p.segments[0].last += 1);
    }),
    fixture("permit-other-stub", "a permit for another stub", |d| {
        wrong(d, |b| b.plan = |p| p.segments[0].stub = Digest::new([9; 32]));
    }),
    fixture("permit-late", "a permit applied when it could not be any more", |d| {
        wrong(d, |b| b.tombstone = |t| t.applied = at(500).real);
    }),
    fixture("permit-in-time", "a permit applied in its last second", |d| {
        wrong(d, |b| b.tombstone = |t| t.applied = at(499).real);
    }),
    fixture("permit-unsigned", "a permit without its signature", |d| {
        let (_, permit) = grave(d, &honest(&[1]));
        std::fs::remove_file(sig(&permit)).unwrap();
    }),
    fixture("permit-of-a-stranger", "a permit signed by a key that nobody listed", |d| {
        wrong(d, |b| b.by = 7);
    }),
    fixture("permit-signature", "a good signature of other bytes", |d| {
        let (_, permit) = grave(d, &honest(&[1]));
        std::fs::write(sig(&permit), ssh_signature(1, b"something else")).unwrap();
    }),
    fixture("permit-of-another", "a permit signed by somebody else who may, in dana's name", |d| {
        grave(d, &honest(&[1]));
        list(d, &signer_line("eve", "namespaces=\"recorder-retention\" ", 1));
    }),
    fixture("permit-negated", "a line that names all but dana", |d| {
        grave(d, &honest(&[1]));
        list(d, &signer_line("*,!dana", "namespaces=\"recorder-retention\" ", 1));
    }),
    fixture("permit-namespace", "a line that names no namespace lets nobody delete", |d| {
        grave(d, &honest(&[1]));
        list(d, &signer_line("dana", "", 1));
    }),
    fixture("permit-key-too-old", "a key that could not sign any more when the permit was applied", |d| {
        grave(d, &honest(&[1]));
        let options = "namespaces=\"recorder-retention\",valid-before=\"20231114221400Z\" ";
        list(d, &signer_line("dana", options, 1));
    }),
    fixture("permit-key-in-time", "a key that could sign when the permit was applied", |d| {
        grave(d, &honest(&[1]));
        let options =
            "namespaces=\"recorder-retention\",valid-after=\"20231114Z\",valid-before=\"20231115Z\" ";
        list(d, &signer_line("da*,!dave", options, 1));
    }),
    fixture("permits-the-best-counts", "two permits for one stub: the better one counts", |d| {
        let mut f = patient(&j(d));
        let files = f.files();
        std::fs::copy(&files[1], d.join("kept")).unwrap();
        bury(&mut f, 100, &Burial { by: 7, ..honest(&[1]) });
        put_back(&d.join("kept"), &files[1]);
        bury(&mut f, 200, &honest(&[1]));
        list_dana(d);
        assert_eq!(log_of(&f), log_dir(&j(d)));
    }),
];
