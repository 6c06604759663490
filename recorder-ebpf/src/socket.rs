//! What people say to sockets of others: connections, messages to managers and engines, descriptors that they hand on
//! (docs/delegation.md).

mod ahead;
mod retold;

pub use ahead::{enters, enters_call, is_sending};

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use recorder_common::{
    Armed, Class, Kind, MarkFlag, PASSED_FILES, REQUEST_PART, REQUEST_PARTS, RequestEvent, Ring, SUN_PATH,
    SocketName, State,
};

use crate::{
    emit::{self, Event},
    kernel::{self, Place, off},
    maps::{ARMED, SOCKETS},
    scope,
};

const AF_UNIX: u16 = 1;
const SOCK_STREAM: u16 = 1;
const TCP_LISTEN: u8 = 10;
/// How long a manager is looked at after something was sent to it; seen: 4 to 18 ms.
const ARM_NS: u64 = 5_000_000_000;
/// The same of container engines, which may stop a container first (10 s) and copy its image.
const ENGINE_NS: u64 = 30_000_000_000;
/// `/run/user/`: sockets of a user's own manager, which come and go.
const USER_DIR: [u8; 10] = *b"/run/user/";

/// `sk_data_ready(sk)`, `sock_def_readable(sk)`: the current task sent something, `sk` is who receives it.
#[inline(always)]
pub fn data_ready(sk: u64) {
    let Some(mark) = scope::mark_of(kernel::current()) else { return };
    if kernel::read::<u16>(sk, off!(sock_family)) != AF_UNIX {
        return;
    }
    let session = mark.mark;
    if session == 0 {
        // Of people who are not recorded too: who hands his terminal to a server sits in what it shows. Once, or he could fill the
        // ring that others' records come through.
        if mark.flags & MarkFlag::SEATED == 0 && descriptors(sk, 0) != 0 {
            mark.flags |= MarkFlag::SEATED;
        }
        return;
    }
    descriptors(sk, session);
    let kind: u16 = kernel::read(sk, off!(sock_type));
    if kind != SOCK_STREAM {
        return;
    }
    // Called one after the other: one behind the other, they need more stack than there is.
    let mut found = request(sk, session);
    if found == READS {
        found = message(sk, session);
    }
    if found == GONE && retold::parts(sk, session) == 0 {
        told(sk, session, RequestEvent::OPAQUE);
    }
    ahead::over();
}

/// True for the file of a terminal, however it is called where it lies; not for the other end of one.
#[inline(always)]
fn is_terminal(file: u64) -> bool {
    let inode: u64 = kernel::read(file, off!(file_inode));
    let mode = u32::from(kernel::read::<u16>(inode, off!(inode_mode)));
    let device: u32 = kernel::read(inode, off!(inode_rdev));
    // include/uapi/linux/major.h, Documentation/admin-guide/devices.txt: VT and serial, /dev/tty and console, pty slaves, hypervisors.
    let is_one = match device >> 20 {
        4 | 229 => true,
        5 => device & 0xf_ffff < 2,
        major => major >= 136 && major < 144,
    };
    mode & kernel::S_IFMT == kernel::S_IFCHR && is_one
}

/// The descriptors that the message sent last brings along; how many were told. A receiver that was faster has taken them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn descriptors(sk: u64, session: u64) -> u32 {
    let last: u64 = kernel::read(sk, off!(sock_queue_last));
    if last == 0 || last == sk + off!(sock_queue) as u64 {
        return 0;
    }
    let list: u64 = kernel::read(last, off!(skb_cb) + off!(unix_parms_fp));
    if list == 0 {
        return 0;
    }
    let count = u32::from(kernel::read::<u16>(list, off!(fp_list_count)));
    let (mut i, mut told) = (0, 0);
    while i < PASSED_FILES && i < count {
        let file: u64 = kernel::read(list, off!(fp_list_files) + i as usize * 8);
        told += handed_on(sk, session, file, u64::from(count) << 32 | u64::from(i));
        i += 1;
    }
    told
}

/// One of them; `which` is how many there are and which one it is, in 32 bits each.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn handed_on(sk: u64, session: u64, file: u64, which: u64) -> u32 {
    let what = if is_terminal(file) { RequestEvent::TERMINAL } else { RequestEvent::PASSED };
    if session == 0 && what != RequestEvent::TERMINAL {
        return 0;
    }
    let Some(mut event) = Event::new::<RequestEvent>(Class::SESSION) else { return 0 };
    let path_len = append_name(&mut event, sk);
    let len = event.path(Place::of_file(file));
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<RequestEvent>() };
    payload.since_ns = 0;
    payload.connection = connection(sk);
    payload.total = (which >> 32) as u32;
    payload.offset = which as u32;
    payload.peer = peer(sk, what);
    payload.what = what;
    payload.path_len = path_len;
    payload.len = len;
    u32::from(event.send_as_is(Kind::REQUEST, Ring::BULK, session, 0))
}

/// The name a socket is bound to; accepted sockets have their listener's.
#[inline(always)]
fn name_of(sk: u64) -> Option<SocketName> {
    let address: u64 = kernel::read(sk, off!(unix_addr));
    if address == 0 {
        return None;
    }
    let len: u32 = kernel::read(address, off!(unix_name_len));
    let mut name = SocketName([0; SUN_PATH]);
    // The family stands before the path.
    let n = len.wrapping_sub(2) & 0x7f;
    if n == 0 || n > SUN_PATH as u32 {
        return None;
    }
    let from = address + off!(unix_name) as u64 + 2;
    // SAFETY: at most the name's length; the helper checks the source.
    let r = unsafe { bpf_probe_read_kernel(name.0.as_mut_ptr().cast::<c_void>(), n, from as *const c_void) };
    (r == 0).then_some(name)
}

/// The manager that a socket under /run/user belongs to: of its own and of the bus.
#[inline(always)]
fn user_manager(name: &SocketName) -> Option<u64> {
    let mut i = 0;
    while i < USER_DIR.len() {
        if name.0[i] != USER_DIR[i] {
            return None;
        }
        i += 1;
    }
    let mut uid = 0u64;
    while i < USER_DIR.len() + 10 {
        let digit = name.0[i].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        uid = uid * 10 + u64::from(digit);
        i += 1;
    }
    // Anything else there is no manager's, however it is called.
    if !follows(name, i, b"/bus\0") && !follows(name, i, b"/systemd/private\0") {
        return None;
    }
    Some(Armed::USER | uid)
}

#[inline(always)]
fn follows<const N: usize>(name: &SocketName, at: usize, text: &[u8; N]) -> bool {
    let mut same = true;
    let mut i = 0;
    while i < N {
        same &= name.0[at + i] == text[i];
        i += 1;
    }
    same
}

/// What `request` and `message` give: it was told; it is to be read; it can't be read where the kernel has it.
const TOLD: u32 = 1;
const READS: u32 = 2;
const GONE: u32 = 3;

/// A connect or a send of a session to a named socket. A global function: verified once for both backends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn request(sk: u64, session: u64) -> u32 {
    let Some(name) = name_of(sk) else { return 0 };
    let state: u8 = kernel::read(sk, off!(sock_state));
    if state == TCP_LISTEN {
        told(sk, session, RequestEvent::CONNECT);
        return TOLD;
    }
    if !arm(&name, session, 0) {
        return 0;
    }
    let last: u64 = kernel::read(sk, off!(sock_queue_last));
    // A receiver that was at work already may have it by now.
    if last == 0 || last == sk + off!(sock_queue) as u64 { GONE } else { READS }
}

/// What a manager makes is looked at from here on, if the socket is one's; true if what is sent there is read. `sender`: the thread that is
/// about to send, 0 if it has.
#[inline(always)]
fn arm(name: &SocketName, session: u64, sender: u64) -> bool {
    // SAFETY: copied at once.
    let manager = match unsafe { SOCKETS.get(name) }.copied() {
        Some(manager) => manager,
        None => match user_manager(name) {
            Some(manager) => manager,
            None => return false,
        },
    };
    if manager != 0 {
        let soon = emit::now() + if manager == Armed::ENGINE { ENGINE_NS } else { ARM_NS };
        // Where something may start by itself the service looks for longer.
        // SAFETY: copied at once.
        let (until, other) =
            unsafe { ARMED.get(&manager) }.map_or((0, 0), |armed| (armed.until, armed.sender));
        // Who set out before and is on his way still is the one to be waited for.
        let sender = if sender == 0 || is_sending(other) { other } else { sender };
        let armed = Armed { mark: session, until: if until > soon { until } else { soon }, sender };
        if ARMED.insert(&manager, &armed, 0).is_ok() {
            emit::set_state(State::ARMED);
        }
    }
    true
}

/// The bytes of the message that was sent last, in parts; `GONE` if they can't be read.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn message(sk: u64, session: u64) -> u32 {
    let skb: u64 = kernel::read(sk, off!(sock_queue_last));
    let total: u32 = kernel::read(skb, off!(skb_len));
    let beyond: u32 = kernel::read(skb, off!(skb_data_len));
    let data: u64 = kernel::read(skb, off!(skb_data));
    let linear = total.saturating_sub(beyond);
    // Where a write fills whole pages, and with splice, all lies beyond.
    if linear == 0 {
        return GONE;
    }
    let mut offset = 0;
    let mut part = 0;
    while part < REQUEST_PARTS {
        part += 1;
        if offset >= linear {
            break;
        }
        let left = linear - offset;
        let n = if left > REQUEST_PART { REQUEST_PART } else { left };
        let whole = u64::from(total) << 32 | u64::from(offset);
        message_part(sk, session, whole, data + u64::from(offset), n);
        offset += n;
    }
    TOLD
}

#[inline(always)]
pub fn append_name(event: &mut Event, sk: u64) -> u32 {
    let address: u64 = kernel::read(sk, off!(unix_addr));
    let len: u32 = kernel::read(address, off!(unix_name_len));
    let n = len.saturating_sub(2);
    let n = if n > SUN_PATH as u32 { SUN_PATH as u32 } else { n };
    event.kernel_bytes::<0x7f>(address + off!(unix_name) as u64 + 2, n as usize)
}

/// What tells a connection from others, also from a later one at the same address: the inode of the sender's socket.
#[inline(always)]
pub fn connection(sk: u64) -> u64 {
    let socket: u64 = kernel::read(kernel::read(sk, off!(unix_peer)), off!(sock_socket));
    let inode = kernel::inode_id(if socket == 0 { 0 } else { socket + off!(socket_inode) as u64 });
    if inode.ino == 0 { sk } else { inode.ino }
}

/// The process behind a socket: a listener knows its own, an accepted one its client's, whose socket knows the listener's.
#[inline(always)]
pub fn peer(sk: u64, what: u32) -> u32 {
    let of = if what == RequestEvent::CONNECT { sk } else { kernel::read(sk, off!(unix_peer)) };
    kernel::pid_number(kernel::read(of, off!(sock_peer)))
}

/// One part of a message; `whole` is its length and this part's offset in 32 bits each.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn message_part(sk: u64, session: u64, whole: u64, from: u64, len: u32) -> u32 {
    let Some(mut event) = Event::new::<RequestEvent>(Class::SESSION) else { return 0 };
    let path_len = append_name(&mut event, sk);
    let len = event.kernel_bytes::<0xfff>(from, len as usize);
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<RequestEvent>() };
    payload.since_ns = ahead::since();
    payload.connection = connection(sk);
    payload.total = (whole >> 32) as u32;
    payload.offset = whole as u32;
    payload.peer = peer(sk, RequestEvent::SEND);
    payload.what = RequestEvent::SEND;
    payload.path_len = path_len;
    payload.len = len;
    // A person can fill sockets of his own with these: they must not push out an exec.
    u32::from(event.send_as_is(Kind::REQUEST, Ring::BULK, session, 0))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn told(sk: u64, session: u64, what: u32) -> u32 {
    let Some(mut event) = Event::new::<RequestEvent>(Class::SESSION) else { return 0 };
    let path_len = append_name(&mut event, sk);
    let payload = RequestEvent {
        since_ns: ahead::since(),
        connection: connection(sk),
        peer: peer(sk, what),
        what,
        path_len,
        ..RequestEvent::default()
    };
    u32::from(event.send(Kind::REQUEST, Ring::CRITICAL, session, payload, 0))
}
