//! `on_storage_failure = "end-sessions"`: whoever can't be recorded does not go on. Only what bears a session's mark is
//! reached, and sessions of accounts that are never refused are left alone: somebody has to mend the disk. It runs beside the
//! writer, which a disk that hangs holds.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{standing::Standing, sweep};
use crate::{
    capture::Marks,
    config::{Config, StorageKey},
    model::{
        Body, Bytes, ClockPair, Coverage, Enforcement, EnforcementAct, Flags, Mark, Record, TaskId, Uncovered,
    },
    session::Tracked,
};

/// Between looks at sessions that are to end.
const CARE: Duration = Duration::from_secs(5);

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

/// A session that is not over.
struct Ward {
    root: TaskId,
    coverage: Coverage,
    exempt: bool,
    /// When it was asked to end.
    asked: Option<Instant>,
}

/// Ends sessions while storage has failed for good.
pub(super) struct Ending {
    reach: Box<dyn Reach + Send>,
    grace: Duration,
    exempt: Vec<String>,
    open: HashMap<Mark, Ward>,
    cared: Option<Instant>,
}

impl Ending {
    /// `None` if sessions go on whatever storage does.
    pub(super) fn new(config: &Config, marks: Marks) -> Option<Self> {
        (config.on_storage_failure == StorageKey::EndSessions)
            .then(|| Self::with(Box::new(marks), config.grants.grace, config.grants.exempt.clone()))
    }

    fn with(reach: Box<dyn Reach + Send>, grace: Duration, exempt: Vec<String>) -> Self {
        Self { reach, grace, exempt, open: HashMap::new(), cared: None }
    }

    /// Sees what happened, then does what is due; its acts are records of their sessions. Sessions are asked to end, and
    /// ended when they were asked long enough ago: again and again, because what is started from outside may bear their
    /// marks later. Who was asked and still runs when storage is back may go on.
    pub(super) fn step(
        &mut self,
        tracked: &[Tracked],
        storage: Standing,
        at: ClockPair,
        now: Instant,
    ) -> Vec<Tracked> {
        for item in tracked {
            self.see(item);
        }
        let mut acts = Vec::new();
        if storage.is_sound() {
            for (mark, ward) in &mut self.open {
                if ward.asked.take().is_some() {
                    let text = Bytes::from("storage is back");
                    acts.push(act(*mark, ward, at, (EnforcementAct::Relented, ward.root, 0, text)));
                }
            }
        } else if storage.is_for_good(now)
            && self.cared.is_none_or(|last| now.saturating_duration_since(last) >= CARE)
        {
            self.cared = Some(now);
            for (mark, ward) in self.open.iter_mut().filter(|(_, ward)| !ward.exempt) {
                match ward.asked {
                    None => {
                        ward.asked = Some(now);
                        let count = u32::try_from(self.reach.hang_up(*mark)).unwrap_or(u32::MAX);
                        let text = Bytes::from("storage failed");
                        acts.push(act(*mark, ward, at, (EnforcementAct::HungUp, ward.root, count, text)));
                    }
                    Some(asked) if now.saturating_duration_since(asked) >= self.grace => {
                        let killed = self.reach.kill(*mark).into_iter();
                        let killed = killed.map(|(task, text)| (EnforcementAct::Killed, task, 1, text));
                        acts.extend(killed.map(|done| act(*mark, ward, at, done)));
                    }
                    Some(_) => {}
                }
            }
        }
        acts
    }

    fn see(&mut self, item: &Tracked) {
        match item {
            Tracked::Opened { mark, .. } => {
                let coverage = Coverage::Uncovered { reason: Uncovered::Unknown(0) };
                let ward = Ward { root: TaskId::default(), coverage, exempt: false, asked: None };
                self.open.insert(*mark, ward);
            }
            Tracked::Event { mark, record } => {
                let Some(ward) = self.open.get_mut(mark) else { return };
                match &record.body {
                    Body::SessionStart(start) => {
                        ward.root = start.root;
                        let account = start.login.user.as_slice();
                        ward.exempt = self.exempt.iter().any(|name| name.as_bytes() == account);
                    }
                    Body::Coverage(change) => ward.coverage = change.coverage,
                    _ => {}
                }
            }
            Tracked::Closed { mark, .. } => {
                self.open.remove(mark);
            }
            Tracked::Lost { .. } => {}
        }
    }
}

fn act(
    mark: Mark,
    ward: &Ward,
    at: ClockPair,
    (act, task, count, text): (EnforcementAct, TaskId, u32, Bytes),
) -> Tracked {
    let body = Body::Enforcement(Box::new(Enforcement { act, coverage: ward.coverage, task, count, text }));
    let (boot_ns, flags) = (at.boot, Flags::default());
    Tracked::Event { mark, record: Record { boot_ns, cpu: u16::MAX, flags, task: None, body } }
}

#[cfg(test)]
mod tests;
