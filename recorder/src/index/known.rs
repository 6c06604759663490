//! Facts that stand in earlier records: the host of a log, the login of a session.

use std::collections::HashMap;

use crate::model::{Body, Bytes, CoverageChange, LogId, LoginWitness, Places, SessionId, TaskContext};
use crate::verify::Entry;

/// Grows with the entries that went by. One login witness is kept for each session, one name for each log.
#[derive(Debug, Default)]
pub struct Known {
    hosts: HashMap<LogId, Bytes>,
    logins: HashMap<SessionId, LoginWitness>,
    coverage: HashMap<SessionId, CoverageChange>,
    places: HashMap<SessionId, Places>,
}

impl Known {
    /// Takes note of a boot or session start record. Call it before asking about the same entry.
    pub fn see(&mut self, entry: &Entry) {
        match (&entry.record.body, entry.session) {
            (Body::Boot(boot), _) => {
                self.hosts.insert(entry.log, boot.host.clone());
            }
            (Body::SessionStart(start), Some(session)) => {
                self.logins.entry(session).or_insert_with(|| start.login.clone());
            }
            (Body::Coverage(coverage), Some(session)) => {
                self.coverage.insert(session, CoverageChange::clone(coverage));
            }
            (Body::Context(_), Some(session)) => self.places.entry(session).or_default().see(&entry.record),
            (Body::Fork(_), Some(session)) => {
                if let Some(places) = self.places.get_mut(&session) {
                    places.see(&entry.record);
                }
            }
            _ => {}
        }
    }

    /// Where the process that made the record lives; `None` with the host's.
    pub fn place(&self, entry: &Entry) -> Option<&TaskContext> {
        self.places.get(&entry.session?)?.of(&entry.record).map(|context| &**context)
    }

    /// What the last word of the entry's session says about its coverage.
    pub fn coverage(&self, entry: &Entry) -> Option<&CoverageChange> {
        self.coverage.get(&entry.session?)
    }

    /// Host name in the newest boot record of the entry's log.
    pub fn host(&self, entry: &Entry) -> Option<&Bytes> {
        self.hosts.get(&entry.log)
    }

    /// Login witness of the entry's session.
    pub fn login(&self, entry: &Entry) -> Option<&LoginWitness> {
        self.logins.get(&entry.session?)
    }

    /// Name in that witness.
    pub fn user(&self, entry: &Entry) -> Option<&Bytes> {
        self.login(entry).map(|login| &login.user).filter(|name| !name.is_empty())
    }
}
