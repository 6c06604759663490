//! Work that a session handed to somebody else's process.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, SessionId};

codes! {
    /// Which end of a delegation a record tells of.
    DelegationRole {
        /// This session asked; whether something came of it, another record says.
        Asked = 1, "asked";
        /// Another session came of it.
        To = 2, "to";
        /// This session was started by what another one did.
        By = 3, "by";
        /// Another session took hold of a process of this one.
        Held = 4, "held";
    }
}

codes! {
    /// By what means.
    Trigger {
        /// A service manager was asked for a unit.
        Unit = 1, "unit";
        /// A line of a cron table.
        Cron = 2, "cron";
        /// A job of at.
        At = 3, "at";
        /// A program that a session wrote was run by somebody else.
        Plant = 4, "plant";
        /// A connection to somebody's socket.
        Connect = 5, "connect";
        /// A message on the bus.
        Bus = 6, "bus";
        /// Somebody else's process was taken hold of: ptrace, its memory, its descriptors.
        Control = 7, "control";
        /// A container engine was asked for a container, or for a process in one.
        Container = 8, "container";
        /// A terminal was handed to a server (tmux, screen): who sits at it works in what the server shows.
        Terminal = 9, "terminal";
        /// A descriptor was handed to somebody else's process.
        Descriptor = 10, "descriptor";
    }
}

codes! {
    /// How sure the link is.
    Confidence {
        /// The name, the inode or the line that was asked for is what started.
        Certain = 1, "certain";
        /// It fits, and something else may have caused it too.
        Likely = 2, "likely";
        /// It changed what others do.
        Influence = 3, "influence";
        /// What came of it is not known.
        Unresolved = 4, "unresolved";
    }
}

/// One end of a delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Which end.
    pub role: DelegationRole,
    /// By what means.
    pub trigger: Trigger,
    /// How sure.
    pub confidence: Confidence,
    /// The session at the other end; all zero if there is none.
    pub session: SessionId,
    /// The process that was asked, 0 if unknown.
    pub peer: u32,
    /// Who was asked: a socket, a daemon.
    pub to: Bytes,
    /// What was asked for, in the asker's words: a method and a unit, a line, a path.
    pub what: Bytes,
    /// What ties both ends: a control group, a file.
    pub evidence: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable() {
        for code in 0..20 {
            assert_eq!(DelegationRole::from_code(code).code(), code);
            assert_eq!(Trigger::from_code(code).code(), code);
            assert_eq!(Confidence::from_code(code).code(), code);
        }
        assert_eq!(
            (Trigger::Unit.code(), Confidence::Unresolved.code(), DelegationRole::By.code()),
            (1, 4, 3)
        );
    }
}
