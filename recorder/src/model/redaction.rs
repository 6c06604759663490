//! Secrets that were taken out of records before they were written.

use serde::{Deserialize, Serialize};

use super::codes::codes;
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

codes! {
    /// Field names of [`Redaction`].
    #[derive(PartialOrd, Ord)]
    RedactedField {
        /// An argument of an exec.
        Argv = 1, "argv";
        /// What was asked for.
        What = 2, "what";
        /// Whom.
        To = 3, "to";
        /// What ties both ends.
        Evidence = 4, "evidence";
        /// Words of the recorder about what was wanted.
        Text = 5, "text";
        /// What changed in a file.
        Diff = 6, "diff";
        /// An argument of a call that changed the system.
        Args = 7, "args";
        /// What one of the kernel's settings was set to.
        Value = 8, "value";
    }
}

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
