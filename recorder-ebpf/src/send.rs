//! What is sent without a connection: datagrams, each to whom it names. They are counted by session, socket and peer; the first is told.

use recorder_common::{Class, Kind, Ring, SendEvent, SendKey, SendUse};

use crate::{
    atomic,
    emit::{self, Event},
    kernel::{self, Args, TaskPtr, off},
    maps::SENDS,
    scope,
};

mod nr {
    pub const SENDTO: u64 = 44;
    pub const SENDMSG: u64 = 46;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_DGRAM: u16 = 2;
const SOCK_RAW: u16 = 3;
/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;
/// How an address is to be read: it lies in the program's memory; only what is no IPv4 address in another form counts.
const USER: u64 = 1;
const NO_V4: u64 = 2;
/// Messages of one sendmmsg that are looked at, the size of each, and where its length lies.
const MESSAGES: u64 = 16;
const MESSAGE: u64 = 64;
const MESSAGE_LEN: u64 = 56;

/// fexit of `udp_sendmsg(sk, msg, len)` and its kin. `v6`: its own work for IPv4 passes the other one, too.
#[inline(always)]
pub fn passed(sock: u64, msg: u64, ret: i32, v6: bool) {
    let session = scope::session_of(kernel::current());
    if session == 0 || ret < 0 {
        return;
    }
    let name: u64 = kernel::read(msg, off!(msghdr_name));
    datagram(session, sock, name, if v6 { NO_V4 } else { 0 }, ret as u64);
}

/// `sys_exit_sendto`, `sendmsg`, `sendmmsg`.
#[inline(always)]
pub fn returned(id: u64, ret: i64) {
    let task = kernel::current();
    let session = scope::session_of(task);
    if session == 0 || ret < 0 {
        return;
    }
    let args = Args::new(task);
    let sock = sock_of(task, args.first());
    if sock == 0 {
        return;
    }
    if id == nr::SENDTO {
        datagram(session, sock, args.fifth(), USER, ret as u64);
    } else if id == nr::SENDMSG {
        datagram(session, sock, named(args.second()), USER, ret as u64);
    } else {
        let (sent, mut n) = (ret as u64, 0);
        while n < MESSAGES {
            if n >= sent {
                break;
            }
            let at = args.second() + n * MESSAGE;
            let len = kernel::user::<u32>(at + MESSAGE_LEN).unwrap_or(0);
            datagram(session, sock, named(at), USER, u64::from(len));
            n += 1;
        }
    }
}

/// Where the address of a message lies; 0 if it has none.
#[inline(always)]
fn named(message: u64) -> u64 {
    kernel::user::<u64>(message).unwrap_or(0)
}

/// The `struct sock` of a descriptor that is a socket, else 0.
#[inline(always)]
pub fn sock_of(task: TaskPtr, fd: u64) -> u64 {
    let file = kernel::file_of(task, fd as u32);
    let inode: u64 = kernel::read(file, off!(file_inode));
    let mode = u32::from(kernel::read::<u16>(inode, off!(inode_mode)));
    if file == 0 || mode & kernel::S_IFMT != kernel::S_IFSOCK {
        return 0;
    }
    kernel::read(kernel::read(file, off!(file_private)), off!(socket_sk))
}

/// `struct sockaddr_in6`, as long as the program gave so much.
#[inline(always)]
fn address(name: u64, how: u64) -> [u8; 28] {
    if how & USER == 0 {
        return kernel::read(name, 0);
    }
    if let Some(long) = kernel::user::<[u8; 28]>(name) {
        return long;
    }
    let mut out = [0u8; 28];
    out[..16].copy_from_slice(&kernel::user::<[u8; 16]>(name).unwrap_or_default());
    out
}

/// One datagram. A global function: all ways to send one have it, and its key has its own stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn datagram(session: u64, sock: u64, name: u64, how: u64, bytes: u64) -> u32 {
    let kind: u16 = kernel::read(sock, off!(sock_type));
    let own: u16 = kernel::read(sock, off!(sock_family));
    if name == 0 || (kind != SOCK_DGRAM && kind != SOCK_RAW) || (own != AF_INET && own != AF_INET6) {
        return 0;
    }
    let address = address(name, how);
    let mut key = SendKey {
        mark: session,
        family: u16::from_ne_bytes([address[0], address[1]]),
        port: u16::from_be_bytes([address[2], address[3]]),
        kind,
        protocol: kernel::read(sock, off!(sock_protocol)),
        ..SendKey::default()
    };
    if key.family == AF_INET6 {
        key.remote.copy_from_slice(&address[8..24]);
        let v4 = address[8..18] == [0; 10] && address[18] == 0xff && address[19] == 0xff;
        if v4 && how & NO_V4 != 0 {
            return 0;
        }
    } else if how & NO_V4 == 0 {
        // An IPv4 socket takes an address of no family for one.
        key.family = AF_INET;
        key.remote[..4].copy_from_slice(&address[4..8]);
    } else {
        return 0;
    }
    let socket: u64 = kernel::read(sock, off!(sock_socket));
    if socket != 0 {
        key.ino = kernel::read(socket, off!(socket_inode) + off!(inode_ino));
    }
    if add(&key, bytes) {
        return 0;
    }
    let now = emit::now();
    let first = SendUse { datagrams: 1, bytes, first_ns: now, last_ns: now };
    let counted = SENDS.insert(&key, &first, NO_EXIST).is_ok();
    // Another processor was first.
    if !counted && add(&key, bytes) {
        return 0;
    }
    tell(&key, sock, bytes, u32::from(counted))
}

/// Adds to what is counted already.
#[inline(always)]
fn add(key: &SendKey, bytes: u64) -> bool {
    let Some(known) = SENDS.get_ptr_mut(key) else { return false };
    // SAFETY: map value.
    atomic::fetch_add(unsafe { &raw mut (*known).datagrams }, 1);
    // SAFETY: map value.
    atomic::fetch_add(unsafe { &raw mut (*known).bytes }, bytes);
    // SAFETY: map value; whoever writes last is near enough.
    unsafe { (&raw mut (*known).last_ns).write_volatile(emit::now()) };
    true
}

#[inline(always)]
fn tell(key: &SendKey, sock: u64, bytes: u64, counted: u32) -> u32 {
    let Some(event) = Event::new::<SendEvent>(Class::SYSTEM) else { return 0 };
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<SendEvent>() };
    *payload = SendEvent { key: *key, bytes, counted, ..SendEvent::default() };
    let own: u16 = kernel::read(sock, off!(sock_family));
    payload.own = own;
    if own == AF_INET6 {
        payload.local = kernel::read(sock, off!(sock_saddr6));
    } else {
        let local: u32 = kernel::read(sock, off!(sock_saddr));
        payload.local[..4].copy_from_slice(&local.to_ne_bytes());
    }
    payload.local_port = kernel::read(sock, off!(sock_num));
    u32::from(event.send_as_is(Kind::SENT, Ring::BULK, key.mark, 0))
}
