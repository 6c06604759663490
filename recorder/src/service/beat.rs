//! Whether pump and writer still turn: who hangs by a fault of ours does not tell the watchdog that all is well. A disk that hangs is
//! none: an end would lose what waits in memory, and the next start would hang like this one (docs/operations.md, Storage).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::standing::Gauge;
use crate::sys::process;

/// A turn takes milliseconds; with the patience of the unit's watchdog on top who hangs is ended within a minute.
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

/// Looks at the count, and after the writer.
pub(super) struct Listener {
    beat: Beat,
    last: (u64, Instant),
    gauge: Gauge,
    /// Whether a thread waits for something that is not ours, a device for one. One real, one in tests.
    waits_elsewhere: fn(u32) -> Option<bool>,
    told: bool,
}

impl Listener {
    pub(super) fn new(beat: Beat, gauge: Gauge, now: Instant) -> Self {
        Self { beat, last: (0, now), gauge, waits_elsewhere: process::waits_elsewhere, told: false }
    }

    /// False once there was no turn for too long, of the pump, or of a writer that nothing else holds up.
    pub(super) fn is_alive(&mut self, now: Instant) -> bool {
        let turns = self.beat.0.load(Ordering::Relaxed);
        if turns != self.last.0 {
            self.last = (turns, now);
        }
        let pump = now.duration_since(self.last.1) < LONGEST;
        let (writer, away) = self.gauge.away(now);
        let stuck =
            away >= LONGEST && writer.is_some_and(|thread| (self.waits_elsewhere)(thread) == Some(false));
        let alive = pump && !stuck;
        if !alive && !self.told {
            tracing::error!(
                pump,
                writer = !stuck,
                "a thread of the recorder is stuck: the watchdog is not told any more"
            );
        }
        self.told = !alive;
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::standing::{Standing, State};

    #[test]
    fn a_pump_that_stands_still_is_not_alive_until_it_turns_again() {
        let (beat, start) = (Beat::default(), Instant::now());
        let mut listener = Listener::new(beat.clone(), Gauge::new(start), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(listener.is_alive(after(14)));
        assert!(!listener.is_alive(after(15)));
        beat.turn();
        assert!(listener.is_alive(after(16)));
        assert!(listener.is_alive(after(30)));
        assert!(!listener.is_alive(after(31)));
    }

    #[test]
    fn a_writer_that_is_stuck_is_not_alive_and_one_that_its_disk_holds_up_is() {
        for (waits, alive) in [(Some(false), false), (Some(true), true), (None, true)] {
            let (beat, start) = (Beat::default(), Instant::now());
            let after = |seconds| start + Duration::from_secs(seconds);
            let gauge = Gauge::new(start);
            gauge.is_written_here();
            let mut listener = Listener::new(beat.clone(), gauge.clone(), start);
            listener.waits_elsewhere = match waits {
                Some(true) => |_| Some(true),
                Some(false) => |_| Some(false),
                None => |_| None,
            };
            let mut at = |seconds| {
                gauge.watch(after(seconds));
                beat.turn();
                listener.is_alive(after(seconds))
            };
            assert!((1..15).all(&mut at), "it is not away for long");
            assert_eq!(at(15), alive, "{waits:?}");
            gauge.turned(Standing { state: State::Sound, since: start }, after(16));
            assert!(at(17), "it is back");
        }
    }
}
