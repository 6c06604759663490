//! Storage faults: what failed is never written again, and the chain goes on where a segment can still be begun: in the
//! spare directory, back in the journal's own, at last in the emergency reserve. docs/journal-format.md, Durability.

use std::io;
use std::path::Path;

use super::bytes::wide;
use super::chain::Sealer;
use super::disk::Disk;
use super::key::{Entropy, PublicKey, SecretKey};
use super::keyfile::{self, KeyFile};
use super::origin;
use super::segment::{NONE, Reason, SetAside};
use super::store::{Active, Basis, NotBegun, Place};
use super::{JournalError, Writer};
use crate::model::{Body, Bytes, ClockPair, Kind, Loss, LossReason, StorageFault};

/// No space, no quota, or no inode: what was reserved before can still be used.
pub(super) fn is_full(error: &JournalError) -> bool {
    let JournalError::Io { source, .. } = error else { return false };
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_gone(error: &JournalError) -> bool {
    matches!(error, JournalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// The class in a loss record.
fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::OPEN
        | Kind::CREATE
        | Kind::RENAME
        | Kind::UNLINK
        | Kind::LINK
        | Kind::SYMLINK
        | Kind::MKDIR
        | Kind::MKNOD
        | Kind::WRITE
        | Kind::READS
        | Kind::CHMOD
        | Kind::CHOWN
        | Kind::TRUNCATE
        | Kind::UTIMES
        | Kind::XATTR
        | Kind::FALLOCATE => "file",
        Kind::MOUNT
        | Kind::UMOUNT
        | Kind::MODULE
        | Kind::BPF
        | Kind::NAMESPACE
        | Kind::KERNEL
        | Kind::IO_URING
        | Kind::SETTING
        | Kind::CONNECT
        | Kind::BIND
        | Kind::LISTEN
        | Kind::ACCEPT
        | Kind::SEND => "system",
        Kind::TTY_OUTPUT | Kind::TTY_INPUT | Kind::TTY_RESIZE => "tty",
        Kind::SESSION_START | Kind::SESSION_END | Kind::SESSION_OPENED => "session",
        other => other.name(),
    }
}

/// Length of a reserve for that setting: it becomes a segment's capacity.
pub(super) const fn reserve_len(setting: u64) -> u64 {
    setting.next_multiple_of(4096)
}

impl<D: Disk, E: Entropy> Writer<D, E> {
    /// Counts records that found no place. They become a loss record with the next commit that succeeds.
    pub fn lost(&mut self, kind: Kind, records: u64) {
        let count = self.toll.entry(class_of(kind)).or_default();
        *count = count.saturating_add(records);
    }

    /// Counts what a loss record that found no place has counted.
    pub fn lost_more(&mut self, loss: &Loss) {
        let known =
            Kind::ALL.iter().map(|kind| class_of(*kind)).find(|class| loss.class == Bytes::from(*class));
        let count = self.toll.entry(known.unwrap_or("other")).or_default();
        *count = count.saturating_add(loss.count);
    }

    /// True if records were counted as lost and no commit has declared them.
    pub fn owes(&self) -> bool {
        !self.toll.is_empty()
    }

    /// True while the log goes on in the emergency reserve and there is no other.
    pub const fn is_in_reserve(&self) -> bool {
        self.in_reserve
    }

    /// Makes the emergency reserve if it is missing; true if there is one. Where none is configured there is none to miss.
    pub fn tend(&mut self) -> bool {
        if self.config.reserve == 0 {
            // Nothing says that space is there again but a segment that can be begun.
            return false;
        }
        if !self.place.reserve && self.poison.is_none() {
            let len = reserve_len(self.config.reserve);
            self.place.reserve = Active::<D>::make_reserve(&self.disk, &self.place.dir, len).is_ok();
        }
        self.in_reserve &= !self.place.reserve;
        self.place.reserve
    }

    /// Takes over a reserve that an earlier run left, or makes one.
    pub(super) fn look_for_reserve(&mut self) {
        let wanted = reserve_len(self.config.reserve);
        let there = Active::<D>::reserve_len(&self.disk, &self.place.dir);
        self.place.reserve = wanted > 0 && there.is_ok_and(|len| len == wanted);
        self.tend();
    }

    pub(super) fn poison(&mut self, error: &JournalError) {
        let (operation, errno) = match error {
            JournalError::Io { operation, source } => (*operation, source.raw_os_error().unwrap_or(0)),
            _ => ("make a key", 0),
        };
        let repeated = self.streams.queue.iter().map(|f| u64::from(f.header.records)).sum();
        self.gone |= is_gone(error);
        self.poison = Some(StorageFault { operation: Bytes::from(operation), errno, repeated });
    }

    /// Puts what was counted as lost before everything that waits.
    fn declare_first(&mut self, now: ClockPair) {
        for (class, count) in std::mem::take(&mut self.toll).into_iter().rev() {
            self.streams.prepend(now.boot, loss(class, count));
        }
    }

    /// Puts what was counted as lost behind everything that waits.
    pub(super) fn declare(&mut self, now: ClockPair) {
        for (class, count) in std::mem::take(&mut self.toll) {
            self.streams.say(now.boot, loss(class, count));
        }
    }

    /// Restarts the chain behind the last durable seal in a fresh segment, elsewhere if there is an elsewhere. The
    /// poisoned segment is never written again; all that was not acknowledged still waits in the queue.
    pub(super) fn restart(&mut self, now: ClockPair) -> Result<(), JournalError> {
        // The log has to be found under its own name: elsewhere is the second answer to a directory that is gone. And a
        // spare directory that can't be opened leaves the one that is there.
        let made_again = self.gone && self.make_again().is_ok();
        if !made_again && self.left.is_none() {
            let _ = self.enter_spare();
        }
        let mut failed = match self.restart_here(now, Basis::Fresh) {
            Ok(()) => return Ok(()),
            Err(not) => self.remember(not),
        };
        if self.swap() {
            match self.restart_here(now, Basis::Fresh) {
                Ok(()) => return Ok(()),
                Err(not) => {
                    let here = self.remember(not);
                    // The disk that has no room is the one that still takes what was reserved on it.
                    failed = if is_full(&failed) { self.swap_back(failed) } else { here };
                }
            }
        }
        if is_full(&failed) && self.config.reserve > 0 {
            match self.restart_here(now, Basis::Reserve) {
                Ok(()) => return Ok(()),
                Err(not) => failed = self.remember(not),
            }
            if self.swap() {
                return self.restart_here(now, Basis::Reserve).map_err(|not| self.remember(not));
            }
        }
        Err(failed)
    }

    fn remember(&mut self, not: NotBegun) -> JournalError {
        if not.named {
            self.place.named = Some(self.at.leaf);
        }
        self.gone |= is_gone(&not.error);
        not.error
    }

    fn swap_back(&mut self, failed: JournalError) -> JournalError {
        let _ = self.swap();
        failed
    }

    /// Turns to the other directory. Not from the spare while a segment of the next leaf may have its name there, because
    /// readers take the spare's.
    fn swap(&mut self) -> bool {
        let is_spare = self.config.spare_dir.as_ref() == Some(&self.place.root);
        if is_spare && self.place.named == Some(self.at.leaf) {
            return false;
        }
        let Some(left) = self.left.as_mut() else { return false };
        std::mem::swap(left, &mut self.place);
        true
    }

    fn restart_here(&mut self, now: ClockPair, basis: Basis) -> Result<(), NotBegun> {
        let need = self.streams.queue.iter().map(|f| wide(f.room())).max().unwrap_or(0);
        if basis == Basis::Reserve && !self.place.reserve {
            // There may be room for it though there is none for a whole segment.
            let len = reserve_len(self.config.reserve);
            Active::<D>::make_reserve(&self.disk, &self.place.dir, len)?;
            self.place.reserve = true;
        }
        // A seal that may have reached the failed disk can name `next`: a restart needs a key of its own, and keeps it
        // over all its attempts, because one of them may have reached the disk too.
        let key = match self.recovery.restart.take() {
            Some(key) => key,
            None => SecretKey::generate(&mut self.entropy)?,
        };
        let public = key.public();
        let stored =
            if self.place.restart_key == Some(public) { Ok(()) } else { self.store_restart_key(&key) };
        self.recovery.restart = Some(key);
        stored?;
        self.place.restart_key = Some(public);
        self.sealer = Sealer::start(self.sealer.identity, self.sealer.boot, &mut self.entropy)?;
        let set_aside =
            SetAside { offset: self.active.tail, bytes: NONE, sha256: crate::model::Digest::default() };
        self.begin(basis, Reason::Fault, now, need, set_aside)?;
        self.in_reserve = basis == Basis::Reserve;
        self.place.reserve &= basis == Basis::Fresh;
        (self.place.restart_key, self.place.named, self.gone) = (None, None, false);
        if let Some(left) = &mut self.left {
            (left.restart_key, left.named) = (None, None);
        }
        self.recovery.since = now;
        // Losses behind the fault, the fault before them; once, until it is on disk.
        if let Some(fault) = self.poison.take()
            && !self.declared
        {
            self.declare_first(now);
            self.streams.prepend(now.boot, Body::Storage(fault));
            self.declared = true;
        }
        self.settle_recovery();
        Ok(())
    }

    fn store_restart_key(&mut self, key: &SecretKey) -> Result<(), JournalError> {
        let next = self.recovery.next.as_ref().map(SecretKey::public);
        let keep: Vec<PublicKey> = std::iter::once(self.recovery.current.public()).chain(next).collect();
        self.place.keys.store(&self.disk, key, &keep)
    }

    fn enter_spare(&mut self) -> Result<(), JournalError> {
        let Some(root) = self.config.spare_dir.clone() else { return Ok(()) };
        let dir = self.log_dir(&root).map_err(|e| JournalError::io("open the spare directory", e))?;
        let keys = KeyFile::create(&self.disk, &dir, keyfile::FILE)?;
        self.left = Some(std::mem::replace(&mut self.place, Place::new(root, dir, keys)));
        Ok(())
    }

    fn log_dir(&self, root: &Path) -> io::Result<D::Dir> {
        let above = self.disk.root(root)?;
        self.log_dir_in(&above)
    }

    fn log_dir_in(&self, above: &D::Dir) -> io::Result<D::Dir> {
        let dir = self.disk.subdir(above, &self.sealer.identity.log.to_string(), true)?;
        self.disk.sync_dir(above)?;
        Ok(dir)
    }

    /// The log's directory beneath the journal that we hold; if that is gone too, beneath one that is locked anew.
    fn own_dir(&mut self) -> Result<D::Dir, JournalError> {
        let io = |source| JournalError::io("make the log's directory", source);
        if let Ok(dir) = self.log_dir_in(&self.root) {
            return Ok(dir);
        }
        let above = self.disk.root(&self.config.dir).map_err(io)?;
        if !self.disk.lock(&above).map_err(io)? {
            return Err(JournalError::Locked { dir: self.config.dir.clone() });
        }
        self.root = above;
        self.log_dir_in(&self.root).map_err(io)
    }

    /// The log's directory was removed: makes it again, with what it takes to continue the log later. What lay in it is
    /// gone, and the verifier says so.
    fn make_again(&mut self) -> Result<(), JournalError> {
        let root = self.place.root.clone();
        let dir = if root == self.config.dir {
            let dir = self.own_dir()?;
            if self.disk.open(&dir, origin::FILE).is_err() {
                let io = |source| JournalError::io("write the origin again", source);
                let file = self.disk.create(&dir, origin::FILE).map_err(io)?;
                self.disk.write(&file, 0, self.note.as_bytes()).map_err(io)?;
                self.disk.sync(&file).map_err(io)?;
            }
            dir
        } else {
            self.log_dir(&root).map_err(|e| JournalError::io("open the spare directory", e))?
        };
        let (mut keys, held) = match KeyFile::open(&self.disk, &dir) {
            Ok(found) => found,
            Err(_) => (KeyFile::create(&self.disk, &dir, keyfile::FILE)?, Vec::new()),
        };
        let current = &self.recovery.current;
        if held.iter().all(|key| key.public() != current.public()) {
            let next = self.recovery.next.as_ref().map(SecretKey::public);
            keys.store(&self.disk, current, next.as_slice())?;
        }
        let wanted = reserve_len(self.config.reserve);
        let there = Active::<D>::reserve_len(&self.disk, &dir);
        self.place = Place::new(root, dir, keys);
        self.place.reserve = wanted > 0 && there.is_ok_and(|len| len == wanted);
        Ok(())
    }
}

fn loss(class: &'static str, count: u64) -> Body {
    Body::Loss(Loss {
        class: Bytes::from(class),
        ring: Bytes::from("journal"),
        cpu: u16::MAX,
        from: 0,
        to: 0,
        count,
        reason: LossReason::Storage,
    })
}
