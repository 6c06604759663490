//! Containers and namespaces: where a task lives that does not live in the host's.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::codes::codes_or_none;
use super::{Body, Bytes, Record};

codes_or_none! {
    /// What a cgroup's path says a container is run by; none if it names no container.
    Engine {
        /// Docker.
        Docker = 1, "docker";
        /// Podman.
        Podman = 2, "podman";
        /// containerd, by the container runtime interface or nerdctl.
        Containerd = 3, "containerd";
        /// CRI-O.
        Crio = 4, "crio";
        /// systemd-nspawn.
        Nspawn = 5, "nspawn";
        /// Registered with systemd-machined.
        Machine = 6, "machine";
        /// LXC.
        Lxc = 7, "lxc";
        /// A pod of Kubernetes whose runtime the path doesn't tell.
        Kubernetes = 8, "kubernetes";
    }
}

/// From here on the record's process lives here, and so does every process that it makes, until another word about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskContext {
    /// Which namespaces are not the host's: [`Self::MNT`], [`Self::PID`], [`Self::USER`], [`Self::CGROUP`].
    pub own: u16,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Of the process namespace.
    pub pid_ns: u32,
    /// Of the user namespace.
    pub user_ns: u32,
    /// Of the cgroup namespace.
    pub cgroup_ns: u32,
    /// Id of the cgroup in the default hierarchy.
    pub cgroup: u64,
    /// Its path below the hierarchy's root; empty if it is not known.
    pub path: Bytes,
    /// What runs the container.
    pub engine: Engine,
    /// The container's id or name; empty if the path names none.
    pub container: Bytes,
}

impl TaskContext {
    /// The mount namespace is not the host's.
    pub const MNT: u16 = 1;
    /// The process namespace.
    pub const PID: u16 = 2;
    /// The user namespace.
    pub const USER: u16 = 4;
    /// The cgroup namespace.
    pub const CGROUP: u16 = 8;

    /// True if the process is back where the host's processes are.
    pub fn is_host(&self) -> bool {
        self.own == 0 && self.engine == Engine::None
    }

    /// Names of the namespaces that are not the host's.
    pub fn own_names(&self) -> impl Iterator<Item = &'static str> {
        let all = [(Self::MNT, "mnt"), (Self::PID, "pid"), (Self::USER, "user"), (Self::CGROUP, "cgroup")];
        let own = self.own;
        all.into_iter().filter(move |(bit, _)| own & bit != 0).map(|(_, name)| name)
    }
}

/// Where the processes of one session live, as its records say. Whoever reads them in order, and whoever writes them,
/// goes by this.
#[derive(Clone, Debug, Default)]
pub struct Places(HashMap<u32, Arc<TaskContext>>);

impl Places {
    /// Takes the next record of the session.
    pub fn see(&mut self, record: &Record) {
        let Some(task) = record.task.as_deref() else { return };
        match &record.body {
            Body::Context(context) if context.is_host() => {
                self.0.remove(&task.id.pid);
            }
            Body::Context(context) => {
                self.0.insert(task.id.pid, Arc::clone(context));
            }
            Body::Fork(fork) => match self.0.get(&task.id.pid).cloned() {
                Some(context) => {
                    self.0.insert(fork.child.pid, context);
                }
                None => {
                    self.0.remove(&fork.child.pid);
                }
            },
            _ => {}
        }
    }

    /// Where the process that made this record lives; `None` with the host's.
    pub fn of(&self, record: &Record) -> Option<&Arc<TaskContext>> {
        self.of_pid(record.task.as_deref()?.id.pid)
    }

    /// True if the records say already that the process lives there.
    pub fn is_told(&self, pid: u32, context: &Arc<TaskContext>) -> bool {
        match self.0.get(&pid) {
            Some(known) => Arc::ptr_eq(known, context) || known == context,
            None => context.is_host(),
        }
    }

    /// Where a process lives.
    pub fn of_pid(&self, pid: u32) -> Option<&Arc<TaskContext>> {
        self.0.get(&pid)
    }
}
