//! What the recorder did because no grant allowed what was being done.

use super::codes::codes;
use super::{Bytes, Coverage, TaskId};
use serde::{Deserialize, Serialize};

codes! {
    /// What was done.
    EnforcementAct {
        /// A program was not started: its caller got an error.
        Refused = 1, "refused";
        /// A program was ended by the kernel before its first instruction.
        Stopped = 2, "stopped";
        /// A process was ended by the service.
        Killed = 3, "killed";
        /// The session's processes were told to end (SIGHUP); `count` of them.
        HungUp = 4, "hung_up";
        /// The person was told on his terminal; `text` is what.
        Told = 5, "told";
        /// A grant came in time: nothing more follows from the last `HungUp`.
        Relented = 6, "relented";
        /// PAM or sudo asked before, and were told no; `text` is what was wanted.
        Denied = 7, "denied";
        /// The session filled the kernel's ring faster than the journal takes it: `count` processes were stopped for a moment.
        Paused = 8, "paused";
        /// They go on; `text` says how often they were stopped and for how long.
        Resumed = 9, "resumed";
    }
}

impl EnforcementAct {
    /// True for what was done against somebody's will.
    pub const fn is_force(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Stopped | Self::Killed | Self::HungUp | Self::Denied | Self::Paused
        )
    }
}

/// A record of a session: a decision that followed from its coverage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// What was done.
    pub act: EnforcementAct,
    /// What it was done for.
    pub coverage: Coverage,
    /// The process that it was done to; the session's first one where it is about all of them.
    pub task: TaskId,
    /// Processes that were reached.
    pub count: u32,
    /// The program that was refused or ended, or what was told.
    pub text: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..9 {
            assert_eq!(EnforcementAct::from_code(code).code(), code);
        }
    }
}
