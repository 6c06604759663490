//! Terminal events.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Payload of the terminal kinds; `len` bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TtyEvent {
    /// The kernel's address of the terminal: tells terminals apart, never shown.
    pub tty: u64,
    /// Number in the driver (`pts/N`).
    pub index: u32,
    /// Bytes that follow.
    pub len: u32,
    /// Typed bytes that were not kept.
    pub hidden: u32,
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
    /// Driver major number (136..=143 for pts, 4 for consoles).
    pub major: u32,
    /// First minor number of the driver plus index.
    pub minor: u32,
}

const _: () = assert!(size_of::<TtyEvent>() == 32);

/// A standard stream of a session that is no terminal: a pipe or a socket.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamKey {
    /// The session's mark.
    pub mark: u64,
    /// Inode number of the pipe or socket.
    pub ino: u64,
}

impl StreamKey {
    /// What stands for the terminal's address in events; no kernel address is so small.
    pub const fn of(ino: u64, fd: u64) -> u64 {
        ino << 2 | fd
    }

    /// The descriptor behind such a number; `None` for the address of a terminal.
    pub const fn fd(key: u64) -> Option<u32> {
        match (key >> 62, key & 3) {
            (0, 0) => Some(0),
            (0, 1) => Some(1),
            (0, _) => Some(2),
            _ => None,
        }
    }
}

/// What is known of such a stream.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamState {
    /// Beginning of the current window, `CLOCK_BOOTTIME` nanoseconds.
    pub since_ns: u64,
    /// Bytes taken along in it.
    pub sent: u64,
    /// Written bytes that were not taken along, in all.
    pub skipped: u64,
    /// As much of `skipped` was told by events.
    pub told: u64,
    /// Read bytes that were not taken along, in all.
    pub taken: u64,
    /// Bit n: it was descriptor n when the session began.
    pub fds: u64,
}

/// Payload of `Kind::STREAM`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamEvent {
    /// As `TtyEvent::tty` of its bytes.
    pub key: u64,
    /// Bytes that were not taken along, in all.
    pub skipped: u64,
}

const _: () = assert!(size_of::<StreamState>() == 48);
