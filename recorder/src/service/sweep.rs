//! Ends what bears a session's mark, wherever it hides: signals through handles of processes, never by a bare number.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
};

use rustix::process::{Signal, pidfd_send_signal};

use crate::{
    capture::Marks,
    model::{Bytes, Mark, TaskId},
    sys::process::{self, Process},
};

/// Rounds of a sweep: what forks faster than this is met again with the next one.
const SWEEPS: usize = 50;
/// Rounds that find nobody before a session counts as ended.
const EMPTY: usize = 2;

/// The living processes of a session, but not this one: whoever tests the recorder may start it in a session.
pub(super) fn members(marks: &Marks, mark: Mark) -> impl Iterator<Item = (Process, OwnedFd)> {
    let me = std::process::id();
    let pids = process::pids().unwrap_or_default().into_iter().filter(move |pid| *pid != me && *pid != 1);
    pids.filter_map(move |pid| {
        let process = marks.member(pid, mark)?;
        Some((process::read(pid).filter(|_| process::runs(pid))?, process))
    })
}

/// Asks all of them to end; how many were reached.
pub(super) fn hang_up(marks: &Marks, mark: Mark) -> usize {
    members(marks, mark).filter(|(_, process)| send(process, Signal::HUP)).count()
}

/// Kills all of them, again and again, because what runs may fork while we look; who they were.
pub(super) fn kill(marks: &Marks, mark: Mark) -> BTreeMap<TaskId, Bytes> {
    let mut killed: BTreeMap<TaskId, Bytes> = BTreeMap::new();
    let mut empty = 0;
    for _ in 0..SWEEPS {
        let mut found = false;
        for (seen, process) in members(marks, mark) {
            if send(&process, Signal::KILL) {
                found = true;
                killed.insert(seen.id, Bytes::new(seen.comm));
            }
        }
        empty = if found { 0 } else { empty + 1 };
        if empty == EMPTY {
            break;
        }
    }
    killed
}

pub(super) fn send(process: &OwnedFd, signal: Signal) -> bool {
    pidfd_send_signal(process.as_fd(), signal).is_ok()
}
