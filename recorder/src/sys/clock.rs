//! Clocks.

use rustix::time::{ClockId, clock_gettime};

use crate::model::{BootNanos, ClockPair, RealNanos};

/// Readings further apart than this are taken again: a thread that was put aside between two clocks sees a step that
/// none made.
const TIGHT_NS: u64 = 50_000;
/// Tries; then the tightest counts.
const TRIES: usize = 8;

fn nanos(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// `CLOCK_BOOTTIME` now.
pub fn boot() -> BootNanos {
    BootNanos::new(nanos(ClockId::Boottime))
}

/// Both clocks, read together.
pub fn pair() -> ClockPair {
    reading().pair
}

/// All clocks at one moment, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
    pub pair: ClockPair,
    /// `CLOCK_MONOTONIC`: as the boot clock, but it stands while the host is suspended.
    pub mono: u64,
    /// `CLOCK_MONOTONIC_RAW`: as the hardware counts, out of the reach of clock discipline.
    pub raw: u64,
}

/// All clocks, between two looks at the boot clock that are at most [`TIGHT_NS`] apart if the machine allows it.
pub fn reading() -> Reading {
    let mut best = (u64::MAX, Reading::default());
    for _ in 0..TRIES {
        let first = nanos(ClockId::Boottime);
        let real = nanos(ClockId::Realtime);
        let mono = nanos(ClockId::Monotonic);
        let raw = nanos(ClockId::MonotonicRaw);
        let width = nanos(ClockId::Boottime).saturating_sub(first);
        if width < best.0 {
            let boot = BootNanos::new(first.saturating_add(width / 2));
            best = (width, Reading { pair: ClockPair { boot, real: RealNanos::new(real) }, mono, raw });
        }
        if width <= TIGHT_NS {
            break;
        }
    }
    best.1
}

/// Whether the kernel believes that somebody keeps its wall clock right; `None` if it does not say.
#[cfg(feature = "service")]
#[expect(unsafe_code, reason = "adjtimex has no safe form")]
pub fn is_synchronised() -> Option<bool> {
    let mut timex = std::mem::MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `timex` is as large as the kernel takes it to be, and all zeros is a valid one that asks for nothing to be changed.
    let state = unsafe { libc::adjtimex(timex.as_mut_ptr()) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}
