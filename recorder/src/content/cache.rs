//! Digests that are known: a file is read once in each version.

use std::collections::{BTreeMap, HashMap};

use super::words::Stat;
use crate::model::{Digest, RealNanos};

/// What tells versions of files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    dev: (u32, u32),
    ino: u64,
    size: u64,
    mtime: RealNanos,
    ctime: RealNanos,
}

impl Version {
    pub(super) const fn of(stat: &Stat) -> Self {
        Self { dev: stat.dev, ino: stat.ino, size: stat.size, mtime: stat.mtime, ctime: stat.ctime }
    }
}

/// The digests that were last used, so many.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    used: u64,
    known: HashMap<Version, (Digest, u64)>,
    order: BTreeMap<u64, Version>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most, used: 0, known: HashMap::new(), order: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, version: Version) -> Option<Digest> {
        let (sha256, last) = self.known.get_mut(&version)?;
        self.order.remove(last);
        self.used += 1;
        *last = self.used;
        self.order.insert(self.used, version);
        Some(*sha256)
    }

    pub(super) fn forget(&mut self, version: Version) {
        if let Some((_, last)) = self.known.remove(&version) {
            self.order.remove(&last);
        }
    }

    pub(super) fn put(&mut self, version: Version, sha256: Digest) {
        self.used += 1;
        if let Some((_, last)) = self.known.insert(version, (sha256, self.used)) {
            self.order.remove(&last);
        }
        self.order.insert(self.used, version);
        while self.known.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(ino: u8) -> Version {
        Version {
            dev: (8, 1),
            ino: u64::from(ino),
            size: 1,
            mtime: RealNanos::new(1),
            ctime: RealNanos::new(2),
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut cache = Cache::new(2);
        for ino in [1, 2] {
            cache.put(version(ino), Digest::new([ino; 32]));
        }
        assert!(cache.get(version(1)).is_some());
        cache.put(version(3), Digest::new([3; 32]));
        assert_eq!(cache.get(version(2)), None);
        assert_eq!(cache.get(version(1)), Some(Digest::new([1; 32])));
        let other = Version { ctime: RealNanos::new(3), ..version(1) };
        assert_eq!(cache.get(other), None, "another version of the same file");
        cache.forget(version(1));
        assert_eq!(cache.get(version(1)), None);
        assert_eq!(cache.known.len(), cache.order.len());
    }
}
