//! Counters and settings in maps.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::limits::{CLASSES, RINGS};

/// Event classes.
pub struct Class;

impl Class {
    /// Programs and their arguments.
    pub const EXEC: usize = 0;
    /// Processes made.
    pub const FORK: usize = 1;
    /// Processes ended.
    pub const EXIT: usize = 2;
    /// Credentials.
    pub const CRED: usize = 3;
    /// Session edges.
    pub const SESSION: usize = 4;
    /// Files.
    pub const FILE: usize = 5;
    /// Terminals.
    pub const TTY: usize = 6;
    /// Canaries.
    pub const CANARY: usize = 7;
    /// Names in the journal.
    pub const NAMES: [&'static str; CLASSES] =
        ["exec", "fork", "exit", "cred", "session", "file", "tty", "canary"];
}

/// One processor's counters. They live in a map, so a full ring is still counted.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CpuCounters {
    /// Next sequence number of each ring.
    pub seq: [u64; RINGS],
    /// Events that found no room, by ring and class.
    pub ring_full: [[u64; CLASSES]; RINGS],
    /// Events that found no scratch buffer, by class.
    pub scratch_busy: [u64; CLASSES],
    /// Tasks that could not be marked.
    pub mark_failed: u64,
    /// Terminals that could not be remembered.
    pub map_full: u64,
    /// Terminal bytes that could not be read or were beyond the limit of one call.
    pub unread_tty_bytes: u64,
    /// Scratch buffers in use, one bit each.
    pub scratch_mask: u64,
}

/// Settings in a map that the loader freezes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// Process that writes and reads canaries: the service.
    pub recorder_pid: u32,
    /// 0 elevated sessions only, 1 every login.
    pub all_logins: u32,
    /// 0 off, 1 redacted, 2 full.
    pub tty_input: u32,
    /// 1 if syscall tracepoints are the source of files and terminals.
    pub tracepoint: u32,
    /// First mark of this run.
    pub first_mark: u64,
}
