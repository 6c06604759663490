//! Tests: users, programs that give rights, capabilities, and where tasks live, as the tracker folds them.

use super::Tracked;
use super::tests::{Fixed, HOME, LATER, elevated, event, exec, exit, fork, run};
use super::tracker::Tracker;
use crate::model::*;

fn ids(uid: u32, euid: u32) -> (Ids, Caps) {
    (Ids { uid, euid, ..Ids::default() }, Caps::default())
}

fn cred(old: (u32, u32), new: (u32, u32)) -> Act {
    Act::Cred { old: ids(old.0, old.1), new: ids(new.0, new.1) }
}

fn passed(ino: u64, how: u16, gained: bool) -> Act {
    Act::Passed { dev: (254, 0), ino, how, gained }
}

fn used(count: u64) -> Capability {
    Capability { dev: (254, 0), ino: 9, number: 13, granted: 1, count, ..Capability::default() }
}

fn bodies(out: &[Tracked]) -> Vec<&Body> {
    let records = out.iter().filter_map(|t| match t {
        Tracked::Event { record, .. } => Some(&record.body),
        _ => None,
    });
    records.collect()
}

/// User, program, count.
type User = (u32, String, u64);
/// Program, count, gained.
type Program = (String, u64, u64);

fn permissions(out: &[Tracked]) -> (Vec<User>, Vec<Program>) {
    let folded = bodies(out).into_iter().find_map(|body| match body {
        Body::Permissions(folded) => Some(folded.clone()),
        _ => None,
    });
    let Permissions { users, programs } = *folded.unwrap();
    (
        users.into_iter().map(|u| (u.uid, u.program.escaped(), u.count)).collect(),
        programs.into_iter().map(|p| (p.path.escaped(), p.count, p.gained)).collect(),
    )
}

#[test]
fn users_are_counted_by_the_program_that_changed_to_them() {
    let out = run(
        vec![
            event(1, 7, 10, elevated()),
            event(2, 7, 10, exec("/usr/bin/sudo")),
            event(3, 7, 10, passed(5, Passed::SETUID, true)),
            event(4, 7, 10, fork(11)),
            // What forks runs what its parent runs.
            event(5, 7, 11, cred((0, 0), (26, 26))),
            event(6, 7, 11, exec("/bin/sh")),
            // An exec that gives rights changes users before it is seen itself: it is the program that did.
            event(7, 7, 11, cred((26, 26), (26, 0))),
            event(8, 7, 11, exec("/usr/bin/su")),
            event(9, 7, 11, passed(6, Passed::SETUID, true)),
            event(10, 7, 11, cred((26, 0), (33, 33))),
            event(11, 7, 11, cred((33, 33), (26, 26))),
            // Capabilities of a file change no user: that was the program before it.
            event(12, 7, 11, cred((26, 26), (33, 33))),
            event(13, 7, 11, exec("/bin/ping")),
            event(14, 7, 11, passed(9, Passed::FILE_CAPS, true)),
            event(15, 7, 11, exit(0)),
            event(16, 7, 10, exit(0)),
        ],
        LATER,
    );
    let (users, programs) = permissions(&out);
    let (sudo, su) = ("/usr/bin/sudo".to_owned(), "/usr/bin/su".to_owned());
    assert_eq!(
        users,
        [
            (0, sudo.clone(), 1),
            (1001, sudo.clone(), 1),
            (26, sudo.clone(), 1),
            (0, su.clone(), 1),
            (33, su.clone(), 2),
            (26, su.clone(), 1),
        ]
    );
    assert_eq!(programs, [(sudo, 1, 1), (su, 1, 1), ("/bin/ping".into(), 1, 1)]);
}

#[test]
fn a_session_that_becomes_everybody_stays_bounded_and_counts_all() {
    let mut events = vec![event(1, 7, 10, elevated()), event(2, 7, 10, exec("/s"))];
    for n in 0..3000u32 {
        events.push(event(3, 7, 10, cred((0, 0), (5000 + n, 5000 + n))));
        events.push(event(3, 7, 10, cred((5000 + n, 5000 + n), (0, 0))));
    }
    events.push(event(4, 7, 10, exit(0)));
    let (users, _) = permissions(&run(events, LATER));
    assert_eq!(users.len(), 1024);
    assert_eq!(users.last().map(|(uid, ..)| *uid), Some(u32::MAX));
    assert_eq!(users.iter().map(|(.., count)| count).sum::<u64>(), 2 + 6000);
}

#[test]
fn counts_are_written_when_they_change_and_all_at_the_end() {
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    let now = BootNanos::new(9);
    let first = Capability { program: "/bin/ping".into(), ..used(1) };
    for e in [event(1, 7, 10, elevated()), event(2, 7, 10, exec("/s"))] {
        tracker.step(now, e, &mut host, &mut out);
    }
    let first = event(3, 7, 10, Act::Capability(Box::new(first)));
    tracker.step(now, first, &mut host, &mut out);
    out.clear();
    let mark = Mark::new(7);
    let mut wrote = |count, all| {
        tracker.counted(mark, used(count), all, now, &mut out);
        std::mem::take(&mut out)
    };
    assert_eq!(wrote(1, false), [], "the first use said so");
    let more = wrote(5, false);
    let [Body::Capability(more)] = bodies(&more)[..] else { panic!("{more:?}") };
    // The kernel's counts know no paths; the first use told it.
    assert_eq!((more.count, more.program.escaped()), (5, "/bin/ping".to_owned()));
    assert_eq!(wrote(5, false), []);
    assert_eq!(bodies(&wrote(5, true)).len(), 1, "the last word is written anew");
}

fn at(at: u64, pid: u32, place: Place, act: Act) -> Captured {
    let Captured::Event(mut event) = event(at, 7, pid, act) else { panic!() };
    event.place = place;
    Captured::Event(event)
}

#[test]
fn who_writes_to_a_terminal_of_the_session_does_not_move_it_to_where_he_lives() {
    let elsewhere = Place { mnt_ns: 31, cgroup: 6, ..HOME };
    let words = TtyAct {
        key: 1,
        is_new: false,
        name: Bytes::from("pts/1"),
        data: Bytes::from("recorded"),
        hidden: 0,
        cols: 80,
        rows: 24,
    };
    let out = run(
        vec![
            at(1, 10, HOME, elevated()),
            at(2, 10, HOME, exec("/usr/bin/sudo")),
            at(3, 999, elsewhere, Act::Tty(TtyOp::Output, words)),
        ],
        LATER,
    );
    assert!(bodies(&out).iter().any(|body| matches!(body, Body::Tty(..))), "{out:?}");
    assert!(!bodies(&out).iter().any(|body| matches!(body, Body::Context(_))), "{out:?}");
}

#[test]
fn what_leaves_the_hosts_namespaces_says_so_before_its_next_act() {
    let inside = Place { mnt_ns: 21, pid_ns: 22, cgroup: 5, ..HOME };
    let id = "ab".repeat(32);
    let path = Bytes::from(format!("/docker/{id}").as_str());
    let out = run(
        vec![
            at(1, 10, HOME, elevated()),
            // No event of the session: it must not pass for the program that elevated.
            at(2, 10, HOME, Act::Cgroup { id: 5, path }),
            at(3, 10, HOME, exec("/usr/bin/sudo")),
            at(4, 10, HOME, fork(11)),
            at(5, 11, inside, exec("/bin/sh")),
            at(6, 11, inside, fork(12)),
            // It inherits that, and another word is not needed.
            at(7, 12, inside, exec("/bin/ls")),
            // Ending, it has lost its namespaces: nothing is known, nothing changes.
            at(8, 12, Place { mnt_ns: 0, ..inside }, exit(0)),
            at(9, 11, HOME, exec("/bin/sh")),
            at(10, 11, HOME, exit(0)),
            at(11, 10, HOME, exit(0)),
        ],
        LATER,
    );
    let told: Vec<_> = out
        .iter()
        .filter_map(|t| match t {
            Tracked::Event { record: Record { body: Body::Context(c), task, boot_ns, .. }, .. } => {
                Some((task.as_ref().unwrap().id.pid, boot_ns.get(), c.own, c.engine, c.container.escaped()))
            }
            _ => None,
        })
        .collect();
    let own = TaskContext::MNT | TaskContext::PID;
    assert_eq!(told, [(11, 5, own, Engine::Docker, id), (11, 9, 0, Engine::None, String::new())]);
    let Some(Body::SessionStart(start)) = bodies(&out).first().copied() else { panic!("{out:?}") };
    assert_eq!(start.elevation.path, Bytes::from("/usr/bin/sudo"));

    // Who reads the records knows of each event what the writer knew.
    let mut places = Places::default();
    let mut inside = Vec::new();
    for t in &out {
        let Tracked::Event { record, .. } = t else { continue };
        places.see(record);
        inside.push((record.body.kind().name(), places.of(record).is_some()));
    }
    let with: Vec<_> = inside.into_iter().filter(|(_, inside)| *inside).map(|(kind, _)| kind).collect();
    assert_eq!(with, ["context", "exec", "fork", "exec", "exit"]);
}
