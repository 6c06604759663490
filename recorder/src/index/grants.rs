//! What a journal tells about grants: their documents, what became of each, and what was done under it.

use std::collections::HashMap;

use crate::model::{Body, Bytes, Coverage, Digest, Grant, GrantAct, RealNanos, SessionId, Token};
use crate::verify::{Entry, Verified};

/// A request (or a broken glass) and everything about it, in journal order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrantInfo {
    /// SHA-256 of the request's bytes.
    pub id: Digest,
    /// The request as it came; `None` if only answers to it were seen.
    pub request: Option<Grant>,
    /// Everything that was received about it, with the time of the record: the request, answers, refusals, states.
    pub told: Vec<(RealNanos, Grant)>,
    /// Its newest state.
    pub state: Bytes,
    /// Tokens for it that were used or refused, with the time of the record.
    pub tokens: Vec<(RealNanos, Token)>,
    /// Stretches of sessions that it covered.
    pub stretches: Vec<Stretch>,
}

/// A stretch of a session under one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which session.
    pub session: SessionId,
    /// From when.
    pub from: RealNanos,
    /// Until when; `None` while it goes on, or if nobody saw its end.
    pub until: Option<RealNanos>,
    /// Programs started in it.
    pub execs: u64,
}

/// Builds the list from entries in journal order.
#[derive(Debug, Default)]
pub struct Grants {
    order: Vec<Digest>,
    by_id: HashMap<Digest, GrantInfo>,
    /// What covers each open session.
    now: HashMap<SessionId, Digest>,
}

impl Grants {
    /// Takes the next entry.
    pub fn see(&mut self, entry: &Verified<Entry>) {
        match (&entry.record.body, entry.session) {
            (Body::Grant(grant), _) => self.told(entry.time, grant),
            (Body::Token(token), _) if token.grant != Digest::default() => {
                self.of(token.grant).tokens.push((entry.time, Token::clone(token)));
            }
            (Body::Coverage(change), Some(session)) => {
                self.close(session, entry.time);
                if let Coverage::Covered { grant } | Coverage::BreakGlass { grant } = change.coverage {
                    self.now.insert(session, grant);
                    let stretch = Stretch { session, from: entry.time, until: None, execs: 0 };
                    self.of(grant).stretches.push(stretch);
                }
            }
            (Body::SessionEnd(_), Some(session)) => self.close(session, entry.time),
            (Body::Exec(_), Some(session)) => {
                if let Some(stretch) = self.open(session) {
                    stretch.execs += 1;
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, time: RealNanos, grant: &Grant) {
        // Lists that decide are about no request, and neither is a document that could not be read.
        if grant.request == Digest::default() {
            return;
        }
        let info = self.of(grant.request);
        match grant.act {
            GrantAct::State => info.state = grant.text.clone(),
            GrantAct::Received if grant.document == grant.request => {
                info.request.get_or_insert_with(|| grant.clone());
            }
            _ => {}
        }
        info.told.push((time, grant.clone()));
    }

    fn of(&mut self, id: Digest) -> &mut GrantInfo {
        let order = &mut self.order;
        self.by_id.entry(id).or_insert_with(|| {
            order.push(id);
            GrantInfo { id, ..GrantInfo::default() }
        })
    }

    fn open(&mut self, session: SessionId) -> Option<&mut Stretch> {
        let info = self.by_id.get_mut(self.now.get(&session)?)?;
        info.stretches.iter_mut().rev().find(|stretch| stretch.session == session)
    }

    fn close(&mut self, session: SessionId, at: RealNanos) {
        if let Some(stretch) = self.open(session) {
            stretch.until = Some(at);
        }
        self.now.remove(&session);
    }

    /// The list in order of appearance.
    pub fn finish(mut self) -> Vec<GrantInfo> {
        self.order.iter().filter_map(|id| self.by_id.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::fixture::{self as fx, Fixture};
    use crate::model::{BootNanos, CoverageChange, Uncovered};

    fn grant(act: GrantAct, document: u8, text: &str) -> Body {
        let (document, request) = (Digest::new([document; 32]), Digest::new([1; 32]));
        let text = Bytes::from(text);
        Body::Grant(Box::new(Grant { act, document, request, text, ..Grant::default() }))
    }

    fn coverage(coverage: Coverage) -> Body {
        let (person, incident) = (Bytes::from("anna"), Bytes::default());
        Body::Coverage(Box::new(CoverageChange { from: BootNanos::new(0), coverage, person, incident }))
    }

    #[test]
    fn a_grant_has_its_documents_its_state_and_what_was_done_under_it() {
        let mut f = Fixture::with_session();
        f.control(grant(GrantAct::Received, 1, ""));
        f.control(grant(GrantAct::Received, 2, ""));
        f.control(grant(GrantAct::State, 1, "active"));
        f.of(1, None, fx::exec("/bin/before", &["before"]));
        f.of(1, None, coverage(Coverage::Covered { grant: Digest::new([1; 32]) }));
        f.of(1, None, fx::exec("/bin/one", &["one"]));
        f.of(1, None, fx::exec("/bin/two", &["two"]));
        f.of(1, None, coverage(Coverage::Uncovered { reason: Uncovered::Late }));
        f.of(1, None, fx::exec("/bin/after", &["after"]));
        let mut grants = Grants::default();
        f.entries.iter().for_each(|entry| grants.see(entry));
        let list = grants.finish();
        let [info] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((info.told.len(), info.state.as_slice()), (3, b"active".as_slice()));
        let [stretch] = info.stretches.as_slice() else { panic!("{:?}", info.stretches) };
        assert_eq!((stretch.execs, stretch.session, stretch.until.is_some()), (2, fx::session_id(1), true));
    }
}
