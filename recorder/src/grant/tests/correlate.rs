//! Group H of docs/attacks.md, as far as it is a matter of grants, times and needs.

use super::*;
use crate::{
    grant::{Clock, Stretch, Work, coverage, next_change, overdue, timeline},
    model::{BootNanos, ClockPair, Coverage, TaskId, Uncovered},
};

fn at(n: u64) -> BootNanos {
    BootNanos::new(n)
}

fn task(pid: u32) -> TaskId {
    TaskId { pid, start: at(1) }
}

/// Trusted time is the boot clock.
fn clock() -> Clock {
    Clock::new(ClockPair { boot: at(0), real: real(0) })
}

fn grant(id: u8) -> Digest {
    Digest::new([id; 32])
}

fn covered(id: u8) -> Coverage {
    Coverage::Covered { grant: grant(id) }
}

fn not(reason: Uncovered) -> Coverage {
    Coverage::Uncovered { reason }
}

/// A root shell of a person from 0 on.
fn shell(person: &str) -> Work {
    let mut work = Work::new(Some(person.to_owned()), at(0));
    work.wants(task(1), at(0), Some(root("/usr/bin/bash")));
    work
}

fn told(book: &Book, work: &Work, until: u64) -> Vec<(u64, Coverage)> {
    let stretches: Vec<Stretch> = timeline(book, work, &clock(), at(until));
    stretches.iter().map(|stretch| (stretch.from.get(), stretch.coverage)).collect()
}

#[test]
fn h1_a_nanosecond_decides() {
    let book = book([asked(1, "bert", 1, 20, 40), approval(2, 1, "lead1", 10)]);
    assert_eq!(
        told(&book, &shell("bert"), 60),
        [
            (0, not(Uncovered::NoGrant)),
            (10, not(Uncovered::Early)),
            (20, covered(1)),
            (40, not(Uncovered::Late))
        ]
    );
    let needs = [root("/usr/bin/bash")];
    for (now, expected) in
        [(19, not(Uncovered::Early)), (20, covered(1)), (39, covered(1)), (40, not(Uncovered::Late))]
    {
        assert_eq!(coverage(&book, Some("bert"), needs.iter(), real(now)), expected);
    }
}

#[test]
fn h2_a_process_that_outlives_its_grant_is_late() {
    let book = book([asked(1, "bert", 1, 10, 40), approval(2, 1, "lead1", 5)]);
    let mut work = Work::new(Some("bert".into()), at(8));
    work.wants(task(1), at(8), Some(root("/usr/bin/bash")));
    work.forked(task(1), task(2), at(15));
    work.wants(task(3), at(45), Some(root("/usr/bin/id")));
    assert_eq!(overdue(&book, &work, &clock(), at(39)), []);
    let late = overdue(&book, &work, &clock(), at(50));
    let late: Vec<_> = late.iter().map(|o| (o.task.pid, o.grant, o.since.get(), o.reason)).collect();
    // The shell was there before the grant, the third came after it: neither was started under it.
    assert_eq!(late, [(2, grant(1), 40, Uncovered::Late)]);
    work.ended(task(2), at(55));
    assert_eq!(overdue(&book, &work, &clock(), at(60)), []);
}

#[test]
fn h3_revoked_in_the_middle() {
    let book = book([asked(1, "bert", 1, 0, 40), approval(2, 1, "lead1", 5), revocation(3, 1, "lead1", 25)]);
    assert_eq!(
        told(&book, &shell("bert"), 60),
        [(0, not(Uncovered::NoGrant)), (5, covered(1)), (25, not(Uncovered::Revoked))]
    );
    let mut work = shell("bert");
    work.wants(task(2), at(10), Some(root("/usr/bin/sleep 100")));
    let late = overdue(&book, &work, &clock(), at(30));
    assert_eq!((late[0].task, late[0].since, late[0].reason), (task(2), at(25), Uncovered::Revoked));
}

#[test]
fn h4_a_grant_is_of_its_person_only() {
    let book = book([asked(1, "bert", 1, 0, 40), approval(2, 1, "lead1", 5)]);
    assert_eq!(told(&book, &shell("carl"), 30), [(0, not(Uncovered::NoGrant))]);
}

#[test]
fn h5_of_overlapping_grants_the_first_holds_until_it_ends() {
    let book = book([
        asked(1, "bert", 1, 10, 30),
        approval(2, 1, "lead1", 2),
        asked(3, "bert", 1, 20, 50),
        approval(4, 3, "lead1", 2),
    ]);
    assert_eq!(
        told(&book, &shell("bert"), 60),
        [
            (0, not(Uncovered::NoGrant)),
            (2, not(Uncovered::Early)),
            (10, covered(1)),
            (30, covered(3)),
            (50, not(Uncovered::Late))
        ]
    );
}

#[test]
fn an_approved_grant_is_better_than_broken_glass() {
    let book = book([glass(1, "anna", 5, 0, 50), asked(2, "anna", 1, 20, 30), approval(3, 2, "lead1", 2)]);
    let glass = Coverage::BreakGlass { grant: grant(1) };
    assert_eq!(
        told(&book, &shell("anna"), 60),
        [
            (0, not(Uncovered::NoGrant)),
            (2, not(Uncovered::Early)),
            (5, glass),
            (20, covered(2)),
            (30, glass),
            (50, not(Uncovered::Late))
        ]
    );
}

#[test]
fn h6_a_grant_for_another_host_is_the_wrong_one_at_any_time() {
    let elsewhere = Request { hosts: vec!["db-*".into(), "!db-1".into()], ..request("bert", 0, 40) };
    let documents = [signed(1, "bert", 1, Statement::Request(elsewhere)), approval(2, 1, "lead1", 5)];
    let on = |host: &str| {
        let mut book = Book::new(policy(), host);
        documents.iter().cloned().for_each(|d| _ = book.insert(d));
        coverage(&book, Some("bert"), std::iter::empty(), real(20))
    };
    assert_eq!(on("web-1"), not(Uncovered::WrongHost));
    assert_eq!(on("DB-2"), covered(1));
    assert_eq!(on("db-1"), not(Uncovered::WrongHost));
}

#[test]
fn h8_no_grant_and_nobody() {
    let book = book([]);
    assert_eq!(told(&book, &shell("root"), 9), [(0, not(Uncovered::NoGrant))]);
    assert_eq!(told(&book, &Work::new(None, at(3)), 9), [(3, not(Uncovered::Unattributed))]);
    assert_eq!(told(&book, &Work::new(None, at(9)), 9), []);
}

fn commands(id: u8, person: &str, glob: &str, from: u64, until: u64) -> Verified {
    let privileges = vec![Privilege::Command(glob.to_owned())];
    let request = Request { privileges, ..request(person, from, until) };
    signed(id, person, 1, Statement::Request(request))
}

#[test]
fn h10_the_right_host_and_the_wrong_privilege() {
    let book = book([commands(1, "bert", "systemctl restart *", 0, 40), approval(2, 1, "lead1", 2)]);
    let mut work = Work::new(Some("bert".into()), at(5));
    work.wants(task(1), at(5), None);
    work.wants(task(2), at(10), Some(root("/usr/bin/systemctl restart nginx")));
    work.wants(task(3), at(15), Some(root("/usr/bin/less")));
    work.ended(task(3), at(20));
    work.ended(task(2), at(25));
    work.close(at(30));
    assert_eq!(
        told(&book, &work, 60),
        [(5, covered(1)), (15, not(Uncovered::WrongPrivilege)), (20, covered(1))]
    );
}

#[test]
fn two_grants_together_cover_two_needs() {
    let book = book([
        commands(1, "bert", "systemctl *", 0, 40),
        approval(2, 1, "lead1", 2),
        commands(3, "bert", "journalctl *", 0, 30),
        approval(4, 3, "lead1", 3),
    ]);
    let mut work = Work::new(Some("bert".into()), at(5));
    work.wants(task(1), at(5), Some(root("/usr/bin/systemctl status x")));
    work.wants(task(2), at(10), Some(root("/usr/bin/journalctl -u x")));
    work.ended(task(2), at(35));
    assert_eq!(
        told(&book, &work, 38),
        [(5, covered(1)), (10, covered(3)), (30, not(Uncovered::Late)), (35, covered(1))]
    );
}

#[test]
fn the_nearest_miss_is_told() {
    let misses = [
        (
            Uncovered::Revoked,
            vec![asked(1, "bert", 1, 0, 40), approval(2, 1, "lead1", 2), revocation(3, 1, "bert", 9)],
        ),
        (Uncovered::Late, vec![asked(4, "bert", 1, 0, 20), approval(5, 4, "lead1", 2)]),
        (Uncovered::Early, vec![asked(6, "bert", 1, 30, 40), approval(7, 6, "lead1", 2)]),
        (Uncovered::WrongPrivilege, vec![commands(8, "bert", "x", 0, 40), approval(9, 8, "lead1", 2)]),
        (Uncovered::NoGrant, vec![asked(10, "bert", 1, 0, 40)]),
    ];
    let needs = [root("/usr/bin/bash")];
    for n in 0..misses.len() {
        let book = book(misses.iter().skip(n).flat_map(|(_, documents)| documents.clone()));
        assert_eq!(coverage(&book, Some("bert"), needs.iter(), real(25)), not(misses[n].0));
    }
}

#[test]
fn the_service_knows_when_to_look_again() {
    let book = book([asked(1, "bert", 1, 20, 40), approval(2, 1, "lead1", 10), asked(3, "bert", 1, 15, 50)]);
    let next = |now| next_change(&book, "bert", &clock(), at(now)).map(BootNanos::get);
    assert_eq!(
        [next(0), next(10), next(20), next(39), next(40)],
        [Some(10), Some(20), Some(40), Some(40), None]
    );
    assert_eq!(next_change(&book, "carl", &clock(), at(0)), None);
}
