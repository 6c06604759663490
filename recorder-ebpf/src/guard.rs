//! The guard: what others do to the recorder's process, its journal, its maps and what switches its programs off. Told in every mode,
//! refused if that is asked for (docs/guard.md).
//!
//! Files are known by device, inode and generation, never by a name: the recorder opens what is to be guarded while the service says
//! so, and what it writes below a guarded directory is known from its first open on. Processes are known by number and start.

use core::arch::asm;

use recorder_common::{GuardAct, GuardSettings, Guarded, PlantKey, State};

use crate::{
    deleg, emit, flight, guard_kernel,
    guard_seen::{full, guard_tell},
    kernel::{self, Place, TaskPtr, off},
    maps::{GUARD_MAPS, GUARDED},
};

/// `FMODE_WRITE`, include/linux/fs.h.
const FMODE_WRITE: u32 = 2;
/// include/uapi/asm-generic/fcntl.h.
const F_UNLCK: u32 = 2;
/// Levels that are looked at above a file.
pub const LEVELS: u32 = 4;
/// include/uapi/linux/magic.h.
const PROC: u64 = 0x9fa0;
const CGROUP2: u64 = 0x6367_7270;

/// Signals of x86-64 and arm64.
mod signal {
    pub const HUP: u32 = 1;
    pub const TERM: u32 = 15;
    pub const CONT: u32 = 18;
    pub const IO: u32 = 29;
}

/// include/linux/ptrace.h: more than a look; a question that is no attempt.
const PTRACE_MODE_ATTACH: u32 = 2;
const PTRACE_MODE_NOAUDIT: u32 = 4;

/// include/uapi/linux/fs.h: flags of files in their forms, and what stops a whole file system.
const SET_FLAGS: [u32; 3] = [0x4008_6602, 0x4004_6602, 0x401c_5820];
const STOP_FS: [u32; 2] = [0xc004_5877, 0x8004_587d];

/// `struct kernel_siginfo`: where its code stands, and SI_USER, SI_QUEUE, SI_TKILL, which are somebody's calls.
const SI_CODE: usize = 8;
const SENT: [i32; 3] = [0, -1, -6];

/// With an object: nobody is here to refuse it, whatever the mode.
pub const TOLD_ONLY: u32 = 0x80;

/// What the loader said, a constant for the verifier.
macro_rules! said {
    ($field:ident) => {{
        // SAFETY: reads a static of this object.
        unsafe { core::ptr::read_volatile(core::ptr::addr_of!($crate::maps::GUARD.$field)) }
    }};
}

pub(crate) use said;

/// True if that is the process of this number that began then.
#[inline(always)]
fn is(task: TaskPtr, pid: u64, start: u64) -> bool {
    if u64::from(kernel::tgid(task)) != pid {
        return false;
    }
    let began: u64 = kernel::load(kernel::leader(task), off!(task_start));
    began / GuardSettings::TICK == start
}

#[inline(always)]
fn is_recorder(task: TaskPtr) -> bool {
    is(task, said!(pid), said!(start))
}

/// The host's first process and who started the recorder: they act for anybody who asks them.
#[inline(always)]
pub fn is_manager(task: TaskPtr) -> bool {
    kernel::tgid(task) == 1 || is(task, said!(parent), said!(parent_start))
}

/// The host goes down: the first process became systemd-shutdown.
#[inline(always)]
fn goes_down(task: TaskPtr) -> bool {
    let name: [u64; 2] = kernel::load(task, off!(task_comm));
    kernel::tgid(task) == 1
        && name[0] == u64::from_le_bytes(*b"systemd-")
        && name[1] == u64::from_le_bytes(*b"shutdow\0")
}

/// Somebody who may has asked the recorder to end.
#[inline(always)]
pub fn ends() -> bool {
    emit::state(State::ENDS) == 1
}

/// Of what an act is told: act, object, what it says, and whether the mode may refuse it.
#[inline(always)]
const fn what(act: u16, object: u32, detail: u32) -> u64 {
    act as u64 | (object as u64 & 0xff) << 16 | (detail as u64) << 32
}

/// What is told and never refused: who upgrades or configures the recorder has to write there, and boot loaders, volume managers and
/// file systems' own tools to the devices.
#[inline(always)]
pub fn is_refused(object: u32) -> bool {
    said!(mode) == GuardSettings::ENFORCE
        && object != Guarded::CONFIG
        && object != Guarded::UNIT
        && object != Guarded::PROGRAM
        && object != Guarded::DEVICE
}

/// What a hook answers. The branch stands as it is: made of it by LLVM, arithmetic would give a number that the verifier has no bounds for.
#[inline(always)]
pub fn refuse(is_refused: u32) -> i32 {
    let answer: i64;
    // SAFETY: three instructions on two registers.
    unsafe {
        asm!("{answer} = 0", "if {asked} != 1 goto +1", "{answer} = -1", asked = in(reg) u64::from(is_refused), answer = out(reg) answer);
    }
    answer as i32
}

/// The verdict on an act by the current task: 1 if it is refused. It is told in any case.
#[inline(always)]
pub fn judge(act: u16, object: u32, detail: u32, place: Place, to: u64) -> u32 {
    let task = kernel::current();
    if is_recorder(task) || goes_down(task) {
        return 0;
    }
    guard_tell(what(act, object, detail), place.dentry, place.mnt, to)
}

pub const NOWHERE: Place = Place { dentry: 0, mnt: 0 };

/// `task_kill(target, info, signal, cred)`. Signal 0 is a question, and HUP only has the configuration read again, which is on record.
#[inline(always)]
pub fn kill(target: TaskPtr, number: u32) -> i32 {
    if !is_recorder(target) || number == 0 || number == signal::HUP {
        return 0;
    }
    if is_manager(kernel::current()) {
        if number == signal::TERM {
            emit::set_state(State::ENDS);
        }
        if number == signal::TERM || number == signal::CONT || ends() {
            return 0;
        }
    }
    refuse(judge(GuardAct::SIGNAL, Guarded::PROCESS, number, NOWHERE, 0))
}

/// `signal_generate(signal, info, target, …)`, where there is no guard: what somebody sends the recorder is told and can't be refused.
#[inline(always)]
pub fn witness(number: u32, info: u64, target: TaskPtr) -> i32 {
    // The kernel's own have small numbers in the place of an address.
    if info < 2 || !is_recorder(target) || number == signal::HUP {
        return 0;
    }
    let code: i32 = kernel::read(info, SI_CODE);
    let task = kernel::current();
    if !SENT.contains(&code) {
        return 0;
    }
    if is_manager(task) && (number == signal::TERM || number == signal::CONT) {
        return 0;
    }
    judge(GuardAct::SIGNAL, Guarded::PROCESS | TOLD_ONLY, number, NOWHERE, 0);
    0
}

/// `cgroup_attach_task(cgroup, path, task, threadgroup)`, which can't be refused: into a group that somebody froze or starves.
#[inline(always)]
pub fn grouped(node: u64, target: TaskPtr) {
    if said!(mode) != GuardSettings::OFF && is_recorder(target) {
        judge(GuardAct::MOVE, Guarded::CGROUP | TOLD_ONLY, 0, NOWHERE, node);
    }
}

/// `file_send_sigiotask(target, owner, signal)`: what a descriptor sends when something comes, to whoever was made its owner. That comes
/// at any time and in anybody's name, also the recorder's own.
#[inline(always)]
pub fn sigio(target: TaskPtr, number: u32) -> i32 {
    if !is_recorder(target) {
        return 0;
    }
    let number = if number == 0 { signal::IO } else { number };
    refuse(guard_tell(what(GuardAct::SIGNAL, Guarded::PROCESS, number), 0, 0, 0))
}

/// `ptrace_access_check(target, mode)`: tracing, memory, descriptors. A mere look (links in /proc) is what ps and journald have.
#[inline(always)]
pub fn trace(target: TaskPtr, mode: u32) -> i32 {
    if !is_recorder(target) || mode & PTRACE_MODE_ATTACH == 0 || mode & PTRACE_MODE_NOAUDIT != 0 {
        return 0;
    }
    refuse(judge(GuardAct::TRACE, Guarded::PROCESS, 0, NOWHERE, 0))
}

/// Limits, nice value, scheduling, I/O priority of a task.
#[inline(always)]
pub fn task(target: TaskPtr, act: u16, detail: u32) -> i32 {
    if !is_recorder(target) {
        return 0;
    }
    refuse(judge(act, Guarded::PROCESS, detail, NOWHERE, 0))
}

#[inline(always)]
fn value(key: &PlantKey) -> u32 {
    // SAFETY: copied at once.
    unsafe { GUARDED.get(key) }.copied().unwrap_or(0)
}

/// As what that inode itself is guarded; 0: it is not.
#[inline(always)]
pub fn of_inode(inode: u64) -> u32 {
    if inode == 0 { 0 } else { value(&deleg::plant_key(inode)) }
}

/// As what the device of that number is guarded; 0: it is not.
#[inline(always)]
pub fn of_device(dev: u32) -> u32 {
    value(&PlantKey { ino: 0, dev, generation: 0 })
}

/// As what a name is guarded: by its inode, or as something in a guarded directory. 0: it is not.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_found(dentry: u64) -> u32 {
    let own = of_inode(kernel::read(dentry, off!(dentry_inode)));
    if own != 0 {
        return own;
    }
    let (mut at, mut level) = (dentry, 1);
    while level < LEVELS {
        at = kernel::read(at, off!(dentry_parent));
        let above = of_inode(kernel::read(at, off!(dentry_inode)));
        let object = above & Guarded::OBJECT;
        if above & Guarded::TREE != 0 && (level == 1 || object == Guarded::JOURNAL) {
            return object;
        }
        level += 1;
    }
    0
}

/// With its mount, where that is known.
#[inline(always)]
fn place_of(dentry: u64) -> Place {
    flight::place(kernel::current(), dentry).unwrap_or(Place { dentry, mnt: 0 })
}

/// Something is done to what a name stands for: 1 if that is refused.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_act(act: u32, dentry: u64) -> u32 {
    let found = guard_found(dentry);
    // What is done to a control group's directory is its manager's work, and does nothing to who is in it.
    if found == 0 || found & Guarded::ABOVE != 0 || found & Guarded::OBJECT == Guarded::CGROUP {
        return 0;
    }
    judge(act as u16, found & Guarded::OBJECT, 0, place_of(dentry), 0)
}

/// 1 if that act on what the name stands for is refused; as the hooks want it.
#[inline(always)]
pub fn on(act: u16, dentry: u64) -> i32 {
    refuse(guard_act(u32::from(act), dentry))
}

/// A rename or a link: of what is guarded, to a name that is, or of a directory above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_moved(act: u32, old: u64, new: u64) -> u32 {
    let mut found = guard_found(old);
    if found == 0 {
        found = guard_found(new) & !Guarded::ABOVE;
    }
    if found == 0 {
        return 0;
    }
    judge(act as u16, found & Guarded::OBJECT, 0, place_of(old), new)
}

#[inline(always)]
pub fn moved(act: u16, old: u64, new: u64) -> i32 {
    refuse(guard_moved(u32::from(act), old, new))
}

/// `file_open(file)`, and the same as a number, which is what global functions take. What the recorder opens is not judged and may be
/// what is to be guarded.
#[inline(always)]
pub fn open(file: *const u8, number: u64) -> i32 {
    let mode: u32 = kernel::load(file, off!(file_mode));
    let writes = mode & FMODE_WRITE != 0;
    let task = kernel::current();
    if is_recorder(task) {
        if writes || emit::state(State::LEARNS) == kernel::tid(task) {
            guard_own(number);
        }
        return 0;
    }
    if writes { refuse(guard_open(number)) } else { 0 }
}

#[inline(always)]
fn remember(key: &PlantKey, as_what: u32) {
    if GUARDED.insert(key, &as_what, 0).is_err() {
        full();
    }
}

/// A file of the recorder's own: learnt if the service says so, or because it lies in the journal.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_own(file: u64) -> u32 {
    let inode: u64 = kernel::read(file, off!(file_inode));
    let key = deleg::plant_key(inode);
    if emit::state(State::LEARNS) == kernel::tid(kernel::current()) {
        let as_what = emit::state(State::LEARNT_AS);
        if as_what == 0 {
            return 0;
        }
        remember(&key, as_what);
        if as_what & !Guarded::TREE == Guarded::JOURNAL {
            // Freezing the file system, and writing to the device that it lies on.
            remember(&PlantKey { ino: 0, dev: key.dev, generation: 0 }, Guarded::DEVICE);
        }
        return 1;
    }
    if value(&key) == 0 && guard_found(Place::of_file(file).dentry) == Guarded::JOURNAL {
        remember(&key, Guarded::JOURNAL);
    }
    1
}

/// Somebody else opens a file for writing: 1 if that is refused.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_open(file: u64) -> u32 {
    let place = Place::of_file(file);
    let inode: u64 = kernel::read(file, off!(file_inode));
    let sb: u64 = kernel::read(inode, off!(inode_sb));
    let magic: u64 = kernel::read(sb, off!(sb_magic));
    let object = if magic == PROC {
        guard_kernel::guard_in_proc(place.dentry)
    } else if magic == CGROUP2 {
        guard_kernel::guard_in_cgroup(place.dentry)
    } else {
        let mode = u32::from(kernel::read::<u16>(inode, off!(inode_mode)));
        if mode & kernel::S_IFMT == kernel::S_IFBLK {
            of_device(kernel::read(inode, off!(inode_rdev)))
        } else {
            guard_found(place.dentry) & Guarded::OBJECT
        }
    };
    if object == 0 {
        return 0;
    }
    judge(GuardAct::OPEN, object, 0, place, 0)
}

/// `path_truncate(path)`, `file_truncate(file)`.
#[inline(always)]
pub fn truncate(dentry: u64) -> i32 {
    on(GuardAct::TRUNCATE, dentry)
}

/// `file_ioctl(file, command)`.
#[inline(always)]
pub fn ioctl(file: u64, command: u32) -> i32 {
    let stops = command == STOP_FS[0] || command == STOP_FS[1];
    if !stops && command != SET_FLAGS[0] && command != SET_FLAGS[1] && command != SET_FLAGS[2] {
        return 0;
    }
    refuse(guard_ioctl(file, u32::from(stops)))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_ioctl(file: u64, stops: u32) -> u32 {
    let place = Place::of_file(file);
    let object = if stops == 1 {
        let id = kernel::inode_id(kernel::read(file, off!(file_inode)));
        // Nothing can be written to the journal then, which is worse than what is done to its device.
        if of_device(id.dev) == 0 { 0 } else { Guarded::JOURNAL }
    } else {
        let found = guard_found(place.dentry);
        if found & Guarded::ABOVE != 0 { 0 } else { found & Guarded::OBJECT }
    };
    if object == 0 {
        return 0;
    }
    judge(GuardAct::IOCTL, object, 0, place, 0)
}

/// `file_lock(file, kind)`: flock, POSIX locks and leases. The next recorder would not get its journal, or would wait for it.
#[inline(always)]
pub fn lock(file: u64, kind: u32) -> i32 {
    if kind == F_UNLCK { 0 } else { refuse(guard_lock_of(file)) }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn guard_lock_of(file: u64) -> u32 {
    let place = Place::of_file(file);
    if guard_found(place.dentry) & !Guarded::TREE != Guarded::JOURNAL {
        return 0;
    }
    judge(GuardAct::LOCK, Guarded::JOURNAL, 0, place, 0)
}

/// `bpf_map(map, fmode)`: somebody gets a descriptor.
#[inline(always)]
pub fn map(map: u64, mode: u32) -> i32 {
    if mode & FMODE_WRITE == 0 {
        return 0;
    }
    let id: u32 = kernel::read(map, off!(map_id));
    // SAFETY: looked at for its presence only.
    if unsafe { GUARD_MAPS.get(&id) }.is_none() {
        return 0;
    }
    refuse(judge(GuardAct::MAP, Guarded::MAP, id, NOWHERE, 0))
}

/// Which argument of `inode_setattr` the dentry is.
#[inline(always)]
pub fn setattr(args: [u64; 2]) -> i32 {
    on(GuardAct::ATTRIBUTES, if said!(setattr) == 1 { args[1] } else { args[0] })
}
