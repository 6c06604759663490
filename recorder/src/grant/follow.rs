//! A session's records as its work: which of them begin, change and end a need.

use super::{CommandLine, Wanted, Work};
use crate::model::{Body, Bytes, EnforcementAct, Record, TaskId, Via};

/// Turns one session's records, in their order, into its [`Work`].
#[derive(Clone, Debug)]
pub struct Follow {
    work: Work,
    /// The program that elevated: its own runs are the way to what is needed, and no need.
    gate: Option<Bytes>,
    /// The login's own user where the whole login is recorded: what runs as him needs no grant, and what still has his
    /// real uid (sudo before it has asked) is on the way.
    own: Option<u32>,
}

impl Follow {
    /// For a session whose work has just begun.
    pub fn new(work: Work) -> Self {
        Self { work, gate: None, own: None }
    }

    /// What it came to so far.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// To end or trim it.
    pub fn work_mut(&mut self) -> &mut Work {
        &mut self.work
    }

    /// Takes one record. `name` gives the name of a uid on this host.
    pub fn take(&mut self, record: &Record, name: impl Fn(u32) -> Option<String>) {
        let at = record.boot_ns;
        let wanted = |uid, line| Wanted { uid, user: name(uid), line };
        let own = |uid: u32| uid != 0 && self.own == Some(uid);
        match (&record.body, record.task.as_ref().map(|task| (task.id, task.euid))) {
            (Body::SessionStart(start), _) => {
                let elevation = &start.elevation;
                if matches!(elevation.via, Via::Setuid | Via::FileCaps) {
                    self.gate = Some(elevation.path.clone());
                    self.work.wants(start.root, at, None);
                } else if elevation.via == Via::Scope {
                    self.own = Some(start.login.auid);
                    self.work.wants(start.root, at, None);
                } else {
                    // What it runs is told by an exec, if it was seen; till then nothing can be said to match it.
                    self.work.wants(start.root, at, Some(wanted(elevation.to.euid, CommandLine::default())));
                }
            }
            (Body::Exec(exec), Some((task, euid))) => {
                let real = record.task.as_ref().map_or(0, |task| task.uid);
                let passes = self.gate.as_ref() == Some(&exec.path) || own(euid) || own(real);
                self.work.wants(task, at, (!passes).then(|| wanted(euid, CommandLine::new(exec))));
            }
            (Body::Cred(cred), Some((task, _))) => {
                if let Some(line) = self.line(task) {
                    self.work.wants(task, at, Some(wanted(cred.new.euid, line)));
                }
            }
            (Body::Fork(fork), Some((task, _))) => self.work.forked(task, fork.child, at),
            // It was started, and never ran.
            (Body::Enforcement(done), Some((task, _))) if done.act == EnforcementAct::Stopped => {
                self.work.ended(task, at);
            }
            (Body::Exit(_), Some((task, _))) => self.work.ended(task, at),
            (Body::SessionEnd(_), _) => self.work.close(at),
            _ => {}
        }
    }

    fn line(&self, task: TaskId) -> Option<CommandLine> {
        self.work.live_of(task).map(|need| need.wanted.line.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        BootNanos, Caps, Coverage, Cred, Elevation, Enforcement, Exec, Exit, Flags, Fork, Ids, LoginWitness,
        SessionId, SessionStart, Task, Uncovered,
    };

    fn id(pid: u32) -> TaskId {
        TaskId { pid, start: BootNanos::new(1) }
    }

    fn record(at: u64, pid: u32, euid: u32, body: Body) -> Record {
        let task = Some(Arc::new(Task { id: id(pid), euid, ..Task::default() }));
        Record { boot_ns: BootNanos::new(at), cpu: 0, flags: Flags::default(), task, body }
    }

    fn started(via: Via, path: &str) -> Body {
        let elevation = Elevation {
            from: Ids::default(),
            to: Ids::default(),
            caps: Caps::default(),
            via,
            path: Bytes::from(path),
        };
        let login = LoginWitness::default();
        Body::SessionStart(Box::new(SessionStart {
            id: SessionId::default(),
            root: id(1),
            login,
            elevation,
            seeded: 0,
        }))
    }

    fn exec(path: &str) -> Body {
        Body::Exec(Exec { path: Bytes::from(path), ..Exec::default() })
    }

    fn told(follow: &Follow) -> Vec<(u32, u64, u32, bool)> {
        let mut told: Vec<_> = follow
            .work()
            .needs()
            .map(|n| (n.task.pid, n.from.get(), n.wanted.uid, n.wanted.line.matches("psql*")))
            .collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn sudo_is_the_way_and_what_it_runs_is_the_need() {
        let mut follow = Follow::new(Work::new(None, BootNanos::new(10)));
        let name = |uid| (uid == 112).then(|| "postgres".to_owned());
        for record in [
            record(10, 1, 0, started(Via::Setuid, "/usr/bin/sudo")),
            record(10, 1, 0, exec("/usr/bin/sudo")),
            record(11, 1, 0, Body::Fork(Fork { child: id(2) })),
            record(12, 2, 112, exec("/usr/bin/psql")),
            record(13, 2, 112, Body::Fork(Fork { child: id(3) })),
            record(14, 3, 112, exec("/usr/bin/sudo")),
            record(15, 3, 0, exec("/usr/bin/bash")),
            record(16, 2, 112, Body::Exit(Exit::default())),
        ] {
            follow.take(&record, name);
        }
        assert_eq!(told(&follow), [(2, 12, 112, true), (3, 13, 112, true), (3, 15, 0, false)]);
        assert_eq!(follow.work().live().count(), 1);
    }

    #[test]
    fn in_a_login_that_is_recorded_as_a_whole_only_elevation_needs_a_grant() {
        let mut follow = Follow::new(Work::new(None, BootNanos::new(10)));
        let mut start = started(Via::Scope, "/usr/bin/bash");
        if let Body::SessionStart(start) = &mut start {
            start.login.auid = 1000;
        }
        let as_user = |at, pid, uid, euid, body| {
            let task = Task { id: id(pid), uid, euid, ..Task::default() };
            Record { task: Some(Arc::new(task)), ..record(at, pid, euid, body) }
        };
        for record in [
            record(10, 1, 1000, start),
            as_user(11, 1, 1000, 1000, exec("/usr/bin/bash")),
            record(12, 1, 1000, Body::Fork(Fork { child: id(2) })),
            as_user(13, 2, 1000, 0, exec("/usr/bin/sudo")),
            as_user(14, 2, 0, 0, exec("/usr/bin/psql")),
        ] {
            follow.take(&record, |_| None);
        }
        assert_eq!(told(&follow), [(2, 14, 0, true)]);
    }

    #[test]
    fn what_the_kernel_ended_before_it_ran_needs_nothing() {
        let mut follow = Follow::new(Work::new(None, BootNanos::new(10)));
        let done = Enforcement {
            act: EnforcementAct::Stopped,
            coverage: Coverage::Uncovered { reason: Uncovered::NoGrant },
            task: id(2),
            count: 1,
            text: Bytes::default(),
        };
        for record in [
            record(10, 1, 0, started(Via::Setuid, "/usr/bin/sudo")),
            record(11, 1, 0, Body::Fork(Fork { child: id(2) })),
            record(12, 2, 0, exec("/usr/bin/psql")),
            record(13, 2, 0, Body::Enforcement(Box::new(done))),
        ] {
            follow.take(&record, |_| None);
        }
        assert_eq!(follow.work().live().count(), 0);
    }

    #[test]
    fn a_root_login_needs_root_before_its_program_is_known() {
        let mut follow = Follow::new(Work::new(None, BootNanos::new(10)));
        follow.take(&record(10, 1, 0, started(Via::Login, "/usr/bin/bash")), |_| None);
        let ids = Ids { euid: 33, ..Ids::default() };
        let cred = Cred { new: ids, ..Cred::default() };
        follow.take(&record(20, 1, 33, Body::Cred(Box::new(cred))), |_| None);
        assert_eq!(told(&follow), [(1, 10, 0, false), (1, 20, 33, false)]);
    }
}
