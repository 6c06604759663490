//! What session tracking asks about this host.

use std::fs;

use crate::{
    capture::Marks,
    model::{Bytes, LoginWitness, Mark, Place, SessionId, Task, TaskId, terminal_name},
    session::Host,
    sys::process,
};

/// The running host.
pub(super) struct RunningHost {
    /// Whose a process is; `None` if the kernel can't be asked.
    pub(super) marks: Option<Marks>,
}

impl Host for RunningHost {
    fn session_id(&mut self) -> SessionId {
        SessionId::new(uuid::Uuid::now_v7().into_bytes())
    }

    fn login(&mut self, task: &Task, audit_session: Option<u32>) -> LoginWitness {
        // The elevated program may be gone already; its parent, the person's shell, knows as much.
        let either = |pid: u32, parent: u32| process::read(pid).or_else(|| process::read(parent));
        let process = either(task.id.pid, task.ppid);
        let tty = process.as_ref().map_or(0, |p| p.tty);
        let audit_session = audit_session.or_else(|| Some(process?.audit_session)).unwrap_or(u32::MAX);
        let remote = process::environment(task.id.pid, "SSH_CONNECTION")
            .or_else(|| process::environment(task.ppid, "SSH_CONNECTION"))
            .unwrap_or_default();
        LoginWitness {
            auid: task.auid,
            audit_session,
            user: Bytes::new(process::user_name(task.auid).unwrap_or_default()),
            tty: Bytes::from(name_of(tty).as_str()),
            remote: Bytes::new(remote),
        }
    }

    fn user(&mut self, uid: u32) -> Bytes {
        Bytes::new(process::user_name(uid).unwrap_or_default())
    }

    fn program(&mut self, task: TaskId) -> Bytes {
        use std::os::unix::ffi::OsStrExt;
        let link = fs::read_link(format!("/proc/{}/exe", task.pid));
        link.map(|p| Bytes::from(p.as_os_str().as_bytes())).unwrap_or_default()
    }

    fn above(&mut self, task: TaskId) -> Vec<TaskId> {
        process::above(task)
    }

    fn session_of(&mut self, pid: u32) -> Option<Mark> {
        self.marks.as_ref()?.session_of(pid).ok().flatten()
    }

    fn namespaces(&mut self) -> Place {
        // Of the first process or the kernel's own, because the recorder's unit may give it a mount namespace; the
        // recorder's where neither is told.
        let number = |name: &str| {
            [1, 2, std::process::id()].into_iter().find_map(|pid| process::namespace(pid, name)).unwrap_or(0)
        };
        let [mnt_ns, pid_ns, user_ns, cgroup_ns] = ["mnt", "pid", "user", "cgroup"].map(number);
        Place { cgroup: 0, mnt_ns, pid_ns, user_ns, cgroup_ns }
    }

    fn cgroup(&mut self, task: TaskId) -> Bytes {
        Bytes::new(process::cgroup(task.pid).unwrap_or_default())
    }
}

/// /proc's terminal number (minor in bits 0-7 and 20-31, major in 8-15) as a name.
fn name_of(number: u32) -> String {
    terminal_name(number >> 8 & 0xff, number & 0xff | number >> 12 & 0xf_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_their_names() {
        for (number, name) in [(0, ""), (34819, "pts/3"), (0x401, "tty1"), (0x440, "ttyS0")] {
            assert_eq!(name_of(number), name);
        }
        assert_eq!(name_of(0x0010_882c), "pts/300");
    }
}
