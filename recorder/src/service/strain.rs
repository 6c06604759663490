//! What follows when storage fails: what is kept, what is counted, when it is tried again, when it has failed for good.
//! docs/journal-format.md, Durability. No clock, no disk.

use std::time::{Duration, Instant};

use super::standing::{Standing, State};
use crate::model::Kind;

/// Storage that failed is tried again after this long.
const RETRY: Duration = Duration::from_millis(500);
/// So many bytes wait in memory for storage to come back; what comes then is counted, but for what is essential, which
/// has as much again.
pub(super) const WAITING: usize = 16 << 20;
/// While only the emergency reserve is left, losses are declared and signs of life given this often.
const SPARING: Duration = Duration::from_secs(10);

/// How storage is doing, as commits tell.
#[derive(Debug)]
pub(super) struct Strain {
    state: State,
    since: Instant,
    retry_at: Instant,
    /// When something was last let through that is only a sign of life.
    beat: Option<Instant>,
}

/// True if a record of this kind is kept in memory where `waiting` bytes wait already.
pub(super) fn has_room(kind: Kind, waiting: usize) -> bool {
    waiting < if is_essential(kind) { 2 * WAITING } else { WAITING }
}

/// What the log is nothing without: it is written as long as anything is. Never what a person can make a million of.
fn is_essential(kind: Kind) -> bool {
    kind.is_control() && kind != Kind::HEARTBEAT
        || matches!(
            kind,
            Kind::SESSION_START | Kind::SESSION_END | Kind::COVERAGE | Kind::OVERDUE | Kind::ENFORCEMENT
        )
}

impl Strain {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: State::Sound, since: now, retry_at: now, beat: None }
    }

    /// A commit was acknowledged; true if storage is sound again.
    pub(super) fn succeeded(&mut self, in_reserve: bool, now: Instant) -> bool {
        let before = self.state;
        self.enter(if in_reserve { State::Reserve } else { State::Sound }, now);
        before != State::Sound && self.state == State::Sound
    }

    /// A commit failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.enter(State::Failing, now);
        self.retry_at = now + RETRY;
    }

    fn enter(&mut self, state: State, now: Instant) {
        if (self.state == State::Sound) != (state == State::Sound) {
            self.since = now;
        }
        self.state = state;
    }

    pub(super) fn is_sound(&self) -> bool {
        self.state == State::Sound
    }

    /// How long until storage that fails is tried again; `None` if it does not fail.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        (self.state == State::Failing).then(|| self.retry_at.saturating_duration_since(now))
    }

    /// How it is doing, for those who don't write.
    pub(super) const fn standing(&self) -> Standing {
        Standing { state: self.state, since: self.since }
    }

    /// True if losses are to be declared now.
    pub(super) fn declares(&self, last: Instant, now: Instant) -> bool {
        match self.state {
            State::Sound => true,
            State::Reserve => now.saturating_duration_since(last) >= SPARING,
            State::Failing | State::Hanging => false,
        }
    }

    /// True if a record is kept while `waiting` bytes are not yet durable. Else it is counted, unless it is only a sign of
    /// life.
    pub(super) fn keeps(&mut self, kind: Kind, waiting: usize, now: Instant) -> bool {
        match self.state {
            State::Sound => true,
            State::Failing | State::Hanging => has_room(kind, waiting),
            State::Reserve if kind == Kind::HEARTBEAT => {
                let due = self.beat.is_none_or(|last| now.saturating_duration_since(last) >= SPARING);
                if due {
                    self.beat = Some(now);
                }
                due
            }
            State::Reserve => is_essential(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::standing::FOR_GOOD;

    #[test]
    fn f3_memory_is_bounded_and_edges_outlast_the_noise() {
        let now = Instant::now();
        let mut strain = Strain::new(now);
        assert!(strain.keeps(Kind::OPEN, usize::MAX, now), "a slow disk is waited for");
        strain.failed(now);
        for (kind, waiting, kept) in [
            (Kind::EXEC, WAITING - 1, true),
            (Kind::EXEC, WAITING, false),
            (Kind::SESSION_START, WAITING, true),
            (Kind::LOSS, 2 * WAITING, false),
        ] {
            assert_eq!(strain.keeps(kind, waiting, now), kept, "{kind:?} {waiting}");
        }
    }

    #[test]
    fn f3_the_reserve_takes_edges_and_a_sign_of_life_and_no_noise() {
        let now = Instant::now();
        let mut strain = Strain::new(now);
        strain.succeeded(true, now);
        for kind in [Kind::LOSS, Kind::STOP, Kind::STORAGE, Kind::SESSION_OPENED, Kind::SESSION_END] {
            assert!(strain.keeps(kind, 0, now), "{kind:?}");
        }
        for kind in [Kind::EXEC, Kind::OPEN, Kind::TTY_OUTPUT, Kind::FORK] {
            assert!(!strain.keeps(kind, 0, now), "{kind:?}");
        }
        let beats: Vec<bool> =
            (0..25).map(|s| strain.keeps(Kind::HEARTBEAT, 0, now + Duration::from_secs(s))).collect();
        assert_eq!(beats.iter().filter(|kept| **kept).count(), 3);
        assert!(!strain.declares(now, now) && strain.declares(now, now + SPARING));
    }

    #[test]
    fn f3_a_minute_without_sound_storage_is_for_good_and_sound_storage_ends_it() {
        let now = Instant::now();
        let mut strain = Strain::new(now);
        strain.failed(now);
        let (nearly, later) = (now + FOR_GOOD.saturating_sub(RETRY), now + FOR_GOOD);
        assert!(!strain.standing().is_for_good(nearly));
        assert!(!strain.succeeded(true, nearly), "the reserve is not sound");
        assert!(strain.standing().is_for_good(later));
        assert!(strain.succeeded(false, later));
        assert!(!strain.standing().is_for_good(later + FOR_GOOD));
        strain.failed(later + FOR_GOOD);
        assert!(!strain.standing().is_for_good(later + FOR_GOOD + RETRY));
        assert_eq!(strain.wait(later + FOR_GOOD), Some(RETRY));
    }
}
