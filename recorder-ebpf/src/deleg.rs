//! Work that a session hands to other people's processes (docs/delegation.md): what it asks managers for, what they start then,
//! jobs of cron and at, programs that it wrote and others run.
//!
//! What may have been asked for gets a mark of its own before it runs; whether somebody did ask, the service decides. So nothing
//! is missed that starts faster than a message is read, and nobody's work is given to anybody by a guess of the kernel side.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use recorder_common::{
    Armed, BranchEvent, Class, ForkEvent, Kind, MarkFlag, PASSED_FILES, PlantKey, REQUEST_PART,
    REQUEST_PARTS, RequestEvent, Ring, SUN_PATH, SocketName, State, StdinEvent,
};

use crate::{
    emit::{self, Event},
    kernel::{self, Place, TaskPtr, off},
    maps::{ARMED, PENDING, PLANTED, SOCKETS},
    scope,
};

const AF_UNIX: u16 = 1;
const SOCK_STREAM: u16 = 1;
const TCP_LISTEN: u8 = 10;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFCHR: u32 = 0o020_000;
/// How long a manager is looked at after something was sent to it; seen: 4 to 18 ms.
const ARM_NS: u64 = 5_000_000_000;
/// The same of container engines, which may stop a container first (10 s) and copy its image.
const ENGINE_NS: u64 = 30_000_000_000;
/// `/run/user/`: sockets of a user's own manager, which come and go.
const USER_DIR: [u8; 10] = *b"/run/user/";
/// In a value of `PENDING`: a user's manager made it. Marks are times and don't reach it.
const OF_USER: u64 = 1 << 63;
/// Names of daemons that run jobs. A name is chosen by the program: it arms, and proves nothing.
const DAEMONS: [[u8; 8]; 4] = [*b"cron\0\0\0\0", *b"crond\0\0\0", *b"CRON\0\0\0\0", *b"atd\0\0\0\0\0"];
/// Name of the processes that keep containers (containerd-shim-runc-v2, as far as a name goes) and what starts in them.
const SHIM: [[u8; 8]; 2] = [*b"containe", *b"rd-shim\0"];
/// The bytes of a name that are compared: as many as the longest has, and its end.
const NAME: u64 = 0xffff_ffff_ffff;

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
    // Called one after the other: one behind the other, they need more stack than there is.
    if kind == SOCK_STREAM && request(sk, session) == READS {
        message(sk, session);
    }
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
    mode & S_IFMT == S_IFCHR && is_one
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

/// What `request` gives if the message is to be read.
const READS: u32 = 2;

/// A connect or a send of a session to a named socket. A global function: verified once for both backends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn request(sk: u64, session: u64) -> u32 {
    let Some(name) = name_of(sk) else { return 0 };
    let state: u8 = kernel::read(sk, off!(sock_state));
    if state == TCP_LISTEN {
        told(sk, session, RequestEvent::CONNECT);
        return 1;
    }
    // SAFETY: copied at once.
    let manager = match unsafe { SOCKETS.get(&name) }.copied() {
        Some(manager) => manager,
        None => match user_manager(&name) {
            Some(manager) => manager,
            None => return 0,
        },
    };
    if manager != 0 {
        let soon = emit::now() + if manager == Armed::ENGINE { ENGINE_NS } else { ARM_NS };
        // Where something may start by itself the service looks for longer.
        // SAFETY: copied at once.
        let until = unsafe { ARMED.get(&manager) }.map_or(0, |armed| armed.until);
        let armed = Armed { mark: session, until: if until > soon { until } else { soon } };
        if ARMED.insert(&manager, &armed, 0).is_ok() {
            emit::set_state(State::ARMED);
        }
    }
    let last: u64 = kernel::read(sk, off!(sock_queue_last));
    if last == 0 || last == sk + off!(sock_queue) as u64 {
        told(sk, session, RequestEvent::OPAQUE);
        return 1;
    }
    READS
}

/// The bytes of the message that was sent last, in parts.
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
        return told(sk, session, RequestEvent::OPAQUE);
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
    part
}

#[inline(always)]
fn append_name(event: &mut Event, sk: u64) -> u32 {
    let address: u64 = kernel::read(sk, off!(unix_addr));
    let len: u32 = kernel::read(address, off!(unix_name_len));
    let n = len.saturating_sub(2);
    let n = if n > SUN_PATH as u32 { SUN_PATH as u32 } else { n };
    event.kernel_bytes::<0x7f>(address + off!(unix_name) as u64 + 2, n as usize)
}

/// What tells a connection from others, also from a later one at the same address: the inode of the sender's socket.
#[inline(always)]
fn connection(sk: u64) -> u64 {
    let socket: u64 = kernel::read(kernel::read(sk, off!(unix_peer)), off!(sock_socket));
    let inode = kernel::inode_id(if socket == 0 { 0 } else { socket + off!(socket_inode) as u64 });
    if inode.ino == 0 { sk } else { inode.ino }
}

/// The process behind a socket: a listener knows its own, an accepted one its client's, whose socket knows the listener's.
#[inline(always)]
fn peer(sk: u64, what: u32) -> u32 {
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
        connection: connection(sk),
        peer: peer(sk, what),
        what,
        path_len,
        ..RequestEvent::default()
    };
    u32::from(event.send(Kind::REQUEST, Ring::CRITICAL, session, payload, 0))
}

#[inline(always)]
fn id_of(cgroup: u64) -> u64 {
    let node: u64 = kernel::read(cgroup, off!(cgroup_node));
    kernel::read(node, off!(kernfs_id))
}

/// The control group of a task in the default hierarchy.
#[inline(always)]
fn cgroup_of(task: TaskPtr) -> u64 {
    let set: *const u8 = kernel::load(task, off!(task_cgroups));
    id_of(kernel::read(set as u64, off!(css_set_cgroup)))
}

/// The session on whose behalf the current task may be at work, if it is a manager that was asked for something; 0 if not.
#[inline(always)]
fn asked() -> u64 {
    let task = kernel::current();
    let uid = u64::from(kernel::creds(task).uid);
    let tgid = u64::from(kernel::tgid(task));
    let key = if tgid == 1 { 1 } else { Armed::USER | uid };
    // SAFETY: copied at once.
    match unsafe { ARMED.get(&key) } {
        Some(armed) if emit::now() < armed.until => armed.mark,
        _ => 0,
    }
}

/// `cgroup_mkdir(cgroup, path)`.
#[inline(always)]
pub fn cgroup_made(cgroup: u64, path: u64) {
    if emit::state(State::ARMED) == 0 || scope::session_of(kernel::current()) != 0 {
        return;
    }
    let parent = asked();
    if parent == 0 {
        return;
    }
    let id = id_of(cgroup);
    let mark = emit::next_mark();
    let of_user = if kernel::tgid(kernel::current()) == 1 { 0 } else { OF_USER };
    if PENDING.insert(&id, &(mark | of_user), 0).is_err() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).map_full }, 1);
        return;
    }
    branch(mark, parent, id, path, BranchEvent::UNIT);
}

/// Says that something starts. A global function, as its callers have no room on the stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn branch(mark: u64, parent: u64, object: u64, path: u64, cause: u32) -> u32 {
    let Some(mut event) = Event::new::<BranchEvent>(Class::SESSION) else { return 0 };
    let path_len = if path == 0 { 0 } else { event.kernel_str(path) };
    let payload = BranchEvent { parent, object, dev: 0, cause, path_len, generation: 0 };
    u32::from(event.send(Kind::BRANCH, Ring::CRITICAL, mark, payload, 0))
}

/// A process belongs to something that starts: told like a fork.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn joined(mark: u64, start_ns: u64, pid: u32) -> u32 {
    let Some(event) = Event::new::<ForkEvent>(Class::FORK) else { return 0 };
    let payload = ForkEvent { child_start_ns: start_ns, child_pid: pid, reserved: 0 };
    u32::from(event.send(Kind::FORK, Ring::CRITICAL, mark, payload, 0))
}

/// The mark of what starts in a control group. A task with a login uid is somebody's login, which logind has moved there, and no
/// unit of the system's manager; those of a user's manager have one.
#[inline(always)]
fn pending(cgroup: u64, task: TaskPtr) -> Option<u64> {
    // SAFETY: copied at once.
    let value = unsafe { PENDING.get(&cgroup) }.copied()?;
    if value & OF_USER == 0 && kernel::loginuid(task) != u32::MAX {
        return None;
    }
    Some(value & !OF_USER)
}

/// `cgroup_attach_task(cgroup, path, task, threadgroup)`.
#[inline(always)]
pub fn attached(cgroup: u64, task: TaskPtr) {
    if emit::state(State::ARMED) == 0 {
        return;
    }
    let Some(mark) = pending(id_of(cgroup), task) else { return };
    if scope::mark_of(task).is_some() {
        return;
    }
    if scope::adopt(task, mark, 0) {
        joined(mark, kernel::load(task, off!(task_start)), kernel::tgid(task));
    }
}

/// True if the task's name is that of a daemon that runs jobs.
#[inline(always)]
fn runs_jobs(task: TaskPtr) -> bool {
    let name: u64 = kernel::load(task, off!(task_comm));
    let mut is_one = false;
    let mut d = 0;
    // As numbers: byte by byte is a way for the verifier for each byte that differs.
    while d < DAEMONS.len() {
        is_one |= name & NAME == u64::from_le_bytes(DAEMONS[d]);
        d += 1;
    }
    is_one
}

/// `sched_process_fork` of a parent without a mark: the child may be born into a control group that somebody asked for, or be a
/// job.
#[inline(always)]
pub fn forked(parent: TaskPtr, child: TaskPtr) -> Option<u64> {
    if kernel::tid(child) != kernel::tgid(child) {
        return None;
    }
    if emit::state(State::ARMED) != 0 {
        if let Some(mark) = pending(cgroup_of(child), child) {
            return scope::adopt(child, mark, 0).then_some(mark);
        }
    }
    // Anybody may take a name; the daemons are root, if only in the saved id as atd.
    let creds = kernel::creds(parent);
    let is_root = creds.uid == 0 || creds.euid == 0 || creds.suid == 0;
    if emit::state(State::JOBS) == 0 || !runs_jobs(parent) || !is_root {
        return None;
    }
    let mark = emit::next_mark();
    if !scope::adopt(child, mark, MarkFlag::JOB) {
        return None;
    }
    branch(mark, 0, 0, 0, BranchEvent::JOB);
    Some(mark)
}

#[inline(always)]
pub fn plant_key(inode: u64) -> PlantKey {
    let id = kernel::inode_id(inode);
    PlantKey { ino: id.ino, dev: id.dev, generation: kernel::read(inode, off!(inode_generation)) }
}

/// A session opened a file for writing.
#[inline(always)]
pub fn written(session: u64, inode: u64) {
    let mode = u32::from(kernel::read::<u16>(inode, off!(inode_mode)));
    if mode & S_IFMT != S_IFREG {
        return;
    }
    let key = plant_key(inode);
    if PLANTED.get_ptr(&key).is_none() {
        // The map forgets the oldest by itself; how many there were says when.
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).plants }, 1);
    }
    if PLANTED.insert(&key, &session, 0).is_ok() {
        emit::set_state(State::PLANTED);
    }
}

/// An exec of a task that is nobody's, of what lies in that inode: the mark it has from here on, 0 for none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn run(inode: u64) -> u64 {
    if emit::state(State::ARMED) | emit::state(State::PLANTED) == 0 {
        return 0;
    }
    let task = kernel::current();
    if scope::mark_of(task).is_some() {
        return 0;
    }
    let asked = if emit::state(State::ARMED) == 0 { None } else { pending(cgroup_of(task), task) };
    if let Some(asked) = asked {
        return if scope::adopt(task, asked, 0) { asked } else { 0 };
    }
    let key = plant_key(inode);
    // SAFETY: copied at once.
    let parent = unsafe { PLANTED.get(&key) }.copied().unwrap_or(0);
    if parent == 0 {
        return 0;
    }
    let mark = emit::next_mark();
    if !scope::adopt(task, mark, 0) {
        return 0;
    }
    ran(mark, parent, key.ino, key.dev, key.generation);
    mark
}

#[inline(always)]
fn is_shim(task: TaskPtr) -> bool {
    let name: [u64; 2] = kernel::load(task, off!(task_comm));
    name[0] == u64::from_le_bytes(SHIM[0]) && name[1] == u64::from_le_bytes(SHIM[1])
}

/// The current task runs another program than the shim that made it, while an engine is at work for somebody: a runtime, which
/// starts a container, goes into one, or does what the engine asks of itself. Gives its mark, or 0. Whoever may call himself a
/// shim is root; the container's id decides.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn contained(inode: u64) -> u64 {
    let task = kernel::current();
    let parent: TaskPtr = kernel::load(task, off!(task_parent));
    // A shim starts itself once more.
    if emit::state(State::ARMED) == 0 || !is_shim(parent) || is_shim(task) || kernel::creds(parent).uid != 0 {
        return 0;
    }
    if scope::mark_of(task).is_some() {
        return 0;
    }
    // SAFETY: copied at once.
    let until = unsafe { ARMED.get(&Armed::ENGINE) }.map_or(0, |armed| armed.until);
    let mark = emit::next_mark();
    if emit::now() >= until || !scope::adopt(task, mark, 0) {
        return 0;
    }
    // Who asked says the id alone; who wrote the runtime is known here.
    // SAFETY: copied at once.
    let parent = unsafe { PLANTED.get(&plant_key(inode)) }.copied().unwrap_or(0);
    branch(mark, parent, 0, 0, BranchEvent::ENGINE);
    mark
}

/// Says that a planted program runs.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ran(mark: u64, parent: u64, ino: u64, dev: u32, generation: u32) -> u32 {
    let Some(event) = Event::new::<BranchEvent>(Class::SESSION) else { return 0 };
    let payload =
        BranchEvent { parent, object: ino, dev, cause: BranchEvent::PLANT, path_len: 0, generation };
    u32::from(event.send(Kind::BRANCH, Ring::CRITICAL, mark, payload, 0))
}

/// The first program of a job: what it reads on its standard input.
#[inline(always)]
pub fn job_starts(task: TaskPtr, session: u64) {
    if let Some(mark) = scope::mark_of(task) {
        if mark.flags & MarkFlag::JOB != 0 {
            mark.flags &= !MarkFlag::JOB;
            stdin(session);
        }
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stdin(session: u64) -> u32 {
    let file = kernel::file_of(kernel::current(), 0);
    if file == 0 {
        return 0;
    }
    let Some(mut event) = Event::new::<StdinEvent>(Class::SESSION) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    let id = kernel::inode_id(kernel::read(file, off!(file_inode)));
    let payload = StdinEvent { ino: id.ino, dev: id.dev, path_len };
    u32::from(event.send(Kind::STDIN, Ring::CRITICAL, session, payload, 0))
}
