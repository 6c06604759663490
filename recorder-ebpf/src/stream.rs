//! What sessions show and are given where no terminal is: pipes and sockets that were their standard streams when they began
//! (`ssh host 'sudo …'`, a script on standard input, `sudo … | less`).

use recorder_common::{Class, Kind, MarkFlag, Ring, State, StreamEvent, StreamKey, StreamState, TTY_CHUNK};

use crate::{
    atomic,
    emit::{self, Event},
    file,
    kernel::{self, Args, TaskPtr, off},
    maps::STREAMS,
    scope,
    tty::{CHUNKS, Flow, Memory, tty_input},
};

/// So much of one stream is taken along in a second: a pipe is faster than any terminal, and files share the ring with it. What is
/// more is counted.
const WINDOW_NS: u64 = 1_000_000_000;
const WINDOW_BYTES: u64 = 4 << 20;
/// Bytes of one call that are taken along.
const MOST: u64 = CHUNKS as u64 * (TTY_CHUNK as u64 - 1);
const DESCRIPTORS: u32 = 3;

#[inline(always)]
pub fn armed() -> bool {
    emit::state(State::STREAMS) == 1
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Read,
    Written,
}

/// The exec with which a session begins: what its standard streams are now belongs to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn adopt_streams(session: u64) -> u32 {
    let task = kernel::current();
    let Some(mark) = scope::mark_of(task) else { return 0 };
    if mark.flags & MarkFlag::FRESH == 0 {
        return 0;
    }
    mark.flags &= !MarkFlag::FRESH;
    let mut fd = 0;
    while fd < DESCRIPTORS {
        adopt(session, kernel::file_of(task, fd), fd);
        fd += 1;
    }
    fd
}

#[inline(always)]
fn adopt(mark: u64, file: u64, fd: u32) {
    let ino = inode_of(file);
    if ino == 0 {
        return;
    }
    let key = StreamKey { mark, ino };
    if let Some(state) = STREAMS.get_ptr_mut(&key) {
        // SAFETY: map value.
        unsafe { (*state).fds |= 1 << fd };
        return;
    }
    let state = StreamState { fds: 1 << fd, ..StreamState::default() };
    if STREAMS.insert(&key, &state, 0).is_err() {
        // SAFETY: map value.
        emit::count(|c| unsafe { &raw mut (*c).map_full }, 1);
        return;
    }
    emit::set_state(State::STREAMS);
}

/// The inode number of a pipe or socket; 0 for all else.
#[inline(always)]
fn inode_of(file: u64) -> u64 {
    if file == 0 {
        return 0;
    }
    let inode: u64 = kernel::read(file, off!(file_inode));
    let id = kernel::inode_id(inode);
    let kind = id.mode & kernel::S_IFMT;
    if kind == kernel::S_IFIFO || kind == kernel::S_IFSOCK { id.ino } else { 0 }
}

/// What stands for the terminal in events if these bytes are to be taken along; else 0, and they are counted if they are of a
/// recorded stream.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stream_takes(file: u64, mark: u64, written: u64, len: u64) -> u64 {
    let ino = inode_of(file);
    if ino == 0 {
        return 0;
    }
    let Some(state) = STREAMS.get_ptr_mut(&StreamKey { mark, ino }) else { return 0 };
    // SAFETY: map value.
    let state = unsafe { &mut *state };
    let fd = match (written, state.fds) {
        (1, fds) if fds & 2 != 0 => 1,
        (1, fds) if fds & 4 != 0 => 2,
        (0, fds) if fds & 1 != 0 => 0,
        _ => return 0,
    };
    let key = StreamKey::of(ino, fd);
    let away = if fd == 0 { &raw mut state.taken } else { &raw mut state.skipped };
    let now = emit::now();
    if now.wrapping_sub(state.since_ns) > WINDOW_NS {
        (state.since_ns, state.sent) = (now, 0);
    }
    // Passwords come through pipes (sudo -S), and nothing tells.
    if fd == 0 && tty_input() != 2 || state.sent + len > WINDOW_BYTES {
        atomic::fetch_add(away, len);
        return 0;
    }
    state.sent += len;
    if fd != 0 && state.told != state.skipped {
        state.told = state.skipped;
        if let Some(event) = Event::new::<StreamEvent>(Class::TTY) {
            event.send(Kind::STREAM, Ring::BULK, mark, StreamEvent { key, skipped: state.told }, 0);
        }
    }
    if len > MOST {
        atomic::fetch_add(away, len - MOST);
    }
    key
}

/// Bytes that a task of a session moved through one of its streams.
#[derive(Clone, Copy)]
pub struct Moved {
    pub file: u64,
    pub way: Way,
    /// Where they lie: a buffer, or so many vectors.
    pub at: u64,
    pub vectors: Option<u64>,
    pub len: u64,
}

impl Moved {
    /// True if they are of a recorded stream and were taken along.
    #[inline(always)]
    pub fn take(self, task: TaskPtr) -> bool {
        let mark = scope::session_of(task);
        if mark == 0 {
            return false;
        }
        let (written, kind) = match self.way {
            Way::Read => (0, Kind::TTY_INPUT),
            Way::Written => (1, Kind::TTY_OUTPUT),
        };
        let key = stream_takes(self.file, mark, written, self.len);
        if key == 0 {
            return false;
        }
        let flow = Flow { tty: key, mark, kind, memory: Memory::User };
        let len = if self.len > MOST { MOST } else { self.len };
        match self.vectors {
            Some(count) => flow.send_vectors(self.at, count, len),
            None => flow.send(self.at, len),
        }
        true
    }
}

/// A system call that is about to return.
#[inline(always)]
pub fn returned(task: TaskPtr, args: &Args, ret: i64, vectors: bool, way: Way) -> bool {
    if way == Way::Read && !armed() {
        return false;
    }
    let session = scope::session_of(task);
    if session == 0 {
        return false;
    }
    let file = kernel::file_of(task, args.first() as u32);
    if way == Way::Written {
        file::wrote(file, session);
        let count = if vectors { args.third() } else { 0 };
        file::set(file, session, args.second(), count, ret as u64);
    }
    if !armed() {
        return false;
    }
    let vectors = if vectors { Some(args.third()) } else { None };
    Moved { file, way, at: args.second(), vectors, len: ret as u64 }.take(task)
}

/// fexit `vfs_read`, `vfs_write(file, buf, ..)`, `vfs_readv`, `vfs_writev(file, vectors, count, ..)`.
#[inline(always)]
pub fn passed(file: u64, at: u64, vectors: Option<u64>, ret: i64, way: Way) {
    if ret <= 0 {
        return;
    }
    let task = kernel::current();
    if way == Way::Written {
        let session = scope::session_of(task);
        if session == 0 {
            return;
        }
        file::wrote(file, session);
        file::set(file, session, at, vectors.unwrap_or(0), ret as u64);
    }
    if armed() {
        Moved { file, way, at, vectors, len: ret as u64 }.take(task);
    }
}
