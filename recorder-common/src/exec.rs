//! Process events.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Credentials as the kernel side compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Creds {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Saved user id.
    pub suid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Group id for file access.
    pub fsgid: u32,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Effective capabilities.
    pub cap_effective: u64,
}

/// Payload of `Kind::EXEC`; `path_len + cwd_len + argv_len` bytes follow.
///
/// Walked paths are leaf first, each name ended by a zero byte; the service turns them round.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExecEvent {
    /// Inode of the executed file.
    pub ino: u64,
    /// All argument bytes, zeros included, whether stored or not.
    pub argv_total: u64,
    /// Device, the kernel's internal encoding (major << 20 | minor).
    pub dev: u32,
    /// Bytes of the walked path.
    pub path_len: u32,
    /// Bytes of the walked working directory.
    pub cwd_len: u32,
    /// Argument bytes in this event.
    pub argv_len: u32,
    /// Arguments according to the kernel (`bprm->argc`).
    pub argc: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::ARGV`; `len` bytes follow. Belongs to the exec of the same process with the same time.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArgvPart {
    /// `boot_ns` of the exec event.
    pub exec_ns: u64,
    /// Position of the first byte in the arguments.
    pub offset: u32,
    /// Bytes that follow.
    pub len: u32,
}

/// Payload of `Kind::SCRIPT`; `name_len` bytes of the script's name as it was passed follow, then `path_len` bytes of the walked working
/// directory.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScriptEvent {
    /// Inode of the script; 0 where it is not seen.
    pub ino: u64,
    /// Its device, the kernel's internal encoding.
    pub dev: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of the directory.
    pub path_len: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::FORK`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ForkEvent {
    /// Start of the child.
    pub child_start_ns: u64,
    /// Thread group id of the child.
    pub child_pid: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::EXIT`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExitEvent {
    /// The kernel's exit code: status << 8 | core << 7 | signal.
    pub code: u32,
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::CRED`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CredEvent {
    /// Before.
    pub old: Creds,
    /// After.
    pub new: Creds,
}

/// Payload of `Kind::MARK`: this task elevated, a session begins.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MarkEvent {
    /// Before the program that elevates.
    pub old: Creds,
    /// After it.
    pub new: Creds,
    /// Audit's session id.
    pub audit_session: u32,
    /// 1 set-user-id, 2 file capabilities, 3 login, 4 unexplained, 6 scope (the journal's numbers).
    pub via: u32,
}

const _: () = assert!(size_of::<Creds>() == 48);
const _: () = assert!(size_of::<ExecEvent>() == 40);
const _: () = assert!(size_of::<ScriptEvent>() == 24);
const _: () = assert!(size_of::<MarkEvent>() == 104);
