//! `on_storage_failure = "end-sessions"`: whoever can't be recorded does not go on. Only what bears a session's mark is
//! reached, and sessions of accounts that are never refused are left alone: somebody has to mend the disk.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::sweep;
use crate::{
    capture::Marks,
    config::{Config, StorageKey},
    model::{Bytes, EnforcementAct, Mark, TaskId},
};

/// How a session's processes are reached. One real, one in tests.
pub(super) trait Reach {
    /// Asks them to end; how many were reached.
    fn hang_up(&self, mark: Mark) -> usize;
    /// Ends them; who they were.
    fn kill(&self, mark: Mark) -> Vec<(TaskId, Bytes)>;
}

impl Reach for Marks {
    fn hang_up(&self, mark: Mark) -> usize {
        sweep::hang_up(self, mark)
    }

    fn kill(&self, mark: Mark) -> Vec<(TaskId, Bytes)> {
        sweep::kill(self, mark).into_iter().collect()
    }
}

/// One act, to be recorded in its session when storage is back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) mark: Mark,
    pub(super) kind: EnforcementAct,
    pub(super) task: TaskId,
    pub(super) count: u32,
    pub(super) text: Bytes,
}

/// Ends sessions while storage has failed for good.
pub(super) struct Ending {
    reach: Box<dyn Reach + Send>,
    grace: Duration,
    exempt: Vec<String>,
    /// When a session was asked to end.
    asked: HashMap<Mark, Instant>,
}

impl Ending {
    /// `None` if sessions go on whatever storage does.
    pub(super) fn new(config: &Config, marks: Marks) -> Option<Self> {
        (config.on_storage_failure == StorageKey::EndSessions)
            .then(|| Self::with(Box::new(marks), config.grants.grace, config.grants.exempt.clone()))
    }

    pub(super) fn with(reach: Box<dyn Reach + Send>, grace: Duration, exempt: Vec<String>) -> Self {
        Self { reach, grace, exempt, asked: HashMap::new() }
    }

    pub(super) fn is_exempt(&self, account: &Bytes) -> bool {
        self.exempt.iter().any(|name| name.as_bytes() == account.as_slice())
    }

    /// Asks these sessions to end, and ends those that were asked long enough ago: again and again, because what is
    /// started from outside may bear their marks later.
    pub(super) fn round(&mut self, open: impl Iterator<Item = (Mark, TaskId)>, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        for (mark, root) in open {
            let Some(asked) = self.asked.get(&mark) else {
                self.asked.insert(mark, now);
                let count = u32::try_from(self.reach.hang_up(mark)).unwrap_or(u32::MAX);
                let text = Bytes::from("storage failed");
                acts.push(Act { mark, kind: EnforcementAct::HungUp, task: root, count, text });
                continue;
            };
            if now.saturating_duration_since(*asked) >= self.grace {
                let killed = self.reach.kill(mark).into_iter();
                acts.extend(killed.map(|(task, text)| Act {
                    mark,
                    kind: EnforcementAct::Killed,
                    task,
                    count: 1,
                    text,
                }));
            }
        }
        acts
    }

    /// Storage is back: who was asked to end and still runs may go on.
    pub(super) fn relent(&mut self) -> Vec<Mark> {
        self.asked.drain().map(|(mark, _)| mark).collect()
    }

    pub(super) fn forget(&mut self, mark: Mark) {
        self.asked.remove(&mark);
    }
}
