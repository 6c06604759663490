//! Clocks.

use rustix::time::{ClockId, clock_gettime};

use crate::model::{BootNanos, ClockPair, RealNanos};

fn nanos(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// `CLOCK_BOOTTIME` now.
pub fn boot() -> BootNanos {
    BootNanos::new(nanos(ClockId::Boottime))
}

/// Both clocks, read one after the other.
pub fn pair() -> ClockPair {
    ClockPair { boot: boot(), real: RealNanos::new(nanos(ClockId::Realtime)) }
}
