//! What one session ran and changed, and what of it is still to be looked at.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::words::{Aim, Look, Seen};
use crate::model::{
    Body, BootNanos, Bytes, Changed, ClockPair, Digested, Flags, Found, Places, RealNanos, Record, Task,
    TaskContext, Why, acts,
};

/// Programs that are remembered; then they are forgotten together, and told again.
const PROGRAMS: usize = 8192;
/// A file is looked at when nobody has touched it for so long ...
const QUIET_NS: u64 = 2_000_000_000;
/// ... and one that is not quiet at most so often.
const AGAIN_NS: u64 = 30_000_000_000;
/// Files that were told are forgotten at most so often.
const SWEEP_NS: u64 = 1_000_000_000;
/// Files that are named one by one when there was no time to look at them.
const NAMED: usize = 256;

/// Path, device and inode number of a program.
type Key = (Bytes, (u32, u32), u64);

/// A program that was executed.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) path: Bytes,
    pub(super) dev: (u32, u32),
    pub(super) ino: u64,
    /// A program, or a script.
    pub(super) aim: Aim,
    pub(super) at: BootNanos,
    pub(super) task: Arc<Task>,
}

impl Run {
    fn key(&self) -> Key {
        (self.path.clone(), self.dev, self.ino)
    }
}

/// Something that may have changed.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    pub(super) path: Bytes,
    pub(super) other: Option<Bytes>,
    pub(super) acts: u16,
    pub(super) dev: (u32, u32),
    /// 0: not known, or another one by now.
    pub(super) ino: u64,
    pub(super) at: BootNanos,
    pub(super) task: Arc<Task>,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) places: Places,
    /// Programs that are looked at; those that were run again meanwhile, with their last run.
    running: HashMap<Key, Option<Run>>,
    /// Runs that are to be looked at.
    again: Vec<Run>,
    told: HashSet<Told>,
    /// Programs that are asked for, by the look's number.
    programs: HashMap<u64, Run>,
    files: BTreeMap<Bytes, File>,
    /// Files that are asked for, by the look's number.
    looks: HashMap<u64, Bytes>,
    /// Counted, by reason.
    unasked: u64,
    pub(super) beyond: u64,
    unnamed: u64,
    /// When the next file is due; `None`: none is.
    next: Option<BootNanos>,
    is_ending: bool,
    /// What it had made was moved away from here just now.
    moved: Option<Bytes>,
    /// When files that are told were last forgotten for want of room.
    swept: BootNanos,
}

/// What was told of a program.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Told {
    path: Bytes,
    dev: (u32, u32),
    ino: u64,
    /// Size and times; `None`: why there is none.
    version: Result<(u64, RealNanos, RealNanos), Why>,
}

#[derive(Debug)]
struct File {
    acts: u16,
    other: Option<Bytes>,
    dev: (u32, u32),
    ino: u64,
    task: Arc<Task>,
    foreign: bool,
    /// Nothing was there before the session made it.
    fresh: bool,
    /// It made it elsewhere and moved it here.
    brought: bool,
    /// The last act.
    touched: BootNanos,
    /// The first act since the last look that told something.
    first: BootNanos,
    due: Option<BootNanos>,
    /// It is being looked at; true: it was touched meanwhile.
    looking: Option<bool>,
    /// What was told last: what is there, or that there is nothing.
    told: Option<Last>,
    told_at: Option<BootNanos>,
}

/// What was last known to lie there; `None`: nothing.
#[derive(Debug)]
struct Last(Option<Found>);

impl Session {
    /// A program was executed: whether it is to be looked at now. While it is looked at already, it is once more when that is done:
    /// something else may lie there by then.
    pub(super) fn runs(&mut self, run: Run) -> Option<Run> {
        match self.running.get_mut(&run.key()) {
            Some(again) => {
                *again = Some(run);
                None
            }
            None => Some(run),
        }
    }

    /// A look for a program, with its number.
    pub(super) fn look_for(&mut self, id: u64, run: &Run, now: ClockPair) -> Look {
        self.running.insert(run.key(), None);
        self.programs.insert(id, run.clone());
        Look {
            id,
            aim: run.aim,
            path: run.path.clone(),
            task: run.task.id,
            dev: run.dev,
            ino: run.ino,
            foreign: self.is_foreign(run.task.id.pid),
            fresh: false,
            since: real(now, run.at),
        }
    }

    fn is_foreign(&self, pid: u32) -> bool {
        self.places.of_pid(pid).is_some_and(|place| place.own & TaskContext::MNT != 0)
    }

    /// There was no room to ask for a program.
    pub(super) fn not_asked(&mut self) {
        self.unasked += 1;
    }

    /// A file was touched of which the place is not known.
    pub(super) fn unnamed(&mut self) {
        self.unnamed += 1;
    }

    pub(super) fn knows(&self, path: &Bytes) -> bool {
        self.files.contains_key(path)
    }

    /// True if there is room for one more, among so many. What was told and not touched since is forgotten for it: it is not looked at again at
    /// the end.
    pub(super) fn has_room(&mut self, most: usize, now: BootNanos) -> bool {
        if self.files.len() >= most && now.since(self.swept) >= SWEEP_NS {
            self.swept = now;
            self.files.retain(|_, file| file.acts != 0 || file.looking.is_some());
        }
        self.files.len() < most
    }

    /// This path may have changed.
    pub(super) fn touch(&mut self, touch: Touch) {
        let foreign = self.is_foreign(touch.task.id.pid);
        let ends = touch.acts & (acts::REMOVED | acts::MOVED) != 0;
        if ends && self.files.get(&touch.path).is_some_and(File::is_passing) {
            // Made and gone again: there was nothing before and there is nothing now.
            if touch.acts & acts::MOVED != 0 {
                self.moved = Some(touch.path.clone());
            }
            self.files.remove(&touch.path);
            return;
        }
        let brought = self.moved.take().is_some_and(|moved| touch.other.as_ref() == Some(&moved));
        let Touch { path, other, acts, dev, ino, at, task } = touch;
        let file = self.files.entry(path).or_insert_with(|| File {
            acts: 0,
            other: None,
            dev,
            ino,
            task: Arc::clone(&task),
            foreign,
            fresh: acts & acts::CREATED != 0,
            brought: false,
            touched: at,
            first: at,
            due: None,
            looking: None,
            told: None,
            told_at: None,
        });
        if file.acts == 0 {
            file.first = at;
        }
        file.acts |= acts;
        file.touched = at;
        file.brought |= brought;
        (file.dev, file.ino, file.task, file.foreign) = (dev, ino, task, foreign);
        if other.is_some() {
            file.other = other;
        }
        if let Some(again) = &mut file.looking {
            *again = true;
        }
        let due = file.due_after(at);
        file.due = Some(due);
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// Everything is due at once: the session is over.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        for file in self.files.values_mut() {
            file.due = Some(BootNanos::new(0));
        }
        self.next = Some(BootNanos::new(0));
    }

    /// True if nothing is asked for and nothing is to be asked for.
    pub(super) fn is_done(&self) -> bool {
        self.programs.is_empty()
            && self.again.is_empty()
            && self.looks.is_empty()
            && self.files.values().all(|file| file.due.is_none())
    }

    /// The files that are due, as many as there is room for.
    pub(super) fn due(&mut self, now: ClockPair, room: &mut usize, id: &mut u64, out: &mut Vec<Look>) {
        while *room > 0
            && let Some(run) = self.again.pop()
        {
            (*room, *id) = (*room - 1, *id + 1);
            let look = self.look_for(*id, &run, now);
            out.push(look);
        }
        if self.next.is_none_or(|next| next > now.boot) {
            return;
        }
        self.next = None;
        for (path, file) in &mut self.files {
            let Some(due) = file.due.filter(|_| file.looking.is_none()) else { continue };
            if due > now.boot || *room == 0 {
                self.next = Some(self.next.map_or(due, |next| next.min(due)));
                continue;
            }
            (*room, *id) = (*room - 1, *id + 1);
            (file.due, file.looking) = (None, Some(false));
            self.looks.insert(*id, path.clone());
            out.push(Look {
                id: *id,
                aim: Aim::File {
                    quiet: !self.is_ending && now.boot.since(file.first) < AGAIN_NS,
                    anew: self.is_ending && file.told.is_some(),
                },
                path: path.clone(),
                task: file.task.id,
                dev: file.dev,
                ino: file.ino,
                foreign: file.foreign,
                fresh: file.fresh,
                since: real(now, file.first),
            });
        }
    }

    /// Takes an answer; what it says that was not told before is a record.
    pub(super) fn answer(&mut self, id: u64, seen: Seen, now: BootNanos) -> Option<Record> {
        if let Some(run) = self.programs.remove(&id) {
            self.again.extend(self.running.remove(&run.key()).flatten());
            let Seen::Program(digested) = seen else { return None };
            return self.program(*digested).map(|body| record(now, Some(run.task), body));
        }
        let path = self.looks.remove(&id)?;
        let is_ending = self.is_ending;
        let file = self.files.get_mut(&path)?;
        let again = file.looking.take().unwrap_or(false);
        let Seen::File(changed) = seen else {
            file.due = Some(if is_ending { BootNanos::new(0) } else { file.due_after(now) });
            self.next = Some(BootNanos::new(0));
            return None;
        };
        let changed = *changed;
        if changed.why == Why::Special {
            // A directory that was moved has left no file behind either.
            let from = file.other.clone().filter(|_| file.acts & acts::RENAMED != 0);
            self.files.remove(&path);
            if let Some(from) = from {
                self.files.remove(&from);
            }
            return None;
        }
        let body = file.tell(changed, again, now);
        if file.is_passing_gone() {
            self.files.remove(&path);
        } else if let Some(file) = self.files.get_mut(&path).filter(|_| !is_ending) {
            // Who has it open may write on: looked at again until a look finds nothing new.
            let waits = again || (body.is_some() && file.told.as_ref().is_some_and(|last| last.0.is_some()));
            let due = waits.then(|| file.due_after(now));
            if let Some(due) = due {
                file.due = Some(due);
                self.next = Some(self.next.map_or(due, |next| next.min(due)));
            }
        }
        body.map(|(task, changed)| record(now, Some(task), Body::Changed(Box::new(changed))))
    }

    fn program(&mut self, digested: Digested) -> Option<Body> {
        if self.told.len() > PROGRAMS {
            self.told.clear();
        }
        let version = digested.found.as_ref().filter(|found| found.sha256.is_some());
        let version = version.map(|found| (found.size, found.mtime, found.ctime)).ok_or(digested.why);
        let told = Told { path: digested.path.clone(), dev: digested.dev, ino: digested.ino, version };
        self.told.insert(told).then(|| Body::Digest(Box::new(digested)))
    }

    /// What was not done in time, named or counted.
    pub(super) fn close(self, now: BootNanos, out: &mut Vec<Record>) {
        let together = |count: u64, why| Changed { why, count, ..Changed::default() };
        let programs =
            u64::try_from(self.programs.len().saturating_add(self.again.len())).unwrap_or(u64::MAX);
        for (count, why) in [(self.unasked, Why::QueueFull), (programs, Why::Late)] {
            if count > 0 {
                let told = Digested { why, count, ..Digested::default() };
                out.push(record(now, None, Body::Digest(Box::new(told))));
            }
        }
        let mut more = 0;
        let mut left = NAMED;
        for (path, file) in self.files {
            // What was told and could not be looked at again is late only if it was touched since.
            if file.acts == 0 || (file.due.is_none() && file.looking.is_none()) {
                continue;
            }
            if left == 0 {
                more += 1;
                continue;
            }
            left -= 1;
            let File { acts, other, dev, ino, task, .. } = file;
            let changed =
                Changed { path, other, acts, dev, ino, why: Why::Late, count: 1, ..Changed::default() };
            out.push(record(now, Some(task), Body::Changed(Box::new(changed))));
        }
        for (count, why) in [(more, Why::Late), (self.beyond, Why::Beyond), (self.unnamed, Why::Unreadable)] {
            if count > 0 {
                out.push(record(now, None, Body::Changed(Box::new(together(count, why)))));
            }
        }
    }
}

impl File {
    /// Made by the session and never told.
    const fn is_passing(&self) -> bool {
        self.fresh && self.told.is_none()
    }

    /// Made, and found gone before anything was told.
    fn is_passing_gone(&self) -> bool {
        self.may_pass()
            && self.told.as_ref().is_some_and(|last| last.0.is_none())
            && self.told_at.is_none()
            && self.due.is_none()
    }

    const fn may_pass(&self) -> bool {
        self.fresh || self.brought
    }

    /// When it is to be looked at if it was touched at that time: quiet, but not later than the longest wait, nor too soon after
    /// what was told.
    fn due_after(&self, at: BootNanos) -> BootNanos {
        let quiet = at.get().saturating_add(QUIET_NS);
        let latest = if self.acts == 0 { u64::MAX } else { self.first.get().saturating_add(AGAIN_NS) };
        let told = self.told_at.map_or(0, |told| told.get().saturating_add(AGAIN_NS));
        BootNanos::new(quiet.min(latest).max(told))
    }

    /// The record of what was seen, if it is news. `again`: it was touched while it was looked at.
    fn tell(&mut self, mut changed: Changed, again: bool, now: BootNanos) -> Option<(Arc<Task>, Changed)> {
        let is_new = match (&self.told, &changed.after) {
            // Made and gone again.
            (None, None) if changed.why == Why::Gone && self.may_pass() && changed.before.is_none() => false,
            (None, after) => {
                let only_opened = self.acts == acts::WRITTEN;
                let same =
                    matches!((&changed.before, after), (Some(before), Some(after)) if before.is_same(after));
                !(only_opened && same)
            }
            (Some(Last(None)), None) => false,
            (Some(Last(Some(before))), Some(after)) => !before.is_same(after),
            _ => true,
        };
        changed.acts = self.acts;
        changed.other = self.other.take();
        if let Some(Last(last)) = &self.told {
            changed.before.clone_from(last);
            changed.untouched = 0;
        }
        if again {
            self.first = self.touched;
        } else {
            (self.acts, self.first) = (0, now);
        }
        if !is_new {
            self.told.get_or_insert(Last(changed.after));
            return None;
        }
        self.told_at = Some(now);
        self.told = Some(Last(changed.after.clone()));
        Some((Arc::clone(&self.task), changed))
    }
}

/// The wall clock of then.
pub(super) fn real(now: ClockPair, then: BootNanos) -> RealNanos {
    RealNanos::new(now.real.get().saturating_sub(now.boot.since(then)))
}

fn record(at: BootNanos, task: Option<Arc<Task>>, body: Body) -> Record {
    Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task, body }
}
