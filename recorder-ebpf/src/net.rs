//! What programs do with sockets: connect, bind, listen, accept. Who is at the other end says the socket itself, once it is connected.

use recorder_common::{Class, Hook, Kind, Ring, SocketEvent};

use crate::{
    emit::Event,
    file::recorded,
    kernel::{self, Args, off},
};

mod nr {
    pub const CONNECT: u64 = 42;
    pub const BIND: u64 = 49;
    pub const LISTEN: u64 = 50;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// The longest address (`struct sockaddr_storage`); a mask beside it for the verifier.
const LONGEST: u64 = 128;

/// `sys_exit_connect`, `bind`, `listen`, `accept`, `accept4`.
#[inline(always)]
pub fn returned(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::SOCKET) else { return };
    let args = Args::new(task);
    let accepted = id != nr::CONNECT && id != nr::BIND && id != nr::LISTEN;
    let fd = if accepted && ret >= 0 { ret as u32 } else { args.first() as u32 };
    let file = kernel::file_of(task, fd);
    let inode = kernel::inode_id(kernel::read(file, off!(file_inode)));
    let is_socket = inode.mode & kernel::S_IFMT == kernel::S_IFSOCK;
    let Some(mut event) = Event::new::<SocketEvent>(Class::SYSTEM) else { return };
    let len = if args.third() > LONGEST { LONGEST } else { args.third() };
    let passed = id == nr::CONNECT || id == nr::BIND;
    let address_len = if passed { event.user_bytes::<0xff>(args.second(), len as usize) } else { 0 };
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<SocketEvent>() };
    *payload = SocketEvent {
        result: if ret < 0 { ret as i32 } else { 0 },
        nr: id as u32,
        address_len,
        ..SocketEvent::default()
    };
    if is_socket {
        payload.ino = inode.ino;
        ends(payload, kernel::read(file, off!(file_private)));
    }
    event.send_as_is(Kind::SOCKET, Ring::BULK, session, 0);
}

/// Both ends as the socket knows them.
#[inline(always)]
fn ends(payload: &mut SocketEvent, socket: u64) {
    let sock: u64 = kernel::read(socket, off!(socket_sk));
    payload.family = kernel::read(sock, off!(sock_family));
    payload.kind = kernel::read(sock, off!(sock_type));
    payload.protocol = kernel::read(sock, off!(sock_protocol));
    if payload.family == AF_INET {
        let local: u32 = kernel::read(sock, off!(sock_saddr));
        let remote: u32 = kernel::read(sock, off!(sock_daddr));
        payload.local[..4].copy_from_slice(&local.to_ne_bytes());
        payload.remote[..4].copy_from_slice(&remote.to_ne_bytes());
    } else if payload.family == AF_INET6 {
        payload.local = kernel::read(sock, off!(sock_saddr6));
        payload.remote = kernel::read(sock, off!(sock_daddr6));
    } else {
        return;
    }
    payload.local_port = kernel::read(sock, off!(sock_num));
    payload.remote_port = u16::from_be(kernel::read(sock, off!(sock_dport)));
}
