//! Which session a process belongs to, by the kernel's own word.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya::maps::Map;
use recorder_common::TaskMark;
use zerocopy::FromBytes;

use crate::{model::Mark, sys::bpf};

/// Reads the marks of running processes: parents may be gone and names may be changed, the mark stays.
#[derive(Debug)]
pub struct Marks(OwnedFd);

impl Marks {
    pub(super) fn of_map(tasks: &Map) -> io::Result<Self> {
        match tasks {
            Map::Unsupported(data) => data.fd().as_fd().try_clone_to_owned().map(Self),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The session of a process; `None` if it belongs to none.
    ///
    /// # Errors
    /// The kernel's, `ESRCH` for a process that is gone.
    pub fn session_of(&self, pid: u32) -> io::Result<Option<Mark>> {
        self.session_behind(bpf::open_process(pid)?.as_fd())
    }

    /// A handle of the process if it belongs to that session: what is done through it reaches no other one.
    pub fn member(&self, pid: u32, session: Mark) -> Option<OwnedFd> {
        let process = bpf::open_process(pid).ok()?;
        (self.session_behind(process.as_fd()).ok()? == Some(session)).then_some(process)
    }

    fn session_behind(&self, process: BorrowedFd<'_>) -> io::Result<Option<Mark>> {
        let bytes = bpf::task_mark(self.0.as_fd(), process)?;
        let mark = bytes.and_then(|bytes| TaskMark::read_from_bytes(&bytes).ok()).map_or(0, |task| task.mark);
        Ok((mark != 0).then(|| Mark::new(mark)))
    }
}

/// Takes its mark from a process, if it is still that one.
pub(super) fn release(tasks: &Map, pid: u32, mark: Mark) {
    let Map::Unsupported(data) = tasks else { return };
    let map = data.fd().as_fd();
    // Gone already: its mark went with it.
    let Ok(process) = bpf::open_process(pid) else { return };
    let held = bpf::task_mark(map, process.as_fd()).ok().flatten();
    if held
        .and_then(|bytes| TaskMark::read_from_bytes(&bytes).ok())
        .is_some_and(|task| task.mark == mark.get())
    {
        let _ = bpf::clear_task_mark(map, process.as_fd());
    }
}
