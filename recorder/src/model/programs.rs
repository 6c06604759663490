//! Programs beyond what was executed: what could not be started, and what was mapped to be executed.

use serde::{Deserialize, Serialize};

use super::{BootNanos, Bytes, TaskId};

/// How often a session could not start a program, for one reason: the count so far. The last record of the same path and errno holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecFailed {
    /// What was to be run, as it was passed, after its directory if that was relative; empty: programs beyond those that are told by
    /// name, together.
    pub path: Bytes,
    /// Why not.
    pub errno: u32,
    /// The process that tried first.
    pub by: TaskId,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: BootNanos,
    /// Last time.
    pub last: BootNanos,
}

/// The program that was executed just before, by the same task, is the interpreter of this script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The script, as it was passed, after the working directory if that was relative.
    pub path: Bytes,
    /// Its device, major and minor; (0, 0) if unknown.
    pub dev: (u32, u32),
    /// Its inode number; 0 if unknown.
    pub ino: u64,
}

/// More arguments of the exec before it in the stream, by the same task at the same time: what one record can't hold, or how much is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Arguments as the kernel counted them.
    pub argc: u32,
    /// All their bytes, with the zeros that end them.
    pub bytes: u64,
    /// Arguments that are kept, in the exec and all records behind it; the last one may be cut.
    pub kept_argc: u32,
    /// So many bytes of them are kept, before secrets were taken out.
    pub kept: u64,
    /// Number of the first argument here, from 0.
    pub from: u32,
    /// Arguments.
    pub argv: Vec<Bytes>,
}

/// How often a session mapped a file to be executed: the count so far. The last record of the same file and `how` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The file; empty if that is not known.
    pub path: Bytes,
    /// Its device, major and minor.
    pub dev: (u32, u32),
    /// Its inode number.
    pub ino: u64,
    /// The inode's generation, by which a number that was used again is another file. It is not stored.
    #[serde(skip)]
    pub generation: u32,
    /// [`Self::MMAP`] or [`Self::MPROTECT`].
    pub how: u16,
    /// The process that was first.
    pub by: TaskId,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: BootNanos,
    /// Last time.
    pub last: BootNanos,
}

impl Mapped {
    /// It was mapped so.
    pub const MMAP: u16 = 1;
    /// It was mapped before, and made executable then.
    pub const MPROTECT: u16 = 2;

    /// Name in JSON.
    pub const fn how(&self) -> &'static str {
        match self.how {
            Self::MMAP => "mmap",
            Self::MPROTECT => "mprotect",
            _ => "unknown",
        }
    }
}

/// What the kernel side counts, at the first time as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A program could not be started.
    Failed(Box<Attempt>),
    /// A file was mapped to be executed. Of a count the path is not known.
    Mapped(Box<Mapped>),
}

/// Programs that could not be started, as the kernel side tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// What was to be run; empty in a count.
    pub path: Bytes,
    /// Why not.
    pub errno: u32,
    /// Device and inode number of the directory that a relative name begins at.
    pub directory: ((u32, u32), u64),
    /// First bytes of the name that was passed.
    pub name: Bytes,
    /// Its length.
    pub len: u32,
    /// The process that tried first.
    pub by: TaskId,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: BootNanos,
    /// Last time.
    pub last: BootNanos,
}

impl Attempt {
    /// True if both count the same thing.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.errno, self.directory, self.len) == (other.errno, other.directory, other.len)
            && self.name == other.name
    }
}
