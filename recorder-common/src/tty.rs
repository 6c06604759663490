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
