//! Reads the leaves of a log back, as a reader: what a consistency proof is made of. What comes out is held against the
//! head that the writer gave, so nothing wrong on the disk becomes a proof.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::checkpoint::Head;
use super::frame::FrameType;
use super::proof::Prover;
use super::scan::{Scanner, Step};
use super::segment::{SegmentHeader, leaf_of};
use super::tree::Frontier;
use crate::model::Digest;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The disk refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The size is 0 or beyond the head.
    #[error("there is no proof from {old} to {new} leaves")]
    Sizes {
        /// From.
        old: u64,
        /// To.
        new: u64,
    },
    /// The segments are not there, or hold something else than the head says.
    #[error("the segments on the disk do not give the tree of {new} leaves from {old} on")]
    Leaves {
        /// From.
        old: u64,
        /// To.
        new: u64,
    },
}

/// The proof that `head` continues the tree of `old` leaves. `dirs` are the log's directories; where two of them hold the same
/// segment the later one counts, so the spare directory comes last.
pub fn prove(dirs: &[PathBuf], old: u64, head: Head) -> Result<Vec<Digest>, ProveError> {
    let sizes = ProveError::Sizes { old, new: head.size };
    let mut prover = Prover::new(old, head.size).ok_or(sizes)?;
    if old == head.size {
        return Ok(Vec::new());
    }
    let missing = || ProveError::Leaves { old, new: head.size };
    let segments = segments(dirs)?;
    // The last segment that begins at or before the old size: its header has the tree in front of it.
    let from = segments.partition_point(|(leaf, _)| *leaf <= old).saturating_sub(1);
    let mut tree: Option<Frontier> = None;
    let mut at_old: Option<Frontier> = None;
    let mut rest = segments.get(from..).unwrap_or_default().iter().peekable();
    while let Some((first, path)) = rest.next() {
        let until = rest.peek().map_or(head.size, |(next, _)| (*next).min(head.size));
        let edge = match tree.take() {
            Some(edge) if edge.size() == *first => Some(edge),
            Some(_) => return Err(missing()),
            None => None,
        };
        let mut each = |edge: &Frontier, index, hash| {
            if edge.size() == old {
                at_old = Some(edge.clone());
            }
            if index >= old {
                prover.leaf(index, hash);
            }
        };
        tree = Some(read(path, *first, edge, until, &mut each).and_then(|edge| edge.ok_or_else(missing))?);
        if until == head.size {
            break;
        }
    }
    let ours = tree.is_some_and(|tree| tree.size() == head.size && tree.root() == head.root);
    at_old.filter(|_| ours).and_then(|edge| prover.finish(&edge)).ok_or_else(missing)
}

/// Takes the leaves of one file up to `until`; `None` if it doesn't hold them.
fn read(
    path: &Path,
    first: u64,
    edge: Option<Frontier>,
    until: u64,
    each: &mut dyn FnMut(&Frontier, u64, Digest),
) -> Result<Option<Frontier>, ProveError> {
    let io = |source| ProveError::Io { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| io(errno.into()))?;
    let mut scanner = Scanner::new(File::from(file), 0).map_err(io)?;
    let mut tree = edge;
    while tree.as_ref().is_none_or(|tree| tree.size() < until) {
        let Step::Frame(found) = scanner.step().map_err(io)? else { return Ok(None) };
        if found.header.kind == FrameType::SEAL {
            continue;
        }
        if tree.is_none() {
            let header = SegmentHeader::parse(scanner.body()).ok().map(|(header, _)| header);
            tree = header.and_then(|header| Frontier::resume(first, header.peaks));
        }
        let Some(tree) = tree.as_mut().filter(|tree| tree.size() == found.header.leaf) else {
            return Ok(None);
        };
        each(tree, found.header.leaf, found.hash);
        tree.push(found.hash);
    }
    Ok(tree)
}

/// The log's segments by their first leaf.
fn segments(dirs: &[PathBuf]) -> Result<Vec<(u64, PathBuf)>, ProveError> {
    let mut found = std::collections::BTreeMap::new();
    for dir in dirs {
        let io = |source| ProveError::Io { path: dir.clone(), source };
        let list = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            list => list.map_err(io)?,
        };
        for entry in list {
            let name = entry.map_err(io)?.file_name();
            if let Some(leaf) = name.to_str().and_then(leaf_of) {
                found.insert(leaf, dir.join(name));
            }
        }
    }
    Ok(found.into_iter().collect())
}
