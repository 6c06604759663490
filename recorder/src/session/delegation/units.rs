//! Control groups that managers made, while sessions ask for units: whose they are.

use super::words::lets_people_in;
use super::{Files, Handover, Pass, tell};
use crate::model::{BootNanos, Branch, Bytes, Confidence, Handed, KernelEvent, Mark, Trigger};

/// A unit that nobody asked for by name may still belong to a request that could not be read; for so long after it.
const WINDOW_NS: u64 = 5_000_000_000;
/// A unit waits so long for a request that was on its way when it was made: its sender may have lost the processor.
const LATE_NS: u64 = 2_000_000_000;

/// Whether a unit that nobody is known to have asked for waits for a request that was on its way. Not where people log in, or a person's
/// own manager made it: who logs in or elevates in there begins a session, which a wait would keep from him.
pub(super) fn may_be_late(made: &KernelEvent, branch: &Branch) -> bool {
    let path = branch.path.as_utf8().unwrap_or_default();
    branch.is_ahead && made.task.euid == 0 && !path.split('/').any(lets_people_in)
}

impl Handover {
    /// A request was told of that had been on its way since then: what was made meanwhile may be what it asked for.
    pub(super) fn come_late(&mut self, since: BootNanos, pass: &mut Pass<'_, impl Files>) {
        for mark in self.waiting_if(|waiting| waiting.unit.is_some() && since <= waiting.since) {
            // More of it may come, so nothing is guessed yet.
            self.unit(mark, false, pass);
        }
    }

    /// True if it is known whose unit a control group is: then it is given on, or told.
    pub(super) fn unit(&mut self, mark: Mark, may_guess: bool, pass: &mut Pass<'_, impl Files>) -> bool {
        let Some(made) = self.waiting.get(&mark).and_then(|waiting| waiting.unit.clone()) else {
            return false;
        };
        match self.unit_of(mark, made.boot_ns, may_guess) {
            Some((handed, true)) => self.settle(mark, &made, handed, pass),
            Some((handed, false)) => {
                tell(&made, &handed, pass.out);
                self.drop_branch(mark, pass.let_go);
            }
            None => return false,
        }
        true
    }

    /// What nobody spoke of for long enough may be whose message could not be read; else it is nobody's.
    pub(super) fn units_late(&mut self, now: BootNanos, pass: &mut Pass<'_, impl Files>) {
        for mark in self.waiting_if(|waiting| waiting.unit.is_some() && now.since(waiting.since) > LATE_NS) {
            if !self.unit(mark, true, pass) {
                self.drop_branch(mark, pass.let_go);
            }
        }
    }

    /// Whose unit a control group is that was made then, and whether what runs in it is his work: a unit of the host that he had started
    /// is not.
    fn unit_of(&mut self, mark: Mark, made: BootNanos, may_guess: bool) -> Option<(Handed, bool)> {
        let waiting = self.waiting.get(&mark)?;
        let path = waiting.branch.path.clone();
        let text = path.as_utf8()?;
        let handed = |from, trigger, confidence, what: &str| Handed {
            from: Some(from),
            trigger,
            confidence,
            to: waiting.daemon.clone(),
            what: Bytes::from(what),
            evidence: path.clone(),
        };
        let written = self.plants.writer_of(text);
        // Who has something started that another one wrote is told of it; what it does is the writer's.
        let of_another = |asker| written.is_some_and(|(_, by)| by != asker);
        let wanted = self.asked.of_cgroup(text, made);
        if let Some(wanted) = wanted.filter(|wanted| wanted.is_his || !of_another(wanted.by)) {
            let is_his = (wanted.is_his || written.is_some()) && !lets_people_in(&wanted.unit);
            return Some((handed(wanted.by, Trigger::Unit, Confidence::Certain, &wanted.words), is_his));
        }
        if let Some((unit, by)) = written {
            return Some((handed(by, Trigger::Plant, Confidence::Certain, unit), !lets_people_in(unit)));
        }
        // Whose message could not be read, and not who spoke last.
        let is_near = |at: BootNanos| may_guess && at <= made && made.since(at) < WINDOW_NS;
        let (by, _) = self.unread.iter().filter(|(_, at)| is_near(**at)).max_by_key(|(_, at)| **at)?;
        let is_his = !text.split('/').any(lets_people_in);
        Some((handed(*by, Trigger::Unit, Confidence::Likely, "a request that could not be read"), is_his))
    }
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
