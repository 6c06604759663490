//! Judges canaries: which hooks see, which fell silent, and when the next round is due. Times are `CLOCK_MONOTONIC`.

use recorder_common::Hook;

use super::alarm;
use crate::{
    capture::CanaryRound,
    model::{Body, BootNanos, Bytes, Flags, HookChange, HookState, Record},
    sys::clock::Reading,
};

/// Between rounds while somebody is recorded or a hook did not answer, and else.
const BUSY_NS: u64 = 1_000_000_000;
const IDLE_NS: u64 = 10_000_000_000;
/// Until when a round that is not over has to have its answers; then each further [`BUSY_NS`].
const PATIENCE_NS: u64 = 900_000_000;
/// Misses in a row that make a hook dead.
const DEAD: u64 = 3;

/// What heartbeats tell of the hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vitals {
    pub(super) sent: u64,
    pub(super) missed: u64,
    /// Bit n = hook n of the boot record.
    pub(super) live: u64,
}

/// One hook.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// Its last answer.
    alive: BootNanos,
    /// In a row.
    misses: u64,
    dead: bool,
}

/// All hooks.
pub(super) struct Canaries {
    hooks: Vec<Watched>,
    vitals: Vitals,
    /// When the last round began.
    sent: u64,
    /// When the round that is out counts as missed, where it has no answer.
    due: Option<u64>,
    /// Links that were told to be missing.
    missing: Vec<String>,
}

/// What a step asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) records: Vec<Record>,
    /// A new round has to go out now.
    pub(super) send: bool,
}

impl Canaries {
    /// So many hooks, the first of [`Hook::NAMES`], answered just now.
    pub(super) fn new(now: Reading, hooks: usize) -> Self {
        Self {
            hooks: vec![Watched { alive: now.pair.boot, ..Watched::default() }; hooks],
            vitals: Vitals { live: (1 << hooks) - 1, ..Vitals::default() },
            sent: now.mono,
            due: None,
            missing: Vec::new(),
        }
    }

    pub(super) const fn vitals(&self) -> Vitals {
        self.vitals
    }

    /// Hooks that do not see now, and links that are gone.
    pub(super) fn silent(&self) -> Vec<String> {
        let dead = Hook::NAMES.iter().zip(&self.hooks).filter(|(_, hook)| hook.dead);
        dead.map(|(name, _)| (*name).to_owned()).chain(self.missing.iter().cloned()).collect()
    }

    /// Judges what came back of the round that is out, and says if the next one is due.
    pub(super) fn step(&mut self, now: Reading, busy: bool, round: CanaryRound) -> Step {
        let mut out = Step::default();
        if let Some(due) = self.due
            && (round.done || now.mono >= due)
        {
            self.judge(now, round, &mut out.records);
            self.due = (!round.done).then(|| due.saturating_add(BUSY_NS));
        }
        let alarmed = self.hooks.iter().any(|hook| hook.misses > 0);
        let every = if busy || alarmed { BUSY_NS } else { IDLE_NS };
        if self.due.is_none() && now.mono.saturating_sub(self.sent) >= every {
            self.sent = now.mono;
            self.due = Some(now.mono.saturating_add(PATIENCE_NS));
            self.vitals.sent = self.vitals.sent.saturating_add(self.hooks.iter().map(|_| 1).sum());
            out.send = true;
        }
        out
    }

    fn judge(&mut self, now: Reading, round: CanaryRound, out: &mut Vec<Record>) {
        let told = |name: &str, state, misses, since| {
            let name = Bytes::from(name);
            record(now, HookChange { name, state, misses, since, clock: now.pair })
        };
        for (n, (hook, name)) in self.hooks.iter_mut().zip(Hook::NAMES).enumerate() {
            let bit = 1 << n;
            if round.answered & bit != 0 {
                if hook.dead {
                    tracing::warn!(hook = name, missed = hook.misses, "a hook sees again");
                    out.push(told(name, HookState::Back, hook.misses, hook.alive));
                }
                *hook = Watched { alive: now.pair.boot, ..Watched::default() };
                self.vitals.live |= bit;
            } else if !round.lost {
                hook.misses = hook.misses.saturating_add(1);
                self.vitals.missed = self.vitals.missed.saturating_add(1);
                if hook.misses >= DEAD && !hook.dead {
                    hook.dead = true;
                    self.vitals.live &= !bit;
                    tracing::error!(
                        MESSAGE_ID = alarm::HOOK_DEAD,
                        hook = name,
                        misses = hook.misses,
                        "HOOK_DEAD: a hook does not see"
                    );
                    out.push(told(name, HookState::Dead, hook.misses, hook.alive));
                }
            }
        }
    }

    /// Says of links that they are gone. `seen`: when they were last looked at and there.
    pub(super) fn links(&mut self, now: Reading, seen: BootNanos, gone: Vec<String>) -> Vec<Record> {
        let mut out = Vec::new();
        for name in gone {
            tracing::error!(
                MESSAGE_ID = alarm::LINK_MISSING,
                link = name,
                "HOOK_DEAD: the kernel does not have a program where it was attached"
            );
            let (state, clock) = (HookState::LinkMissing, now.pair);
            let change =
                HookChange { name: Bytes::from(name.as_str()), state, misses: 0, since: seen, clock };
            out.push(record(now, change));
            self.missing.push(name);
        }
        out
    }
}

fn record(now: Reading, change: HookChange) -> Record {
    Record {
        boot_ns: now.pair.boot,
        cpu: u16::MAX,
        flags: Flags::default(),
        task: None,
        body: Body::Hook(Box::new(change)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClockPair, RealNanos};

    const MS: u64 = 1_000_000;
    const ALL: u64 = (1 << Hook::NAMES.len()) - 1;
    const EACH: u64 = 14;

    fn at(ms: u64) -> Reading {
        let (boot, real) = (BootNanos::new(5_000 * MS + ms * MS), RealNanos::new(9_000_000 * MS + ms * MS));
        Reading { pair: ClockPair { boot, real }, mono: ms * MS, raw: ms * MS }
    }

    fn done(answered: u64) -> CanaryRound {
        CanaryRound { answered, done: true, lost: false }
    }

    fn told(records: &[Record]) -> Vec<(String, &'static str, u64, u64)> {
        let of = |r: &Record| match &r.body {
            Body::Hook(h) => (h.name.escaped(), h.state.name(), h.misses, h.since.get() / MS - 5_000),
            other => panic!("{other:?}"),
        };
        records.iter().map(of).collect()
    }

    /// Runs in steps of 10 ms, as the pump does; answers are there 20 ms behind their round. Gives what was told, with
    /// the time.
    fn run(
        watch: &mut Canaries,
        ms: std::ops::Range<u64>,
        busy: bool,
        answer: impl Fn(u64) -> CanaryRound,
    ) -> Vec<(u64, String, &'static str)> {
        let (mut out, mut sent) = (Vec::new(), None);
        for now in ms.step_by(10) {
            let round = match sent {
                Some(since) if now >= since + 20 => answer(since),
                _ => CanaryRound::default(),
            };
            let step = watch.step(at(now), busy, round);
            out.extend(told(&step.records).into_iter().map(|(name, state, ..)| (now, name, state)));
            if step.send {
                sent = Some(now);
            }
        }
        out
    }

    #[test]
    fn rounds_go_out_each_second_while_somebody_is_recorded_else_each_ten() {
        for (busy, rounds) in [(true, 60), (false, 6)] {
            let mut watch = Canaries::new(at(0), Hook::NAMES.len());
            assert_eq!(run(&mut watch, 0..60_500, busy, |_| done(ALL)), []);
            let sent = watch.vitals().sent;
            let expected = rounds * EACH;
            assert!(sent <= expected && sent + 2 * EACH >= expected, "{sent} {expected}");
            assert_eq!((watch.vitals().missed, watch.vitals().live), (0, ALL));
        }
    }

    #[test]
    fn e5_a_hook_that_falls_silent_in_a_session_is_dead_within_four_seconds_and_comes_back() {
        // Whenever it falls silent between two rounds.
        for silent in (3_000..4_200).step_by(70) {
            let mut watch = Canaries::new(at(0), Hook::NAMES.len());
            let back = silent + 20_000;
            let told = run(&mut watch, 0..40_000, true, |since| {
                done(if (silent..back).contains(&since) { ALL & !(1 << 4) } else { ALL })
            });
            assert_eq!(told.len(), 2, "{told:?}");
            let (dead, ref name, state) = told[0];
            assert_eq!((name.as_str(), state), ("open", "dead"));
            assert!(dead <= silent + 4_000, "silent at {silent}, told at {dead}");
            assert_eq!((told[1].1.as_str(), told[1].2), ("open", "back"));
            assert!(told[1].0 <= back + 1_100);
            assert_eq!((watch.vitals().live, watch.silent()), (ALL, vec![]));
        }
    }

    #[test]
    fn idle_a_miss_quickens_the_rounds() {
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let told = run(&mut watch, 0..30_000, false, |since| done(if since > 15_000 { 0 } else { ALL }));
        assert_eq!(told.len(), Hook::NAMES.len());
        assert!(told.iter().all(|(when, _, state)| *when <= 23_000 && *state == "dead"), "{told:?}");
        assert_eq!(watch.vitals().live, 0);
    }

    #[test]
    fn acts_that_never_end_are_misses_by_the_monotonic_clock() {
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let hung = CanaryRound { answered: 1, done: false, lost: false };
        let told = run(&mut watch, 0..10_000, true, |_| hung);
        assert_eq!(told.len(), Hook::NAMES.len() - 1, "the first act was done: {told:?}");
        assert!(told.iter().all(|(when, ..)| *when <= 4_000), "{told:?}");
        // No second round goes out behind the hung one; when it ends, all is well.
        assert_eq!(watch.vitals().sent, EACH);
        let back = run(&mut watch, 10_000..10_010, true, |_| hung);
        assert_eq!(back, []);
        let step = watch.step(at(10_020), true, done(ALL));
        assert_eq!(told_states(&step.records), ["back"; Hook::NAMES.len() - 1]);
    }

    fn told_states(records: &[Record]) -> Vec<&'static str> {
        told(records).into_iter().map(|(_, state, ..)| state).collect()
    }

    #[test]
    fn declared_loss_is_no_miss_and_no_sign_of_life() {
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let told = run(&mut watch, 0..30_000, true, |_| CanaryRound { answered: 0, done: true, lost: true });
        assert_eq!((told, watch.vitals().missed), (vec![], 0));
        // Two misses, then loss, then the third.
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let told = run(&mut watch, 0..20_000, true, |since| match since {
            3_000..9_000 => CanaryRound { answered: 0, done: true, lost: true },
            _ => done(0),
        });
        assert!(told.iter().all(|(when, ..)| (9_000..10_500).contains(when)), "{told:?}");
        assert_eq!(told.len(), Hook::NAMES.len());
    }

    #[test]
    fn two_misses_are_no_death() {
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let told =
            run(&mut watch, 0..60_000, true, |since| done(if since / 1_000 % 3 == 0 { ALL } else { 0 }));
        assert_eq!(told, []);
        assert!(watch.vitals().missed > 100);
    }

    #[test]
    fn a_missing_link_is_told_at_once() {
        let mut watch = Canaries::new(at(0), Hook::NAMES.len());
        let records = watch.links(at(2_000), at(1_000).pair.boot, vec!["a at b".to_owned()]);
        assert_eq!(told(&records), [("a at b".to_owned(), "link_missing", 0, 1_000)]);
        assert_eq!(watch.links(at(3_000), at(2_000).pair.boot, Vec::new()), []);
        assert_eq!(watch.silent(), ["a at b"]);
    }
}
