//! Where tasks live: namespaces and cgroup, read for every event, and the path of each cgroup at its first sight.
//!
//! The path is read from the kernel's own names before the event that it belongs to: a container that lives for a few
//! milliseconds is gone from cgroupfs before anybody could look.

use recorder_common::{CgroupEvent, Class, Kind, Place, Ring};

use crate::{
    emit::Event,
    kernel::{self, TaskPtr, off},
    maps::CGROUPS,
};

/// `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
const INIT_PID_NS: u32 = 0xefff_fffc;

#[inline(always)]
fn cgroup_node(task: TaskPtr) -> u64 {
    // A plain number, as global functions take it.
    kernel::read(cgroup(task) as u64, off!(cgroup_node))
}

/// A pointer that the verifier knows the type of: what is read of it costs no helper.
#[inline(always)]
fn cgroup(task: TaskPtr) -> *const u8 {
    let set: *const u8 = kernel::load(task, off!(task_cgroups));
    kernel::load(set, off!(css_set_cgroup))
}

/// Of the process namespace that the task is in, which is not always the one that its children get.
#[inline(always)]
fn pid_ns(task: TaskPtr) -> u32 {
    let pid: *const u8 = kernel::load(task, off!(task_thread_pid));
    if pid.is_null() {
        return 0;
    }
    let level: u32 = kernel::load(pid, off!(pid_level));
    if level == 0 {
        return INIT_PID_NS;
    }
    // `struct upid` has 16 bytes, the namespace at 8.
    let ns: u64 = kernel::read(pid as u64, off!(pid_numbers) + (level as usize & 0x1f) * 16 + 8);
    kernel::read(ns, off!(pid_ns_inum))
}

/// Writes where the task is into an event's header.
#[inline(always)]
pub fn put(place: &mut Place, task: TaskPtr) {
    let node: *const u8 = kernel::load(cgroup(task), off!(cgroup_node));
    place.cgroup = if node.is_null() { 0 } else { kernel::load(node, off!(kernfs_id)) };
    // An exiting task has lost its namespaces.
    let proxy: *const u8 = kernel::load(task, off!(task_nsproxy));
    if proxy.is_null() {
        place.mnt_ns = 0;
        place.cgroup_ns = 0;
    } else {
        let mnt: *const u8 = kernel::load(proxy, off!(nsproxy_mnt));
        place.mnt_ns = kernel::load(mnt, off!(mnt_ns_inum));
        let cgroup: *const u8 = kernel::load(proxy, off!(nsproxy_cgroup));
        place.cgroup_ns = kernel::load(cgroup, off!(cgroup_ns_inum));
    }
    place.pid_ns = pid_ns(task);
    let cred: *const u8 = kernel::load(task, off!(task_cred));
    let user: *const u8 = kernel::load(cred, off!(cred_user_ns));
    place.user_ns = kernel::load(user, off!(user_ns_inum));
}

/// Tells the path of the task's cgroup if it was not told yet.
#[inline(always)]
pub fn tell_cgroup(task: TaskPtr, session: u64) {
    let node = cgroup_node(task);
    if node != 0 {
        tell_path(session, node);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_path(session: u64, node: u64) -> u32 {
    let id: u64 = kernel::read(node, off!(kernfs_id));
    if CGROUPS.get_ptr(&id).is_some() {
        return 0;
    }
    let Some(mut event) = Event::new::<CgroupEvent>(Class::SESSION) else { return 0 };
    let path_len = event.names(node);
    let sent =
        event.send(Kind::CGROUP, Ring::CRITICAL, session, CgroupEvent { id, path_len, reserved: 0 }, 0);
    if sent {
        // A full map forgets the oldest: it is told again. One that found no room in the ring is told with the next event.
        let _ = CGROUPS.insert(&id, &session, 0);
    }
    u32::from(sent)
}
