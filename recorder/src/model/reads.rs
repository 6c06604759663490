//! Opens for reading that were told before.

use serde::{Deserialize, Serialize};

use super::{BootNanos, Bytes};

/// A file was opened for reading again and again, by programs of one name with the same ids; the first of these opens is a record of its
/// own before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// As in that record.
    pub path: Bytes,
    /// Device, major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Inode mode.
    pub mode: u32,
    /// Open flags (`O_*`).
    pub flags: u32,
    /// How many opens there were beside those that other records stand for.
    pub count: u64,
    /// The first of them.
    pub first: BootNanos,
    /// The last.
    pub last: BootNanos,
}
