//! Paths from the kernel's own names, written into a scratch buffer leaf first, each name ended by a zero byte.
//!
//! One step is a global function, and where the walk stands lies in the scratch buffer: the verifier checks a step once,
//! knows nothing of it afterwards, and so the loop around it is short. With the steps in the loop it followed each way
//! through every one of them, forty thousand instructions for each program that has a path.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use recorder_common::{Flag, PATH_PARTS, PATH_ROOM, SCRATCH};

use crate::{
    kernel::{self, off, opaque},
    maps::SCRATCHES,
};

/// Largest offset a name may be written at: two bounds that the verifier can follow, `AT_MASK + 4096 <= SCRATCH`.
pub const AT_MASK: usize = 0x3fff;
/// Deeper cgroups are cut, and say so.
const CGROUP_PARTS: usize = 32;
/// Longest name with its end.
const NAME_ROOM: u32 = 256;

/// What a step says: there is another one; the top is reached; there is no room for more.
const ON: u32 = 0;
const TOP: u32 = 1;
const CUT: u32 = 2;

/// Where a walk stands, at the end of the scratch buffer, behind all that an event can hold.
#[repr(C)]
struct Walk {
    /// The dentry, or the node of a cgroup.
    node: u64,
    /// `struct mount`; 0 if the mount is not known.
    mount: u64,
    /// Topmost dentry of the mount.
    root: u64,
    /// Where the next name goes.
    at: u32,
    /// Beyond which nothing more is written.
    end: u32,
    flags: u32,
    reserved: u32,
}

#[inline(always)]
fn buffer(slot: u32) -> Option<*mut u8> {
    SCRATCHES.get_ptr_mut(slot).map(|buf| buf.cast::<u8>())
}

#[inline(always)]
fn state(buf: *mut u8) -> &'static mut Walk {
    // SAFETY: a multiple of 8 bytes below the buffer's end; whoever took the scratch is alone with it.
    unsafe { &mut *buf.add(SCRATCH - size_of::<Walk>()).cast::<Walk>() }
}

/// Begins at `start` in the buffer.
#[inline(always)]
fn begin(walk: &mut Walk, start: u32, node: u64) {
    let start = start & AT_MASK as u32;
    *walk = Walk { node, mount: 0, root: 0, at: start, end: start + PATH_ROOM as u32, flags: 0, reserved: 0 };
}

/// Writes one name; what the step says then.
#[inline(always)]
fn name(buf: *mut u8, walk: &mut Walk, name: u64) -> u32 {
    let o = opaque(walk.at as usize) & AT_MASK;
    // SAFETY: `o` is at most AT_MASK.
    let to = unsafe { buf.add(o) };
    // SAFETY: NAME_ROOM bytes behind AT_MASK lie in the buffer.
    let n = unsafe { bpf_probe_read_kernel_str(to.cast::<c_void>(), NAME_ROOM, name as *const c_void) };
    if n <= 0 {
        walk.flags |= u32::from(Flag::UNREADABLE);
        return TOP;
    }
    walk.at = o as u32 + (n as u32 & 0x1ff);
    if walk.at > walk.end { CUT } else { ON }
}

/// The position behind the last name, and flags in the upper half.
#[inline(always)]
fn end(walk: &Walk, said: u32) -> u64 {
    let cut = if said == TOP { 0 } else { u32::from(Flag::TRUNCATED) };
    u64::from(walk.at) | u64::from(walk.flags | cut) << 32
}

/// Writes the names from `dentry` up to the root of the mount tree from `start`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn path(slot: u32, start: u32, dentry: u64, mnt: u64) -> u64 {
    let Some(buf) = buffer(slot) else { return u64::from(start) };
    let walk = state(buf);
    begin(walk, start, dentry);
    if mnt != 0 {
        walk.mount = mnt.wrapping_sub(off!(mount_mnt) as u64);
        walk.root = kernel::read(mnt, off!(mnt_root));
    }
    let (mut said, mut steps) = (ON, 0);
    while steps < PATH_PARTS && said == ON {
        steps += 1;
        said = path_step(slot);
    }
    end(walk, said)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn path_step(slot: u32) -> u32 {
    let Some(buf) = buffer(slot) else { return CUT };
    let walk = state(buf);
    let dentry = walk.node;
    let parent: u64 = kernel::read(dentry, off!(dentry_parent));
    if dentry != walk.root && dentry != parent && parent != 0 {
        let said = name(buf, walk, kernel::read(dentry, off!(dentry_name)));
        walk.node = parent;
        return said;
    }
    if walk.mount == 0 || dentry != walk.root {
        walk.flags |= u32::from(Flag::MOUNT_UNKNOWN);
        return TOP;
    }
    let above: u64 = kernel::read(walk.mount, off!(mount_parent));
    if above == walk.mount || above == 0 {
        return TOP;
    }
    walk.node = kernel::read(walk.mount, off!(mount_mountpoint));
    walk.mount = above;
    walk.root = kernel::read(above, off!(mount_mnt) + off!(mnt_root));
    ON
}

/// Writes the names of a cgroup and those above it from `start`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn cgroup(slot: u32, start: u32, node: u64) -> u64 {
    let Some(buf) = buffer(slot) else { return u64::from(start) };
    let walk = state(buf);
    begin(walk, start, node);
    let (mut said, mut steps) = (ON, 0);
    while steps < CGROUP_PARTS && said == ON {
        steps += 1;
        said = cgroup_step(slot);
    }
    end(walk, said)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn cgroup_step(slot: u32) -> u32 {
    let Some(buf) = buffer(slot) else { return CUT };
    let walk = state(buf);
    let parent: u64 = kernel::read(walk.node, off!(kernfs_parent));
    if parent == 0 {
        return TOP;
    }
    let said = name(buf, walk, kernel::read(walk.node, off!(kernfs_name)));
    walk.node = parent;
    said
}
