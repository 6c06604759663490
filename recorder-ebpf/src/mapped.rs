//! Files that are mapped to be executed without an exec of their own: libraries, what LD_PRELOAD and dlopen bring, loaders.
//!
//! Told once for each session and file, and counted. The program itself is left out: its exec says it.

use core::ptr::addr_of;
use recorder_common::{Class, Kind, MapEvent, MapKey, Ring};

use crate::{
    emit::{self, Event},
    failed::{add, insert},
    kernel::{self, Args, Place, off},
    maps::MAPPED,
    scope,
};

const PROT_READ: u64 = 1;
const PROT_EXEC: u64 = 4;
/// `READ_IMPLIES_EXEC`, include/uapi/linux/personality.h: whoever asked for it executes what he maps for reading.
const READ_IMPLIES_EXEC: u32 = 0x40_0000;
const MAP_ANONYMOUS: u64 = 0x20;
/// The last page of the address space: an error.
const ERRORS: i64 = -4096;

#[inline(always)]
fn executes(prot: u64) -> bool {
    if prot & PROT_EXEC != 0 {
        return true;
    }
    let personality: u32 = kernel::load(kernel::current(), off!(task_personality));
    prot & PROT_READ != 0 && personality & READ_IMPLIES_EXEC != 0
}

/// `vm_mmap_pgoff` returned.
#[inline(always)]
pub fn mapped(file: u64, prot: u64, ret: i64) {
    if file != 0 && executes(prot) && (ret >= 0 || ret < ERRORS) {
        of_session(file, MapEvent::MMAP);
    }
}

/// `security_file_mprotect` returned. What the personality adds stands in `prot` already.
#[inline(always)]
pub fn protected(vma: u64, prot: u64, ret: i32) {
    if ret != 0 || prot & PROT_EXEC == 0 {
        return;
    }
    let file: u64 = kernel::read(vma, off!(vma_file));
    if file != 0 {
        of_session(file, MapEvent::MPROTECT);
    }
}

/// `sys_exit_mmap`: the file is what the descriptor names by then.
#[inline(always)]
pub fn sys_exit_mmap(ret: i64) {
    if ret < 0 && ret >= ERRORS {
        return;
    }
    let task = kernel::current();
    if scope::session_of(task) == 0 {
        return;
    }
    let args = Args::new(task);
    if !executes(args.third()) || args.fourth() & MAP_ANONYMOUS != 0 {
        return;
    }
    let file = kernel::file_of(task, args.fifth() as u32);
    if file != 0 {
        of_session(file, MapEvent::MMAP);
    }
}

#[inline(always)]
fn of_session(file: u64, how: u32) {
    let session = scope::session_of(kernel::current());
    if session != 0 {
        mapping(session, file, how);
    }
}

/// Counts one mapping of the current task. A global function: all hooks have it, and its key has its own stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mapping(session: u64, file: u64, how: u32) -> u32 {
    let task = kernel::current();
    let inode: u64 = kernel::read(file, off!(file_inode));
    let id = kernel::inode_id(inode);
    let mm: *const u8 = kernel::load(task, off!(task_mm));
    let exe: u64 = if mm.is_null() { 0 } else { kernel::read(mm as u64, off!(mm_exe_file)) };
    let own = kernel::inode_id(if exe == 0 { 0 } else { kernel::read(exe, off!(file_inode)) });
    // What it is itself is no news, unless it writes it anew in place.
    if how == MapEvent::MMAP && own.ino == id.ino && own.dev == id.dev {
        return 0;
    }
    let generation = kernel::read(inode, off!(inode_generation));
    let key = MapKey { mark: session, ino: id.ino, dev: id.dev, how, generation, reserved: 0 };
    if add(MAPPED.get_ptr_mut(&key)) {
        return 0;
    }
    if !insert(addr_of!(MAPPED).cast(), addr_of!(key).cast()) {
        // Another processor was first, or the map is full.
        if !add(MAPPED.get_ptr_mut(&key)) {
            // SAFETY: map value.
            emit::count(|c| unsafe { &raw mut (*c).mapped_full }, 1);
        }
        return 0;
    }
    let Some(mut event) = Event::new::<MapEvent>(Class::EXEC) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    event.nameless(file);
    event.send(Kind::MAPPED, Ring::BULK, session, MapEvent { key, path_len, reserved: 0 }, 0);
    1
}
