//! The directory that documents are put into: a document and its signature beside it, `NAME.toml` and `NAME.toml.sig`.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};
use sha2::{Digest as _, Sha256};

use crate::{
    grant::{MAX_DOCUMENT, MAX_SIGNATURE},
    model::Digest,
};

/// Where what was refused is kept, so that whoever put it there finds it with its reason in the journal.
const REFUSED: &str = "refused";
/// Pairs taken in one round: a directory full of junk must not stop the pump.
const MOST: usize = 64;
/// Every so many looks the files are looked at even if the directory says that none came or went.
const ALL_THE_SAME: u32 = 30;

/// A document with its signature, as they lay there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) document: Vec<u8>,
    pub(super) signature: Vec<u8>,
    path: PathBuf,
}

impl Pair {
    /// A pair that lies in no directory.
    pub(super) fn handed_in(document: Vec<u8>, signature: Vec<u8>) -> Self {
        Self { document, signature, path: PathBuf::new() }
    }
}

/// What tells a file from the same file a moment ago: inode, length, time of change.
type Stamp = (u64, u64, i64, i64);

/// Remembers what was taken from the directory already.
#[derive(Debug)]
pub(super) struct Intake {
    dir: PathBuf,
    /// The directory as it was at the last look, and looks since the files were looked at.
    looked: Option<(Stamp, u32)>,
    /// Both files of each pair as they were at the last look; true if they were taken.
    pairs: HashMap<PathBuf, ([Stamp; 2], bool)>,
    /// SHA-256 over document and signature: the same pair again is no news, a new signature under it is.
    seen: HashSet<Digest>,
}

impl Intake {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), looked: None, pairs: HashMap::new(), seen: HashSet::new() }
    }

    /// A pair that the journal has already.
    pub(super) fn known(&mut self, document: &[u8], signature: &[u8]) {
        self.seen.insert(name(document, signature));
    }

    /// The same by its name.
    pub(super) fn known_by_name(&mut self, name: Digest) {
        self.seen.insert(name);
    }

    /// Pairs that were not seen before, by file name. Both files have to be there and the same at two looks in a row, so
    /// that nothing is read while somebody still writes it.
    pub(super) fn news(&mut self) -> Vec<Pair> {
        let Some(now) = stamp(&self.dir) else { return Vec::new() };
        let waiting = self.pairs.values().any(|(_, taken)| !taken);
        match &mut self.looked {
            Some((then, looks)) if *then == now && !waiting && *looks < ALL_THE_SAME => {
                *looks += 1;
                return Vec::new();
            }
            looked => *looked = Some((now, 0)),
        }
        let mut out = Vec::new();
        let mut before = std::mem::take(&mut self.pairs);
        for path in documents(&self.dir) {
            let (Some(document), Some(signature)) = (stamp(&path), stamp(&signature_of(&path))) else {
                continue;
            };
            let stamps = [document, signature];
            let mut taken = false;
            if let Some((then, was_taken)) = before.remove(&path)
                && then == stamps
            {
                taken = was_taken;
                if !taken && out.len() < MOST {
                    taken = true;
                    out.extend(self.take(&path));
                }
            }
            self.pairs.insert(path, (stamps, taken));
        }
        out
    }

    /// Reads a pair; nothing if it can't be read or is known.
    fn take(&mut self, path: &Path) -> Option<Pair> {
        let document = read(path, MAX_DOCUMENT).ok()?;
        let signature = read(&signature_of(path), MAX_SIGNATURE).ok()?;
        let new = self.seen.insert(name(&document, &signature));
        new.then(|| Pair { document, signature, path: path.to_path_buf() })
    }

    /// Puts a refused pair aside. What can't be moved stays, and is not looked at again.
    pub(super) fn put_aside(&self, pair: &Pair) {
        let aside = self.dir.join(REFUSED);
        let _ = fs::create_dir(&aside);
        for path in [pair.path.clone(), signature_of(&pair.path)] {
            if let Some(file) = path.file_name()
                && let Err(error) = fs::rename(&path, aside.join(file))
            {
                tracing::warn!(path = %path.display(), %error, "a refused document could not be put aside");
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// The documents in a directory, by name.
fn documents(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    paths
}

fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// A plain file of at most `most` bytes; one byte more is read, so that the parser says that it is too long.
fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // A fifo that somebody put there would hold the pump for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What tells a pair from every other.
pub(super) fn name(document: &[u8], signature: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(document));
    hash.update(Sha256::digest(signature));
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the second of two looks brings.
    fn news(intake: &mut Intake) -> Vec<Pair> {
        assert!(intake.news().is_empty());
        intake.news()
    }

    #[test]
    fn a_pair_is_news_once_and_a_document_waits_for_its_signature() {
        let dir = tempfile::tempdir().unwrap();
        let mut intake = Intake::new(dir.path());
        fs::write(dir.path().join("a.toml"), "a").unwrap();
        assert!(news(&mut intake).is_empty());
        fs::write(dir.path().join("a.toml.sig"), "s").unwrap();
        let first = news(&mut intake);
        assert_eq!(first.len(), 1);
        assert!(news(&mut intake).is_empty());
        intake.put_aside(&first[0]);
        assert!(dir.path().join("refused/a.toml.sig").exists());
        intake.known(b"b", b"t");
        fs::write(dir.path().join("b.toml"), "b").unwrap();
        fs::write(dir.path().join("b.toml.sig"), "t").unwrap();
        assert!(news(&mut intake).is_empty());
    }

    #[test]
    fn what_is_still_being_written_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut intake = Intake::new(dir.path());
        fs::write(dir.path().join("a.toml.sig"), "s").unwrap();
        for text in ["h", "ha", "hal", "half"] {
            fs::write(dir.path().join("a.toml"), text).unwrap();
            assert!(intake.news().is_empty());
        }
        let whole = intake.news();
        assert_eq!(whole.first().map(|pair| pair.document.as_slice()), Some(b"half".as_slice()));
    }

    #[test]
    fn a_directory_in_which_nothing_happens_costs_one_look() {
        let dir = tempfile::tempdir().unwrap();
        let mut intake = Intake::new(dir.path());
        fs::write(dir.path().join("a.toml"), "a").unwrap();
        fs::write(dir.path().join("a.toml.sig"), "s").unwrap();
        assert_eq!(news(&mut intake).len(), 1);
        assert!(intake.news().is_empty());
        let (_, looks) = intake.looked.unwrap();
        assert!(intake.news().is_empty());
        assert_eq!(intake.looked.unwrap().1, looks + 1, "the files were not looked at");
    }
}
