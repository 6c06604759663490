//! Numbers about the recorder itself, for Prometheus. They are counted where records are written, so they say what the journal
//! says; names of sessions, people and files are never among them, and there are as many series as this file names.

mod serve;
mod text;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

pub(super) use self::{
    serve::Offer,
    text::{Around, Ring, Sizes},
};
use crate::model::{Body, Heartbeat, Kind, Loss, LossReason, Record};

/// So many pairs of class and reason are told apart; classes come from the kernel side, whose number is fixed.
const LOSSES: usize = 64;

/// What kinds of records are counted as.
const CLASSES: [&str; 10] =
    ["process", "rights", "file", "terminal", "system", "socket", "session", "grant", "content", "log"];

fn class(kind: Kind) -> usize {
    match kind.code() {
        1..=3 => 0,
        4 | 54 | 56 => 1,
        16..=29 => 2,
        32..=34 => 3,
        64..=69 => 4,
        80..=83 => 5,
        48 | 49 | 53 | 55 | 57 => 6,
        50..=52 | 264..=266 => 7,
        58..=60 => 8,
        _ => 9,
    }
}

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    records: [u64; CLASSES.len()],
    /// By stage, class and reason.
    losses: BTreeMap<(&'static str, String, &'static str), u64>,
    sessions: u64,
    beat: Heartbeat,
    commits: u64,
    failures: u64,
    restarts: u64,
    /// How often files of the journal were made or shut.
    files: u64,
    /// From the first record that waited to the seal over it, summed up, and the longest.
    lag: Duration,
    longest: Duration,
    reloads: u64,
    reloads_refused: u64,
}

impl Tally {
    /// A record that is about to be written.
    pub(super) fn record(&mut self, record: &Record) {
        let kind = record.body.kind();
        if let Some(count) = self.records.get_mut(class(kind)) {
            *count = count.saturating_add(1);
        }
        match &record.body {
            Body::SessionStart(_) => self.sessions = self.sessions.saturating_add(1),
            Body::Heartbeat(beat) => self.beat = beat.clone(),
            Body::Loss(loss) => self.loss(loss),
            Body::Config(change) if change.act == crate::model::ConfigAct::Refused => {
                self.reloads_refused = self.reloads_refused.saturating_add(1);
            }
            Body::Config(_) => self.reloads = self.reloads.saturating_add(1),
            _ => {}
        }
    }

    fn loss(&mut self, loss: &Loss) {
        let stage = if loss.reason == LossReason::Storage { "journal" } else { "kernel" };
        self.lost(stage, loss.class.escaped(), loss.reason.name(), loss.count);
    }

    /// A record that found no place on its way to the disk.
    pub(super) fn unkept(&mut self, class: &str, count: u64) {
        self.lost("journal", class.to_owned(), LossReason::Storage.name(), count);
    }

    fn lost(&mut self, stage: &'static str, class: String, reason: &'static str, count: u64) {
        let key = (stage, class, reason);
        let key = if self.losses.len() < LOSSES || self.losses.contains_key(&key) {
            key
        } else {
            (stage, "other".to_owned(), reason)
        };
        let sum = self.losses.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Everything that waited is sealed; the oldest of it waited so long.
    pub(super) fn committed(&mut self, waited: Duration, (restarts, rotations): (u64, u64)) {
        self.files = self.files.saturating_add(restarts).saturating_add(rotations);
        self.commits = self.commits.saturating_add(1);
        self.restarts = self.restarts.saturating_add(restarts);
        self.lag = self.lag.saturating_add(waited);
        self.longest = self.longest.max(waited);
    }

    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }
}

/// Where the writer puts its tally, and others read it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Mutex<(Tally, Option<Instant>)>>);

impl Meter {
    /// After a commit, or a failed one.
    pub(super) fn publish(&self, tally: &Tally, sealed: Option<Instant>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.clone_from(tally);
        inner.1 = sealed.or(inner.1);
    }

    /// The tally, and when everything was last sealed.
    fn read(&self) -> (Tally, Option<Instant>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
