//! What has to be known of an act before it is done: the mount through which a task changes something, and the old name of
//! a rename (trampoline backend).
//!
//! The kernel's own functions for changes get a dentry and no mount. It is known from where the right to write there was taken until
//! it is given back. What is done in between on another file system is the work of that one (overlayfs on its layers) and nobody's act.

use core::{
    ffi::c_void,
    ptr::{addr_of, null_mut},
};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_task_storage_get};

use crate::{
    kernel::{self, Place, TaskPtr, off},
    maps::{FLIGHTS, Flight},
    scope,
};

#[inline(always)]
fn flight(task: TaskPtr, create: bool) -> Option<&'static mut Flight> {
    // SAFETY: a typed task pointer; a created value is zeroed.
    let state: *mut Flight = unsafe {
        bpf_task_storage_get(
            addr_of!(FLIGHTS).cast_mut().cast(),
            task.cast_mut().cast(),
            null_mut(),
            u64::from(create),
        )
    }
    .cast();
    // SAFETY: map value, alive for the program's run; one task is in one act.
    if state.is_null() { None } else { Some(unsafe { &mut *state }) }
}

/// `mnt_want_write(mnt)` and `mnt_want_write_file(file)` returned.
#[inline(always)]
pub fn begins(mnt: u64, ret: i32) {
    let task = kernel::current();
    if ret != 0 || (scope::session_of(task) == 0 && !scope::is_canary(task)) {
        return;
    }
    if let Some(flight) = flight(task, true) {
        if flight.mnt == 0 {
            flight.mnt = mnt;
        }
    }
}

/// `mnt_drop_write(mnt)` and `mnt_drop_write_file(file)`.
#[inline(always)]
pub fn ends(mnt: u64) {
    let task = kernel::current();
    if scope::session_of(task) == 0 && !scope::is_canary(task) {
        return;
    }
    if let Some(flight) = flight(task, false) {
        if flight.mnt == mnt {
            flight.mnt = 0;
        }
    }
}

/// Where a dentry lies that is being changed, its mount 0 if nobody knows; `None` if it is another file system's own work.
#[inline(always)]
pub fn place(task: TaskPtr, dentry: u64) -> Option<Place> {
    let mnt = match flight(task, false) {
        Some(flight) => flight.mnt,
        None => 0,
    };
    if mnt == 0 {
        return Some(Place { dentry, mnt });
    }
    let sb: u64 = kernel::read(mnt, off!(mnt_sb));
    let own: u64 = kernel::read(dentry, off!(dentry_sb));
    if sb == own { Some(Place { dentry, mnt }) } else { None }
}

/// fentry `security_path_rename(old_dir, old_dentry, new_dir, ..)`: keeps what is gone afterwards.
#[inline(always)]
pub fn renames(old_dir: u64, old_dentry: u64) {
    let task = kernel::current();
    if scope::session_of(task) == 0 {
        return;
    }
    let Some(flight) = flight(task, true) else { return };
    flight.dir = kernel::read(old_dir, off!(path_dentry));
    let name: u64 = kernel::read(old_dentry, off!(dentry_name));
    // SAFETY: 256 bytes into the map value.
    let n = unsafe {
        bpf_probe_read_kernel_str(flight.name.as_mut_ptr().cast::<c_void>(), 256, name as *const c_void)
    };
    flight.name_len = if n > 0 { n as u64 - 1 } else { 0 };
}

/// The old directory and name of the rename that just returned: where the name lies, and its length.
#[inline(always)]
pub fn renamed(task: TaskPtr) -> Option<(Place, u64, usize)> {
    let flight = flight(task, false)?;
    let old = Place { dentry: flight.dir, mnt: flight.mnt };
    Some((old, flight.name.as_ptr() as u64, flight.name_len as usize))
}
