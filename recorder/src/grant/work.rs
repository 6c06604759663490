//! What a session needed over time: a small state machine from its processes' lives to needs.

use std::collections::BTreeMap;

use super::{Need, Wanted};
use crate::model::{BootNanos, TaskId};

/// One session's work, as far as grants are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    person: Option<String>,
    start: BootNanos,
    end: Option<BootNanos>,
    live: BTreeMap<TaskId, Need>,
    past: Vec<Need>,
    turns: u64,
}

impl Work {
    /// A session that begins. `person` is what [`super::Policy::person_of`] says of its login.
    pub fn new(person: Option<String>, start: BootNanos) -> Self {
        Self { person, start, end: None, live: BTreeMap::new(), past: Vec::new(), turns: 0 }
    }

    /// A process runs another program or acts as another user from now on. `None`: it needs nothing itself, as the
    /// program that elevates (sudo, su), which only leads to what is needed.
    pub fn wants(&mut self, task: TaskId, at: BootNanos, wanted: Option<Wanted>) {
        if wanted.is_some() && self.live.get(&task).map(|need| &need.wanted) == wanted.as_ref() {
            return;
        }
        self.stop(task, at);
        if let Some(wanted) = wanted {
            let (turn, from) = (self.turns, at.max(self.start));
            self.turns = self.turns.wrapping_add(1);
            self.live.insert(task, Need { task, turn, from, until: None, wanted });
        }
    }

    /// A process was made: it needs what its parent needs.
    pub fn forked(&mut self, parent: TaskId, child: TaskId, at: BootNanos) {
        let wanted = self.live.get(&parent).map(|need| need.wanted.clone());
        self.wants(child, at, wanted);
    }

    /// A process ended.
    pub fn ended(&mut self, task: TaskId, at: BootNanos) {
        self.stop(task, at);
    }

    /// The session is over: what still lived ends with it.
    pub fn close(&mut self, at: BootNanos) {
        let at = at.max(self.start);
        self.end = Some(at);
        let live: Vec<TaskId> = self.live.keys().copied().collect();
        for task in live {
            self.stop(task, at);
        }
    }

    /// Forgets what was over at that instant, once it is on record; the session counts from there on.
    pub fn forget(&mut self, before: BootNanos) {
        self.start = self.start.max(self.end.map_or(before, |end| before.min(end)));
        let start = self.start;
        self.past.retain(|need| need.until.is_none_or(|until| until > start));
    }

    fn stop(&mut self, task: TaskId, at: BootNanos) {
        if let Some(mut need) = self.live.remove(&task) {
            let until = at.max(need.from);
            need.until = Some(until);
            if until > need.from {
                self.past.push(need);
            }
        }
    }

    /// Whose work it is, if that is known.
    pub fn person(&self) -> Option<&str> {
        self.person.as_deref()
    }

    /// Its first instant.
    pub fn start(&self) -> BootNanos {
        self.start
    }

    /// The first instant behind it; `None` while it runs.
    pub fn end(&self) -> Option<BootNanos> {
        self.end
    }

    /// The needs of processes that live.
    pub fn live(&self) -> impl Iterator<Item = &Need> {
        self.live.values()
    }

    /// What a process needs now, if it needs anything.
    pub fn live_of(&self, task: TaskId) -> Option<&Need> {
        self.live.get(&task)
    }

    /// All needs that are remembered, in no order.
    pub fn needs(&self) -> impl Iterator<Item = &Need> {
        self.past.iter().chain(self.live.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32) -> TaskId {
        TaskId { pid, start: BootNanos::new(1) }
    }

    fn at(n: u64) -> BootNanos {
        BootNanos::new(n)
    }

    fn user(uid: u32) -> Wanted {
        Wanted { uid, ..Wanted::default() }
    }

    #[test]
    fn needs_follow_exec_fork_and_exit() {
        let mut work = Work::new(None, at(10));
        work.wants(task(1), at(5), None);
        work.wants(task(1), at(12), Some(user(0)));
        work.wants(task(1), at(13), Some(user(0)));
        work.forked(task(1), task(2), at(14));
        work.wants(task(2), at(16), Some(user(7)));
        work.ended(task(1), at(18));
        work.close(at(20));
        let mut seen: Vec<_> =
            work.needs().map(|n| (n.task.pid, n.from.get(), n.until.unwrap().get(), n.wanted.uid)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(1, 12, 18, 0), (2, 14, 16, 0), (2, 16, 20, 7)]);
        work.forget(at(17));
        assert_eq!((work.needs().count(), work.start()), (2, at(17)));
    }

    #[test]
    fn clocks_that_disagree_make_no_negative_need() {
        let mut work = Work::new(None, at(10));
        work.wants(task(1), at(20), Some(user(0)));
        work.ended(task(1), at(15));
        work.close(at(5));
        assert_eq!((work.needs().count(), work.end()), (0, Some(at(10))));
    }
}
