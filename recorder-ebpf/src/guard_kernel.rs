//! What the guard knows of files that are the kernel's own: procfs and control groups.

use recorder_common::{GuardSettings, Guarded};

use crate::{
    guard::{LEVELS, ends, is_manager, of_inode, said},
    kernel::{self, off},
};

/// The first bytes of a name.
#[inline(always)]
fn name(dentry: u64) -> [u64; 2] {
    let at: u64 = kernel::read(dentry, off!(dentry_name));
    kernel::read(at, 0)
}

/// True if a name begins with `prefix`, eight bytes at most, filled up with zeros.
#[inline(always)]
const fn begins(name: u64, prefix: [u8; 8], len: u32) -> bool {
    let mask = if len == 8 { u64::MAX } else { (1 << (len * 8)) - 1 };
    name & mask == u64::from_le_bytes(prefix)
}

/// A file of procfs: what switches trampolines off, or something of the recorder's own. 0: neither.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_in_proc(dentry: u64) -> u32 {
    let own = name(dentry);
    if own[0] == u64::from_le_bytes(*b"ftrace_e") && begins(own[1], *b"nabled\0\0", 7) {
        return Guarded::SWITCH;
    }
    let (mut at, mut level) = (dentry, 0);
    while level < LEVELS {
        if guard_is_process(kernel::read(at, off!(dentry_inode))) == 1 {
            return Guarded::PROCESS;
        }
        at = kernel::read(at, off!(dentry_parent));
        level += 1;
    }
    0
}

/// 1 if an inode of procfs is about the recorder: about any thread of its.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_is_process(inode: u64) -> u32 {
    if inode == 0 {
        return 0;
    }
    let whole = inode.wrapping_sub(off!(proc_inode) as u64);
    let pid: u64 = kernel::read(whole, off!(proc_pid));
    if pid == 0 {
        return 0;
    }
    // PIDTYPE_PID is the first of both: the list's head, and the place in the task by which it hangs there.
    let first: u64 = kernel::read(pid, off!(pid_tasks));
    if first == 0 {
        return 0;
    }
    let task = first.wrapping_sub(off!(task_pid_links) as u64);
    let tgid: u32 = kernel::read(task, off!(task_tgid));
    if u64::from(tgid) != said!(pid) {
        return 0;
    }
    let leader: u64 = kernel::read(task, off!(task_leader));
    let began: u64 = kernel::read(leader, off!(task_start));
    u32::from(began / GuardSettings::TICK == said!(start))
}

/// A control of a group that the recorder is in, which holds it up, starves or ends it. The first process sets limits of its own accord.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_in_cgroup(dentry: u64) -> u32 {
    let parent: u64 = kernel::read(dentry, off!(dentry_parent));
    if of_inode(kernel::read(parent, off!(dentry_inode))) != Guarded::CGROUP {
        return 0;
    }
    let [first, _] = name(dentry);
    let stops = begins(first, *b"cgroup.f", 8) || begins(first, *b"cgroup.k", 8);
    // Those for pressure are written to by whoever wants to be told of it.
    let starves = (begins(first, *b"memory.\0", 7) && !begins(first, *b"memory.p", 8))
        || (begins(first, *b"cpu.\0\0\0\0", 4) && !begins(first, *b"cpu.pres", 8))
        || (begins(first, *b"io.\0\0\0\0\0", 3) && !begins(first, *b"io.press", 8))
        || begins(first, *b"cpuset.\0", 7)
        || begins(first, *b"pids.max", 8);
    let manages = is_manager(kernel::current());
    if (stops && !(manages && ends())) || (starves && !manages) { Guarded::CGROUP } else { 0 }
}
