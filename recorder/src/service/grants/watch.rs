//! Open sessions and the coverage of each: what their processes need, and what was last said about it.

use std::collections::HashMap;

use crate::{
    grant::{self, Book, Clock, CommandLine, Wanted, Work},
    model::{
        Body, BootNanos, Bytes, Coverage, CoverageChange, Cred, Exec, Flags, Mark, Record, SessionStart, Task,
    },
    session::Tracked,
    sys::process,
};

/// Names of users are asked for again after so many.
const CACHED_USERS: usize = 1024;

/// One open session.
#[derive(Debug)]
struct Session {
    work: Work,
    /// The program that elevated: it leads to what is needed and needs nothing itself.
    elevator: Bytes,
    last: Option<Coverage>,
}

/// All open sessions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sessions: HashMap<Mark, Session>,
    users: HashMap<u32, Option<String>>,
}

impl Watch {
    /// Takes what tracking gave out, and gives it on with the changes of coverage where they belong.
    pub(super) fn pass(&mut self, tracked: Vec<Tracked>, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let mut out = Vec::with_capacity(tracked.len());
        for item in tracked {
            let judged = match &item {
                Tracked::Event { mark, record } if self.take(*mark, record, book) => {
                    Some((*mark, record.boot_ns))
                }
                Tracked::Closed { mark, .. } => {
                    self.sessions.remove(mark);
                    None
                }
                _ => None,
            };
            out.push(item);
            if let Some((mark, at)) = judged {
                out.extend(self.judge(mark, at, book, clock));
            }
        }
        out
    }

    /// Judges every session again: a document came, or time went by.
    pub(super) fn again(&mut self, now: BootNanos, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let marks: Vec<Mark> = self.sessions.keys().copied().collect();
        marks.into_iter().filter_map(|mark| self.judge(mark, now, book, clock)).collect()
    }

    /// Takes one record; true if what the session needs may have changed.
    fn take(&mut self, mark: Mark, record: &Record, book: &Book) -> bool {
        if let Body::SessionStart(start) = &record.body {
            self.sessions.insert(mark, begin(start, record.boot_ns, book));
            return true;
        }
        let Some(task) = record.task.as_deref() else { return false };
        let (id, at) = (task.id, record.boot_ns);
        match &record.body {
            Body::Exec(exec) => {
                let wanted = self.wanted(task, exec);
                let Some(session) = self.sessions.get_mut(&mark) else { return false };
                let leads = exec.path == session.elevator;
                session.work.wants(id, at, (!leads).then_some(wanted));
                true
            }
            Body::Cred(cred) => self.acts_as(mark, task, cred, at),
            Body::Fork(fork) => {
                if let Some(session) = self.sessions.get_mut(&mark) {
                    session.work.forked(id, fork.child, at);
                }
                false
            }
            Body::Exit(_) => {
                let Some(session) = self.sessions.get_mut(&mark) else { return false };
                session.work.ended(id, at);
                // What is over is on record; only what lives is judged from here on.
                session.work.forget(at);
                true
            }
            _ => false,
        }
    }

    /// The same program goes on as another user.
    fn acts_as(&mut self, mark: Mark, task: &Task, cred: &Cred, at: BootNanos) -> bool {
        let user = self.user(cred.new.euid);
        let Some(session) = self.sessions.get_mut(&mark) else { return false };
        let Some(need) = session.work.live().find(|need| need.task == task.id) else { return false };
        let wanted = Wanted { uid: cred.new.euid, user, line: need.wanted.line.clone() };
        session.work.wants(task.id, at, Some(wanted));
        true
    }

    fn wanted(&mut self, task: &Task, exec: &Exec) -> Wanted {
        Wanted { uid: task.euid, user: self.user(task.euid), line: CommandLine::new(exec) }
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        if self.users.len() >= CACHED_USERS {
            self.users.clear();
        }
        let ask = || process::user_name(uid).and_then(|name| String::from_utf8(name).ok());
        self.users.entry(uid).or_insert_with(ask).clone()
    }

    /// The session's coverage at that moment, if it is another than the last.
    fn judge(&mut self, mark: Mark, at: BootNanos, book: &Book, clock: &Clock) -> Option<Tracked> {
        let session = self.sessions.get_mut(&mark)?;
        let coverage = grant::coverage_now(book, &session.work, clock, at);
        if session.last == Some(coverage) {
            return None;
        }
        session.last = Some(coverage);
        let body = Body::Coverage(Box::new(change(session, coverage, at, book)));
        let record = Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body };
        Some(Tracked::Event { mark, record })
    }
}

fn begin(start: &SessionStart, at: BootNanos, book: &Book) -> Session {
    let account = start.login.user.as_utf8().unwrap_or_default();
    let person = book.policy().person_of(account, None, None).map(str::to_owned);
    Session { work: Work::new(person, at), elevator: start.elevation.path.clone(), last: None }
}

/// The record of a change; the incident is the grant's, or what the person noted himself.
fn change(session: &Session, coverage: Coverage, from: BootNanos, book: &Book) -> CoverageChange {
    let person = session.work.person();
    let asked = coverage.grant().and_then(|id| book.grant(&id)).and_then(|g| g.request.incident.as_ref());
    let noted = || person.and_then(|p| book.notes_of(p).max_by_key(|(at, _)| *at)).map(|(_, n)| &n.incident);
    let incident = asked.or_else(noted).map(|i| format!("{}:{}", i.system, i.id)).unwrap_or_default();
    CoverageChange {
        from,
        coverage,
        person: Bytes::from(person.unwrap_or_default()),
        incident: Bytes::from(incident.as_str()),
    }
}
