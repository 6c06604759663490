//! What of all sessions is to be looked at, and the records of what was seen.

use std::collections::BTreeMap;

use super::class;
use super::session::{Run, Session, Touch};
use super::words::{Aim, Look, Seen};
use crate::model::{Body, BootNanos, Bytes, Class, ClockPair, File, FileOp, Flags, Mark, Record, acts};

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
/// `O_ACCMODE`, `O_TRUNC` and `O_PATH` of the generic kernel ABI, `AT_REMOVEDIR`, `RENAME_EXCHANGE`.
const O_ACCMODE: u32 = 3;
const O_TRUNC: u32 = 0o1000;
const O_PATH: u32 = 0o10_000_000;
const AT_REMOVEDIR: u32 = 0x200;
const EXCHANGE: u32 = 2;

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files of a session that wait to be looked at; as many more of those that matter to the host by their paths.
    pub files: usize,
    /// Looks that wait, of all sessions.
    pub looks: usize,
}

/// The state machine.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    sessions: BTreeMap<Mark, Session>,
    /// Looks that are not answered yet.
    asked: BTreeMap<u64, Mark>,
    last: u64,
}

/// Such a path leads nowhere.
const NOWHERE: [Flags; 3] = [Flags::MOUNT_UNKNOWN, Flags::UNREACHABLE, Flags::UNREADABLE];

impl Ledger {
    /// With nothing to look at.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, sessions: BTreeMap::new(), asked: BTreeMap::new(), last: 0 }
    }

    /// A session begins.
    pub fn begin(&mut self, mark: Mark) {
        self.sessions.entry(mark).or_default();
    }

    /// Takes the next record of a session; a program that it tells of is to be looked at at once.
    pub fn see(&mut self, mark: Mark, record: &Record, now: ClockPair) -> Option<Look> {
        self.sessions.get_mut(&mark)?.places.see(record);
        match &record.body {
            Body::Exec(exec) => {
                self.executed(mark, record, (&exec.path, exec.dev, exec.ino), Aim::Program, now)
            }
            Body::Script(script) => {
                let path = plain(&script.path);
                self.executed(mark, record, (&path, script.dev, script.ino), Aim::Script, now)
            }
            Body::File(op, file) if file.result >= 0 => {
                self.touched(mark, record, *op, file);
                None
            }
            Body::Setattr(_, set) if set.result >= 0 => {
                self.set(mark, record, (&set.path, set.dev, set.ino, set.inode_mode));
                None
            }
            Body::Xattr(set) if set.result >= 0 => {
                self.set(mark, record, (&set.path, set.dev, set.ino, 0));
                None
            }
            Body::Allocate(done) if done.result >= 0 => {
                self.set(mark, record, (&done.path, done.dev, done.ino, 0));
                None
            }
            _ => None,
        }
    }

    fn executed(
        &mut self,
        mark: Mark,
        record: &Record,
        (path, dev, ino): (&Bytes, (u32, u32), u64),
        aim: Aim,
        now: ClockPair,
    ) -> Option<Look> {
        let task = record.task.as_ref()?;
        let session = self.sessions.get_mut(&mark)?;
        let run =
            Run { path: path.clone(), dev, ino, aim, at: record.boot_ns, task: std::sync::Arc::clone(task) };
        let run = session.runs(run)?;
        if self.asked.len() >= self.limits.looks {
            session.not_asked();
            return None;
        }
        self.last += 1;
        self.asked.insert(self.last, mark);
        Some(session.look_for(self.last, &run, now))
    }

    fn touched(&mut self, mark: Mark, record: &Record, op: FileOp, file: &File) {
        let Some(task) = &record.task else { return };
        let is_file = file.mode == 0 || matches!(file.mode & S_IFMT, S_IFREG | S_IFLNK);
        let writes = file.flags & O_PATH == 0 && file.flags & (O_ACCMODE | O_TRUNC) != 0;
        let acts = match op {
            FileOp::Open if writes => acts::WRITTEN,
            FileOp::Write => acts::WRITTEN,
            FileOp::Create | FileOp::Link | FileOp::Symlink => acts::CREATED,
            FileOp::Rename => acts::RENAMED,
            FileOp::Unlink if file.flags & AT_REMOVEDIR == 0 => acts::REMOVED,
            _ => return,
        };
        if !is_file || record.flags.has(Flags::DELETED) {
            return;
        }
        if file.cut.is_some() || NOWHERE.into_iter().any(|flag| record.flags.has(flag)) {
            if let Some(session) = self.sessions.get_mut(&mark) {
                session.unnamed();
            }
            return;
        }
        let touch = |path: &Bytes, other: Option<&Bytes>, acts, ino| Touch {
            path: plain(path),
            other: other.map(plain),
            acts,
            dev: file.dev,
            ino,
            at: record.boot_ns,
            task: std::sync::Arc::clone(task),
        };
        // A new name; what a symbolic link says is no path of this file's.
        match (op, &file.to) {
            (FileOp::Link, Some(to)) => {
                return self.may_have_changed(mark, touch(to, None, acts, file.ino));
            }
            (FileOp::Symlink, _) => {
                return self.may_have_changed(mark, touch(&file.path, None, acts, file.ino));
            }
            _ => {}
        }
        let Some(to) = &file.to else {
            let ino = if op == FileOp::Unlink { 0 } else { file.ino };
            return self.may_have_changed(mark, touch(&file.path, None, acts, ino));
        };
        // Where it came from first: whether it was made there tells what it is here.
        let from_acts = if file.flags & EXCHANGE == 0 { acts::MOVED } else { acts::RENAMED };
        self.may_have_changed(mark, touch(&file.path, Some(to), from_acts, 0));
        self.may_have_changed(mark, touch(to, Some(&file.path), acts::RENAMED, file.ino));
    }

    /// What a file is was changed: its mode, its owner, its length, an attribute. `mode` is 0 where it is not known.
    fn set(&mut self, mark: Mark, record: &Record, (path, dev, ino, mode): (&Bytes, (u32, u32), u64, u32)) {
        let Some(task) = &record.task else { return };
        if mode != 0 && mode & S_IFMT != S_IFREG {
            return;
        }
        if NOWHERE.into_iter().any(|flag| record.flags.has(flag)) {
            if let Some(session) = self.sessions.get_mut(&mark) {
                session.unnamed();
            }
            return;
        }
        let (path, task) = (plain(path), std::sync::Arc::clone(task));
        let touch = Touch { path, other: None, acts: acts::OTHER, dev, ino, at: record.boot_ns, task };
        self.may_have_changed(mark, touch);
    }

    /// This path, or what lies there, may have changed: the entrance for every kind of act.
    fn may_have_changed(&mut self, mark: Mark, touch: Touch) {
        if !holds_files(touch.path.as_slice()) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&mark) else { return };
        if !session.knows(&touch.path) {
            let matters = class::by_path(touch.path.as_slice()) != Class::None;
            let most = self.limits.files.saturating_mul(1 + usize::from(matters));
            if !session.has_room(most, touch.at) {
                session.beyond += 1;
                return;
            }
        }
        session.touch(touch);
    }

    /// What is to be looked at by now, as much as there is room for.
    pub fn due(&mut self, now: ClockPair) -> Vec<Look> {
        let mut looks = Vec::new();
        let mut room = self.limits.looks.saturating_sub(self.asked.len());
        for (mark, session) in &mut self.sessions {
            let first = looks.len();
            session.due(now, &mut room, &mut self.last, &mut looks);
            self.asked.extend(looks.iter().skip(first).map(|look| (look.id, *mark)));
        }
        looks
    }

    /// Takes an answer; gives the record, if it says something new.
    pub fn answer(&mut self, id: u64, seen: Seen, now: BootNanos) -> Option<(Mark, Record)> {
        let mark = self.asked.remove(&id)?;
        let record = self.sessions.get_mut(&mark)?.answer(id, seen, now)?;
        Some((mark, record))
    }

    /// The session is over: all that may have changed is due.
    pub fn end(&mut self, mark: Mark) {
        if let Some(session) = self.sessions.get_mut(&mark) {
            session.end();
        }
    }

    /// True if nothing of the session is still to be seen.
    pub fn is_done(&self, mark: Mark) -> bool {
        self.sessions.get(&mark).is_none_or(Session::is_done)
    }

    /// Forgets the session; what was not done is told.
    pub fn close(&mut self, mark: Mark, now: BootNanos) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(session) = self.sessions.remove(&mark) {
            session.close(now, &mut records);
        }
        records
    }
}

/// False for what makes up its content when it is read.
fn holds_files(path: &[u8]) -> bool {
    let shared = path.starts_with(b"/dev/shm/");
    shared || ![&b"/proc/"[..], b"/sys/", b"/dev/"].iter().any(|root| path.starts_with(root))
}

/// Without empty names, `.` and `..`: paths are as they were passed where the kernel side does not resolve them.
fn plain(path: &Bytes) -> Bytes {
    let raw = path.as_slice();
    if !raw.split(|b| *b == b'/').skip(1).any(|name| matches!(name, b"" | b"." | b"..")) {
        return path.clone();
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for name in raw.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let mut out = Vec::with_capacity(raw.len());
    for name in names {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_paths_become_plain() {
        for (path, want) in
            [("/a/b", "/a/b"), ("/a//b/./c", "/a/b/c"), ("/a/../etc/passwd", "/etc/passwd"), ("/../x/", "/x")]
        {
            assert_eq!(plain(&Bytes::from(path)), Bytes::from(want), "{path}");
        }
    }

    #[test]
    fn what_makes_up_its_content_is_left_alone() {
        for (path, want) in [
            ("/proc/1/mem", false),
            ("/sys/x", false),
            ("/dev/sda", false),
            ("/dev/shm/x", true),
            ("/etc/x", true),
        ] {
            assert_eq!(holds_files(path.as_bytes()), want, "{path}");
        }
    }
}
