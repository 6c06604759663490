//! What follows from coverage: nothing, words, or an end. Pure: what was decided before and the time are arguments.

use super::{Book, Clock, Grant};
use crate::model::{BootNanos, Coverage, Digest, RealNanos, Uncovered};

/// How much follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// People are told.
    pub warn: bool,
    /// What nothing covers is ended.
    pub enforce: bool,
    /// Between the end of a grant and the end of what was started under it, nanoseconds.
    pub grace_ns: u64,
    /// How long before the end of a grant it is told, nanoseconds.
    pub before_ns: u64,
}

/// A session as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What holds.
    pub coverage: Coverage,
    /// Something in it needs a grant: more than sudo asking for a password.
    pub needs: bool,
    /// When its grant ends, if it has one.
    pub until: Option<BootNanos>,
    /// Its account is never refused.
    pub exempt: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tell that the grant ends at that moment.
    EndsSoon(BootNanos),
    /// Tell that nothing covers the session (any more).
    Bare(Uncovered),
    /// Tell every process to end, and the person that the rest is killed at that moment.
    HangUp(BootNanos),
    /// A grant came in time.
    Relent,
    /// End what is left of the session.
    Kill,
}

/// What was decided about one session so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// When its processes are killed.
    deadline: Option<BootNanos>,
    /// The end that was told already.
    told_end: Option<BootNanos>,
    /// The lack of coverage that was told already.
    told_bare: Option<Uncovered>,
}

impl Case {
    /// What is to be done now; the same view again gives nothing new, but `Kill` until nobody is left.
    ///
    /// The wrong privilege is no end of a grant: the one process that needs too much is ended at once, by whoever sees it.
    pub fn step(&mut self, rules: &Rules, view: &View, now: BootNanos) -> Option<Step> {
        match view.coverage {
            Coverage::Uncovered { reason } if view.needs => self.bare(rules, view, reason, now),
            Coverage::Uncovered { .. } => None,
            _ => self.covered(rules, view, now),
        }
    }

    fn covered(&mut self, rules: &Rules, view: &View, now: BootNanos) -> Option<Step> {
        self.told_bare = None;
        if self.deadline.take().is_some() {
            self.told_end = view.until;
            return Some(Step::Relent);
        }
        let end = view.until?;
        let soon = end.since(now) <= rules.before_ns;
        if !rules.warn || !soon || self.told_end == Some(end) {
            return None;
        }
        self.told_end = Some(end);
        Some(Step::EndsSoon(end))
    }

    fn bare(&mut self, rules: &Rules, view: &View, reason: Uncovered, now: BootNanos) -> Option<Step> {
        if rules.enforce && !view.exempt && reason != Uncovered::WrongPrivilege {
            let Some(deadline) = self.deadline else {
                let deadline = BootNanos::new(now.get().saturating_add(rules.grace_ns));
                self.deadline = Some(deadline);
                return Some(Step::HangUp(deadline));
            };
            return (now >= deadline).then_some(Step::Kill);
        }
        let new = self.told_bare.replace(reason) != Some(reason);
        (rules.warn && new).then_some(Step::Bare(reason))
    }
}

/// The grants by which a person may something on this host now, by what was received up to now.
pub fn allowing_now<'a>(book: &'a Book, person: &str, now: RealNanos) -> impl Iterator<Item = &'a Grant> {
    book.grants_of(person)
        .filter(move |grant| grant.here && !grant.is_closed_at(now))
        .filter(move |grant| grant.start().is_some_and(|start| start <= now) && now < grant.until)
}

/// When the grant with that id ends, on the boot clock.
pub fn ends_at(book: &Book, grant: Option<Digest>, clock: &Clock) -> Option<BootNanos> {
    Some(clock.boot(book.grant(&grant?)?.until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { warn: true, enforce: true, grace_ns: 100, before_ns: 50 };

    fn at(n: u64) -> BootNanos {
        BootNanos::new(n)
    }

    fn covered(until: u64) -> View {
        let coverage = Coverage::Covered { grant: Digest::new([1; 32]) };
        View { coverage, needs: true, until: Some(at(until)), exempt: false }
    }

    fn bare(reason: Uncovered) -> View {
        View { coverage: Coverage::Uncovered { reason }, needs: true, until: None, exempt: false }
    }

    #[test]
    fn h2_the_end_is_told_before_it_comes_then_hup_then_kill_until_nobody_is_left() {
        let mut case = Case::default();
        let mut told = Vec::new();
        for now in (0..=320).step_by(10) {
            let view = if now < 200 { covered(200) } else { bare(Uncovered::Late) };
            told.extend(case.step(&RULES, &view, at(now)).map(|step| (now, step)));
        }
        let kills = [300, 310, 320].map(|now| (now, Step::Kill));
        assert_eq!(
            told,
            [vec![(150, Step::EndsSoon(at(200))), (200, Step::HangUp(at(300)))], kills.to_vec()].concat()
        );
    }

    #[test]
    fn an_extension_in_the_grace_stops_the_end() {
        let mut case = Case::default();
        assert_eq!(case.step(&RULES, &bare(Uncovered::Late), at(10)), Some(Step::HangUp(at(110))));
        assert_eq!(case.step(&RULES, &covered(500), at(100)), Some(Step::Relent));
        assert_eq!(case.step(&RULES, &covered(500), at(120)), None);
        assert_eq!(case.step(&RULES, &bare(Uncovered::Revoked), at(130)), Some(Step::HangUp(at(230))));
    }

    #[test]
    fn warning_tells_once_a_reason_and_ends_nothing() {
        let rules = Rules { enforce: false, ..RULES };
        let mut case = Case::default();
        assert_eq!(case.step(&rules, &bare(Uncovered::NoGrant), at(1)), Some(Step::Bare(Uncovered::NoGrant)));
        assert_eq!(case.step(&rules, &bare(Uncovered::NoGrant), at(900)), None);
        assert_eq!(case.step(&rules, &bare(Uncovered::Late), at(901)), Some(Step::Bare(Uncovered::Late)));
        let observed = Rules { warn: false, ..rules };
        assert_eq!(Case::default().step(&observed, &bare(Uncovered::Late), at(1)), None);
        assert_eq!(Case::default().step(&observed, &covered(2), at(1)), None);
    }

    #[test]
    fn an_exempt_account_and_sudo_at_its_prompt_are_left_alone() {
        let exempt = View { exempt: true, ..bare(Uncovered::NoGrant) };
        let prompt = View { needs: false, ..bare(Uncovered::NoGrant) };
        for view in [exempt, prompt, bare(Uncovered::WrongPrivilege)] {
            let mut case = Case::default();
            for now in [1, 200, 400] {
                assert!(!matches!(case.step(&RULES, &view, at(now)), Some(Step::HangUp(_) | Step::Kill)));
            }
        }
    }
}
