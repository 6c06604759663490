//! Processes that a session took hold of and that are not its own.

use std::collections::{HashMap, HashSet};

use crate::model::{
    BootNanos, Bytes, Confidence, Delegation, DelegationRole, Reached, SessionId, TaskId, Trigger,
};

/// So many are remembered; then some may be told again.
const MOST: usize = 4096;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told(HashSet<(TaskId, u32)>);

impl Told {
    /// By what a session took hold of a process of somebody else's, once for each.
    pub(super) fn by(&mut self, own: &HashMap<u32, BootNanos>, reached: &Reached) -> Option<String> {
        let TaskId { pid, start } = reached.target;
        let is_own = own.get(&pid).is_some_and(|own| start.get() == 0 || *own == start);
        let means = means(reached.call).filter(|_| !is_own)?;
        self.is_news(reached).then_some(means)
    }

    /// True the first time.
    fn is_news(&mut self, reached: &Reached) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert((reached.target, reached.call))
    }
}

/// By what it was done, or `None` if the call only looks (/proc/PID/stack and the like ask for the same right).
fn means(call: u32) -> Option<String> {
    // arch/x86/entry/syscalls/syscall_64.tbl
    Some(match call {
        101 => "ptrace".to_owned(),
        310 => "process_vm_readv".to_owned(),
        311 => "process_vm_writev".to_owned(),
        438 => "pidfd_getfd".to_owned(),
        2 | 257 | 437 => "its memory was opened".to_owned(),
        0 | 17 | 19 => return None,
        other => format!("system call {other}"),
    })
}

/// Both ends: for who did it, and for the session that the process belongs to.
pub(super) fn ends(
    reached: &Reached,
    means: &str,
    program: &Bytes,
    by: SessionId,
    of: Option<SessionId>,
) -> (Delegation, Delegation) {
    let end = |role, session| Delegation {
        role,
        trigger: Trigger::Control,
        confidence: Confidence::Certain,
        session,
        peer: reached.target.pid,
        to: program.clone(),
        what: Bytes::from(means),
        evidence: Bytes::default(),
    };
    (end(DelegationRole::Asked, of.unwrap_or(SessionId::NOBODY)), end(DelegationRole::Held, by))
}
