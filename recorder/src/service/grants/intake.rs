//! The directory that documents are put into: a document and its signature beside it, `NAME.toml` and `NAME.toml.sig`.

use std::{
    collections::HashSet,
    fs, io,
    io::Read,
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
/// Pairs looked at in one round: a directory full of junk must not stop the pump.
const MOST: usize = 64;

/// A document with its signature, as they lay there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) document: Vec<u8>,
    pub(super) signature: Vec<u8>,
    path: PathBuf,
}

/// Remembers what was taken from the directory already.
#[derive(Debug)]
pub(super) struct Intake {
    dir: PathBuf,
    /// SHA-256 over document and signature: the same pair again is no news, a new signature under it is.
    seen: HashSet<Digest>,
}

impl Intake {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), seen: HashSet::new() }
    }

    /// A pair that the journal has already.
    pub(super) fn known(&mut self, document: &[u8], signature: &[u8]) {
        self.seen.insert(name(document, signature));
    }

    /// Pairs that were not seen before, by file name. A document without its signature is not there yet.
    pub(super) fn news(&mut self) -> Vec<Pair> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .collect();
        paths.sort();
        let mut out = Vec::new();
        for path in paths {
            let (Ok(document), Ok(signature)) =
                (read(&path, MAX_DOCUMENT), read(&signature_of(&path), MAX_SIGNATURE))
            else {
                continue;
            };
            if self.seen.insert(name(&document, &signature)) {
                out.push(Pair { document, signature, path });
            }
            if out.len() >= MOST {
                break;
            }
        }
        out
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

fn name(document: &[u8], signature: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(document));
    hash.update(Sha256::digest(signature));
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_news_once_and_a_document_waits_for_its_signature() {
        let dir = tempfile::tempdir().unwrap();
        let mut intake = Intake::new(dir.path());
        fs::write(dir.path().join("a.toml"), "a").unwrap();
        assert!(intake.news().is_empty());
        fs::write(dir.path().join("a.toml.sig"), "s").unwrap();
        let news = intake.news();
        assert_eq!(news.len(), 1);
        assert!(intake.news().is_empty());
        intake.put_aside(&news[0]);
        assert!(dir.path().join("refused/a.toml.sig").exists());
        intake.known(b"b", b"t");
        fs::write(dir.path().join("b.toml"), "b").unwrap();
        fs::write(dir.path().join("b.toml.sig"), "t").unwrap();
        assert!(intake.news().is_empty());
    }
}
