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

/// Payload of `Kind::SETATTR`; `path_len + name_len` bytes follow, with `Flag::AS_PASSED` as those of a [`FileEvent`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetattrEvent {
    /// Inode, 0 if unknown.
    pub ino: u64,
    /// New length in bytes.
    pub size: u64,
    /// New time of the last access, seconds.
    pub atime: i64,
    /// New time of the last change, seconds.
    pub mtime: i64,
    /// Nanoseconds of `atime`; `UTIME_NOW` as passed.
    pub atime_ns: u32,
    /// Nanoseconds of `mtime`; `UTIME_NOW` as passed.
    pub mtime_ns: u32,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// Which of the values count: bits of [`Attribute`].
    pub set: u32,
    /// New mode.
    pub mode: u32,
    /// New owner.
    pub uid: u32,
    /// New group.
    pub gid: u32,
    /// Inode mode after the act, 0 if unknown.
    pub inode_mode: u32,
    /// 0 or negated errno.
    pub result: i32,
    /// Bytes of the walked path.
    pub path_len: u32,
    /// Bytes of the passed string.
    pub name_len: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bits in `SetattrEvent::set`, those of the kernel's `ia_valid` (`ATTR_*`, include/linux/fs.h).
pub struct Attribute;

impl Attribute {
    /// Mode.
    pub const MODE: u32 = 1;
    /// Owner.
    pub const UID: u32 = 2;
    /// Group.
    pub const GID: u32 = 4;
    /// Length.
    pub const SIZE: u32 = 8;
    /// Time of the last access.
    pub const ATIME: u32 = 16;
    /// Time of the last change.
    pub const MTIME: u32 = 32;
    /// All of them.
    pub const ALL: u32 = 63;
}

/// Payload of `Kind::SETXATTR`; `path_len + name_len + attribute_len + value_len` bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct XattrEvent {
    /// Inode, 0 if unknown.
    pub ino: u64,
    /// Length of the value, whether it follows or not.
    pub size: u64,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// 1 if the attribute was taken away.
    pub removed: u32,
    /// 0 or negated errno.
    pub result: i32,
    /// Bytes of the walked path.
    pub path_len: u32,
    /// Bytes of the passed string.
    pub name_len: u32,
    /// Bytes of the attribute's name.
    pub attribute_len: u32,
    /// Bytes of the value that follow.
    pub value_len: u32,
    /// Inode mode, 0 if unknown.
    pub inode_mode: u32,
}

/// Payload of `Kind::ALLOCATE`; `path_len` bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocateEvent {
    /// Inode.
    pub ino: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// `FALLOC_FL_*`.
    pub flags: u32,
    /// 0 or negated errno.
    pub result: i32,
    /// Bytes of the walked path.
    pub path_len: u32,
}

const _: () = assert!(size_of::<FileEvent>() == 40);
const _: () = assert!(size_of::<SetattrEvent>() == 80);
const _: () = assert!(size_of::<XattrEvent>() == 48);
const _: () = assert!(size_of::<AllocateEvent>() == 40);
