//! Finds where a log can go on. Reads the newest segment only and changes nothing: what lies behind the last seal is
//! measured, and the restart record that the opening writes will name it.

use super::chain::Position;
use super::disk::{Disk, ReadAt};
use super::key::{Identity, PublicKey};
use super::keyfile::{self, KeyFile};
use super::segment::{LastSeal, SetAside, leaf_of};
use super::walk::{Event, Unreadable, Walk};
use super::{Abandoned, JournalError};
use crate::model::LogId;

/// Where a log goes on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) at: Position,
    /// Number of the newest segment.
    pub(super) number: u64,
    pub(super) next_stream: u64,
    /// The last commit was a stop.
    pub(super) stopped: bool,
    pub(super) set_aside: SetAside,
    /// The key that alone may restart the chain here.
    pub(super) recovery_key: PublicKey,
}

/// What the newest segment says.
pub(super) enum Outcome {
    Found(Box<Found>),
    Abandon(Abandoned),
}

/// Opens the newest segment of a log, which may lie in the spare directory (the last of `dirs`): what a fault moved there
/// replaces a segment of the same leaf.
fn newest<D: Disk>(disk: &D, dirs: &[&D::Dir]) -> std::io::Result<Option<(u64, D::File)>> {
    let mut best: Option<(u64, &D::Dir, String)> = None;
    for dir in dirs {
        for name in disk.list(dir)? {
            if let Some(leaf) = leaf_of(&name)
                && best.as_ref().is_none_or(|(l, ..)| *l <= leaf)
            {
                best = Some((leaf, dir, name));
            }
        }
    }
    best.map(|(leaf, dir, name)| disk.open(dir, &name).map(|file| (leaf, file))).transpose()
}

/// Finds the last seal that verifies in the newest segment and measures what lies behind it.
pub(super) fn find<D: Disk>(disk: &D, dirs: &[&D::Dir], log: LogId) -> Result<Outcome, JournalError> {
    let io = |source| JournalError::io("read the newest segment", source);
    let damaged = Ok(Outcome::Abandon(Abandoned::Damaged));
    let Some((leaf, file)) = newest(disk, dirs).map_err(io)? else { return damaged };
    // What a killed recorder left in the page cache becomes durable before it is measured.
    disk.sync(&file).map_err(io)?;
    let mut walk = match Walk::open(file).map_err(io)? {
        Ok(walk) => walk,
        Err(Unreadable::Version(version)) => return Err(JournalError::NewerFormat { log, version }),
        Err(Unreadable::Header(_)) => return damaged,
    };
    if walk.header.log != log || walk.first.header.leaf != leaf {
        return damaged;
    }
    while !matches!(walk.step().map_err(io)?, Event::End | Event::Fault(_)) {}
    let readable = walk.state.clone();
    let committed = walk.committed.clone();
    let Some(point) = committed.seal else { return damaged };
    let used = walk.scanner().used_end(point.end).map_err(io)?;
    let len = walk.scanner().len();
    let closed = committed.footer.is_some();
    let right_len = len == walk.header.capacity || (closed && len == point.end);
    let more = walk.seal_behind(point.end, point.seal.no.saturating_add(2)).map_err(io)?;
    if more || !right_len || (closed && used > point.end) {
        return damaged;
    }
    let bytes = used.saturating_sub(point.end);
    let sha256 = walk.scanner().digest(point.end, bytes).map_err(io)?;
    Ok(Outcome::Found(Box::new(Found {
        identity: walk.identity(),
        at: Position {
            leaf: committed.leaf,
            // Records that can be read behind the seal keep their numbers to themselves.
            record: readable.record,
            control: committed.control,
            prev: committed.prev,
            tree: committed.tree,
            next_seal: committed.next_seal,
            last_seal: Some(LastSeal { no: point.seal.no, hash: point.hash }),
        },
        number: walk.first.header.stream_seq,
        next_stream: readable.next_stream,
        stopped: committed.footer.is_some_and(|f| f.stopped == 1),
        set_aside: SetAside { offset: point.end, bytes, sha256 },
        recovery_key: point.seal.recovery_key,
    })))
}

/// The recovery key that the last seal names, from whichever directory has it.
pub(super) fn authority<D: Disk>(
    disk: &D,
    dirs: &[&D::Dir],
    wanted: PublicKey,
) -> Result<Result<super::key::SecretKey, Abandoned>, JournalError>
where
    D::File: ReadAt,
{
    let mut any = false;
    for dir in dirs {
        if !disk.list(dir).is_ok_and(|names| names.iter().any(|n| n == keyfile::FILE)) {
            continue;
        }
        let (_, keys) = KeyFile::open(disk, dir)?;
        any |= !keys.is_empty();
        if let Some(key) = keys.into_iter().find(|k| k.public() == wanted) {
            return Ok(Ok(key));
        }
    }
    Ok(Err(if any { Abandoned::KeyMismatch } else { Abandoned::KeyMissing }))
}
