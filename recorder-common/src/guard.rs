//! The guard: what is done to the recorder itself (docs/guard.md).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the guard's programs are told once, in read-only data: nobody can change it while they live.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GuardSettings {
    /// One of the constants below.
    pub mode: u64,
    /// The recorder.
    pub pid: u64,
    /// Its start in ticks of [`GuardSettings::TICK`], as /proc has it.
    pub start: u64,
    /// Who started it, and may end it as the first process may.
    pub parent: u64,
    /// His start, in ticks.
    pub parent_start: u64,
    /// The mount namespace of the host's first process.
    pub host_mounts: u64,
    /// The recorder's own.
    pub own_mounts: u64,
    /// Which argument of `inode_setattr` is the dentry: 0 before 6.3, 1 since.
    pub setattr: u64,
}

impl GuardSettings {
    /// Nothing is looked at.
    pub const OFF: u64 = 0;
    /// Attempts are told.
    pub const RECORD: u64 = 1;
    /// Attempts are told and refused.
    pub const ENFORCE: u64 = 2;
    /// Nanoseconds of a tick: USER_HZ is 100.
    pub const TICK: u64 = 10_000_000;
}

/// What is guarded: values of the map of inodes, with [`Guarded::TREE`] or [`Guarded::ABOVE`], and objects of attempts.
pub struct Guarded;

impl Guarded {
    /// The recorder's process.
    pub const PROCESS: u32 = 1;
    /// The journal's files and directories.
    pub const JOURNAL: u32 = 2;
    /// Maps of the kernel programs.
    pub const MAP: u32 = 3;
    /// What switches kernel programs off.
    pub const SWITCH: u32 = 4;
    /// Control groups that the recorder is in.
    pub const CGROUP: u32 = 5;
    /// The configuration: told, never refused.
    pub const CONFIG: u32 = 6;
    /// The unit: likewise.
    pub const UNIT: u32 = 7;
    /// The program file: likewise.
    pub const PROGRAM: u32 = 8;
    /// A block device that the journal lies on.
    pub const DEVICE: u32 = 9;
    /// Beyond the last of them.
    pub const END: u32 = 10;
    /// A directory: what lies in it is guarded too.
    pub const TREE: u32 = 0x100;
    /// A directory above: only its name matters.
    pub const ABOVE: u32 = 0x200;
    /// The object alone.
    pub const OBJECT: u32 = 0xff;
}

/// What somebody tried.
pub struct GuardAct;

impl GuardAct {
    /// A signal; the detail is its number.
    pub const SIGNAL: u16 = 1;
    /// Attaching, or access to memory or descriptors.
    pub const TRACE: u16 = 2;
    /// A limit; the detail is its number.
    pub const LIMIT: u16 = 3;
    /// Nice value, scheduling class, processors, I/O priority.
    pub const PRIORITY: u16 = 4;
    /// An open for writing.
    pub const OPEN: u16 = 5;
    /// A new name.
    pub const CREATE: u16 = 6;
    /// A removal.
    pub const UNLINK: u16 = 7;
    /// A rename, also over it.
    pub const RENAME: u16 = 8;
    /// Another name for it.
    pub const LINK: u16 = 9;
    /// Mode, owner, times, length.
    pub const ATTRIBUTES: u16 = 10;
    /// Length.
    pub const TRUNCATE: u16 = 11;
    /// Extended attributes, access lists.
    pub const XATTR: u16 = 12;
    /// Flags of the file, or the file system frozen or shut down.
    pub const IOCTL: u16 = 13;
    /// A descriptor that may write; the detail is the map's id.
    pub const MAP: u16 = 14;
    /// Something mounted over it, or remounted.
    pub const MOUNT: u16 = 15;
    /// Its mount taken away.
    pub const UMOUNT: u16 = 16;
    /// A lock or a lease: who wants to open it waits, or is refused.
    pub const LOCK: u16 = 17;
    /// Somebody wants to be asked before it is opened (fanotify).
    pub const WATCH: u16 = 18;
    /// It was moved into another control group, whose path is told. 19 is said by the service alone.
    pub const MOVE: u16 = 20;
    /// Beyond the last of them.
    pub const END: u16 = 21;
}

/// Key of the map that counts attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GuardKey {
    /// Start of the process that tried. With the pid 0: 0 for all beyond those that are counted apart, [`GuardKey::WITHOUT_RIGHTS`] for
    /// everybody without rights and in no session, else the mark of a session for all in it without rights.
    pub start_ns: u64,
    /// That process.
    pub pid: u32,
    /// One of [`GuardAct`].
    pub act: u16,
    /// One of [`Guarded`].
    pub object: u16,
    /// What the act says.
    pub detail: u32,
    /// 1 if it was refused.
    pub denied: u32,
}

impl GuardKey {
    /// Instead of a start, with the pid 0.
    pub const WITHOUT_RIGHTS: u64 = 1;
    /// Keys with the pid and the start 0: for each act on each object, refused or not.
    pub const REST: u32 = 2 * 21 * Guarded::END;
    /// Other keys.
    pub const APART: u32 = 8192;
    /// No attempt: what was tried up to `last_ns` of its value is on disk. Written by the service alone.
    pub const TOLD: Self = Self { start_ns: 0, pid: 0, act: 0, object: 0, detail: 0, denied: 0 };
}

/// Value of that map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GuardUse {
    /// How often.
    pub count: u64,
    /// The first time, `CLOCK_BOOTTIME` nanoseconds.
    pub first_ns: u64,
    /// The last time.
    pub last_ns: u64,
    /// The session of the process that was first; 0: none.
    pub mark: u64,
}

/// Payload of `Kind::GUARD`, sent at the first attempt; `path_len` bytes of a walked path follow, then `to_len` of another.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GuardEvent {
    /// What was tried, by the task of the header.
    pub key: GuardKey,
    /// Bytes of the path.
    pub path_len: u32,
    /// Bytes of the new path of a rename or link.
    pub to_len: u32,
}

const _: () = assert!(size_of::<GuardSettings>() == 64);
const _: () = assert!(size_of::<GuardKey>() == 24);
const _: () = assert!(GuardAct::END == 21, "GuardKey::REST counts them");
const _: () = assert!(size_of::<GuardUse>() == 32);
const _: () = assert!(size_of::<GuardEvent>() == 32);
