//! A ledger and an examiner together, over files and a clock that are made up.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::fake::{Fake, SECOND};
use super::*;
use crate::model::{
    Body, BootNanos, Bytes, Changed, ClockPair, Digest, Digested, Exec, File, FileOp, Flags, Mark, RealNanos,
    Record, Task, TaskId,
};

pub(super) const MARK: Mark = Mark::new(7);
const BOOT: u64 = 900;

pub(super) struct World {
    pub(super) files: Fake,
    pub(super) ledger: Ledger,
    pub(super) examiner: Examiner,
    /// Looks that nobody answers.
    pub(super) deaf: bool,
    pub(super) told: Vec<Record>,
}

pub(super) fn sha(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

pub(super) fn task(pid: u32) -> Arc<Task> {
    Arc::new(Task { id: TaskId { pid, start: BootNanos::new(1) }, ..Task::default() })
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Limits { files: 100, looks: 50 })
    }

    pub(super) fn with(limits: Limits) -> Self {
        let rules = Rules {
            trees: vec![Bytes::from("/etc")],
            secret: vec![Bytes::from("shadow")],
            own: vec![Bytes::from("/etc/recorder")],
            max_file: 1 << 20,
        };
        let mut ledger = Ledger::new(limits);
        ledger.begin(MARK);
        Self { files: Fake::new(), ledger, examiner: Examiner::new(rules), deaf: false, told: Vec::new() }
    }

    pub(super) fn clock(&self) -> ClockPair {
        ClockPair {
            boot: BootNanos::new(self.files.now - BOOT * SECOND),
            real: RealNanos::new(self.files.now),
        }
    }

    /// Walks through the trees until there is nothing left to do.
    pub(super) fn walk(&mut self) {
        while self.examiner.walk(&mut self.files) {}
        self.wait(1);
    }

    pub(super) fn wait(&mut self, tenths: u64) {
        for _ in 0..tenths {
            self.files.now += SECOND / 10;
            let looks = self.ledger.due(self.clock());
            self.answer(looks);
        }
    }

    pub(super) fn answer(&mut self, looks: Vec<Look>) {
        for look in looks.into_iter().filter(|_| !self.deaf) {
            let seen = self.examiner.look(&look, &mut self.files);
            let told = self.ledger.answer(look.id, seen, self.clock().boot);
            self.told.extend(told.map(|(mark, record)| {
                assert_eq!(mark, MARK);
                record
            }));
        }
    }

    pub(super) fn see(&mut self, pid: u32, body: Body) {
        let record = Record {
            boot_ns: self.clock().boot,
            cpu: 0,
            flags: Flags::default(),
            task: Some(task(pid)),
            body,
        };
        let look = self.ledger.see(MARK, &record, self.clock());
        self.answer(look.into_iter().collect());
    }

    /// A program runs, and nobody looks yet.
    pub(super) fn run_unseen(&mut self, pid: u32, path: &str, ino: u64) -> Option<Look> {
        let exec = Exec { path: Bytes::from(path), dev: (8, 1), ino, ..Exec::default() };
        let (boot_ns, body) = (self.clock().boot, Body::Exec(exec));
        let record = Record { boot_ns, cpu: 0, flags: Flags::default(), task: Some(task(pid)), body };
        self.ledger.see(MARK, &record, self.clock())
    }

    pub(super) fn exec(&mut self, pid: u32, path: &str, ino: u64) {
        let exec = Exec { path: Bytes::from(path), dev: (8, 1), ino, ..Exec::default() };
        self.see(pid, Body::Exec(exec));
    }

    pub(super) fn act(&mut self, op: FileOp, path: &str, to: Option<&str>, ino: u64) {
        let file = File {
            path: Bytes::from(path),
            to: to.map(Bytes::from),
            flags: 1,
            dev: (8, 1),
            ino,
            count: 1,
            ..File::default()
        };
        self.see(50, Body::File(op, file));
    }

    /// A session writes to a file that is there.
    pub(super) fn writes(&mut self, path: &str, bytes: &[u8]) {
        let is_there = self.files.host.contains_key(&Bytes::from(path));
        let ino = self.files.write(path, bytes);
        self.act(if is_there { FileOp::Open } else { FileOp::Create }, path, None, ino);
    }

    pub(super) fn removes(&mut self, path: &str) {
        self.files.remove(path);
        self.act(FileOp::Unlink, path, None, 0);
    }

    pub(super) fn moves(&mut self, path: &str, to: &str) {
        let mut node = self.files.host.remove(&Bytes::from(path)).unwrap();
        node.stat.ctime = RealNanos::new(self.files.now);
        let ino = node.stat.ino;
        self.files.host.insert(Bytes::from(to), node);
        self.act(FileOp::Rename, path, Some(to), ino);
    }

    /// The session ends, in time or not.
    pub(super) fn end(&mut self) {
        self.ledger.end(MARK);
        for _ in 0..100 {
            let looks = self.ledger.due(self.clock());
            self.answer(looks);
        }
        assert!(self.deaf || self.ledger.is_done(MARK));
        let late = self.ledger.close(MARK, self.clock().boot);
        self.told.extend(late);
    }

    pub(super) fn digests(&self) -> Vec<Digested> {
        let of = |record: &Record| match &record.body {
            Body::Digest(digest) => Some((**digest).clone()),
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    pub(super) fn changes(&self) -> Vec<Changed> {
        let of = |record: &Record| match &record.body {
            Body::Changed(changed) => Some((**changed).clone()),
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    pub(super) fn only(&self) -> Changed {
        let changes = self.changes();
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes[0].clone()
    }
}

pub(super) fn diff(changed: &Changed) -> &str {
    changed.diff.as_ref().and_then(|diff| diff.text.as_utf8()).unwrap_or_default()
}
