//! Watches the clocks against each other: steps, slews, time asleep. A pure law over readings.
//!
//! Clock discipline turns `CLOCK_REALTIME`, `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` alike, so only the raw clock shows a
//! slew. What discipline does at most is no finding: 500 ppm by frequency and 500 ppm by adjtime.

use crate::{
    model::{Body, ClockChange, ClockEvent, ClockPair, Flags, Jump, Record},
    sys::clock::Reading,
};

/// A difference between wall and boot clock that is a step, taken at once or in steps that are each smaller; and time
/// asleep that is no slip of a reading.
const STEP_NS: u64 = 100_000_000;
/// How long the clocks are compared with the raw one, and what they may run off meanwhile: 1,000 ppm.
const WINDOW_NS: u64 = 60_000_000_000;
const SLEW_NS: u64 = 60_000_000;

/// What the clocks did so far.
pub(super) struct Clocks {
    last: Reading,
    /// Since when the wall clock has not been told to be off the boot clock.
    anchor: ClockPair,
    /// Since when the clocks are compared with the raw one.
    window: Reading,
}

/// How far the first clock ran ahead of the second.
fn ahead(first: (u64, u64), second: (u64, u64)) -> i64 {
    let ran = |(from, to): (u64, u64)| i128::from(to) - i128::from(from);
    i64::try_from(ran(first) - ran(second)).unwrap_or(if ran(first) > ran(second) {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// How far the wall clock ran ahead of the boot clock.
fn wall(from: ClockPair, to: ClockPair) -> i64 {
    ahead((from.real.get(), to.real.get()), (from.boot.get(), to.boot.get()))
}

impl Clocks {
    pub(super) const fn new(now: Reading) -> Self {
        Self { last: now, anchor: now.pair, window: now }
    }

    /// Records of what the clocks did since the reading before.
    pub(super) fn step(&mut self, now: Reading) -> Vec<Record> {
        let mut out = Vec::new();
        let last = std::mem::replace(&mut self.last, now);
        let change = |event, before, nanos| {
            record(now.pair, Body::Clock(ClockChange { event, before, after: now.pair, nanos }))
        };
        let slept = ahead((last.pair.boot.get(), now.pair.boot.get()), (last.mono, now.mono));
        if slept > 0 && slept.unsigned_abs() > STEP_NS {
            out.push(change(ClockEvent::Suspend, last.pair, slept));
        }
        if wall(last.pair, now.pair).unsigned_abs() > STEP_NS {
            out.push(record(now.pair, Body::Jump(Jump { before: last.pair, after: now.pair })));
            self.anchor = now.pair;
        }
        let crept = wall(self.anchor, now.pair);
        if crept.unsigned_abs() > STEP_NS {
            out.push(change(ClockEvent::Slew, self.anchor, crept));
            self.anchor = now.pair;
        }
        let ran_off = ahead((self.window.mono, now.mono), (self.window.raw, now.raw));
        if ran_off.unsigned_abs() > SLEW_NS {
            out.push(change(ClockEvent::Slew, self.window.pair, ran_off));
            self.window = now;
        } else if now.raw.saturating_sub(self.window.raw) >= WINDOW_NS {
            self.window = now;
        }
        out
    }
}

fn record(now: ClockPair, body: Body) -> Record {
    Record { boot_ns: now.boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, RealNanos};

    const MS: i64 = 1_000_000;

    /// A host whose clocks do what a test wants.
    struct Host {
        real: i64,
        boot: i64,
        mono: i64,
        raw: i64,
    }

    impl Host {
        const fn new() -> Self {
            Self { real: 1_700_000_000_000 * MS, boot: 50_000 * MS, mono: 40_000 * MS, raw: 40_000 * MS }
        }

        /// Runs for so many milliseconds of the raw clock, turned by so many ppm.
        const fn run(&mut self, ms: i64, ppm: i64) -> &mut Self {
            self.raw += ms * MS;
            let turned = ms * MS + ms * ppm;
            self.real += turned;
            self.boot += turned;
            self.mono += turned;
            self
        }

        const fn sleep(&mut self, ms: i64) -> &mut Self {
            self.real += ms * MS;
            self.boot += ms * MS;
            self
        }

        const fn set(&mut self, ms: i64) -> &mut Self {
            self.real += ms * MS;
            self
        }

        fn read(&self) -> Reading {
            let of = |n: i64| u64::try_from(n).unwrap();
            let pair = ClockPair { boot: BootNanos::new(of(self.boot)), real: RealNanos::new(of(self.real)) };
            Reading { pair, mono: of(self.mono), raw: of(self.raw) }
        }
    }

    fn told(records: &[Record]) -> Vec<(&'static str, i64)> {
        let of = |r: &Record| match &r.body {
            Body::Jump(j) => ("jump", wall(j.before, j.after) / MS),
            Body::Clock(c) => (c.event.name(), c.nanos / MS),
            other => panic!("{other:?}"),
        };
        records.iter().map(of).collect()
    }

    #[test]
    fn f4_set_forth_and_back_is_two_jumps_and_order_is_unharmed() {
        let mut host = Host::new();
        let mut clocks = Clocks::new(host.read());
        let mut records = Vec::new();
        for set in [0, 3_600_000, 0, -7_200_000, 0, 99, 0, -99] {
            records.extend(clocks.step(host.run(1_000, 0).set(set).read()));
        }
        assert_eq!(told(&records), [("jump", 3_600_000), ("jump", -7_200_000)]);
        assert!(records.is_sorted_by_key(|r| r.boot_ns));
    }

    #[test]
    fn f4_many_small_steps_are_a_slew() {
        let mut host = Host::new();
        let mut clocks = Clocks::new(host.read());
        let records: Vec<Record> =
            (0..100).flat_map(|_| clocks.step(host.run(1_000, 0).set(-30).read())).collect();
        assert!(told(&records).iter().all(|what| *what == ("slew", -120)), "{:?}", told(&records));
        assert_eq!(records.len(), 25);
    }

    #[test]
    fn f4_a_slew_beyond_clock_discipline_is_told_and_discipline_is_not() {
        for (ppm, found) in [(0, 0), (500, 0), (-1_000, 0), (1_100, 9), (-1_100, 9), (100_000, 800)] {
            let mut host = Host::new();
            let mut clocks = Clocks::new(host.read());
            let records: Vec<Record> =
                (0..6_000).flat_map(|_| clocks.step(host.run(100, ppm).read())).collect();
            assert!(records.len() >= found && (found > 0 || records.is_empty()), "{ppm}: {}", records.len());
            assert!(told(&records).iter().all(|(what, by)| *what == "slew" && by.signum() == ppm.signum()));
            assert!(records.is_sorted_by_key(|r| r.boot_ns));
        }
    }

    #[test]
    fn f4_sleep_is_a_suspend_and_no_jump() {
        let mut host = Host::new();
        let mut clocks = Clocks::new(host.read());
        assert_eq!(clocks.step(host.run(10, 0).read()), []);
        let records = clocks.step(host.run(10, 0).sleep(600_000).read());
        assert_eq!(told(&records), [("suspend", 600_000)]);
        let Body::Clock(change) = &records[0].body else { panic!() };
        assert_eq!(change.after.boot.since(change.before.boot), 600_010_000_000);
        assert_eq!(clocks.step(host.run(10, 0).sleep(50).read()), []);
        // A wall clock that was set while the host slept is both.
        let records = clocks.step(host.sleep(5_000).set(2_000).read());
        assert_eq!(told(&records), [("suspend", 5_000), ("jump", 2_000)]);
    }
}
