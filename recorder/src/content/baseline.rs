//! What lay in the watched trees: the last versions of each file.
//!
//! A version is older than a session's act if its ctime is: so a look that comes after the act finds what lay there before it, also if
//! the tree was looked through in between. In memory, bounded; what is beyond is not known and said so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::{Bytes, Found, RealNanos, Why};

/// Files that are known.
const FILES: usize = 100_000;
/// Bytes of all texts together.
const TEXTS: usize = 64 << 20;
/// Versions of a file: what was there before a few sessions that overlap.
const VERSIONS: usize = 4;
/// What was removed so long ago is forgotten.
const GONE_NS: u64 = 600_000_000_000;
/// Clocks of file systems are as coarse as a timer's tick.
const TICK_NS: u64 = 20_000_000;

/// The content of a text, or why there is none.
pub(super) type Text = Result<Arc<[u8]>, Why>;

/// What lay at a path at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The file; `None`: there was none.
    pub(super) found: Option<Found>,
    /// Its text, or why it is not kept.
    pub(super) text: Text,
    /// When it came to be so: its ctime, or for what was gone when that was seen.
    pub(super) at: RealNanos,
}

/// What is known of a path.
#[derive(Debug, Default)]
struct File {
    /// Newest last.
    versions: VecDeque<Version>,
    /// The last walk that found it there.
    walk: u64,
}

#[derive(Debug, Default)]
pub(super) struct Baseline {
    files: BTreeMap<Bytes, File>,
    texts: usize,
    walk: u64,
}

impl Baseline {
    /// Takes what lies at a path now.
    pub(super) fn learn(&mut self, path: &Bytes, mut version: Version) {
        if !self.files.contains_key(path) && (self.files.len() >= FILES || version.found.is_none()) {
            return;
        }
        let len = |version: &Version| version.text.as_ref().map_or(0, |text| text.len());
        if self.texts.saturating_add(len(&version)) > TEXTS {
            version.text = Err(Why::NoBaseline);
        }
        let file = self.files.entry(path.clone()).or_default();
        if version.found.is_some() {
            file.walk = self.walk;
        }
        let versions = &mut file.versions;
        if versions.back().is_some_and(|last| is_same(last, &version)) {
            return;
        }
        self.texts += len(&version);
        versions.push_back(version);
        while versions.len() > VERSIONS {
            self.texts -= versions.pop_front().map_or(0, |oldest| len(&oldest)).min(self.texts);
        }
    }

    /// What lay there before that time.
    pub(super) fn before(&self, path: &Bytes, since: RealNanos) -> Option<&Version> {
        let since = since.get().saturating_sub(TICK_NS);
        self.files.get(path)?.versions.iter().rev().find(|version| version.at.get() < since)
    }

    /// Another walk begins: nothing was found by it yet.
    pub(super) fn begin(&mut self) {
        self.walk += 1;
    }

    /// The walk found this there. True if the newest version is the same: it need not be read again.
    pub(super) fn is_current(&mut self, path: &Bytes, stat: &Found) -> bool {
        let Some(file) = self.files.get_mut(path) else { return false };
        let newest = file.versions.back().and_then(|version| version.found.as_ref());
        let same = newest.is_some_and(|found| {
            (found.size, found.mtime, found.ctime, found.mode)
                == (stat.size, stat.mtime, stat.ctime, stat.mode)
        });
        if same {
            file.walk = self.walk;
        }
        same
    }

    /// What is gone for long is forgotten with its history.
    pub(super) fn forget(&mut self, path: &Bytes, now: RealNanos) {
        let newest = self.files.get(path).and_then(|file| file.versions.back());
        if newest
            .is_some_and(|last| last.found.is_none() && now.get().saturating_sub(last.at.get()) > GONE_NS)
        {
            let versions = self.files.remove(path).into_iter().flat_map(|file| file.versions);
            let texts = versions.filter_map(|version| version.text.ok());
            self.texts = self.texts.saturating_sub(texts.map(|text| text.len()).sum());
        }
    }

    /// The next path in order that this walk has not found.
    pub(super) fn missing(&self, path: Option<&Bytes>) -> Option<Bytes> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = path.map_or(Unbounded, Excluded);
        let mut behind = self.files.range::<Bytes, _>((from, Unbounded));
        behind.find(|(_, file)| file.walk != self.walk).map(|(path, _)| path.clone())
    }
}

fn is_same(a: &Version, b: &Version) -> bool {
    match (&a.found, &b.found) {
        (None, None) => true,
        (Some(x), Some(y)) => x == y,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(at: u64, len: usize) -> Version {
        let at = RealNanos::new(at * 1_000_000_000);
        let found = Found { ctime: at, size: at.get(), ..Found::default() };
        Version { found: Some(found), text: Ok(Arc::from(vec![b'x'; len])), at }
    }

    #[test]
    fn what_lay_there_before_is_the_newest_that_is_older() {
        let (mut baseline, path) = (Baseline::default(), Bytes::from("/etc/x"));
        for at in [10, 20, 30] {
            baseline.learn(&path, version(at, 1));
        }
        let before = |at: u64| {
            baseline
                .before(&path, RealNanos::new(at * 1_000_000_000))
                .map(|version| version.at.get() / 1_000_000_000)
        };
        assert_eq!([before(10), before(11), before(25), before(99)], [None, Some(10), Some(20), Some(30)]);
    }

    #[test]
    fn versions_and_texts_are_bounded_and_counted() {
        let (mut baseline, path) = (Baseline::default(), Bytes::from("/etc/x"));
        for at in 1..100 {
            baseline.learn(&path, version(at, 1000));
        }
        assert_eq!((baseline.files[&path].versions.len(), baseline.texts), (VERSIONS, VERSIONS * 1000));
        let gone = |at| Version { found: None, text: Err(Why::Gone), at: RealNanos::new(at) };
        for at in 0..10 {
            baseline.learn(&path, gone(at));
        }
        assert!(baseline.files[&path].versions.len() == VERSIONS, "gone once");
        baseline.learn(&Bytes::from("/etc/never"), gone(1));
        assert_eq!(baseline.files.len(), 1);
        baseline.forget(&path, RealNanos::new(GONE_NS));
        assert_eq!(baseline.files.len(), 1, "not yet");
        baseline.forget(&path, RealNanos::new(2 * GONE_NS));
        assert_eq!((baseline.files.len(), baseline.texts), (0, 0));
        for n in 0..(TEXTS / (1 << 20) + 8) {
            baseline.learn(&Bytes::from(format!("/etc/{n}").as_str()), version(1, 1 << 20));
        }
        assert!(baseline.texts <= TEXTS);
    }
}
