//! Files that are made up.

use std::collections::BTreeMap;

use super::{Entry, Files, Kind, Stat, Way};
use crate::model::{Bytes, RealNanos, TaskId, Why};

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) stat: Stat,
    pub(super) bytes: Vec<u8>,
    /// What is written to it after so many reads.
    pub(super) torn: u32,
}

#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) now: u64,
    next: u64,
    pub(super) host: BTreeMap<Bytes, Node>,
    /// What processes run, and files below a root of their own.
    pub(super) images: BTreeMap<u32, Node>,
    pub(super) own: BTreeMap<(u32, Bytes), Node>,
    pub(super) reads: u32,
    pub(super) opens: u32,
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

pub(super) const SECOND: u64 = 1_000_000_000;

impl Fake {
    pub(super) fn new() -> Self {
        Self { now: 1000 * SECOND, next: 10, ..Self::default() }
    }

    pub(super) fn node(&mut self, bytes: &[u8]) -> Node {
        self.next += 1;
        let now = RealNanos::new(self.now);
        let stat = Stat {
            kind: Kind::Regular,
            dev: (8, 1),
            ino: self.next,
            size: wide(bytes.len()),
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            mtime: now,
            ctime: now,
            caps: false,
        };
        Node { stat, bytes: bytes.to_vec(), torn: 0 }
    }

    /// Writes in place, or makes the file; its inode number.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8]) -> u64 {
        let now = RealNanos::new(self.now);
        if let Some(node) = self.host.get_mut(&Bytes::from(path)) {
            node.bytes = bytes.to_vec();
            (node.stat.size, node.stat.mtime, node.stat.ctime) = (wide(bytes.len()), now, now);
            return node.stat.ino;
        }
        let node = self.node(bytes);
        let ino = node.stat.ino;
        self.host.insert(Bytes::from(path), node);
        ino
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.host.remove(&Bytes::from(path));
    }

    pub(super) fn at(&mut self, path: &str) -> &mut Node {
        self.host.get_mut(&Bytes::from(path)).unwrap()
    }
}

impl Files for Fake {
    type Open = (Way, u32, Bytes);

    fn open(&mut self, path: &Bytes, task: TaskId, way: Way) -> Result<Self::Open, Why> {
        self.opens += 1;
        let there = match way {
            Way::Image => self.images.contains_key(&task.pid),
            Way::Process => self.own.contains_key(&(task.pid, path.clone())),
            Way::Host => self.host.contains_key(path),
        };
        there.then(|| (way, task.pid, path.clone())).ok_or(Why::Gone)
    }

    fn stat(&mut self, open: &Self::Open) -> Result<Stat, Why> {
        self.find(open).map(|node| node.stat.clone()).ok_or(Why::Unreadable)
    }

    fn read(&mut self, open: &mut Self::Open, at: u64, into: &mut [u8]) -> Result<usize, Why> {
        self.reads += 1;
        let now = self.now;
        let node = self.find(open).ok_or(Why::Unreadable)?;
        let rest = node.bytes.get(usize::try_from(at).unwrap()..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        if at == 0 && node.torn > 0 {
            node.torn -= 1;
            node.bytes.push(b'x');
            node.stat.size += 1;
            node.stat.ctime = RealNanos::new(now + u64::from(node.torn) + 1);
        }
        Ok(len)
    }

    fn list(&mut self, path: &Bytes, most: usize) -> Vec<Entry> {
        let below = self.host.iter().filter(|(p, _)| p.as_slice().starts_with(path.as_slice()));
        let entry =
            |(path, node): (&Bytes, &Node)| Entry { path: path.clone(), found: Some(node.stat.found()) };
        below.take(most).map(entry).collect()
    }

    fn now(&mut self) -> RealNanos {
        RealNanos::new(self.now)
    }
}

impl Fake {
    fn find(&mut self, (way, pid, path): &(Way, u32, Bytes)) -> Option<&mut Node> {
        match way {
            Way::Image => self.images.get_mut(pid),
            Way::Process => self.own.get_mut(&(*pid, path.clone())),
            Way::Host => self.host.get_mut(path),
        }
    }
}
