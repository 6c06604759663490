//! Terminals that are no ptys: VT, serial lines, hypervisor consoles. What belongs to whom is as in `tty.rs`.

use recorder_common::{Class, Kind, Ring, TtyEvent};

use crate::{
    emit::Event,
    kernel::{self, Args, off},
    maps::TTYS,
    scope,
    tty::{Flow, Memory, armed, is_line, payload, session_leader, size, wanted},
};

/// A recorded task wrote to a line: what it passed, before the line discipline changed it, and no echo. There is no other way
/// to see a line where functions can't be watched.
#[inline(always)]
pub fn written(args: &Args, ret: i64, vectors: bool) {
    let own = scope::session_of(kernel::current());
    if own == 0 {
        return;
    }
    let tty = line_behind(args.first());
    if tty == 0 || wanted(tty, own) != own {
        return;
    }
    let flow = Flow { tty, mark: own, kind: Kind::TTY_OUTPUT, memory: Memory::User };
    if vectors {
        flow.send_vectors(args.second(), args.third(), ret as u64);
    } else {
        flow.send(args.second(), ret as u64);
    }
}

/// The line that descriptor `fd` of the current task is, 0 if it is none that is recorded.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn line_behind(fd: u64) -> u64 {
    let file = kernel::file_of(kernel::current(), fd as u32);
    if file == 0 {
        return 0;
    }
    let inode: u64 = kernel::read(file, off!(file_inode));
    let mode: u16 = kernel::read(inode, off!(inode_mode));
    if u32::from(mode) & kernel::S_IFMT != kernel::S_IFCHR {
        return 0;
    }
    // What lies there in a file of another driver is no address of a recorded terminal.
    let private: u64 = kernel::read(file, off!(file_private));
    let tty: u64 = kernel::read(private, off!(tty_file_tty));
    // SAFETY: looked at only.
    if tty != 0 && unsafe { TTYS.get(&tty) }.is_some() && is_line(tty) { tty } else { 0 }
}

/// fexit `con_write`, `uart_write`, `hvc_write(tty, buf, len) = ret`: what a line shows, echo included. What is typed at it comes
/// from its driver by other ways, and is seen as far as it is echoed.
#[inline(always)]
pub fn write(tty: u64, buf: u64, ret: i32) {
    if ret <= 0 || !armed() {
        return;
    }
    let mark = wanted_of_line(tty);
    if mark != 0 {
        Flow { tty, mark, kind: Kind::TTY_OUTPUT, memory: Memory::Kernel }.send(buf, ret as u64);
    }
}

/// fexit `con_put_char`, `uart_put_char(tty, byte) = ret`: the line discipline writes echo, and what it changes, so.
#[inline(always)]
pub fn put(tty: u64, byte: u64, ret: i32) {
    if ret <= 0 || !armed() {
        return;
    }
    let mark = wanted_of_line(tty);
    if mark != 0 {
        line_byte(tty, mark, byte);
    }
}

/// As [`wanted`]. A line outlives the logins on it, unlike a pty: between one that ended and the next only what
/// the session's own tasks write is theirs.
#[inline(always)]
fn wanted_of_line(tty: u64) -> u64 {
    let own = scope::session_of(kernel::current());
    let mark = wanted(tty, own);
    if mark != own && session_leader(tty) == 0 { 0 } else { mark }
}

/// Sends one byte, which lies in no memory, as an event.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn line_byte(tty: u64, mark: u64, byte: u64) -> u32 {
    let Some(mut event) = Event::new::<TtyEvent>(Class::TTY) else { return 0 };
    event.byte(byte as u8);
    event.send(Kind::TTY_OUTPUT, Ring::BULK, mark, payload(tty, size(tty), 1, 0), 0);
    1
}
