//! Refuses elevation while grants are enforced: the only programs that change what the kernel does.
//!
//! What a session's first program (sudo, su) leads to is judged, not the program itself: it may ask for a password, list
//! rights, or say why not. The LSM hook refuses with an error; where there is none, or it was passed in the last moment
//! of a grant, a signal ends the new program before its first instruction. Whoever passed is not judged again: what
//! outlives its grant gets the service's grace (docs/grants.md).

use aya_ebpf::helpers::generated::bpf_send_signal;
use recorder_common::{Allow, Class, Gate, Kind, MarkFlag, RefusedEvent, Ring, State, TaskMark};

use crate::{
    emit::{self, Event},
    kernel::{self, Place, TaskPtr, off},
    maps::{ALLOWED, GATES},
    scope,
};

const EPERM: i32 = 1;
const SIGKILL: u32 = 9;

/// True if the gate has to decide about what this task is about to run.
#[inline(always)]
fn judges(task: TaskPtr, mark: &TaskMark) -> bool {
    if emit::state(State::GATE) == 0 || mark.mark == 0 || mark.flags & MarkFlag::ADMITTED != 0 {
        return false;
    }
    let login = kernel::loginuid(task);
    // sudo in a login that is recorded as a whole: still on the way.
    mark.flags & MarkFlag::PLAIN == 0 || login == 0 || kernel::creds(task).uid != login
}

/// 1 if the current task may start what lies in that inode. A global function: what it keeps on its stack would be too
/// much in its callers' (docs/kernel.md).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_open(inode: u64) -> u32 {
    u32::from(opens(kernel::current(), inode))
}

#[inline(always)]
fn opens(task: TaskPtr, inode: u64) -> bool {
    let login: u32 = kernel::load(task, off!(task_sessionid));
    let mut key = Gate::LOGIN | u64::from(login);
    // SAFETY: map values are copied; the service replaces them whole.
    let mut gate = unsafe { GATES.get(&key) };
    if gate.is_none() {
        key = u64::from(kernel::loginuid(task));
        // SAFETY: as above.
        gate = unsafe { GATES.get(&key) };
    }
    let now = emit::now();
    let Some(gate) = gate else { return false };
    if now < gate.from || now >= gate.until {
        return false;
    }
    let program = Allow { gate: key, ino: kernel::read(inode, off!(inode_ino)), uid: 0, reserved: 0 };
    let user = Allow { gate: key, ino: 0, uid: kernel::creds(task).euid, reserved: 0 };
    gate.all == 1 || (program.ino != 0 && allows(&program, now)) || (user.uid != 0 && allows(&user, now))
}

#[inline(always)]
fn allows(what: &Allow, now: u64) -> bool {
    // SAFETY: map value.
    unsafe { ALLOWED.get(what) }.is_some_and(|until| now < *until)
}

/// The LSM's verdict on an exec of the current task: 0 or -EPERM.
#[inline(always)]
pub fn check(bprm: u64) -> i32 {
    let task = kernel::current();
    let Some(mark) = scope::mark_of(task) else { return 0 };
    if !judges(task, mark) {
        return 0;
    }
    let file = kernel::read(bprm, off!(bprm_file));
    if is_open(kernel::read(file, off!(file_inode))) == 1 {
        return 0;
    }
    tell(mark.mark, file, RefusedEvent::NOT_STARTED);
    -EPERM
}

/// At the exec itself: admits the task for good, or ends it.
#[inline(always)]
pub fn pass(task: TaskPtr, mark: &mut TaskMark, inode: u64) {
    if !judges(task, mark) {
        return;
    }
    if is_open(inode) == 1 {
        mark.flags |= MarkFlag::ADMITTED;
        return;
    }
    mark.flags |= MarkFlag::REFUSED;
    // SAFETY: signals the current task, which has not returned to its program.
    unsafe { bpf_send_signal(SIGKILL) };
}

/// Behind the exec event, which names the arguments too.
#[inline(always)]
pub fn tell_if_killed(task: TaskPtr, session: u64, file: u64) {
    if scope::mark_of(task).is_some_and(|mark| mark.flags & MarkFlag::REFUSED != 0) {
        tell(session, file, RefusedEvent::KILLED);
    }
}

/// A global function: the verifier checks the walk of the path once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell(session: u64, file: u64, how: u32) -> u32 {
    let Some(mut event) = Event::new::<RefusedEvent>(Class::SESSION) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    u32::from(event.send(Kind::REFUSED, Ring::CRITICAL, session, RefusedEvent { path_len, how }, 0))
}
