//! The test vectors of docs/journal-format.md: the page and the code must agree on every byte.

use std::fmt::Write as _;

use crate::common::*;
use recorder::journal::chain::{Position, Sealer};
use recorder::journal::frame::{FrameType, Header, put_frame};
use recorder::journal::key::{Identity, PublicKey};
use recorder::journal::record::Encoder;
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
