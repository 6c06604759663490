//! Records of the recorder's own senses: hooks that fall silent, clocks that run off, time asleep. Of the log itself and in
//! clear: names of hooks, times, counts, states.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{BootNanos, Bytes, ClockPair};

codes! {
    /// What became of a hook.
    HookState {
        /// Its canaries did not come back, three in a row, and no loss explains it.
        Dead = 1, "dead";
        /// It answers again.
        Back = 2, "back";
        /// The kernel no longer has the program where it was attached.
        LinkMissing = 3, "link_missing";
    }
}

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

codes! {
    /// What a clock did.
    ClockEvent {
        /// It ran faster or slower than the hardware by more than clock discipline does, or crept in small steps.
        Slew = 1, "slew";
        /// The host was suspended: no process ran.
        Suspend = 2, "suspend";
    }
}

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
