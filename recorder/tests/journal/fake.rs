//! A disk in memory that freezes at any operation and keeps of the unsynced sectors whatever it likes; that fails as it is
//! told, fills up, becomes read-only, and loses its directories.

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

/// Operations that fail.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// The first, by number.
    pub(crate) from: usize,
    /// How many.
    pub(crate) count: usize,
    pub(crate) errno: i32,
    /// Of a failing write so many percent reach the cache.
    pub(crate) percent: usize,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;
pub(crate) const EDQUOT: i32 = 122;

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
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
    fault: Option<Fault>,
    /// Bytes and files that it takes.
    space: Option<usize>,
    files: Option<usize>,
    is_read_only: bool,
    /// Directories that were removed, in order.
    removed: Vec<PathBuf>,
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
            return Err(os(EIO));
        }
        if self.is_read_only {
            return Err(os(EROFS));
        }
        match self.fault {
            Some(fault) if (fault.from..fault.from + fault.count).contains(&n) => Err(os(fault.errno)),
            _ => Ok(()),
        }
    }

    fn used(&self) -> usize {
        let files: BTreeSet<usize> = self.names.values().copied().collect();
        files.into_iter().map(|no| self.inodes[no].seen.len()).sum()
    }

    fn room_for(&self, more: usize) -> io::Result<()> {
        if self.space.is_some_and(|space| self.used() + more > space) { Err(os(ENOSPC)) } else { Ok(()) }
    }

    /// A write as far as it got.
    fn part<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        let percent = if self.is_read_only { 0 } else { self.fault.map_or(100, |fault| fault.percent) };
        &data[..data.len() * percent / 100]
    }

    fn is_there(&self, dir: &FakeDir) -> io::Result<()> {
        let gone = self.removed[dir.born..].iter().any(|removed| dir.path.starts_with(removed));
        if gone { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
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
        self.fail(Fault { from: operation, count: 1, errno: EIO, percent: 100 });
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.0.lock().unwrap().fault = Some(fault);
    }

    /// Nothing fails any more, and there is room.
    pub(crate) fn mend(&self) {
        let mut world = self.0.lock().unwrap();
        (world.fault, world.space, world.files, world.is_read_only) = (None, None, None, false);
    }

    /// Takes no more bytes than it has and these.
    pub(crate) fn fill(&self, left: usize) {
        let mut world = self.0.lock().unwrap();
        world.space = Some(world.used() + left);
    }

    /// Takes no more files than it has and these.
    pub(crate) fn fill_inodes(&self, left: usize) {
        let mut world = self.0.lock().unwrap();
        world.files = Some(world.names.len() + left);
    }

    pub(crate) fn read_only(&self) {
        self.0.lock().unwrap().is_read_only = true;
    }

    /// Removes a directory with all that is in it.
    pub(crate) fn remove_dir(&self, path: &Path) {
        let mut world = self.0.lock().unwrap();
        world.names.retain(|name, _| !name.starts_with(path));
        world.removed.push(path.to_owned());
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().names.keys().cloned().collect()
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

/// An open directory.
pub(crate) struct FakeDir {
    path: PathBuf,
    /// Removals that came before it was opened.
    born: usize,
}

impl Disk for FakeDisk {
    type Dir = FakeDir;
    type File = FakeFile;

    fn root(&self, path: &Path) -> io::Result<FakeDir> {
        Ok(FakeDir { path: path.to_owned(), born: self.0.lock().unwrap().removed.len() })
    }

    fn subdir(&self, dir: &FakeDir, name: &str, _make: bool) -> io::Result<FakeDir> {
        self.0.lock().unwrap().is_there(dir)?;
        self.root(&dir.path.join(name))
    }

    fn lock(&self, _dir: &FakeDir) -> io::Result<bool> {
        Ok(true)
    }

    fn list(&self, dir: &FakeDir) -> io::Result<Vec<String>> {
        let world = self.0.lock().unwrap();
        world.is_there(dir)?;
        let under = world.names.keys().filter_map(|p| p.strip_prefix(&dir.path).ok());
        let mut names: Vec<String> =
            under.filter_map(|p| Some(p.components().next()?.as_os_str().to_str()?.to_owned())).collect();
        names.dedup();
        Ok(names)
    }

    fn open(&self, dir: &FakeDir, name: &str) -> io::Result<FakeFile> {
        let world = self.0.lock().unwrap();
        world.is_there(dir)?;
        let no = world.names.get(&dir.path.join(name)).copied();
        no.map(|no| FakeFile(Arc::clone(&self.0), no)).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, dir: &FakeDir, name: &str) -> io::Result<FakeFile> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.is_there(dir)?;
        if world.files.is_some_and(|files| world.names.len() >= files) {
            return Err(os(ENOSPC));
        }
        world.inodes.push(Inode::default());
        let no = world.inodes.len() - 1;
        world.names.insert(dir.path.join(name), no);
        Ok(FakeFile(Arc::clone(&self.0), no))
    }

    fn remove(&self, dir: &FakeDir, name: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.is_there(dir)?;
        world.names.remove(&dir.path.join(name));
        Ok(())
    }

    fn rename(&self, dir: &FakeDir, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.is_there(dir)?;
        let (from, to) = (dir.path.join(from), dir.path.join(to));
        let moved: Vec<PathBuf> = world.names.keys().filter(|p| p.starts_with(&from)).cloned().collect();
        for old in moved {
            let no = world.names.remove(&old).unwrap();
            let rest = old.strip_prefix(&from).unwrap();
            let new = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
            world.names.insert(new, no);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &FakeDir) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.is_there(dir)?;
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn reserve(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        self.truncate(file, len)
    }

    fn truncate(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.tick()?;
        world.room_for((len as usize).saturating_sub(world.inodes[file.1].seen.len()))?;
        world.inodes[file.1].seen.resize(len as usize, 0);
        Ok(())
    }

    fn write(&self, file: &FakeFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        // A write that is frozen or fails may still have reached the cache.
        let ticked = world.tick();
        let data = if ticked.is_err() { world.part(data) } else { data };
        world.room_for((offset as usize + data.len()).saturating_sub(world.inodes[file.1].seen.len()))?;
        world.put(file.1, offset, data);
        ticked
    }

    fn write_durable(&self, file: &FakeFile, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(file, offset, data)?;
        let mut world = self.0.lock().unwrap();
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

    fn is_named(&self, file: &FakeFile) -> io::Result<bool> {
        Ok(self.0.lock().unwrap().names.values().any(|no| *no == file.1))
    }
}
