//! Capabilities that sessions exercise, and programs that give rights.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the map that counts checks of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapKey {
    /// The session's mark.
    pub mark: u64,
    /// Inode of the program that the process runs; 0 if it runs none.
    pub ino: u64,
    /// Its device, the kernel's internal encoding.
    pub dev: u32,
    /// The capability's number (`capability.h`).
    pub number: u16,
    /// 1 granted, 0 refused.
    pub granted: u8,
    /// 1 if it was asked for in another user namespace than the initial one, over which it gives no power.
    pub inner: u8,
}

/// Value of that map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapUse {
    /// How often.
    pub count: u64,
    /// The first time, `CLOCK_BOOTTIME` nanoseconds.
    pub first_ns: u64,
    /// The last time.
    pub last_ns: u64,
    /// Start of the process that was first.
    pub start_ns: u64,
    /// That process.
    pub pid: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::CAPABILITY`, sent at the first use; `path_len` bytes of the program's walked path follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapEvent {
    /// What was used; its mark is the header's.
    pub key: CapKey,
    /// Bytes of the path.
    pub path_len: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::PASSED`: the exec just before it was of a program that gives rights.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PassedEvent {
    /// `boot_ns` of the exec event.
    pub exec_ns: u64,
    /// Inode of the program.
    pub ino: u64,
    /// Its device, the kernel's internal encoding.
    pub dev: u32,
    /// Mode of the file.
    pub mode: u32,
    /// 1 if the task has more rights by it than before.
    pub gained: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<CapKey>() == 24);
const _: () = assert!(size_of::<CapUse>() == 40);
const _: () = assert!(size_of::<CapEvent>() == 32);
const _: () = assert!(size_of::<PassedEvent>() == 32);
