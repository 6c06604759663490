//! Which grant, if any, allowed a stretch of a session.

use super::codes::codes;
use super::{BootNanos, Bytes, Digest, TaskId};
use serde::{Deserialize, Serialize};

codes! {
    /// Why no grant allowed it. The order is that of the misses: the further down, the nearer a grant was.
    #[derive(PartialOrd, Ord)]
    Uncovered {
        /// Nobody knows whose work it is.
        Unattributed = 1, "unattributed";
        /// He had no approved grant at that time.
        NoGrant = 2, "no_grant";
        /// His grant is for other hosts.
        WrongHost = 3, "wrong_host";
        /// His grant allows something else.
        WrongPrivilege = 4, "wrong_privilege";
        /// His grant had not begun.
        Early = 5, "early";
        /// His grant was over.
        Late = 6, "late";
        /// His grant was revoked.
        Revoked = 7, "revoked";
    }
}

/// What every instant of a session has exactly one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Stored", from = "Stored")]
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

    /// Why nothing allowed it.
    pub const fn reason(self) -> Option<Uncovered> {
        match self {
            Self::Covered { .. } | Self::BreakGlass { .. } => None,
            Self::Uncovered { reason } => Some(reason),
        }
    }

    /// Rises with what an auditor has to look at.
    pub const fn concern(self) -> u8 {
        match self {
            Self::Covered { .. } => 0,
            Self::BreakGlass { .. } => 1,
            Self::Uncovered { .. } => 2,
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

/// As the journal stores it: explicit numbers, the same width for every case.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// 1 covered, 2 break glass; anything else is uncovered.
    state: u16,
    reason: u16,
    grant: Digest,
}

impl From<Coverage> for Stored {
    fn from(coverage: Coverage) -> Self {
        let state = match coverage {
            Coverage::Covered { .. } => 1,
            Coverage::BreakGlass { .. } => 2,
            Coverage::Uncovered { .. } => 3,
        };
        let reason = coverage.reason().map_or(0, Uncovered::code);
        Self { state, reason, grant: coverage.grant().unwrap_or_default() }
    }
}

impl From<Stored> for Coverage {
    fn from(Stored { state, reason, grant }: Stored) -> Self {
        match state {
            1 => Self::Covered { grant },
            2 => Self::BreakGlass { grant },
            _ => Self::Uncovered { reason: Uncovered::from_code(reason) },
        }
    }
}

/// A record of a session: from here on its coverage is this, until the next such record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageChange {
    /// From this moment.
    pub from: BootNanos,
    /// What holds.
    pub coverage: Coverage,
    /// The person that the session is tied to; empty if none.
    pub person: Bytes,
    /// The incident, as `SYSTEM:ID`; empty if none.
    pub incident: Bytes,
}

/// A record of a session: a process was started under a grant and outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// The process.
    pub task: TaskId,
    /// The last grant that covered it.
    pub grant: Digest,
    /// Since when nothing does.
    pub since: BootNanos,
    /// `late`, or `revoked` if the grant was.
    pub reason: Uncovered,
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

    #[test]
    fn the_stored_form_gives_the_same_back() {
        let grant = Digest::new([7; 32]);
        let uncovered = Coverage::Uncovered { reason: Uncovered::Revoked };
        for coverage in [Coverage::Covered { grant }, Coverage::BreakGlass { grant }, uncovered] {
            assert_eq!(Coverage::from(Stored::from(coverage)), coverage);
        }
    }
}
