//! Entry points of the guard: hooks of security modules (`guard.rs`).

use aya_ebpf::{macros::lsm, programs::LsmContext};
use recorder_common::GuardAct;

use crate::{
    args, guard, guard_mounts,
    kernel::{Place, off, read},
};

#[lsm(hook = "task_kill")]
fn guard_kill(ctx: LsmContext) -> i32 {
    let [_, _, number] = args(&ctx);
    guard::kill(ctx.arg(0), number as u32)
}

#[lsm(hook = "file_send_sigiotask")]
fn guard_sigio(ctx: LsmContext) -> i32 {
    let [_, _, number] = args(&ctx);
    guard::sigio(ctx.arg(0), number as u32)
}

#[lsm(hook = "ptrace_access_check")]
fn guard_trace(ctx: LsmContext) -> i32 {
    let [_, mode] = args(&ctx);
    guard::trace(ctx.arg(0), mode as u32)
}

#[lsm(hook = "task_setrlimit")]
fn guard_limit(ctx: LsmContext) -> i32 {
    let [_, resource] = args(&ctx);
    guard::task(ctx.arg(0), GuardAct::LIMIT, resource as u32)
}

#[lsm(hook = "task_setnice")]
fn guard_nice(ctx: LsmContext) -> i32 {
    guard::task(ctx.arg(0), GuardAct::PRIORITY, 0)
}

#[lsm(hook = "task_setscheduler")]
fn guard_scheduler(ctx: LsmContext) -> i32 {
    guard::task(ctx.arg(0), GuardAct::PRIORITY, 0)
}

#[lsm(hook = "task_setioprio")]
fn guard_ioprio(ctx: LsmContext) -> i32 {
    guard::task(ctx.arg(0), GuardAct::PRIORITY, 0)
}

#[lsm(hook = "file_open")]
fn guard_file(ctx: LsmContext) -> i32 {
    let [number] = args(&ctx);
    guard::open(ctx.arg(0), number)
}

#[lsm(hook = "inode_unlink")]
fn guard_unlink(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::UNLINK, dentry)
}

#[lsm(hook = "inode_rmdir")]
fn guard_rmdir(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::UNLINK, dentry)
}

#[lsm(hook = "inode_rename")]
fn guard_rename(ctx: LsmContext) -> i32 {
    let [_, old, _, new] = args(&ctx);
    guard::moved(GuardAct::RENAME, old, new)
}

#[lsm(hook = "inode_link")]
fn guard_link(ctx: LsmContext) -> i32 {
    let [old, _, new] = args(&ctx);
    guard::moved(GuardAct::LINK, old, new)
}

#[lsm(hook = "inode_create")]
fn guard_create(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::CREATE, dentry)
}

#[lsm(hook = "inode_mkdir")]
fn guard_mkdir(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::CREATE, dentry)
}

#[lsm(hook = "inode_symlink")]
fn guard_symlink(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::CREATE, dentry)
}

#[lsm(hook = "inode_mknod")]
fn guard_mknod(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::CREATE, dentry)
}

/// `(dentry, attributes)`, or behind the mount's map of ids.
#[lsm(hook = "inode_setattr")]
fn guard_setattr(ctx: LsmContext) -> i32 {
    guard::setattr(args(&ctx))
}

#[lsm(hook = "path_truncate")]
fn guard_truncate(ctx: LsmContext) -> i32 {
    let [path] = args(&ctx);
    guard::truncate(read(path, off!(path_dentry)))
}

/// Since 6.2.
#[lsm(hook = "file_truncate")]
fn guard_ftruncate(ctx: LsmContext) -> i32 {
    let [file] = args(&ctx);
    guard::truncate(Place::of_file(file).dentry)
}

#[lsm(hook = "inode_setxattr")]
fn guard_setxattr(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::XATTR, dentry)
}

#[lsm(hook = "inode_removexattr")]
fn guard_removexattr(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::XATTR, dentry)
}

/// Since 6.2.
#[lsm(hook = "inode_set_acl")]
fn guard_acl(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::XATTR, dentry)
}

/// Since 6.2.
#[lsm(hook = "inode_remove_acl")]
fn guard_no_acl(ctx: LsmContext) -> i32 {
    let [_, dentry] = args(&ctx);
    guard::on(GuardAct::XATTR, dentry)
}

/// Since 6.8; before, the hook below had these too.
#[lsm(hook = "file_ioctl_compat")]
fn guard_control_32(ctx: LsmContext) -> i32 {
    let [file, command] = args(&ctx);
    guard::ioctl(file, command as u32)
}

#[lsm(hook = "file_ioctl")]
fn guard_control(ctx: LsmContext) -> i32 {
    let [file, command] = args(&ctx);
    guard::ioctl(file, command as u32)
}

#[lsm(hook = "file_lock")]
fn guard_lock(ctx: LsmContext) -> i32 {
    let [file, kind] = args(&ctx);
    guard::lock(file, kind as u32)
}

#[lsm(hook = "path_notify")]
fn guard_watch(ctx: LsmContext) -> i32 {
    let [path, mask, kind] = args(&ctx);
    guard_mounts::watch(path, mask, kind as u32)
}

#[lsm(hook = "bpf_map")]
fn guard_map(ctx: LsmContext) -> i32 {
    let [map, mode] = args(&ctx);
    guard::map(map, mode as u32)
}

#[lsm(hook = "sb_mount")]
fn guard_mount(ctx: LsmContext) -> i32 {
    let [_, path, _, flags] = args(&ctx);
    guard_mounts::mount(path, flags)
}

#[lsm(hook = "move_mount")]
fn guard_move_mount(ctx: LsmContext) -> i32 {
    let [_, to] = args(&ctx);
    guard_mounts::mount(to, 0)
}

/// `(old, new)`: where the old root is put, which covers what is there, and the new one.
#[lsm(hook = "sb_pivotroot")]
fn guard_pivot(ctx: LsmContext) -> i32 {
    let [old] = args(&ctx);
    guard_mounts::mount(old, 0)
}

#[lsm(hook = "sb_remount")]
fn guard_remount(ctx: LsmContext) -> i32 {
    let [sb] = args(&ctx);
    guard_mounts::remount(sb)
}

#[lsm(hook = "sb_umount")]
fn guard_umount(ctx: LsmContext) -> i32 {
    let [mnt] = args(&ctx);
    guard_mounts::umount(mnt)
}
