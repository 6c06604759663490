//! The debug log: what the programs decide, in words, for whoever works on them. Off unless the configuration asks for
//! it: the loader freezes the level at 0, and the verifier then drops this code from the loaded programs.
//!
//! Functions of their own, so that the programs that call them stay within what the verifier of 6.1 looks through.

use aya_log_ebpf::debug;

/// A session begins with this process; `via` as in the journal.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn log_session(mark: u64, pid: u32, via: u32) -> u32 {
    debug!((), "session {} begins with process {} (via {})", mark, pid, via);
    0
}

/// A terminal belongs to this session from here on.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn log_terminal(mark: u64, index: u32, leader: u32) -> u32 {
    debug!((), "terminal {} of the session leader {} belongs to session {}", index, leader, mark);
    0
}
