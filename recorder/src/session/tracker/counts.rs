//! What the kernel side counts of sessions, made records of when it says something new.

use super::{Tracked, Tracker, of_session};
use crate::model::{Body, BootNanos, Capability, Folded, Mark, Record, Sent, Streamed};

impl Tracker {
    /// Takes the kernel's count of a capability; with `all` it is written also if it was before.
    pub fn counted(
        &mut self,
        mark: Mark,
        used: Capability,
        all: bool,
        now: BootNanos,
        out: &mut Vec<Tracked>,
    ) {
        let Some(session) = self.sessions.get_mut(&mark) else { return };
        let used = session.rights.used(used);
        if session.rights.is_news(&used, all) {
            out.push(Tracked::Event { mark, record: of_session(now, Body::Capability(Box::new(used))) });
        }
    }

    /// Takes the kernel's count of what it folds; with `all` it is the last.
    pub fn folded(&mut self, mark: Mark, folded: Folded, all: bool, now: BootNanos, out: &mut Vec<Tracked>) {
        let told = self.sessions.get_mut(&mark).and_then(|session| session.folds.take(folded, all));
        let record = |(flags, body)| Record { flags, ..of_session(now, body) };
        out.extend(told.map(record).map(|record| Tracked::Event { mark, record }));
    }

    /// Takes the kernel's count of what was sent to somebody without a connection.
    pub fn sent(&mut self, mark: Mark, so_far: Sent, now: BootNanos, out: &mut Vec<Tracked>) {
        let news = self.sessions.get_mut(&mark).and_then(|session| session.sends.news(so_far));
        out.extend(
            news.map(|sent| Tracked::Event { mark, record: of_session(now, Body::Sent(Box::new(sent))) }),
        );
    }

    /// Takes the kernel's count of what went through a standard stream and was not taken along.
    pub fn streamed(&mut self, mark: Mark, streamed: Streamed, now: BootNanos, out: &mut Vec<Tracked>) {
        let missing = self.sessions.get_mut(&mark).and_then(|session| session.terminals.missing(streamed));
        let record = |(op, tty)| of_session(now, Body::Tty(op, tty));
        out.extend(missing.map(record).map(|record| Tracked::Event { mark, record }));
    }
}
