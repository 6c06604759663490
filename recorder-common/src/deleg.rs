//! Work that is handed to other people's processes: what is asked for, and what starts because of it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of `sockaddr_un.sun_path`.
pub const SUN_PATH: usize = 108;
/// Bytes of a message in one event.
pub const REQUEST_PART: u32 = 4095;
/// Events of one message; what lies behind them is not taken along.
pub const REQUEST_PARTS: u32 = 4;
/// Descriptors of one message that are told; the event's total says how many there are.
pub const PASSED_FILES: u32 = 4;

/// Payload of `Kind::BRANCH`; `path_len` bytes follow: the control group's path as the kernel prints it. Something starts that
/// may have been asked for: its events carry a mark of their own from here on, and the service keeps or drops them.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BranchEvent {
    /// The session that armed it; 0: nobody in particular.
    pub parent: u64,
    /// The control group's id, or the inode of a planted program.
    pub object: u64,
    /// Device of a planted program, the kernel's internal encoding.
    pub dev: u32,
    /// One of the constants below.
    pub cause: u32,
    /// Bytes of the path.
    pub path_len: u32,
    /// Generation of a planted program's inode.
    pub generation: u32,
}

impl BranchEvent {
    /// A manager that was asked for something made a control group.
    pub const UNIT: u32 = 1;
    /// A daemon that runs jobs made a process.
    pub const JOB: u32 = 2;
    /// Somebody runs a program that a session wrote.
    pub const PLANT: u32 = 3;
    /// Somebody runs a script that a session wrote; the path that was asked for follows, the inode is 0 where only that is known.
    pub const SCRIPT: u32 = 4;
    /// A container engine that was asked for something has a runtime start or enter a container.
    pub const ENGINE: u32 = 5;
    /// As `UNIT`, while a request to that manager was on its way and not told of yet.
    pub const UNIT_AHEAD: u32 = 6;
}

/// Payload of `Kind::REQUEST`; `path_len` bytes of the socket's name follow, then `len` bytes that were sent.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestEvent {
    /// Since when the message was on its way, `CLOCK_BOOTTIME` nanoseconds: what its receiver did may lie before this event. 0: not known.
    pub since_ns: u64,
    /// Tells connections apart while they live.
    pub connection: u64,
    /// Bytes of this message of the connection, whether taken along or not; not told with `RETOLD`.
    pub total: u32,
    /// Position of the first byte in the message.
    pub offset: u32,
    /// Process behind the socket, as it was when it began to listen.
    pub peer: u32,
    /// One of the constants below.
    pub what: u32,
    /// Bytes of the name.
    pub path_len: u32,
    /// Bytes of the message in this event.
    pub len: u32,
}

impl RequestEvent {
    /// A connection was asked for.
    pub const CONNECT: u32 = 1;
    /// Bytes were sent.
    pub const SEND: u32 = 2;
    /// Bytes were sent, and the receiver had them before they could be read.
    pub const OPAQUE: u32 = 3;
    /// A descriptor was sent along. The bytes are the walked path of its file, `offset` says the how many-eth it is, `total` of how many.
    pub const PASSED: u32 = 4;
    /// As `PASSED`, a terminal. People who are not recorded are told of too, as the session 0, each process of theirs once.
    pub const TERMINAL: u32 = 5;
    /// As `SEND`, from the memory of the sender while it was sending: the receiver was faster, or it lies in whole pages.
    pub const RETOLD: u32 = 6;
}

/// Payload of `Kind::STDIN`; `path_len` bytes of a walked path follow: what the job that is about to start reads.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StdinEvent {
    /// Inode.
    pub ino: u64,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// Bytes of the path.
    pub path_len: u32,
}

/// Payload of `Kind::CONTROL`: a session got hold of somebody else's process (ptrace and its kin). Told once for each session,
/// process and system call.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ControlEvent {
    /// The session that the process belongs to; 0: nobody's, or not known.
    pub other: u64,
    /// Start of the process, `CLOCK_BOOTTIME` nanoseconds; 0 if only its number is known.
    pub start_ns: u64,
    /// Process id; 0 if not known.
    pub pid: u32,
    /// Number of the system call.
    pub call: u32,
}

/// Key of the map of what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ControlKey {
    /// The session.
    pub mark: u64,
    /// As in the event.
    pub start_ns: u64,
    /// As in the event.
    pub pid: u32,
    /// As in the event.
    pub call: u32,
}

/// Key of the map of sockets whose messages are read: the name, filled up with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketName(pub [u8; SUN_PATH]);

/// Bytes of the path of a script, with its zero, as far as one is known by it.
pub const SCRIPT_NAME: usize = 128;

/// Key of the map of scripts that are known by their path, filled up with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScriptName(pub [u8; SCRIPT_NAME]);

/// Value of the map of managers that were asked for something.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Armed {
    /// The session that asked last.
    pub mark: u64,
    /// Until when what it makes is looked at, `CLOCK_BOOTTIME` nanoseconds.
    pub until: u64,
    /// The thread whose request was on its way last; whether it still is, the map of those that send says. 0: none.
    pub sender: u64,
}

impl Armed {
    /// Key of the manager of a user's own services; the system's is 1, its process id.
    pub const USER: u64 = 1 << 32;
    /// Key of the container engines.
    pub const ENGINE: u64 = 1 << 33;
}

/// Key of the map of programs that a session wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PlantKey {
    /// Inode.
    pub ino: u64,
    /// Device, the kernel's internal encoding.
    pub dev: u32,
    /// The inode's generation: numbers are used again.
    pub generation: u32,
}

/// Key of the map of files that more than one session writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TurnKey {
    /// The session's mark.
    pub mark: u64,
    /// The file.
    pub file: PlantKey,
}

const _: () = assert!(size_of::<TurnKey>() == 24);
const _: () = assert!(size_of::<BranchEvent>() == 32);
const _: () = assert!(size_of::<RequestEvent>() == 40);
const _: () = assert!(size_of::<ControlEvent>() == 24);
