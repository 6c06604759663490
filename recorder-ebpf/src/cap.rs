//! Capabilities that sessions exercise: folded in the kernel with exact counts, told at the first use.
//!
//! Every check of a capability by a task of a session is counted by (session, program, capability, outcome). A check that
//! the kernel itself marks as a mere look (`CAP_OPT_NOAUDIT`: memory accounting at each mmap, reading /proc) exercises
//! nothing and is left out: nobody asked for the right, and nothing fails without it.

use aya_ebpf::helpers::generated::{bpf_get_stack, bpf_map_update_elem};
use core::ptr::addr_of;
use recorder_common::{CapEvent, CapKey, CapUse, Class, Hook, Kind, Ring};

use crate::{
    atomic,
    emit::{self, Event},
    kernel::{self, Args, Place, TaskPtr, off},
    maps::{CAPS, PROBES},
    scope,
};

/// `CAP_OPT_NOAUDIT`, include/linux/security.h (since 5.1).
const NOAUDIT: u64 = 2;
/// `CAP_SYS_ADMIN`, which memory accounting looks for.
const SYS_ADMIN: u64 = 21;
const MAP_PRIVATE: u64 = 2;
/// All of `CLONE_NEW*` that clone(2) takes (include/uapi/linux/sched.h).
const CLONE_NEW: u64 = 0x7e02_0000;

/// System call numbers of x86-64. Those of 32-bit programs mean other calls, none of which asks for `SYS_ADMIN`.
mod nr {
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const BRK: u64 = 12;
    pub const MREMAP: u64 = 25;
    pub const CLONE: u64 = 56;
    pub const FORK: u64 = 57;
    pub const VFORK: u64 = 58;
    pub const EXECVE: u64 = 59;
    pub const EXECVEAT: u64 = 322;
}

/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;
/// Frames looked at: the program itself, the tracepoint, cap_capable, the security module, and who asked.
const FRAMES: usize = 10;

/// `security_capable(cred, ns, cap, opts)` returned.
#[inline(always)]
pub fn security_capable(ns: u64, number: u64, opts: u64, ret: i32) {
    let task = kernel::current();
    let session = scope::session_of(task);
    canary();
    if session == 0 || opts & NOAUDIT != 0 {
        return;
    }
    count(session, ns, number as u32, u32::from(ret == 0));
}

/// The tracepoint, which does not tell the options: who asked is read from the stack.
#[inline(always)]
pub fn tracepoint(ctx: *mut core::ffi::c_void, ns: u64, number: u64, ret: i32) {
    let task = kernel::current();
    let session = scope::session_of(task);
    canary();
    if session == 0 || accounts(task, number) || is_probe(ctx) {
        return;
    }
    count(session, ns, number as u32, u32::from(ret == 0));
}

/// True if the call that the task is in asks for this capability for nothing but its memory's accounts. Such calls are
/// most of all checks, and a look at the stack costs as much as all else that is done at a program's start.
#[inline(always)]
fn accounts(task: TaskPtr, number: u64) -> bool {
    if number != SYS_ADMIN {
        return false;
    }
    let args = Args::new(task);
    match args.call() {
        nr::BRK | nr::MPROTECT | nr::MREMAP | nr::FORK | nr::VFORK | nr::EXECVE | nr::EXECVEAT => true,
        // A device's own mapping may ask for rights.
        nr::MMAP => args.fourth() & MAP_PRIVATE != 0,
        nr::CLONE => args.first() & CLONE_NEW == 0,
        _ => false,
    }
}

#[inline(always)]
fn canary() {
    if scope::is_canary(kernel::current()) {
        scope::answer(Hook::CAPABILITY);
    }
}

#[inline(always)]
fn bound(n: usize) -> u64 {
    // SAFETY: a static of this object; `n` is below its length.
    unsafe { core::ptr::read_volatile(addr_of!(PROBES).cast::<u64>().add(n)) }
}

/// True if a function that only looks is among the callers.
#[inline(always)]
fn is_probe(ctx: *mut core::ffi::c_void) -> bool {
    if bound(1) == 0 {
        return false;
    }
    let mut frames = [0u64; FRAMES];
    // SAFETY: the buffer has that size.
    unsafe { bpf_get_stack(ctx, frames.as_mut_ptr().cast(), size_of_val(&frames) as u32, 0) };
    let mut found = 0;
    for at in frames {
        found |= looks(at);
    }
    found != 0
}

/// 1 if code at that address only looks. A global function: what it compares with are no ways of its callers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn looks(at: u64) -> u32 {
    u32::from(
        (at >= bound(0) && at < bound(1))
            || (at >= bound(2) && at < bound(3))
            || (at >= bound(4) && at < bound(5))
            || (at >= bound(6) && at < bound(7)),
    )
}

/// Counts one check of the current task. A global function: both hooks have it, and its key has its own stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn count(session: u64, ns: u64, number: u32, granted: u32) -> u32 {
    let task = kernel::current();
    let mm: *const u8 = kernel::load(task, off!(task_mm));
    let exe: u64 = if mm.is_null() { 0 } else { kernel::read(mm as u64, off!(mm_exe_file)) };
    let id = kernel::inode_id(if exe == 0 { 0 } else { kernel::read(exe, off!(file_inode)) });
    let level: u32 = kernel::read(ns, off!(user_ns_level));
    let key = CapKey {
        mark: session,
        ino: id.ino,
        dev: id.dev,
        number: number as u16,
        granted: granted as u8,
        inner: u8::from(level != 0),
    };
    if add(&key) {
        return 0;
    }
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
    let r = unsafe {
        bpf_map_update_elem(
            addr_of!(CAPS).cast_mut().cast(),
            addr_of!(key).cast(),
            addr_of!(first).cast(),
            NO_EXIST,
        )
    };
    if r == 0 {
        tell(&key, exe);
        return 1;
    }
    // Another processor was first, or the map is full.
    if !add(&key) {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).caps_full }, 1);
    }
    0
}

/// Adds to what is counted already.
#[inline(always)]
fn add(key: &CapKey) -> bool {
    let Some(known) = CAPS.get_ptr_mut(key) else { return false };
    // SAFETY: map value.
    atomic::fetch_add(unsafe { &raw mut (*known).count }, 1);
    // SAFETY: map value; whoever writes last is near enough.
    unsafe { (&raw mut (*known).last_ns).write_volatile(emit::now()) };
    true
}

#[inline(always)]
fn tell(key: &CapKey, exe: u64) {
    let Some(mut event) = Event::new::<CapEvent>(Class::CRED) else { return };
    let path_len = if exe == 0 { 0 } else { event.path(Place::of_file(exe)) };
    event.send(Kind::CAPABILITY, Ring::CRITICAL, key.mark, CapEvent { key: *key, path_len, reserved: 0 }, 0);
}
