//! What the kernel side counts by session: capabilities, what is folded, datagrams.
//!
//! Nothing leads from a session to its counts: who looks for them goes through a whole map. So what ended sessions left there is
//! swept together, and not at each end: thousands of short sessions would cost as many walks.

use std::time::{Duration, Instant};

use super::{caps::Uses, folds::Folds, sends::Sends};
use crate::model::Mark;

/// Counts of ended sessions lie so long at most, or until there are so many.
const EACH: Duration = Duration::from_secs(10);
const MOST: usize = 256;

/// The maps.
pub(super) struct Tables {
    pub(super) uses: Uses,
    pub(super) folds: Folds,
    pub(super) sends: Sends,
    over: Over,
}

impl Tables {
    pub(super) fn new(uses: Uses, folds: Folds, sends: Sends) -> Self {
        Self { uses, folds, sends, over: Over::default() }
    }

    /// These sessions are over, and what is left of others before them may be due.
    pub(super) fn forget(&mut self, marks: &[Mark], now: Instant) {
        let Some(over) = self.over.due(marks, now) else { return };
        self.uses.forget(&over);
        self.folds.forget(&over);
        self.sends.forget(&over);
    }
}

/// Sessions that are over and still have counts.
#[derive(Default)]
struct Over {
    marks: Vec<Mark>,
    since: Option<Instant>,
}

impl Over {
    /// Those to be swept now.
    fn due(&mut self, more: &[Mark], now: Instant) -> Option<Vec<Mark>> {
        self.marks.extend_from_slice(more);
        if self.marks.is_empty() {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if self.marks.len() < MOST && now.duration_since(since) < EACH {
            return None;
        }
        self.since = None;
        Some(std::mem::take(&mut self.marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_sessions_left_is_swept_at_once() {
        let mut over = Over::default();
        let start = Instant::now();
        assert_eq!(over.due(&[], start), None);
        assert_eq!(over.due(&[Mark::new(1)], start), None);
        assert_eq!(over.due(&[Mark::new(2)], start + EACH / 2), None);
        assert_eq!(
            over.due(&[], start + EACH),
            Some(vec![Mark::new(1), Mark::new(2)]),
            "the first has lain long enough"
        );
        assert_eq!(over.due(&[], start + 3 * EACH), None);
        let many: Vec<Mark> = (0..256).map(Mark::new).collect();
        assert_eq!(over.due(&many, start + 3 * EACH).map(|due| due.len()), Some(MOST), "they take up room");
    }
}
