//! One file read to its end, the same before and after.

use sha2::{Digest as _, Sha256};

use super::words::{Files, Kind, Stat};
use crate::model::{Digest, Why};

const CHUNK: usize = 128 * 1024;
/// Then it is said that the file changes.
const TRIES: usize = 3;

/// A file that held still while it was read.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) stat: Stat,
    pub(super) sha256: Digest,
    /// Its bytes, if there are no more than were asked for.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Reads a regular file of at most `most` bytes and keeps up to `keep` of them. The error comes with the newest description.
pub(super) fn read<F: Files>(
    files: &mut F,
    open: &mut F::Open,
    first: Stat,
    most: u64,
    keep: usize,
) -> Result<Whole, (Stat, Why)> {
    let mut stat = first;
    for _ in 0..TRIES {
        if stat.size > most {
            return Err((stat, Why::TooLarge));
        }
        let got = once(files, open, &stat, most, keep).map_err(|why| (stat.clone(), why))?;
        let after = files.stat(open).map_err(|why| (stat.clone(), why))?;
        match got {
            Some((sha256, bytes)) if is_same(&stat, &after) => {
                return Ok(Whole { stat: after, sha256, bytes });
            }
            _ => stat = after,
        }
    }
    Err((stat, Why::Changing))
}

fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.dev, a.ino, a.size, a.mtime, a.ctime) == (b.dev, b.ino, b.size, b.mtime, b.ctime)
        && b.kind == Kind::Regular
}

/// A digest, and the bytes if they are kept.
type Read = (Digest, Option<Vec<u8>>);

/// `None`: not as long as it was said to be.
fn once<F: Files>(
    files: &mut F,
    open: &mut F::Open,
    stat: &Stat,
    most: u64,
    keep: usize,
) -> Result<Option<Read>, Why> {
    let mut hash = Sha256::new();
    let keeps = usize::try_from(stat.size).is_ok_and(|size| size <= keep);
    let (mut bytes, mut at) = (Vec::new(), 0u64);
    let mut chunk = vec![0u8; CHUNK];
    loop {
        let len = files.read(open, at, &mut chunk)?;
        let Some(part) = chunk.get(..len).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        at = at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if at > most || at > stat.size {
            return Ok(None);
        }
        if keeps {
            bytes.extend_from_slice(part);
        }
    }
    Ok((at == stat.size).then(|| (Digest::new(hash.finalize().into()), keeps.then_some(bytes))))
}
