//! Signs of life: heartbeats, and what they look at. The glue between capture and the pure watchers.

use std::path::Path;

use super::{
    canaries::{Canaries, Vitals},
    clocks::Clocks,
};
use crate::{
    capture::{Capture, Counts},
    model::{Body, BootNanos, ClockPair, Flags, Heartbeat, Record},
    sys::clock::Reading,
};

/// Between heartbeats while somebody is recorded, and while nobody is.
const BUSY_NS: u64 = 1_000_000_000;
const IDLE_NS: u64 = 10_000_000_000;

/// Decides when a record of the log itself is due.
pub(super) struct Pulse {
    beats: Beats,
    clocks: Clocks,
    canaries: Canaries,
}

impl Pulse {
    /// Every hook has just answered.
    pub(super) fn new(now: Reading, hooks: usize) -> Self {
        Self {
            beats: Beats { last: now.pair.boot },
            clocks: Clocks::new(now),
            canaries: Canaries::new(now, hooks),
        }
    }

    /// Records that are due now; lets canaries out when it is time.
    pub(super) fn due(
        &mut self,
        now: Reading,
        sessions: usize,
        capture: &mut Capture,
        dir: &Path,
    ) -> Vec<Record> {
        let mut out = self.clocks.step(now);
        let step = self.canaries.step(now, sessions > 0, capture.canaries());
        out.extend(step.records);
        if step.send
            && let Err(error) = capture.send_canaries()
        {
            // Nothing comes back then: the hooks are missed, as if they were silent.
            tracing::error!(%error, "canaries could not be let out");
        }
        let seen = self.beats.last;
        if self.beats.is_due(now.pair, sessions) {
            out.extend(self.canaries.links(now, seen, capture.missing_links()));
            out.push(beat(now.pair, sessions, capture.counts(), self.canaries.vitals(), free_bytes(dir)));
        }
        out
    }

    /// Hooks that do not see now.
    pub(super) fn silent(&self) -> Vec<String> {
        self.canaries.silent()
    }
}

struct Beats {
    last: BootNanos,
}

impl Beats {
    fn is_due(&mut self, now: ClockPair, sessions: usize) -> bool {
        let every = if sessions > 0 { BUSY_NS } else { IDLE_NS };
        let due = now.boot.since(self.last) >= every;
        if due {
            self.last = now.boot;
        }
        due
    }
}

fn beat(now: ClockPair, sessions: usize, counts: Counts, vitals: Vitals, free_bytes: u64) -> Record {
    let body = Body::Heartbeat(Heartbeat {
        clock: now,
        sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        events: counts.events,
        lost: counts.lost,
        free_bytes,
        canaries: vitals.sent,
        canaries_missed: vitals.missed,
        hooks_live: vitals.live,
    });
    Record { boot_ns: now.boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

fn free_bytes(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RealNanos;

    #[test]
    fn heartbeats_are_faster_while_somebody_is_recorded() {
        let at = |s: u64| ClockPair { boot: BootNanos::new(s * 1_000_000_000), real: RealNanos::new(s) };
        let mut beats = Beats { last: at(0).boot };
        assert!(!beats.is_due(at(2), 0));
        assert!(beats.is_due(at(3), 1));
        assert!(!beats.is_due(at(12), 0));
        assert!(beats.is_due(at(13), 0));
    }
}
