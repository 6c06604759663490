//! With which permissions a session works: who its tasks become, by which program, and the programs that give rights.

use std::collections::HashMap;

use crate::model::{ActedAs, BootNanos, Bytes, Capability, Exec, Ids, Passed, Permissions, Task, TaskId};

/// Users and programs that one session is followed for; what is beyond is counted together, without a name.
const MOST: usize = 1024;

/// Program (device and inode), capability, outcome, `inner`.
type Used = ((u32, u32), u64, u32, u8, u8);

/// A change of users that is not yet tied to a program: one that an exec made comes just before the exec.
#[derive(Debug)]
struct Change {
    uids: Vec<u32>,
    at: BootNanos,
    /// The program that the process ran.
    program: Bytes,
    /// It ran another one since.
    by_exec: Option<Bytes>,
}

/// What one session did with its rights.
#[derive(Debug, Default)]
pub(super) struct Rights {
    folded: Permissions,
    /// The program of each living process.
    programs: HashMap<u32, Bytes>,
    pending: HashMap<u32, Change>,
    /// Paths of programs that used capabilities.
    paths: HashMap<((u32, u32), u64), Bytes>,
    written: HashMap<Used, u64>,
}

/// Real and effective users that a task has now and had not before.
fn became(old: &Ids, new: &Ids) -> Vec<u32> {
    let mut uids: Vec<u32> =
        [new.uid, new.euid].into_iter().filter(|uid| *uid != old.uid && *uid != old.euid).collect();
    uids.dedup();
    uids
}

impl Rights {
    /// The session begins as these users, by that program.
    pub(super) fn began(&mut self, old: &Ids, new: &Ids, program: &Bytes, by: TaskId, at: BootNanos) {
        let mut uids = became(old, new);
        for uid in [new.euid, new.uid] {
            if !uids.contains(&uid) {
                uids.push(uid);
            }
        }
        for uid in uids {
            self.acted_as(uid, program, by, at);
        }
    }

    /// Credentials changed; tied to a program by what the task does next.
    pub(super) fn changed(&mut self, task: &Task, old: &Ids, new: &Ids, at: BootNanos) {
        self.settle(task.id);
        let uids = became(old, new);
        if uids.is_empty() {
            return;
        }
        let program = self.programs.get(&task.id.pid).cloned().unwrap_or_default();
        self.pending.insert(task.id.pid, Change { uids, at, program, by_exec: None });
    }

    /// A program was started.
    pub(super) fn started(&mut self, task: &Task, exec: &Exec) {
        match self.pending.get_mut(&task.id.pid) {
            Some(change) if change.by_exec.is_none() => change.by_exec = Some(exec.path.clone()),
            _ => self.settle(task.id),
        }
        self.programs.insert(task.id.pid, exec.path.clone());
        if self.paths.len() < MOST {
            self.paths.insert((exec.dev, exec.ino), exec.path.clone());
        }
    }

    /// The program that was just started gives rights.
    pub(super) fn passed(&mut self, task: &Task, at: BootNanos, what: &Passed) {
        let gained = what.gained > 0;
        // File capabilities change no user: what changed him was before the exec.
        if gained
            && what.how & Passed::SETUID != 0
            && let Some(change) = self.pending.get_mut(&task.id.pid)
            && let Some(program) = change.by_exec.take()
        {
            change.program = program;
        }
        self.settle(task.id);
        let programs = &mut self.folded.programs;
        let full = programs.len() >= MOST;
        let same = |p: &Passed| (p.dev, p.ino, p.how) == (what.dev, what.ino, what.how);
        let known = programs.iter().position(same).or_else(|| full.then(|| programs.len() - 1));
        if let Some(known) = known.and_then(|at| programs.get_mut(at)) {
            known.count = known.count.saturating_add(1);
            known.gained = known.gained.saturating_add(what.gained);
        } else {
            let path = self.programs.get(&task.id.pid).cloned().unwrap_or_default();
            let named = Passed { path, by: task.id, first: at, count: 1, ..what.clone() };
            let others =
                Passed { by: task.id, first: at, count: 1, gained: what.gained, ..Passed::default() };
            programs.push(if programs.len() + 1 < MOST { named } else { others });
        }
    }

    /// The child runs what its parent runs.
    pub(super) fn forked(&mut self, task: &Task, child: TaskId) {
        self.settle(task.id);
        if let Some(program) = self.programs.get(&task.id.pid).cloned() {
            self.programs.insert(child.pid, program);
        }
    }

    /// A process ended.
    pub(super) fn ended(&mut self, task: TaskId) {
        self.settle(task);
        self.programs.remove(&task.pid);
    }

    /// Completes a capability with its program's path, as far as it is known.
    pub(super) fn used(&mut self, mut used: Capability) -> Capability {
        let place = (used.dev, used.ino);
        if used.program.is_empty() {
            used.program = self.paths.get(&place).cloned().unwrap_or_default();
        } else if self.paths.len() < MOST {
            self.paths.insert(place, used.program.clone());
        }
        used
    }

    /// True if that count was not written before. `all` asks for those that were, too.
    pub(super) fn is_news(&mut self, used: &Capability, all: bool) -> bool {
        let key = (used.dev, used.ino, used.number, used.granted, used.inner);
        self.written.insert(key, used.count) != Some(used.count) || all
    }

    /// Everything, at the end.
    pub(super) fn finish(&mut self) -> Permissions {
        let waiting: Vec<u32> = self.pending.keys().copied().collect();
        for pid in waiting {
            self.settle(TaskId { pid, start: BootNanos::default() });
        }
        std::mem::take(&mut self.folded)
    }

    fn settle(&mut self, task: TaskId) {
        let Some(change) = self.pending.remove(&task.pid) else { return };
        for uid in change.uids {
            self.acted_as(uid, &change.program, task, change.at);
        }
    }

    fn acted_as(&mut self, uid: u32, program: &Bytes, by: TaskId, first: BootNanos) {
        let users = &mut self.folded.users;
        let full = users.len() >= MOST;
        let same = |u: &ActedAs| u.uid == uid && u.program == *program;
        let known = users.iter().position(same).or_else(|| full.then(|| users.len() - 1));
        if let Some(known) = known.and_then(|at| users.get_mut(at)) {
            known.count = known.count.saturating_add(1);
        } else if users.len() + 1 < MOST {
            users.push(ActedAs { uid, program: program.clone(), by, first, count: 1 });
        } else {
            users.push(ActedAs { uid: u32::MAX, program: Bytes::default(), by, first, count: 1 });
        }
    }
}
