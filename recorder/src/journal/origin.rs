//! `origin.note`: who a log is, as a C2SP signed note by its admission key. Kept elsewhere, it is what `--origin` takes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Identity, PublicKey, SecretKey, sha256};
use crate::model::LogId;

/// File name.
pub const FILE: &str = "origin.note";
/// A longer file is no note.
pub const MAX_LEN: usize = 16 << 10;

/// Why a recorder began a new log although there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// The end of the log was damaged in a way that no crash leaves.
    Damaged,
    /// `recovery.key` holds a newer key than the last seal names: seals were removed.
    KeyMismatch,
    /// `recovery.key` is missing or holds no key.
    KeyMissing,
}

impl Abandoned {
    /// Word in the note.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::KeyMismatch => "recovery-key-mismatch",
            Self::KeyMissing => "recovery-key-missing",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Damaged, Self::KeyMismatch, Self::KeyMissing].into_iter().find(|a| a.word() == word)
    }
}

/// An origin note's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Log and admission key.
    pub identity: Identity,
    /// Random id that all incarnations of one journal share.
    pub host_id: LogId,
    /// Host name, escaped.
    pub host: String,
    /// From 1.
    pub incarnation: u32,
    /// The log that this one follows, and why it was not continued.
    pub previous: Option<(LogId, Abandoned)>,
    /// Key of the log's first seal.
    pub first_seal: PublicKey,
}

impl Origin {
    /// The C2SP origin line, also the signer's name.
    pub fn name(&self) -> String {
        format!("recorder-journal/v1/{}", self.identity.log)
    }

    fn text(&self) -> String {
        let previous = match self.previous {
            None => "previous none\n".to_owned(),
            Some((log, why)) => format!("previous {log} {}\n", why.word()),
        };
        format!(
            "{}\nhost-id {}\nhost {}\nincarnation {}\n{previous}admission {}\nfirst-seal {}\n",
            self.name(),
            self.host_id,
            self.host,
            self.incarnation,
            STANDARD.encode(self.identity.admission.0),
            STANDARD.encode(self.first_seal.0),
        )
    }

    /// First four bytes of SHA-256(name || 0x0a || 0x01 || key), as C2SP signed-note has it.
    fn key_hash(&self) -> [u8; 4] {
        let mut input = self.name().into_bytes();
        input.extend_from_slice(&[0x0a, 0x01]);
        input.extend_from_slice(&self.identity.admission.0);
        sha256(&input).as_bytes().first_chunk().copied().unwrap_or_default()
    }

    /// The signed note.
    pub fn sign(&self, admission: &SecretKey) -> String {
        let text = self.text();
        let mut raw = self.key_hash().to_vec();
        raw.extend_from_slice(&admission.sign(text.as_bytes()));
        format!("{text}\n\u{2014} {} {}\n", self.name(), STANDARD.encode(raw))
    }

    /// Reads a note and checks its signature against the key that it names.
    pub fn parse(note: &[u8]) -> Option<Self> {
        let note = std::str::from_utf8(note).ok().filter(|n| n.len() <= MAX_LEN)?;
        let (text, signatures) = note.split_once("\n\n")?;
        let mut lines = text.split('\n');
        let log = LogId::from_hex(lines.next()?.strip_prefix("recorder-journal/v1/")?)?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok().map(PublicKey);
        let host_id = LogId::from_hex(field("host-id")?)?;
        let host = field("host")?.to_owned();
        let incarnation = field("incarnation")?.parse().ok()?;
        let previous = match field("previous")? {
            "none" => None,
            pair => {
                let (log, why) = pair.split_once(' ')?;
                Some((LogId::from_hex(log)?, Abandoned::from_word(why)?))
            }
        };
        let admission = key(field("admission")?)?;
        let first_seal = key(field("first-seal")?)?;
        let origin =
            Self { identity: Identity { log, admission }, host_id, host, incarnation, previous, first_seal };
        // The text must be exactly what we would write: one form for one meaning.
        let signed = origin.text();
        if signed.strip_suffix('\n') != Some(text) {
            return None;
        }
        let prefix = format!("\u{2014} {} ", origin.name());
        let good = signatures.lines().filter_map(|line| line.strip_prefix(&prefix)).any(|encoded| {
            STANDARD.decode(encoded).is_ok_and(|raw| {
                raw.split_first_chunk::<4>().is_some_and(|(hash, signature)| {
                    *hash == origin.key_hash()
                        && signature.try_into().is_ok_and(|s| admission.verifies(signed.as_bytes(), s))
                })
            })
        });
        good.then_some(origin)
    }
}
