//! Which session an event belongs to, when a session begins and when it is over.

mod counts;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::lineage::{self, Coming, Lineage, Origin};
use super::{
    Host, Tracked, company::Company, folds::Folds, permissions::Rights, places::Atlas, reached, sends::Sends,
    terminals::Terminals,
};
use crate::model::{
    Act, Body, BootNanos, Captured, Coverage, Cred, Elevated, EndReason, Enforcement, Exit, FileOp, Flags,
    Fork, KernelEvent, Lived, LoginWitness, Mark, Passed, Places, Record, SessionEnd, SessionId, Shared,
    Task, TaskId, Uncovered,
};

/// After the last task is gone, its last output may still be on the way through the terminal's reader.
const LINGER_NS: u64 = 250_000_000;
/// Tasks of one session that are remembered over a restart; what descends from them is found all the same.
const MOST_LIVED: usize = 4096;

#[derive(Debug)]
struct Session {
    id: SessionId,
    root: TaskId,
    root_exit: Option<Exit>,
    /// The elevation whose program is not known yet: the exec event comes right behind.
    opening: Option<(Elevated, Arc<Task>)>,
    alive: HashMap<u32, BootNanos>,
    terminals: Terminals,
    execs: u64,
    files: u64,
    losses: u64,
    /// When the last task was seen to end.
    empty_since: Option<BootNanos>,
    reconciled: bool,
    /// Who logged in, once that is known.
    login: Option<LoginWitness>,
    rights: Rights,
    folds: Folds,
    sends: Sends,
    /// As the records say so far.
    places: Places,
    reached: reached::Told,
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Tracker {
    sessions: BTreeMap<Mark, Session>,
    lineage: Lineage,
    atlas: Atlas,
    company: Company,
}

impl Tracker {
    /// Number of open sessions.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// True if the session is open.
    pub fn is_open(&self, mark: Mark) -> bool {
        self.sessions.contains_key(&mark)
    }

    /// Our id of an open session.
    pub fn id_of(&self, mark: Mark) -> Option<SessionId> {
        self.sessions.get(&mark).map(|session| session.id)
    }

    /// What is left of a session of an earlier run has that mark.
    pub fn lived(&mut self, mark: Mark, lived: &Lived) {
        self.lineage.lived(mark, lived);
    }

    /// Open sessions with their tasks, for the next run.
    pub fn living(&self) -> Vec<Lived> {
        let known =
            self.sessions.iter().filter_map(|(mark, session)| Some((mark, session, session.login.clone()?)));
        let lived = known.map(|(mark, session, login)| {
            let tasks =
                session.alive.iter().take(MOST_LIVED).map(|(pid, start)| TaskId { pid: *pid, start: *start });
            let mut tasks: Vec<_> = tasks.collect();
            tasks.sort_unstable();
            Lived { mark: *mark, id: session.id, login, came: self.lineage.came(*mark), tasks }
        });
        lived.collect()
    }

    /// Takes one item.
    pub fn step(&mut self, now: BootNanos, input: Captured, host: &mut impl Host, out: &mut Vec<Tracked>) {
        match input {
            Captured::Event(event) => self.event(*event, host, out),
            Captured::Lost(loss) => {
                for session in self.sessions.values_mut() {
                    session.losses += 1;
                }
                out.push(Tracked::Lost { at: now, loss });
            }
        }
    }

    fn event(&mut self, event: KernelEvent, host: &mut impl Host, out: &mut Vec<Tracked>) {
        if let Act::Cgroup { id, path } = event.act {
            return self.atlas.learn(id, path);
        }
        let mark = event.mark;
        // Of nobody's session: the service tells it in the log.
        if let Act::Guard(_) = &event.act {
            return;
        }
        if let Act::Shared(shared) = &event.act {
            return self.shares(&event, shared, host, out);
        }
        if !self.sessions.contains_key(&mark) {
            self.lineage.again(mark);
        }
        let event = match self.lineage.take(&event) {
            Ok(Some(coming)) => {
                self.came(&event, &coming, host, out);
                event
            }
            Ok(None) => return,
            Err(()) => match event.act {
                Act::Handed(handed) => return self.lineage.comes(mark, *handed),
                _ => event,
            },
        };
        // What became of a request of a session that is over: nobody's stream is left to say it in.
        if matches!(event.act, Act::Asked(_)) && !self.sessions.contains_key(&mark) {
            return;
        }
        let session = self.sessions.entry(mark).or_insert_with(|| {
            let session = begin(&event, host);
            out.push(Tracked::Opened { mark, id: session.id, at: event.boot_ns });
            session
        });
        let KernelEvent { boot_ns, cpu, flags, task, place, act, .. } = event;
        if let Some((elevated, who)) = session.opening.take() {
            let path = match &act {
                Act::Exec(exec) => exec.path.clone(),
                Act::Elevated(_) => {
                    // The elevation itself: wait for the exec behind it.
                    session.opening = Some((elevated, who));
                    return;
                }
                _ => host.program(who.id),
            };
            session.rights.began(&elevated.old, &elevated.new, &path, who.id, boot_ns);
            let mut start = lineage::opened(session.id, &who, &elevated, path, flags, host);
            // Root may have changed since what testifies it.
            start.login = self.lineage.remembered(mark).unwrap_or(start.login);
            session.login = Some(start.login.clone());
            let body = Body::SessionStart(Box::new(start));
            let root = who.id;
            let record = Record { boot_ns, cpu, flags, task: Some(who), body };
            out.push(Tracked::Event { mark, record });
            let guests = self.company.of(root, host);
            let login = session.login.as_ref();
            for guest in guests.iter().filter(|guest| !login.is_some_and(|login| guest.is(login))) {
                out.push(Tracked::Event { mark, record: guest.record(boot_ns, cpu) });
            }
        }
        // What a terminal shows may be written by somebody else, who lives elsewhere: a relay, or the recorder itself.
        if !matches!(act, Act::Tty(..))
            && let Some(context) = self.atlas.of(&task, place, host)
            && !session.places.is_told(task.id.pid, &context)
        {
            let (task, body) = (Some(Arc::clone(&task)), Body::Context(context));
            let record = Record { boot_ns, cpu, flags: Flags::default(), task, body };
            session.places.see(&record);
            out.push(Tracked::Event { mark, record });
        }
        if let Act::Reached(reached) = &act {
            let Some(means) = session.reached.by(&session.alive, reached) else { return };
            let by = session.id;
            let other = reached.of.and_then(|of| Some((of, self.sessions.get(&of)?.id)));
            let (asked, held) =
                reached::ends(reached, &means, &host.program(reached.target), by, other.map(|(_, id)| id));
            let (task, body) = (Some(task), Body::Delegation(Box::new(asked)));
            out.push(Tracked::Event { mark, record: Record { boot_ns, cpu, flags, task, body } });
            if let Some((mark, _)) = other {
                let record = of_session(boot_ns, Body::Delegation(Box::new(held)));
                out.push(Tracked::Event { mark, record });
            }
            return;
        }
        if let Some(body) = session.apply(&task, boot_ns, act) {
            let record = Record { boot_ns, cpu, flags, task: Some(task), body };
            session.places.see(&record);
            out.push(Tracked::Event { mark, record });
        }
    }

    /// Somebody, recorded or not, hands his terminal to a server: he sits at every session that it is in, or that is in it.
    fn shares(&mut self, event: &KernelEvent, shared: &Shared, host: &mut impl Host, out: &mut Vec<Tracked>) {
        if self.company.knows(event.task.id, shared.server) {
            return;
        }
        let (mark, at, cpu) = (event.mark, event.boot_ns, event.cpu);
        let own = self.sessions.get(&mark).and_then(Session::origin);
        let own = own.map(|origin| (mark, origin.id, origin.login));
        let Some(guest) = self.company.sits_down(&event.task, shared, own, host) else { return };
        let inside = host.session_of(guest.server().pid);
        let mut of = None;
        for (other, session) in self.sessions.iter().filter(|(other, _)| **other != mark) {
            if inside != Some(*other) && !session.is_below(guest.server(), host) {
                continue;
            }
            of = Some(session.id);
            if !session.login.as_ref().is_some_and(|login| guest.is(login)) {
                out.push(Tracked::Event { mark: *other, record: guest.record(at, cpu) });
            }
        }
        // His own server is no news.
        if guest.session.is_some() && inside != Some(mark) {
            let record = Record {
                boot_ns: at,
                cpu,
                flags: event.flags,
                task: Some(Arc::clone(&event.task)),
                body: guest.asked(&shared.to, of),
            };
            out.push(Tracked::Event { mark, record });
        }
    }

    /// The first program of a session that came of another one, or of a job.
    fn came(&mut self, event: &KernelEvent, coming: &Coming, host: &mut impl Host, out: &mut Vec<Tracked>) {
        let (mark, at) = (event.mark, event.boot_ns);
        let parent = coming.handed.from;
        let open = parent.and_then(|mark| self.sessions.get(&mark));
        let origin = match open {
            Some(session) => session.origin(),
            None => parent.and_then(|mark| self.lineage.past(mark)).cloned(),
        };
        let is_open = open.is_some();
        let path = match &event.act {
            Act::Exec(exec) => exec.path.clone(),
            _ => host.program(event.task.id),
        };
        let id = host.session_id();
        let owner = || host.user(event.task.euid);
        let seeded = u8::from(event.flags.has(Flags::SEEDED));
        let start = lineage::start(id, &event.task, &coming.handed, path, (origin.as_ref(), seeded), owner);
        let mut session = Session::new(id, event.task.id);
        session.alive.extend(&coming.alive);
        session.login = Some(start.login.clone());
        self.sessions.insert(mark, session);
        out.push(Tracked::Opened { mark, id, at });
        let (by, to) = lineage::ends(&coming.handed, id, origin.map(|origin| origin.id));
        let record = |task: Option<&Arc<Task>>, body| Record {
            boot_ns: at,
            cpu: event.cpu,
            flags: Flags::default(),
            task: task.cloned(),
            body,
        };
        let who = Some(&event.task);
        out.push(Tracked::Event { mark, record: record(who, Body::SessionStart(Box::new(start))) });
        out.push(Tracked::Event { mark, record: record(who, Body::Delegation(Box::new(by))) });
        if let Some(mark) = parent.filter(|_| is_open) {
            out.push(Tracked::Event { mark, record: record(None, Body::Delegation(Box::new(to))) });
        }
    }

    /// Closes sessions whose last task has been gone for long enough. Call now and then.
    pub fn tick(&mut self, now: BootNanos, out: &mut Vec<Tracked>) {
        for mark in self.over(now) {
            self.close(mark, now, None, out);
        }
    }

    /// Something of that session is still to come: it does not close yet, or what comes would find it gone and begin another.
    pub fn awaits(&mut self, mark: Mark, now: BootNanos) {
        if let Some(since) = self.sessions.get_mut(&mark).and_then(|session| session.empty_since.as_mut()) {
            *since = (*since).max(now);
        }
    }

    /// Sessions that the next tick closes.
    pub fn over(&self, now: BootNanos) -> Vec<Mark> {
        let over = |s: &Session| s.empty_since.is_some_and(|t| now.since(t) >= LINGER_NS);
        self.sessions.iter().filter(|(_, s)| over(s)).map(|(mark, _)| *mark).collect()
    }

    /// All open sessions.
    pub fn open(&self) -> Vec<Mark> {
        self.sessions.keys().copied().collect()
    }

    /// Closes everything: the recorder stops.
    pub fn stop(&mut self, now: BootNanos, out: &mut Vec<Tracked>) {
        let all: Vec<Mark> = self.sessions.keys().copied().collect();
        for mark in all {
            self.close(mark, now, Some(EndReason::RecorderStop), out);
        }
    }

    /// Every task that is believed to live, for a look at the real ones.
    pub fn believed_alive(&self) -> Vec<(Mark, TaskId)> {
        self.sessions
            .iter()
            .flat_map(|(m, s)| s.alive.iter().map(|(pid, start)| (*m, TaskId { pid: *pid, start: *start })))
            .collect()
    }

    /// Tells that a task is gone although its end was not seen (its event was lost).
    pub fn gone(&mut self, mark: Mark, task: TaskId, now: BootNanos) {
        if let Some(session) = self.sessions.get_mut(&mark)
            && session.alive.get(&task.pid) == Some(&task.start)
        {
            session.alive.remove(&task.pid);
            session.rights.ended(task);
            session.reconciled = true;
            session.note_empty(now);
        }
    }

    fn close(&mut self, mark: Mark, now: BootNanos, forced: Option<EndReason>, out: &mut Vec<Tracked>) {
        let Some(mut session) = self.sessions.remove(&mark) else { return };
        if let Some(origin) = session.origin() {
            self.lineage.ended(mark, origin);
        }
        let reason = match forced {
            Some(reason) if session.empty_since.is_none() => reason,
            _ if session.reconciled => EndReason::Reconciled,
            _ => EndReason::LastTask,
        };
        let end = SessionEnd {
            reason,
            code: session.root_exit.map(|e| e.code),
            signal: session.root_exit.map_or(0, |e| e.signal),
            execs: session.execs,
            files: session.files,
            tty_bytes: session.terminals.shown(),
        };
        let folded = Body::Permissions(Box::new(session.rights.finish()));
        out.push(Tracked::Event { mark, record: of_session(now, folded) });
        out.push(Tracked::Event { mark, record: of_session(now, Body::SessionEnd(end)) });
        out.push(Tracked::Closed { mark, reason, losses: session.losses, at: now });
    }
}

/// A record that no task of the session made.
fn of_session(at: BootNanos, body: Body) -> Record {
    Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

/// A session from its first event. If that is no elevation, its event was lost: the task stands in for the root.
fn begin(event: &KernelEvent, host: &mut impl Host) -> Session {
    let elevated = match &event.act {
        Act::Elevated(e) | Act::Seeded(e) => e.clone(),
        _ => lineage::unseen(&event.task),
    };
    let opening = Some((elevated, Arc::clone(&event.task)));
    Session { opening, ..Session::new(host.session_id(), event.task.id) }
}

impl Session {
    fn new(id: SessionId, root: TaskId) -> Self {
        Self {
            id,
            root,
            root_exit: None,
            opening: None,
            alive: lineage::first(root),
            terminals: Terminals::default(),
            execs: 0,
            files: 0,
            losses: 0,
            empty_since: None,
            reconciled: false,
            login: None,
            rights: Rights::default(),
            folds: Folds::default(),
            sends: Sends::default(),
            places: Places::default(),
            reached: reached::Told::default(),
        }
    }

    /// True if it runs in that server. Its first task may be gone; then another tells.
    fn is_below(&self, server: TaskId, host: &mut impl Host) -> bool {
        const LOOKS: usize = 8;
        let others = self.alive.iter().map(|(pid, start)| TaskId { pid: *pid, start: *start });
        let mut above = std::iter::once(self.root).chain(others).take(LOOKS).map(|task| host.above(task));
        above.find(|above| !above.is_empty()).is_some_and(|above| above.contains(&server))
    }

    fn origin(&self) -> Option<Origin> {
        Some(Origin { id: self.id, login: self.login.clone()? })
    }

    fn apply(&mut self, task: &Task, at: BootNanos, act: Act) -> Option<Body> {
        match act {
            // The session's start record says it, and whoever ties what was handed over to sessions has had its events before.
            Act::Elevated(_)
            | Act::Cgroup { .. }
            | Act::Branch(_)
            | Act::Request(_)
            | Act::Shared(_)
            | Act::Guard(_)
            | Act::Stdin { .. }
            | Act::Reached(_)
            | Act::Handed(_) => None,
            // Members found at start are told by their later acts.
            Act::Seeded(_) => {
                self.alive.insert(task.id.pid, task.id.start);
                None
            }
            Act::Asked(asked) => Some(Body::Delegation(asked)),
            Act::Refused { act, path } => Some(Body::Enforcement(Box::new(Enforcement {
                act,
                // What was missing is told by who knows the grants.
                coverage: Coverage::Uncovered { reason: Uncovered::NoGrant },
                task: task.id,
                count: 1,
                text: path,
            }))),
            Act::Passed { dev, ino, how, gained } => {
                let what = Passed { dev, ino, how, gained: u64::from(gained), ..Passed::default() };
                self.rights.passed(task, at, &what);
                None
            }
            Act::Capability(used) => {
                let used = self.rights.used(*used);
                self.rights.is_news(&used, true).then(|| Body::Capability(Box::new(used)))
            }
            Act::Script(script) => Some(Body::Script(script)),
            Act::Folded(folded) => self.folds.take(folded, false).map(|(_, body)| body),
            Act::Exec(exec) => {
                self.rights.started(task, &exec);
                self.execs += 1;
                self.alive.insert(task.id.pid, task.id.start);
                self.empty_since = None;
                Some(Body::Exec(exec))
            }
            Act::Fork(child) => {
                self.rights.forked(task, child);
                self.alive.insert(child.pid, child.start);
                self.empty_since = None;
                Some(Body::Fork(Fork { child }))
            }
            Act::Exit(exit) => {
                self.rights.ended(task.id);
                self.alive.remove(&task.id.pid);
                if task.id == self.root {
                    self.root_exit = Some(exit);
                }
                self.note_empty(at);
                Some(Body::Exit(exit))
            }
            Act::Cred { old, new } => {
                self.rights.changed(task, &old.0, &new.0, at);
                Some(Body::Cred(Box::new(Cred { old: old.0, new: new.0, old_caps: old.1, new_caps: new.1 })))
            }
            Act::File(op, file) => {
                self.files += u64::from(!matches!(op, FileOp::Open) || file.result == 0);
                Some(Body::File(op, file))
            }
            Act::Setattr(set) => Some(self.changed(Body::Setattr(set.op(), set))),
            Act::Xattr(set) => Some(self.changed(Body::Xattr(set))),
            Act::Allocate(done) => Some(self.changed(Body::Allocate(done))),
            Act::Call(op, call) => Some(Body::Call(op, call)),
            Act::Socket(op, socket) => Some(Body::Socket(op, socket)),
            Act::Setting(set) => Some(Body::Setting(set)),
            Act::Sent { sent, counted } => {
                let news = !counted || self.sends.first(&sent);
                news.then_some(Body::Sent(sent))
            }
            Act::Tty(op, act) => Some(Body::Tty(op, self.terminals.take(op, act))),
            Act::Streamed(streamed) => self.terminals.missing(streamed).map(|(op, tty)| Body::Tty(op, tty)),
        }
    }

    fn changed(&mut self, body: Body) -> Body {
        self.files += 1;
        body
    }

    fn note_empty(&mut self, at: BootNanos) {
        if self.alive.is_empty() {
            self.empty_since.get_or_insert(at);
        }
    }
}
