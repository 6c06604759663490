//! The recorder's kernel programs. This file holds entry points only; `docs/kernel.md` is the law.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod call;
mod cap;
mod change;
mod context;
mod control;
mod deleg;
mod emit;
mod entry;
mod exec;
mod execs;
mod failed;
mod file;
mod flight;
mod gate;
mod guard;
mod guard_hooks;
mod guard_kernel;
mod guard_mounts;
mod guard_seen;
mod kernel;
mod line;
mod log;
mod mapped;
mod maps;
mod net;
mod scope;
mod script;
mod send;
mod socket;
mod stream;
mod tty;
mod walk;

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_probe_read_kernel,
    macros::{btf_tracepoint, fentry, fexit, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, TracePointContext},
};

use crate::{kernel::Place, stream::Way};

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The first `N` arguments as plain numbers (the verifier knows typed ones and would not let them go to functions that
/// it checks on their own); the return value of a function with `n` arguments stands at `n`.
#[inline(always)]
fn args<const N: usize>(ctx: &impl EbpfContext) -> [u64; N] {
    // SAFETY: the context of these programs is an array of 8-byte arguments.
    unsafe { bpf_probe_read_kernel(ctx.as_ptr().cast::<[u64; N]>()) }.unwrap_or([0; N])
}

#[btf_tracepoint(function = "sched_process_exec")]
fn on_exec(ctx: BtfTracePointContext) -> i32 {
    exec::exec(args::<3>(&ctx)[2]);
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
fn on_fork(ctx: BtfTracePointContext) -> i32 {
    exec::fork(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
fn on_exit(ctx: BtfTracePointContext) -> i32 {
    exec::exit(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "cgroup_mkdir")]
fn on_cgroup(ctx: BtfTracePointContext) -> i32 {
    let [cgroup, path] = args(&ctx);
    deleg::cgroup_made(cgroup, path);
    0
}

#[btf_tracepoint(function = "cgroup_attach_task")]
fn on_attach(ctx: BtfTracePointContext) -> i32 {
    deleg::attached(args::<1>(&ctx)[0], ctx.arg(2));
    0
}

#[btf_tracepoint(function = "sk_data_ready")]
fn on_data_ready(ctx: BtfTracePointContext) -> i32 {
    socket::data_ready(args::<1>(&ctx)[0]);
    0
}

#[fentry(function = "sock_def_readable")]
fn def_readable(ctx: FEntryContext) -> i32 {
    socket::data_ready(args::<1>(&ctx)[0]);
    0
}

/// `struct syscall_tp_t` of kernel/trace/trace_syscalls.c: common part, number at 8 as an int, return value at 16. The
/// four bytes behind the number are padding that nobody clears.
#[inline(always)]
fn sys_exit(ctx: &TracePointContext) -> (u64, i64) {
    let p = ctx.as_ptr().cast::<u8>();
    // SAFETY: the context of a system call tracepoint has both fields.
    let id = unsafe { p.add(8).cast::<u32>().read() };
    // SAFETY: as above.
    let ret = unsafe { p.add(16).cast::<i64>().read() };
    (u64::from(id), ret)
}

#[tracepoint]
fn sys_exit_open(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    file::sys_exit_open(id, ret);
    0
}

#[tracepoint]
fn sys_exit_unlink(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    file::sys_exit_unlink(id, ret);
    0
}

#[tracepoint]
fn sys_exit_rename(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    file::sys_exit_rename(id, ret);
    0
}

#[tracepoint]
fn sys_exit_link(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    change::sys_exit_link(id, ret);
    0
}

#[tracepoint]
fn sys_exit_symlink(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    change::sys_exit_symlink(id, ret);
    0
}

#[tracepoint]
fn sys_exit_make(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    change::sys_exit_make(id, ret);
    0
}

#[tracepoint]
fn sys_exit_setattr(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    change::sys_exit_setattr(id, ret);
    0
}

#[tracepoint]
fn sys_exit_xattr(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    change::sys_exit_xattr(id, ret);
    0
}

#[tracepoint]
fn sys_exit_fallocate(ctx: TracePointContext) -> u32 {
    change::sys_exit_fallocate(sys_exit(&ctx).1);
    0
}

#[tracepoint]
fn sys_exit_system(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    call::returned(id, ret);
    0
}

#[tracepoint]
fn sys_exit_socket(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    net::returned(id, ret);
    0
}

#[tracepoint]
fn sys_exit_ptrace(ctx: TracePointContext) -> u32 {
    control::sys_exit_ptrace(sys_exit(&ctx).1);
    0
}

#[tracepoint]
fn sys_exit_process_vm(ctx: TracePointContext) -> u32 {
    control::sys_exit_process_vm(sys_exit(&ctx).1);
    0
}

#[tracepoint]
fn sys_exit_pidfd_getfd(ctx: TracePointContext) -> u32 {
    control::sys_exit_pidfd_getfd(sys_exit(&ctx).1);
    0
}

#[tracepoint]
fn sys_exit_cred(_ctx: TracePointContext) -> u32 {
    exec::creds_may_have_changed();
    0
}

#[tracepoint]
fn sys_exit_read(ctx: TracePointContext) -> u32 {
    tty::sys_exit_read(sys_exit(&ctx).1, false);
    0
}

#[tracepoint]
fn sys_exit_readv(ctx: TracePointContext) -> u32 {
    tty::sys_exit_read(sys_exit(&ctx).1, true);
    0
}

#[tracepoint]
fn sys_enter_write(_ctx: TracePointContext) -> u32 {
    tty::sys_enter_write();
    0
}

#[tracepoint]
fn sys_exit_write(ctx: TracePointContext) -> u32 {
    tty::sys_exit_write(sys_exit(&ctx).1, false);
    0
}

#[tracepoint]
fn sys_exit_writev(ctx: TracePointContext) -> u32 {
    tty::sys_exit_write(sys_exit(&ctx).1, true);
    0
}

#[fexit(function = "commit_creds")]
fn commit_creds(_ctx: FExitContext) -> i32 {
    exec::creds_may_have_changed();
    0
}

#[fexit(function = "security_capable")]
fn security_capable(ctx: FExitContext) -> i32 {
    let [_, ns, number, opts, ret] = args(&ctx);
    cap::security_capable(ns, number, opts, ret as i32);
    0
}

#[btf_tracepoint(function = "signal_generate")]
fn witness_signal(ctx: BtfTracePointContext) -> i32 {
    let [number, info] = args(&ctx);
    guard::witness(number as u32, info, ctx.arg(2))
}

/// `cap_capable(cred, target_ns, capable_ns, cap, ret)`, since 6.13.
#[btf_tracepoint(function = "cap_capable")]
fn on_capable(ctx: BtfTracePointContext) -> i32 {
    let [_, ns, _, number, ret] = args(&ctx);
    cap::tracepoint(ctx.as_ptr(), ns, number, ret as i32);
    0
}

#[fexit(function = "security_ptrace_access_check")]
fn ptrace_access(ctx: FExitContext) -> i32 {
    let [_, mode, ret] = args(&ctx);
    control::access(ctx.arg(0), mode, ret as i32);
    0
}

#[fexit(function = "do_filp_open")]
fn do_filp_open(ctx: FExitContext) -> i32 {
    let [dfd, name, op, ret] = args(&ctx);
    file::filp_open(dfd, name, op, ret);
    0
}

#[fexit(function = "mnt_want_write")]
fn want_write(ctx: FExitContext) -> i32 {
    let [mnt, ret] = args(&ctx);
    flight::begins(mnt, ret as i32);
    0
}

#[fexit(function = "mnt_want_write_file")]
fn want_write_file(ctx: FExitContext) -> i32 {
    let [file, ret] = args(&ctx);
    flight::begins(Place::of_file(file).mnt, ret as i32);
    0
}

#[fentry(function = "mnt_drop_write")]
fn drop_write(ctx: FEntryContext) -> i32 {
    let [mnt] = args(&ctx);
    flight::ends(mnt);
    0
}

#[fentry(function = "mnt_drop_write_file")]
fn drop_write_file(ctx: FEntryContext) -> i32 {
    let [file] = args(&ctx);
    flight::ends(Place::of_file(file).mnt);
    0
}

#[fexit(function = "vfs_unlink")]
fn vfs_unlink(ctx: FExitContext) -> i32 {
    let [_, _, dentry, _, ret] = args(&ctx);
    file::vfs_unlink(dentry, ret as i32, false);
    0
}

#[fexit(function = "vfs_rmdir")]
fn vfs_rmdir(ctx: FExitContext) -> i32 {
    let [_, _, dentry, ret] = args(&ctx);
    file::vfs_unlink(dentry, ret as i32, true);
    0
}

#[fentry(function = "security_path_rename")]
fn path_rename(ctx: FEntryContext) -> i32 {
    let [old_dir, old_dentry] = args(&ctx);
    flight::renames(old_dir, old_dentry);
    0
}

#[fexit(function = "vfs_rename")]
fn vfs_rename(ctx: FExitContext) -> i32 {
    let [data, ret] = args(&ctx);
    file::vfs_rename(data, ret as i32);
    0
}

#[fexit(function = "vfs_link")]
fn vfs_link(ctx: FExitContext) -> i32 {
    let [old, _, _, new, _, ret] = args(&ctx);
    change::vfs_link(old, new, ret as i32);
    0
}

#[fexit(function = "vfs_symlink")]
fn vfs_symlink(ctx: FExitContext) -> i32 {
    let [_, _, dentry, target, ret] = args(&ctx);
    change::vfs_symlink(dentry, target, ret as i32);
    0
}

/// Returns an int until 6.14, a dentry or an error since.
#[fexit(function = "vfs_mkdir")]
fn vfs_mkdir(ctx: FExitContext) -> i32 {
    let [_, _, dentry, _, ret] = args(&ctx);
    change::vfs_made(dentry, 0, ret, false);
    0
}

#[fexit(function = "vfs_mknod")]
fn vfs_mknod(ctx: FExitContext) -> i32 {
    let [_, _, dentry, _, device, ret] = args(&ctx);
    change::vfs_made(dentry, device, ret, true);
    0
}

#[fexit(function = "notify_change")]
fn notify_change(ctx: FExitContext) -> i32 {
    let [_, dentry, attr, _, ret] = args(&ctx);
    change::notify_change(dentry, attr, ret as i32);
    0
}

#[fexit(function = "do_truncate")]
fn do_truncate(ctx: FExitContext) -> i32 {
    let [_, dentry, len, times, file, ret] = args(&ctx);
    change::truncated(dentry, len, times, file, ret as i32);
    0
}

#[fexit(function = "vfs_setxattr")]
fn vfs_setxattr(ctx: FExitContext) -> i32 {
    let [_, dentry, name, value, size, _, ret] = args(&ctx);
    change::vfs_xattr(dentry, name, value, size, ret as i32);
    0
}

#[fexit(function = "vfs_removexattr")]
fn vfs_removexattr(ctx: FExitContext) -> i32 {
    let [_, dentry, name, ret] = args(&ctx);
    change::vfs_xattr(dentry, name, 0, change::REMOVED, ret as i32);
    0
}

/// Since 6.2 access lists go a way of their own.
#[fexit(function = "vfs_set_acl")]
fn vfs_set_acl(ctx: FExitContext) -> i32 {
    let [_, dentry, name, acl, ret] = args(&ctx);
    change::vfs_set_acl(dentry, name, acl, ret as i32);
    0
}

#[fexit(function = "vfs_remove_acl")]
fn vfs_remove_acl(ctx: FExitContext) -> i32 {
    let [_, dentry, name, ret] = args(&ctx);
    change::vfs_xattr(dentry, name, 0, change::REMOVED, ret as i32);
    0
}

#[fentry(function = "pty_write")]
fn pty_write_enter(ctx: FEntryContext) -> i32 {
    let [tty] = args(&ctx);
    tty::pty_write_enter(tty);
    0
}

#[fexit(function = "pty_write")]
fn pty_write(ctx: FExitContext) -> i32 {
    let [tty, buf, _, ret] = args(&ctx);
    tty::pty_write(tty, buf, ret as i32);
    0
}

#[fexit(function = "con_write")]
fn con_write(ctx: FExitContext) -> i32 {
    let [tty, buf, _, ret] = args(&ctx);
    line::write(tty, buf, ret as i32);
    0
}

#[fexit(function = "uart_write")]
fn uart_write(ctx: FExitContext) -> i32 {
    let [tty, buf, _, ret] = args(&ctx);
    line::write(tty, buf, ret as i32);
    0
}

#[fexit(function = "hvc_write")]
fn hvc_write(ctx: FExitContext) -> i32 {
    let [tty, buf, _, ret] = args(&ctx);
    line::write(tty, buf, ret as i32);
    0
}

#[fexit(function = "con_put_char")]
fn con_put_char(ctx: FExitContext) -> i32 {
    let [tty, byte, ret] = args(&ctx);
    line::put(tty, byte, ret as i32);
    0
}

#[fexit(function = "uart_put_char")]
fn uart_put_char(ctx: FExitContext) -> i32 {
    let [tty, byte, ret] = args(&ctx);
    line::put(tty, byte, ret as i32);
    0
}

#[fexit(function = "vfs_read")]
fn vfs_read(ctx: FExitContext) -> i32 {
    let [file, buf, _, _, ret] = args(&ctx);
    stream::passed(file, buf, None, ret as i64, Way::Read);
    0
}

#[fexit(function = "vfs_write")]
fn vfs_write(ctx: FExitContext) -> i32 {
    let [file, buf, _, _, ret] = args(&ctx);
    stream::passed(file, buf, None, ret as i64, Way::Written);
    0
}

#[fexit(function = "vfs_readv")]
fn vfs_readv(ctx: FExitContext) -> i32 {
    let [file, vectors, count, _, _, ret] = args(&ctx);
    stream::passed(file, vectors, Some(count), ret as i64, Way::Read);
    0
}

#[fexit(function = "vfs_writev")]
fn vfs_writev(ctx: FExitContext) -> i32 {
    let [file, vectors, count, _, _, ret] = args(&ctx);
    stream::passed(file, vectors, Some(count), ret as i64, Way::Written);
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
