//! Getting hold of somebody else's process: ptrace, its memory, its descriptors (docs/delegation.md).
//!
//! Where the kernel asks one question for all of them, that is the hook: who, whom, and the answer. Elsewhere the system calls
//! are, and they know a number only.

use recorder_common::{Class, ControlEvent, ControlKey, Kind, Ring};

use crate::{
    emit::{self, Event},
    kernel::{self, Args, TaskPtr, off},
    maps::CONTROLLED,
    scope,
};

/// `PTRACE_MODE_ATTACH`, include/linux/ptrace.h: more than a look.
const ATTACH: u64 = 2;
/// `PTRACE_ATTACH` and `PTRACE_SEIZE`, include/uapi/linux/ptrace.h.
const PTRACE_ATTACH: u64 = 16;
const PTRACE_SEIZE: u64 = 0x4206;

/// `security_ptrace_access_check(child, mode)` returned.
#[inline(always)]
pub fn access(target: TaskPtr, mode: u64, ret: i32) {
    let task = kernel::current();
    let session = scope::session_of(task);
    if session == 0 || ret != 0 || mode & ATTACH == 0 {
        return;
    }
    let other = scope::session_of(target);
    if other != session {
        let call = Args::new(task).call();
        let leader = kernel::leader(target);
        took_hold(session, other, kernel::load(leader, off!(task_start)), kernel::tgid(target), call as u32);
    }
}

/// Says once that a session got hold of a process.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn took_hold(session: u64, other: u64, start_ns: u64, pid: u32, call: u32) -> u32 {
    let key = ControlKey { mark: session, start_ns, pid, call };
    if CONTROLLED.get_ptr(&key).is_some() {
        return 0;
    }
    let Some(event) = Event::new::<ControlEvent>(Class::SESSION) else { return 0 };
    let payload = ControlEvent { other, start_ns, pid, call };
    let sent = event.send(Kind::CONTROL, Ring::CRITICAL, session, payload, 0);
    if sent {
        // What found no room in the ring is told with the next call.
        let _ = CONTROLLED.insert(&key, &emit::now(), 0);
    }
    u32::from(sent)
}

/// A system call by a session's task that succeeded.
#[inline(always)]
fn called(pick: impl Fn(TaskPtr, &Args) -> u32) {
    let task = kernel::current();
    let session = scope::session_of(task);
    if session == 0 {
        return;
    }
    let args = Args::new(task);
    let pid = pick(task, &args);
    if pid != 0 && pid != kernel::tgid(task) {
        took_hold(session, 0, 0, pid, args.call() as u32);
    }
}

/// `ptrace(request, pid, …)`.
#[inline(always)]
pub fn sys_exit_ptrace(ret: i64) {
    if ret == 0 {
        called(|_, args| match args.first() {
            PTRACE_ATTACH | PTRACE_SEIZE => args.second() as u32,
            _ => 0,
        });
    }
}

/// `process_vm_readv(pid, …)`, `process_vm_writev(pid, …)`.
#[inline(always)]
pub fn sys_exit_process_vm(ret: i64) {
    if ret > 0 {
        called(|_, args| args.first() as u32);
    }
}

/// `pidfd_getfd(pidfd, …)`.
#[inline(always)]
pub fn sys_exit_pidfd_getfd(ret: i64) {
    if ret >= 0 {
        called(|task, args| {
            let file = kernel::file_of(task, args.first() as u32);
            let private: u64 = kernel::read(file, off!(file_private));
            // Since 6.9 it is a file of pidfs, whose inode knows.
            let inode: u64 = kernel::read(file, off!(file_inode));
            let pid = if private != 0 { private } else { kernel::read(inode, off!(inode_private)) };
            kernel::pid_number(pid)
        });
    }
}
