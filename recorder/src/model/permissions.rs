//! With which permissions a session worked: capabilities, users, programs that give rights.

use serde::{Deserialize, Serialize};

use super::{BootNanos, Bytes, TaskId};

/// How often a program of the session used a capability, or was refused it: the count so far. The last record of the same
/// program, capability, outcome and `inner` holds; at the session's end all are written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The program that the process ran; empty if that is not known.
    pub program: Bytes,
    /// Its device, major and minor.
    pub dev: (u32, u32),
    /// Its inode number.
    pub ino: u64,
    /// The process that was first.
    pub by: TaskId,
    /// The capability (`capability.h` numbers).
    pub number: u32,
    /// 1 granted, 0 refused.
    pub granted: u8,
    /// 1 if it was asked for in another user namespace than the host's: it gave no power over the host.
    pub inner: u8,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: BootNanos,
    /// Last time.
    pub last: BootNanos,
}

impl Capability {
    /// Names of linux/capability.h, by number, without `cap_`.
    const NAMES: [&'static str; 41] = [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ];

    /// The capability's name without `cap_`; its number where this version knows none.
    pub fn name(&self) -> String {
        let known = usize::try_from(self.number).ok().and_then(|n| Self::NAMES.get(n));
        known.map_or_else(|| self.number.to_string(), |name| (*name).to_owned())
    }

    /// True if both count the same thing.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.number, self.granted, self.inner)
            == (other.dev, other.ino, other.number, other.granted, other.inner)
    }
}

/// What a session was, folded at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Every user that its tasks were, by the program that made them so; in the order of the first time.
    pub users: Vec<ActedAs>,
    /// Programs that give rights and were started; in the order of the first time.
    pub programs: Vec<Passed>,
}

/// A user whom tasks of the session became, as real or effective user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActedAs {
    /// The user.
    pub uid: u32,
    /// The program that changed to him; empty if the change was not seen.
    pub program: Bytes,
    /// The process that did so first.
    pub by: TaskId,
    /// When.
    pub first: BootNanos,
    /// How often.
    pub count: u64,
}

/// A program that gives rights, and was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Its path.
    pub path: Bytes,
    /// Its device, major and minor.
    pub dev: (u32, u32),
    /// Its inode number.
    pub ino: u64,
    /// Bits: [`Self::SETUID`], [`Self::SETGID`], [`Self::FILE_CAPS`].
    pub how: u16,
    /// The process that started it first.
    pub by: TaskId,
    /// When.
    pub first: BootNanos,
    /// How often it was started.
    pub count: u64,
    /// How often that gave rights: not to who had them already.
    pub gained: u64,
}

impl Passed {
    /// A set-user-id program.
    pub const SETUID: u16 = 1;
    /// A set-group-id program.
    pub const SETGID: u16 = 2;
    /// A program with capabilities.
    pub const FILE_CAPS: u16 = 4;

    /// How it gives rights.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [(Self::SETUID, "setuid"), (Self::SETGID, "setgid"), (Self::FILE_CAPS, "file_caps")];
        let how = self.how;
        all.into_iter().filter(move |(bit, _)| how & bit != 0).map(|(_, name)| name)
    }
}
