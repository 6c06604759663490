//! Signs of life: heartbeats, and steps of the wall clock.

use std::path::Path;

use crate::{
    capture::Counts,
    model::{Body, ClockPair, Flags, Heartbeat, Jump, Record},
};

/// Between heartbeats while somebody is recorded, and while nobody is.
const BUSY_NS: u64 = 1_000_000_000;
const IDLE_NS: u64 = 10_000_000_000;
/// A difference between the clocks that is a step and no drift.
const STEP_NS: u64 = 100_000_000;

/// Decides when a record of the log itself is due.
pub(super) struct Pulse {
    last_beat: ClockPair,
    last_pair: ClockPair,
}

fn record(now: ClockPair, body: Body) -> Record {
    Record { boot_ns: now.boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

impl Pulse {
    pub(super) fn new(now: ClockPair) -> Self {
        Self { last_beat: now, last_pair: now }
    }

    /// Records that are due now.
    pub(super) fn due(
        &mut self,
        now: ClockPair,
        sessions: usize,
        counts: Counts,
        dir: &Path,
        hooks: usize,
    ) -> Vec<Record> {
        let mut out = Vec::new();
        let expected = self.last_pair.real.get().saturating_add(now.boot.since(self.last_pair.boot));
        if now.real.get().abs_diff(expected) > STEP_NS {
            out.push(record(now, Body::Jump(Jump { before: self.last_pair, after: now })));
        }
        self.last_pair = now;
        let every = if sessions > 0 { BUSY_NS } else { IDLE_NS };
        if now.boot.since(self.last_beat.boot) >= every {
            self.last_beat = now;
            out.push(record(
                now,
                Body::Heartbeat(Heartbeat {
                    clock: now,
                    sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
                    events: counts.events,
                    lost: counts.lost,
                    free_bytes: free_bytes(dir),
                    canaries: 0,
                    canaries_missed: 0,
                    hooks_live: (1_u64 << hooks.min(63)) - 1,
                }),
            ));
        }
        out
    }
}

fn free_bytes(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, RealNanos};

    fn pair(boot: u64, real: u64) -> ClockPair {
        ClockPair { boot: BootNanos::new(boot), real: RealNanos::new(real) }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_a_jump_and_drift_is_none() {
        let mut pulse = Pulse::new(pair(0, 1000));
        let due = |p: &mut Pulse, now| p.due(now, 0, Counts::default(), Path::new("/"), 9).len();
        assert_eq!(due(&mut pulse, pair(1_000_000, 1_001_000 + STEP_NS / 2)), 0);
        assert_eq!(due(&mut pulse, pair(2_000_000, 5_000_000_000)), 1);
        assert_eq!(due(&mut pulse, pair(3_000_000, 5_001_000_000)), 0);
    }

    #[test]
    fn heartbeats_are_faster_while_somebody_is_recorded() {
        let mut pulse = Pulse::new(pair(0, 0));
        let at = |s: u64| pair(s * 1_000_000_000, s * 1_000_000_000);
        assert_eq!(pulse.due(at(2), 0, Counts::default(), Path::new("/"), 9).len(), 0);
        assert_eq!(pulse.due(at(3), 1, Counts::default(), Path::new("/"), 9).len(), 1);
        assert_eq!(pulse.due(at(12), 0, Counts::default(), Path::new("/"), 9).len(), 0);
        assert_eq!(pulse.due(at(13), 0, Counts::default(), Path::new("/"), 9).len(), 1);
    }
}
