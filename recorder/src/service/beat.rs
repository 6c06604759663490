//! Whether the pump still turns: who hangs does not tell the watchdog that all is well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A turn takes milliseconds; with the patience of the unit's watchdog on top a pump that hangs is ended within a minute.
const LONGEST: Duration = Duration::from_secs(15);

/// Counts turns. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Beat(Arc<AtomicU64>);

impl Beat {
    /// One more turn.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at the count.
#[derive(Debug)]
pub(super) struct Listener {
    beat: Beat,
    last: (u64, Instant),
}

impl Listener {
    pub(super) fn new(beat: Beat, now: Instant) -> Self {
        Self { beat, last: (0, now) }
    }

    /// False once there was no turn for too long.
    pub(super) fn is_alive(&mut self, now: Instant) -> bool {
        let turns = self.beat.0.load(Ordering::Relaxed);
        if turns != self.last.0 {
            self.last = (turns, now);
        }
        now.duration_since(self.last.1) < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pump_that_stands_still_is_not_alive_until_it_turns_again() {
        let (beat, start) = (Beat::default(), Instant::now());
        let mut listener = Listener::new(beat.clone(), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(listener.is_alive(after(14)));
        assert!(!listener.is_alive(after(15)));
        beat.turn();
        assert!(listener.is_alive(after(16)));
        assert!(listener.is_alive(after(30)));
        assert!(!listener.is_alive(after(31)));
    }
}
