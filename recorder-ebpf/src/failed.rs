//! Programs that could not be started: folded in the kernel with exact counts, told at the first attempt.
//!
//! Seen where execve and execveat return, in both backends: the name is what was passed, because nothing else was found. Whoever
//! walks a PATH fails four times of five, so one event for each attempt would drown the execs that matter.

use aya_ebpf::helpers::generated::{bpf_map_update_elem, bpf_probe_read_kernel_str};
use core::{ffi::c_void, ptr::addr_of};
use recorder_common::{
    CapUse, Class, EventHeader, FAILED_NAME, FAILED_NAMES, FailedEvent, FailedKey, Flag, Kind, RestKey, Ring,
    SCRATCH,
};

use crate::{
    atomic,
    emit::{self, Event},
    file::{self, AT_FDCWD, Base},
    kernel::{self, Args, Place, off},
    maps::{FAILED, FAILED_REST},
    scope,
};

/// Number of execveat of x86-64.
const EXECVEAT: u64 = 322;
/// `ERESTARTSYS`, include/linux/errno.h: the call begins again, nobody sees the error.
const RESTARTS: i64 = 512;
/// Where the key lies in the scratch buffer: it would be half of the stack.
const KEY_AT: usize = SCRATCH - 512;
/// `BPF_NOEXIST`.
pub const NO_EXIST: u64 = 1;

/// `sys_exit_execve`, `sys_exit_execveat`.
#[inline(always)]
pub fn returned(id: u64, ret: i64) {
    if ret >= 0 || ret <= -RESTARTS {
        return;
    }
    let session = scope::session_of(kernel::current());
    if session != 0 {
        attempt(session, u32::from(id == EXECVEAT), -ret as u32);
    }
}

/// Counts one attempt of the current task. A global function: its key has a stack of its own.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn attempt(session: u64, at: u32, errno: u32) -> u32 {
    let task = kernel::current();
    let args = Args::new(task);
    let (dfd, passed) = if at == 0 { (AT_FDCWD as u64, args.first()) } else { (args.first(), args.second()) };
    let Some(mut event) = Event::new::<FailedEvent>(Class::EXEC) else { return 0 };
    let name_len = event.user_str(passed);
    // SAFETY: a multiple of 8 bytes behind all that an event can hold, below the walk's state; the scratch is this program's alone.
    let key = unsafe { &mut *event.buf.add(KEY_AT).cast::<FailedKey>() };
    *key = FailedKey {
        mark: session,
        dir: 0,
        dev: 0,
        errno,
        len: name_len,
        reserved: 0,
        name: [0; FAILED_NAME],
    };
    let mut place = Place { dentry: 0, mnt: 0 };
    if name_len != 0 {
        // SAFETY: the scratch is larger than header and payload; the string there has its end.
        let from = unsafe { event.buf.add(size_of::<EventHeader>() + size_of::<FailedEvent>()) };
        let to = (&raw mut key.name).cast::<c_void>();
        // SAFETY: as many bytes as there are at most.
        unsafe { bpf_probe_read_kernel_str(to, FAILED_NAME as u32, from.cast()) };
    }
    if name_len == 0 || key.name[0] != b'/' {
        place = file::place(task, Base::of(dfd));
        let id = kernel::inode_id(kernel::read(place.dentry, off!(dentry_inode)));
        key.dir = id.ino;
        key.dev = id.dev;
    }
    if !is_new(key) {
        event.abandon();
        return 0;
    }
    let path_len = if place.dentry == 0 { 0 } else { event.path(place) };
    event.flags |= Flag::AS_PASSED;
    let payload = FailedEvent { dir: key.dir, dev: key.dev, errno, name_len, path_len };
    event.send(Kind::EXEC_FAILED, Ring::BULK, session, payload, 0);
    1
}

/// Counts it; true for the first of its name, which is told.
#[inline(always)]
fn is_new(key: &FailedKey) -> bool {
    if add(FAILED.get_ptr_mut(key)) {
        return false;
    }
    let mut rest = RestKey { mark: key.mark, errno: 0, reserved: 0 };
    // SAFETY: map value.
    let names = FAILED_REST.get_ptr(&rest).map_or(0, |names| unsafe { (*names).count });
    if names < FAILED_NAMES && insert(addr_of!(FAILED).cast(), addr_of!(*key).cast()) {
        count_rest(&rest);
        return true;
    }
    // Another processor was first, the map is full, or the session tried too many names.
    if !add(FAILED.get_ptr_mut(key)) {
        rest.errno = key.errno;
        count_rest(&rest);
    }
    false
}

#[inline(always)]
fn count_rest(rest: &RestKey) {
    if add(FAILED_REST.get_ptr_mut(rest))
        || insert(addr_of!(FAILED_REST).cast(), addr_of!(*rest).cast())
        || add(FAILED_REST.get_ptr_mut(rest))
    {
        return;
    }
    if rest.errno != 0 {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).failed_full }, 1);
    }
}

/// Adds to what is counted already.
#[inline(always)]
pub fn add(known: Option<*mut CapUse>) -> bool {
    let Some(known) = known else { return false };
    // SAFETY: map value.
    unsafe { one_more(&raw mut (*known).count, &raw mut (*known).last_ns) };
    true
}

/// Counts an attempt that is made now.
///
/// # Safety
/// Both are places in a value of a map.
#[inline(always)]
pub unsafe fn one_more(count: *mut u64, last_ns: *mut u64) {
    atomic::fetch_add(count, 1);
    // SAFETY: as said; whoever writes last is near enough.
    unsafe { last_ns.write_volatile(emit::now()) };
}

/// Begins to count by the current task; false if somebody else did, or there is no room.
#[inline(always)]
pub fn insert(map: *const c_void, key: *const c_void) -> bool {
    let task = kernel::current();
    let leader = kernel::leader(task);
    let now = emit::now();
    let first = CapUse {
        count: 1,
        first_ns: now,
        last_ns: now,
        start_ns: kernel::load(leader, off!(task_start)),
        pid: kernel::tgid(task),
        reserved: 0,
    };
    // SAFETY: key and value are initialised and of the map's sizes.
    unsafe { bpf_map_update_elem(map.cast_mut(), key, addr_of!(first).cast(), NO_EXIST) == 0 }
}
