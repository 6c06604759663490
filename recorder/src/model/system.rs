//! Changes of the system itself, and what is done with sockets.

use serde::{Deserialize, Serialize};

use super::{BootNanos, Bytes};

/// Kinds of changes; the record's kind says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOp {
    /// Something was mounted, moved, or made somebody's root.
    Mount,
    /// A mount was taken away.
    Umount,
    /// A module came or went.
    Module,
    /// A BPF program was loaded, attached, detached or pinned.
    Bpf,
    /// A process went into other namespaces.
    Namespace,
    /// Clocks, names, swap, accounting, another kernel, a reboot.
    Kernel,
    /// A ring through which acts are asked for without system calls of their own.
    IoUring,
}

/// A system call that changes the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name, such as `move_mount`; `syscall-N` for one that this version can't name.
    pub name: Bytes,
    /// Its arguments by name, as far as they say something: strings as passed, flags and numbers in words of the kernel's headers,
    /// paths of descriptors.
    pub args: Vec<(Bytes, Bytes)>,
    /// What it returned; negative is -errno.
    pub result: i64,
}

/// What is done with a socket; the record's kind says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketOp {
    /// Its other end was chosen.
    Connect,
    /// Its own address was chosen.
    Bind,
    /// It waits for others.
    Listen,
    /// Somebody else's connection was taken.
    Accept,
}

/// An act on a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `AF_*`.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// Its own address with the port, `192.0.2.1:22`, `[2001:db8::1]:22`; the path of a unix socket, `@` before an abstract one. Empty if
    /// it has none.
    pub local: Bytes,
    /// That of the other end.
    pub remote: Bytes,
    /// 0 or the negated errno.
    pub result: i32,
    /// Inode number of the socket; 0 if it is none.
    pub ino: u64,
}

/// What was sent from a socket without a connection, to whom each datagram names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// From where to where; `family` is that of the other end's address.
    pub socket: Socket,
    /// Datagrams beside those that other records stand for.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of all datagrams from here to there.
    pub first: BootNanos,
    /// The last so far.
    pub last: BootNanos,
}

/// One of the kernel's settings (/proc/sys) was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its path.
    pub path: Bytes,
    /// Device, major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// The first bytes of what was written.
    pub value: Bytes,
    /// Bytes that were written.
    pub bytes: u64,
}
