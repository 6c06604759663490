//! Screens to go back to, thinned so that a long session costs no more memory than a short one.

use super::screen::{Saved, Screen};

/// Memory for all screens together.
const BUDGET: usize = 64 << 20;
/// First distance between two of them, in recorded bytes.
const EVERY: u64 = 128 << 10;

struct Keyframe {
    next: usize,
    sum: u64,
    saved: Saved,
}

/// Keyframes in rising order.
pub(super) struct Keyframes {
    list: Vec<Keyframe>,
    every: u64,
    bytes: usize,
    budget: usize,
}

impl Default for Keyframes {
    fn default() -> Self {
        Self { list: Vec::new(), every: EVERY, bytes: 0, budget: BUDGET }
    }
}

impl Keyframes {
    /// Offers the screen before step `next`, `sum` recorded bytes after the start.
    pub(super) fn offer(&mut self, next: usize, sum: u64, screen: &Screen) {
        let (last, at) = self.list.last().map_or((0, 0), |k| (k.next, k.sum));
        if next <= last || sum < at.saturating_add(self.every) {
            return;
        }
        let Some(saved) = screen.save() else { return };
        self.bytes += saved.bytes();
        self.list.push(Keyframe { next, sum, saved });
        while self.bytes > self.budget && self.list.len() > 1 {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.every = self.every.saturating_mul(2);
        let mut odd = false;
        self.list.retain(|_| {
            odd = !odd;
            !odd
        });
        self.bytes = self.list.iter().map(|k| k.saved.bytes()).sum();
    }

    /// The newest screen that stands at or before step `next`, with its step.
    pub(super) fn before(&self, next: usize) -> Option<(usize, Screen)> {
        let at = self.list.partition_point(|k| k.next <= next).checked_sub(1)?;
        self.list.get(at).map(|k| (k.next, Screen::restore(&k.saved)))
    }

    /// Step of the newest screen at or before `next`; 0 if there is none.
    pub(super) fn step_before(&self, next: usize) -> usize {
        let at = self.list.partition_point(|k| k.next <= next);
        at.checked_sub(1).and_then(|at| self.list.get(at)).map_or(0, |k| k.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g8_keyframes_stay_within_their_budget() {
        let mut frames = Keyframes { budget: 1 << 20, ..Keyframes::default() };
        let mut screen = Screen::new((80, 24));
        for n in 1..5000usize {
            screen.feed(format!("line {n}\r\n").as_bytes());
            frames.offer(n, u64::try_from(n).unwrap() * EVERY, &screen);
            assert!(frames.bytes <= 1 << 20);
        }
        assert!(frames.list.len() >= 3);
        let (step, back) = frames.before(4999).unwrap();
        assert!(back.rows().iter().any(|row| *row == format!("line {step}")));
        assert!(frames.before(0).is_none());
    }
}
