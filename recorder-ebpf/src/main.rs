//! The recorder's kernel programs. This file holds entry points only; `docs/kernel.md` is the law.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod cap;
mod context;
mod control;
mod deleg;
mod emit;
mod exec;
mod file;
mod gate;
mod kernel;
mod line;
mod log;
mod maps;
mod scope;
mod script;
mod socket;
mod stream;
mod tty;
mod walk;

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_probe_read_kernel,
    macros::{btf_tracepoint, fentry, fexit, lsm, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, LsmContext, TracePointContext},
};

use crate::stream::Way;

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

/// `bprm_check_security(bprm)`: before the point of no return, so the caller gets an error that he can show.
#[lsm(hook = "bprm_check_security")]
fn gate_exec(ctx: LsmContext) -> i32 {
    let [bprm] = args(&ctx);
    gate::check(bprm)
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

/// `cap_capable(cred, target_ns, capable_ns, cap, ret)`, since 6.13.
#[btf_tracepoint(function = "cap_capable")]
fn on_capable(ctx: BtfTracePointContext) -> i32 {
    let [_, ns, _, number, ret] = args(&ctx);
    cap::tracepoint(ctx.as_ptr(), ns, number, ret as i32);
    0
}

#[fentry(function = "security_bprm_check")]
fn bprm_check(ctx: FEntryContext) -> i32 {
    script::checked(args::<1>(&ctx)[0]);
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

#[fentry(function = "security_path_unlink")]
fn path_unlink(ctx: FEntryContext) -> i32 {
    let [dir] = args(&ctx);
    file::path_unlink(dir);
    0
}

#[fentry(function = "security_path_rmdir")]
fn path_rmdir(ctx: FEntryContext) -> i32 {
    let [dir] = args(&ctx);
    file::path_unlink(dir);
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
    let [old_dir, old_dentry, new_dir] = args(&ctx);
    file::path_rename(old_dir, old_dentry, new_dir);
    0
}

#[fexit(function = "vfs_rename")]
fn vfs_rename(ctx: FExitContext) -> i32 {
    let [data, ret] = args(&ctx);
    file::vfs_rename(data, ret as i32);
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
