//! Grants in the journal: documents as they came, and which of them covered which stretch of a session.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{BootNanos, Bytes, Digest, RealNanos};

/// What happened to a document, or to what decides about documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantAct {
    /// A document came whose signature is good.
    Received,
    /// A document came and was refused; `text` says why.
    Refused,
    /// A request's state changed; `text` is the new one.
    State,
    /// The policy was read or changed; `document` is the SHA-256 of its bytes.
    Policy,
    /// The list of signers was read or changed; `document` is the SHA-256 of its bytes.
    Signers,
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
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(GrantAct);

/// A record of the log: a document, a state, or a list that decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The document as it came; empty for states and lists.
    pub bytes: Bytes,
    /// Its signature as it came.
    pub signature: Bytes,
}

/// Whether a grant allows what a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoverageState {
    /// A grant allows it.
    Covered,
    /// He allowed it himself, by breaking the glass.
    BreakGlass,
    /// Nothing allows it: nobody asked.
    NoGrant,
    /// A grant begins later.
    Early,
    /// A grant is over.
    Late,
    /// A grant is for other hosts.
    WrongHost,
    /// A grant is for other privileges.
    WrongPrivilege,
    /// The grant was taken back.
    Revoked,
    /// No person can be tied to the session.
    Unattributed,
    /// A newer recorder's word.
    Unknown(u16),
}

impl CoverageState {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Covered => 1,
            Self::BreakGlass => 2,
            Self::NoGrant => 16,
            Self::Early => 17,
            Self::Late => 18,
            Self::WrongHost => 19,
            Self::WrongPrivilege => 20,
            Self::Revoked => 21,
            Self::Unattributed => 22,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Covered,
            2 => Self::BreakGlass,
            16 => Self::NoGrant,
            17 => Self::Early,
            18 => Self::Late,
            19 => Self::WrongHost,
            20 => Self::WrongPrivilege,
            21 => Self::Revoked,
            22 => Self::Unattributed,
            n => Self::Unknown(n),
        }
    }

    /// `covered`, `break_glass` or `uncovered`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::BreakGlass => "break_glass",
            Self::Unknown(_) => "unknown",
            _ => "uncovered",
        }
    }

    /// Why nothing covers it; none for what is covered.
    pub const fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::NoGrant => "no_grant",
            Self::Early => "early",
            Self::Late => "late",
            Self::WrongHost => "wrong_host",
            Self::WrongPrivilege => "wrong_privilege",
            Self::Revoked => "revoked",
            Self::Unattributed => "unattributed",
            Self::Covered | Self::BreakGlass | Self::Unknown(_) => return None,
        })
    }
}
serde_as_code!(CoverageState);

/// A record of a session: from here on its coverage is this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// From this moment, until the next such record.
    pub from: BootNanos,
    /// Whether and why.
    pub state: CoverageState,
    /// The request that covers it, or the nearest miss; zeros where there is none.
    pub request: Digest,
    /// The person that the session is tied to; empty if none.
    pub person: Bytes,
    /// The incident, as `SYSTEM:ID`; empty if none.
    pub incident: Bytes,
}

impl Coverage {
    /// The request, if there is one.
    pub fn request(&self) -> Option<Digest> {
        (self.request != Digest::default()).then_some(self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..40 {
            assert_eq!(CoverageState::from_code(code).code(), code);
            assert_eq!(GrantAct::from_code(code).code(), code);
        }
        assert_eq!((CoverageState::Late.name(), CoverageState::Late.reason()), ("uncovered", Some("late")));
    }
}
