//! What somebody tried with the recorder itself (docs/guard.md).

use serde::{Deserialize, Serialize};

use super::{BootNanos, Bytes, SessionId, TaskId, codes::codes};

codes! {
    /// What was tried.
    GuardAct {
        /// A signal.
        Signal = 1, "signal";
        /// Tracing, access to memory or descriptors.
        Trace = 2, "trace";
        /// A limit was set.
        Limit = 3, "limit";
        /// Nice value, scheduling, processors, I/O priority.
        Priority = 4, "priority";
        /// Opened for writing.
        Open = 5, "open";
        /// A new name.
        Create = 6, "create";
        /// Removed.
        Unlink = 7, "unlink";
        /// Renamed, also over it.
        Rename = 8, "rename";
        /// Another name for it.
        Link = 9, "link";
        /// Mode, owner, times, length.
        Attributes = 10, "attributes";
        /// Length.
        Truncate = 11, "truncate";
        /// Extended attributes and access lists.
        Xattr = 12, "xattr";
        /// Flags of the file, or the file system frozen or shut down.
        Ioctl = 13, "ioctl";
        /// A descriptor of a map that may write.
        Map = 14, "map";
        /// Something mounted over it.
        Mount = 15, "mount";
        /// Its mount taken away.
        Umount = 16, "umount";
        /// A lock or a lease.
        Lock = 17, "lock";
        /// Somebody wants to be asked before it is opened.
        Watch = 18, "watch";
        /// It had it open to write, or mapped to be written, when the recorder began to look.
        Held = 19, "held";
        /// It was moved into another control group.
        Move = 20, "move";
    }
}

codes! {
    /// With what.
    GuardObject {
        /// The recorder's process.
        Process = 1, "process";
        /// The journal.
        Journal = 2, "journal";
        /// A map of the kernel programs.
        Map = 3, "map";
        /// What switches kernel programs off.
        Switch = 4, "switch";
        /// A control of a group that the recorder is in.
        Cgroup = 5, "cgroup";
        /// The configuration.
        Config = 6, "config";
        /// The unit.
        Unit = 7, "unit";
        /// The program file.
        Program = 8, "program";
        /// A device that the journal lies on.
        Device = 9, "device";
    }
}

/// Attempts of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What was tried.
    pub act: GuardAct,
    /// With what.
    pub object: GuardObject,
    /// 1: refused; 0: it was let happen.
    pub denied: u8,
    /// Number of the signal or of the limit; of a map its id.
    pub detail: u32,
    /// The file; of a map its name; empty if none.
    pub path: Bytes,
    /// The new name of a rename or link.
    pub to: Bytes,
    /// The session of who tried; [`SessionId::NOBODY`]: nobody's.
    pub session: SessionId,
    /// Who tried; the pid 0 stands for all beyond those that are counted apart.
    pub by: TaskId,
    /// How often so far.
    pub count: u64,
    /// The first time.
    pub first: BootNanos,
    /// The last time.
    pub last: BootNanos,
}

impl Guard {
    /// What everybody may see of it: no names.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { path: Bytes::default(), to: Bytes::default(), ..self.clone() }
    }

    /// The signal, if it is one.
    pub const fn signal(&self) -> Option<u32> {
        match self.act {
            GuardAct::Signal => Some(self.detail),
            _ => None,
        }
    }
}
