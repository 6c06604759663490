//! The guard and mounts: what is laid over the journal, taken away below it, or mounted anew.

use recorder_common::{GuardAct, Guarded};

use crate::{
    guard::{NOWHERE, guard_found, judge, of_device, refuse, said},
    kernel::{self, Place, off},
};

/// MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: nothing is mounted.
const PROPAGATION: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20;

/// MS_REMOUNT: told of by its own hook.
const REMOUNT: u64 = 1 << 5;

/// FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS (include/uapi/linux/fanotify.h).
const ASKED: u64 = 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x10_0000;
/// FSNOTIFY_OBJ_TYPE_INODE.
const OF_INODE: u32 = 0;

/// True if mounts of the current task are the host's or the recorder's: what others see in namespaces of their own hides nothing.
#[inline(always)]
fn mounts_count() -> bool {
    let proxy: *const u8 = kernel::load(kernel::current(), off!(task_nsproxy));
    if proxy.is_null() {
        return false;
    }
    let mnt: *const u8 = kernel::load(proxy, off!(nsproxy_mnt));
    let number: u32 = kernel::load(mnt, off!(mnt_ns_inum));
    u64::from(number) == said!(host_mounts) || u64::from(number) == said!(own_mounts)
}

/// `sb_mount(…, path, …, flags, …)`, `move_mount(…, path)`.
#[inline(always)]
pub fn mount(path: u64, flags: u64) -> i32 {
    if flags & (PROPAGATION | REMOUNT) != 0 || !mounts_count() {
        return 0;
    }
    let place =
        Place { dentry: kernel::read(path, off!(path_dentry)), mnt: kernel::read(path, off!(path_mnt)) };
    covers(GuardAct::MOUNT, place)
}

/// `sb_remount(sb)`: by whichever interface; told as the device, which knows no paths.
#[inline(always)]
pub fn remount(sb: u64) -> i32 {
    refuse(guard_remounted(kernel::read(sb, off!(sb_dev))))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_remounted(dev: u32) -> u32 {
    let object = of_device(dev);
    if object == 0 { 0 } else { judge(GuardAct::MOUNT, object, 0, NOWHERE, 0) }
}

/// `sb_umount(mnt, flags)`.
#[inline(always)]
pub fn umount(mnt: u64) -> i32 {
    if !mounts_count() {
        return 0;
    }
    covers(GuardAct::UMOUNT, Place { dentry: kernel::read(mnt, off!(mnt_root)), mnt })
}

/// `path_notify(path, mask, kind)`: who is asked before something is opened may never answer. For a whole mount or file system that is
/// told, and never refused: programs against viruses and for allow-lists do it.
#[inline(always)]
pub fn watch(path: u64, mask: u64, kind: u32) -> i32 {
    if mask & ASKED == 0 {
        return 0;
    }
    refuse(guard_watch_of(kernel::read(path, off!(path_dentry)), kernel::read(path, off!(path_mnt)), kind))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_watch_of(dentry: u64, mnt: u64, kind: u32) -> u32 {
    let object = if kind == OF_INODE {
        guard_found(dentry) & Guarded::OBJECT
    } else {
        let id = kernel::inode_id(kernel::read(dentry, off!(dentry_inode)));
        of_device(id.dev)
    };
    if object == 0 { 0 } else { judge(GuardAct::WATCH, object, 0, Place { dentry, mnt }, 0) }
}

#[inline(always)]
fn covers(act: u16, place: Place) -> i32 {
    refuse(guard_covers(u32::from(act), place.dentry, place.mnt))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_covers(act: u32, dentry: u64, mnt: u64) -> u32 {
    let object = guard_found(dentry) & Guarded::OBJECT;
    if object == 0 { 0 } else { judge(act as u16, object, 0, Place { dentry, mnt }, 0) }
}
