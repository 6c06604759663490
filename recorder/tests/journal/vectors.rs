//! The test vectors of docs/journal-format.md: the page and the code must agree on every byte.

use std::fmt::Write as _;

use crate::common::*;
use crate::golden::sign::{cosigned, secret, signer_line, ssh_signature, vkey};
use recorder::journal::chain::{Position, Sealer};
use recorder::journal::checkpoint::{self, Checkpoint, Head};
use recorder::journal::frame::{FrameType, Header, put_frame};
use recorder::journal::key::{Identity, PublicKey};
use recorder::journal::note::sign;
use recorder::journal::record::Encoder;
use recorder::journal::retain::{Item, Maker, Permit, Plan, Successor, build};
use recorder::journal::tree::Frontier;
use recorder::journal::{RealDisk, Writer};
use recorder::model::*;

const PAGE: &str = include_str!("../../../docs/journal-format.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The vector of that name on the page: the hex lines of the block behind "vector NAME".
fn vector(name: &str) -> String {
    let start = PAGE.find(&format!("vector {name}\n")).unwrap_or_else(|| panic!("no vector {name}"));
    let lines = PAGE[start..].lines().skip(1).take_while(|l| l.starts_with("      "));
    lines.flat_map(|l| l.split_whitespace()).collect()
}

/// Where they differ, what the page would have to say is in the message, as it stands there.
fn check(name: &str, bytes: &[u8]) {
    let lines = || bytes.chunks(48).map(|c| format!("      {}", hex(c))).collect::<Vec<_>>().join("\n");
    assert!(hex(bytes) == vector(name), "the code's vector {name} is not the page's:\n{}", lines());
}

/// The text of that name on the page: the indented lines of the block behind "text NAME", blank ones among them.
fn text(name: &str) -> String {
    let start = PAGE.find(&format!("text {name}\n")).unwrap_or_else(|| panic!("no text {name}"));
    let lines = PAGE[start..].lines().skip(1).take_while(|l| l.is_empty() || l.starts_with("      "));
    let all: Vec<&str> = lines.map(|l| l.strip_prefix("      ").unwrap_or(l)).collect();
    format!("{}\n", all.join("\n").trim_end())
}

fn check_text(name: &str, made: &str) {
    let lines = || made.lines().map(|l| format!("      {l}")).collect::<Vec<_>>().join("\n");
    assert!(made == text(name), "the code's text {name} is not the page's:\n{}", lines());
}

#[test]
fn notes_on_the_page_are_what_the_code_signs() {
    let mut tree = Frontier::default();
    let mut at = Position::start();
    at.put_leaf(&mut Vec::new(), Header::new(FrameType::CONTROL), b"", None).unwrap();
    tree.push(at.prev);
    let origin = checkpoint::origin_line(LogId::new([0x11; 16]));
    let head = Head { size: 1, root: tree.root() };
    let body = Checkpoint { origin: origin.clone(), head }.text();
    let note = format!("{body}\n{}", sign(&origin, &secret(0x33), &body));
    check_text("checkpoint", &note);
    check_text("cosigned", &cosigned(&note, 0x55, 1_700_000_005));
    check_text("vkey", &format!("{}\n", vkey(0x55)));
}

#[test]
fn a_stub_and_its_permit_on_the_page_are_what_the_code_makes() {
    let dir = tempfile::tempdir().unwrap();
    let open = |seconds| {
        let config = config(dir.path(), 16384);
        Writer::open(config, RealDisk, Same(0x33), BootId::new([0x44; 16]), at(seconds)).unwrap()
    };
    let (mut w, opened) = open(1);
    let s = w.open_session(session(1), at(1).boot);
    w.close_session(s, EndReason::LastTask, 0, at(2).boot);
    let digest = |n| Digest::new([n; 32]);
    let tombstone =
        Tombstone { permit: digest(1), stub: digest(2), first: 3, leaves: 4, applied: at(5).real };
    w.append(StreamNo::LOG, Record { body: Body::Tombstone(tombstone), ..heartbeat(5) });
    w.stop(stop(6)).unwrap();
    open(10).0.stop(stop(11)).unwrap();
    let files = segments(&log_dir(dir.path()));
    let next = Successor::read(std::fs::File::open(&files[1]).unwrap()).unwrap();
    let (bytes, stub) = build(std::fs::File::open(&files[0]).unwrap(), &next).unwrap();
    check("stub", &bytes);
    let item = Item { first: 0, last: stub.leaves() - 1, stub: stub.digest };
    let plan = Plan { log: opened.log, policy: "keep 90d".into(), holds: digest(6), segments: vec![item] };
    let maker = Maker { signer: "dana".into(), made: at(20).real, nonce: [7; 16] };
    let (permit, document) = Permit::write(&maker, &plan, "disk", at(500).real).unwrap();
    check_text("permit", std::str::from_utf8(&document).unwrap());
    check("permit-digest", permit.head.id.as_bytes());
    let signature = ssh_signature(0x55, &document);
    check_text("permit-signature", std::str::from_utf8(&signature).unwrap());
    check_text("allowed-signers", &signer_line("dana", "namespaces=\"recorder-retention\" ", 0x55));
}

#[test]
fn the_page_and_the_code_agree() {
    // A frame: control, two fields set, the body "abc".
    let mut header = Header::new(FrameType::CONTROL);
    (header.leaf, header.record, header.records, header.codec) = (1, 2, 3, 1);
    let mut frame = Vec::new();
    let hash = put_frame(&mut frame, header, b"abc");
    check("frame", &frame);
    check("frame-hash", hash.as_bytes());
    // A seal over that leaf.
    let identity = Identity { log: LogId::new([0x11; 16]), admission: PublicKey([0x22; 32]) };
    let mut dice = Same(0x33);
    let mut sealer = Sealer::start(identity, BootId::new([0x44; 16]), &mut dice).unwrap();
    let mut at = Position::start();
    let mut out = Vec::new();
    at.put_leaf(&mut out, Header::new(FrameType::CONTROL), b"", None).unwrap();
    check("tree-root", at.tree.root().as_bytes());
    let start = out.len();
    dice.0 = 0x55;
    sealer.seal(&mut out, &mut at, PublicKey([0x66; 32]), self::at(1), &mut dice).unwrap();
    check("seal", &out[start..]);
    // Records: two opens and an exec.
    let mut encoder = Encoder::default();
    for r in [opened_file(1, "/etc/a"), opened_file(2, "/etc/b"), exec(3, 0)] {
        encoder.push(&r);
    }
    let mut plain = Vec::new();
    encoder.finish(&mut plain);
    check("records", &plain);
}

/// Randomness of one byte.
struct Same(u8);

impl recorder::journal::Entropy for Same {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), recorder::journal::JournalError> {
        out.fill(self.0);
        Ok(())
    }
}
