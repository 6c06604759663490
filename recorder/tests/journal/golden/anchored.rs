//! Fixtures of checkpoints that were kept elsewhere, and of who signed them.

use std::path::Path;

use super::buried::{bury, honest, list_dana};
use super::changes::{edit, flip, j, keep_origin, log_of};
use super::forge::{Forger, Overheard, frames};
use super::list::{Fixture, fixture};
use super::scenes::{control, cut_back, patient};
use super::sign::{cosigned, secret, vkey};
use crate::common::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use recorder::journal::checkpoint::{Head, Signer, to_word, verifier};
use recorder::journal::frame::frame_hash;
use recorder::journal::key::{Identity, PublicKey};
use recorder::journal::note::{Algorithm, Verifier};
use recorder::journal::tree::Frontier;
use recorder::journal::{RealDisk, Writer};
use recorder::model::*;

type Pen = Writer<RealDisk, Overheard>;

fn log_id(f: &Forger) -> LogId {
    LogId::from_hex(log_of(f).file_name().unwrap().to_str().unwrap()).unwrap()
}

/// The checkpoint that the log's key signs.
fn note(f: &Forger, head: Head) -> String {
    Signer::open(&f.dir, log_id(f)).unwrap().unwrap().sign(head)
}

fn keep(d: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(d.join("anchors")).unwrap();
    std::fs::write(d.join("anchors").join(name), text).unwrap();
}

/// Three commits, a place to keep, three more, a stop; one segment. Gives the heads there and at the end.
fn life(f: &mut Forger, between: impl FnOnce(&Forger, &mut Pen)) -> (Head, Head) {
    let mut w = f.open(0);
    for n in 1..4 {
        w.append(StreamNo::LOG, heartbeat(n));
        w.commit(at(n)).unwrap();
    }
    let early = w.head();
    between(f, &mut w);
    for n in 5..8 {
        w.append(StreamNo::LOG, heartbeat(n));
        w.commit(at(n)).unwrap();
    }
    (early, w.stop(stop(8)).unwrap())
}

fn host(d: &Path) -> (Forger, Head, Head) {
    let mut f = Forger::new(&j(d), 1500, 16384);
    let (early, end) = life(&mut f, |_, _| ());
    keep_origin(d);
    (f, early, end)
}

/// The log's own name in a policy, and two witnesses.
fn policy(d: &Path, f: &Forger, rest: &str) {
    let signer = Signer::open(&f.dir, log_id(f)).unwrap().unwrap();
    let log = verifier(log_id(f), signer.identity().admission).unwrap();
    let text = format!("log {log}\n\n# two of them\nwitness A {}\nwitness B {}\n{rest}\n", vkey(1), vkey(2));
    std::fs::write(d.join("policy"), text).unwrap();
}

/// An anchor of the whole log, cosigned by these, under that policy.
fn judged(d: &Path, by: &[u8], rest: &str) {
    let (f, _, end) = host(d);
    let mut text = note(&f, end);
    for n in by {
        text = cosigned(&text, *n, 1_700_000_020 + u64::from(*n));
    }
    keep(d, "end", &text);
    policy(d, &f, rest);
}

/// A CHECKPOINT record in the middle of the log; `change` makes of head and note what it holds.
fn recorded(d: &Path, change: impl FnOnce(&Forger, Head) -> (Head, String)) -> (Forger, Head, Head) {
    let mut f = Forger::new(&j(d), 1600, 16384);
    let (early, end) = life(&mut f, |f, w| {
        let (head, note) = change(f, w.head());
        let back = Cosigned { size: head.size, root: head.root, note: Bytes::from(note.as_str()) };
        w.append(StreamNo::LOG, control(4, Body::Checkpoint(Box::new(back))));
        w.commit(at(4)).unwrap();
    });
    keep_origin(d);
    keep(d, "end", &note(&f, end));
    (f, early, end)
}

fn honest_record(f: &Forger, head: Head) -> (Head, String) {
    (head, cosigned(&note(f, head), 1, 1_700_000_005))
}

/// The root at any size, sealed or not.
fn head_at(f: &Forger, size: u64) -> Head {
    let mut tree = Frontier::default();
    let files: Vec<Vec<u8>> = f.files().iter().map(|path| std::fs::read(path).unwrap()).collect();
    let leaves = files.iter().flat_map(|bytes| frames(bytes).into_iter().map(|span| &bytes[span]));
    for frame in leaves.filter(|frame| frame[5] != 3).take(size as usize) {
        let body = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        tree.push(frame_hash(&frame[..112 + body]));
    }
    Head { size, root: tree.root() }
}

pub(crate) const FIXTURES: &[Fixture] = &[
    fixture("anchor", "origin, a stop, and an anchor of the whole log: VERIFIED", |d| {
        let (f, _, end) = host(d);
        keep(d, "end", &note(&f, end));
    }),
    fixture("anchor-running", "an anchor of all that is sealed proves that end without a stop", |d| {
        let mut f = Forger::new(&j(d), 1500, 16384);
        let mut w = f.open(0);
        w.append(StreamNo::LOG, heartbeat(1));
        w.commit(at(1)).unwrap();
        let head = w.head();
        drop(w);
        keep_origin(d);
        keep(d, "end", &note(&f, head));
    }),
    fixture("anchor-older", "an anchor shows the log up to where it was signed, and no end", |d| {
        let (f, early, _) = host(d);
        keep(d, "early", &note(&f, early));
    }),
    fixture("anchor-word", "an anchor as a word in a line, among others' and other things", |d| {
        let (f, early, end) = host(d);
        let line = format!("Nov 21 02:31:00 web-1 recorder[7]: {} end", to_word(&note(&f, end)));
        let origin = std::fs::read_to_string(d.join("origin.note")).unwrap();
        keep(d, "syslog", &format!("junk\n{origin}\n{line}\n{}junk", note(&f, early)));
    }),
    fixture("anchor-cut", "a log that is shorter than an anchor, cut at a seal", |d| {
        let (f, _, end) = host(d);
        keep(d, "end", &note(&f, end));
        let capacity = {
            let bytes = std::fs::read(&f.files()[0]).unwrap();
            super::changes::capacity(&bytes)
        };
        cut_back(&f, 2);
        edit(&f, 0, |bytes| bytes.resize(capacity, 0));
    }),
    fixture("anchor-older-copy", "an older copy put back: whole, and shorter than an anchor", |d| {
        let (mut f, _, _) = host(d);
        copy(&j(d), &d.join("copy"));
        let mut w = f.open(20);
        w.append(StreamNo::LOG, heartbeat(21));
        w.commit(at(21)).unwrap();
        keep(d, "end", &note(&f, w.stop(stop(22)).unwrap()));
        std::fs::remove_dir_all(j(d)).unwrap();
        std::fs::rename(d.join("copy"), j(d)).unwrap();
    }),
    fixture("anchor-fork", "the log has another root where an anchor was signed", |d| {
        let (f, early, end) = host(d);
        keep(d, "early", &note(&f, Head { root: Digest::new([7; 32]), ..early }));
        keep(d, "end", &note(&f, end));
    }),
    fixture("anchor-fork-between", "another root at a size that no seal has", |d| {
        let (f, early, _) = host(d);
        keep(d, "a", &note(&f, Head { size: early.size + 2, root: Digest::new([8; 32]) }));
        keep(d, "b", &note(&f, Head { size: 1, root: Digest::new([7; 32]) }));
    }),
    fixture("anchor-between", "the root at a size that no seal has", |d| {
        let (f, _, end) = host(d);
        keep(d, "between", &note(&f, head_at(&f, end.size - 1)));
    }),
    fixture("anchor-forged", "a size that nobody signed", |d| {
        let (f, _, end) = host(d);
        let good = note(&f, end);
        let more = format!("\n{}\n", end.size + 9);
        keep(d, "end", &good.replacen(&format!("\n{}\n", end.size), &more, 1));
    }),
    fixture("anchor-by-another-key", "signed in the log's name by a key that is not its", |d| {
        let (f, _, end) = host(d);
        let by = secret(9);
        let identity = Identity { log: log_id(&f), admission: PublicKey(by.public().0) };
        let good = note(&f, end);
        let text = format!("{}\n", good.split_once("\n\n").unwrap().0);
        let name = recorder::journal::checkpoint::origin_line(identity.log);
        keep(d, "end", &format!("{text}\n{}", recorder::journal::note::sign(&name, &by, &text)));
    }),
    fixture("anchor-of-another", "anchors of logs that are not here", |d| {
        let (_, _, end) = host(d);
        let mut other = Forger::new(&d.join("other"), 1700, 16384);
        life(&mut other, |_, _| ());
        keep(d, "end", &note(&other, end));
    }),
    fixture("anchor-beside-another", "another log's anchor beside the log's own", |d| {
        let (f, _, end) = host(d);
        let mut other = Forger::new(&d.join("other"), 1700, 16384);
        life(&mut other, |_, _| ());
        keep(d, "end", &format!("{}{}", note(&other, end), note(&f, end)));
    }),
    fixture("anchor-broken", "what begins as a checkpoint and is none", |d| {
        let (f, _, end) = host(d);
        let cut: String = note(&f, end).chars().take(100).collect();
        keep(d, "end", &cut);
    }),
    fixture("anchor-behind-damage", "behind a break nothing is said of anchors", |d| {
        let mut f = patient(&j(d));
        let w = f.open(20);
        let end = w.head();
        w.stop(stop(21)).unwrap();
        keep_origin(d);
        keep(d, "end", &note(&f, end));
        keep(d, "first", &note(&f, head_at(&f, 2)));
        edit(&f, 1, |bytes| flip(bytes, 1, 130));
    }),
    fixture("anchor-expired", "anchors inside an expired segment, and at its last seal", |d| {
        let mut f = patient(&j(d));
        let heads: Vec<Head> = (1..12).map(|size| head_at(&f, size)).collect();
        bury(&mut f, 100, &honest(&[1]));
        list_dana(d);
        keep_origin(d);
        for head in heads {
            keep(d, &format!("{:02}", head.size), &note(&f, head));
        }
    }),
    fixture("anchor-expired-fork", "another root at an expired segment's last seal", |d| {
        let mut f = patient(&j(d));
        bury(&mut f, 100, &honest(&[1]));
        list_dana(d);
        let behind = std::fs::read(&f.files()[1]).unwrap();
        let size = u64::from_le_bytes(behind[16..24].try_into().unwrap());
        keep(d, "end", &note(&f, Head { size, root: Digest::new([7; 32]) }));
    }),
    fixture("policy-none", "a policy that asks nobody", |d| judged(d, &[], "quorum none")),
    fixture("policy-none-older", "a policy that asks nobody is never short", |d| {
        let (f, early, _) = host(d);
        keep(d, "early", &note(&f, early));
        policy(d, &f, "quorum none");
    }),
    fixture("policy-one", "a policy, and the witness that it asks has signed", |d| {
        judged(d, &[1], "quorum A");
    }),
    fixture("policy-all", "a policy, and both witnesses have signed", |d| {
        judged(d, &[1, 2], "group G all A B\nquorum G");
    }),
    fixture("policy-any", "a policy, and one of two witnesses has signed", |d| {
        judged(d, &[2], "group G any A B\nquorum G");
    }),
    fixture("policy-short", "a policy, and nobody has signed", |d| judged(d, &[], "quorum A")),
    fixture("policy-short-of-one", "a policy, and one witness of two has not signed", |d| {
        judged(d, &[1], "group G 2 A B\nquorum G");
    }),
    fixture("policy-wrong-cosignature", "a cosignature of another time than its line says", |d| {
        let (f, _, end) = host(d);
        let text = cosigned(&note(&f, end), 1, 1_700_000_020);
        let (head, line) = text.trim_end().rsplit_once(' ').unwrap();
        let mut raw = STANDARD.decode(line).unwrap();
        raw[11] ^= 1;
        keep(d, "end", &format!("{head} {}\n", STANDARD.encode(raw)));
        policy(d, &f, "quorum A");
    }),
    fixture("policy-plain-signature", "a witness's plain signature is no cosignature", |d| {
        let (f, _, end) = host(d);
        let good = note(&f, end);
        let text = format!("{}\n", good.split_once("\n\n").unwrap().0);
        keep(d, "end", &format!("{good}{}", recorder::journal::note::sign("w1", &secret(1), &text)));
        policy(d, &f, "quorum A");
    }),
    fixture("policy-other-kind", "a witness's key of another kind never counts", |d| {
        let (f, _, end) = host(d);
        let one = cosigned(&note(&f, end), 1, 1_700_000_020);
        keep(d, "end", &cosigned(&one, 3, 1_700_000_020));
        let mut raw = vec![6];
        raw.extend_from_slice(&secret(3).public().0);
        let mut input = b"w3\n".to_vec();
        input.extend_from_slice(&raw);
        let hash = recorder::journal::key::sha256(&input).to_string();
        let other = format!("w3+{}+{}", &hash[..8], STANDARD.encode(raw));
        policy(d, &f, &format!("witness C {other}\ngroup G all A C\nquorum G"));
    }),
    fixture("policy-other-log", "a policy that lists other logs", |d| {
        let (f, _, end) = host(d);
        keep(d, "end", &cosigned(&note(&f, end), 1, 1_700_000_020));
        let log = Verifier::new("example.org/log", Algorithm::Ed25519, secret(5).public()).unwrap();
        let text = format!("log {log}\nwitness A {}\nquorum A\n", vkey(1));
        std::fs::write(d.join("policy"), text).unwrap();
    }),
    fixture("policy-older-anchor", "an anchor that the quorum has signed, and leaves behind it", |d| {
        let (f, early, end) = host(d);
        keep(d, "early", &cosigned(&note(&f, early), 1, 1_700_000_020));
        keep(d, "end", &note(&f, end));
        policy(d, &f, "quorum A");
    }),
    fixture("checkpoint", "a CHECKPOINT record says up to where the quorum signed", |d| {
        let (f, _, _) = recorded(d, honest_record);
        policy(d, &f, "quorum A");
    }),
    fixture("checkpoint-fork", "a CHECKPOINT record of another root than the log's", |d| {
        let (f, _, _) = recorded(d, |f, head| honest_record(f, Head { root: Digest::new([7; 32]), ..head }));
        policy(d, &f, "quorum none");
    }),
    fixture("checkpoint-unasked", "without a policy CHECKPOINT records are not looked at", |d| {
        recorded(d, |f, head| honest_record(f, Head { root: Digest::new([7; 32]), ..head }));
    }),
    fixture("checkpoint-between", "a CHECKPOINT record of a size that no seal has is not compared", |d| {
        let (f, _, _) = recorded(d, |f, head| {
            honest_record(f, Head { size: head.size - 1, root: Digest::new([7; 32]) });
            honest_record(f, Head { size: 1000, root: Digest::new([7; 32]) })
        });
        policy(d, &f, "quorum none");
    }),
    fixture("checkpoint-other-note", "a CHECKPOINT record whose note says something else", |d| {
        let (f, _, _) = recorded(d, |f, head| {
            let (_, note) = honest_record(f, head);
            (Head { size: head.size - 1, ..head }, note)
        });
        policy(d, &f, "quorum none");
    }),
    fixture("checkpoint-by-another-key", "a CHECKPOINT record that the log did not sign", |d| {
        let (f, _, _) = recorded(d, |f, head| {
            let (_, note) = honest_record(f, head);
            let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
            let name = text.lines().next().unwrap();
            (head, format!("{text}\n{}", recorder::journal::note::sign(name, &secret(9), &text)))
        });
        policy(d, &f, "quorum none");
    }),
    fixture("checkpoint-of-the-future", "a CHECKPOINT record of a size that only a later seal has", |d| {
        let (f, _, _) =
            recorded(d, |f, head| honest_record(f, Head { size: head.size + 1, root: Digest::new([7; 32]) }));
        policy(d, &f, "quorum none");
    }),
    fixture("checkpoint-no-note", "a CHECKPOINT record without a note", |d| {
        let (f, _, _) = recorded(d, |_, head| (head, "nothing".to_owned()));
        policy(d, &f, "quorum none");
    }),
];
