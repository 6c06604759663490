//! Which grant, if any, allowed a stretch of a session.

use super::Digest;
use super::event::serde_as_code;
use serde::{Deserialize, Serialize};

/// Why no grant allowed it. The order is that of the misses: the further down, the nearer a grant was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Uncovered {
    /// Nobody knows whose work it is.
    Unattributed,
    /// He had no approved grant at that time.
    NoGrant,
    /// His grant is for other hosts.
    WrongHost,
    /// His grant allows something else.
    WrongPrivilege,
    /// His grant had not begun.
    Early,
    /// His grant was over.
    Late,
    /// His grant was revoked.
    Revoked,
    /// A newer recorder's word.
    Unknown(u16),
}

impl Uncovered {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Unattributed => 1,
            Self::NoGrant => 2,
            Self::WrongHost => 3,
            Self::WrongPrivilege => 4,
            Self::Early => 5,
            Self::Late => 6,
            Self::Revoked => 7,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Unattributed,
            2 => Self::NoGrant,
            3 => Self::WrongHost,
            4 => Self::WrongPrivilege,
            5 => Self::Early,
            6 => Self::Late,
            7 => Self::Revoked,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unattributed => "unattributed",
            Self::NoGrant => "no_grant",
            Self::WrongHost => "wrong_host",
            Self::WrongPrivilege => "wrong_privilege",
            Self::Early => "early",
            Self::Late => "late",
            Self::Revoked => "revoked",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(Uncovered);

/// What every instant of a session has exactly one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// An approved grant allowed it.
    Covered {
        /// SHA-256 of the request.
        grant: Digest,
    },
    /// He allowed it himself, in an emergency.
    BreakGlass {
        /// SHA-256 of the break-glass document.
        grant: Digest,
    },
    /// Nothing did.
    Uncovered {
        /// Why.
        reason: Uncovered,
    },
}

impl Coverage {
    /// The grant, if one allowed it.
    pub const fn grant(self) -> Option<Digest> {
        match self {
            Self::Covered { grant } | Self::BreakGlass { grant } => Some(grant),
            Self::Uncovered { .. } => None,
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Covered { .. } => "covered",
            Self::BreakGlass { .. } => "break_glass",
            Self::Uncovered { .. } => "uncovered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_stable_numbers() {
        for code in 0..=9 {
            assert_eq!(Uncovered::from_code(code).code(), code);
        }
        assert_eq!(Uncovered::from_code(6), Uncovered::Late);
    }
}
