//! How much one user may ask for: connections at a time, and documents over time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Connections at a time, of all users but root together, and of each of them. Eight more are kept for root: PAM asks as
/// root, and whoever fills the others must not stand in its way.
const MOST: usize = 64;
const OTHERS: usize = 56;
const OF_ONE: usize = 8;

/// Documents that a user may hand in at once, and how long each takes to come back. Every one of them is a record.
const BURST: u32 = 16;
const REFILL: Duration = Duration::from_secs(3);

/// Who sits at the counter.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<HashMap<u32, usize>>);

/// A place at the counter, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    uid: u32,
}

impl Seats {
    /// A place for a user, if there is one.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, root) = (taken.values().sum::<usize>(), taken.get(&0).copied().unwrap_or(0));
        let own = taken.get(&uid).copied().unwrap_or(0);
        if all >= MOST || (uid != 0 && (own >= OF_ONE || all - root >= OTHERS)) {
            return None;
        }
        *taken.entry(uid).or_default() += 1;
        Some(Seat { seats: Arc::clone(self), uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.uid) {
            *own = own.saturating_sub(1);
        }
        taken.retain(|_, own| *own > 0);
    }
}

/// What users handed in lately: left to hand in, and since when.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<u32, (u32, Instant)>>);

impl Rates {
    /// True if a user may hand in one more. Root always may.
    pub(super) fn take(&self, uid: u32, now: Instant) -> bool {
        if uid == 0 {
            return true;
        }
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has his whole burst again needs no entry.
        users.retain(|_, (_, since)| now.duration_since(*since) < REFILL * BURST);
        let (left, since) = users.entry(uid).or_insert((BURST, now));
        let back = now.duration_since(*since).as_nanos() / REFILL.as_nanos();
        let back = u32::try_from(back).unwrap_or(BURST).min(BURST);
        *left = left.saturating_add(back).min(BURST);
        *since += REFILL * back;
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_eight_places_and_root_finds_one_when_all_others_are_taken() {
        let seats = Arc::new(Seats::default());
        let one: Vec<_> = (0..OF_ONE).map(|_| seats.take(7).unwrap()).collect();
        assert!(seats.take(7).is_none());
        let rest: Vec<_> = (100..).take(OTHERS - OF_ONE).map(|uid| seats.take(uid).unwrap()).collect();
        assert!(seats.take(8).is_none(), "the others' places are all taken");
        let root: Vec<_> = (0..MOST - OTHERS).map(|_| seats.take(0).unwrap()).collect();
        assert!(seats.take(0).is_none());
        drop((one, rest, root));
        assert!(seats.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_user_who_hands_in_without_end_waits() {
        let (rates, start) = (Rates::default(), Instant::now());
        let taken = |at, n: u32| (0..n).map(|_| u32::from(rates.take(7, start + at))).sum::<u32>();
        assert_eq!(taken(Duration::ZERO, BURST + 5), BURST);
        assert_eq!(taken(REFILL, 3), 1);
        assert_eq!(taken(REFILL * 3 + REFILL / 2, 5), 2);
        assert_eq!(taken(REFILL * 1000, BURST + 5), BURST);
        assert!(rates.take(8, start) && (0..1000).all(|_| rates.take(0, start)));
    }
}
