//! Records of the recorder's own senses: hooks that fall silent, clocks that run off, time asleep. Of the log itself and in
//! clear: names of hooks, times, counts, states.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{BootNanos, Bytes, ClockPair};

/// What became of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookState {
    /// Its canaries did not come back, three in a row, and no loss explains it.
    Dead,
    /// It answers again.
    Back,
    /// The kernel no longer has the program where it was attached.
    LinkMissing,
    /// A newer recorder's word.
    Unknown(u16),
}

impl HookState {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Dead => 1,
            Self::Back => 2,
            Self::LinkMissing => 3,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Dead,
            2 => Self::Back,
            3 => Self::LinkMissing,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Back => "back",
            Self::LinkMissing => "link_missing",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(HookState);

/// A hook fell silent, answers again, or lost its link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookChange {
    /// The hook class as in the boot record; of a missing link the program and what it was attached to.
    pub name: Bytes,
    /// What became of it.
    pub state: HookState,
    /// Canaries in a row that did not come back.
    pub misses: u64,
    /// The last sign of life before it fell silent.
    pub since: BootNanos,
    /// Both clocks now.
    pub clock: ClockPair,
}

/// What a clock did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockEvent {
    /// It ran faster or slower than the hardware by more than clock discipline does, or crept in small steps.
    Slew,
    /// The host was suspended: no process ran.
    Suspend,
    /// A newer recorder's word.
    Unknown(u16),
}

impl ClockEvent {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Slew => 1,
            Self::Suspend => 2,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Slew,
            2 => Self::Suspend,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slew => "slew",
            Self::Suspend => "suspend",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(ClockEvent);

/// A clock did something else than to run, and did not step (that is a jump).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockChange {
    /// What.
    pub event: ClockEvent,
    /// The pair before.
    pub before: ClockPair,
    /// The pair after.
    pub after: ClockPair,
    /// Nanoseconds: how far the clocks ran ahead of (negative: behind) the hardware between the pairs, or the time asleep.
    pub nanos: i64,
}
