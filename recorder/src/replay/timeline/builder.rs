//! From entries to the story.

use std::collections::{BTreeSet, HashMap};

use super::rights::Uses;
use super::screens::{Moment, Screens};
use super::tree::Tree;
use super::{Ended, Hidden, Item, Story, What, choice};
use crate::model::{
    Body, Capability, ClockEvent, Exit, File, FileOp, HookState, LogId, Places, Record, SessionId, Task,
    TaskId, Tty, TtyOp,
};
use crate::verify::{Entry, Verified};

const ENOENT: u32 = 2;

/// Tells the story of one session from entries in journal order, of whatever session.
pub struct Builder {
    session: SessionId,
    all: bool,
    log: Option<LogId>,
    ended: bool,
    now: Option<Moment>,
    tree: Tree,
    screens: Screens,
    items: Vec<Item>,
    hidden: Hidden,
    uses: Uses,
    places: Places,
    under: HashMap<usize, usize>,
    /// Terminals of which it was said that a relay copies them.
    relayed: BTreeSet<u32>,
}

impl Builder {
    /// `all`: leave nothing out.
    pub fn new(session: SessionId, all: bool) -> Self {
        Self {
            session,
            all,
            log: None,
            ended: false,
            now: None,
            tree: Tree::default(),
            screens: Screens::new(all),
            items: Vec::new(),
            hidden: Hidden::default(),
            uses: Uses::default(),
            places: Places::default(),
            under: HashMap::new(),
            relayed: BTreeSet::new(),
        }
    }

    /// Takes the next entry.
    pub fn see(&mut self, entry: &Verified<Entry>) {
        if entry.session == Some(self.session) {
            self.log = Some(entry.log);
            self.own(entry);
        } else if entry.session.is_none() && self.log == Some(entry.log) && !self.ended {
            self.of_the_log(entry);
        }
    }

    /// The story so far, as the last act.
    pub fn finish(mut self) -> Story {
        self.screens.settle(&mut self.hidden, &mut self.items);
        if let (Some(now), false) = (self.now, self.ended) {
            self.screens.finish(now, &mut self.items);
            let counted = self.uses.take().into_iter();
            self.items.extend(counted.map(|what| Item {
                time: now.time,
                pid: None,
                depth: 0,
                place: None,
                what,
            }));
        }
        Story { items: self.items, hidden: self.hidden, under: self.under }
    }

    fn own(&mut self, entry: &Entry) {
        let record = &entry.record;
        let now = Moment { time: entry.time, boot: record.boot_ns.get() };
        self.now = Some(now);
        let task = record.task.as_deref();
        self.places.see(record);
        match &record.body {
            Body::Tty(op, tty) => self.terminal(*op, tty, now),
            Body::SessionStart(start) => self.push(entry, 0, What::Start(start.clone())),
            Body::Context(context) => {
                let depth = task.map_or(0, |task| self.tree.depth(task));
                self.push(entry, depth, What::Context(context.clone()));
            }
            Body::Capability(used) => self.capability(entry, used),
            Body::Permissions(p) => self.push(entry, 0, What::Permissions(p.clone())),
            Body::SessionEnd(end) => {
                for what in self.uses.take() {
                    self.push(entry, 0, what);
                }
                self.screens.settle(&mut self.hidden, &mut self.items);
                self.screens.finish(now, &mut self.items);
                self.ended = true;
                self.push(entry, 0, What::End(end.clone()));
            }
            Body::File(op, file) => self.file(entry, *op, file),
            Body::Reads(reads) if !self.all => {
                self.hidden.reads = self.hidden.reads.saturating_add(reads.count);
            }
            Body::Socket(_, socket) if !self.all && choice::is_local(socket) => {
                self.hidden.sockets = self.hidden.sockets.saturating_add(1);
            }
            // Counts follow without a task.
            Body::ExecFailed(_) if !self.all && task.is_none() => {}
            // Who walks a PATH fails on the way; what was refused is a line.
            Body::ExecFailed(failed) if !self.all && failed.errno == ENOENT => {
                self.hidden.lookups = self.hidden.lookups.saturating_add(1);
            }
            // Its interpreter's arguments say it.
            Body::Script(_) if !self.all => {}
            Body::Mapped(_) if !self.all => self.hidden.mapped = self.hidden.mapped.saturating_add(1),
            body @ (Body::ExecFailed(_)
            | Body::Script(_)
            | Body::Arguments(_)
            | Body::Mapped(_)
            | Body::Reads(_)
            | Body::Setattr(..)
            | Body::Xattr(_)
            | Body::Allocate(_)
            | Body::Call(..)
            | Body::Sent(_)
            | Body::Setting(_)
            | Body::Socket(..)) => {
                let depth = task.map_or(0, |task| self.tree.depth(task));
                self.push(entry, depth, What::Act(Box::new(body.clone())));
            }
            Body::Cred(cred) => {
                let depth = task.map_or(0, |task| self.tree.depth(task));
                self.push(entry, depth, What::Cred(cred.clone()));
            }
            Body::Exec(exec) => {
                // Before the number of the item is taken: lines that wait come first.
                self.screens.settle(&mut self.hidden, &mut self.items);
                let item = self.items.len();
                let depth = task.map_or(0, |task| self.tree.exec(task, item, now.boot));
                let what = What::Exec { exec: exec.clone(), euid: task.map_or(0, |t| t.euid), ended: None };
                let parent = task.and_then(|task| self.tree.parent(task));
                self.push(entry, depth, what);
                // Not below itself.
                match parent {
                    Some(parent) => self.under.insert(item, parent),
                    None => self.under.remove(&item),
                };
            }
            Body::Fork(fork) => self.fork(entry, task, fork.child),
            Body::Exit(exit) => self.exit(entry, task, *exit, now),
            Body::Delegation(delegation) => self.push(entry, 0, What::Delegation(delegation.clone())),
            Body::Participant(who) => self.push(entry, 0, What::Participant(who.clone())),
            Body::Digest(digest) if self.all => self.push(entry, 0, What::Digest(digest.clone())),
            Body::Digest(_) => self.hidden.digests = self.hidden.digests.saturating_add(1),
            Body::Changed(changed) => self.push(entry, 0, What::Changed(changed.clone())),
            Body::Redacted(redacted) => {
                let depth = task.map_or(0, |task| self.tree.depth(task));
                self.push(entry, depth, What::Redacted(redacted.clone()));
            }
            Body::Overdue(overdue) => self.push(entry, 0, What::Overdue(*overdue)),
            Body::Enforcement(done) => self.push(entry, 0, What::Enforcement(done.clone())),
            Body::Coverage(coverage) => self.push(entry, 0, What::Coverage(coverage.clone())),
            other => self.push(entry, 0, What::Unknown(other.kind().code())),
        }
    }

    fn of_the_log(&mut self, entry: &Entry) {
        match &entry.record.body {
            Body::Loss(loss) => self.push(entry, 0, What::Loss(loss.clone())),
            Body::Jump(jump) => self.push(entry, 0, What::Jump(*jump)),
            Body::Stop(_) => self.push(entry, 0, What::Gap("the recorder stopped")),
            Body::Boot(_) => self.push(entry, 0, What::Gap("the recorder started again")),
            Body::Storage(_) => self.push(entry, 0, What::Gap("storage failed")),
            Body::Guard(guard) if guard.session == self.session => {
                self.push(entry, 0, What::Act(Box::new(entry.record.body.clone())));
            }
            Body::Hook(hook) => self.push(
                entry,
                0,
                What::Gap(match hook.state {
                    HookState::Back => "a hook of the recorder answers again",
                    _ => "a hook of the recorder fell silent",
                }),
            ),
            Body::Clock(clock) => self.push(
                entry,
                0,
                What::Gap(match clock.event {
                    ClockEvent::Suspend => "the host was suspended",
                    _ => "the clocks ran off",
                }),
            ),
            _ => {}
        }
    }

    fn push(&mut self, entry: &Entry, depth: u16, what: What) {
        self.screens.settle(&mut self.hidden, &mut self.items);
        let Record { task, .. } = &entry.record;
        let pid = task.as_ref().map(|task| task.id.pid);
        let place = self.places.of(&entry.record).cloned();
        if let Some(program) = task.as_deref().and_then(|task| self.tree.program(task)) {
            self.under.insert(self.items.len(), program);
        }
        self.items.push(Item { time: entry.time, pid, depth, place, what });
    }

    /// The first use is a line where it was refused; counts stand at the end.
    fn capability(&mut self, entry: &Entry, used: &Capability) {
        self.uses.see(used);
        let Some(task) = entry.record.task.as_deref() else { return };
        if self.all || used.granted == 0 {
            let depth = self.tree.depth(task);
            self.push(entry, depth, What::Capability(Box::new(used.clone())));
        } else {
            self.hidden.capabilities = self.hidden.capabilities.saturating_add(1);
        }
    }

    fn fork(&mut self, entry: &Entry, task: Option<&Task>, child: TaskId) {
        let Some(task) = task else { return };
        self.tree.fork(task, child);
        if self.all {
            let depth = self.tree.depth(task);
            self.push(entry, depth, What::Fork(child.pid));
        } else {
            self.hidden.processes = self.hidden.processes.saturating_add(1);
        }
    }

    fn exit(&mut self, entry: &Entry, task: Option<&Task>, exit: Exit, now: Moment) {
        let Some(task) = task else { return };
        let depth = self.tree.depth(task);
        if let Some((item, since)) = self.tree.exit(task.id) {
            if let Some(Item { what: What::Exec { ended, .. }, .. }) = self.items.get_mut(item) {
                *ended = Some(Ended { exit, after: now.boot.saturating_sub(since) });
            }
        } else if self.all {
            self.push(entry, depth, What::Exit(exit));
        } else {
            self.hidden.processes = self.hidden.processes.saturating_add(1);
        }
    }

    fn file(&mut self, entry: &Entry, op: FileOp, file: &File) {
        if !self.all && !choice::wanted(op, file, &mut self.hidden) {
            return;
        }
        let task = entry.record.task.as_deref();
        if !self.all
            && let Some(Item { pid, what: What::File(last_op, last), .. }) = self.items.last_mut()
            && (*last_op, *pid) == (op, task.map(|t| t.id.pid))
            && (&last.path, &last.to, last.flags, last.result, last.dev, last.ino)
                == (&file.path, &file.to, file.flags, file.result, file.dev, file.ino)
        {
            last.count = last.count.max(1).saturating_add(file.count.max(1));
            return;
        }
        let depth = task.map_or(0, |task| self.tree.depth(task));
        self.push(entry, depth, What::File(op, file.clone()));
    }

    fn terminal(&mut self, op: TtyOp, tty: &Tty, now: Moment) {
        let item = |what| Item { time: now.time, pid: None, depth: 0, place: None, what };
        match op {
            TtyOp::Resize => {
                let new = self.screens.resize(tty.no, (tty.cols, tty.rows));
                if self.all || (new && tty.no != 1) {
                    let (cols, rows) = (tty.cols, tty.rows);
                    let what = What::Terminal { tty: tty.no, name: tty.name.clone(), cols, rows };
                    self.screens.settle(&mut self.hidden, &mut self.items);
                    self.items.push(item(what));
                } else {
                    self.hidden.terminal = self.hidden.terminal.saturating_add(1);
                }
            }
            _ if tty.relay().is_some() => {
                if op == TtyOp::Output {
                    self.screens.relayed(tty.no);
                }
                // Once for a terminal: what it showed is told where it stands.
                if self.relayed.insert(tty.no) || self.all {
                    self.screens.settle(&mut self.hidden, &mut self.items);
                    let (to, bytes) = (tty.relay().map_or(0, |relay| relay.no), tty.folded());
                    self.items.push(item(What::Relayed { tty: tty.no, to, bytes }));
                } else {
                    self.hidden.terminal = self.hidden.terminal.saturating_add(1);
                }
            }
            TtyOp::Input if self.all => {
                self.screens.settle(&mut self.hidden, &mut self.items);
                let what = What::Typed { tty: tty.no, data: tty.data.clone(), hidden: tty.hidden };
                self.items.push(item(what));
            }
            TtyOp::Input => self.hidden.terminal = self.hidden.terminal.saturating_add(1),
            TtyOp::Output => {
                if tty.folded() > 0 {
                    self.screens.settle(&mut self.hidden, &mut self.items);
                    self.items.push(item(What::Cut { tty: tty.no, bytes: tty.folded() }));
                }
                self.screens.feed(tty.no, &tty.as_shown(), now, &mut self.items);
            }
        }
    }
}
