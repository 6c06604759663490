//! How storage is doing, for those who don't write: what the writer's turns tell, and what their absence tells. A writer that
//! hangs in a write can say nothing, so nobody waits for its word. docs/journal-format.md, Durability.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::model::BootNanos;

/// A writer that has not come back from a step for so long hangs: an idle one comes round every second.
pub(super) const HANGS: Duration = Duration::from_secs(5);
/// A pump that did not look for so long did not run: it waits for the writer a second at most.
const ABSENT: Duration = Duration::from_secs(3);
/// Storage that has not been sound for so long has failed for good.
pub(super) const FOR_GOOD: Duration = Duration::from_mins(1);

/// How storage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Everything is written.
    Sound,
    /// The log goes on in the emergency reserve: only what is essential is written.
    Reserve,
    /// Nothing takes writes.
    Failing,
    /// A write does not come back.
    Hanging,
}

impl State {
    /// The word in `status`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Reserve => "reserve",
            Self::Failing => "failing",
            Self::Hanging => "hanging",
        }
    }
}

/// How it is doing, and since when it has not been sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// Of a sound one the beginning of that.
    pub(super) since: Instant,
}

impl Standing {
    pub(super) fn is_sound(self) -> bool {
        self.state == State::Sound
    }

    /// True if it has not been sound for so long that something has to follow.
    pub(super) fn is_for_good(self, now: Instant) -> bool {
        !self.is_sound() && now.saturating_duration_since(self.since) >= FOR_GOOD
    }
}

/// The writer's last word.
#[derive(Clone, Debug)]
pub(super) struct Gauge(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    said: Standing,
    /// When the writer last came round.
    turned: Instant,
    /// When the pump last looked.
    watched: Instant,
    /// The writer's thread.
    writer: Option<u32>,
    /// Attempts on the recorder until then are on disk.
    told: Option<BootNanos>,
}

impl Inner {
    /// How long nobody of us ran, if the pump was away too: a process that was stopped or starved is no disk that hangs.
    fn absent(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.watched);
        if gap >= ABSENT { gap } else { Duration::ZERO }
    }
}

impl Gauge {
    /// The journal is open.
    pub(super) fn new(now: Instant) -> Self {
        let said = Standing { state: State::Sound, since: now };
        Self(Arc::new(Mutex::new(Inner { said, turned: now, watched: now, writer: None, told: None })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This thread is the writer.
    pub(super) fn is_written_here(&self) {
        self.inner().writer = Some(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
    }

    /// The writer's thread and how long it has not come round, not counting what the whole process did not run.
    pub(super) fn away(&self, now: Instant) -> (Option<u32>, Duration) {
        let inner = self.inner();
        let away = now.saturating_duration_since(inner.turned).saturating_sub(inner.absent(now));
        (inner.writer, away)
    }

    /// The writer comes round; how long it hung, if it did.
    pub(super) fn turned(&self, standing: Standing, now: Instant) -> Option<Duration> {
        let mut inner = self.inner();
        let away = now.saturating_duration_since(inner.turned).saturating_sub(inner.absent(now));
        (inner.said, inner.turned) = (standing, now);
        (away >= HANGS).then_some(away)
    }

    /// Attempts on the recorder until then are on disk.
    pub(super) fn tell(&self, until: Option<BootNanos>) {
        self.inner().told = until;
    }

    /// Until when they are.
    pub(super) fn told(&self) -> Option<BootNanos> {
        self.inner().told
    }

    /// How storage is doing, as the pump sees it each round.
    pub(super) fn watch(&self, now: Instant) -> Standing {
        let mut inner = self.inner();
        inner.turned = (inner.turned + inner.absent(now)).min(now);
        inner.watched = now;
        drop(inner);
        self.look(now)
    }

    /// How storage is doing now.
    pub(super) fn look(&self, now: Instant) -> Standing {
        let inner = self.inner();
        if now.saturating_duration_since(inner.turned) < HANGS {
            return inner.said;
        }
        let since = if inner.said.is_sound() { inner.turned } else { inner.said.since };
        Standing { state: State::Hanging, since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> (Gauge, Standing, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let after = move |seconds| start + Duration::from_secs(seconds);
        (Gauge::new(start), Standing { state: State::Sound, since: start }, after)
    }

    #[test]
    fn f3_a_writer_that_does_not_come_back_hangs_since_its_last_turn() {
        let (gauge, sound, after) = scene();
        gauge.watch(after(2));
        assert_eq!(gauge.turned(sound, after(2)), None);
        assert_eq!((3..7).map(|s| gauge.watch(after(s))).collect::<Vec<_>>(), [sound; 4]);
        let hangs = Standing { state: State::Hanging, since: after(2) };
        assert_eq!((7..62).map(|s| gauge.watch(after(s))).collect::<Vec<_>>(), [hangs; 55]);
        assert!(
            !gauge.look(after(61)).is_for_good(after(61)) && gauge.look(after(62)).is_for_good(after(62))
        );
        assert_eq!(gauge.turned(sound, after(63)), Some(Duration::from_secs(61)));
        assert_eq!(gauge.watch(after(64)), sound);
    }

    #[test]
    fn f3_what_failed_before_it_hung_has_failed_since_then() {
        let (gauge, sound, after) = scene();
        gauge.turned(Standing { state: State::Failing, since: after(1) }, after(50));
        let standing = gauge.look(after(61));
        assert_eq!(standing, Standing { state: State::Hanging, since: after(1) });
        assert!(standing.is_for_good(after(61)) && !sound.is_for_good(after(999)));
    }

    #[test]
    fn e1_a_process_that_was_stopped_is_no_disk_that_hangs() {
        let (gauge, sound, after) = scene();
        gauge.watch(after(1));
        gauge.turned(sound, after(1));
        // Whichever comes first behind the stop.
        assert_eq!(gauge.watch(after(41)), sound);
        assert_eq!(gauge.turned(sound, after(41)), None);
        assert_eq!(gauge.turned(sound, after(81)), None);
        assert_eq!(gauge.watch(after(81)), sound);
    }
}
