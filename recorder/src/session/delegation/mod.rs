//! Work handed over: ties what starts in other people's processes to the session that asked for it (docs/delegation.md).
//!
//! The kernel side gives everything that may have been asked for a mark of its own. Here its events wait until it is known whose
//! they are: then they become a session that says who started it, by what evidence and how surely, or they are let go.

mod asked;
mod dbus;
mod engines;
mod http;
mod jobs;
mod plants;
mod requests;
mod units;
mod words;

use std::collections::{HashMap, HashSet, VecDeque};

use crate::model::{
    Act, BootNanos, Branch, BranchCause, Bytes, Captured, Confidence, Delegation, DelegationRole, Dropped,
    Exec, Handed, KernelEvent, Mark, Place, SessionId, TaskId, Trigger,
};
use asked::Asked;
use dbus::Stream;
pub use engines::Container;
use engines::Engines;
use jobs::Jobs;
use plants::{Plants, Run};
use units::may_be_late;

/// Units that sessions wrote are looked for in steps of so long.
const UNITS_NS: u64 = 3600 * 1_000_000_000;
/// Events of one branch that wait; what holds more is somebody's, or nobody's business.
const MOST_HELD: usize = 4096;
/// Branches that wait, connections, what was said: the oldest go first.
const MOST: usize = 1024;
/// Marks of branches that were let go and may still speak.
const MOST_DROPPED: usize = 16 * 1024;
/// How long something may wait to be known.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Events that wait, of all branches together: anybody may name a process after a daemon.
const MOST_HELD_OF_ALL: usize = 64 * 1024;

/// What has to be read of the host.
pub trait Files {
    /// A file, at most 1 MiB of it; `None` if it can't be read.
    fn read(&self, path: &[u8]) -> Option<Vec<u8>>;
    /// The name of the unit that this one is an alias of.
    fn alias(&self, unit: &str) -> Option<String>;
    /// What the engine has written down of the container with that id.
    fn container(&self, id: &str) -> Option<Container>;
}

/// What a step needs of the host, and where it puts what comes of it.
struct Pass<'a, F> {
    files: &'a F,
    out: &'a mut Vec<Captured>,
    let_go: &'a mut Vec<Dropped>,
}

/// Something that starts, and is nobody's yet.
#[derive(Debug)]
struct Waiting {
    branch: Branch,
    daemon: Bytes,
    since: BootNanos,
    /// Where a unit was made.
    unit: Option<Box<KernelEvent>>,
    stdin: Option<Stdin>,
    held: Vec<Captured>,
    tasks: Vec<TaskId>,
}

/// What a job reads.
#[derive(Clone, Debug)]
struct Stdin {
    dev: (u32, u32),
    ino: u64,
    path: Bytes,
}

/// What is known and what waits.
#[derive(Debug, Default)]
pub struct Handover {
    asked: Asked,
    jobs: Jobs,
    plants: Plants,
    engines: Engines,
    streams: HashMap<(Mark, u64), Stream>,
    /// A request of that session could not be read.
    unread: HashMap<Mark, BootNanos>,
    waiting: HashMap<Mark, Waiting>,
    /// Events that wait, of all.
    held: usize,
    dropped: HashSet<Mark>,
    order: VecDeque<Mark>,
    /// What was already said of a session.
    said: HashSet<(Mark, Bytes, Bytes)>,
    /// Jobs of root are sessions of their own.
    records_jobs: bool,
}

impl Handover {
    /// `records_jobs`: what cron and at run for root is recorded, whoever planted it.
    pub fn new(records_jobs: bool) -> Self {
        Self { records_jobs, ..Self::default() }
    }

    /// The kernel side knows scripts by their inodes.
    #[must_use]
    pub fn by_inode(mut self) -> Self {
        self.plants.by_inode();
        self
    }

    /// A table of cron as it stood before anything was recorded.
    pub fn known_table(&mut self, path: &[u8], text: &[u8]) {
        self.jobs.known(path, text);
    }

    /// Until when managers have to be looked at although nobody asks them for anything.
    pub fn standing_until(&self, now: BootNanos) -> Option<BootNanos> {
        // A unit that a session wrote starts whenever its time comes.
        let later = self
            .plants
            .has_units()
            .then(|| BootNanos::new(now.get().saturating_add(2 * UNITS_NS) / UNITS_NS * UNITS_NS));
        self.asked.standing_until(now).max(later)
    }

    /// Files that sessions wrote since the last call: what runs them as scripts has to be looked at.
    pub fn scripts(&mut self) -> HashMap<Bytes, Mark> {
        self.plants.fresh()
    }

    /// True if something waits to be known.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes one item; gives on what belongs to sessions, and what is to be forgotten.
    pub fn step(
        &mut self,
        input: Captured,
        files: &impl Files,
        out: &mut Vec<Captured>,
        let_go: &mut Vec<Dropped>,
    ) {
        let Captured::Event(event) = input else {
            out.push(input);
            return;
        };
        // Of no task's, and told once: others need it too.
        if matches!(event.act, Act::Cgroup { .. }) {
            out.push(Captured::Event(event));
            return;
        }
        let mark = event.mark;
        if self.dropped.contains(&mark) {
            let mut tasks = vec![event.task.id];
            if let Act::Fork(child) = &event.act {
                tasks.push(*child);
            }
            let_go.push(Dropped { mark, tasks, ..Dropped::default() });
            return;
        }
        match &event.act {
            Act::Branch(branch) => {
                let branch = branch.clone();
                self.branch(&event, branch, &mut Pass { files, out, let_go });
                return;
            }
            // Also of people who are not recorded: nothing else of them comes here.
            Act::Request(request) if !self.waiting.contains_key(&mark) => {
                let request = request.clone();
                self.request(&event, &request, files, out);
                if let Some(since) = request.since {
                    self.come_late(since, &mut Pass { files, out, let_go });
                }
                return;
            }
            // What PAM says before a job is none of the job's.
            Act::Request(_) if self.waiting.get(&mark).is_some_and(|waiting| waiting.unit.is_none()) => {
                return;
            }
            _ => {}
        }
        if self.waiting.contains_key(&mark) {
            self.wait(*event, &mut Pass { files, out, let_go });
            return;
        }
        match &event.act {
            Act::File(op, file) => {
                self.jobs.touched(mark, *op, file, |path| files.read(path));
                self.plants.touched(mark, event.task.id, *op, file);
            }
            Act::Exec(exec) => self.plants.exec(event.task.id, exec),
            Act::Fork(child) => self.plants.fork(event.task.id, *child),
            _ => {}
        }
        if !matches!(event.act, Act::Stdin { .. }) {
            out.push(Captured::Event(event));
        }
    }

    /// Decides on what has waited for long enough: it is given on or let go. Call now and then.
    pub fn tick(
        &mut self,
        now: BootNanos,
        files: &impl Files,
        out: &mut Vec<Captured>,
        let_go: &mut Vec<Dropped>,
    ) {
        self.units_late(now, &mut Pass { files, out, let_go });
        for mark in self.waiting_if(|waiting| now.since(waiting.since) > PATIENCE_NS) {
            self.drop_branch(mark, let_go);
        }
    }

    fn waiting_if(&self, is_meant: impl Fn(&Waiting) -> bool) -> Vec<Mark> {
        self.waiting.iter().filter(|(_, waiting)| is_meant(waiting)).map(|(mark, _)| *mark).collect()
    }

    /// A session is over: what it asked for counts on, its connections don't.
    pub fn closed(&mut self, mark: Mark) {
        self.streams.retain(|(of, _), _| *of != mark);
        self.said.retain(|(of, ..)| *of != mark);
        self.unread.remove(&mark);
        self.engines.closed(mark);
    }

    fn branch(&mut self, event: &KernelEvent, branch: Branch, pass: &mut Pass<'_, impl Files>) {
        let (mark, now) = (event.mark, event.boot_ns);
        let waiting = Waiting {
            daemon: event.task.comm.clone(),
            since: now,
            unit: (branch.cause == BranchCause::Unit).then(|| Box::new(event.clone())),
            stdin: None,
            held: Vec::new(),
            tasks: Vec::new(),
            branch,
        };
        if self.waiting.len() >= MOST {
            let oldest = self.waiting.iter().min_by_key(|(_, w)| w.since).map(|(mark, _)| *mark);
            if let Some(oldest) = oldest {
                self.drop_branch(oldest, pass.let_go);
            }
        }
        let is_unit = waiting.unit.is_some();
        let may_be_late = may_be_late(event, &waiting.branch);
        self.waiting.insert(mark, waiting);
        // Of all but units the program and its arguments come with the exec right behind.
        if is_unit && !self.unit(mark, true, pass) && !may_be_late {
            self.drop_branch(mark, pass.let_go);
        }
    }

    /// An event of something that waits.
    fn wait(&mut self, event: KernelEvent, pass: &mut Pass<'_, impl Files>) {
        let mark = event.mark;
        let Some(waiting) = self.waiting.get_mut(&mark) else { return };
        waiting.tasks.push(event.task.id);
        match &event.act {
            Act::Fork(child) => waiting.tasks.push(*child),
            Act::Stdin { dev, ino, path } => {
                waiting.stdin = Some(Stdin { dev: *dev, ino: *ino, path: path.clone() });
                return;
            }
            _ => {}
        }
        let verdict = match (&event.act, waiting.branch.cause) {
            (Act::Exec(exec), BranchCause::Plant) => {
                let handed = plant(waiting, exec);
                ran(self.plants.runs(exec.dev, exec.ino), handed, &event, pass.out)
            }
            (Act::Exec(_), BranchCause::Script) => {
                let branch = &waiting.branch;
                // Another file may lie at a path by now, in another tree even.
                let (run, confidence) = match branch.object {
                    0 => (self.plants.runs_path(&branch.path), Confidence::Likely),
                    ino => (self.plants.runs(branch.device, ino), Confidence::Certain),
                };
                ran(run, script(waiting, confidence), &event, pass.out)
            }
            (Act::Exec(exec), BranchCause::Job) => {
                let (daemon, stdin) = (waiting.daemon.clone(), waiting.stdin.clone());
                // The daemon is a session's own, unless its mark was let go or nothing is known of it yet.
                let own = waiting.branch.parent;
                let own = own.filter(|own| !self.dropped.contains(own) && !self.waiting.contains_key(own));
                self.job(&daemon, own, stdin, event.task.euid, exec, pass.files)
            }
            (Act::Exec(exec), BranchCause::Engine) => self.runtime(&event, exec, pass.files, pass.out),
            _ => Verdict::Wait,
        };
        match verdict {
            Verdict::Known(handed) => {
                self.settle(mark, &event, handed, pass);
                pass.out.push(Captured::Event(Box::new(event)));
            }
            Verdict::Nobodys => self.drop_branch(mark, pass.let_go),
            Verdict::Wait => {
                let Some(waiting) = self.waiting.get_mut(&mark) else { return };
                waiting.held.push(Captured::Event(Box::new(event)));
                self.held += 1;
                if waiting.held.len() > MOST_HELD {
                    self.drop_branch(mark, pass.let_go);
                } else if self.held > MOST_HELD_OF_ALL {
                    let most = self.waiting.iter().max_by_key(|(_, w)| w.held.len()).map(|(mark, _)| *mark);
                    self.drop_branch(most.unwrap_or(mark), pass.let_go);
                }
            }
        }
    }

    /// What a job of cron or at is, by the first program that it runs; `own` is whose daemon that is, if not the host's.
    fn job(
        &mut self,
        daemon: &Bytes,
        own: Option<Mark>,
        stdin: Option<Stdin>,
        euid: u32,
        exec: &Exec,
        files: &impl Files,
    ) -> Verdict {
        let handed = |from, trigger, what: Bytes, evidence: Bytes, confidence| {
            Verdict::Known(Handed { from, trigger, confidence, to: daemon.clone(), what, evidence })
        };
        if let Some(found) = stdin.and_then(|stdin| self.jobs.of_spool(stdin.dev, stdin.ino, &stdin.path)) {
            let what = Bytes::from("a job of at");
            return handed(Some(found.by), Trigger::At, what, found.path, Confidence::Certain);
        }
        let command = match exec.argv.as_slice() {
            [_, flag, command] if flag.as_slice() == b"-c" => Some(command),
            _ => None,
        };
        if let Some(command) = command
            && let Some(found) = self.jobs.of_command(command.as_slice(), |path| files.read(path))
        {
            let confidence = if found.is_only_his { Confidence::Certain } else { Confidence::Likely };
            return handed(Some(found.by), Trigger::Cron, command.clone(), found.path, confidence);
        }
        // What PAM has the daemon run before the job is not the job.
        if command.is_none() && daemon.as_slice() != b"atd" {
            return Verdict::Wait;
        }
        if own.is_none() && (!self.records_jobs || euid != 0) {
            return Verdict::Nobodys;
        }
        let trigger = if daemon.as_slice() == b"atd" { Trigger::At } else { Trigger::Cron };
        let what = command.cloned().unwrap_or_else(|| exec.path.clone());
        handed(own, trigger, what, Bytes::default(), Confidence::Certain)
    }

    /// It is known whose it is: everything that waited goes on.
    fn settle(&mut self, mark: Mark, event: &KernelEvent, handed: Handed, pass: &mut Pass<'_, impl Files>) {
        let Some(waiting) = self.waiting.remove(&mark) else { return };
        let at = KernelEvent { act: Act::Handed(Box::new(handed)), ..event.clone() };
        pass.out.push(Captured::Event(Box::new(at)));
        self.held = self.held.saturating_sub(waiting.held.len());
        for held in waiting.held {
            self.step(held, pass.files, pass.out, pass.let_go);
        }
    }

    fn drop_branch(&mut self, mark: Mark, let_go: &mut Vec<Dropped>) {
        let Some(waiting) = self.waiting.remove(&mark) else { return };
        self.held = self.held.saturating_sub(waiting.held.len());
        if self.order.len() >= MOST_DROPPED
            && let Some(oldest) = self.order.pop_front()
        {
            self.dropped.remove(&oldest);
        }
        self.dropped.insert(mark);
        self.order.push_back(mark);
        let Branch { cause, object, dev, generation, path, .. } = waiting.branch;
        let cgroup = (cause == BranchCause::Unit).then_some(object);
        let is_plant = matches!(cause, BranchCause::Plant | BranchCause::Script) && object != 0;
        let plant = is_plant.then_some((object, dev, generation));
        let script = (cause == BranchCause::Script).then_some(path);
        if let Some(path) = &script {
            self.plants.let_go(path);
        }
        let mut tasks = waiting.tasks;
        tasks.sort_unstable();
        tasks.dedup();
        let_go.push(Dropped { mark, cgroup, plant, script, tasks });
    }
}

/// Says to the session that asked what came of it, where that is not followed.
fn tell(event: &KernelEvent, handed: &Handed, out: &mut Vec<Captured>) {
    let Some(mark) = handed.from else { return };
    let told = Delegation {
        role: DelegationRole::To,
        trigger: handed.trigger,
        confidence: handed.confidence,
        session: SessionId::NOBODY,
        peer: event.task.id.pid,
        to: handed.to.clone(),
        what: handed.what.clone(),
        evidence: handed.evidence.clone(),
    };
    let act = Act::Asked(Box::new(told));
    // Where the other one lives is nothing of his.
    let place = Place::default();
    out.push(Captured::Event(Box::new(KernelEvent { mark, place, act, ..event.clone() })));
}

enum Verdict {
    Known(Handed),
    Nobodys,
    Wait,
}

fn plant(waiting: &Waiting, exec: &Exec) -> Handed {
    Handed {
        from: waiting.branch.parent,
        trigger: Trigger::Plant,
        confidence: Confidence::Certain,
        to: waiting.daemon.clone(),
        what: exec.path.clone(),
        evidence: Bytes::from(format!("inode {} on {}:{}", exec.ino, exec.dev.0, exec.dev.1).as_str()),
    }
}

/// What follows from a run of something planted.
fn ran(run: Run, handed: Handed, event: &KernelEvent, out: &mut Vec<Captured>) -> Verdict {
    if run == Run::Followed {
        return Verdict::Known(handed);
    }
    tell(event, &handed, out);
    Verdict::Nobodys
}

fn script(waiting: &Waiting, confidence: Confidence) -> Handed {
    let Branch { parent, object, device: (major, minor), path, .. } = &waiting.branch;
    let evidence = match object {
        0 => "the path".to_owned(),
        _ => format!("inode {object} on {major}:{minor}"),
    };
    Handed {
        from: *parent,
        trigger: Trigger::Plant,
        confidence,
        to: waiting.daemon.clone(),
        what: path.clone(),
        evidence: Bytes::from(evidence.as_str()),
    }
}

#[cfg(test)]
mod tests;
