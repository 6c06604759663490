//! A session's edges as records.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, Caps, EndReason, Ids, SessionId, TaskId};

codes! {
    /// How a session became privileged.
    Via {
        /// A set-user-id program.
        Setuid = 1, "setuid";
        /// A program with file capabilities.
        FileCaps = 2, "file_caps";
        /// The login itself was uid 0.
        Login = 3, "login";
        /// Credentials that appeared without a program that gives them.
        Unexplained = 4, "unexplained";
        /// It was already running elevated when the recorder started.
        Seeded = 5, "seeded";
        /// Not elevated: the scope records every login.
        Scope = 6, "scope";
        /// Another session had it started by somebody else's process.
        Delegated = 7, "delegated";
        /// A job of cron or at.
        Scheduled = 8, "scheduled";
    }
}

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
