//! Tests: with which permissions a session worked, and where, as people and programs are told.

use insta::assert_snapshot;
use serde_json::Value;

use super::args::Format;
use super::events::Wanted;
use super::tests::{events, run, source, timeline};
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{
    ActedAs, Body, BootNanos, Capability, Engine, FileOp, Fork, Passed, Permissions, TaskContext,
};

fn capability(program: &str, ino: u64, number: u32, granted: bool, count: u64) -> Capability {
    Capability {
        program: program.into(),
        dev: (254, 0),
        ino,
        by: fx::task(103, 101, "x").id,
        number,
        granted: granted.into(),
        inner: 0,
        count,
        first: BootNanos::new(fx::BOOT_NS),
        last: BootNanos::new(fx::BOOT_NS + 5),
    }
}

fn container(own: u16) -> TaskContext {
    TaskContext {
        own,
        mnt_ns: 4_026_532_177,
        pid_ns: 4_026_532_180,
        user_ns: 4_026_531_837,
        cgroup_ns: 4_026_531_835,
        cgroup: 7711,
        path: format!("/system.slice/docker-{}.scope", "3f".repeat(32)).as_str().into(),
        engine: Engine::Docker,
        container: "3f".repeat(32).as_str().into(),
    }
}

/// He goes into a container, pings, is refused a mount, and comes back.
fn story() -> Fixture {
    let mut f = Fixture::with_session();
    let (bash, inside, ping) =
        (fx::task(101, 100, "bash"), fx::task(102, 101, "sh"), fx::task(103, 102, "ping"));
    let used = |c: Capability| Body::Capability(Box::new(c));
    f.of(1, Some(bash.clone()), fx::exec("/usr/bin/bash", &["bash"]));
    f.of(1, Some(bash.clone()), Body::Fork(Fork { child: inside.id }));
    f.of(1, Some(inside.clone()), Body::Context(container(TaskContext::MNT | TaskContext::PID).into()));
    f.of(1, Some(inside.clone()), fx::exec("/bin/sh", &["sh"]));
    f.of(1, Some(inside.clone()), Body::Fork(Fork { child: ping.id }));
    f.of(1, Some(ping.clone()), fx::exec("/bin/ping", &["ping", "192.0.2.1"]));
    f.of(1, Some(ping.clone()), used(capability("/bin/ping", 9, 13, true, 1)));
    f.of(1, Some(ping.clone()), used(capability("/bin/ping", 9, 21, false, 1)));
    f.of(1, Some(ping), fx::file(FileOp::Create, "/var/log/ping", 0o1101, 0));
    f.of(
        1,
        Some(inside.clone()),
        Body::Context(TaskContext { path: "/".into(), ..TaskContext::default() }.into()),
    );
    f.of(1, Some(inside), fx::exec("/usr/bin/id", &["id"]));
    f.of(1, None, used(capability("/bin/ping", 9, 13, true, 300)));
    f.of(1, None, used(capability("/bin/ping", 9, 21, false, 2)));
    f.of(1, None, used(Capability { inner: 1, ..capability("/bin/ping", 9, 21, true, 4) }));
    f.of(1, None, used(capability("", 0, 63, true, 1)));
    let by = fx::task(100, 90, "sudo").id;
    let first = BootNanos::new(fx::BOOT_NS);
    let user = |uid, program: &str, count| ActedAs { uid, program: program.into(), by, first, count };
    let sudo = Passed {
        path: "/usr/bin/sudo".into(),
        dev: (254, 0),
        ino: 5,
        how: Passed::SETUID,
        by,
        first,
        count: 3,
        gained: 1,
    };
    f.of(
        1,
        None,
        Body::Permissions(Box::new(Permissions {
            users: vec![user(0, "/usr/bin/sudo", 1), user(26, "/usr/bin/su", 2)],
            programs: vec![sudo],
        })),
    );
    f.of(1, None, fx::end());
    f
}

#[test]
fn permissions_and_containers_are_told_in_plain_words() {
    let f = story();
    assert_snapshot!(timeline(&f, false, Format::Table).out);
    assert_snapshot!(timeline(&f, true, Format::Ndjson).out);
    assert_snapshot!(run(|io| super::sessions::list(source(&f), Format::Table, io)).out);
    assert_snapshot!(run(|io| super::sessions::list(source(&f), Format::Json, io)).out);
}

#[test]
fn every_event_of_a_task_in_a_container_says_so() {
    let told = events(&story(), None, &Wanted::default(), Format::Ndjson).out;
    let all: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inside = |event: &Value| event["context"]["container"].as_str() == Some("3f".repeat(32).as_str());
    // The process that entered, and the one that it made, until it came back.
    let of = |pid: u64| all.iter().filter(move |e| e["task"]["pid"] == pid).map(inside).collect::<Vec<_>>();
    assert_eq!(of(101), [false, false]);
    assert_eq!(of(102), [true, true, true, false, false]);
    assert_eq!(of(103), [true, true, true, true]);
    assert_snapshot!(
        events(
            &story(),
            None,
            &Wanted { kind: vec!["context", "capability", "permissions"], ..Wanted::default() },
            Format::Ndjson
        )
        .out
    );
    assert_snapshot!(
        events(
            &story(),
            None,
            &Wanted { kind: vec!["context", "capability", "permissions"], ..Wanted::default() },
            Format::Table
        )
        .out
    );
}
