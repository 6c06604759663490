//! The only filter: which task belongs to which session, and the moment a session begins.
//!
//! A person's task carries a mark with session 0 from its first exec as the login's user on; the mark goes to every
//! child at fork. When such a task executes something with rights that he did not log in with, the mark gets a session.
//! sshd's monitor (loginuid set, euid 0, no exec as the user) has no mark, so PAM helpers open no session
//! (docs/sessions.md).

use core::{
    ffi::c_void,
    ptr::{addr_of, null_mut},
};

use aya_ebpf::helpers::generated::bpf_task_storage_get;
use recorder_common::{Class, Creds, Hook, Kind, MarkEvent, MarkFlag, Ring, State, TaskMark};

use crate::{
    deleg,
    emit::{self, Event},
    gate,
    kernel::{self, TaskPtr, off},
    log,
    maps::{PGRPS, TASKS},
};

const CREATE: u64 = 1;
const UNSET: u32 = u32::MAX;

/// The numbers that the journal uses for `Via`.
mod via {
    pub const SETUID: u32 = 1;
    pub const FILE_CAPS: u32 = 2;
    pub const LOGIN: u32 = 3;
    pub const UNEXPLAINED: u32 = 4;
    pub const SCOPE: u32 = 6;
}

#[inline(always)]
fn storage(task: TaskPtr) -> *mut TaskMark {
    // SAFETY: a typed task pointer; no creation.
    unsafe { bpf_task_storage_get(addr_of!(TASKS).cast_mut().cast(), task.cast_mut().cast(), null_mut(), 0) }
        .cast()
}

/// Gives a task of nobody's to something that starts and may have been asked for.
#[inline(always)]
pub fn adopt(task: TaskPtr, mark: u64, flags: u64) -> bool {
    let value =
        TaskMark { mark, flags: MarkFlag::BRANCH | MarkFlag::ADMITTED | flags, creds: kernel::creds(task) };
    create(task, &raw const value)
}

#[inline(always)]
fn create(task: TaskPtr, value: *const TaskMark) -> bool {
    // SAFETY: a typed task pointer; the helper copies the value.
    let r = unsafe {
        bpf_task_storage_get(
            addr_of!(TASKS).cast_mut().cast(),
            task.cast_mut().cast(),
            value.cast_mut().cast::<c_void>(),
            CREATE,
        )
    };
    if r.is_null() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).mark_failed }, 1);
    }
    !r.is_null()
}

/// The mark of a task; threads that have none of their own (io_uring workers) fall back to their leader's.
#[inline(always)]
pub fn mark_of(task: TaskPtr) -> Option<&'static mut TaskMark> {
    let own = storage(task);
    let leads = kernel::tid(task) == kernel::tgid(task);
    // SAFETY: map value.
    if !own.is_null() && (leads || unsafe { (*own).flags } & MarkFlag::BRANCH == 0) {
        // SAFETY: map value, alive for the program's run.
        return Some(unsafe { &mut *own });
    }
    if leads {
        return None;
    }
    // What was nobody's is let go by its leader's mark: the threads' own copies count for nothing then.
    let leaders = storage(kernel::leader(task));
    // SAFETY: as above.
    if leaders.is_null() { None } else { Some(unsafe { &mut *leaders }) }
}

/// The session of the current task, 0 if it is not recorded.
#[inline(always)]
pub fn session_of(task: TaskPtr) -> u64 {
    mark_of(task).map_or(0, |m| m.mark)
}

/// Ancestors that are asked for their session.
const NEAR: u32 = 8;

/// The session of the current task, or of the nearest of its ancestors that is in one: while no recorder is there, nobody marks what is
/// forked. Global: one path for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn session_near() -> u64 {
    let mut task = kernel::current();
    for _ in 0..NEAR {
        let session = session_of(task);
        if session != 0 {
            return session;
        }
        task = kernel::load(task, off!(task_parent));
    }
    0
}

/// True for the service's own canary thread.
#[inline(always)]
pub fn is_canary(task: TaskPtr) -> bool {
    emit::state(State::CANARY_TID) == kernel::tid(task)
}

/// Answers a canary act.
#[inline(always)]
pub fn answer(hook: u32) {
    if let Some(event) = Event::new::<()>(Class::CANARY) {
        event.send(Kind::CANARY, Ring::CRITICAL, 0, (), hook);
    }
}

/// `sched_process_fork`: the child gets its parent's mark before it runs for the first time.
#[inline(always)]
pub fn fork(parent: TaskPtr, child: TaskPtr) -> Option<u64> {
    if is_canary(parent) {
        answer(Hook::FORK);
        let mark = TaskMark { mark: 0, flags: MarkFlag::CANARY, creds: Creds::default() };
        create(child, &raw const mark);
        return None;
    }
    let Some(mark) = mark_of(parent) else { return deleg::forked(parent, child) };
    let process = kernel::tid(child) == kernel::tgid(child);
    // The job itself passes its mark on like everybody else.
    if process && mark.flags & (MarkFlag::BRANCH | MarkFlag::JOB) == MarkFlag::BRANCH {
        if let Some(job) = deleg::job(parent, child, mark.mark) {
            return Some(job);
        }
    }
    let copy = TaskMark { mark: mark.mark, flags: mark.flags & !MarkFlag::SEATED, creds: mark.creds };
    create(child, &raw const copy);
    if copy.mark == 0 || !process {
        return None;
    }
    // A child may become a process group's leader without ever executing anything.
    remember_group(kernel::tgid(child), copy.mark);
    remember_group(kernel::pgid(parent), copy.mark);
    Some(copy.mark)
}

#[inline(always)]
fn remember_group(pgid: u32, mark: u64) {
    if pgid != 0 && PGRPS.insert(&pgid, &mark, 0).is_err() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).map_full }, 1);
    }
}

#[inline(always)]
fn elevated(task: TaskPtr, creds: &Creds) -> bool {
    creds.euid == 0 || (creds.cap_effective != 0 && kernel::caps_reach_out(task))
}

/// `sched_process_exec`: judges elevation by what lies in that inode. Returns the session if the current task is recorded from here on, else 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_exec(inode: u64) -> u64 {
    exec(kernel::current(), inode).map_or(0, |mark| mark.mark)
}

#[inline(always)]
fn exec(task: TaskPtr, inode: u64) -> Option<&'static mut TaskMark> {
    let known = mark_of(task);
    let creds = kernel::creds(task);
    let login = kernel::loginuid(task);
    match known {
        Some(mark) if mark.flags & MarkFlag::CANARY != 0 => {
            answer(Hook::EXEC);
            None
        }
        Some(mark) if mark.mark != 0 => {
            gate::pass(task, mark, inode);
            Some(mark)
        }
        Some(mark) => {
            if !elevated(task, &creds) {
                mark.creds = creds;
                mark.flags &= !MarkFlag::SEATED;
                return None;
            }
            let via = if creds.euid == 0 && creds.uid != 0 {
                via::SETUID
            } else if creds.euid != 0 {
                via::FILE_CAPS
            } else {
                via::UNEXPLAINED
            };
            open(task, mark, &creds, via);
            if via == via::UNEXPLAINED {
                gate::pass(task, mark, inode);
            }
            Some(mark)
        }
        None => {
            if login == UNSET || creds.uid != login || (login == 0 && !is_roots_login(task)) {
                return None;
            }
            let first = TaskMark { mark: 0, flags: 0, creds };
            if !create(task, &raw const first) {
                return None;
            }
            let via = if creds.uid == 0 {
                via::LOGIN
            } else if elevated(task, &creds) {
                via::SETUID
            } else if setting_all_logins() {
                via::SCOPE
            } else {
                return None;
            };
            let mark = mark_of(task)?;
            open(task, mark, &creds, via);
            if via == via::SCOPE {
                mark.flags |= MarkFlag::PLAIN;
            } else if via == via::LOGIN {
                gate::pass(task, mark, inode);
            }
            Some(mark)
        }
    }
}

/// uid 0 logs in like everybody else, but its PAM helpers run as uid 0 too: they are neither session leaders nor, by their names, login
/// shells. Some `login`s leave the leading to themselves and start a login shell below.
#[inline(always)]
fn is_roots_login(task: TaskPtr) -> bool {
    let leads: u32 = kernel::read(kernel::signal(task), off!(signal_leader));
    if leads & 1 != 0 {
        return true;
    }
    let mm: *const u8 = kernel::load(task, off!(task_mm));
    kernel::user_byte(kernel::read(mm as u64, off!(mm_arg_start))) == b'-'
}

#[inline(always)]
fn setting_all_logins() -> bool {
    // SAFETY: a static of this object.
    unsafe { core::ptr::read_volatile(addr_of!(crate::maps::SETTINGS.all_logins)) == 1 }
}

/// A session begins: a new mark, and the event that says why.
#[inline(always)]
fn open(task: TaskPtr, mark: &mut TaskMark, creds: &Creds, via: u32) {
    mark.mark = emit::next_mark();
    mark.flags |= MarkFlag::FRESH;
    log::log_session(mark.mark, kernel::tgid(task), via);
    remember_group(kernel::pgid(task), mark.mark);
    if let Some(event) = Event::new::<MarkEvent>(Class::SESSION) {
        // SAFETY: the payload's place in the scratch.
        let payload = unsafe { &mut *event.payload::<MarkEvent>() };
        payload.old = mark.creds;
        payload.new = *creds;
        payload.audit_session = kernel::load(task, off!(task_sessionid));
        payload.via = via;
        event.send_as_is(Kind::MARK, Ring::CRITICAL, mark.mark, 0);
    }
    mark.creds = *creds;
}
