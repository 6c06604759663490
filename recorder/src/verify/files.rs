//! Opening what is to be read: no links followed, nothing but regular files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::VerifyError;
use crate::journal::disk::ReadAt;
use crate::journal::origin::{self, Origin};
use crate::journal::retain::shelf::stub_leaf;
use crate::journal::segment::leaf_of;
use crate::model::LogId;

/// A directory that holds one log.
#[derive(Clone, Debug)]
pub(super) struct LogDir {
    pub(super) path: PathBuf,
    /// The id in its name, if it has one.
    pub(super) named: Option<LogId>,
}

/// Opens a regular file for reading.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Opens a regular file that should be in a journal; `None` if a link, a fifo or another thing has its name.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let meta = std::fs::symlink_metadata(path)?;
    if !meta.is_file() {
        return Ok(None);
    }
    open_file(path).map(Some)
}

/// Length of what lies there, links not followed.
pub(super) fn len(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |m| m.len())
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> VerifyError + use<> {
    let path = path.to_owned();
    move |source| VerifyError::Io { path: path.clone(), source }
}

fn names(dir: &Path) -> Result<Vec<String>, VerifyError> {
    let list = std::fs::read_dir(dir).map_err(io_error(dir))?;
    let mut names = Vec::new();
    for entry in list {
        if let Ok(name) = entry.map_err(io_error(dir))?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The logs at `dir`: itself if it is one, else its subdirectories that are.
pub(super) fn logs(dir: &Path) -> Result<Vec<LogDir>, VerifyError> {
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(VerifyError::NotAJournal { path: dir.to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(VerifyError::NotFound { path: dir.to_owned() });
        }
        Err(source) => return Err(VerifyError::Io { path: dir.to_owned(), source }),
    }
    let named = |name: &str| LogId::from_hex(name).filter(|log| log.to_string() == name);
    let names = names(dir)?;
    if names.iter().any(|n| n == origin::FILE || leaf_of(n).is_some()) {
        let own = dir.file_name().and_then(|n| n.to_str()).and_then(named);
        return Ok(vec![LogDir { path: dir.to_owned(), named: own }]);
    }
    let mut logs = Vec::new();
    for name in &names {
        let path = dir.join(name);
        let real_dir = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
        if let Some(log) = named(name).filter(|_| real_dir) {
            logs.push(LogDir { path, named: Some(log) });
        }
    }
    if logs.is_empty() { Err(VerifyError::NotAJournal { path: dir.to_owned() }) } else { Ok(logs) }
}

/// Segment files of a log, by the leaf in their names.
pub(super) fn segments(dirs: &[PathBuf]) -> Result<Vec<(u64, PathBuf)>, VerifyError> {
    let mut found = Vec::new();
    for dir in dirs {
        found.extend(names(dir)?.into_iter().filter_map(|name| Some((leaf_of(&name)?, dir.join(name)))));
    }
    found.sort();
    Ok(found)
}

/// The regular files of a directory, by name.
pub(super) fn regular(dir: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let paths = names(dir)?.into_iter().map(|name| dir.join(name));
    Ok(paths.filter(|path| std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file())).collect())
}

/// A whole file of at most `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, VerifyError> {
    use std::io::Read as _;
    let file = open_file(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => VerifyError::NotFound { path: path.to_owned() },
        _ => VerifyError::Io { path: path.to_owned(), source: e },
    })?;
    let mut raw = Vec::new();
    file.take(crate::journal::wide(most).saturating_add(1)).read_to_end(&mut raw).map_err(io_error(path))?;
    if raw.len() > most {
        let source = io::Error::other(format!("longer than {most} bytes"));
        return Err(VerifyError::Io { path: path.to_owned(), source });
    }
    Ok(raw)
}

/// Stubs of a log, by the leaf in their names.
pub(super) fn stubs(dirs: &[PathBuf]) -> Result<Vec<(u64, PathBuf)>, VerifyError> {
    let mut found = Vec::new();
    for dir in dirs {
        found.extend(names(dir)?.into_iter().filter_map(|name| Some((stub_leaf(&name)?, dir.join(name)))));
    }
    found.sort();
    Ok(found)
}

/// What a file says about an origin.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// There is no such file.
    Missing,
    /// It is no note, or not as it was signed.
    Invalid,
    /// A note whose signature fits.
    Origin(Box<Origin>),
}

/// The origin note of a log. A link or another thing with its name is none.
pub(super) fn note_in(dir: &Path) -> Result<Note, VerifyError> {
    let path = dir.join(origin::FILE);
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if !meta.is_file() => Ok(Note::Invalid),
        _ => note(&path),
    }
}

/// Reads an origin note.
pub(super) fn note(path: &Path) -> Result<Note, VerifyError> {
    let file = match open_file(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Note::Missing),
        Err(source) => return Err(VerifyError::Io { path: path.to_owned(), source }),
    };
    let mut raw = vec![0u8; origin::MAX_LEN + 1];
    let mut have = 0usize;
    loop {
        let at = crate::journal::wide(have);
        match file.read_at(at, raw.get_mut(have..).unwrap_or_default()).map_err(io_error(path))? {
            0 => break,
            n => have = have.saturating_add(n),
        }
    }
    let origin = raw.get(..have).and_then(Origin::parse);
    Ok(origin.map_or(Note::Invalid, |o| Note::Origin(Box::new(o))))
}
