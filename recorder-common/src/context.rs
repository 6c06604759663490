//! Where a task lives: namespaces and cgroup.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Inode numbers of a task's namespaces and the id of its cgroup in the default hierarchy; 0 where they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Place {
    /// Cgroup.
    pub cgroup: u64,
    /// Mount namespace.
    pub mnt_ns: u32,
    /// Process namespace that the task is in.
    pub pid_ns: u32,
    /// User namespace of its credentials.
    pub user_ns: u32,
    /// Cgroup namespace.
    pub cgroup_ns: u32,
}

/// Payload of `Kind::CGROUP`: the first sight of a cgroup; `path_len` bytes of names follow, leaf first.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupEvent {
    /// Its id.
    pub id: u64,
    /// Bytes of the path.
    pub path_len: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Place>() == 24);
const _: () = assert!(size_of::<CgroupEvent>() == 16);
