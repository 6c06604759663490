//! The list of sessions.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Known;
use crate::model::{
    Body, Bytes, Coverage, DelegationRole, Digest, Elevation, Engine, LogId, LoginWitness, RealNanos,
    SessionId, Trigger, TtyOp,
};
use crate::verify::{Entry, Report, Verified};

/// Containers listed of one session.
const CONTAINERS: usize = 256;
/// People listed who sat at one session.
const COMPANY: usize = 64;

/// What is known about one session. Counts are counted from verified records, not taken from its end record.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Its host.
    pub host: Option<Bytes>,
    /// Who logged in.
    pub login: Option<LoginWitness>,
    /// How it became privileged.
    pub elevation: Option<Elevation>,
    /// The person it is tied to.
    pub person: Option<Bytes>,
    /// The grant of the last stretch that one covered.
    pub grant: Option<Digest>,
    /// The worst coverage of any stretch: nothing covered it, the glass was broken, covered throughout. `None` if no
    /// grants were watched.
    pub coverage: Option<Coverage>,
    /// Time of its first record.
    pub start: Option<RealNanos>,
    /// Time of its end record; `None` if there is none.
    pub end: Option<RealNanos>,
    /// True while it has no end and its recorder did not stop or start again after it.
    pub open: bool,
    /// Programs started.
    pub execs: u64,
    /// File records.
    pub files: u64,
    /// Terminal bytes shown, all terminals.
    pub tty_bytes: u64,
    /// Users as whom it acted, in the order of the first time; known at its end.
    pub users: Vec<u32>,
    /// Containers that its tasks were in, as engine and id, in the order of the first time; at most [`CONTAINERS`].
    pub containers: Vec<(Engine, Bytes)>,
    /// Its tasks were in other namespaces than the host's.
    pub namespaces: bool,
    /// Capabilities that it used, by number.
    pub used: BTreeSet<u32>,
    /// Capabilities that were refused to it.
    pub refused: BTreeSet<u32>,
    /// The session that it came of, if it was handed over, and by which means.
    pub came_of: Option<(SessionId, Trigger)>,
    /// Who sat at it besides, as person or account, in the order of the first time; at most [`COMPANY`].
    pub company: Vec<Bytes>,
    /// Sessions that came of it.
    pub handed_over: u64,
    /// Losses declared while it was open.
    pub loss: u64,
    /// `complete`, `complete_with_loss`, `open`, `incomplete`; `unknown` if the report doesn't list it.
    pub completeness: &'static str,
}

/// Builds the list from entries in journal order.
#[derive(Debug, Default)]
pub struct Sessions {
    known: Known,
    order: Vec<SessionId>,
    by_id: HashMap<SessionId, (LogId, SessionInfo)>,
}

impl Sessions {
    /// Takes the next entry.
    pub fn see(&mut self, entry: &Verified<Entry>) {
        self.known.see(entry);
        if matches!(entry.record.body, Body::Boot(_) | Body::Stop(_)) {
            // Whoever was recorded until here is so no more; a session that goes on says so with new records.
            for (_, info) in self.by_id.values_mut().filter(|(log, _)| *log == entry.log) {
                info.open = false;
            }
        }
        if let Some(id) = entry.session {
            self.count(id, entry);
        }
        // The log's clear twins of a session's edges: what is known of it without a key.
        match &entry.record.body {
            Body::SessionOpened(opened) => self.count(opened.id, entry),
            Body::SessionClosed(closed) => {
                if let Some((_, info)) = self.by_id.get_mut(&closed.id) {
                    info.end.get_or_insert(entry.time);
                    info.open = false;
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, id: SessionId, entry: &Entry) {
        let (order, host) = (&mut self.order, self.known.host(entry));
        let (_, info) = self.by_id.entry(id).or_insert_with(|| {
            order.push(id);
            (entry.log, SessionInfo { host: host.cloned(), start: Some(entry.time), ..empty(id) })
        });
        info.open = info.end.is_none();
        match &entry.record.body {
            Body::SessionStart(start) => {
                info.login.get_or_insert_with(|| start.login.clone());
                info.elevation.get_or_insert_with(|| start.elevation.clone());
            }
            Body::SessionEnd(_) => {
                info.end = Some(entry.time);
                info.open = false;
            }
            Body::Coverage(change) => {
                if !change.person.is_empty() {
                    info.person = Some(change.person.clone());
                }
                info.grant = change.coverage.grant().or(info.grant);
                let worse = |known: Coverage| change.coverage.concern() > known.concern();
                if info.coverage.is_none_or(worse) {
                    info.coverage = Some(change.coverage);
                }
            }
            Body::Context(context) if !context.is_host() => {
                info.namespaces |= context.own != 0;
                let named = (context.engine, context.container.clone());
                let room = info.containers.len() < CONTAINERS;
                if context.engine != Engine::None && room && !info.containers.contains(&named) {
                    info.containers.push(named);
                }
            }
            Body::Capability(used) if used.inner == 0 => {
                let set = if used.granted == 0 { &mut info.refused } else { &mut info.used };
                set.insert(used.number);
            }
            Body::Permissions(folded) => {
                for user in folded.users.iter().filter(|user| user.uid != u32::MAX) {
                    if !info.users.contains(&user.uid) {
                        info.users.push(user.uid);
                    }
                }
            }
            Body::Participant(who) => {
                let name = if who.person.is_empty() { &who.login.user } else { &who.person };
                if info.company.len() < COMPANY && !info.company.contains(name) {
                    info.company.push(name.clone());
                }
            }
            Body::Delegation(end) => match end.role {
                DelegationRole::By => {
                    info.came_of.get_or_insert((end.session, end.trigger));
                }
                DelegationRole::To if end.session != SessionId::NOBODY => info.handed_over += 1,
                _ => {}
            },
            Body::Exec(_) => info.execs += 1,
            Body::Reads(reads) => info.files = info.files.saturating_add(reads.count),
            Body::File(..) | Body::Setattr(..) | Body::Xattr(_) | Body::Allocate(_) => info.files += 1,
            Body::Tty(TtyOp::Output, tty) => {
                info.tty_bytes = info.tty_bytes.saturating_add(tty.shown());
            }
            _ => {}
        }
    }

    /// The list in order of appearance, with what verification says about each. Sessions that the report knows and
    /// no entry was readable of stand at the end.
    pub fn finish(mut self, report: &Report) -> Vec<SessionInfo> {
        let verdicts: HashMap<_, _> = report.sessions.iter().map(|s| (s.id, s)).collect();
        let seen = std::mem::take(&mut self.order);
        let mut list: Vec<_> =
            seen.iter().filter_map(|id| self.by_id.remove(id)).map(|(_, info)| info).collect();
        let seen: HashSet<_> = seen.into_iter().collect();
        list.extend(report.sessions.iter().filter(|s| !seen.contains(&s.id)).map(|s| empty(s.id)));
        for info in &mut list {
            if let Some(verdict) = verdicts.get(&info.id) {
                info.loss = verdict.losses;
                info.completeness = verdict.completeness;
            }
        }
        list
    }
}

fn empty(id: SessionId) -> SessionInfo {
    SessionInfo {
        id,
        host: None,
        login: None,
        elevation: None,
        person: None,
        grant: None,
        coverage: None,
        start: None,
        end: None,
        open: false,
        execs: 0,
        files: 0,
        tty_bytes: 0,
        users: Vec::new(),
        containers: Vec::new(),
        namespaces: false,
        used: BTreeSet::new(),
        refused: BTreeSet::new(),
        came_of: None,
        company: Vec::new(),
        handed_over: 0,
        loss: 0,
        completeness: "unknown",
    }
}
