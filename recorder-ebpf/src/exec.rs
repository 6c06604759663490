//! Programs, processes, credentials.

use recorder_common::{
    ARGV_CORE, ARGV_PART, ARGV_PARTS, ArgvPart, Class, CredEvent, ExecEvent, ExitEvent, ForkEvent, Hook,
    Kind, MarkFlag, PassedEvent, Ring,
};

use crate::{
    context, deleg,
    emit::Event,
    gate,
    kernel::{self, Place, TaskPtr, off},
    maps::SETTINGS,
    scope, script, stream, tty,
};

/// `sched_process_exec(task, old_pid, bprm)`: the new image is in place, its arguments lie on its fresh stack.
#[inline(always)]
pub fn exec(bprm: u64) {
    let file: u64 = kernel::read(bprm, off!(bprm_file));
    let inode: u64 = kernel::read(file, off!(file_inode));
    let mut session = scope::judge_exec(inode);
    if session == 0 {
        session = deleg::contained(inode);
    }
    if session == 0 {
        session = deleg::run(inode);
    }
    if session == 0 {
        session = script::script(bprm);
    }
    if session == 0 {
        return;
    }
    sync_creds();
    let task = kernel::current();
    deleg::job_starts(task, session);
    context::tell_cgroup(task, session);
    let mm: *const u8 = kernel::load(task, off!(task_mm));
    let mm = mm as u64;
    let start: u64 = kernel::read(mm, off!(mm_arg_start));
    let end: u64 = kernel::read(mm, off!(mm_arg_end));
    let total = end.saturating_sub(start);
    let id = kernel::inode_id(inode);

    let Some(mut event) = Event::new::<ExecEvent>(Class::EXEC) else { return };
    let path_len = event.path(Place::of_file(file));
    event.nameless(file);
    let cwd_len = event.path(Place::of_cwd(task));
    let core = if total > ARGV_CORE as u64 { ARGV_CORE as u64 } else { total };
    let argv_len = event.user_bytes::<0x7ff>(start, core as usize);
    let payload = ExecEvent {
        ino: id.ino,
        argv_total: total,
        dev: id.dev,
        path_len,
        cwd_len,
        argv_len,
        argc: kernel::read(bprm, off!(bprm_argc)),
        reserved: 0,
    };
    let exec_ns = event.boot_ns;
    let sent = event.send(Kind::EXEC, Ring::CRITICAL, session, payload, 0);
    if sent && total > ARGV_CORE as u64 {
        rest_of_argv(session, exec_ns, start + ARGV_CORE as u64, total - ARGV_CORE as u64);
    }
    passed(session, bprm, inode, exec_ns);
    script::of_session(session, bprm);
    gate::tell_if_killed(task, session, file);
    // Behind the exec: the program that opens a session is known by the event that follows the session's mark.
    tty::adopt_controlling(session);
    stream::adopt_streams(session);
}

/// Set-user-id, set-group-id (with the group's execute bit: without it the bit means locking).
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2010;

/// Tells that the program is one that gives rights: by its mode, or because the kernel gave some (file capabilities).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn passed(session: u64, bprm: u64, inode: u64, exec_ns: u64) -> u32 {
    let id = kernel::inode_id(inode);
    // The third of the bit fields at this byte (include/linux/binfmts.h, 5.8 to 6.18).
    let gained = u32::from(kernel::read::<u8>(bprm, off!(bprm_secureexec)) >> 2 & 1);
    if gained == 0 && id.mode & SETUID == 0 && id.mode & SETGID != SETGID {
        return 0;
    }
    let Some(event) = Event::new::<PassedEvent>(Class::EXEC) else { return 0 };
    let payload = PassedEvent { exec_ns, ino: id.ino, dev: id.dev, mode: id.mode, gained, reserved: 0 };
    u32::from(event.send(Kind::PASSED, Ring::CRITICAL, session, payload, 0))
}

/// One part of the arguments behind the core, of which there are `total` bytes at `from`. A global function, as the loop below would
/// otherwise be verified turn by turn: all that is known of a part follows from its number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn argv_part(session: u64, exec_ns: u64, from: u64, total: u64, part: u32) -> u32 {
    let Some(mut event) = Event::new::<ArgvPart>(Class::EXEC) else { return 0 };
    // All parts but the last are full.
    let at = u64::from(part) * ARGV_EACH;
    let left = total.saturating_sub(at);
    let len = if left > ARGV_EACH { ARGV_EACH } else { left };
    let got = event.user_bytes::<0xfff>(from + at, len as usize);
    let payload = ArgvPart { exec_ns, offset: ARGV_CORE as u32 + at as u32, len: got };
    event.send(Kind::ARGV, Ring::BULK, session, payload, 0);
    got
}

/// Bytes of a part: room for the verifier's bound is left.
const ARGV_EACH: u64 = ARGV_PART as u64 - 1;

/// As many as the configuration asks for, a constant for the verifier.
#[inline(always)]
fn wanted_parts() -> u32 {
    // SAFETY: a static of this object.
    unsafe { core::ptr::read_volatile(core::ptr::addr_of!(SETTINGS.argv_parts)) }
}

/// The arguments behind the core: `total` bytes at `from`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rest_of_argv(session: u64, exec_ns: u64, from: u64, total: u64) -> u32 {
    let mut part = 0;
    while part < ARGV_PARTS {
        if part >= wanted_parts() || u64::from(part) * ARGV_EACH >= total {
            break;
        }
        argv_part(session, exec_ns, from, total, part);
        part += 1;
    }
    part
}

/// `sched_process_fork(parent, child)`.
#[inline(always)]
pub fn fork(parent: TaskPtr, child: TaskPtr) {
    let Some(session) = scope::fork(parent, child) else { return };
    // The child may be born in another cgroup than its parent's.
    context::tell_cgroup(child, session);
    let Some(event) = Event::new::<ForkEvent>(Class::FORK) else { return };
    let payload = ForkEvent {
        child_start_ns: kernel::load(child, off!(task_start)),
        child_pid: kernel::tgid(child),
        reserved: 0,
    };
    event.send(Kind::FORK, Ring::CRITICAL, session, payload, 0);
}

/// `sched_process_exit(task)`: a process ends when its last thread does, not when its leader does.
#[inline(always)]
pub fn exit(task: TaskPtr) {
    let Some(mark) = scope::mark_of(task) else { return };
    let signal = kernel::signal(task);
    let live: i32 = kernel::read(signal, off!(signal_live));
    if live != 0 {
        return;
    }
    if mark.flags & MarkFlag::CANARY != 0 {
        scope::answer(Hook::EXIT);
        return;
    }
    if mark.mark == 0 {
        return;
    }
    // A group exit carries its code in the signal struct (SIGNAL_GROUP_EXIT, include/linux/sched/signal.h).
    let flags: u32 = kernel::read(signal, off!(signal_flags));
    let code: u32 = if flags & 4 != 0 {
        kernel::read(signal, off!(signal_group_exit_code))
    } else {
        kernel::load(task, off!(task_exit_code))
    };
    let Some(event) = Event::new::<ExitEvent>(Class::EXIT) else { return };
    event.send(Kind::EXIT, Ring::CRITICAL, mark.mark, ExitEvent { code, reserved: 0 }, 0);
}

/// Compares the credentials of the current task with the last look and records a difference.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sync_creds() -> u32 {
    let task = kernel::current();
    let Some(mark) = scope::mark_of(task) else { return 0 };
    let new = kernel::creds(task);
    let old = mark.creds;
    if mark.mark == 0 || new == old {
        return 0;
    }
    mark.creds = new;
    let Some(event) = Event::new::<CredEvent>(Class::CRED) else { return 0 };
    event.send(Kind::CRED, Ring::CRITICAL, mark.mark, CredEvent { old, new }, 0);
    1
}

/// After something that may have changed the credentials of the current task.
#[inline(always)]
pub fn creds_may_have_changed() {
    if scope::is_canary(kernel::current()) {
        scope::answer(Hook::CRED);
    } else {
        sync_creds();
    }
}
