//! Wall-clock time of a record through the newest pair of clock readings before it.

use crate::model::{Body, BootNanos, ClockPair, RealNanos};

/// The newest pair.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock(ClockPair);

impl Clock {
    pub(super) const fn set(&mut self, pair: ClockPair) {
        self.0 = pair;
    }

    /// Takes the pair of a record that carries one.
    pub(super) const fn learn(&mut self, body: &Body) {
        match body {
            Body::Boot(b) => self.set(b.clock),
            Body::Heartbeat(h) => self.set(h.clock),
            Body::Jump(j) => self.set(j.after),
            Body::Stop(s) => self.set(s.clock),
            _ => {}
        }
    }

    pub(super) const fn real(&self, at: BootNanos) -> RealNanos {
        let real = self.0.real.get();
        RealNanos::new(match at.get().checked_sub(self.0.boot.get()) {
            Some(later) => real.saturating_add(later),
            None => real.saturating_sub(self.0.boot.since(at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_before_and_behind_a_pair_get_its_offset() {
        let mut clock = Clock::default();
        clock.set(ClockPair { boot: BootNanos::new(100), real: RealNanos::new(5000) });
        assert_eq!(clock.real(BootNanos::new(130)).get(), 5030);
        assert_eq!(clock.real(BootNanos::new(60)).get(), 4960);
    }
}
