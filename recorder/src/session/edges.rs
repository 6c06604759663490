//! What tracking asks about the host, and what it gives out.

use crate::model::{
    BootNanos, Bytes, EndReason, LoginWitness, Loss, Mark, Place, Record, SessionId, Task, TaskId,
};

/// What the tracker asks about the host.
pub trait Host {
    /// A fresh session id.
    fn session_id(&mut self) -> SessionId;
    /// Who logged in, as far as this task shows; without audit's session id it is asked for.
    fn login(&mut self, task: &Task, audit_session: Option<u32>) -> LoginWitness;
    /// The name of a user; empty if it has none.
    fn user(&mut self, uid: u32) -> Bytes;
    /// That task, its parent, the parent's parent and so on; empty if it is gone. A start of 0 stands for whoever has the number now.
    fn above(&mut self, task: TaskId) -> Vec<TaskId>;
    /// The session of a process, by the kernel's word.
    fn session_of(&mut self, pid: u32) -> Option<Mark>;
    /// The program that a task runs, for tasks whose start was not seen.
    fn program(&mut self, task: TaskId) -> Bytes;
    /// The namespaces of the host's own processes.
    fn namespaces(&mut self) -> Place;
    /// The path of a task's cgroup in the default hierarchy; empty if it is gone.
    fn cgroup(&mut self, task: TaskId) -> Bytes;
}

/// What tracking gives out, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Tracked {
    /// A session began.
    Opened {
        /// The kernel's name for it.
        mark: Mark,
        /// Ours.
        id: SessionId,
        /// When.
        at: BootNanos,
    },
    /// A record of a session.
    Event {
        /// The session.
        mark: Mark,
        /// The record.
        record: Record,
    },
    /// A session is over; nothing more comes.
    Closed {
        /// The session.
        mark: Mark,
        /// Why.
        reason: EndReason,
        /// Losses declared while it was open.
        losses: u64,
        /// When.
        at: BootNanos,
    },
    /// Events are missing.
    Lost {
        /// When it was noticed.
        at: BootNanos,
        /// What is missing.
        loss: Loss,
    },
}
