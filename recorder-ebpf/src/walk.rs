//! Paths from the kernel's own names, written into a scratch buffer leaf first, each name ended by a zero byte.
//!
//! One step is a global function, and where the walk stands lies in the scratch buffer: the verifier checks a step once,
//! knows nothing of it afterwards, and so the loop around it is short. With the steps in the loop it followed each way
//! through every one of them, forty thousand instructions for each program that has a path.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
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
    /// The middle of a dentry, read at once.
    heart: Heart,
}

/// What lies together in `struct dentry` on all kernels so far, from `d_parent` on: a walk is made of helper calls, and this
/// is one instead of three.
#[derive(Clone, Copy)]
#[repr(C)]
struct Heart {
    parent: u64,
    hash: u32,
    /// Of the name.
    len: u32,
    name: u64,
    inode: u64,
    /// The name itself if it is short; 32 bytes of it count before 6.7, 40 since.
    short: [u8; SHORT],
}
const SHORT: usize = 40;

/// True for a constant of the verifier's: this kernel's dentry is laid out as [`Heart`].
#[inline(always)]
fn has_heart() -> bool {
    let at = off!(dentry_parent);
    off!(dentry_name) == at + 16 && off!(dentry_short) == at + 32
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
    walk.node = node;
    walk.mount = 0;
    walk.root = 0;
    walk.at = start;
    walk.end = start + PATH_ROOM as u32;
    walk.flags = 0;
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

/// Reads the middle of a dentry; its parent, 0 if it can't be read.
#[inline(always)]
fn heart(walk: &mut Walk, dentry: u64) -> u64 {
    let from = dentry + off!(dentry_parent) as u64;
    // SAFETY: the field has that size.
    let r = unsafe {
        bpf_probe_read_kernel(
            (&raw mut walk.heart).cast::<c_void>(),
            size_of::<Heart>() as u32,
            from as *const c_void,
        )
    };
    if r == 0 { walk.heart.parent } else { 0 }
}

/// As [`name`], of the dentry whose middle was read: a short name is there already.
#[inline(always)]
fn heart_name(buf: *mut u8, walk: &mut Walk, dentry: u64) -> u32 {
    let len = opaque(walk.heart.len as usize) & 0x1f;
    let is_short = walk.heart.name == dentry + off!(dentry_short) as u64 && len == walk.heart.len as usize;
    // A name that is being changed right now ends elsewhere.
    if !is_short || walk.heart.short[len] != 0 {
        return name(buf, walk, walk.heart.name);
    }
    let o = opaque(walk.at as usize) & AT_MASK;
    // SAFETY: SHORT bytes behind AT_MASK lie in the buffer; what is behind the name is overwritten or not part of the event.
    unsafe { copy_short(buf.add(o), &raw const walk.heart.short) };
    walk.at = (o + len + 1) as u32;
    if walk.at > walk.end { CUT } else { ON }
}

/// A copy by the helper: the place has no alignment, and byte by byte it would be forty loads.
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const [u8; SHORT]) {
    // SAFETY: the caller's; `from` is a map value.
    unsafe { bpf_probe_read_kernel(to.cast::<c_void>(), SHORT as u32, from.cast::<c_void>()) };
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
    // The names end at the mount's root.
    if dentry != walk.root {
        let parent =
            if has_heart() { heart(walk, dentry) } else { kernel::read(dentry, off!(dentry_parent)) };
        if dentry != parent && parent != 0 {
            let said = if has_heart() {
                heart_name(buf, walk, dentry)
            } else {
                name(buf, walk, kernel::read(dentry, off!(dentry_name)))
            };
            walk.node = parent;
            return said;
        }
    }
    if walk.mount != 0 && dentry != walk.root {
        return nameless(buf, walk, dentry);
    }
    if walk.mount == 0 {
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

/// What hangs in no tree (a file in memory): the name that the kernel has for it, and an empty one above it, so that it can't pass
/// for a path. The root of a file system that is reached past the root of its mount has no name, nor has a pipe.
#[inline(always)]
fn nameless(buf: *mut u8, walk: &mut Walk, dentry: u64) -> u32 {
    walk.flags |= u32::from(Flag::MOUNT_UNKNOWN);
    let text: u64 = kernel::read(dentry, off!(dentry_name));
    let first: u8 = kernel::read(text, 0);
    if first == 0 || first == b'/' {
        return TOP;
    }
    let said = name(buf, walk, text);
    let o = opaque(walk.at as usize) & AT_MASK;
    // SAFETY: `o` is at most AT_MASK.
    unsafe { buf.add(o).write(0) };
    walk.at = o as u32 + 1;
    if said == ON { TOP } else { said }
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
