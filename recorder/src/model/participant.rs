//! People who sit at one session together.

use serde::{Deserialize, Serialize};

use super::{Bytes, Coverage, LoginWitness, SessionId, TaskId};

/// Somebody handed his terminal to a server (tmux, screen) that this session runs in, or that runs in it: from here on he sees what it
/// shows and may type. The record's task is his client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// His own session; all zero if he has none that is recorded.
    pub session: SessionId,
    /// Who logged in.
    pub login: LoginWitness,
    /// The terminal that he sits at, as the path of its device.
    pub terminal: Bytes,
    /// The server.
    pub server: TaskId,
    /// The program that it runs.
    pub program: Bytes,
    /// Whose login it is by the policy of that moment; empty if nobody's, or where no grants are watched.
    pub person: Bytes,
    /// What his own grants allow him of what the session does at that moment; `None` where no grants are watched.
    pub coverage: Option<Coverage>,
}
