//! Grants in the journal: documents as they came, and what became of them.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{Bytes, Digest, RealNanos};

/// What happened to a document, or to what decides about documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GrantAct {
    /// A document came whose signature is good and whose signer may sign. `text` says why the book does not follow it, if
    /// it does not.
    #[default]
    Received,
    /// A document came that is none, or that nobody who may has signed; `text` says why.
    Refused,
    /// A request's state changed; `text` is the new one.
    State,
    /// The policy was read or changed; `document` is the SHA-256 of its bytes.
    Policy,
    /// The list of signers was read or changed; `document` is the SHA-256 of its bytes.
    Signers,
    /// What the recorder remembers of all that was received: `bytes` is its own form of it, for its next start.
    Memory,
    /// A newer recorder's word.
    Unknown(u16),
}

impl GrantAct {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Received => 1,
            Self::Refused => 2,
            Self::State => 3,
            Self::Policy => 4,
            Self::Signers => 5,
            Self::Memory => 6,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Received,
            2 => Self::Refused,
            3 => Self::State,
            4 => Self::Policy,
            5 => Self::Signers,
            6 => Self::Memory,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::State => "state",
            Self::Policy => "policy",
            Self::Signers => "signers",
            Self::Memory => "memory",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(GrantAct);

/// A record of the log: a document, a state, or a list that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What happened.
    pub act: GrantAct,
    /// SHA-256 of the document's bytes.
    pub document: Digest,
    /// SHA-256 of the request that it is about; the same as `document` for a request.
    pub request: Digest,
    /// The document's own word for what it is: `request`, `approval`, …; empty where it could not be read.
    pub kind: Bytes,
    /// Who signed, as the list of signers calls him.
    pub signer: Bytes,
    /// The person whom the request is for.
    pub person: Bytes,
    /// Fingerprint of the key that signed, `SHA256:…`.
    pub key: Bytes,
    /// When it was received, by the last trusted clock.
    pub received: RealNanos,
    /// The reason of a refusal, or the name of a state.
    pub text: Bytes,
    /// The document as it came, or what is remembered; empty for states and lists.
    pub bytes: Bytes,
    /// Its signature as it came.
    pub signature: Bytes,
    /// In a clear twin: SHA-256 of what the host kept of the whole record for itself; else zero.
    pub kept: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..9 {
            assert_eq!(GrantAct::from_code(code).code(), code);
        }
    }
}
