//! When a commit is due: one durable write for whatever came in the meantime. No clock, no disk.

use std::time::{Duration, Instant};

use super::Pending;

/// Bytes that make a commit without waiting for more.
pub const ENOUGH: usize = 256 << 10;
/// How long something that is not critical may wait for company.
const PATIENCE: Duration = Duration::from_millis(5);
/// Something critical starts the next commit at once, but not within this of the last one: a storm of execs would
/// sign and write a thousand times a second.
const BREATH: Duration = Duration::from_millis(3);
/// A look around while nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// The rhythm of commits.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When the first of what waits came.
    since: Option<Instant>,
    last: Instant,
}

impl Pace {
    /// Nothing waits.
    pub const fn new(now: Instant) -> Self {
        Self { since: None, last: now }
    }

    /// Something came.
    pub const fn came(&mut self, now: Instant) {
        if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// How long to wait for more.
    pub fn wait(&self, pending: Pending, now: Instant) -> Duration {
        match self.since {
            None => IDLE,
            Some(_) if pending.critical => BREATH.saturating_sub(now.saturating_duration_since(self.last)),
            Some(since) => PATIENCE.saturating_sub(now.saturating_duration_since(since)),
        }
    }

    /// True if what waits is to be committed now.
    pub fn is_due(&self, pending: Pending, now: Instant) -> bool {
        pending.bytes >= ENOUGH
            || (pending.critical && now.saturating_duration_since(self.last) >= BREATH)
            || self.since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    /// A commit begins.
    pub const fn begins(&mut self, now: Instant) {
        self.last = now;
    }

    /// When the last commit began.
    pub const fn last(&self) -> Instant {
        self.last
    }

    /// All that waited is durable.
    pub const fn done(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn company_is_waited_for_unless_something_is_critical_or_much() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let of = |bytes, critical| Pending { bytes, critical };
        assert!(!pace.is_due(of(10, false), now));
        pace.came(now);
        assert_eq!(pace.wait(of(10, false), now), PATIENCE);
        assert!(!pace.is_due(of(10, false), now + BREATH) && pace.is_due(of(10, true), now + BREATH));
        assert!(pace.is_due(of(ENOUGH, false), now) && pace.is_due(of(10, false), now + PATIENCE));
        pace.begins(now + BREATH);
        pace.done();
        pace.came(now + BREATH);
        assert_eq!(pace.wait(of(10, true), now + BREATH), BREATH);
        assert!(!pace.is_due(of(10, true), now + BREATH), "not at once after the last one");
    }
}
