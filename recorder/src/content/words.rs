//! What is asked and answered.

use crate::model::{Bytes, Changed, Digested, Found, RealNanos, TaskId, Why};

/// What a look is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A program that was executed.
    Program,
    /// A script whose interpreter was: no process executes it, and links that lead to it are followed.
    Script,
    /// A file that may have changed; with `quiet` only if nobody wrote to it within the last seconds.
    File {
        /// Answer [`Seen::Busy`] instead of reading what is being written.
        quiet: bool,
        /// Read it even if this version's digest is known: what is written through a mapping may change no time of the file.
        anew: bool,
    },
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Names the answer.
    pub id: u64,
    /// What for.
    pub aim: Aim,
    /// Where it lay, as its task saw it.
    pub path: Bytes,
    /// Who had it.
    pub task: TaskId,
    /// Device as the kernel told, major and minor; (0, 0) unknown.
    pub dev: (u32, u32),
    /// Inode number; 0 unknown.
    pub ino: u64,
    /// Its task lives in another mount namespace than the host's: the path means nothing anywhere else.
    pub foreign: bool,
    /// The session made it: nothing was there before.
    pub fresh: bool,
    /// When the session first touched it, by the wall clock.
    pub since: RealNanos,
}

/// What was seen. Every look is answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A program.
    Program(Box<Digested>),
    /// A file. What the session did to it is for the ledger to add.
    File(Box<Changed>),
    /// It is being written.
    Busy,
}

/// Ways to a file, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the task executes, whatever its name is.
    Image,
    /// The path below the task's own root.
    Process,
    /// The path below the host's root.
    Host,
}

/// What something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file that can be read to its end.
    Regular,
    /// A symbolic link and its target.
    Link(Bytes),
    /// A directory.
    Directory,
    /// A device, a pipe, a socket, or a file of a file system that makes up its content.
    Other,
}

/// What something is, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What.
    pub kind: Kind,
    /// Device as programs see it, major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content last changed.
    pub mtime: RealNanos,
    /// Content or attributes last changed.
    pub ctime: RealNanos,
    /// It gives capabilities.
    pub caps: bool,
}

impl Stat {
    /// Without a digest.
    pub fn found(&self) -> Found {
        let Self { size, mode, uid, gid, mtime, ctime, .. } = *self;
        Found { size, mode, uid, gid, mtime, ctime, caps: u8::from(self.caps), sha256: None }
    }
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: Bytes,
    /// What it is, as far as that costs no look at itself; `None`: a directory.
    pub found: Option<Found>,
}

/// The files of a host. A path's last component is never followed, and nothing is opened for reading that is no regular file.
pub trait Files {
    /// An open file.
    type Open;
    /// Opens without reading. `Why::Gone`: nothing is there by that way.
    fn open(&mut self, path: &Bytes, task: TaskId, way: Way) -> Result<Self::Open, Why>;
    /// What it is.
    fn stat(&mut self, open: &Self::Open) -> Result<Stat, Why>;
    /// Reads from a place on; 0 at the end.
    fn read(&mut self, open: &mut Self::Open, at: u64, into: &mut [u8]) -> Result<usize, Why>;
    /// What a directory holds, at most so many; nothing if it can't be read.
    fn list(&mut self, path: &Bytes, most: usize) -> Vec<Entry>;
    /// The wall clock.
    fn now(&mut self) -> RealNanos;
}
