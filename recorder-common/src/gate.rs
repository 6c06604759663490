//! Who may elevate while grants are enforced.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Value of the gate map: an account, or one login of it, may elevate while the boot clock is in here. No entry: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Gate {
    /// First moment, `CLOCK_BOOTTIME` nanoseconds.
    pub from: u64,
    /// First moment behind it.
    pub until: u64,
    /// 1: whatever he runs; 0: what [`Allow`] entries name.
    pub all: u64,
}

/// Key of the map of allowed programs and users; its value is the first moment behind the permission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Allow {
    /// Key of the gate.
    pub gate: u64,
    /// Inode of a program that he may run as anybody; 0 for a user.
    pub ino: u64,
    /// Effective user id, never 0, as whom he may run anything; 0 for a program.
    pub uid: u32,
    /// Zero.
    pub reserved: u32,
}

impl Gate {
    /// Keys are user ids; with this bit, audit's session ids. A login's own entry goes before its account's.
    pub const LOGIN: u64 = 1 << 32;
}

/// Payload of `Kind::REFUSED`; `path_len` bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RefusedEvent {
    /// Bytes of the walked path of what was to be run.
    pub path_len: u32,
    /// 1: not started, the caller got EPERM; 2: ended before its first instruction.
    pub how: u32,
}

impl RefusedEvent {
    /// By the LSM.
    pub const NOT_STARTED: u32 = 1;
    /// By a signal.
    pub const KILLED: u32 = 2;
}

const _: () = assert!(size_of::<Gate>() == 24);
const _: () = assert!(size_of::<Allow>() == 24);
const _: () = assert!(size_of::<RefusedEvent>() == 8);
