//! Laws of sessions that came of others.

use super::tests::*;
use super::{Tracked, Tracker};
use crate::model::*;

fn handed(from: Option<u64>) -> Act {
    Act::Handed(Box::new(Handed {
        from: from.map(Mark::new),
        trigger: Trigger::Unit,
        confidence: Confidence::Certain,
        to: "systemd".into(),
        what: "StartTransientUnit a.service".into(),
        evidence: "/system.slice/a.service".into(),
    }))
}

fn records(out: &[Tracked], of: u64) -> Vec<&Body> {
    out.iter()
        .filter_map(|item| match item {
            Tracked::Event { mark, record } if *mark == Mark::new(of) => Some(&record.body),
            _ => None,
        })
        .collect()
}

fn parent() -> Vec<Captured> {
    vec![event(1, 7, 10, elevated()), event(2, 7, 10, exec("/usr/bin/sudo"))]
}

#[test]
fn it_begins_with_its_first_program_under_the_askers_login() {
    let mut events = parent();
    // What the daemon's child does before it runs the program is the daemon's.
    let before = File { path: "/etc/passwd".into(), ..File::default() };
    events.extend([
        event(3, 8, 1, handed(Some(7))),
        event(4, 8, 1, fork(20)),
        event(5, 8, 20, Act::File(FileOp::Open, before)),
        event(6, 8, 20, exec("/bin/work")),
        event(7, 8, 20, exit(0)),
    ]);
    let out = run(events, 8);
    let child = records(&out, 8);
    let [Body::SessionStart(start), Body::Delegation(by), Body::Exec(_), Body::Exit(_)] = child.as_slice()
    else {
        panic!("{child:?}")
    };
    assert_eq!((start.login.auid, start.elevation.via, start.root.pid), (1001, Via::Delegated, 20));
    assert_eq!(start.elevation.path.as_slice(), b"/bin/work");
    let asker = records(&out, 7);
    let Some(Body::Delegation(to)) = asker.last() else { panic!("{asker:?}") };
    assert_eq!((by.role, to.role), (DelegationRole::By, DelegationRole::To));
    let id = |mark| {
        out.iter().find_map(|item| match item {
            Tracked::Opened { mark: m, id, .. } if *m == Mark::new(mark) => Some(*id),
            _ => None,
        })
    };
    assert_eq!((Some(by.session), Some(to.session)), (id(7), id(8)));
}

#[test]
fn it_is_his_although_his_session_is_over() {
    let mut events = parent();
    events.push(event(3, 7, 10, exit(0)));
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    for item in events {
        tracker.step(BootNanos::new(3), item, &mut host, &mut out);
    }
    tracker.tick(BootNanos::new(LATER), &mut out);
    assert!(!tracker.is_open(Mark::new(7)));
    for item in [event(LATER, 8, 1, handed(Some(7))), event(LATER + 1, 8, 20, exec("/bin/work"))] {
        tracker.step(BootNanos::new(LATER), item, &mut host, &mut out);
    }
    let child = records(&out, 8);
    let Some(Body::SessionStart(start)) = child.first() else { panic!("{child:?}") };
    assert_eq!(start.login.auid, 1001);
    let by = child.iter().find_map(|body| match body {
        Body::Delegation(by) => Some(by.session),
        _ => None,
    });
    assert_eq!(by, Some(SessionId::new([1; 16])));
    assert!(
        !records(&out, 7).iter().any(|body| matches!(body, Body::Delegation(_))),
        "nobody's stream is left"
    );
}

#[test]
fn a_job_of_nobodys_has_its_owner() {
    let out = run(vec![event(3, 8, 1, handed(None)), event(6, 8, 20, exec("/bin/work"))], 8);
    let child = records(&out, 8);
    let Some(Body::SessionStart(start)) = child.first() else { panic!("{child:?}") };
    assert_eq!((start.login.user.as_slice(), start.elevation.via), (&b"user0"[..], Via::Scheduled));
}

#[test]
fn what_never_runs_a_program_is_no_session() {
    let out =
        run(vec![event(3, 8, 1, handed(Some(7))), event(4, 8, 1, fork(20)), event(5, 8, 20, exit(1))], LATER);
    assert_eq!(out, []);
}

#[test]
fn what_became_of_a_request_opens_no_session_again() {
    let told = Delegation {
        role: DelegationRole::To,
        trigger: Trigger::Unit,
        confidence: Confidence::Certain,
        session: SessionId::NOBODY,
        peer: 1,
        to: "systemd".into(),
        what: "RestartUnit".into(),
        evidence: Bytes::default(),
    };
    assert_eq!(run(vec![event(3, 7, 1, Act::Asked(Box::new(told)))], 8), []);
}

fn reached(pid: u32, call: u32, of: Option<u64>) -> Act {
    let target = TaskId { pid, start: BootNanos::new(0) };
    Act::Reached(Reached { target, of: of.map(Mark::new), call })
}

#[test]
fn what_is_taken_hold_of_is_told_once_and_to_both() {
    let mut events = parent();
    events.extend([
        event(3, 9, 30, elevated()),
        event(4, 9, 30, exec("/usr/bin/sudo")),
        event(5, 7, 10, fork(11)),
        // His own child, a look, and the same thing twice.
        event(6, 7, 10, reached(11, 101, None)),
        event(7, 7, 10, reached(40, 0, None)),
        event(8, 7, 10, reached(40, 101, None)),
        event(9, 7, 10, reached(40, 101, None)),
        event(10, 7, 10, reached(30, 310, Some(9))),
    ]);
    let out = run(events, 11);
    let told = |of| -> Vec<(DelegationRole, u32, String, bool)> {
        let all = records(&out, of).into_iter().filter_map(|body| match body {
            Body::Delegation(d) => Some((d.role, d.peer, d.what.escaped(), d.session == SessionId::NOBODY)),
            _ => None,
        });
        all.collect()
    };
    assert_eq!(
        told(7),
        [
            (DelegationRole::Asked, 40, "ptrace".to_owned(), true),
            (DelegationRole::Asked, 30, "process_vm_readv".to_owned(), false)
        ]
    );
    assert_eq!(told(9), [(DelegationRole::Held, 30, "process_vm_readv".to_owned(), false)]);
}

#[test]
fn what_comes_again_is_his_again() {
    let mut events = parent();
    events.extend([
        event(3, 8, 1, handed(Some(7))),
        // A program that could not be run, and the one after it.
        event(4, 8, 1, fork(20)),
        event(5, 8, 20, exit(1)),
        event(6, 8, 1, fork(21)),
        event(7, 8, 21, exec("/bin/work")),
        event(8, 8, 21, exit(0)),
    ]);
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    for item in events {
        tracker.step(BootNanos::new(3), item, &mut host, &mut out);
    }
    tracker.tick(BootNanos::new(LATER), &mut out);
    assert!(!tracker.is_open(Mark::new(8)));
    // It is stopped, and that runs a program too.
    for item in [event(LATER, 8, 22, fork(23)), event(LATER + 1, 8, 23, exec("/bin/stop"))] {
        tracker.step(BootNanos::new(LATER), item, &mut host, &mut out);
    }
    let starts: Vec<_> = records(&out, 8)
        .into_iter()
        .filter_map(|body| match body {
            Body::SessionStart(start) => Some((start.login.auid, start.elevation.via)),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [(1001, Via::Delegated); 2]);
}

fn found(session: &Lived, mark: u64, pid: u32) -> Vec<Captured> {
    let Act::Elevated(elevated) = elevated() else { panic!() };
    let seeded = |act| {
        let Captured::Event(mut event) = event(LATER, mark, pid, act) else { panic!() };
        event.flags = Flags::SEEDED;
        // Root has changed it since.
        event.task = std::sync::Arc::new(Task { auid: u32::MAX, ..Task::clone(&event.task) });
        Captured::Event(event)
    };
    let handed = session.handed().map(|handed| seeded(Act::Handed(Box::new(handed))));
    handed.into_iter().chain([seeded(Act::Seeded(elevated))]).collect()
}

#[test]
fn what_lives_over_a_restart_stays_whose_it_was() {
    let (mut host, mut out) = (Fixed(0), Vec::new());
    let mut before = Tracker::default();
    let mut events = parent();
    events.extend([
        event(3, 8, 1, handed(Some(7))),
        event(4, 8, 20, exec("/bin/work")),
        event(5, 8, 20, fork(21)),
    ]);
    for item in events {
        before.step(BootNanos::new(5), item, &mut host, &mut out);
    }
    let lived = before.living();
    let [his, branch] = lived.as_slice() else { panic!("{lived:?}") };
    let pids = |lived: &Lived| lived.tasks.iter().map(|task| task.pid).collect::<Vec<_>>();
    assert_eq!((pids(his), pids(branch)), (vec![10], vec![20, 21]));

    let (mut after, mut out) = (Tracker::default(), Vec::new());
    after.lived(Mark::new(107), his);
    after.lived(Mark::new(108), branch);
    let seeds = [found(his, 107, 10), found(branch, 108, 21)].concat();
    for item in seeds.into_iter().chain([event(LATER + 1, 107, 10, exec("/bin/more"))]) {
        after.step(BootNanos::new(LATER), item, &mut host, &mut out);
    }
    let own = records(&out, 107);
    let Some(Body::SessionStart(start)) = own.first() else { panic!("{own:?}") };
    assert_eq!((start.seeded, &start.login), (1, &his.login));
    let came = records(&out, 108);
    let [Body::SessionStart(start), Body::Delegation(by)] = came.as_slice() else { panic!("{came:?}") };
    assert_eq!((start.seeded, start.root.pid, &start.login), (1, 21, &branch.login));
    assert_eq!((by.role, by.session, by.trigger), (DelegationRole::By, branch.id, Trigger::Unit));
    // And over the next one.
    let ids: Vec<_> =
        after.living().into_iter().map(|lived| (lived.mark.get(), lived.came.is_some())).collect();
    assert_eq!(ids, [(107, false), (108, true)]);
}
