//! What is told of what sessions do, over files and a clock that are made up.

use std::sync::Arc;

use proptest::prelude::*;

use super::fake::{Node, SECOND};
use super::world::{World, diff, sha};
use super::*;
use crate::model::{
    Body, BootNanos, Bytes, Class, FileOp, RealNanos, Script, Setattr, TaskContext, TaskId, Why, Xattr, acts,
};

#[test]
fn c1_a_program_is_told_once_and_read_once() {
    let mut w = World::new();
    let ino = w.files.write("/bin/x", b"program");
    w.wait(1);
    for pid in 1..5 {
        w.exec(pid, "/bin/x", ino);
        w.wait(30);
    }
    let digests = w.digests();
    assert_eq!(digests.len(), 1);
    assert_eq!(digests[0].found.as_ref().unwrap().sha256, Some(sha(b"program")));
    // Twice: its content and its end.
    assert_eq!(w.files.reads, 2);
}

#[test]
fn c1_what_has_no_name_is_read_while_it_runs() {
    let mut w = World::new();
    let node = w.files.node(b"nameless");
    let ino = node.stat.ino;
    w.files.images.insert(9, node);
    w.exec(9, "/memfd:x", ino);
    w.exec(10, "/memfd:gone", 4711);
    let digests = w.digests();
    assert_eq!(digests[0].found.as_ref().unwrap().sha256, Some(sha(b"nameless")));
    assert_eq!((digests[1].found.clone(), digests[1].why), (None, Why::Gone));
}

#[test]
fn c1_a_script_has_a_digest_of_its_own_through_links_and_whether_its_inode_is_known_or_not() {
    let mut w = World::new();
    let ino = w.files.write("/opt/x/run.sh", b"#!/bin/sh\n");
    w.files.write("/usr/bin/run", b"");
    w.files.at("/usr/bin/run").stat.kind = Kind::Link(Bytes::from("../../opt/x/run.sh"));
    w.files.write("/usr/bin/../../opt/x/run.sh", b"");
    w.files.at("/usr/bin/../../opt/x/run.sh").stat.kind = Kind::Link(Bytes::from("/opt/x/run.sh"));
    let mut script = |pid, path: &str, ino| {
        let script = Script { path: Bytes::from(path), dev: (8, 1), ino };
        w.see(pid, Body::Script(Box::new(script)));
    };
    script(9, "/usr/bin/run", ino);
    script(10, "/opt/x/run.sh", 0);
    script(11, "/opt/x/run.sh", 4711);
    // A descriptor of a process that nobody knows: here it would be another's.
    script(12, "/dev/fd/3", 0);
    let told: Vec<_> = w.digests().into_iter().map(|d| (d.path.escaped(), d.ino, d.why)).collect();
    let path = || "/opt/x/run.sh".to_owned();
    assert_eq!(
        told,
        [
            ("/usr/bin/run".to_owned(), ino, Why::None),
            (path(), ino, Why::None),
            (path(), 4711, Why::Replaced),
            ("/dev/fd/3".to_owned(), 0, Why::Gone),
        ]
    );
    assert_eq!(w.digests()[0].found.as_ref().unwrap().sha256, Some(sha(b"#!/bin/sh\n")));
}

#[test]
fn c10_another_file_of_the_same_name_is_not_hashed() {
    let mut w = World::new();
    let old = w.files.write("/bin/x", b"old");
    w.files.remove("/bin/x");
    w.files.write("/bin/x", b"new");
    w.exec(9, "/bin/x", old);
    assert_eq!((w.digests()[0].found.clone(), w.digests()[0].why), (None, Why::Replaced));
}

#[test]
fn c10_what_was_written_to_after_it_ran_is_said_to_be_changed() {
    let mut w = World::new();
    let ino = w.files.write("/bin/x", b"ran");
    let look = Look { since: RealNanos::new(w.files.now), ..look("/bin/x", ino) };
    w.files.now += SECOND;
    w.files.write("/bin/x", b"what is there now");
    let Seen::Program(seen) = w.examiner.look(&look, &mut w.files) else { panic!() };
    assert_eq!((seen.why, seen.found.unwrap().sha256), (Why::Changing, None));
}

#[test]
fn c10_what_runs_again_during_a_look_is_looked_at_again() {
    let mut w = World::new();
    let ino = w.files.write("/bin/x", b"one");
    w.wait(1);
    let first = w.run_unseen(1, "/bin/x", ino).unwrap();
    assert!(w.run_unseen(2, "/bin/x", ino).is_none() && w.run_unseen(3, "/bin/x", ino).is_none());
    w.answer(vec![first]);
    w.files.write("/bin/x", b"two");
    w.end();
    assert_eq!(w.digests().len(), 2);
}

fn look(path: &str, ino: u64) -> Look {
    let task = TaskId { pid: 9, start: BootNanos::new(1) };
    let (path, since) = (Bytes::from(path), RealNanos::new(0));
    Look { id: 1, aim: Aim::Program, path, task, dev: (8, 1), ino, foreign: false, fresh: false, since }
}

#[test]
fn c10_a_program_that_is_replaced_between_two_runs_has_both_digests() {
    let mut w = World::new();
    let ino = w.files.write("/bin/x", b"one");
    w.wait(1);
    w.exec(1, "/bin/x", ino);
    w.wait(1);
    // In place, by somebody else.
    w.files.write("/bin/x", b"two");
    w.exec(2, "/bin/x", ino);
    let found: Vec<_> = w.digests().into_iter().map(|digest| digest.found.unwrap().sha256).collect();
    assert_eq!(found, [Some(sha(b"one")), Some(sha(b"two"))]);
}

#[test]
fn a_file_that_never_holds_still_has_no_digest() {
    let mut w = World::new();
    let ino = w.files.write("/srv/log", b"x");
    w.files.at("/srv/log").torn = 2;
    w.exec(1, "/srv/log", ino);
    assert!(w.digests()[0].found.as_ref().unwrap().sha256.is_some(), "the third reading is whole");
    w.files.at("/srv/log").torn = 100;
    w.files.now += 2 * SECOND;
    w.files.images.insert(2, w.files.host[&Bytes::from("/srv/log")].clone());
    w.files.images.get_mut(&2).unwrap().stat.ctime = RealNanos::new(1);
    w.exec(2, "/srv/log", ino);
    assert_eq!(w.digests()[1].why, Why::Changing);
}

#[test]
fn what_is_larger_than_allowed_is_told_without_digest() {
    let mut w = World::new();
    w.writes("/srv/big", &vec![b'x'; (1 << 20) + 1]);
    w.wait(40);
    let changed = w.only();
    assert_eq!((changed.why, changed.after.unwrap().size), (Why::TooLarge, (1 << 20) + 1));
}

#[test]
fn d4_a_change_is_told_when_the_file_is_quiet_and_once() {
    let mut w = World::new();
    w.files.write("/etc/x", b"a\nb\n");
    w.walk();
    w.wait(30);
    w.writes("/etc/x", b"a\nB\n");
    w.wait(15);
    assert_eq!(w.told.len(), 0, "not yet");
    w.wait(10);
    let changed = w.only();
    assert_eq!((changed.acts, changed.class, changed.why), (acts::WRITTEN, Class::None, Why::None));
    assert_eq!(changed.before.as_ref().unwrap().sha256, Some(sha(b"a\nb\n")));
    assert_eq!(changed.after.as_ref().unwrap().sha256, Some(sha(b"a\nB\n")));
    assert_eq!(diff(&changed), "@@ -1,2 +1,2 @@\n a\n-b\n+B\n");
    w.wait(1000);
    w.end();
    assert_eq!(w.told.len(), 1);
}

#[test]
fn a_file_that_is_written_for_hours_is_told_every_thirty_seconds_and_at_the_end() {
    let mut w = World::new();
    w.writes("/srv/log", b"0");
    for n in 0..1200 {
        w.files.write("/srv/log", format!("{n}").repeat(1 + n / 40).as_bytes());
        w.wait(1);
    }
    let (told, seconds) = (w.told.len(), 120);
    assert!((2..=seconds / 30 + 1).contains(&told), "{told}");
    w.files.write("/srv/log", b"last");
    w.end();
    let last = w.changes().pop().unwrap();
    assert_eq!(last.after.unwrap().sha256, Some(sha(b"last")));
    assert_eq!(last.acts, 0, "nobody saw the session touch it again");
}

#[test]
fn d3_what_is_written_through_a_mapping_is_told_at_the_end_though_no_time_changed() {
    let mut w = World::new();
    w.writes("/srv/mapped", b"before");
    w.wait(40);
    assert_eq!(w.only().after.unwrap().sha256, Some(sha(b"before")));
    w.files.at("/srv/mapped").bytes = b"behind".to_vec();
    w.end();
    assert_eq!(w.changes().pop().unwrap().after.unwrap().sha256, Some(sha(b"behind")));
}

#[test]
fn what_was_changed_by_others_is_not_the_sessions() {
    let mut w = World::new();
    w.files.write("/etc/x", b"a\n");
    w.walk();
    w.wait(30);
    // Somebody else, seen by the next walk.
    w.files.write("/etc/x", b"b\n");
    w.wait(700);
    w.walk();
    w.wait(30);
    w.writes("/etc/x", b"c\n");
    // The trees are walked through between the act and the look.
    w.wait(10);
    w.files.now += 61 * SECOND;
    while w.examiner.walk(&mut w.files) {}
    w.wait(30);
    let changed = w.only();
    assert_eq!(diff(&changed), "@@ -1 +1 @@\n-b\n+c\n");
    assert_eq!(changed.before.unwrap().sha256, Some(sha(b"b\n")));
}

#[test]
fn a_walk_opens_only_what_is_new_or_gone() {
    let mut w = World::new();
    for name in ["/etc/a", "/etc/b", "/etc/c"] {
        w.files.write(name, b"x\n");
    }
    w.walk();
    let opened = |w: &mut World| {
        let before = w.files.opens;
        w.files.now += 61 * SECOND;
        while w.examiner.walk(&mut w.files) {}
        w.files.opens - before
    };
    assert_eq!(opened(&mut w), 0);
    w.files.write("/etc/b", b"y\n");
    assert_eq!(opened(&mut w), 1);
    w.files.remove("/etc/c");
    assert_eq!(opened(&mut w), 1, "whether it is really gone");
    assert_eq!(opened(&mut w), 1, "until it is forgotten");
}

#[test]
fn what_was_only_opened_is_not_told_where_that_is_known() {
    let mut w = World::new();
    let ino = w.files.write("/etc/x", b"a\n");
    let other = w.files.write("/srv/x", b"a\n");
    w.walk();
    w.wait(30);
    w.act(FileOp::Open, "/etc/x", None, ino);
    w.act(FileOp::Open, "/srv/x", None, other);
    w.wait(30);
    w.end();
    let changed = w.only();
    assert_eq!((changed.path.as_utf8(), changed.untouched), (Some("/srv/x"), 1));
}

#[test]
fn renames_removals_and_what_passes() {
    let mut w = World::new();
    for name in ["/etc/old", "/etc/gone", "/etc/moved"] {
        w.files.write(name, b"was\n");
    }
    w.walk();
    w.wait(30);
    w.writes("/etc/.new", b"is\n");
    w.moves("/etc/.new", "/etc/old");
    w.removes("/etc/gone");
    w.moves("/etc/moved", "/srv/here");
    w.writes("/etc/passing", b"x");
    w.removes("/etc/passing");
    w.writes("/etc/a", b"x");
    w.moves("/etc/a", "/etc/b");
    w.removes("/etc/b");
    w.wait(30);
    w.end();
    let mut changes = w.changes();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let told: Vec<_> =
        changes.iter().map(|c| (c.path.as_utf8().unwrap(), c.acts, c.after.is_some())).collect();
    assert_eq!(
        told,
        [
            ("/etc/gone", acts::REMOVED, false),
            ("/etc/moved", acts::MOVED, false),
            ("/etc/old", acts::RENAMED, true),
            ("/srv/here", acts::RENAMED, true)
        ]
    );
    assert_eq!((diff(&changes[0]), changes[0].why), ("@@ -1 +0,0 @@\n-was\n", Why::Gone));
    assert_eq!(changes[1].other.as_ref().and_then(Bytes::as_utf8), Some("/srv/here"));
    assert_eq!(diff(&changes[2]), "@@ -1 +1 @@\n-was\n+is\n");
}

#[test]
fn secrets_binaries_and_the_unknown_have_no_diff() {
    let mut w = World::new();
    w.files.write("/etc/shadow", b"root:x\n");
    w.files.write("/etc/bin", b"\0");
    w.files.write("/etc/key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n");
    w.walk();
    w.files.write("/etc/late", b"made by others\n");
    w.wait(30);
    for name in ["/etc/shadow", "/etc/bin", "/etc/key", "/etc/late"] {
        w.writes(name, b"new\n");
    }
    w.wait(30);
    let why: Vec<_> = w.changes().iter().map(|c| (c.class, c.no_diff, c.diff.is_some())).collect();
    assert_eq!(
        why,
        [
            (Class::None, Why::Binary, false),
            (Class::None, Why::Secret, false),
            (Class::None, Why::NoBaseline, false),
            (Class::Passwd, Why::Secret, false)
        ]
    );
}

#[test]
fn another_file_in_its_place_is_not_hashed_and_a_links_target_is() {
    let mut w = World::new();
    w.writes("/srv/x", b"mine");
    w.files.remove("/srv/x");
    w.files.write("/srv/x", b"somebody else's");
    w.writes("/srv/link", b"");
    w.files.at("/srv/link").stat.kind = Kind::Link(Bytes::from("/etc/passwd"));
    w.wait(30);
    let changes = w.changes();
    assert_eq!(changes[0].link.as_ref().and_then(Bytes::as_utf8), Some("/etc/passwd"));
    assert_eq!((changes[1].why, changes[1].after.as_ref().unwrap().sha256), (Why::Replaced, None));
}

#[test]
fn a_containers_file_is_not_the_hosts() {
    let mut w = World::new();
    w.files.write("/etc/passwd", b"the host's\n");
    w.walk();
    w.wait(30);
    let context = TaskContext { own: TaskContext::MNT, ..TaskContext::default() };
    w.see(50, Body::Context(Arc::new(context)));
    let inner: Node = w.files.node(b"the container's\n");
    let ino = inner.stat.ino;
    w.files.own.insert((50, Bytes::from("/etc/passwd")), inner);
    w.act(FileOp::Open, "/etc/passwd", None, ino);
    w.wait(30);
    let changed = w.only();
    assert_eq!((changed.after.unwrap().sha256, changed.before), (Some(sha(b"the container's\n")), None));
    // It is gone with its process: what lies at that path of the host is nobody's answer.
    w.files.own.clear();
    w.act(FileOp::Open, "/etc/passwd", None, 0);
    w.wait(700);
    assert_eq!(w.changes()[1].why, Why::Gone);
}

/// A mode, an attribute, a length, another name: no open tells of them.
#[test]
fn what_a_file_is_and_its_names_are_changes_too() {
    let mut w = World::new();
    let ino = w.files.write("/srv/x", b"text\n");
    let path = Bytes::from("/srv/x");
    let set = Setattr { path: path.clone(), ino, mode: Some(0o4755), ..Setattr::default() };
    w.see(50, Body::Setattr(set.op(), Box::new(set)));
    w.wait(30);
    let told = w.only();
    assert_eq!((told.path.clone(), told.acts), (path.clone(), acts::OTHER));
    let failed = Xattr { path, ino, result: -95, ..Xattr::default() };
    w.see(50, Body::Xattr(Box::new(failed)));
    w.files.write("/srv/y", b"text\n");
    w.act(FileOp::Link, "/srv/x", Some("/srv/y"), 0);
    w.wait(30);
    let told: Vec<_> = w.changes().iter().map(|changed| (changed.path.escaped(), changed.acts)).collect();
    assert_eq!(told, [("/srv/x".to_owned(), acts::OTHER), ("/srv/y".to_owned(), acts::CREATED)]);
}

#[test]
fn what_is_not_done_at_the_end_is_told() {
    let mut w = World::with(Limits { files: 3, looks: 2 });
    w.deaf = true;
    for n in 0..5 {
        w.exec(n, &format!("/bin/{n}"), 100 + u64::from(n));
        w.act(FileOp::Open, &format!("/srv/{n}"), None, 200 + u64::from(n));
    }
    w.end();
    let digests: Vec<_> = w.digests().iter().map(|d| (d.why, d.count)).collect();
    assert_eq!(digests, [(Why::QueueFull, 3), (Why::Late, 2)]);
    let changes: Vec<_> = w.changes().iter().map(|c| (!c.path.is_empty(), c.why, c.count)).collect();
    let late = (true, Why::Late, 1);
    assert_eq!(changes, [late, late, late, (false, Why::Beyond, 2)]);
}

#[test]
fn many_files_that_do_not_matter_leave_room_for_one_that_does() {
    let mut w = World::with(Limits { files: 3, looks: 50 });
    for n in 0..10 {
        w.writes(&format!("/srv/{n}"), b"x");
    }
    w.writes("/etc/sudoers", b"everybody\n");
    w.wait(30);
    assert!(w.changes().iter().any(|c| c.class == Class::Sudoers));
    // What is told makes room for what comes next.
    w.writes("/srv/next", b"x");
    w.wait(30);
    assert!(w.changes().iter().any(|c| c.path.as_slice() == b"/srv/next"));
    w.end();
    assert_eq!(w.changes().last().map(|c| (c.why, c.count)), Some((Why::Beyond, 7)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a session does: the last word about each file is what lies there, and every file that differs from before is named.
    #[test]
    fn the_last_word_is_what_lies_there(steps in proptest::collection::vec((0u8..6, 0u8..4, 0u8..4, 0u64..40), 1..40)) {
        let mut w = World::new();
        let name = |n: u8| format!("/etc/{n}");
        for n in 0..2 {
            w.files.write(&name(n), format!("first {n}\n").as_bytes());
        }
        w.walk();
        w.wait(30);
        let before = w.files.host.clone();
        for (n, (what, a, b, wait)) in steps.iter().enumerate() {
            let (a, b) = (name(*a), name(*b));
            match what {
                0..=2 => w.writes(&a, format!("{n}\n").as_bytes()),
                3 if w.files.host.contains_key(&Bytes::from(a.as_str())) => w.removes(&a),
                4 if a != b && w.files.host.contains_key(&Bytes::from(a.as_str())) => w.moves(&a, &b),
                _ => {}
            }
            w.wait(*wait);
        }
        w.end();
        for n in 0..4 {
            let path = Bytes::from(name(n).as_str());
            let changes = w.changes();
            let last = changes.iter().rev().find(|c| c.path == path);
            let lies = w.files.host.get(&path).map(|node| node.bytes.clone());
            let was = before.get(&path).map(|node| node.bytes.clone());
            let Some(last) = last else {
                prop_assert_eq!(lies, was, "{:?} is not told", path);
                continue;
            };
            prop_assert_eq!(last.after.as_ref().and_then(|f| f.sha256), lies.as_deref().map(sha));
        }
    }
}
