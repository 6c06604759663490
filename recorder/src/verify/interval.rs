//! Intervals without a recorder that sees: between its runs, in silence, asleep, with a deaf hook. Every one was declared
//! or left its trace; what nobody declared is a matter of the chain, not of this file.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::finding::{self as f, Findings};
use super::notes::Program;
use super::segment::Walked;
use crate::model::{
    BootId, BootNanos, Bytes, ClockChange, ClockEvent, ClockPair, HookChange, HookState, LogId, RealNanos,
};

/// Longest time between two seals of a living recorder: three idle heartbeats.
pub(super) const SILENCE: u64 = 30_000_000_000;

/// Why nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// The recorder was stopped, and started again in the same boot.
    Stopped,
    /// It ended without a stop, and started again in the same boot.
    Crashed,
    /// It gave no sign of life.
    Silent,
    /// The host was suspended.
    Suspended,
    /// It ran, and a hook did not see.
    HookDead,
    /// The host was booted between two runs.
    Rebooted,
}

impl IntervalKind {
    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Silent => "silent",
            Self::Suspended => "suspended",
            Self::HookDead => "hook_dead",
            Self::Rebooted => "rebooted",
        }
    }
}

/// A stretch of time without a recorder that sees everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Why.
    pub kind: IntervalKind,
    /// The log in which it is declared.
    #[serde(serialize_with = "display")]
    pub log: LogId,
    /// The last sign of life before it.
    #[serde(serialize_with = "rfc3339")]
    pub from: RealNanos,
    /// The first one behind it, or the end of what the log says.
    #[serde(serialize_with = "rfc3339")]
    pub to: RealNanos,
    /// Its length: by the boot clock; over a boot by the wall clock, which may have been set.
    pub seconds: u64,
    /// One sentence for people.
    pub text: String,
}

fn display<T: std::fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn rfc3339<S: Serializer>(time: &RealNanos, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&time.rfc3339())
}

/// Where a run of the recorder began or ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) clock: ClockPair,
    pub(super) boot: BootId,
    pub(super) stopped: bool,
}

/// Between two runs.
pub(super) fn between(log: LogId, before: Edge, next: Edge) -> Interval {
    let same_boot = before.boot == next.boot;
    let nanos = if same_boot {
        next.clock.boot.since(before.clock.boot)
    } else {
        next.clock.real.get().saturating_sub(before.clock.real.get())
    };
    let (kind, text) = match (same_boot, before.stopped) {
        (true, true) => (IntervalKind::Stopped, "the recorder was stopped".to_owned()),
        (true, false) => (IntervalKind::Crashed, "the recorder ended without a stop".to_owned()),
        (false, stopped) => {
            let end = if stopped { "was stopped" } else { "ended without a stop" };
            let text = format!("the recorder {end}; boot {} follows boot {}", next.boot, before.boot);
            (IntervalKind::Rebooted, text)
        }
    };
    let (from, to) = (before.clock.real, next.clock.real);
    Interval { kind, log, from, to, seconds: nanos / 1_000_000_000, text }
}

/// An upgrade, or another program in its place.
fn follows(old: &Program, new: &Program) -> String {
    if old.version != new.version {
        format!("; version {} follows {}", new.version, old.version)
    } else if old.sha256 != new.sha256 {
        format!("; another program of version {} follows", new.version)
    } else {
        String::new()
    }
}

/// A hook that does not see.
#[derive(Debug)]
struct Deaf {
    since: ClockPair,
    link: bool,
    segment: String,
    leaf: u64,
}

/// Time without a seal.
#[derive(Debug)]
struct Silent {
    from: ClockPair,
    to: ClockPair,
    segment: String,
    leaf: u64,
}

/// Collects the intervals of one log, segment by segment.
#[derive(Debug)]
pub(super) struct Intervals {
    log: LogId,
    list: Vec<Interval>,
    pub(super) began: Option<Edge>,
    /// The newest seal.
    pub(super) ended: Option<Edge>,
    /// What recorded last, as far as it is known.
    program: Option<Program>,
    deaf: BTreeMap<Vec<u8>, Deaf>,
    silent: Vec<Silent>,
    /// Times asleep, of this run.
    slept: Vec<ClockChange>,
}

impl Intervals {
    pub(super) const fn new(log: LogId) -> Self {
        Self {
            log,
            list: Vec::new(),
            began: None,
            ended: None,
            program: None,
            deaf: BTreeMap::new(),
            silent: Vec::new(),
            slept: Vec::new(),
        }
    }

    /// A segment begins; `fresh` with a new process of the recorder.
    pub(super) fn begins(&mut self, fresh: bool, segment: &str, w: &Walked, out: &mut Findings) {
        let (boot, header) = (w.header.boot, w.header.clock);
        if !fresh {
            if let Some(before) = self.ended {
                self.quiet(before.clock, w.first_clock, segment, w.first.header.leaf);
            }
            self.began.get_or_insert(Edge { clock: header, boot, stopped: false });
            if w.run.program.is_some() {
                self.program.clone_from(&w.run.program);
            }
            return;
        }
        // The boot record says when the hooks answered.
        let next = Edge { clock: w.run.ready.unwrap_or(header), boot, stopped: false };
        if let Some(before) = self.ended {
            self.run_ends(before.clock, out);
            let mut interval = between(self.log, before, next);
            if let (Some(old), Some(new)) = (&self.program, &w.run.program) {
                interval.text.push_str(&follows(old, new));
            }
            self.list.push(interval);
        }
        self.program = w.run.program.clone().or(self.program.take());
        self.ended = None;
    }

    /// A segment ends at its newest seal; a run that was stopped, where its stop record says.
    pub(super) fn ends(&mut self, w: &Walked) {
        let stopped = w.stopped();
        let told = w.run.stop.filter(|told| stopped && told.boot <= w.last_clock.boot);
        self.ended = Some(Edge { clock: told.unwrap_or(w.last_clock), boot: w.header.boot, stopped });
    }

    /// No seal between these; a gap unless the host slept.
    pub(super) fn quiet(&mut self, from: ClockPair, to: ClockPair, segment: &str, leaf: u64) {
        if to.boot.since(from.boot) > SILENCE {
            self.silent.push(Silent { from, to, segment: segment.to_owned(), leaf });
        }
    }

    pub(super) fn clock(&mut self, change: ClockChange, segment: &str, leaf: u64, out: &mut Findings) {
        let (from, to) = (change.before.real, change.after.real);
        let seconds = change.after.boot.since(change.before.boot) / 1_000_000_000;
        match change.event {
            ClockEvent::Suspend => {
                let slept = change.nanos.unsigned_abs() / 1_000_000_000;
                let text = format!("the host slept for {slept} s");
                out.add(f::SUSPEND, Some(segment), Some(leaf), span(&text, from, to));
                let (kind, log) = (IntervalKind::Suspended, self.log);
                self.list.push(Interval { kind, log, from, to, seconds, text });
                self.slept.push(change);
            }
            ClockEvent::Slew => {
                let text = format!("the clocks ran off by {} ns in {seconds} s", change.nanos);
                out.add(f::SLEW, Some(segment), Some(leaf), span(&text, from, to));
            }
            ClockEvent::Unknown(_) => {}
        }
    }

    pub(super) fn hook(&mut self, change: &HookChange, segment: &str, leaf: u64, out: &mut Findings) {
        let name = change.name.as_slice();
        match change.state {
            HookState::Dead | HookState::LinkMissing => {
                let since = ClockPair { boot: change.since, real: before(change.clock, change.since) };
                let link = change.state == HookState::LinkMissing;
                let deaf = Deaf { since, link, segment: segment.to_owned(), leaf };
                self.deaf.entry(name.to_vec()).or_insert(deaf);
            }
            HookState::Back => {
                if let Some(deaf) = self.deaf.remove(name) {
                    self.heard(name, &deaf, change.clock, "until it saw again", out);
                }
            }
            HookState::Unknown(_) => {}
        }
    }

    fn heard(&mut self, name: &[u8], deaf: &Deaf, to: ClockPair, until: &str, out: &mut Findings) {
        let name = Bytes::from(name).escaped();
        let what = if deaf.link { "was not attached" } else { "did not see" };
        let seconds = to.boot.since(deaf.since.boot) / 1_000_000_000;
        let text = format!("hook {name} {what} for {seconds} s, {until}");
        let (from, to) = (deaf.since.real, to.real);
        out.add(f::HOOK_DEAD, Some(&deaf.segment), Some(deaf.leaf), span(&text, from, to));
        let (kind, log) = (IntervalKind::HookDead, self.log);
        self.list.push(Interval { kind, log, from, to, seconds, text });
    }

    /// A run of the recorder ended at that seal.
    fn run_ends(&mut self, end: ClockPair, out: &mut Findings) {
        for (name, deaf) in std::mem::take(&mut self.deaf) {
            self.heard(&name, &deaf, end, "to the end of that run", out);
        }
        let slept = std::mem::take(&mut self.slept);
        for silent in std::mem::take(&mut self.silent) {
            let (from, to) = (silent.from.boot, silent.to.boot);
            let within = |c: &&ClockChange| c.after.boot > from && c.before.boot < to;
            let asleep: u64 = slept.iter().filter(within).map(|c| c.nanos.unsigned_abs()).sum();
            let nanos = to.since(from);
            if nanos.saturating_sub(asleep) <= SILENCE {
                continue;
            }
            let seconds = nanos / 1_000_000_000;
            let text = format!("no sign of a living recorder for {seconds} s");
            let (from, to) = (silent.from.real, silent.to.real);
            out.add(f::GAP, Some(&silent.segment), Some(silent.leaf), span(&text, from, to));
            let (kind, log) = (IntervalKind::Silent, self.log);
            self.list.push(Interval { kind, log, from, to, seconds, text });
        }
    }

    /// All intervals, the earliest first. The end of the log itself is none: nothing says how long it lasts.
    pub(super) fn finish(&mut self, out: &mut Findings) -> Vec<Interval> {
        if let Some(end) = self.ended {
            self.run_ends(end.clock, out);
        }
        let mut list = std::mem::take(&mut self.list);
        list.sort_by_key(|interval| interval.from);
        list
    }
}

/// The wall clock at an earlier moment of the same boot.
fn before(clock: ClockPair, at: BootNanos) -> RealNanos {
    RealNanos::new(clock.real.get().saturating_sub(clock.boot.since(at)))
}

fn span(text: &str, from: RealNanos, to: RealNanos) -> String {
    format!("{text} ({} to {})", from.rfc3339(), to.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn an_upgrade_and_another_program_of_the_same_version_are_told_apart() {
        let program =
            |version: &str, n| Program { version: version.to_owned(), sha256: Digest::new([n; 32]) };
        let old = program("0.1.0", 1);
        assert_eq!(follows(&old, &program("0.2.0", 2)), "; version 0.2.0 follows 0.1.0");
        assert_eq!(follows(&old, &program("0.1.0", 2)), "; another program of version 0.1.0 follows");
        assert_eq!(follows(&old, &old), "");
    }
}
