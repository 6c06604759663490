//! Trusted time: the boot clock, anchored at clock pairs that somebody trusted.
//!
//! What the wall clock says in between is not asked, so moving it opens no window. Trusted time never goes back: a later
//! pair that lies behind it is refused and time runs on, else what was over or revoked would come to life again.

use crate::model::{BootNanos, ClockPair, RealNanos};

/// Whether a reading of the clocks may move the anchor. The service decides it and records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The wall clock was vouched for.
    Trusted,
    /// Just what the wall clock says.
    Untrusted,
}

/// What a reading did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Trusted time goes on from it.
    Anchored,
    /// It agrees with trusted time.
    Agrees,
    /// It was not followed: the wall clock differs from trusted time by this many nanoseconds, negative if it is behind.
    Ignored(i128),
}

/// Trusted time of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    first: ClockPair,
    /// Later anchors: rising in both times, each ahead of what the one before gives.
    later: Vec<ClockPair>,
}

impl Clock {
    /// Time from one pair on, and back from it to the boot.
    pub fn new(anchor: ClockPair) -> Self {
        Self { first: anchor, later: Vec::new() }
    }

    /// Takes a reading of both clocks.
    pub fn observe(&mut self, pair: ClockPair, trust: Trust) -> Observed {
        let last = self.later.last().copied().unwrap_or(self.first);
        let ahead = i128::from(pair.real.get()) - i128::from(self.real(pair.boot).get());
        if ahead == 0 {
            Observed::Agrees
        } else if trust == Trust::Trusted && ahead > 0 && pair.boot >= last.boot {
            self.later.push(pair);
            Observed::Anchored
        } else {
            Observed::Ignored(ahead)
        }
    }

    /// Trusted time at an instant. Never falls.
    pub fn real(&self, at: BootNanos) -> RealNanos {
        let n = self.later.partition_point(|pair| pair.boot <= at);
        let anchor = n.checked_sub(1).and_then(|n| self.later.get(n)).copied().unwrap_or(self.first);
        let real = if at >= anchor.boot {
            anchor.real.get().saturating_add(at.since(anchor.boot))
        } else {
            anchor.real.get().saturating_sub(anchor.boot.since(at))
        };
        RealNanos::new(real)
    }

    /// The first instant at which trusted time is there or past it; 0 if it was so from the boot on.
    pub fn boot(&self, real: RealNanos) -> BootNanos {
        let n = self.later.partition_point(|pair| pair.real <= real);
        let anchor = n.checked_sub(1).and_then(|n| self.later.get(n)).copied().unwrap_or(self.first);
        let at = if real >= anchor.real {
            anchor.boot.get().saturating_add(real.get() - anchor.real.get())
        } else if real.get() == 0 {
            0
        } else {
            anchor.boot.get().saturating_sub(anchor.real.get() - real.get())
        };
        // The time may lie in what the next anchor leapt over.
        let leap = self.later.get(n).map_or(u64::MAX, |next| next.boot.get());
        BootNanos::new(at.min(leap))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(boot: u64, real: u64) -> ClockPair {
        ClockPair { boot: BootNanos::new(boot), real: RealNanos::new(real) }
    }

    #[test]
    fn only_a_trusted_step_ahead_moves_it() {
        let mut clock = Clock::new(pair(100, 1_000));
        assert_eq!(clock.observe(pair(110, 1_010), Trust::Trusted), Observed::Agrees);
        assert_eq!(clock.observe(pair(110, 5_000), Trust::Untrusted), Observed::Ignored(3_990));
        assert_eq!(clock.observe(pair(110, 900), Trust::Trusted), Observed::Ignored(-110));
        assert_eq!(clock.real(BootNanos::new(120)), RealNanos::new(1_020));
        assert_eq!(clock.observe(pair(130, 2_000), Trust::Trusted), Observed::Anchored);
        assert_eq!(clock.real(BootNanos::new(129)), RealNanos::new(1_029));
        assert_eq!(clock.real(BootNanos::new(130)), RealNanos::new(2_000));
        assert_eq!(clock.boot(RealNanos::new(1_500)), BootNanos::new(130));
        assert_eq!(clock.boot(RealNanos::new(1_029)), BootNanos::new(129));
        assert_eq!(clock.boot(RealNanos::new(2_001)), BootNanos::new(131));
        assert_eq!(clock.boot(RealNanos::new(3)), BootNanos::new(0));
    }

    proptest! {
        #[test]
        fn both_directions_agree(
            first in (0u64..60, 0u64..60),
            steps in prop::collection::vec((0u64..60, 0u64..200, any::<bool>()), 0..6),
            at in 0u64..80,
            real in 0u64..300,
        ) {
            let mut clock = Clock::new(pair(first.0, first.1));
            for (boot, real, trusted) in steps {
                clock.observe(pair(boot, real), if trusted { Trust::Trusted } else { Trust::Untrusted });
            }
            prop_assert!(clock.real(BootNanos::new(at)) <= clock.real(BootNanos::new(at + 1)));
            let (at, real) = (BootNanos::new(at), RealNanos::new(real));
            prop_assert_eq!(clock.real(at) >= real, at >= clock.boot(real));
        }
    }
}
