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
    /// Changes of the system itself, and sockets.
    pub const SYSTEM: usize = 8;
    /// Attempts on the recorder itself.
    pub const GUARD: usize = 9;
    /// Names in the journal.
    pub const NAMES: [&'static str; 10] =
        ["exec", "fork", "exit", "cred", "session", "file", "tty", "canary", "system", "guard"];
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
    /// Checks of capabilities that could not be counted by program.
    pub caps_full: u64,
    /// Files of sessions that were not remembered before.
    pub plants: u64,
    /// Programs that could not be started, and were not counted.
    pub failed_full: u64,
    /// Mappings of files that were not counted.
    pub mapped_full: u64,
    /// Attempts on the recorder that were not counted, and files of its that could not be remembered.
    pub guard_full: u64,
}

/// Settings in read-only data: the verifier sees constants and drops what is switched off.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// 0 elevated sessions only, 1 every login.
    pub all_logins: u32,
    /// 0 off, 1 redacted, 2 full.
    pub tty_input: u32,
    /// Argument events of one exec.
    pub argv_parts: u32,
}

/// What service and programs tell each other while they run: positions in an array map of u32, so that neither side
/// overwrites the other's word.
pub struct State;

impl State {
    /// Thread whose acts are canaries; 0 = none. Written by the service.
    pub const CANARY_TID: u32 = 0;
    /// 1 while the reader sleeps and wants to be woken. Written by the service.
    pub const IDLE: u32 = 1;
    /// 1 as soon as a terminal is recorded. Written by the programs.
    pub const TTYS: u32 = 2;
    /// 1 while the gate map decides who may elevate. Written by the service.
    pub const GATE: u32 = 3;
    /// 1 as soon as somebody asked a manager for something. Written by the programs, cleared by the service.
    pub const ARMED: u32 = 4;
    /// 1 while sessions wrote programs that others may run. Written by the programs.
    pub const PLANTED: u32 = 5;
    /// 1 if jobs of cron and at are looked at. Written by the service.
    pub const JOBS: u32 = 6;
    /// 1 while standard streams of sessions are recorded. Written by the programs, cleared by the service.
    pub const STREAMS: u32 = 7;
    /// Thread of the service that opens what is to be guarded; 0 = none. Written by the service.
    pub const LEARNS: u32 = 8;
    /// As what it is to be guarded. Written by the service.
    pub const LEARNT_AS: u32 = 9;
    /// 1 as soon as the recorder was asked to end by somebody who may, or ends by itself. Written by the programs, and by the recorder.
    pub const ENDS: u32 = 10;
    /// Number of words.
    pub const LEN: u32 = 11;
}

/// A recorded terminal (value of the terminal map; its key is the kernel's address of the slave).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TtyState {
    /// The session's mark.
    pub mark: u64,
    /// Until when output is kept after the session left the foreground, `CLOCK_BOOTTIME` nanoseconds.
    pub grace_ns: u64,
    /// Session leader's pid at that time: another one means that the address was reused.
    pub leader: u32,
    /// 1 if the terminal's session leader belongs to the session: all of it is recorded.
    pub whole: u32,
    /// Last seen size.
    pub rows: u16,
    /// Last seen size.
    pub cols: u16,
    /// Zero.
    pub reserved: u32,
}

/// Value of the task storage.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskMark {
    /// The session's mark; 0 = a person's task that is not elevated.
    pub mark: u64,
    /// [`MarkFlag`] bits.
    pub flags: u64,
    /// Credentials at the last look.
    pub creds: crate::Creds,
}

/// Bits in `TaskMark::flags`.
pub struct MarkFlag;

impl MarkFlag {
    /// A child of the canary thread.
    pub const CANARY: u64 = 1;
    /// Passed the gate, or was there before it: what it starts later is not judged again.
    pub const ADMITTED: u64 = 2;
    /// A whole login is recorded: what runs as the login's user is no elevation.
    pub const PLAIN: u64 = 4;
    /// Did not pass the gate.
    pub const REFUSED: u64 = 8;
    /// Started by somebody else's process; the service decides whether a session asked for it.
    pub const BRANCH: u64 = 16;
    /// A job of cron or at that has not run its first program.
    pub const JOB: u64 = 32;
    /// A process of nobody who is recorded, which was said to have handed its terminal to a server.
    pub const SEATED: u64 = 64;
    /// Its session began with the program that it is about to run.
    pub const FRESH: u64 = 128;
}

const _: () = assert!(size_of::<TaskMark>() == 64);
const _: () = assert!(size_of::<TtyState>() == 32);
