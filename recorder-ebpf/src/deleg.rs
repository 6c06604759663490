//! Work that a session hands to other people's processes (docs/delegation.md): what managers and engines start, jobs
//! of cron and at, programs that it wrote and others run.
//!
//! What may have been asked for gets a mark of its own before it runs; whether somebody did ask, the service decides. So nothing
//! is missed that starts faster than a message is read, and nobody's work is given to anybody by a guess of the kernel side.

use recorder_common::{
    Armed, BranchEvent, Class, ForkEvent, Kind, MarkFlag, PlantKey, Ring, State, StdinEvent, TurnKey,
};

use crate::{
    emit::{self, Event},
    guard,
    kernel::{self, Place, TaskPtr, off},
    maps::{ARMED, PENDING, PLANTED, TURNS},
    scope, socket,
};

/// In a value of `PENDING`: a user's manager made it. Marks are times and don't reach it.
const OF_USER: u64 = 1 << 63;
/// Names of daemons that run jobs. A name is chosen by the program: it arms, and proves nothing.
const DAEMONS: [[u8; 8]; 4] = [*b"cron\0\0\0\0", *b"crond\0\0\0", *b"CRON\0\0\0\0", *b"atd\0\0\0\0\0"];
/// Name of the processes that keep containers (containerd-shim-runc-v2, as far as a name goes) and what starts in them.
const SHIM: [[u8; 8]; 2] = [*b"containe", *b"rd-shim\0"];
/// The bytes of a name that are compared: as many as the longest has, and its end.
const NAME: u64 = 0xffff_ffff_ffff;

#[inline(always)]
fn id_of(cgroup: u64) -> u64 {
    let node: u64 = kernel::read(cgroup, off!(cgroup_node));
    kernel::read(node, off!(kernfs_id))
}

/// The control group of a task in the default hierarchy.
#[inline(always)]
fn cgroup_of(task: TaskPtr) -> u64 {
    let set: *const u8 = kernel::load(task, off!(task_cgroups));
    id_of(kernel::read(set as u64, off!(css_set_cgroup)))
}

/// The session on whose behalf the current task may be at work, if it is a manager that was asked for something, and the thread whose
/// request was on its way last.
#[inline(always)]
fn asked() -> Option<(u64, u64)> {
    let task = kernel::current();
    let uid = u64::from(kernel::creds(task).uid);
    let tgid = u64::from(kernel::tgid(task));
    let key = if tgid == 1 { 1 } else { Armed::USER | uid };
    // SAFETY: copied at once.
    match unsafe { ARMED.get(&key) } {
        Some(armed) if emit::now() < armed.until => Some((armed.mark, armed.sender)),
        _ => None,
    }
}

/// `cgroup_mkdir(cgroup, path)`.
#[inline(always)]
pub fn cgroup_made(cgroup: u64, path: u64) {
    if emit::state(State::ARMED) == 0 || scope::session_of(kernel::current()) != 0 {
        return;
    }
    let Some((parent, sender)) = asked() else { return };
    let id = id_of(cgroup);
    let mark = emit::next_mark();
    let of_user = if kernel::tgid(kernel::current()) == 1 { 0 } else { OF_USER };
    if PENDING.insert(&id, &(mark | of_user), 0).is_err() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).map_full }, 1);
        return;
    }
    let is_ahead = socket::is_sending(sender);
    branch(mark, parent, id, path, if is_ahead { BranchEvent::UNIT_AHEAD } else { BranchEvent::UNIT });
}

/// Says that something starts. A global function, as its callers have no room on the stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn branch(mark: u64, parent: u64, object: u64, path: u64, cause: u32) -> u32 {
    let Some(mut event) = Event::new::<BranchEvent>(Class::SESSION) else { return 0 };
    let path_len = if path == 0 { 0 } else { event.kernel_str(path) };
    let payload = BranchEvent { parent, object, dev: 0, cause, path_len, generation: 0 };
    u32::from(event.send(Kind::BRANCH, Ring::CRITICAL, mark, payload, 0))
}

/// A process belongs to something that starts: told like a fork.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn joined(mark: u64, start_ns: u64, pid: u32) -> u32 {
    let Some(event) = Event::new::<ForkEvent>(Class::FORK) else { return 0 };
    let payload = ForkEvent { child_start_ns: start_ns, child_pid: pid, reserved: 0 };
    u32::from(event.send(Kind::FORK, Ring::CRITICAL, mark, payload, 0))
}

/// The mark of what starts in a control group. A task with a login uid is somebody's login, which logind has moved there, and no
/// unit of the system's manager; those of a user's manager have one.
#[inline(always)]
fn pending(cgroup: u64, task: TaskPtr) -> Option<u64> {
    // SAFETY: copied at once.
    let value = unsafe { PENDING.get(&cgroup) }.copied()?;
    if value & OF_USER == 0 && kernel::loginuid(task) != u32::MAX {
        return None;
    }
    Some(value & !OF_USER)
}

/// `cgroup_attach_task(cgroup, path, task, threadgroup)`.
#[inline(always)]
pub fn attached(cgroup: u64, task: TaskPtr) {
    guard::grouped(kernel::read(cgroup, off!(cgroup_node)), task);
    if emit::state(State::ARMED) == 0 {
        return;
    }
    let Some(mark) = pending(id_of(cgroup), task) else { return };
    if scope::mark_of(task).is_some() {
        return;
    }
    if scope::adopt(task, mark, 0) {
        joined(mark, kernel::load(task, off!(task_start)), kernel::tgid(task));
    }
}

/// True if the task's name is that of a daemon that runs jobs.
#[inline(always)]
fn runs_jobs(task: TaskPtr) -> bool {
    let name: u64 = kernel::load(task, off!(task_comm));
    let mut is_one = false;
    let mut d = 0;
    // As numbers: byte by byte is a way for the verifier for each byte that differs.
    while d < DAEMONS.len() {
        is_one |= name & NAME == u64::from_le_bytes(DAEMONS[d]);
        d += 1;
    }
    is_one
}

/// `sched_process_fork` of a parent without a mark: the child may be born into a control group that somebody asked for, or be a
/// job.
#[inline(always)]
pub fn forked(parent: TaskPtr, child: TaskPtr) -> Option<u64> {
    if kernel::tid(child) != kernel::tgid(child) {
        return None;
    }
    if emit::state(State::ARMED) != 0 {
        if let Some(mark) = pending(cgroup_of(child), child) {
            return scope::adopt(child, mark, 0).then_some(mark);
        }
    }
    job(parent, child, 0)
}

/// A daemon that runs jobs makes a process: it has a mark of its own, also where the daemon itself is only just being looked at (`of`,
/// its mark, else 0). What it is may well be known when nothing is left of that.
#[inline(always)]
pub fn job(parent: TaskPtr, child: TaskPtr, of: u64) -> Option<u64> {
    // Anybody may take a name; the daemons are root, if only in the saved id as atd.
    let creds = kernel::creds(parent);
    let is_root = creds.uid == 0 || creds.euid == 0 || creds.suid == 0;
    if emit::state(State::JOBS) == 0 || !runs_jobs(parent) || !is_root {
        return None;
    }
    let mark = emit::next_mark();
    if !scope::adopt(child, mark, MarkFlag::JOB) {
        return None;
    }
    branch(mark, of, 0, 0, BranchEvent::JOB);
    Some(mark)
}

#[inline(always)]
pub fn plant_key(inode: u64) -> PlantKey {
    plant_key_of(kernel::inode_id(inode), inode)
}

#[inline(always)]
fn plant_key_of(id: kernel::InodeId, inode: u64) -> PlantKey {
    PlantKey { ino: id.ino, dev: id.dev, generation: kernel::read(inode, off!(inode_generation)) }
}

/// A session may write to a file, or a device that holds some: true if that is news of it.
#[inline(always)]
pub fn written(session: u64, inode: u64, id: kernel::InodeId) -> bool {
    let kind = id.mode & kernel::S_IFMT;
    if kind != kernel::S_IFREG && kind != kernel::S_IFBLK {
        return false;
    }
    let key = plant_key_of(id, inode);
    if let Some(known) = PLANTED.get_ptr_mut(&key) {
        // The look is enough to keep it among the newest; putting it in again costs several times as much.
        // SAFETY: map value.
        let by = unsafe { known.read_volatile() };
        if by == session {
            return false;
        }
        // SAFETY: map value.
        unsafe { known.write_volatile(session) };
        return turn(by, session, key.ino, u64::from(key.dev) << 32 | u64::from(key.generation)) == 1;
    }
    // The map forgets the oldest by itself; how many there were says when.
    // SAFETY: map value.
    emit::count(|c| unsafe { &raw mut (*c).plants }, 1);
    if PLANTED.insert(&key, &session, 0).is_ok() {
        emit::set_state(State::PLANTED);
    }
    true
}

/// A file that one session wrote is written by another: 1 if that is news of it. Two that write it in turn are told once each. `part`:
/// device and generation.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn turn(by: u64, session: u64, ino: u64, part: u64) -> u32 {
    let mut key =
        TurnKey { mark: by, file: PlantKey { ino, dev: (part >> 32) as u32, generation: part as u32 } };
    if TURNS.get_ptr(&key).is_none() {
        let _ = TURNS.insert(&key, &1, 0);
    }
    key.mark = session;
    if TURNS.get_ptr(&key).is_some() {
        return 0;
    }
    let _ = TURNS.insert(&key, &1, 0);
    1
}

/// An exec of a task that is nobody's, of what lies in that inode: the mark it has from here on, 0 for none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn run(inode: u64) -> u64 {
    if emit::state(State::ARMED) | emit::state(State::PLANTED) == 0 {
        return 0;
    }
    let task = kernel::current();
    if scope::mark_of(task).is_some() {
        return 0;
    }
    let asked = if emit::state(State::ARMED) == 0 { None } else { pending(cgroup_of(task), task) };
    if let Some(asked) = asked {
        return if scope::adopt(task, asked, 0) { asked } else { 0 };
    }
    let key = plant_key(inode);
    // SAFETY: copied at once.
    let parent = unsafe { PLANTED.get(&key) }.copied().unwrap_or(0);
    if parent == 0 {
        return 0;
    }
    let mark = emit::next_mark();
    if !scope::adopt(task, mark, 0) {
        return 0;
    }
    ran(mark, parent, key.ino, key.dev, key.generation);
    mark
}

#[inline(always)]
fn is_shim(task: TaskPtr) -> bool {
    let name: [u64; 2] = kernel::load(task, off!(task_comm));
    name[0] == u64::from_le_bytes(SHIM[0]) && name[1] == u64::from_le_bytes(SHIM[1])
}

/// The current task runs another program than the shim that made it, while an engine is at work for somebody: a runtime, which
/// starts a container, goes into one, or does what the engine asks of itself. Gives its mark, or 0. Whoever may call himself a
/// shim is root; the container's id decides.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn contained(inode: u64) -> u64 {
    let task = kernel::current();
    let parent: TaskPtr = kernel::load(task, off!(task_parent));
    // A shim starts itself once more.
    if emit::state(State::ARMED) == 0 || !is_shim(parent) || is_shim(task) || kernel::creds(parent).uid != 0 {
        return 0;
    }
    if scope::mark_of(task).is_some() {
        return 0;
    }
    // SAFETY: copied at once.
    let until = unsafe { ARMED.get(&Armed::ENGINE) }.map_or(0, |armed| armed.until);
    let mark = emit::next_mark();
    if emit::now() >= until || !scope::adopt(task, mark, 0) {
        return 0;
    }
    // Who asked says the id alone; who wrote the runtime is known here.
    // SAFETY: copied at once.
    let parent = unsafe { PLANTED.get(&plant_key(inode)) }.copied().unwrap_or(0);
    branch(mark, parent, 0, 0, BranchEvent::ENGINE);
    mark
}

/// Says that a planted program runs.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ran(mark: u64, parent: u64, ino: u64, dev: u32, generation: u32) -> u32 {
    let Some(event) = Event::new::<BranchEvent>(Class::SESSION) else { return 0 };
    let payload =
        BranchEvent { parent, object: ino, dev, cause: BranchEvent::PLANT, path_len: 0, generation };
    u32::from(event.send(Kind::BRANCH, Ring::CRITICAL, mark, payload, 0))
}

/// The first program of a job: what it reads on its standard input.
#[inline(always)]
pub fn job_starts(task: TaskPtr, session: u64) {
    if let Some(mark) = scope::mark_of(task) {
        if mark.flags & MarkFlag::JOB != 0 {
            mark.flags &= !MarkFlag::JOB;
            stdin(session);
        }
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stdin(session: u64) -> u32 {
    let file = kernel::file_of(kernel::current(), 0);
    if file == 0 {
        return 0;
    }
    let Some(mut event) = Event::new::<StdinEvent>(Class::SESSION) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    let id = kernel::inode_id(kernel::read(file, off!(file_inode)));
    let payload = StdinEvent { ino: id.ino, dev: id.dev, path_len };
    u32::from(event.send(Kind::STDIN, Ring::CRITICAL, session, payload, 0))
}
