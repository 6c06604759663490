//! What is counted in the kernel and told once: programs that could not be started, files that were mapped to be executed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a name by which a program that could not be started is told from others; longer ones also by their length.
pub const FAILED_NAME: usize = 192;
/// Such names of one session; what is beyond is counted by its errno alone.
pub const FAILED_NAMES: u64 = 1024;

/// Key of the map that counts programs that could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FailedKey {
    /// The session's mark.
    pub mark: u64,
    /// Inode of the directory that a relative name begins at; 0 for others.
    pub dir: u64,
    /// Its device, the kernel's internal encoding.
    pub dev: u32,
    /// Why it could not be started.
    pub errno: u32,
    /// Bytes of the name that was passed; 0 if it could not be read.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
    /// Its first bytes, filled up with zeros.
    pub name: [u8; FAILED_NAME],
}

/// Key of the map that counts those beyond [`FAILED_NAMES`]; with the errno 0 the number of names that a session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RestKey {
    /// The session's mark.
    pub mark: u64,
    /// Why they could not be started.
    pub errno: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::EXEC_FAILED`, sent at the first attempt; `name_len` bytes of the name as it was passed follow, then
/// `path_len` bytes of the walked directory that a relative one begins at.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FailedEvent {
    /// As in the key.
    pub dir: u64,
    /// As in the key.
    pub dev: u32,
    /// As in the key.
    pub errno: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of the directory.
    pub path_len: u32,
}

/// Key of the map that counts files mapped to be executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapKey {
    /// The session's mark.
    pub mark: u64,
    /// Inode of the file.
    pub ino: u64,
    /// Its device, the kernel's internal encoding.
    pub dev: u32,
    /// One of the constants of [`MapEvent`].
    pub how: u32,
    /// The inode's generation: numbers are used again.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::MAPPED`, sent at the first time; `path_len` bytes of the file's walked path follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapEvent {
    /// What was mapped; its mark is the header's.
    pub key: MapKey,
    /// Bytes of the path.
    pub path_len: u32,
    /// Zero.
    pub reserved: u32,
}

impl MapEvent {
    /// It was mapped so.
    pub const MMAP: u32 = 1;
    /// It was mapped before, and made executable then.
    pub const MPROTECT: u32 = 2;
}

const _: () = assert!(size_of::<FailedKey>() == 224);
const _: () = assert!(size_of::<RestKey>() == 16);
const _: () = assert!(size_of::<FailedEvent>() == 24);
const _: () = assert!(size_of::<MapKey>() == 32);
const _: () = assert!(size_of::<MapEvent>() == 40);
