//! Facts that stand in earlier records: the host of a log, the login of a session.

use std::collections::HashMap;

use crate::model::{Body, Bytes, CoverageChange, LogId, LoginWitness, SessionId};
use crate::verify::Entry;

/// Grows with the entries that went by. One login witness is kept for each session, one name for each log.
#[derive(Debug, Default)]
pub struct Known {
    hosts: HashMap<LogId, Bytes>,
    logins: HashMap<SessionId, LoginWitness>,
    coverage: HashMap<SessionId, CoverageChange>,
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
            _ => {}
        }
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
