//! The coverage of one running session, kept: each need is judged once, not at every event.

use std::{collections::HashMap, sync::Arc};

use super::{
    Book, Clock, Request, Wanted, Work,
    correlate::{Choice, chosen, judge, missed},
    coverage_now, next_change,
};
use crate::model::{BootNanos, Coverage, Uncovered};

/// Choices kept beyond those of living needs before they are thrown away.
const SPARE: usize = 64;

/// One grant of the person: what it is worth for a need that it allows.
#[derive(Clone, Debug)]
struct Offer {
    choice: Choice,
    here: bool,
    request: Arc<Request>,
}

/// What was judged since the book or the clock last changed anything for this person. Gives exactly what
/// [`coverage_now`] gives.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The book's generation, and the stretch in which time alone changes nothing.
    valid: Option<(u64, BootNanos, BootNanos)>,
    /// The person's grants, best first.
    offers: Vec<Offer>,
    /// Choices by the number of the need.
    known: HashMap<u64, Choice>,
    /// Something began or ended since the last call of `renewed`.
    renewed: bool,
}

impl Standing {
    /// The coverage of the session's living processes at one instant.
    pub fn coverage(&mut self, book: &Book, work: &Work, clock: &Clock, now: BootNanos) -> Coverage {
        let Some(person) = work.person() else {
            return Coverage::Uncovered { reason: Uncovered::Unattributed };
        };
        match self.valid {
            Some((generation, from, until)) if generation == book.generation() && now < until => {
                if now < from {
                    // Events of several processors come a little out of order: rare, and judged afresh.
                    return coverage_now(book, work, clock, now);
                }
            }
            _ => self.begin(book, person, clock, now),
        }
        let Self { known, offers, .. } = self;
        let mut worst: Option<Choice> = None;
        let mut live: usize = 0;
        for need in work.live() {
            live = live.saturating_add(1);
            let choice = *known.entry(need.turn).or_insert_with(|| best(offers, &need.wanted));
            worst = worst.max(Some(choice));
        }
        if known.len() > live.saturating_mul(2).saturating_add(SPARE) {
            known.clear();
        }
        let any = || offers.first().map_or_else(|| missed(Uncovered::NoGrant), |offer| offer.choice);
        chosen(worst.unwrap_or_else(any))
    }

    /// Once for every time that a document or a border may have changed what single processes have, whatever the session
    /// as a whole has.
    pub fn renewed(&mut self) -> bool {
        std::mem::take(&mut self.renewed)
    }

    fn begin(&mut self, book: &Book, person: &str, clock: &Clock, now: BootNanos) {
        let until = next_change(book, person, clock, now).unwrap_or(BootNanos::new(u64::MAX));
        self.valid = Some((book.generation(), now, until));
        self.known.clear();
        self.renewed = true;
        let real = clock.real(now);
        let offer = |grant: &super::Grant| {
            let choice = judge(grant, None, real)?;
            Some(Offer { choice, here: grant.here, request: Arc::clone(&grant.request) })
        };
        self.offers = book.grants_of(person).filter_map(offer).collect();
        self.offers.sort_unstable_by_key(|offer| offer.choice);
    }
}

/// The best of the offers for a need: the first that allows it, unless a better one misses by its privilege alone.
fn best(offers: &[Offer], wanted: &Wanted) -> Choice {
    let mut best = missed(Uncovered::NoGrant);
    for offer in offers {
        if !offer.here || offer.request.privileges.iter().any(|privilege| privilege.allows(wanted)) {
            return best.min(offer.choice);
        }
        best = missed(Uncovered::WrongPrivilege);
    }
    best
}
