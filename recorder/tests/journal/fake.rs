//! A disk in memory that freezes at any operation and keeps of the unsynced sectors whatever it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use recorder::journal::Disk;
use recorder::journal::disk::ReadAt;

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// What a reader of the living system sees.
    seen: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    operations: usize,
    /// Operations before the part that is looked at.
    from: usize,
    freeze_at: Option<usize>,
    fail_at: Option<usize>,
}

/// The disk; clones share one world.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<World>>);

/// An open file.
pub(crate) struct FakeFile(Arc<Mutex<World>>, usize);

impl ReadAt for FakeFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let world = self.0.lock().unwrap();
        let seen = &world.inodes[self.1].seen;
        let from = (offset as usize).min(seen.len());
        let n = out.len().min(seen.len() - from);
        out[..n].copy_from_slice(&seen[from..from + n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().inodes[self.1].seen.len() as u64)
    }
}

impl World {
    /// Counts an operation that changes the disk; fails from the frozen one on, or at the one that is to fail.
    fn tick(&mut self) -> io::Result<()> {
        let n = self.operations;
        self.operations += 1;
        if self.freeze_at.is_some_and(|at| n >= at) {
            return Err(io::Error::from_raw_os_error(5));
        }
        if self.fail_at == Some(n) {
            self.fail_at = None;
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn put(&mut self, no: usize, offset: u64, data: &[u8]) {
        let inode = &mut self.inodes[no];
        let (from, to) = (offset as usize, offset as usize + data.len());
        if inode.seen.len() < to {
            inode.seen.resize(to, 0);
        }
        inode.seen[from..to].copy_from_slice(data);
        inode.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    fn sync(&mut self, no: usize) {
        let inode = &mut self.inodes[no];
        inode.durable = inode.seen.clone();
        inode.dirty.clear();
    }
}

impl FakeDisk {
    pub(crate) fn freeze_at(&self, operation: usize) {
        self.0.lock().unwrap().freeze_at = Some(operation);
    }

    pub(crate) fn fail_at(&self, operation: usize) {
        self.0.lock().unwrap().fail_at = Some(operation);
    }

    /// What matters begins here.
    pub(crate) fn started(&self) {
        let mut world = self.0.lock().unwrap();
        world.from = world.operations;
    }

    /// Operations before what matters.
    pub(crate) fn from(&self) -> usize {
        self.0.lock().unwrap().from
    }

    pub(crate) fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// Writes what a power cut leaves to a real directory. `keep` decides for each unsynced sector, `names` whether
    /// unsynced names made it.
    pub(crate) fn after_power_cut(&self, to: &Path, names: bool, mut keep: impl FnMut(usize) -> bool) {
        let world = self.0.lock().unwrap();
        let list = if names { &world.names } else { &world.durable_names };
        let mut left: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for (path, no) in list {
            let inode = &world.inodes[*no];
            let bytes = left.entry(*no).or_insert_with(|| {
                let mut bytes = inode.durable.clone();
                for sector in &inode.dirty {
                    let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(inode.seen.len()));
                    if from < to && keep(*sector) {
                        if bytes.len() < to {
                            bytes.resize(to, 0);
                        }
                        bytes[from..to].copy_from_slice(&inode.seen[from..to]);
                    }
                }
                bytes
            });
            let target = to.join(path.strip_prefix("/").unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, bytes).unwrap();
        }
    }
}

impl Disk for FakeDisk {
    type Dir = PathBuf;
    type File = FakeFile;

    fn root(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn subdir(&self, dir: &PathBuf, name: &str, _make: bool) -> io::Result<PathBuf> {
        Ok(dir.join(name))
    }

    fn lock(&self, _dir: &PathBuf) -> io::Result<bool> {
        Ok(true)
    }

    fn list(&self, dir: &PathBuf) -> io::Result<Vec<String>> {
        let world = self.0.lock().unwrap();
        let under = world.names.keys().filter_map(|p| p.strip_prefix(dir).ok());
        let mut names: Vec<String> =
            under.filter_map(|p| Some(p.components().next()?.as_os_str().to_str()?.to_owned())).collect();
        names.dedup();
        Ok(names)
    }

    fn open(&self, dir: &PathBuf, name: &str) -> io::Result<FakeFile> {
        let no = self.0.lock().unwrap().names.get(&dir.join(name)).copied();
        no.map(|no| FakeFile(Arc::clone(&self.0), no)).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, dir: &PathBuf, name: &str) -> io::Result<FakeFile> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.inodes.push(Inode::default());
        let no = world.inodes.len() - 1;
        world.names.insert(dir.join(name), no);
        Ok(FakeFile(Arc::clone(&self.0), no))
    }

    fn remove(&self, dir: &PathBuf, name: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.names.remove(&dir.join(name));
        Ok(())
    }

    fn rename(&self, dir: &PathBuf, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        let (from, to) = (dir.join(from), dir.join(to));
        let moved: Vec<PathBuf> = world.names.keys().filter(|p| p.starts_with(&from)).cloned().collect();
        for old in moved {
            let no = world.names.remove(&old).unwrap();
            let rest = old.strip_prefix(&from).unwrap();
            let new = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
            world.names.insert(new, no);
        }
        Ok(())
    }

    fn sync_dir(&self, _dir: &PathBuf) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn reserve(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        self.truncate(file, len)
    }

    fn truncate(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        let inode = &mut world.inodes[file.1];
        inode.seen.resize(len as usize, 0);
        Ok(())
    }

    fn write(&self, file: &FakeFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        // A write that is frozen or fails may still have reached the cache.
        let ticked = world.tick();
        world.put(file.1, offset, data);
        ticked
    }

    fn write_durable(&self, file: &FakeFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        let ticked = world.tick();
        world.put(file.1, offset, data);
        ticked?;
        let inode = &mut world.inodes[file.1];
        let (from, to) = (offset as usize, offset as usize + data.len());
        if inode.durable.len() < to {
            inode.durable.resize(to, 0);
        }
        inode.durable[from..to].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self, file: &FakeFile) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.sync(file.1);
        Ok(())
    }
}
