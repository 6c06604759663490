//! Files of retention: where stubs, permits and holds lie, and the order in which a segment gives way to its stub.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::super::bytes::wide;
use super::super::disk::Disk;
use super::super::segment;
use super::hold::{self, Hold, HoldDocument};
use super::permit;
use super::text::{DocumentFault, MAX_DOCUMENT};
use crate::model::Digest;

/// Longest signature file in bytes.
pub const MAX_SIGNATURE: usize = 64 << 10;
/// Most documents in a directory of holds.
const MAX_HOLDS: usize = 10_000;

/// File name of the stub of the segment that begins with that leaf.
pub fn stub_name(first_leaf: u64) -> String {
    format!("seg-{first_leaf:016x}.stub")
}

/// The first leaf in a stub's file name.
pub fn stub_leaf(name: &str) -> Option<u64> {
    let hex = name.strip_prefix("seg-")?.strip_suffix(".stub")?;
    let leaf = u64::from_str_radix(hex, 16).ok()?;
    (stub_name(leaf) == name).then_some(leaf)
}

/// A file appears whole and durable under its name, or not at all.
fn put<D: Disk>(disk: &D, dir: &D::Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.new");
    disk.remove(dir, &temporary)?;
    let file = disk.create(dir, &temporary)?;
    disk.write(&file, 0, bytes)?;
    disk.sync(&file)?;
    disk.rename(dir, &temporary, name)?;
    disk.sync_dir(dir)
}

/// Keeps a permit and its signature beside the log: durable before anything goes by it.
pub fn keep_permit<D: Disk>(
    disk: &D,
    dir: &D::Dir,
    id: Digest,
    document: &[u8],
    signature: &[u8],
) -> io::Result<()> {
    let name = permit::file_name(id);
    put(disk, dir, &format!("{name}.sig"), signature)?;
    put(disk, dir, &name, document)
}

/// Puts a segment's stub into its place; its tombstone has to be sealed and durable before. Each step leaves a journal that
/// verifies, and all of them can be done again.
pub fn replace<D: Disk>(disk: &D, dir: &D::Dir, first_leaf: u64, stub: &[u8]) -> io::Result<()> {
    put(disk, dir, &stub_name(first_leaf), stub)?;
    disk.remove(dir, &segment::file_name(first_leaf))?;
    disk.sync_dir(dir)
}

/// Opens a regular file for reading, no link followed.
pub fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Reads a file of at most `most` bytes; one byte more is read, so that whoever has the limit sees that it was passed.
pub fn read_file(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(wide(most).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Segments of a log by their first leaf, over the directories that it lies in.
pub fn segments(dirs: &[PathBuf]) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for dir in dirs {
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            if let Some(leaf) = name.to_str().and_then(segment::leaf_of) {
                found.push((leaf, dir.join(name)));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// First leaves of all that lies in a log, segments and stubs, rising.
pub fn leaves(dirs: &[PathBuf]) -> io::Result<Vec<u64>> {
    let mut found: Vec<u64> = segments(dirs)?.into_iter().map(|(leaf, _)| leaf).collect();
    for dir in dirs {
        for entry in std::fs::read_dir(dir)? {
            found.extend(entry?.file_name().to_str().and_then(stub_leaf));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The holds in force among filed documents; a release counts if `good` says so of its signature.
pub fn in_force(filed: Vec<Filed>, good: impl Fn(&Filed) -> bool) -> Vec<Hold> {
    let counts = |f: &Filed| matches!(f.document, HoldDocument::Hold(_)) || good(f);
    hold::in_force(filed.into_iter().filter(counts).map(|f| f.document))
}

/// A document of a directory of holds, with what lies beside it as its signature.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub document: HoldDocument,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its signature; empty if there is none.
    pub signature: Vec<u8>,
}

/// Why holds can't be told. Whoever can't tell deletes nothing.
#[derive(Debug, thiserror::Error)]
pub enum HoldsFault {
    /// The disk refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// A file that is neither hold nor release.
    #[error("{path} is neither a hold nor a release: {fault}", path = path.display())]
    Document {
        /// Where.
        path: PathBuf,
        /// Why.
        fault: DocumentFault,
    },
    /// More than anybody keeps.
    #[error("{path} holds more than {MAX_HOLDS} documents", path = path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
    },
}

/// Reads all `*.toml` of a directory; a directory that is not there holds nothing.
pub fn holds(dir: &Path) -> Result<Vec<Filed>, HoldsFault> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| HoldsFault::Io { path, source }
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(dir)(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.len() > MAX_HOLDS {
        return Err(HoldsFault::TooMany { path: dir.to_owned() });
    }
    paths.sort();
    let mut list = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read_file(&path, MAX_DOCUMENT).map_err(io(&path))?;
        let document = HoldDocument::parse(&bytes)
            .map_err(|fault| HoldsFault::Document { path: path.clone(), fault })?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".sig");
        let signature = match read_file(Path::new(&beside), MAX_SIGNATURE) {
            Ok(signature) => signature,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(io(Path::new(&beside))(e)),
        };
        list.push(Filed { path, document, bytes, signature });
    }
    Ok(list)
}
