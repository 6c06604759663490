//! Rounds of canaries while capture runs: asks for the acts, collects the answers.

use std::io;

use recorder_common::{Class, CpuCounters, EventHeader, Hook, Kind, Ring};

use super::{
    canary::{Canary, set_canary},
    load::Loaded,
};

/// What a round of canaries came to so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CanaryRound {
    /// Hooks that answered, bit n = hook n of the boot record.
    pub answered: u64,
    /// All acts are done and what they made the kernel say was read: what did not answer will not.
    pub done: bool,
    /// The kernel side counted answers as lost, and that will be declared.
    pub lost: bool,
}

/// The rounds of one run.
#[derive(Default)]
pub(super) struct Rounds {
    round: CanaryRound,
    since: u64,
    /// Losses of answers before the round.
    losses: u64,
    out: bool,
    /// The acts are over; one more look into the ring and the round is.
    over: bool,
}

impl Rounds {
    /// Lets the canaries out. Never waits.
    pub(super) fn send(&mut self, loaded: &mut Loaded, counters: &[CpuCounters], now: u64) -> io::Result<()> {
        *self = Self { since: now, losses: losses(counters), out: true, ..Self::default() };
        let asked = ask(loaded);
        if asked.is_err() {
            // Such a round is over, with nothing answered; the next one tries again.
            (self.out, self.over) = (false, true);
        }
        asked
    }

    /// To be called before the rings are read.
    pub(super) fn look(&mut self, loaded: &mut Loaded) {
        if !self.out {
            return;
        }
        let Some(outcome) = loaded.canary.as_ref().and_then(Canary::over) else { return };
        self.out = false;
        self.over = true;
        // The thread may be gone: its id must not make somebody else's acts canaries.
        let cleared = set_canary(loaded, 0);
        if let Err(error) = outcome.and(cleared) {
            tracing::warn!(%error, "a canary could not act");
        }
    }

    /// True if the event is an answer, of this round or an older one.
    pub(super) fn takes(&mut self, head: &EventHeader) -> bool {
        if head.kind != Kind::CANARY {
            return false;
        }
        if head.boot_ns >= self.since && usize::try_from(head.hook).is_ok_and(|h| h < Hook::NAMES.len()) {
            self.round.answered |= 1 << head.hook;
        }
        true
    }

    /// To be called when the rings were read to their end.
    pub(super) fn settle(&mut self, counters: impl FnOnce() -> Vec<CpuCounters>) {
        if std::mem::take(&mut self.over) {
            self.round.done = true;
            self.round.lost = losses(&counters()) > self.losses;
        }
    }

    pub(super) const fn round(&self) -> CanaryRound {
        self.round
    }
}

/// Asks the canary, a new one if the old one is gone.
fn ask(loaded: &mut Loaded) -> io::Result<()> {
    if loaded.canary.as_ref().is_none_or(Canary::is_gone) {
        loaded.canary = None;
        loaded.canary = Some(Canary::start()?);
    }
    // First the kernel side knows who acts: an act before that would be unanswered.
    let tid = loaded.canary.as_ref().map_or(0, |canary| canary.tid);
    set_canary(loaded, tid)?;
    loaded.canary.as_ref().map_or(Ok(()), Canary::send)
}

/// Answers that the kernel side counted as lost: no room in the ring, no scratch buffer, or a child without its mark.
fn losses(counters: &[CpuCounters]) -> u64 {
    let of = |list: &[u64]| list.get(Class::CANARY).copied().unwrap_or(0);
    let ring = usize::from(Ring::CRITICAL);
    counters
        .iter()
        .map(|c| c.ring_full.get(ring).map_or(0, |list| of(list)) + of(&c.scratch_busy) + c.mark_failed)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(hook: u32, boot_ns: u64) -> EventHeader {
        EventHeader { kind: Kind::CANARY, hook, boot_ns, ..EventHeader::default() }
    }

    #[test]
    fn answers_count_for_their_round_only() {
        let mut rounds = Rounds { since: 100, out: true, ..Rounds::default() };
        assert!(rounds.takes(&answer(2, 99)), "a late one is still no event");
        assert!(rounds.takes(&answer(3, 100)));
        assert!(rounds.takes(&answer(14, 100)), "a hook that there is not");
        assert!(!rounds.takes(&EventHeader { kind: Kind::EXEC, boot_ns: 100, ..EventHeader::default() }));
        assert_eq!(rounds.round(), CanaryRound { answered: 1 << 3, ..CanaryRound::default() });
    }

    #[test]
    fn a_round_is_done_when_the_ring_was_read_behind_its_acts() {
        let mut full = CpuCounters::default();
        full.ring_full[0][Class::CANARY] = 4;
        let mut rounds = Rounds { out: true, losses: 3, ..Rounds::default() };
        rounds.settle(|| vec![full]);
        assert!(!rounds.round().done);
        rounds.over = true;
        rounds.settle(|| vec![full]);
        assert_eq!(rounds.round(), CanaryRound { answered: 0, done: true, lost: true });
        // A loss of the other ring, or an older one, explains nothing.
        full.ring_full[1][Class::CANARY] = 7;
        let mut rounds = Rounds { over: true, losses: 4, ..Rounds::default() };
        rounds.settle(|| vec![full]);
        assert_eq!(rounds.round(), CanaryRound { answered: 0, done: true, lost: false });
    }
}
