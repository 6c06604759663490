//! The header of every event.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::context::Place;

/// First bytes of every event.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventHeader {
    /// Length of the whole event in bytes.
    pub len: u32,
    /// A [`Kind`] number.
    pub kind: u16,
    /// [`Flag`] bits.
    pub flags: u16,
    /// Number of this event among those of its processor and ring; taken before the reserve, so a hole is a loss.
    pub seq: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// The session's mark.
    pub mark: u64,
    /// Start of the thread group leader, `CLOCK_BOOTTIME` nanoseconds.
    pub start_ns: u64,
    /// Thread group id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id (initial namespace).
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Audit login uid.
    pub auid: u32,
    /// Parent's thread group id.
    pub ppid: u32,
    /// Processor.
    pub cpu: u16,
    /// [`Ring`] number.
    pub ring: u16,
    /// [`Hook`] number of a canary, else zero.
    pub hook: u32,
    /// The kernel's name of the thread.
    pub comm: [u8; 16],
    /// Where it lives.
    pub place: Place,
}

const _: () = assert!(size_of::<EventHeader>() == 112);

/// Event kinds. Plain numbers: a kind the service doesn't know is counted and kept as a loss, never a crash.
pub struct Kind;

impl Kind {
    /// `ExecEvent`, then path and cwd as walked, then the first bytes of the arguments.
    pub const EXEC: u16 = 1;
    /// `ForkEvent`.
    pub const FORK: u16 = 2;
    /// `ExitEvent`.
    pub const EXIT: u16 = 3;
    /// `CredEvent`.
    pub const CRED: u16 = 4;
    /// `MarkEvent`: a session begins here.
    pub const MARK: u16 = 5;
    /// `ArgvPart`, then bytes: more arguments of the exec just before it.
    pub const ARGV: u16 = 6;
    /// `RefusedEvent`, then the walked path of what was not to be run.
    pub const REFUSED: u16 = 7;
    /// `FailedEvent`, then a name as passed and a walked directory: a program could not be started, for the first time so.
    pub const EXEC_FAILED: u16 = 8;
    /// `MapEvent`, then a walked path: a file was mapped to be executed, for the first time.
    pub const MAPPED: u16 = 9;
    /// `ScriptEvent`, then a name as passed and a walked directory: the exec just before it was of a script.
    pub const SCRIPT: u16 = 10;
    /// `BranchEvent`, then the path: something starts that may have been asked for.
    pub const BRANCH: u16 = 24;
    /// `RequestEvent`, then the socket's name and what was sent to it.
    pub const REQUEST: u16 = 25;
    /// `StdinEvent`, then a walked path.
    pub const STDIN: u16 = 26;
    /// `ControlEvent`: a session got hold of somebody else's process.
    pub const CONTROL: u16 = 27;
    /// `FileEvent`, then one or two paths.
    pub const OPEN: u16 = 16;
    /// As `OPEN`: the file did not exist before.
    pub const CREATE: u16 = 17;
    /// `FileEvent`, two paths.
    pub const RENAME: u16 = 18;
    /// `FileEvent`, one path.
    pub const UNLINK: u16 = 19;
    /// `FileEvent`, two paths: a second name for a file.
    pub const LINK: u16 = 20;
    /// `FileEvent`, one path and a string: where the new link leads.
    pub const SYMLINK: u16 = 21;
    /// `FileEvent`, one path.
    pub const MKDIR: u16 = 22;
    /// `FileEvent`, one path; the flags are the device that the node stands for.
    pub const MKNOD: u16 = 23;
    /// `FileEvent`, one path: a session wrote to a file that it is not known to have opened for writing.
    pub const WRITE: u16 = 38;
    /// `FileEvent`, one path and a string: what was written to a file of /proc.
    pub const SETTING: u16 = 40;
    /// `SetattrEvent`, then a path.
    pub const SETATTR: u16 = 28;
    /// `XattrEvent`, then a path, the attribute's name and its value.
    pub const SETXATTR: u16 = 29;
    /// `AllocateEvent`, then a path.
    pub const ALLOCATE: u16 = 30;
    /// `TtyEvent`, then bytes that the screen shows.
    pub const TTY_OUTPUT: u16 = 32;
    /// `TtyEvent`, then typed bytes.
    pub const TTY_INPUT: u16 = 33;
    /// `TtyEvent`: size at first sight or changed.
    pub const TTY_RESIZE: u16 = 34;
    /// `StreamEvent`: what went through a standard stream and was not taken along, before the bytes that follow.
    pub const STREAM: u16 = 35;
    /// `CapEvent`, then a walked path: a program's first use of a capability, or the first time it was refused.
    pub const CAPABILITY: u16 = 48;
    /// `PassedEvent`: the exec just before it was of a set-user-id or set-group-id program, or of one with capabilities.
    pub const PASSED: u16 = 49;
    /// `CgroupEvent`, then the names of a cgroup: before the first event of a task in it.
    pub const CGROUP: u16 = 50;
    /// `GuardEvent`, then one or two walked paths: somebody tried something with the recorder itself, for the first time so.
    pub const GUARD: u16 = 51;
    /// `CallEvent`, then a path and strings: the system itself was changed.
    pub const CALL: u16 = 80;
    /// `SocketEvent`, then an address.
    pub const SOCKET: u16 = 81;
    /// `SendEvent`: somebody is sent something without a connection for the first time.
    pub const SENT: u16 = 82;
    /// Header only: the answer to a canary act of the service.
    pub const CANARY: u16 = 64;
}

/// Bits in `EventHeader::flags`.
pub struct Flag;

impl Flag {
    /// A string did not fit.
    pub const TRUNCATED: u16 = 1;
    /// The path is what the program passed; the second string is the directory it is relative to.
    pub const AS_PASSED: u16 = 2;
    /// The walk ended without knowing the mount.
    pub const MOUNT_UNKNOWN: u16 = 4;
    /// User memory could not be read.
    pub const UNREADABLE: u16 = 8;
    /// The name was removed.
    pub const DELETED: u16 = 16;
    /// The terminal was just made; what its address and its name stood for before is gone.
    pub const OPENED: u16 = 32;
}

/// Ring buffers.
pub struct Ring;

impl Ring {
    /// Rare and valuable: exec, fork, exit, cred, session, canary.
    pub const CRITICAL: u16 = 0;
    /// Argument parts, files, terminals.
    pub const BULK: u16 = 1;
}

/// Hook classes: each has a canary. The numbers are positions in [`Hook::NAMES`].
pub struct Hook;

impl Hook {
    /// Program start.
    pub const EXEC: u32 = 0;
    /// Process creation.
    pub const FORK: u32 = 1;
    /// Process end.
    pub const EXIT: u32 = 2;
    /// Credential changes.
    pub const CRED: u32 = 3;
    /// Opens.
    pub const OPEN: u32 = 4;
    /// Renames.
    pub const RENAME: u32 = 5;
    /// Removals.
    pub const UNLINK: u32 = 6;
    /// What terminals show.
    pub const TTY_OUTPUT: u32 = 7;
    /// What is typed.
    pub const TTY_INPUT: u32 = 8;
    /// Names that are made other than by open: links, directories, nodes.
    pub const LINK: u32 = 9;
    /// Changes of what a file is, not of what is in it.
    pub const ATTRIBUTE: u32 = 10;
    /// Changes of the system itself.
    pub const SYSTEM: u32 = 11;
    /// What is done with sockets.
    pub const SOCKET: u32 = 12;
    /// Checks of capabilities: the last, because a kernel may lack it (the `tracepoint` backend before 6.13).
    pub const CAPABILITY: u32 = 13;
    /// Names in the boot record.
    pub const NAMES: [&'static str; 14] = [
        "exec",
        "fork",
        "exit",
        "cred",
        "open",
        "rename",
        "unlink",
        "tty_output",
        "tty_input",
        "link",
        "attribute",
        "system",
        "socket",
        "capability",
    ];
}
