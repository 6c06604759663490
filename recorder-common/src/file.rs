//! File events.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Payload of the file kinds; `path_len + to_len + name_len + to_name_len` bytes follow.
///
/// With `Flag::AS_PASSED`, `path` and `to` are walked directories (empty where the passed string is absolute) and
/// `name` and `to_name` the passed strings. Without it, `path` and `to` are walked; `name`, when not empty, is the last
/// component below the directory `path` (a rename's old name).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileEvent {
    /// Inode, 0 if unknown.
    pub ino: u64,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// Open or rename flags.
    pub flags: u32,
    /// Inode mode.
    pub mode: u32,
    /// 0 or negated errno.
    pub result: i32,
    /// Bytes of the first walked path.
    pub path_len: u32,
    /// Bytes of the second walked path.
    pub to_len: u32,
    /// Bytes of the first string.
    pub name_len: u32,
    /// Bytes of the second string.
    pub to_name_len: u32,
}

const _: () = assert!(size_of::<FileEvent>() == 40);
