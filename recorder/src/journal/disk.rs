//! The disk as an argument: what the writer and the recovery need from a file system, and the real one.
//!
//! Everything is opened beneath a directory descriptor without following links. Writes are positioned.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Reads into `out` from `offset`; 0 at the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Where bytes that may be other than zero begin, at or behind `offset`; `None`: nowhere. Spares reading holes.
    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }
}

/// A file system. All names are single components.
pub trait Disk {
    /// An open directory.
    type Dir;
    /// An open file.
    type File: ReadAt;

    /// Opens a directory by path; makes it (0700) where it is missing.
    fn root(&self, path: &Path) -> io::Result<Self::Dir>;
    /// Opens a directory beneath another, making it if asked to.
    fn subdir(&self, dir: &Self::Dir, name: &str, make: bool) -> io::Result<Self::Dir>;
    /// Takes an exclusive lock that lives as long as `dir`; false if somebody else has it.
    fn lock(&self, dir: &Self::Dir) -> io::Result<bool>;
    /// Names in a directory.
    fn list(&self, dir: &Self::Dir) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing.
    fn open(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File>;
    /// Makes a fresh file (0600); one of that name must not exist.
    fn create(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File>;
    /// Removes a file; a missing one is no error.
    fn remove(&self, dir: &Self::Dir, name: &str) -> io::Result<()>;
    /// Renames a file or directory, replacing a file.
    fn rename(&self, dir: &Self::Dir, from: &str, to: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()>;
    /// Sets the length and reserves the blocks.
    fn reserve(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Sets the length.
    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Writes, without waiting for the device.
    fn write(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Writes and returns when the bytes are durable.
    fn write_durable(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes all bytes and the length durable.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// False if the file's last name is gone: nobody will find what is written to it.
    fn is_named(&self, file: &Self::File) -> io::Result<bool>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl ReadAt for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, out, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|m| m.len())
    }

    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        match fs::seek(self, fs::SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at.max(offset))),
            // Behind the last data.
            Err(Errno::NXIO) => Ok(None),
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => Ok(Some(offset)),
            Err(e) => Err(e.into()),
        }
    }
}

/// An open directory of the real file system.
#[derive(Debug)]
pub struct RealDir(OwnedFd);

impl AsFd for RealDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for RealDir {
    /// Gives a lock back by name: a child between its fork and its exec has the descriptor too, and the lock would wait for it.
    fn drop(&mut self) {
        let _ = fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl Disk for RealDisk {
    type Dir = RealDir;
    type File = File;

    fn root(&self, path: &Path) -> io::Result<RealDir> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(RealDir(fs::open(path, DIR | OFlags::RDONLY, Mode::empty())?))
    }

    fn subdir(&self, dir: &RealDir, name: &str, make: bool) -> io::Result<RealDir> {
        if make {
            match fs::mkdirat(dir, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(RealDir(fs::openat(dir, name, DIR | OFlags::RDONLY, Mode::empty())?))
    }

    fn lock(&self, dir: &RealDir) -> io::Result<bool> {
        match fs::flock(dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn list(&self, dir: &RealDir) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(dir)? {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, dir: &RealDir, name: &str) -> io::Result<File> {
        Ok(File::from(fs::openat(dir, name, FILE, Mode::empty())?))
    }

    fn create(&self, dir: &RealDir, name: &str) -> io::Result<File> {
        let flags = FILE | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    fn remove(&self, dir: &RealDir, name: &str) -> io::Result<()> {
        match fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn rename(&self, dir: &RealDir, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(dir, from, dir, to)?)
    }

    fn sync_dir(&self, dir: &RealDir) -> io::Result<()> {
        Ok(fs::fsync(dir)?)
    }

    fn reserve(&self, file: &File, len: u64) -> io::Result<()> {
        match fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // A file system without preallocation: the length alone has to do.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
            Err(e) => Err(e.into()),
        }
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn write(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        file.write_all_at(data, offset)
    }

    fn write_durable(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        let durable = |rest: &[u8], at| {
            rustix::io::pwritev2(file.as_fd(), &[io::IoSlice::new(rest)], at, ReadWriteFlags::DSYNC)
        };
        match fully(data, offset, durable) {
            // All of it again: what was written before the refusal may not be durable.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                file.write_all_at(data, offset)?;
                file.sync_data()
            }
            other => Ok(other?),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn is_named(&self, file: &File) -> io::Result<bool> {
        Ok(fs::fstat(file)?.st_nlink > 0)
    }
}

/// Writes on where a short write stopped; what was not written to the end is an error.
fn fully(
    data: &[u8],
    offset: u64,
    mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let (mut rest, mut at) = (data, offset);
    while !rest.is_empty() {
        match write(rest, at) {
            // A device that takes nothing and names no error.
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                rest = rest.get(n..).unwrap_or_default();
                at = at.saturating_add(super::bytes::wide(n));
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let first = RealDisk.root(dir.path()).unwrap();
        let second = RealDisk.root(dir.path()).unwrap();
        assert!(RealDisk.lock(&first).unwrap());
        assert!(!RealDisk.lock(&second).unwrap());
        // What a fork does.
        let inherited = rustix::io::dup(&first).unwrap();
        drop(first);
        assert!(RealDisk.lock(&second).unwrap());
        drop(inherited);
    }

    #[test]
    fn f3_a_short_write_is_continued_where_it_stopped() {
        let mut got = vec![0u8; 10];
        let mut steps = [Ok(3), Err(Errno::INTR), Ok(1), Ok(6)].into_iter();
        let write = |rest: &[u8], at: u64| {
            let step = steps.next().unwrap();
            if let Ok(n) = step {
                let at = usize::try_from(at).unwrap() - 100;
                got[at..at + n].copy_from_slice(&rest[..n]);
            }
            step
        };
        assert_eq!(fully(b"0123456789", 100, write), Ok(()));
        assert_eq!(got, b"0123456789");
        assert_eq!(steps.next(), None);
    }

    #[test]
    fn f3_what_stops_in_the_middle_is_never_taken_for_written() {
        for last in [Ok(0), Err(Errno::NOSPC)] {
            let mut steps = [Ok(4), last].into_iter();
            assert!(fully(b"0123456789", 0, |_, _| steps.next().unwrap()).is_err());
        }
    }
}
