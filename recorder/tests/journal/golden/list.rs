//! The fixtures by name: the rule each is for, and how it is made.

use std::path::Path;

use super::acts::*;
use super::changes::*;
use super::forge::{Forger, fix_crc, frames};
use super::scenes::*;
use crate::common::*;
use recorder::journal::segment::file_name;
use recorder::model::*;

/// A fixture: made in a directory, the journal in `journal/`, what a storage fault left in `spare/`, an origin note that was
/// kept elsewhere in `origin.note`, checkpoints in `anchors/`, who had to sign them in `policy`, who may sign permits in
/// `allowed_signers`, a reader's key in `identity`. With `stopped` a stop counts as the end.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) make: fn(&Path),
    pub(crate) stopped: bool,
}

pub(crate) const fn fixture(name: &'static str, rule: &'static str, make: fn(&Path)) -> Fixture {
    Fixture { name, rule, make, stopped: false }
}

pub(crate) const fn ended(name: &'static str, rule: &'static str, make: fn(&Path)) -> Fixture {
    Fixture { name, rule, make, stopped: true }
}

pub(crate) const FIXTURES: &[Fixture] = &[
    // Whole.
    ended("stop", "a stopped log with its origin is verified where a stop counts", |d| {
        short(&j(d));
        keep_origin(d);
    }),
    fixture("stop-anchored", "a stop is no proof of the end; ORIGIN_UNCHECKED without a note", |d| {
        short(&j(d));
    }),
    fixture("rotation", "segments, a session, a clean stop", |d| drop(patient(&j(d)))),
    fixture("running", "a crash, and nothing after it", |d| drop(crashed(&j(d)))),
    fixture("restarts", "BREAK with remains set aside, RESUME in another boot", |d| drop(torn(&j(d)))),
    fixture("several", "rotations, a resume, a break, sessions closed, cut and open", |d| {
        small_at(&j(d), 7, Ending::Running);
    }),
    fixture("sessions", "interleaved streams, a declared loss, a crash", |d| sessions(&j(d))),
    fixture("declared", "LOSS, JUMP, GAP, a record too large, an unknown kind", |d| declared(&j(d))),
    fixture("kinds", "every form of body, compressed", |d| kinds(&j(d))),
    fixture("changes", "what is done to files, the system and sockets", |d| changes(&j(d))),
    fixture("by-number", "opens that are told by number, writes to descriptors from elsewhere, rings", |d| {
        by_number(&j(d));
    }),
    fixture("sent", "datagrams by number", |d| sent(&j(d))),
    fixture("settings", "what the kernel's settings were set to", |d| settings(&j(d))),
    fixture("contents", "what lay in programs and files, with all that is optional there and not", |d| {
        contents(&j(d));
    }),
    fixture("programs", "what could not be started, what was mapped to be executed, long arguments", |d| {
        programs(&j(d));
    }),
    fixture("relayed", "a terminal whose bytes stand on another one", |d| relayed(&j(d))),
    fixture("gap-at-a-rotation", "a silence in which a segment ended", |d| {
        let mut w = Forger::new(&j(d), 900, 3072).open(0);
        let s = w.open_session(session(1), at(1).boot);
        for n in 0..6 {
            w.append(s, exec(1 + 40 * u64::from(n), n));
            w.commit(at(1 + 40 * u64::from(n))).unwrap();
        }
    }),
    fixture("fault", "a failed write: the chain goes on beside", |d| fault(d, false, FAULT_AT)),
    fixture(
        "fault-spare",
        "a failed write: the chain goes on in the spare directory, one commit is void",
        |d| {
            fault(d, true, FAULT_AT);
        },
    ),
    fixture("fault-rotation", "a rotation that was not acknowledged: two segments of one leaf", |d| {
        fault(d, true, FAULT_ROTATION);
    }),
    fixture("closed-with-zeros", "a crash between the last seal and the cut", |d| {
        let f = patient(&j(d));
        let last = f.files().pop().unwrap();
        let mut bytes = std::fs::read(&last).unwrap();
        bytes.resize(capacity(&bytes), 0);
        std::fs::write(last, bytes).unwrap();
    }),
    fixture("closed-and-longer", "a stopped log's last segment of neither length", |d| {
        let f = patient(&j(d));
        edit(&f, f.files().len() - 1, |bytes| bytes.resize(bytes.len() + 64, 0));
    }),
    fixture("restart-behind-zeros", "a stopped segment that was not cut to its length, and a resume", |d| {
        let mut f = patient(&j(d));
        edit(&f, f.files().len() - 1, |bytes| bytes.resize(capacity(bytes), 0));
        drop(f.open(20));
    }),
    fixture("liveness", "hooks that fell silent, SLEW, SUSPEND, and a GAP that no sleep explains", |d| {
        liveness(&j(d));
    }),
    // Sealed.
    fixture(
        "sealed",
        "encrypted segments, a restart, the log's own sealed stream and its clear twins",
        sealed,
    ),
    fixture("sealed-to-others", "an identity that opens nothing", sealed_to_others),
    fixture("sealed-flipped", "a changed ciphertext is tampering, not a wrong key", |d| {
        sealed(d);
        let file = segments(&log_dir(&j(d))).remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        let first = frames(&bytes).into_iter().find(|f| bytes[f.start + 69] != 0).unwrap();
        bytes[first.start + 120] ^= 4;
        std::fs::write(file, bytes).unwrap();
    }),
    // Torn: indistinguishable from a crash.
    fixture("tail-flipped", "damage in the last commit is a torn write", |d| {
        let f = crashed(&j(d));
        edit(&f, 0, |bytes| flip(bytes, -2, 130));
    }),
    fixture("tail-cut", "a file cut in its last commit", |d| {
        let f = crashed(&j(d));
        edit(&f, 0, |bytes| bytes.truncate(frames(bytes).last().unwrap().end - 9));
    }),
    fixture("cut-at-a-seal", "cut back to an older seal: only the end says so", |d| {
        cut_back(&crashed(&j(d)), 1);
    }),
    // Flipped.
    fixture("flip-header", "a flipped bit in a header", |d| flipped(d, 2, 17)),
    fixture("flip-magic", "a flipped bit in a magic", |d| flipped(d, 2, 1)),
    fixture("flip-length", "a flipped bit in a length", |d| flipped(d, 2, 10)),
    fixture("flip-body", "a flipped bit in a body", |d| flipped(d, 2, 125)),
    fixture("flip-version", "a flipped version of a frame", |d| flipped(d, 2, 4)),
    fixture("flip-first-version", "a flipped version of a segment's first frame", |d| flipped(d, 0, 4)),
    fixture("flip-seal", "a flipped bit in a signature", |d| flipped(d, 3, 112 + 250)),
    fixture("flip-crc", "a checksum that does not fit what the chain names", |d| {
        let f = patient(&j(d));
        edit(&f, 0, |bytes| {
            let frame = frames(bytes)[2].clone();
            let body = u32::from_le_bytes(bytes[frame.start + 8..][..4].try_into().unwrap()) as usize;
            bytes[frame.start + 112 + body] ^= 1;
        });
    }),
    fixture("flip-padding", "a byte behind a checksum", |d| {
        let f = patient(&j(d));
        edit(&f, 0, |bytes| {
            let padded = |f: &std::ops::Range<usize>| {
                let body = u32::from_le_bytes(bytes[f.start + 8..][..4].try_into().unwrap()) as usize;
                f.end - f.start > 112 + body + 4
            };
            let frame = frames(bytes).into_iter().skip(1).find(padded).unwrap();
            bytes[frame.end - 1] = 1;
        });
    }),
    fixture("flip-mended", "a flipped bit with its checksum mended", |d| {
        let f = patient(&j(d));
        edit(&f, 0, |bytes| {
            flip(bytes, 2, 125);
            let frame = frames(bytes)[2].clone();
            fix_crc(&mut bytes[frame]);
        });
    }),
    // Moved.
    fixture("frame-dropped", "a frame left out", |d| moved(d, |_| vec![0, 1, 3, 4], 2)),
    fixture("frame-swapped", "two frames in the other order", |d| moved(d, |_| vec![0, 1, 3, 2, 4], 2)),
    fixture("frame-doubled", "a frame twice", |d| moved(d, |_| vec![0, 1, 2, 2, 3, 4], 2)),
    fixture("segment-missing", "a segment in the middle is gone", |d| {
        std::fs::remove_file(&patient(&j(d)).files()[1]).unwrap();
    }),
    fixture("segment-first-missing", "the first segment is gone", |d| {
        std::fs::remove_file(&patient(&j(d)).files()[0]).unwrap();
    }),
    fixture("segment-renamed", "a segment under another leaf's name", |d| {
        let f = patient(&j(d)).files();
        std::fs::rename(&f[1], f[1].with_file_name(file_name(6))).unwrap();
    }),
    fixture("segment-copied", "a segment in another's place", |d| {
        let f = patient(&j(d)).files();
        std::fs::copy(&f[0], &f[1]).unwrap();
    }),
    fixture("segment-foreign", "another host's segment", |d| {
        let (mine, theirs) = (patient(&j(d)).files(), d.join("theirs"));
        small_at(&theirs, 900, Ending::Stop);
        let alien = segments(&log_dir(&theirs)).remove(1);
        std::fs::copy(alien, &mine[1]).unwrap();
        std::fs::remove_dir_all(theirs).unwrap();
    }),
    fixture("segment-cut", "a segment in the middle is cut", |d| {
        edit(&patient(&j(d)), 1, |bytes| bytes.truncate(bytes.len() - 100));
    }),
    fixture("segment-cut-at-a-seal", "a segment in the middle is cut behind a seal", |d| {
        edit(&patient(&j(d)), 1, |bytes| {
            let seal = frames(bytes).into_iter().find(|f| bytes[f.start + 5] == 3).unwrap();
            bytes.truncate(seal.end);
        });
    }),
    fixture("segment-empty", "a segment of no bytes", |d| edit(&patient(&j(d)), 1, Vec::clear)),
    fixture("trailing", "bytes behind a closed segment", |d| {
        edit(&patient(&j(d)), 0, |bytes| bytes.extend_from_slice(b"more....."));
    }),
    fixture("trailing-frame", "a whole frame behind a closed segment", |d| {
        edit(&patient(&j(d)), 0, |bytes| {
            let first = frames(bytes)[1].clone();
            bytes.extend_from_within(first);
        });
    }),
    fixture("first-seal-zeroed", "a last segment that never had a seal", |d| {
        let f = patient(&j(d));
        edit(&f, f.files().len() - 1, |bytes| {
            let header = frames(bytes)[0].clone();
            bytes[header.end..].fill(0);
        });
    }),
    fixture("seal-two-behind", "damage with two seals behind it is no torn write", |d| {
        edit(&crashed(&j(d)), 0, |bytes| flip(bytes, -5, 130));
    }),
    fixture("trailing-at-the-end", "bytes behind a stopped log", |d| {
        let f = patient(&j(d));
        edit(&f, f.files().len() - 1, |bytes| bytes.extend_from_slice(b"more....."));
    }),
    fixture("trailing-zeros", "zeros behind a rotated segment", |d| {
        edit(&patient(&j(d)), 0, |bytes| bytes.resize(3072, 0));
    }),
    // Restarted.
    fixture("restart-before-the-end", "a restart that voids sealed commits", |d| {
        let f = crashed(&j(d));
        let healthy = std::fs::read(&f.files()[0]).unwrap();
        cut_back(&f, 1);
        let mut f = f;
        drop(f.open(20));
        std::fs::write(&f.files()[0], healthy).unwrap();
    }),
    fixture("restart-unsigned", "a restart that another key signed", |d| {
        let f = torn(&j(d));
        edit(&f, 1, |bytes| {
            let end = 112 + u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
            bytes[end - 64..end].copy_from_slice(&[3; 64]);
            let frame = frames(bytes)[0].clone();
            fix_crc(&mut bytes[frame]);
        });
    }),
    fixture("restart-other-key", "a restart with a good signature by no recovery key", |d| {
        forged(&torn(&j(d)), |s| {
            // The seal in front names another key: whoever has that one may restart, and it is not who did.
            if s.file == 0 && s.kind() == 3 {
                s.put(112 + 128, &[9; 32]);
            }
        });
    }),
    fixture("set-aside-changed", "the remains are not what the restart says", |d| {
        let f = torn(&j(d));
        edit(&f, 0, |bytes| {
            let used = bytes.iter().rposition(|b| *b != 0).unwrap();
            bytes[used - 20] ^= 1;
        });
    }),
    fixture("set-aside-moved", "remains at another offset than the restart says", |d| {
        forged(&torn(&j(d)), |s| at_header(s, 1, |s| s.add(112 + 192, 8)));
    }),
    fixture("restart-as-resume", "RESUME where nothing stopped", |d| {
        forged(&torn(&j(d)), |s| at_header(s, 1, |s| s.put(112 + 52, &[2])));
    }),
    fixture("restart-as-break", "BREAK behind a stop", |d| {
        forged(&torn(&j(d)), |s| at_header(s, 2, |s| s.put(112 + 52, &[3])));
    }),
    fixture("restart-streams-back", "a restart whose stream numbers fall back", |d| {
        forged(&torn(&j(d)), |s| at_header(s, 1, |s| s.put(112 + 184, &0u64.to_le_bytes())));
    }),
    fixture("restart-cut", "the segment before a restart is shorter than it must be", |d| {
        edit(&torn(&j(d)), 0, |bytes| bytes.truncate(4000));
    }),
    // Forged by somebody who has every key.
    fixture("forged-leaf", "a leaf number that skips", |d| forged_frame(d, |s| s.add(16, 1))),
    fixture("forged-record", "a record number that skips", |d| forged_frame(d, |s| s.add(40, 1))),
    fixture("forged-control", "a control number that skips", |d| forged_frame(d, |s| s.add(32, 1))),
    fixture("forged-flags", "flags that contradict the fields", |d| forged_frame(d, |s| s.put(12, &[4]))),
    fixture("forged-times", "a first record later than the last", |d| {
        forged_frame(d, |s| s.put(48, &[255; 8]));
    }),
    fixture("forged-codec", "records without a codec", |d| forged_frame(d, |s| s.put(68, &[0]))),
    fixture("forged-signature", "a signature where none may be", |d| forged_frame(d, |s| s.put(71, &[1]))),
    fixture("forged-stream", "a control frame with a stream", |d| forged_frame(d, |s| s.put(24, &[1]))),
    fixture("forged-body", "a control frame that can't be read", |d| {
        forged_frame(d, |s| s.put(112, &[9, 9]));
    }),
    fixture("newer-flag", "a flag of a newer version", |d| forged_frame(d, |s| s.put(13, &[1]))),
    fixture("newer-type", "a frame type of a newer version", |d| {
        // A leaf like any other: the control numbers behind it go on without it.
        let mut seen = false;
        forged(&patient(&j(d)), |s| {
            if s.kind() == 1 && seen {
                s.add(112 + 176, u64::MAX);
            }
            if s.kind() == 4 && seen {
                s.add(32, u64::MAX);
            }
            if !seen && s.only_record() == Some(Kind::HEARTBEAT) {
                s.put(5, &[9]);
                seen = true;
            }
        });
    }),
    fixture("newer-first", "a segment whose first frame nobody can read yet", |d| {
        let f = patient(&j(d));
        edit(&f, f.files().len() - 1, |bytes| {
            let used = frames(bytes);
            for frame in used {
                bytes[frame.start + 4] = 2;
            }
            bytes[200] ^= 1;
        });
    }),
    fixture("forged-stream-number", "a data frame out of number", |d| {
        forged(&patient(&j(d)), |s| {
            if s.kind() == 2 {
                s.add(32, 1);
            }
        });
    }),
    fixture("forged-stream-unknown", "a data frame of a stream that was never opened", |d| {
        forged(&patient(&j(d)), |s| {
            if s.kind() == 2 {
                s.add(24, 5);
            }
            if s.kind() == 1 && s.file > 0 {
                s.add(112 + 184, 5);
            }
        });
    }),
    fixture("forged-session-count", "a session's end that counts other records", |d| {
        forged(&patient(&j(d)), |s| {
            if s.only_record() == Some(Kind::SESSION_CLOSED) {
                let at = s.bytes.len() - 16;
                s.add(at, 1);
            }
        });
    }),
    fixture("forged-seal-number", "a seal skipped", |d| {
        forged_seal(d, |s| {
            s.add(32, 1);
            s.add(112 + 16, 1);
        });
    }),
    fixture("forged-seal-root", "a seal over another tree", |d| forged_seal(d, |s| s.put(112 + 64, &[1]))),
    fixture("forged-seal-boot", "a seal of another boot", |d| forged_seal(d, |s| s.put(112 + 160, &[9]))),
    fixture("forged-footer", "a footer that counts other records", |d| {
        forged(&patient(&j(d)), |s| {
            if s.file == 0 && s.kind() == 5 {
                s.add(112 + 16, 1);
            }
        });
    }),
    fixture("forged-footer-number", "a footer with another segment's number", |d| {
        forged(&patient(&j(d)), |s| {
            if s.file == 0 && s.kind() == 5 {
                s.add(32, 1);
            }
        });
    }),
    fixture("forged-rotation-key", "a rotation with another seal key", |d| {
        // Somebody's own key of whom everything is known: the origin's admission key.
        forged(&patient(&j(d)), |s| {
            let admission: [u8; 32] = s.bytes[112 + 16..112 + 48].try_into().unwrap();
            at_header(s, 1, |s| s.put(112 + 144, &admission));
        });
    }),
    fixture("forged-rotation-boot", "a rotation into another boot", |d| {
        forged(&patient(&j(d)), |s| {
            at_header(s, 1, |s| s.put(112 + 64, &[9]));
            if s.file == 1 && s.kind() == 3 {
                s.put(112 + 160, &[9]);
            }
        });
    }),
    fixture("forged-peaks", "a segment that names another tree", |d| {
        forged(&patient(&j(d)), |s| at_header(s, 1, |s| s.put(112 + 288, &[9])));
    }),
    fixture("forged-reason", "a segment header with an unknown reason", |d| {
        forged(&patient(&j(d)), |s| at_header(s, 1, |s| s.put(112 + 52, &[9])));
    }),
    // Logs.
    fixture("origin-flipped", "a flipped bit in the origin note", |d| {
        let path = log_of(&patient(&j(d))).join("origin.note");
        let mut note = std::fs::read(&path).unwrap();
        note[90] ^= 1;
        std::fs::write(path, note).unwrap();
    }),
    fixture("origin-countersigned", "a line of somebody else's under the origin note is passed over", |d| {
        let path = log_of(&patient(&j(d))).join("origin.note");
        let mut note = std::fs::read(&path).unwrap();
        note.extend_from_slice("\u{2014} somebody AAAAAAAA\n".as_bytes());
        std::fs::write(path, note).unwrap();
    }),
    fixture("origin-missing", "no origin note", |d| {
        std::fs::remove_file(log_of(&patient(&j(d))).join("origin.note")).unwrap();
    }),
    fixture("origin-of-another", "a note kept elsewhere that is another log's", |d| {
        drop(patient(&j(d)));
        short(&d.join("theirs"));
        std::fs::copy(log_dir(&d.join("theirs")).join("origin.note"), d.join("origin.note")).unwrap();
        std::fs::remove_dir_all(d.join("theirs")).unwrap();
    }),
    fixture("log-foreign", "another host's log beside this one", |d| {
        short(&j(d));
        let theirs = d.join("theirs");
        drop(crashed(&theirs));
        let log = log_dir(&theirs);
        copy(&log, &j(d).join(log.file_name().unwrap()));
        std::fs::remove_dir_all(theirs).unwrap();
    }),
    fixture("abandoned-damaged", "a log that could not be continued: its end is damaged", |d| {
        let mut f = crashed(&j(d));
        edit(&f, 0, |bytes| flip(bytes, 2, 20));
        drop(f.open(20));
    }),
    fixture("abandoned-key-missing", "a log whose recovery key is gone", |d| {
        let mut f = crashed(&j(d));
        std::fs::remove_file(log_of(&f).join("recovery.key")).unwrap();
        drop(f.open(20));
    }),
    fixture(
        "abandoned-truncated",
        "cut back by minutes and restarted: the key that the seal names is gone",
        |d| {
            let mut f = minutes(&j(d));
            cut_back(&f, 6);
            drop(f.open(400));
        },
    ),
    fixture("fork-of-logs", "a copied journal, continued twice", |d| {
        let mut f = crashed(&j(d));
        std::fs::remove_file(log_of(&f).join("recovery.key")).unwrap();
        copy(&j(d), &d.join("copy"));
        drop(f.open(20));
        let mut other = Forger::new(&d.join("copy"), 800, 4096);
        drop(other.open(30));
        copy(&d.join("copy"), &j(d));
        std::fs::remove_dir_all(d.join("copy")).unwrap();
    }),
    fixture("log-missing", "the log that a later one names is gone", |d| {
        let mut f = crashed(&j(d));
        let first = log_of(&f);
        std::fs::remove_file(first.join("recovery.key")).unwrap();
        drop(f.open(20));
        std::fs::remove_dir_all(first).unwrap();
    }),
];
