//! System calls that change the system itself, and what programs do with sockets.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Strings of a call that are taken along.
pub const CALL_STRINGS: usize = 3;

/// Payload of `Kind::CALL`; `path_len`, then the `lens` of bytes follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CallEvent {
    /// What it returned.
    pub result: i64,
    /// The arguments as numbers.
    pub args: [u64; 5],
    /// First bytes of the struct that one of them points to, where that says what it was about.
    pub extra: [u64; 2],
    /// The system call's number.
    pub nr: u32,
    /// Bytes of the walked path of the descriptor that it was given.
    pub path_len: u32,
    /// Bytes of the strings that it was given, in the order of the arguments.
    pub lens: [u32; CALL_STRINGS],
    /// Zero.
    pub reserved: u32,
}

/// Payload of `Kind::SOCKET`; `address_len` bytes of the address follow as the program passed it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketEvent {
    /// Inode of the socket, 0 if it is none.
    pub ino: u64,
    /// The socket's own address; of IPv4 the first four bytes.
    pub local: [u8; 16],
    /// That of the other end.
    pub remote: [u8; 16],
    /// 0 or negated errno.
    pub result: i32,
    /// The system call's number.
    pub nr: u32,
    /// `AF_*`.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// The socket's own port, as the host counts.
    pub local_port: u16,
    /// That of the other end, as the host counts.
    pub remote_port: u16,
    /// Zero.
    pub reserved: u16,
    /// Bytes of the passed address.
    pub address_len: u32,
}

const _: () = assert!(size_of::<CallEvent>() == 88);
const _: () = assert!(size_of::<SocketEvent>() == 64);

/// Key of the map that counts what is sent without a connection.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct SendKey {
    /// The session's mark.
    pub mark: u64,
    /// Inode of the socket.
    pub ino: u64,
    /// Whom it was sent to; of IPv4 the first four bytes.
    pub remote: [u8; 16],
    /// The port, as the host counts.
    pub port: u16,
    /// `AF_*` of that address.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
}

/// Value of that map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SendUse {
    /// How many.
    pub datagrams: u64,
    /// How much.
    pub bytes: u64,
    /// The first time, `CLOCK_BOOTTIME` nanoseconds.
    pub first_ns: u64,
    /// The last time.
    pub last_ns: u64,
}

/// Payload of `Kind::SENT`: the first datagram to somebody, or one of many that there was no room to count.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SendEvent {
    /// From where to where.
    pub key: SendKey,
    /// Its bytes.
    pub bytes: u64,
    /// The socket's own address; of IPv4 the first four bytes.
    pub local: [u8; 16],
    /// Its port, as the host counts.
    pub local_port: u16,
    /// `AF_*` of the socket.
    pub own: u16,
    /// 1 if it is the first of what is counted.
    pub counted: u32,
}

const _: () = assert!(size_of::<SendKey>() == 40);
const _: () = assert!(size_of::<SendUse>() == 32);
const _: () = assert!(size_of::<SendEvent>() == 72);
