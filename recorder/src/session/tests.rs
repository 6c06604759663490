//! The tracker alone, with a host that answers from constants.

use std::sync::Arc;

use super::{Host, Tracked, Tracker};
use crate::model::*;

/// Where the host's processes live.
pub(super) const HOME: Place = Place { cgroup: 1, mnt_ns: 11, pid_ns: 12, user_ns: 13, cgroup_ns: 14 };

pub(super) struct Fixed(pub(super) u8);

impl Host for Fixed {
    fn session_id(&mut self) -> SessionId {
        self.0 += 1;
        SessionId::new([self.0; 16])
    }
    fn login(&mut self, task: &Task, audit_session: Option<u32>) -> LoginWitness {
        // Who is asked for has come by a login of his own.
        let audit_session = audit_session.unwrap_or(task.id.pid);
        LoginWitness { auid: task.auid, audit_session, ..LoginWitness::default() }
    }
    fn above(&mut self, task: TaskId) -> Vec<TaskId> {
        // Everybody in this house descends from 900 but what has a higher number; 666 is gone.
        let id = |pid: u32| TaskId { pid, start: BootNanos::new(u64::from(pid)) };
        match task.pid {
            666 => Vec::new(),
            pid if pid < 900 => vec![id(pid), id(900), id(1)],
            pid => vec![id(pid), id(1)],
        }
    }
    fn session_of(&mut self, pid: u32) -> Option<Mark> {
        (pid == 950).then(|| Mark::new(9))
    }
    fn user(&mut self, uid: u32) -> Bytes {
        Bytes::from(format!("user{uid}").as_str())
    }

    fn program(&mut self, _: TaskId) -> Bytes {
        Bytes::from("/seen/in/proc")
    }
    fn namespaces(&mut self) -> Place {
        HOME
    }
    fn cgroup(&mut self, _: TaskId) -> Bytes {
        Bytes::default()
    }
}

fn task(pid: u32) -> Arc<Task> {
    Arc::new(Task {
        id: TaskId { pid, start: BootNanos::new(u64::from(pid)) },
        tid: pid,
        auid: 1001,
        ..Task::default()
    })
}

pub(super) fn event(at: u64, mark: u64, pid: u32, act: Act) -> Captured {
    Captured::Event(Box::new(KernelEvent {
        boot_ns: BootNanos::new(at),
        cpu: 0,
        mark: Mark::new(mark),
        flags: Flags::default(),
        task: task(pid),
        place: HOME,
        act,
    }))
}

pub(super) fn elevated() -> Act {
    let ids = Ids { uid: 1001, euid: 1001, ..Ids::default() };
    Act::Elevated(Elevated {
        old: ids,
        new: Ids { euid: 0, ..ids },
        caps: Caps::default(),
        audit_session: 3,
        via: Via::Setuid.code(),
    })
}

pub(super) fn exec(path: &str) -> Act {
    Act::Exec(Exec { path: Bytes::from(path), ..Exec::default() })
}

pub(super) fn exit(code: u8) -> Act {
    Act::Exit(Exit { code, signal: 0, core: 0 })
}

pub(super) fn fork(pid: u32) -> Act {
    Act::Fork(TaskId { pid, start: BootNanos::new(u64::from(pid)) })
}

pub(super) fn run(events: Vec<Captured>, end: u64) -> Vec<Tracked> {
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    for e in events {
        tracker.step(BootNanos::new(end), e, &mut host, &mut out);
    }
    tracker.tick(BootNanos::new(end), &mut out);
    out
}

fn kinds(out: &[Tracked]) -> Vec<&'static str> {
    out.iter()
        .map(|t| match t {
            Tracked::Opened { .. } => "opened",
            Tracked::Event { record, .. } => record.body.kind().name(),
            Tracked::Closed { .. } => "closed",
            Tracked::Lost { .. } => "lost",
        })
        .collect()
}

pub(super) const LATER: u64 = 1_000_000_000;

#[test]
fn a_session_begins_with_its_elevation_and_ends_with_its_last_task() {
    let out = run(
        vec![
            event(1, 7, 10, elevated()),
            event(2, 7, 10, exec("/usr/bin/sudo")),
            event(3, 7, 10, fork(11)),
            event(4, 7, 10, exit(0)),
            event(5, 7, 11, exit(3)),
        ],
        LATER,
    );
    assert_eq!(
        kinds(&out),
        ["opened", "session_start", "exec", "fork", "exit", "exit", "permissions", "session_end", "closed"]
    );
    let Tracked::Event { record: Record { body: Body::SessionStart(start), .. }, .. } = &out[1] else {
        panic!()
    };
    assert_eq!(start.elevation.path, Bytes::from("/usr/bin/sudo"));
    assert_eq!(start.elevation.via, Via::Setuid);
    let Tracked::Event { record: Record { body: Body::SessionEnd(end), .. }, .. } = &out[7] else { panic!() };
    assert_eq!((end.reason, end.code, end.execs), (EndReason::LastTask, Some(0), 1));
}

#[test]
fn a_leader_that_exits_first_ends_nothing() {
    let out = run(
        vec![
            event(1, 7, 10, elevated()),
            event(2, 7, 10, exec("/s")),
            event(3, 7, 10, fork(11)),
            event(4, 7, 10, exit(0)),
        ],
        LATER,
    );
    assert!(!kinds(&out).contains(&"closed"));
}

#[test]
fn the_last_output_still_finds_its_session() {
    let mut tracker = Tracker::default();
    let (mut host, mut out) = (Fixed(0), Vec::new());
    let tty = Act::Tty(
        TtyOp::Output,
        TtyAct {
            key: 1,
            is_new: false,
            name: Bytes::from("pts/1"),
            data: Bytes::from("bye"),
            hidden: 0,
            cols: 80,
            rows: 24,
        },
    );
    for e in [
        event(1, 7, 10, elevated()),
        event(2, 7, 10, exec("/s")),
        event(3, 7, 10, exit(0)),
        event(4, 7, 99, tty),
    ] {
        tracker.step(BootNanos::new(4), e, &mut host, &mut out);
        tracker.tick(BootNanos::new(4), &mut out);
    }
    assert_eq!(kinds(&out), ["opened", "session_start", "exec", "exit", "tty_output"]);
    tracker.tick(BootNanos::new(LATER), &mut out);
    assert_eq!(tracker.open_sessions(), 0);
}

#[test]
fn an_exec_that_is_still_put_together_finds_its_session() {
    let mut tracker = Tracker::default();
    let (mut host, mut out) = (Fixed(0), Vec::new());
    for e in [event(1, 7, 10, elevated()), event(3, 7, 10, exit(0))] {
        tracker.step(BootNanos::new(4), e, &mut host, &mut out);
    }
    tracker.awaits(Mark::new(7), BootNanos::new(LATER));
    tracker.tick(BootNanos::new(LATER + 1), &mut out);
    tracker.step(BootNanos::new(LATER + 2), event(2, 7, 10, exec("/s")), &mut host, &mut out);
    assert_eq!(kinds(&out), ["opened", "session_start", "exit", "exec"], "one session");
}

#[test]
fn a_lost_exit_is_reconciled_and_said() {
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    for e in [event(1, 7, 10, elevated()), event(2, 7, 10, exec("/s"))] {
        tracker.step(BootNanos::new(2), e, &mut host, &mut out);
    }
    for (mark, id) in tracker.believed_alive() {
        tracker.gone(mark, id, BootNanos::new(3));
    }
    tracker.tick(BootNanos::new(LATER), &mut out);
    assert!(matches!(out.last(), Some(Tracked::Closed { reason: EndReason::Reconciled, .. })));
}

#[test]
fn a_session_whose_elevation_was_lost_is_still_a_session() {
    let out = run(vec![event(5, 7, 12, fork(13))], 6);
    assert_eq!(kinds(&out), ["opened", "session_start", "fork"]);
}

#[test]
fn a_reused_terminal_address_is_another_terminal() {
    let tty = |name: &str| {
        Act::Tty(
            TtyOp::Output,
            TtyAct {
                key: 1,
                is_new: false,
                name: Bytes::from(name),
                data: Bytes::from("x"),
                hidden: 0,
                cols: 1,
                rows: 1,
            },
        )
    };
    let out = run(
        vec![
            event(1, 7, 10, elevated()),
            event(2, 7, 10, exec("/s")),
            event(3, 7, 10, tty("pts/1")),
            event(4, 7, 10, tty("pts/2")),
            event(5, 7, 10, tty("pts/2")),
        ],
        6,
    );
    let numbers: Vec<u32> = out
        .iter()
        .filter_map(|t| match t {
            Tracked::Event { record: Record { body: Body::Tty(_, tty), .. }, .. } => Some(tty.no),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2, 2]);
}

#[test]
fn losses_count_for_every_open_session() {
    let loss = Loss {
        class: Bytes::from("file"),
        ring: Bytes::from("bulk"),
        cpu: 0,
        from: 1,
        to: 2,
        count: 2,
        reason: LossReason::RingFull,
    };
    let out = run(
        vec![
            event(1, 7, 10, elevated()),
            event(2, 7, 10, exec("/s")),
            Captured::Lost(loss),
            event(3, 7, 10, exit(0)),
        ],
        LATER,
    );
    assert!(matches!(out.last(), Some(Tracked::Closed { losses: 1, .. })), "{:?}", out.last());
}
