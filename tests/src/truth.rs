//! What workloads report about themselves: the ground truth, counted by the doer and never taken from the recorder.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes counted and hashed while they go by.
#[derive(Clone, Default)]
pub struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    /// Adds what was written or read.
    pub fn add(&mut self, data: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.hash.update(data);
    }

    /// How many bytes went by.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of everything so far, in hex.
    pub fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

/// SHA-256 in hex.
pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn hex(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len() * 2);
    for byte in data {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a terminal driver with output post-processing makes of a program's bytes: every LF becomes CR LF.
pub fn as_shown(data: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(data.len() + data.len() / 32);
    for &byte in data {
        if byte == b'\n' {
            shown.push(b'\r');
        }
        shown.push(byte);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newline_becomes_two_bytes() {
        assert_eq!(as_shown(b"a\nb\r\n"), b"a\r\nb\r\r\n");
    }

    #[test]
    fn tally_equals_the_hash_of_the_whole() {
        let mut tally = Tally::default();
        tally.add(b"ab");
        tally.add(b"c");
        assert_eq!(tally.sha256(), sha256(b"abc"));
        assert_eq!(tally.bytes(), 3);
    }
}
