//! Terminals: what the screen shows, what is typed, and the size.
//!
//! Keyed by the terminal, never by the task: echo is written by a kworker. The key is the address of the slave's
//! tty_struct; addresses are reused, so an entry counts only while the terminal's session leader is the one that was
//! seen when it was made (docs/kernel.md). Terminals that are no ptys: `line.rs`.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use recorder_common::{Class, Flag, Hook, Kind, Ring, State, TTY_CHUNK, TtyEvent, TtyState};

use crate::{
    emit::{self, Event},
    kernel::{self, Args, TaskPtr, off},
    line, log,
    maps::{PGRPS, SETTINGS, TTYS, TYPING},
    scope, socket,
    stream::{self, Way},
};

/// `TTY_DRIVER_TYPE_PTY` moved between kernels; the subtypes did not (include/linux/tty_driver.h).
const SUBTYPE_MASTER: u16 = 1;
const SUBTYPE_SLAVE: u16 = 2;
/// Both ends of a pty have these; consoles have other majors and no such subtype pair.
const PTMX: u32 = (5 << 20) | 2;
const MASTER_MAJOR: u32 = 128;
const SLAVE_MAJOR: u32 = 136;
const ICANON: u32 = 2;
const ECHO: u32 = 8;
/// How long the reader of an outer terminal may lag behind the end of the session's foreground.
const GRACE_NS: u64 = 200_000_000;
/// Calls of more than this many chunks are counted as unread beyond them.
pub const CHUNKS: usize = 32;
/// Vectors of one readv or writev that are followed.
const VECTORS: usize = 8;

#[inline(always)]
pub fn tty_input() -> u32 {
    // SAFETY: a static of this object.
    unsafe { core::ptr::read_volatile(core::ptr::addr_of!(SETTINGS.tty_input)) }
}

#[inline(always)]
pub fn session_leader(tty: u64) -> u32 {
    kernel::pid_number(kernel::read(tty, off!(tty_session)))
}

#[inline(always)]
fn foreground(tty: u64) -> u32 {
    kernel::pid_number(kernel::read(tty, off!(tty_pgrp)))
}

#[derive(Clone, Copy)]
pub struct Size {
    rows: u16,
    cols: u16,
}

#[inline(always)]
pub fn size(tty: u64) -> Size {
    let both: u32 = kernel::read(tty, off!(tty_winsize));
    Size { rows: both as u16, cols: (both >> 16) as u16 }
}

#[inline(always)]
fn is_pty(tty: u64, subtype: u16) -> bool {
    let driver: u64 = kernel::read(tty, off!(tty_driver));
    let found: u16 = kernel::read(driver, off!(driver_subtype));
    let major: u32 = kernel::read(driver, off!(driver_major));
    // The unix98 master's driver has major 128, the slave's 136 (include/uapi/linux/major.h).
    found == subtype && (major == MASTER_MAJOR || major == SLAVE_MAJOR)
}

#[inline(always)]
fn group_is(pgid: u32, mark: u64) -> bool {
    // SAFETY: copied at once.
    pgid != 0 && unsafe { PGRPS.get(&pgid) }.is_some_and(|m| *m == mark)
}

/// Neither end of a pty. BSD ptys, which have majors of their own, are long gone from stock kernels.
#[inline(always)]
pub fn is_line(tty: u64) -> bool {
    let driver: u64 = kernel::read(tty, off!(tty_driver));
    let major: u32 = kernel::read(driver, off!(driver_major));
    major != 0 && major != MASTER_MAJOR && major != SLAVE_MAJOR
}

/// The exec of a recorded task: its controlling terminal belongs to the session.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn adopt_controlling(session: u64) -> u32 {
    let tty: u64 = kernel::read(kernel::signal(kernel::current()), off!(signal_tty));
    if tty == 0 || !(is_pty(tty, SUBTYPE_SLAVE) || is_line(tty)) {
        return 0;
    }
    let leader = session_leader(tty);
    // SAFETY: copied at once.
    if let Some(old) = unsafe { TTYS.get(&tty) } {
        if old.leader == leader && (old.mark == session || !group_is(foreground(tty), session)) {
            return 0;
        }
    }
    adopt(tty, session, leader, u32::from(group_is(leader, session)), 0);
    1
}

/// A recorded task opened /dev/ptmx: the new terminal belongs to the session.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn adopt_opened(file: u64, session: u64) -> u32 {
    let master = master_of(file);
    if master == 0 {
        return 0;
    }
    adopt(kernel::read(master, off!(tty_link)), session, 0, 1, Flag::OPENED);
    1
}

#[inline(always)]
fn adopt(tty: u64, mark: u64, leader: u32, whole: u32, flags: u16) {
    let size = size(tty);
    let state = TtyState { mark, grace_ns: 0, leader, whole, rows: size.rows, cols: size.cols, reserved: 0 };
    if TTYS.insert(&tty, &state, 0).is_err() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).map_full }, 1);
        return;
    }
    emit::set_state(State::TTYS);
    log::log_terminal(mark, kernel::read(tty, off!(tty_index)), leader);
    event_of_size(tty, mark, size, flags);
}

#[inline(always)]
pub fn payload(tty: u64, size: Size, len: u32, hidden: u32) -> TtyEvent {
    let driver: u64 = kernel::read(tty, off!(tty_driver));
    let index: u32 = kernel::read(tty, off!(tty_index));
    TtyEvent {
        tty,
        index,
        len,
        hidden,
        rows: size.rows,
        cols: size.cols,
        major: kernel::read(driver, off!(driver_major)),
        minor: kernel::read::<u32>(driver, off!(driver_minor_start)) + index,
    }
}

#[inline(always)]
fn event_of_size(tty: u64, mark: u64, size: Size, flags: u16) {
    if let Some(mut event) = Event::new::<TtyEvent>(Class::TTY) {
        event.flags |= flags;
        event.send(Kind::TTY_RESIZE, Ring::BULK, mark, payload(tty, size, 0, 0), 0);
    }
}

/// The session that this slave's bytes belong to at this moment; 0 for none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wanted(tty: u64, writer_is: u64) -> u64 {
    let Some(state) = TTYS.get_ptr_mut(&tty) else { return 0 };
    // SAFETY: map value.
    let state = unsafe { &mut *state };
    let leader = session_leader(tty);
    if state.leader == 0 {
        state.leader = leader;
    } else if leader != 0 && leader != state.leader {
        let _ = TTYS.remove(&tty);
        return 0;
    }
    let mark = state.mark;
    let mine = state.whole == 1 || writer_is == mark || group_is(foreground(tty), mark);
    let now = emit::now();
    if mine {
        state.grace_ns = now + GRACE_NS;
    } else if now > state.grace_ns {
        return 0;
    }
    let size = size(tty);
    if size.rows != state.rows || size.cols != state.cols {
        state.rows = size.rows;
        state.cols = size.cols;
        event_of_size(tty, mark, size, 0);
    }
    mark
}

#[inline(always)]
fn echoes_lines(slave: u64) -> bool {
    let lflag: u32 = kernel::read(slave, off!(tty_termios_lflag));
    lflag & (ECHO | ICANON) == ECHO | ICANON
}

/// The master's tty_struct behind a file, 0 if it is none.
#[inline(always)]
fn master_of(file: u64) -> u64 {
    let inode: u64 = kernel::read(file, off!(file_inode));
    if inode == 0 || kernel::read::<u32>(inode, off!(inode_rdev)) != PTMX {
        return 0;
    }
    let private: u64 = kernel::read(file, off!(file_private));
    let tty: u64 = kernel::read(private, off!(tty_file_tty));
    if is_pty(tty, SUBTYPE_MASTER) { tty } else { 0 }
}

#[inline(always)]
pub fn armed() -> bool {
    emit::state(State::TTYS) == 1
}

/// The slave behind the master that descriptor `fd` of the current task is, 0 if it is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn slave_behind(fd: u64) -> u64 {
    let file = kernel::file_of(kernel::current(), fd as u32);
    if file == 0 {
        return 0;
    }
    let master = master_of(file);
    if master == 0 { 0 } else { kernel::read(master, off!(tty_link)) }
}

/// Where bytes lie.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Memory {
    User,
    Kernel,
}

/// Sends up to `TTY_CHUNK - 1` bytes as one event. A global function: verified once, not in every turn of the loops
/// below.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tty_chunk(tty: u64, mark: u64, kind_and_memory: u64, from: u64, n: u32) -> u32 {
    let kind = kind_and_memory as u16;
    let Some(mut event) = Event::new::<TtyEvent>(Class::TTY) else { return 0 };
    let len = if kind_and_memory >> 32 == Memory::User as u64 {
        event.user_bytes::<0xfff>(from, n as usize)
    } else {
        event.kernel_bytes::<0xfff>(from, n as usize)
    };
    if len != n {
        unread(u64::from(n));
    }
    event.send(kind, Ring::BULK, mark, payload(tty, size(tty), len, 0), 0);
    len
}

/// Bytes of one terminal, on their way out.
#[derive(Clone, Copy)]
pub struct Flow {
    pub tty: u64,
    pub mark: u64,
    pub kind: u16,
    pub memory: Memory,
}

/// Sends `len` bytes in chunks; what lies beyond the last chunk is counted as unread.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tty_bytes(tty: u64, mark: u64, kind_and_memory: u64, from: u64, len: u64) -> u32 {
    let mut left = len;
    let mut from = from;
    let mut chunk = 0;
    while chunk < CHUNKS {
        chunk += 1;
        if left == 0 {
            break;
        }
        let n = if left > (TTY_CHUNK as u64 - 1) { TTY_CHUNK as u64 - 1 } else { left };
        tty_chunk(tty, mark, kind_and_memory, from, n as u32);
        from += n;
        left -= n;
    }
    unread(left);
    chunk as u32
}

#[inline(always)]
fn unread(bytes: u64) {
    if bytes != 0 {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).unread_tty_bytes }, bytes);
    }
}

impl Flow {
    #[inline(always)]
    pub fn send(self, from: u64, len: u64) {
        tty_bytes(self.tty, self.mark, u64::from(self.kind) | (self.memory as u64) << 32, from, len);
    }

    /// Sends `len` bytes that lie in the vectors at `iov`.
    #[inline(always)]
    pub fn send_vectors(self, iov: u64, count: u64, len: u64) {
        let mut left = len;
        let mut i = 0;
        while i < VECTORS as u64 {
            if left == 0 || i >= count {
                break;
            }
            let mut vector = [0u64; 2];
            let at = (iov + i * 16) as *const core::ffi::c_void;
            // SAFETY: 16 bytes into a local; the helper checks the source.
            let r = unsafe { bpf_probe_read_user(vector.as_mut_ptr().cast(), 16, at) };
            if r != 0 {
                break;
            }
            let n = if vector[1] < left { vector[1] } else { left };
            self.send(vector[0], n);
            left -= n;
            i += 1;
        }
        unread(left);
    }
}

/// Typed bytes that must not be kept: their number only.
#[inline(always)]
fn hidden(tty: u64, mark: u64, count: u64) {
    if let Some(event) = Event::new::<TtyEvent>(Class::TTY) {
        let payload = payload(tty, size(tty), 0, count as u32);
        event.send(Kind::TTY_INPUT, Ring::BULK, mark, payload, 0);
    }
}

#[inline(always)]
fn canary(task: TaskPtr, fd: u64, hook: u32) -> bool {
    if !scope::is_canary(task) {
        return false;
    }
    if slave_behind(fd) != 0 {
        scope::answer(hook);
    }
    true
}

/// `sys_exit_read`, `sys_exit_readv` of whoever owns a master: byte for byte what the screen shows.
#[inline(always)]
pub fn sys_exit_read(ret: i64, vectors: bool) {
    let task = kernel::current();
    if ret <= 0 {
        return;
    }
    let args = Args::new(task);
    if canary(task, args.first(), Hook::TTY_OUTPUT)
        || stream::returned(task, &args, ret, vectors, Way::Read)
        || !armed()
    {
        return;
    }
    let slave = slave_behind(args.first());
    if slave == 0 {
        return;
    }
    let mark = wanted(slave, 0);
    if mark == 0 {
        return;
    }
    let flow = Flow { tty: slave, mark, kind: Kind::TTY_OUTPUT, memory: Memory::User };
    if vectors {
        flow.send_vectors(args.second(), args.third(), ret as u64);
    } else {
        flow.send(args.second(), ret as u64);
    }
}

/// `sys_enter_write`, `sys_enter_writev`: remembers that the slave echoed lines when the typing began.
#[inline(always)]
pub fn sys_enter_write() {
    socket::enters_call(kernel::current());
    if !armed() || tty_input() != 1 {
        return;
    }
    let task = kernel::current();
    let slave = slave_behind(Args::new(task).first());
    begin_typing(slave);
}

#[inline(always)]
fn begin_typing(slave: u64) {
    if slave != 0 && echoes_lines(slave) {
        let _ = TYPING.insert(&emit::thread(), &slave, 0);
    }
}

/// True if typed bytes may be kept: the slave echoed lines before and after, or the setting keeps everything.
#[inline(always)]
fn may_keep(slave: u64) -> bool {
    match tty_input() {
        2 => true,
        1 => {
            let key = emit::thread();
            // SAFETY: copied at once.
            let before = unsafe { TYPING.get(&key) }.is_some_and(|s| *s == slave);
            let _ = TYPING.remove(&key);
            before && echoes_lines(slave)
        }
        _ => false,
    }
}

/// `sys_exit_write`, `sys_exit_writev` of whoever owns a master: what is typed.
#[inline(always)]
pub fn sys_exit_write(ret: i64, vectors: bool) {
    let task = kernel::current();
    if ret <= 0 {
        return;
    }
    let args = Args::new(task);
    if canary(task, args.first(), Hook::TTY_INPUT)
        || stream::returned(task, &args, ret, vectors, Way::Written)
        || !armed()
    {
        return;
    }
    let slave = slave_behind(args.first());
    if slave == 0 {
        line::written(&args, ret, vectors);
        return;
    }
    let mark = wanted(slave, 0);
    let keep = may_keep(slave);
    if mark == 0 {
        return;
    }
    let flow = Flow { tty: slave, mark, kind: Kind::TTY_INPUT, memory: Memory::User };
    if !keep {
        hidden(slave, mark, ret as u64);
    } else if vectors {
        flow.send_vectors(args.second(), args.third(), ret as u64);
    } else {
        flow.send(args.second(), ret as u64);
    }
}

/// fentry `pty_write(tty, ..)`.
#[inline(always)]
pub fn pty_write_enter(tty: u64) {
    if armed() && tty_input() == 1 && is_pty(tty, SUBTYPE_MASTER) {
        begin_typing(kernel::read(tty, off!(tty_link)));
    }
}

/// fexit `pty_write(tty, buf, len) = ret`: the slave's writes are shown, the master's are typed. The exit counts each
/// byte once; the entry would count partial writes twice.
#[inline(always)]
pub fn pty_write(tty: u64, buf: u64, ret: i32) {
    let task = kernel::current();
    if ret <= 0 {
        return;
    }
    if scope::is_canary(task) {
        if is_pty(tty, SUBTYPE_SLAVE) {
            scope::answer(Hook::TTY_OUTPUT);
        } else {
            scope::answer(Hook::TTY_INPUT);
        }
        return;
    }
    if !armed() {
        return;
    }
    if is_pty(tty, SUBTYPE_SLAVE) {
        let mark = wanted(tty, scope::session_of(task));
        if mark != 0 {
            Flow { tty, mark, kind: Kind::TTY_OUTPUT, memory: Memory::Kernel }.send(buf, ret as u64);
        }
    } else if is_pty(tty, SUBTYPE_MASTER) {
        let slave = kernel::read(tty, off!(tty_link));
        let mark = wanted(slave, 0);
        let keep = may_keep(slave);
        if mark == 0 {
            return;
        }
        if keep {
            Flow { tty: slave, mark, kind: Kind::TTY_INPUT, memory: Memory::Kernel }.send(buf, ret as u64);
        } else {
            hidden(slave, mark, ret as u64);
        }
    }
}
