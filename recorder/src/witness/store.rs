//! The newest checkpoint of each log, one small file each, durable before anything is answered.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::journal::{
    checkpoint::{Checkpoint, Head},
    key::sha256,
};

/// A longer file is none of ours.
const MAX_LEN: u64 = 8 << 10;

/// Why the state is not known, or not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// A file holds something else than the log's last checkpoint. Nothing is signed for that log until it is mended.
    #[error("{path} does not hold a checkpoint of its log", path = path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
    },
    /// Another witness works in the directory.
    #[error("another witness has {path} open", path = path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
}

/// A directory of heads, locked.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    handle: fs::File,
}

impl Drop for Store {
    /// By name: a child between its fork and its exec has the descriptor too, and the lock would wait for it.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.handle, rustix::fs::FlockOperation::Unlock);
    }
}

impl Store {
    /// Opens the directory, makes it (0700) if it is missing, and keeps other witnesses out.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let handle = fs::File::open(dir).map_err(io)?;
        match rustix::fs::flock(&handle, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { dir: dir.to_owned(), handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: dir.to_owned() }),
            Err(errno) => Err(io(errno.into())),
        }
    }

    /// An origin is anybody's text: the file has its hash for a name.
    fn path(&self, origin: &str) -> PathBuf {
        self.dir.join(sha256(origin.as_bytes()).to_string())
    }

    /// What was signed last of that log.
    pub fn head(&self, origin: &str) -> Result<Option<Head>, StoreError> {
        let path = self.path(origin);
        let mut text = String::new();
        let read = match fs::File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|file| file.take(MAX_LEN).read_to_string(&mut text)),
        };
        read.map_err(|source| StoreError::Io { path: path.clone(), source })?;
        let held = Checkpoint::parse(&text).filter(|held| held.origin == origin);
        held.map(|held| Some(held.head)).ok_or(StoreError::Damaged { path })
    }

    /// Puts a checkpoint in the place of the one before it, durably.
    pub fn keep(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let path = self.path(&checkpoint.origin);
        let temporary = self.dir.join(".new");
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(checkpoint.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            self.handle.sync_all()
        };
        write().map_err(|source| StoreError::Io { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn it_remembers_and_a_damaged_memory_is_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
        assert_eq!(store.head("../a b").unwrap(), None);
        let head = Head { size: 7, root: Digest::new([1; 32]) };
        store.keep(&Checkpoint { origin: "../a b".into(), head }).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.head("../a b").unwrap(), Some(head));
        let path = store.path("../a b");
        fs::write(&path, "").unwrap();
        assert!(matches!(store.head("../a b"), Err(StoreError::Damaged { .. })), "never taken for a new log");
    }
}
