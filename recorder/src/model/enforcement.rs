//! What the recorder did because no grant allowed what was being done.

use super::event::serde_as_code;
use super::{Bytes, Coverage, TaskId};
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnforcementAct {
    /// A program was not started: its caller got an error.
    Refused,
    /// A program was ended by the kernel before its first instruction.
    Stopped,
    /// A process was ended by the service.
    Killed,
    /// The session's processes were told to end (SIGHUP); `count` of them.
    HungUp,
    /// The person was told on his terminal; `text` is what.
    Told,
    /// A grant came in time: nothing more follows from the last `HungUp`.
    Relented,
    /// PAM or sudo asked before, and were told no; `text` is what was wanted.
    Denied,
    /// The session filled the kernel's ring faster than the journal takes it: `count` processes were stopped for a moment.
    Paused,
    /// They go on; `text` says how often they were stopped and for how long.
    Resumed,
    /// A newer recorder's word.
    Unknown(u16),
}

impl EnforcementAct {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Refused => 1,
            Self::Stopped => 2,
            Self::Killed => 3,
            Self::HungUp => 4,
            Self::Told => 5,
            Self::Relented => 6,
            Self::Denied => 7,
            Self::Paused => 8,
            Self::Resumed => 9,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Refused,
            2 => Self::Stopped,
            3 => Self::Killed,
            4 => Self::HungUp,
            5 => Self::Told,
            6 => Self::Relented,
            7 => Self::Denied,
            8 => Self::Paused,
            9 => Self::Resumed,
            n => Self::Unknown(n),
        }
    }

    /// True for what was done against somebody's will.
    pub const fn is_force(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Stopped | Self::Killed | Self::HungUp | Self::Denied | Self::Paused
        )
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::HungUp => "hung_up",
            Self::Told => "told",
            Self::Relented => "relented",
            Self::Denied => "denied",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(EnforcementAct);

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
