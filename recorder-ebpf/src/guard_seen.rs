//! Attempts on the recorder: counted by who tried what, the first of a kind told at once.
//!
//! The counts outlive the recorder where somebody keeps a descriptor of the map, so they say as well in whose session it was: the next
//! one tells what this one could not, also who ended it.

use core::{ffi::c_void, ptr::addr_of};

use aya_ebpf::helpers::generated::bpf_map_update_elem;
use recorder_common::{Class, GuardAct, GuardEvent, GuardKey, GuardUse, Guarded, Kind, Ring};

use crate::{
    emit::{self, Event},
    failed,
    guard::{self, TOLD_ONLY},
    kernel::{self, Place, TaskPtr, off},
    maps::GUARD_SEEN,
    scope,
};

/// Counts an attempt of the current task, and tells the first of its kind. Returns 1 if it is refused. `to`: the new name's dentry; of a
/// move the group's node.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_tell(what: u64, dentry: u64, mnt: u64, to: u64) -> u32 {
    let task = kernel::current();
    let object = (what >> 16) as u32 & 0xff & !TOLD_ONLY;
    let told_only = (what >> 16) as u32 & TOLD_ONLY != 0;
    let denied = u32::from(!told_only && guard::is_refused(object));
    let detail = (what >> 32) as u32;
    let mut key = GuardKey {
        start_ns: kernel::load(kernel::leader(task), off!(task_start)),
        pid: kernel::tgid(task),
        act: what as u16,
        object: object as u16,
        // Who lists maps asks for each of them.
        detail: if object == Guarded::MAP { 0 } else { detail },
        denied,
    };
    if !has_rights(task) {
        let session = scope::session_near();
        (key.start_ns, key.pid) = (if session == 0 { GuardKey::WITHOUT_RIGHTS } else { session }, 0);
    }
    if add(&key) {
        return denied;
    }
    if insert(&key) {
        key.detail = detail;
        tell(&key, Place { dentry, mnt }, to);
        return denied;
    }
    if !add(&key) {
        // Beyond those that are counted apart.
        (key.start_ns, key.pid, key.detail) = (0, 0, 0);
        if !add(&key) {
            full();
        }
    }
    denied
}

/// False for whom the kernel refuses it behind some of the hooks: whoever may start processes could fill the map with them. Those of a
/// session are counted as one, and so are all others. What rights somebody has in a user namespace of his own is nothing here.
#[inline(always)]
fn has_rights(task: TaskPtr) -> bool {
    let creds = kernel::creds(task);
    creds.uid == 0
        || creds.euid == 0
        || creds.suid == 0
        || creds.fsuid == 0
        || (creds.cap_effective != 0 && kernel::user_ns_level(task) == 0)
}

/// Something of the guard's found no room.
#[inline(always)]
pub fn full() {
    // SAFETY: map value.
    emit::count(|c| unsafe { &raw mut (*c).guard_full }, 1);
}

#[inline(always)]
fn tell(key: &GuardKey, place: Place, to: u64) {
    let Some(mut event) = Event::new::<GuardEvent>(Class::GUARD) else { return };
    let (path_len, to_len) = if key.act == GuardAct::MOVE {
        (event.names(to), 0)
    } else {
        let path_len = if place.dentry == 0 { 0 } else { event.path(place) };
        let to_len = if to == 0 { 0 } else { event.path(Place { dentry: to, mnt: place.mnt }) };
        (path_len, to_len)
    };
    let payload = GuardEvent { key: *key, path_len, to_len };
    event.send(Kind::GUARD, Ring::CRITICAL, scope::session_near(), payload, 0);
}

#[inline(always)]
fn add(key: &GuardKey) -> bool {
    let Some(known) = GUARD_SEEN.get_ptr_mut(key) else { return false };
    // SAFETY: map value. What is there from the beginning was not tried yet.
    let first = unsafe { &raw mut (*known).first_ns };
    // SAFETY: as above; one of several that are first is near enough.
    unsafe {
        if first.read_volatile() == 0 {
            first.write_volatile(emit::now());
        }
        failed::one_more(&raw mut (*known).count, &raw mut (*known).last_ns);
    }
    true
}

/// False if somebody else did, or there is no room.
#[inline(always)]
fn insert(key: &GuardKey) -> bool {
    let now = emit::now();
    let first = GuardUse { count: 1, first_ns: now, last_ns: now, mark: scope::session_near() };
    let map = addr_of!(GUARD_SEEN).cast::<c_void>().cast_mut();
    // SAFETY: key and value are initialised and of the map's sizes.
    unsafe { bpf_map_update_elem(map, addr_of!(*key).cast(), addr_of!(first).cast(), failed::NO_EXIST) == 0 }
}
