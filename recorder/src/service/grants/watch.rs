//! Open sessions and the coverage of each: what was last said about it, and when something else has to be said.

use std::collections::{HashMap, HashSet};

use super::Logins;
use crate::{
    grant::{self, Book, Clock, Follow, Standing, Wanted, Work},
    model::{
        Body, BootNanos, Bytes, Coverage, CoverageChange, Enforcement, EnforcementAct, Flags, Mark, Overdue,
        Participant, RealNanos, Record, SessionStart, TaskId,
    },
    service::terminal::Seat,
    session::Tracked,
    sys::process,
};

/// Names of users are asked for again after so many.
const CACHED_USERS: usize = 1024;

/// One open session.
#[derive(Debug)]
pub(super) struct Session {
    follow: Follow,
    account: String,
    seat: Seat,
    root: TaskId,
    standing: Standing,
    last: Option<Coverage>,
    /// Processes that were said to outlive their grant.
    overdue: HashSet<TaskId>,
}

/// All open sessions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sessions: HashMap<Mark, Session>,
    users: HashMap<u32, Option<String>>,
    refused: Vec<(Seat, Enforcement)>,
    /// Who came by which key.
    pub(super) logins: Logins,
}

impl Watch {
    /// Takes what tracking gave out, and gives it on with the changes of coverage where they belong.
    pub(super) fn pass(&mut self, tracked: Vec<Tracked>, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let mut out = Vec::with_capacity(tracked.len());
        for mut item in tracked {
            let change = match &mut item {
                Tracked::Event { mark, record } if matters(record) => {
                    self.explain(*mark, record, book, clock);
                    self.take(*mark, record, book, clock)
                }
                Tracked::Closed { mark, .. } => {
                    self.sessions.remove(mark);
                    Vec::new()
                }
                _ => Vec::new(),
            };
            out.push(item);
            out.extend(change);
        }
        out
    }

    /// All open sessions.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (Mark, &Session)> {
        self.sessions.iter().map(|(mark, session)| (*mark, session))
    }

    /// One of them.
    pub(super) fn session(&self, mark: Mark) -> Option<&Session> {
        self.sessions.get(&mark)
    }

    /// Judges every session again: a document came, or time went by.
    pub(super) fn again(&mut self, now: BootNanos, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let mut out = Vec::new();
        for (mark, session) in &mut self.sessions {
            out.extend(session.judge(*mark, now, book, clock));
        }
        out
    }

    /// Fills in for which lack of coverage the kernel refused something: it knows windows, not reasons.
    fn explain(&mut self, mark: Mark, record: &mut Record, book: &Book, clock: &Clock) {
        if let Body::Participant(who) = &mut record.body {
            return self.judge_company(mark, who, clock.real(record.boot_ns), book);
        }
        let Body::Enforcement(done) = &mut record.body else { return };
        if !matches!(done.act, EnforcementAct::Refused | EnforcementAct::Stopped) {
            return;
        }
        let Some(session) = self.sessions.get(&mark) else { return };
        let uid = record.task.as_ref().map_or(0, |task| task.euid);
        let user = self.users.get(&uid).cloned().flatten();
        let wanted = Wanted::of_program(uid, user, &done.text);
        let (person, at) = (session.work().person(), clock.real(record.boot_ns));
        done.coverage = grant::coverage(book, person, std::iter::once(&wanted), at);
        self.refused.push((session.seat.clone(), Enforcement::clone(done)));
    }

    /// Whose login it is that sits at a session, and what his own grants allow him of what it does.
    fn judge_company(&self, mark: Mark, who: &mut Participant, at: RealNanos, book: &Book) {
        let account = who.login.user.as_utf8().unwrap_or_default();
        let person = self.logins.person(book.policy(), account, who.login.audit_session);
        who.person = Bytes::from(person.unwrap_or_default());
        let Some(session) = self.sessions.get(&mark) else { return };
        let wanted = session.work().live().map(|need| &need.wanted);
        who.coverage = Some(grant::coverage(book, person, wanted, at));
    }

    /// What the kernel refused since the last call, with the terminal to tell it on.
    pub(super) fn refused(&mut self) -> Vec<(Seat, Enforcement)> {
        std::mem::take(&mut self.refused)
    }

    /// Takes a record; gives the changes that it brings.
    fn take(&mut self, mark: Mark, record: &Record, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let at = record.boot_ns;
        if let Body::SessionStart(start) = &record.body {
            self.sessions.insert(mark, begin(start, at, book, &self.logins));
        }
        if let Body::SessionStart(_) | Body::Exec(_) | Body::Cred(_) = &record.body {
            self.learn(record);
        }
        let users = &self.users;
        let Some(session) = self.sessions.get_mut(&mark) else { return Vec::new() };
        session.follow.take(record, |uid| users.get(&uid).cloned().flatten());
        // What is over is on record; only what lives is judged from here on.
        session.follow.work_mut().forget(at);
        session.judge(mark, at, book, clock)
    }

    /// The names of the users that a record speaks of.
    fn learn(&mut self, record: &Record) {
        if self.users.len() >= CACHED_USERS {
            self.users.clear();
        }
        let uid = match &record.body {
            Body::SessionStart(start) => Some(start.elevation.to.euid),
            Body::Cred(cred) => Some(cred.new.euid),
            _ => record.task.as_ref().map(|task| task.euid),
        };
        if let Some(uid) = uid {
            let ask = || process::user_name(uid).and_then(|name| String::from_utf8(name).ok());
            self.users.entry(uid).or_insert_with(ask);
        }
    }
}

impl Session {
    /// The account that logged in.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Where its person sat when it began.
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Its first process.
    pub(super) fn root(&self) -> TaskId {
        self.root
    }

    /// What its processes need.
    pub(super) fn work(&self) -> &Work {
        self.follow.work()
    }

    /// What was said about it last.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        self.last
    }

    /// The coverage at that moment, if it is another than the last, and who outlives the grant that ended.
    fn judge(&mut self, mark: Mark, at: BootNanos, book: &Book, clock: &Clock) -> Vec<Tracked> {
        let work = self.follow.work();
        let coverage = self.standing.coverage(book, work, clock, at);
        let (changed, renewed) = (self.last.replace(coverage) != Some(coverage), self.standing.renewed());
        let mut bodies = Vec::new();
        if changed {
            bodies.push(Body::Coverage(Box::new(change(work, coverage, at, book))));
        }
        // Looked for only when something may have ended and something is bare: it costs the story of every process.
        if renewed && coverage.grant().is_none() {
            let late = grant::overdue(book, work, clock, at);
            let new = late.into_iter().filter(|late| self.overdue.insert(late.task));
            bodies.extend(new.map(|late| {
                let grant::Overdue { task, grant, since, reason } = late;
                Body::Overdue(Overdue { task, grant, since, reason })
            }));
        }
        let record = |body| Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body };
        bodies.into_iter().map(|body| Tracked::Event { mark, record: record(body) }).collect()
    }
}

/// Whether a record can change what a session needs: files and terminals don't, and they are most of all records.
fn matters(record: &Record) -> bool {
    matches!(
        &record.body,
        Body::SessionStart(_)
            | Body::Exec(_)
            | Body::Cred(_)
            | Body::Fork(_)
            | Body::Exit(_)
            | Body::Enforcement(_)
            | Body::Participant(_)
    )
}

fn begin(start: &SessionStart, at: BootNanos, book: &Book, logins: &Logins) -> Session {
    let account = start.login.user.as_utf8().unwrap_or_default();
    let person = logins.person(book.policy(), account, start.login.audit_session).map(str::to_owned);
    Session {
        follow: Follow::new(Work::new(person, at)),
        account: account.to_owned(),
        seat: Seat::of(&start.login),
        root: start.root,
        standing: Standing::default(),
        last: None,
        overdue: HashSet::new(),
    }
}

/// The record of a change; the incident is the grant's, or what the person noted himself last.
fn change(work: &Work, coverage: Coverage, from: BootNanos, book: &Book) -> CoverageChange {
    let person = work.person();
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
