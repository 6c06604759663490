//! A session's edges as records.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{Bytes, Caps, EndReason, Ids, SessionId, TaskId};

/// How a session became privileged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A set-user-id program.
    Setuid,
    /// A program with file capabilities.
    FileCaps,
    /// The login itself was uid 0.
    Login,
    /// Credentials that appeared without a program that gives them.
    Unexplained,
    /// It was already running elevated when the recorder started.
    Seeded,
    /// Not elevated: the scope records every login.
    Scope,
    /// Another session had it started by somebody else's process.
    Delegated,
    /// A job of cron or at.
    Scheduled,
    /// A newer recorder's word.
    Unknown(u16),
}

impl Via {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Setuid => 1,
            Self::FileCaps => 2,
            Self::Login => 3,
            Self::Unexplained => 4,
            Self::Seeded => 5,
            Self::Scope => 6,
            Self::Delegated => 7,
            Self::Scheduled => 8,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Setuid,
            2 => Self::FileCaps,
            3 => Self::Login,
            4 => Self::Unexplained,
            5 => Self::Seeded,
            6 => Self::Scope,
            7 => Self::Delegated,
            8 => Self::Scheduled,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setuid => "setuid",
            Self::FileCaps => "file_caps",
            Self::Login => "login",
            Self::Unexplained => "unexplained",
            Self::Seeded => "seeded",
            Self::Scope => "scope",
            Self::Delegated => "delegated",
            Self::Scheduled => "scheduled",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(Via);

/// The moment a session became privileged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elevation {
    /// Ids before.
    pub from: Ids,
    /// Ids after.
    pub to: Ids,
    /// Capabilities after.
    pub caps: Caps,
    /// By what.
    pub via: Via,
    /// The program that elevated, resolved path.
    pub path: Bytes,
}

/// What testifies who logged in. Witnesses, not identity: root can rewrite most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginWitness {
    /// Audit's login uid.
    pub auid: u32,
    /// Audit's session id.
    pub audit_session: u32,
    /// Name of that uid on this host at that time.
    pub user: Bytes,
    /// Controlling terminal at elevation, such as `pts/3`; empty if none.
    pub tty: Bytes,
    /// Remote address from the login's environment (`SSH_CONNECTION`); empty if none. Chosen by the login's owner.
    pub remote: Bytes,
}

/// First record of a session's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStart {
    /// Our own id.
    pub id: SessionId,
    /// Task that elevated.
    pub root: TaskId,
    /// Who logged in.
    pub login: LoginWitness,
    /// How it became privileged.
    pub elevation: Elevation,
    /// 1 if it was found running at the recorder's start.
    pub seeded: u8,
}

/// Last record of a session's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// Exit status of the task that elevated, if it was seen: code.
    pub code: Option<u8>,
    /// ... and signal (0 if none).
    pub signal: u8,
    /// Programs started.
    pub execs: u64,
    /// File records.
    pub files: u64,
    /// Terminal bytes shown.
    pub tty_bytes: u64,
}
