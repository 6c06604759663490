//! The files of this host, read no faster than is allowed.

use std::{
    io::ErrorKind,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::FileType;

use crate::{
    content::{Entry, Files, Kind, Stat, Way},
    model::{Bytes, Found, RealNanos, TaskId, Why},
    sys::{clock, files, process},
};

/// A file, and the same for reading once it is read.
pub(super) struct Open {
    file: OwnedFd,
    reader: Option<OwnedFd>,
}

/// Reads at most so many bytes in a second; ends early when asked to.
pub(super) struct HostFiles {
    rate: u64,
    left: u64,
    at: Instant,
    end: Arc<AtomicBool>,
    /// Nothing is waited for: what a session left is to be read before its end.
    pub(super) hurry: bool,
}

impl HostFiles {
    pub(super) fn new(rate: u64, end: Arc<AtomicBool>) -> Self {
        Self { rate, left: rate, at: Instant::now(), end, hurry: false }
    }

    /// Waits until so many bytes may be read.
    fn pay(&mut self, bytes: usize) -> Result<(), Why> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(self.rate);
        while !self.hurry && self.left < bytes {
            let gone = self.at.elapsed();
            let more = gone.as_nanos().saturating_mul(u128::from(self.rate)) / 1_000_000_000;
            self.left = self.left.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(self.rate);
            self.at = Instant::now();
            if self.left < bytes {
                std::thread::sleep(Duration::from_millis(5));
            }
            if self.end.load(Ordering::Relaxed) {
                return Err(Why::Late);
            }
        }
        self.left = self.left.saturating_sub(bytes);
        Ok(())
    }
}

/// The first process's root is the host's: this service may have a mount namespace of its own.
fn host_root() -> std::io::Result<OwnedFd> {
    files::root("/proc/1/root").or_else(|_| files::root("/"))
}

/// What a directory's entry says, without the file being opened.
fn found(of: &std::fs::Metadata) -> Found {
    let time = |seconds, nanos: i64| files::time(seconds, u64::try_from(nanos).unwrap_or(0));
    Found {
        size: of.size(),
        mode: of.mode(),
        uid: of.uid(),
        gid: of.gid(),
        mtime: time(of.mtime(), of.mtime_nsec()),
        ctime: time(of.ctime(), of.ctime_nsec()),
        caps: 0,
        sha256: None,
    }
}

fn why(error: &std::io::Error) -> Why {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Why::Gone,
        _ => Why::Unreadable,
    }
}

/// The root of a process that has another one than the host's, or another mount namespace.
fn own_root(task: TaskId) -> Option<OwnedFd> {
    if task.pid == 0 || !process::is_alive(task) {
        return None;
    }
    let own = files::root(&format!("/proc/{}/root", task.pid)).ok()?;
    let (a, b) = (files::stat(&own).ok()?, files::stat(host_root().ok()?).ok()?);
    let same_root = (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    (!same_root || process::namespace(task.pid, "mnt") != process::namespace(1, "mnt")).then_some(own)
}

impl Files for HostFiles {
    type Open = Open;

    fn open(&mut self, path: &Bytes, task: TaskId, way: Way) -> Result<Open, Why> {
        let file = match way {
            Way::Image if !process::is_alive(task) => return Err(Why::Gone),
            Way::Image => files::image(task.pid),
            Way::Process => files::at(own_root(task).ok_or(Why::Gone)?, path.as_slice()),
            Way::Host => host_root().and_then(|root| files::at(root, path.as_slice())),
        };
        file.map(|file| Open { file, reader: None }).map_err(|error| why(&error))
    }

    fn stat(&mut self, open: &Open) -> Result<Stat, Why> {
        let stat = files::stat(&open.file).map_err(|error| why(&error))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink if files::is_made_up(&open.file) => Kind::Other,
            FileType::Symlink => {
                Kind::Link(Bytes::from(files::target(&open.file).map_err(|error| why(&error))?))
            }
            FileType::Directory => Kind::Directory,
            FileType::RegularFile if files::is_stored(&open.file, &stat) => Kind::Regular,
            _ => Kind::Other,
        };
        let caps = kind == Kind::Regular && files::gives_capabilities(&open.file);
        let nanos = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Stat {
            kind,
            dev: files::device(stat.st_dev),
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: files::time(stat.st_mtime, nanos(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))),
            ctime: files::time(stat.st_ctime, nanos(i64::try_from(stat.st_ctime_nsec).unwrap_or(0))),
            caps,
        })
    }

    fn read(&mut self, open: &mut Open, at: u64, into: &mut [u8]) -> Result<usize, Why> {
        let reader = match &mut open.reader {
            Some(reader) => reader,
            none => none.insert(files::reopened(&open.file).map_err(|_| Why::Unreadable)?),
        };
        let len = files::read_at(reader, at, into).map_err(|_| Why::Unreadable)?;
        self.pay(len)?;
        Ok(len)
    }

    fn list(&mut self, path: &Bytes, most: usize) -> Vec<Entry> {
        let Ok(dir) = host_root().and_then(|root| files::at(root, path.as_slice())) else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(format!("/proc/thread-self/fd/{}", dir.as_raw_fd())) else {
            return Vec::new();
        };
        let entries = entries.filter_map(Result::ok).take(most).filter_map(|entry| {
            let kind = entry.file_type().ok()?;
            let mut full = path.as_slice().strip_suffix(b"/").unwrap_or(path.as_slice()).to_vec();
            full.push(b'/');
            full.extend_from_slice(entry.file_name().as_bytes());
            let path = Bytes::from(full);
            if kind.is_dir() {
                return Some(Entry { path, found: None });
            }
            let wanted = kind.is_file() || kind.is_symlink();
            wanted.then_some(())?;
            Some(Entry { path, found: Some(found(&entry.metadata().ok()?)) })
        });
        entries.collect()
    }

    fn now(&mut self) -> RealNanos {
        clock::pair().real
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_to_the_descriptors_of_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let kept = std::fs::File::create(dir.path().join("kept")).unwrap();
        std::os::unix::fs::symlink("/proc/self/fd", dir.path().join("own")).unwrap();
        std::os::unix::fs::symlink("own", dir.path().join("again")).unwrap();
        let mut files = HostFiles::new(1 << 20, Arc::default());
        let mut kind = |path: &str| {
            let path = Bytes::from(format!("{}/{path}", dir.path().display()).as_str());
            let open = files.open(&path, TaskId::default(), Way::Host).ok()?;
            Some(files.stat(&open).unwrap().kind)
        };
        let no = kept.as_raw_fd();
        for path in
            [format!("own/{no}"), format!("again/{no}"), format!("own/../{no}"), "own/../exe".to_owned()]
        {
            assert!(matches!(kind(&path), None | Some(Kind::Other)), "{path}: {:?}", kind(&path));
        }
        assert_eq!(kind("kept"), Some(Kind::Regular));
        assert_eq!(kind("again"), Some(Kind::Link(Bytes::from("own"))));
    }
}
