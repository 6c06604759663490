//! What an evaluation costs. Figures, no test:
//! `cargo test --release -p recorder grant::tests::cost -- --ignored --nocapture`

use std::time::Instant;

use super::*;
use crate::{
    grant::{Clock, Work, coverage_now, next_change, timeline},
    model::{BootNanos, ClockPair, TaskId},
};

const SESSIONS: u32 = 100;
const GRANTS: u64 = 1000;

fn numbered(n: u64, kind: u8) -> Digest {
    let mut raw = [kind; 32];
    raw[..8].copy_from_slice(&n.to_be_bytes());
    Digest::new(raw)
}

fn filled(persons: u64) -> (Book, u128) {
    let mut book = Book::new(policy(), "web-1");
    let started = Instant::now();
    for n in 0..GRANTS {
        let mut asked = asked(0, &format!("p{}", n % persons), 1, 1000 + n, 2000 + n);
        asked.document.id = numbered(n, 0);
        let mut yes = approval(0, 0, "lead1", 2);
        yes.document.id = numbered(n, 1);
        yes.document.statement =
            Statement::Approval(Answer { request: numbered(n, 0), reason: String::new() });
        book.insert(asked);
        book.insert(yes);
    }
    (book, started.elapsed().as_nanos() / u128::from(2 * GRANTS))
}

fn session(persons: u64, n: u32) -> Work {
    let mut work = Work::new(Some(format!("p{}", u64::from(n) % persons)), BootNanos::new(900));
    for pid in 0..20 {
        work.wants(
            TaskId { pid, start: BootNanos::new(1) },
            BootNanos::new(1000 + u64::from(pid) * 50),
            Some(root(&format!("/usr/bin/tool --number {pid}"))),
        );
    }
    work
}

#[test]
#[ignore = "a measurement"]
fn what_an_evaluation_costs() {
    let clock = Clock::new(ClockPair { boot: BootNanos::new(0), real: RealNanos::new(0) });
    for persons in [100, 10, 1] {
        let (book, insert) = filled(persons);
        let works: Vec<Work> = (0..SESSIONS).map(|n| session(persons, n)).collect();
        let each = |label: &str, one: &dyn Fn(&Work, BootNanos)| {
            let rounds = 3;
            let started = Instant::now();
            for round in 0..rounds {
                for work in &works {
                    one(work, BootNanos::new(1500 + round * 133));
                }
            }
            let ns = started.elapsed().as_nanos() / u128::from(u64::from(SESSIONS) * rounds);
            println!(
                "{persons} persons, {GRANTS} grants, {SESSIONS} sessions of 20 processes: {label} {ns} ns"
            );
        };
        println!("{persons} persons: insert {insert} ns a document");
        each("coverage_now", &|work, now| {
            std::hint::black_box(coverage_now(&book, work, &clock, now));
        });
        each("next_change", &|work, now| {
            std::hint::black_box(next_change(&book, work.person().unwrap(), &clock, now));
        });
        each("timeline", &|work, now| {
            std::hint::black_box(timeline(&book, work, &clock, now));
        });
    }
}
