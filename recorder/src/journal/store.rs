//! Segment files on a disk: begun under a temporary name, zeroed ahead, closed at their exact length.

use std::path::PathBuf;

use super::JournalError;
use super::bytes::wide;
use super::chain::{Position, Sealer};
use super::cipher::Ratchet;
use super::disk::{Disk, ReadAt};
use super::key::{Entropy, PublicKey, SecretKey};
use super::keyfile::KeyFile;
use super::recipients::Encryption;
use super::segment::{SegmentHeader, file_name};
use crate::model::ClockPair;

/// Name of a segment until its first seal is durable.
pub(super) const TEMPORARY: &str = ".seg-new";
/// Name of the emergency reserve: the file of a segment that is to be begun when no other can be made.
pub(super) const RESERVE_FILE: &str = ".seg-reserve";
/// Zeros are really written this far ahead, so that a commit changes no metadata.
const AHEAD: u64 = 4 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A log's directory with its recovery keys.
pub(super) struct Place<D: Disk> {
    /// The directory above it, by path.
    pub(super) root: PathBuf,
    pub(super) dir: D::Dir,
    pub(super) keys: KeyFile<D::File>,
    /// The key of a restart that is durable here, and not yet named by a seal.
    pub(super) restart_key: Option<PublicKey>,
    /// There is an emergency reserve.
    pub(super) reserve: bool,
    /// A segment with this first leaf may have got its name here without being acknowledged.
    pub(super) named: Option<u64>,
}

impl<D: Disk> Place<D> {
    pub(super) fn new(root: PathBuf, dir: D::Dir, keys: KeyFile<D::File>) -> Self {
        Self { root, dir, keys, restart_key: None, reserve: false, named: None }
    }
}

/// Which file a segment is begun in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// A fresh one.
    Fresh,
    /// The emergency reserve.
    Reserve,
}

/// Why a segment was not begun.
#[derive(Debug)]
pub(super) struct NotBegun {
    pub(super) error: JournalError,
    /// It may have its name all the same.
    pub(super) named: bool,
}

impl From<JournalError> for NotBegun {
    fn from(error: JournalError) -> Self {
        Self { error, named: false }
    }
}

impl From<NotBegun> for JournalError {
    fn from(not: NotBegun) -> Self {
        not.error
    }
}

/// The segment that is being written.
pub(super) struct Active<D: Disk> {
    pub(super) file: D::File,
    pub(super) capacity: u64,
    /// End of the last durable seal.
    pub(super) tail: u64,
    /// Encrypts its data frames, where there are recipients. It goes with the segment: its keys are never used twice.
    pub(super) cipher: Option<Ratchet>,
    zeroed: u64,
}

fn zero<D: Disk>(disk: &D, file: &D::File, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let step = to.saturating_sub(at).min(wide(ZEROS.len()));
        disk.write(file, at, ZEROS.get(..super::bytes::narrow(step)).unwrap_or_default())?;
        at = at.saturating_add(step);
    }
    Ok(())
}

impl<D: Disk> Active<D> {
    /// Makes a segment whose first bytes (header and seal) are durable before it gets its name.
    pub(super) fn create(
        disk: &D,
        dir: &D::Dir,
        first_leaf: u64,
        (basis, capacity): (Basis, u64),
        head: &[u8],
    ) -> Result<Self, NotBegun> {
        let (hidden, zeroed) = match basis {
            Basis::Fresh => (TEMPORARY, capacity.min(AHEAD)),
            // Every byte: an earlier attempt may have left its header there.
            Basis::Reserve => (RESERVE_FILE, capacity),
        };
        let make = || {
            let file = match basis {
                Basis::Fresh => {
                    disk.remove(dir, hidden)?;
                    let file = disk.create(dir, hidden)?;
                    disk.reserve(&file, capacity)?;
                    file
                }
                Basis::Reserve => disk.open(dir, hidden)?,
            };
            zero(disk, &file, wide(head.len()), zeroed)?;
            disk.write(&file, 0, head)?;
            disk.sync(&file)?;
            Ok(file)
        };
        let failed =
            |named| move |source| NotBegun { error: JournalError::io("begin a segment", source), named };
        let file = make().map_err(|error| {
            if basis == Basis::Fresh {
                // What it already took would be missing where space is short. It may refuse this too.
                let _ = disk.remove(dir, TEMPORARY);
            }
            failed(false)(error)
        })?;
        disk.rename(dir, hidden, &file_name(first_leaf))
            .and_then(|()| disk.sync_dir(dir))
            .map_err(failed(true))?;
        Ok(Self { file, capacity, tail: wide(head.len()), cipher: None, zeroed })
    }

    /// Length of the emergency reserve in a directory.
    pub(super) fn reserve_len(disk: &D, dir: &D::Dir) -> std::io::Result<u64> {
        disk.open(dir, RESERVE_FILE)?.size()
    }

    /// Makes an emergency reserve, every byte of it written, so that using it takes neither space nor an inode.
    pub(super) fn make_reserve(disk: &D, dir: &D::Dir, len: u64) -> Result<(), JournalError> {
        let make = || {
            disk.remove(dir, TEMPORARY)?;
            let file = disk.create(dir, TEMPORARY)?;
            disk.reserve(&file, len)?;
            zero(disk, &file, 0, len)?;
            disk.sync(&file)?;
            disk.rename(dir, TEMPORARY, RESERVE_FILE)?;
            disk.sync_dir(dir)
        };
        make().map_err(|source| {
            let _ = disk.remove(dir, TEMPORARY);
            JournalError::io("make the emergency reserve", source)
        })
    }

    /// Bytes that are left.
    pub(super) const fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.tail)
    }

    /// Writes a commit behind the last one.
    pub(super) fn write(&mut self, disk: &D, commit: &[u8]) -> Result<(), JournalError> {
        disk.write_durable(&self.file, self.tail, commit)
            .map_err(|source| JournalError::io("write a commit", source))?;
        // A file without a name takes writes for ever, and nobody will find them.
        if !disk.is_named(&self.file).map_err(|source| JournalError::io("look at a segment", source))? {
            let gone = std::io::Error::from(rustix::io::Errno::NOENT);
            return Err(JournalError::io("find the segment's name", gone));
        }
        self.tail = self.tail.saturating_add(wide(commit.len()));
        Ok(())
    }

    /// Keeps the zeros ahead of the commits.
    pub(super) fn zero_ahead(&mut self, disk: &D) -> Result<(), JournalError> {
        if self.zeroed >= self.capacity || self.zeroed.saturating_sub(self.tail) > AHEAD / 2 {
            return Ok(());
        }
        let from = self.zeroed.max(self.tail);
        let to = self.capacity.min(from.saturating_add(AHEAD));
        zero(disk, &self.file, from, to)
            .and_then(|()| disk.sync(&self.file))
            .map_err(|source| JournalError::io("zero a segment ahead", source))?;
        self.zeroed = to;
        Ok(())
    }

    /// Cuts a closed segment to its length.
    pub(super) fn close(&self, disk: &D) -> Result<(), JournalError> {
        disk.truncate(&self.file, self.tail)
            .and_then(|()| disk.sync(&self.file))
            .map_err(|source| JournalError::io("close a segment", source))
    }
}

/// Counters of the segment that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) number: u64,
    pub(super) first_leaf: u64,
    pub(super) first_record: u64,
    pub(super) seals: u64,
    pub(super) since: ClockPair,
}

/// A segment to be begun.
pub(super) struct Begin<'a> {
    pub(super) header: SegmentHeader,
    /// Who will be able to read it.
    pub(super) encryption: &'a Encryption,
    pub(super) number: u64,
    /// Domain label and key, where the header is signed.
    pub(super) signer: Option<(&'a [u8], &'a SecretKey)>,
    /// Key that the first seal names.
    pub(super) recovery: PublicKey,
}

impl Begin<'_> {
    /// Makes header and first seal durable and returns what moved; `at` stays the caller's until then.
    pub(super) fn run<D: Disk>(
        mut self,
        basis: Basis,
        disk: &D,
        entropy: &mut impl Entropy,
        dir: &D::Dir,
        sealer: &mut Sealer,
        at: &Position,
    ) -> Result<(Active<D>, Position, Current), NotBegun> {
        let now = self.header.clock;
        let current = Current {
            number: self.number,
            first_leaf: at.leaf,
            first_record: at.record,
            seals: 1,
            since: now,
        };
        let mut at = at.clone();
        let mut out = Vec::new();
        let room = self.header.capacity;
        let cipher = self.encryption.arm(&mut self.header, at.leaf, entropy)?;
        if basis == Basis::Reserve {
            // What was set aside is as long as it is.
            self.header.capacity = room;
        }
        at.put_segment(&mut out, &self.header, self.number, self.signer);
        sealer.seal(&mut out, &mut at, self.recovery, now, entropy)?;
        let mut active = Active::create(disk, dir, current.first_leaf, (basis, self.header.capacity), &out)?;
        active.cipher = cipher;
        Ok((active, at, current))
    }
}
