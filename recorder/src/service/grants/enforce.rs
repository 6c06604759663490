//! Does what follows from missing coverage: tells people, ends processes, keeps the kernel's gate. What follows is
//! decided by `grant::enforce`; every act is a record.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    logins::{Logins, person_of},
    watch::Watch,
};
use crate::{
    capture::{GateKey, GateLimit, GateWindow, Marks},
    config::{Config, EnforcementKey},
    grant::{
        self, Book, Clock, EnforcementCase as Case, EnforcementRules as Rules, Privilege, Step, View,
        allowing_now, ends_at,
    },
    model::{
        Body, BootNanos, Bytes, Coverage, Digest, Enforcement, EnforcementAct, Flags, Mark, Record, TaskId,
        Uncovered,
    },
    service::{
        sweep::{self, send},
        terminal::Seat,
    },
    session::Tracked,
    sys::process,
};

/// Grants that a token has opened for a person, and until when.
pub(super) type Opened = BTreeMap<(String, Digest), BootNanos>;

/// The arm of the grants desk.
#[derive(Debug)]
pub(in crate::service) struct Enforcer {
    rules: Rules,
    exempt: HashSet<String>,
    marks: Marks,
    cases: HashMap<Mark, Case>,
}

impl Enforcer {
    /// `None` if nothing is to follow from coverage.
    pub(in crate::service) fn new(config: &Config, marks: Marks) -> Option<Self> {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let mode = config.grants.enforcement;
        (mode != EnforcementKey::Observe).then(|| Self {
            rules: Rules {
                warn: true,
                enforce: mode == EnforcementKey::Enforce,
                grace_ns: nanos(config.grants.grace),
                before_ns: nanos(config.notices.before_end),
            },
            exempt: config.grants.exempt.iter().cloned().collect(),
            marks,
            cases: HashMap::new(),
        })
    }

    /// Who may elevate now. Nothing if elevation is not refused.
    pub(super) fn gates(
        &self,
        book: &Book,
        logins: &Logins,
        clock: &Clock,
        now: BootNanos,
        opened: &Opened,
    ) -> Option<HashMap<GateKey, GateWindow>> {
        if !self.rules.enforce {
            return None;
        }
        let (policy, users) = (book.policy(), process::users());
        let mut windows: HashMap<&str, GateWindow> = HashMap::new();
        let mut window_of = |person| {
            windows.entry(person).or_insert_with(|| window(book, clock, person, now, &users, opened)).clone()
        };
        let mut gates = HashMap::new();
        for account in policy.accounts() {
            let person = policy.person_of(account, None, None);
            if let (Some(person), Some(uid)) = (person, users.get(account.as_bytes())) {
                gates.insert(GateKey::Account(*uid), window_of(person));
            }
        }
        let ever = GateWindow { all: Some(BootNanos::new(u64::MAX)), ..GateWindow::default() };
        for uid in self.exempt.iter().filter_map(|account| users.get(account.as_bytes())) {
            gates.insert(GateKey::Account(*uid), ever.clone());
        }
        // Who came by a known key is that key's, whatever the account says: also nobody, on an account that is somebody's.
        for (session, login) in logins.all() {
            let account = login.account.as_utf8().unwrap_or_default();
            if !self.exempt.contains(account) {
                let person = person_of(policy, account, login);
                gates.insert(GateKey::Login(session), person.map(&mut window_of).unwrap_or_default());
            }
        }
        Some(gates)
    }

    /// Tells the person what the kernel refused.
    pub(super) fn tell_refused(done: &Enforcement, seat: &Seat) {
        let (what, why) = (done.text.escaped(), done.coverage.reason().map_or("too late", why));
        let advice =
            "`recorder grant request` asks for access, `recorder grant break-glass` is for emergencies";
        seat.tell(&format!("recorder: {what} was refused: {why}. {advice}"));
    }

    /// Decides about every session; gives the records of what was done.
    pub(super) fn round(
        &mut self,
        watch: &Watch,
        book: &Book,
        clock: &Clock,
        now: BootNanos,
    ) -> Vec<Tracked> {
        let mut out = Vec::new();
        self.cases.retain(|mark, _| watch.session(*mark).is_some());
        for (mark, session) in watch.sessions() {
            let Some(coverage) = session.coverage() else { continue };
            let view = View {
                coverage,
                needs: session.work().live().next().is_some(),
                until: ends_at(book, coverage.grant(), clock),
                exempt: self.exempt.contains(session.account()),
            };
            let mut done = Done { mark, at: now, root: session.root(), coverage, out: &mut out };
            if self.rules.enforce && !view.exempt && coverage.reason() == Some(Uncovered::WrongPrivilege) {
                for need in session.work().live() {
                    let person = session.work().person();
                    let of_need =
                        grant::coverage(book, person, std::iter::once(&need.wanted), clock.real(now));
                    if of_need.reason() == Some(Uncovered::WrongPrivilege) {
                        self.end_one(need.task, &mut done);
                    }
                }
            }
            let step = self.cases.entry(mark).or_default().step(&self.rules, &view, now);
            if let Some(step) = step {
                self.act(step, session.seat(), &mut done);
            }
        }
        out
    }

    fn act(&self, step: Step, seat: &Seat, done: &mut Done<'_>) {
        match step {
            Step::EndsSoon(end) => {
                let left = words(end.since(done.at));
                done.told(
                    seat,
                    &format!("recorder: your grant ends in {left}; `recorder grant extend` asks for more"),
                );
            }
            Step::Bare(reason) => {
                done.told(seat, &format!("recorder: {}; what is done now is on record as such", why(reason)));
            }
            Step::HangUp(deadline) => {
                let reason = done.coverage.reason().map_or("no grant covers this", why);
                let left = words(deadline.since(done.at));
                done.told(
                    seat,
                    &format!("recorder: {reason}; this session is ended, what is left of it in {left}"),
                );
                let reached = sweep::hang_up(&self.marks, done.mark);
                done.record(EnforcementAct::HungUp, done.root, reached, Bytes::default());
            }
            Step::Relent => {
                done.record(EnforcementAct::Relented, done.root, 0, Bytes::default());
                done.told(seat, "recorder: a grant covers this session again");
            }
            Step::Kill => self.end_all(done),
        }
    }

    /// Ends one process that needs more than its grant gives.
    fn end_one(&self, task: TaskId, done: &mut Done<'_>) {
        let comm = process::read(task.pid).map(|process| process.comm).unwrap_or_default();
        if process::is_alive(task)
            && let Some(process) = self.marks.member(task.pid, done.mark)
            && send(&process, Signal::KILL)
        {
            done.record(EnforcementAct::Killed, task, 1, Bytes::new(comm));
        }
    }

    /// Ends everything that bears the session's mark.
    fn end_all(&self, done: &mut Done<'_>) {
        for (task, comm) in sweep::kill(&self.marks, done.mark) {
            done.record(EnforcementAct::Killed, task, 1, comm);
        }
    }
}

/// What a person may now, as far as the kernel can tell it apart: users, and programs without their arguments.
pub(super) fn window(
    book: &Book,
    clock: &Clock,
    person: &str,
    now: BootNanos,
    users: &HashMap<Vec<u8>, u32>,
    opened: &Opened,
) -> GateWindow {
    let mut window = GateWindow::default();
    for grant in allowing_now(book, person, clock.real(now)) {
        // Each use of such a grant takes a token, and opens for a moment.
        let until = if grant.token { opened.get(&(person.to_owned(), grant.id)).copied() } else { None };
        let Some(until) = until.or_else(|| (!grant.token).then(|| clock.boot(grant.until))) else { continue };
        for privilege in &grant.request.privileges {
            let mut some = |limit| {
                let last = window.some.entry(limit).or_insert(until);
                *last = until.max(*last);
            };
            match (privilege, privilege.programs()) {
                (Privilege::User(name), _) if !privilege.is_root() => {
                    if let Some(uid) = users.get(name.as_bytes()).filter(|uid| **uid != 0) {
                        some(GateLimit::User(*uid));
                    }
                }
                (_, Some(paths)) => {
                    for meta in paths.iter().filter_map(|path| fs::metadata(path).ok()) {
                        some(GateLimit::Program(meta.ino()));
                    }
                }
                // A command whose program is a pattern: judged when it is known what runs.
                _ => window.all = window.all.max(Some(until)),
            }
        }
    }
    window
}

/// What is being done to one session.
struct Done<'a> {
    mark: Mark,
    at: BootNanos,
    root: TaskId,
    coverage: Coverage,
    out: &'a mut Vec<Tracked>,
}

impl Done<'_> {
    fn told(&mut self, seat: &Seat, text: &str) {
        if seat.tell(text) {
            self.record(EnforcementAct::Told, self.root, 1, Bytes::from(text));
        }
    }

    fn record(&mut self, act: EnforcementAct, task: TaskId, count: usize, text: Bytes) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let body =
            Body::Enforcement(Box::new(Enforcement { act, coverage: self.coverage, task, count, text }));
        let record = Record { boot_ns: self.at, cpu: u16::MAX, flags: Flags::default(), task: None, body };
        self.out.push(Tracked::Event { mark: self.mark, record });
    }
}

/// Why, for the person.
fn why(reason: Uncovered) -> &'static str {
    match reason {
        Uncovered::Unattributed => "nobody knows whose login this is",
        Uncovered::WrongHost => "your grant is for other hosts",
        Uncovered::WrongPrivilege => "your grant does not allow this",
        Uncovered::Early => "your grant has not begun",
        Uncovered::Late => "your grant is over",
        Uncovered::Revoked => "your grant was revoked",
        Uncovered::NoGrant | Uncovered::Unknown(_) => "you have no grant for this host",
    }
}

/// `1h58m`, `4 min`, `30 s`.
fn words(nanos: u64) -> String {
    match nanos.div_ceil(1_000_000_000) {
        s if s >= 3600 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        s if s >= 60 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_in_the_unit_that_matters() {
        assert_eq!(
            [7_080, 299, 60, 59, 0].map(|s| words(s * 1_000_000_000)),
            ["1h58m", "4 min", "1 min", "59 s", "0 s"]
        );
    }
}
