//! System calls that change the system itself: mounts, namespaces, modules, BPF, clocks, names, kexec, swap.
//!
//! Both backends see them at their exit. They are rare, so one program takes them all: numbers, strings, and the path of a descriptor.

use recorder_common::{CallEvent, Class, Hook, Kind, Ring};

use crate::{
    emit::Event,
    file::recorded,
    kernel::{self, Args, Place, TaskPtr},
};

/// System call numbers of x86-64.
mod nr {
    pub const PIVOT_ROOT: u64 = 155;
    pub const ADJTIMEX: u64 = 159;
    pub const CHROOT: u64 = 161;
    pub const ACCT: u64 = 163;
    pub const SETTIMEOFDAY: u64 = 164;
    pub const MOUNT: u64 = 165;
    pub const UMOUNT: u64 = 166;
    pub const SWAPON: u64 = 167;
    pub const SWAPOFF: u64 = 168;
    pub const SETHOSTNAME: u64 = 170;
    pub const SETDOMAINNAME: u64 = 171;
    pub const INIT_MODULE: u64 = 175;
    pub const DELETE_MODULE: u64 = 176;
    pub const CLOCK_SETTIME: u64 = 227;
    pub const CLOCK_ADJTIME: u64 = 305;
    pub const SETNS: u64 = 308;
    pub const FINIT_MODULE: u64 = 313;
    pub const KEXEC_FILE_LOAD: u64 = 320;
    pub const BPF: u64 = 321;
    pub const OPEN_TREE: u64 = 428;
    pub const MOVE_MOUNT: u64 = 429;
    pub const FSOPEN: u64 = 430;
    pub const FSCONFIG: u64 = 431;
    pub const FSPICK: u64 = 433;
    pub const MOUNT_SETATTR: u64 = 442;
}

/// Commands of bpf(2) that put something into the kernel or take it out (include/uapi/linux/bpf.h): load, pin, attach, detach, open a
/// tracepoint, link, detach a link. All others look.
const BPF_ACTS: u64 = 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 17 | 1 << 28 | 1 << 34;
/// Commands of fsconfig(2) whose value is a string or a path (include/uapi/linux/mount.h).
const FSCONFIG_TEXTS: u64 = 1 << 1 | 1 << 3 | 1 << 4;

/// Where the arguments are that are no numbers: a descriptor (1: the first), up to three strings, a struct (each from 1, 0 for none).
#[derive(Clone, Copy)]
struct Shape {
    fd: u32,
    strings: [u32; 3],
    extra: u32,
}

#[inline(always)]
fn shape(id: u64, second: u64) -> Shape {
    let (fd, strings, extra) = match id {
        nr::MOUNT => (0, [1, 2, 3], 0),
        nr::PIVOT_ROOT => (0, [1, 2, 0], 0),
        nr::UMOUNT
        | nr::CHROOT
        | nr::ACCT
        | nr::SWAPON
        | nr::SWAPOFF
        | nr::SETHOSTNAME
        | nr::SETDOMAINNAME
        | nr::DELETE_MODULE
        | nr::FSOPEN => (0, [1, 0, 0], 0),
        nr::OPEN_TREE | nr::FSPICK | nr::MOUNT_SETATTR => (0, [2, 0, 0], 0),
        nr::MOVE_MOUNT => (1, [2, 4, 0], 0),
        nr::FSCONFIG if second < 5 && 1 << second & FSCONFIG_TEXTS != 0 => (1, [3, 4, 0], 0),
        nr::FSCONFIG => (1, [3, 0, 0], 0),
        nr::INIT_MODULE => (0, [3, 0, 0], 0),
        nr::FINIT_MODULE => (1, [2, 0, 0], 0),
        nr::KEXEC_FILE_LOAD => (1, [4, 0, 0], 0),
        nr::SETNS => (1, [0, 0, 0], 0),
        nr::SETTIMEOFDAY | nr::ADJTIMEX => (0, [0, 0, 0], 1),
        nr::CLOCK_SETTIME | nr::CLOCK_ADJTIME | nr::BPF => (0, [0, 0, 0], 2),
        _ => (0, [0, 0, 0], 0),
    };
    Shape { fd, strings, extra }
}

/// Which argument that is, counted from 1; 0 for none.
#[inline(always)]
fn argument(args: &[u64; 5], which: u32) -> u64 {
    match which {
        1 => args[0],
        2 => args[1],
        3 => args[2],
        4 => args[3],
        5 => args[4],
        _ => 0,
    }
}

/// A call that only asks.
#[inline(always)]
fn only_looks(id: u64, args: &[u64; 5], extra: u64) -> bool {
    match id {
        nr::BPF => args[0] >= 64 || 1 << args[0] & BPF_ACTS == 0,
        // struct timex begins with what is to be changed.
        nr::ADJTIMEX | nr::CLOCK_ADJTIME => extra as u32 == 0,
        nr::SETTIMEOFDAY => args[0] == 0,
        _ => false,
    }
}

/// `sys_exit_*` of these calls.
#[inline(always)]
pub fn returned(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::SYSTEM) else { return };
    tell(task, session, id, ret);
}

#[inline(always)]
fn tell(task: TaskPtr, session: u64, id: u64, ret: i64) {
    let regs = Args::new(task);
    let args = [regs.first(), regs.second(), regs.third(), regs.fourth(), regs.fifth()];
    let Shape { fd, strings, extra } = shape(id, args[1]);
    let at = argument(&args, extra);
    let extra = if at == 0 { [0; 2] } else { kernel::user::<[u64; 2]>(at).unwrap_or_default() };
    if only_looks(id, &args, extra[0]) {
        return;
    }
    let Some(mut event) = Event::new::<CallEvent>(Class::SYSTEM) else { return };
    let path_len =
        if fd == 0 { 0 } else { event.path(Place::of_file(kernel::file_of(task, args[0] as u32))) };
    let mut lens = [0; 3];
    let mut n = 0;
    while n < 3 {
        let from = argument(&args, strings[n]);
        if from != 0 {
            lens[n] = event.user_str(from);
        }
        n += 1;
    }
    let payload = CallEvent { result: ret, args, extra, nr: id as u32, path_len, lens, reserved: 0 };
    // Whoever may mount may do it a million times: what starts programs must not be pushed out by it.
    event.send(Kind::CALL, Ring::BULK, session, payload, 0);
}
