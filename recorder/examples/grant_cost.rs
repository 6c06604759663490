//! What an evaluation of coverage costs: `cargo run --release -p recorder --example grant_cost`. Figures, no test.
#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use recorder::{
    grant::{
        Answer, Book, Clock, CommandLine, Document, Nonce, Policy, PolicyError, Privilege, Request, Standing,
        Statement, Verified, Wanted, Window, Work, coverage_now, next_change, timeline,
    },
    model::{BootNanos, Bytes, ClockPair, Digest, RealNanos, TaskId},
};

const SESSIONS: u32 = 100;
const GRANTS: u64 = 1000;
const ROUNDS: u64 = 3;
const EVENTS: u64 = 300_000;
const POLICY: &str = "[[approve]]\napprovers = [\"lead\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";

/// Processor time of this thread, whatever else the machine does.
struct Spent(Duration);

impl Spent {
    fn now() -> Self {
        let at = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(at.tv_nsec).unwrap_or(0);
        Self(Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), nanos))
    }

    fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

fn name(n: u64, kind: u8) -> Digest {
    let mut raw = [kind; 32];
    raw.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
    Digest::new(raw)
}

fn said(id: Digest, signer: &str, received: u64, statement: Statement) -> Verified {
    let (made, nonce) = (RealNanos::new(0), Nonce::new([0; 16]));
    Verified {
        document: Document { id, signer: signer.to_owned(), made, nonce, statement },
        principal: signer.to_owned(),
        key: format!("SHA256:{signer}"),
        received: RealNanos::new(received),
    }
}

/// Approved requests, one behind the other; the time that a document took, in nanoseconds.
fn filled(persons: u64) -> Result<(Book, u128), PolicyError> {
    let mut book = Book::new(Policy::parse(POLICY)?, "web-1");
    let started = Spent::now();
    for n in 0..GRANTS {
        let person = format!("p{}", n % persons);
        let request = Request {
            person: person.clone(),
            hosts: vec!["*".to_owned()],
            window: Window { from: RealNanos::new(1000 + n), until: RealNanos::new(2000 + n) },
            privileges: vec![Privilege::Root],
            reason: "disk full".to_owned(),
            incident: None,
            token: false,
        };
        let answer = Answer { request: name(n, 0), reason: String::new() };
        book.insert(said(name(n, 0), &person, 1, Statement::Request(request)));
        book.insert(said(name(n, 1), "lead", 2, Statement::Approval(answer)));
    }
    Ok((book, started.elapsed().as_nanos() / u128::from(2 * GRANTS)))
}

/// Twenty processes of root.
fn session(persons: u64, n: u32) -> Work {
    let mut work = Work::new(Some(format!("p{}", u64::from(n) % persons)), BootNanos::new(900));
    for pid in 0..20 {
        let task = TaskId { pid, start: BootNanos::new(1) };
        let wanted = Wanted { uid: 0, user: Some("root".to_owned()), line: CommandLine::default() };
        work.wants(task, BootNanos::new(1000 + u64::from(pid) * 50), Some(wanted));
    }
    work
}

/// Every session starts one program after the other; what the daemon does at each event that can change coverage.
fn stream(book: &Book, clock: &Clock, persons: u64) {
    let mut sessions: Vec<(Work, Standing)> =
        (0..SESSIONS).map(|n| (session(persons, n), Standing::default())).collect();
    let (mut events, started) = (0_u64, Spent::now());
    for round in 0..EVENTS / u64::from(SESSIONS) / 3 {
        let now = BootNanos::new(1500 + round / 100);
        let shell = TaskId { pid: 0, start: BootNanos::new(1) };
        for (n, (work, standing)) in sessions.iter_mut().enumerate() {
            let child = TaskId { pid: 100, start: BootNanos::new(round) };
            let path = Bytes::from(format!("/usr/bin/program-{n}").as_str());
            let wanted = Wanted::of_program(0, Some("root".to_owned()), &path);
            work.forked(shell, child, now);
            std::hint::black_box(standing.coverage(book, work, clock, now));
            work.wants(child, now, Some(wanted));
            std::hint::black_box(standing.coverage(book, work, clock, now));
            work.ended(child, now);
            work.forget(now);
            std::hint::black_box(standing.coverage(book, work, clock, now));
            events += 3;
        }
    }
    let each = started.elapsed().as_nanos() / u128::from(events.max(1));
    // Ten thousand a second, in hundredths of a percent of one processor.
    println!(
        "    an event {each} ns; 10,000 a second: {}.{:02} % of a processor",
        each / 1000,
        each % 1000 / 10
    );
}

fn main() -> Result<(), PolicyError> {
    let clock = Clock::new(ClockPair { boot: BootNanos::new(0), real: RealNanos::new(0) });
    for persons in [100, 10, 1] {
        let (book, insert) = filled(persons)?;
        let works: Vec<Work> = (0..SESSIONS).map(|n| session(persons, n)).collect();
        println!(
            "{GRANTS} grants of {persons} persons, {SESSIONS} sessions of 20 processes: a document {insert} ns"
        );
        let each = |label: &str, one: &dyn Fn(&Work, BootNanos)| {
            let started = Spent::now();
            for round in 0..ROUNDS {
                for work in &works {
                    one(work, BootNanos::new(1500 + round * 133));
                }
            }
            println!(
                "    {label} {} ns",
                started.elapsed().as_nanos() / u128::from(u64::from(SESSIONS) * ROUNDS)
            );
        };
        each("coverage_now", &|work, now| _ = std::hint::black_box(coverage_now(&book, work, &clock, now)));
        each("next_change", &|work, now| {
            let person = work.person().unwrap_or_default();
            _ = std::hint::black_box(next_change(&book, person, &clock, now));
        });
        stream(&book, &clock, persons);
        each("timeline", &|work, now| _ = std::hint::black_box(timeline(&book, work, &clock, now)));
    }
    Ok(())
}
