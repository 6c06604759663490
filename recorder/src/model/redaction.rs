//! Secrets that were taken out of records before they were written.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{Bytes, Digest, Kind};

/// Stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// What was taken out of the record that stands directly before this one in its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// That record's kind.
    pub of: Kind,
    /// Each place, in the order of fields and bytes.
    pub places: Vec<Redaction>,
}

/// One place where [`REDACTED`] stands for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// Which field.
    pub field: RedactedField,
    /// Which argument, from 0; 0 in fields that are no lists.
    pub index: u32,
    /// Where in the stored value it stands, bytes.
    pub offset: u64,
    /// Length of the secret, bytes: as a program gets it, without a shell's quotes.
    pub bytes: u64,
    /// Name of the rule that found it.
    pub rule: Bytes,
    /// HMAC-SHA256 of the secret by the newest [`RedactionKey`] before it; `None` in a journal that is not encrypted.
    pub hash: Option<Digest>,
}

/// The key of the hashes that follow, new at each start. It stands in the log's sealed stream; in its clear twin it is empty.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactionKey {
    /// 32 bytes, or nothing.
    pub key: Bytes,
}

impl std::fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedactionKey(..)")
    }
}

/// Field names of [`Redaction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RedactedField {
    /// An argument of an exec.
    Argv,
    /// What was asked for.
    What,
    /// Whom.
    To,
    /// What ties both ends.
    Evidence,
    /// Words of the recorder about what was wanted.
    Text,
    /// What changed in a file.
    Diff,
    /// An argument of a call that changed the system.
    Args,
    /// What one of the kernel's settings was set to.
    Value,
    /// A newer recorder's field.
    Unknown(u16),
}

impl RedactedField {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Argv => 1,
            Self::What => 2,
            Self::To => 3,
            Self::Evidence => 4,
            Self::Text => 5,
            Self::Diff => 6,
            Self::Args => 7,
            Self::Value => 8,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Argv,
            2 => Self::What,
            3 => Self::To,
            4 => Self::Evidence,
            5 => Self::Text,
            6 => Self::Diff,
            7 => Self::Args,
            8 => Self::Value,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argv => "argv",
            Self::What => "what",
            Self::To => "to",
            Self::Evidence => "evidence",
            Self::Text => "text",
            Self::Diff => "diff",
            Self::Args => "args",
            Self::Value => "value",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(RedactedField);

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u16(self.code())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        u16::deserialize(d).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable() {
        for code in 0..10 {
            assert_eq!(RedactedField::from_code(code).code(), code);
        }
        let codes =
            [RedactedField::Argv, RedactedField::Evidence, RedactedField::Text].map(RedactedField::code);
        assert_eq!((codes, Kind::REDACTED.code(), Kind::REDACTION_KEY.code()), ([1, 4, 5], 58, 271));
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", RedactionKey { key: Bytes::from("secret") }), "RedactionKey(..)");
    }
}
