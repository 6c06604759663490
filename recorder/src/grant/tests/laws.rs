//! Laws over random documents, needs and clocks.

use proptest::prelude::*;

use super::*;
use crate::{
    grant::{Clock, Standing, Trust, Work, coverage_now, next_change, timeline},
    model::{BootNanos, ClockPair, Coverage, TaskId, Uncovered},
};

const PEOPLE: [&str; 5] = ["anna", "bert", "lead1", "lead2", "two-x"];
const END: u64 = 40;

fn at(n: u64) -> BootNanos {
    BootNanos::new(n)
}

fn clock() -> Clock {
    Clock::new(ClockPair { boot: at(0), real: real(0) })
}

fn statement(kind: u8, id: u8, of: u8, who: usize, received: u64, a: u64, b: u64) -> Verified {
    let who = PEOPLE[who];
    match kind {
        0 | 1 => asked(id, who, received, a, a + b),
        // For one program only, which is all that the works with one process run.
        11 => commands(id, who, received, a, a + b),
        2 => glass(id, who, received, a, a + b),
        12 => brought(id, who, received, a, a + b),
        3..=6 => approval(id, of, who, received),
        7 => rejection(id, of, who, received),
        8 => revocation(id, of, who, received),
        _ => extension(id, of, who, received, a + b),
    }
}

/// Up to `most` documents; answers point at the first few, which may be no requests or missing.
fn documents(most: usize) -> impl Strategy<Value = Vec<Verified>> {
    let of = prop_oneof![4 => Just(0u8), 2 => Just(1u8), 1 => 2u8..4];
    let one = (3u8..13, of, 0usize..5, 0u64..END, 0u64..END, 0u64..30);
    prop::collection::vec(one, 0..=most).prop_map(|all| {
        let one = |(n, (kind, of, who, received, a, b)): (usize, (u8, u8, usize, u64, u64, u64))| {
            // The first two are requests more often than not, so that answers meet them.
            let kind = if n < 2 { [0, 0, 1, 2, 11, 12][usize::from(kind) % 6] } else { kind };
            // ... most of them one person's, the answers a lead's;
            let who = if n < 2 { [1, 1, 1, 0, 4][who] } else { [0, 2, 2, 3, 1][who] };
            // ... and windows begin early enough for something to happen in them.
            let a = if n < 2 { a / 3 } else { a };
            statement(kind, u8::try_from(n).unwrap(), of, who, received, a, b)
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

fn commands(id: u8, who: &str, received: u64, from: u64, until: u64) -> Verified {
    let privileges = vec![Privilege::Command("bash".to_owned())];
    signed(id, who, received, Statement::Request(Request { privileges, ..request(who, from, until) }))
}

/// Mostly the one who asks most; an index behind the last is nobody.
fn who(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(1usize), 1 => 0..most]
}

fn needs() -> impl Strategy<Value = Vec<(u32, u64, u64, bool)>> {
    prop::collection::vec((0u32..4, 0u64..END, 1u64..20, any::<bool>()), 0..6)
}

fn work(person: usize, start: u64, needs: &[(u32, u64, u64, bool)]) -> Work {
    let mut work = Work::new(PEOPLE.get(person).map(|p| (*p).to_owned()), at(start));
    let mut needs = needs.to_vec();
    needs.sort_unstable_by_key(|need| need.1);
    for (pid, from, long, passes) in needs {
        let task = TaskId { pid, start: at(1) };
        work.wants(
            task,
            at(from),
            (!passes).then(|| root(["/usr/bin/bash", "/usr/bin/id"][usize::from(pid == 2)])),
        );
        if long % 2 == 0 {
            work.ended(task, at(from + long));
        }
    }
    work
}

fn permutations(all: &[Verified]) -> Vec<Vec<Verified>> {
    let [first, rest @ ..] = all else { return vec![Vec::new()] };
    let mut found = Vec::new();
    for tail in permutations(rest) {
        for place in 0..=tail.len() {
            let mut one = tail.clone();
            one.insert(place, first.clone());
            found.push(one);
        }
    }
    found
}

/// What the page says, told again without any of the machinery: root for a person at a moment, from what had arrived.
fn naively_allowed(all: &[Verified], person: &str, now: u64) -> bool {
    let arrived: Vec<&Verified> = all.iter().filter(|v| v.received.get() <= now).collect();
    arrived.iter().any(|asked| {
        let (request, glass, brought) = match &asked.document.statement {
            Statement::Request(request) => (request, false, false),
            Statement::BreakGlass(request) => (request, true, false),
            Statement::Import(import) => (&import.request, false, person != "bert"),
            _ => return false,
        };
        let (from, mut until) = (request.window.from.get(), request.window.until.get());
        if request.person != person || from >= until || (glass && person == "bert") {
            return false;
        }
        let may = |who: &str| {
            if person == "two-x" { who.starts_with("lead") } else { who.starts_with("lead") || who == "anna" }
        };
        let about = |v: &&&Verified| match &v.document.statement {
            Statement::Approval(a) | Statement::Rejection(a) | Statement::Revocation(a) => {
                a.request == asked.document.id
            }
            Statement::Extension(e) => e.request == asked.document.id,
            _ => false,
        };
        let answers: Vec<&&Verified> = arrived.iter().filter(about).collect();
        let no = |v: &&&Verified| {
            matches!(v.document.statement, Statement::Rejection(_) | Statement::Revocation(_))
        };
        if answers.iter().filter(|v| no(v)).any(|v| may(&v.principal) || v.principal == person) {
            return false;
        }
        let others = answers.iter().filter(|v| v.principal != person && may(&v.principal));
        let (mut yes, mut more) = (std::collections::BTreeSet::new(), Vec::new());
        for v in others {
            match &v.document.statement {
                Statement::Approval(_) => drop(yes.insert(&v.principal)),
                Statement::Extension(e) => more.push((v.received.max(asked.received).get(), e.until.get())),
                _ => {}
            }
        }
        more.sort_unstable();
        for (received, longer) in more {
            if received < until {
                until = until.max(longer.min(from + MINUTE));
            }
        }
        let enough = glass || brought || yes.len() >= if person == "two-x" { 2 } else { 1 };
        enough && (from..until).contains(&now)
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(all in documents(5), replay in 0usize..5, later in 1u64..9) {
        let expected = book(all.clone());
        for mut order in permutations(&all) {
            if let Some(one) = order.get(replay).cloned() {
                order.push(Verified { received: real(one.received.get() + later), ..one });
            }
            prop_assert_eq!(&book(order), &expected);
        }
    }

    #[test]
    fn a_later_receipt_first_makes_no_difference(all in documents(6), later in 1u64..9) {
        let late = all.iter().cloned().map(|v| Verified { received: real(v.received.get() + later), ..v });
        prop_assert_eq!(book(late.chain(all.clone())), book(all));
    }

    #[test]
    fn it_allows_what_the_page_says(all in documents(9), who in who(5)) {
        let book = book(all.clone());
        let work = work(who, 0, &[(1, 0, 1, false)]);
        for now in 0..END + 25 {
            let allowed = coverage_now(&book, &work, &clock(), at(now)).grant().is_some();
            prop_assert_eq!(allowed, naively_allowed(&all, PEOPLE[who], now), "at {}", now);
        }
    }

    #[test]
    fn a_document_changes_nothing_before_its_receipt(all in documents(8), who in who(5), needs in needs()) {
        let Some((last, earlier)) = all.split_last() else { return Ok(()) };
        let work = work(who, 0, &needs);
        let (before, after) = (book(earlier.to_vec()), book(all.clone()));
        let known = last.received.get();
        prop_assert_eq!(
            timeline(&before, &work, &clock(), at(known)),
            timeline(&after, &work, &clock(), at(known))
        );
    }

    #[test]
    fn what_is_kept_is_what_would_be_judged(all in documents(9), who in who(6), needs in needs()) {
        let mut book = book(Vec::new());
        let mut standing = Standing::default();
        let mut work = work(who, 0, &[]);
        for now in 0..END + 25 {
            for document in all.iter().filter(|document| document.received.get() == now) {
                book.insert(document.clone());
            }
            for (pid, from, long, passes) in &needs {
                let task = TaskId { pid: *pid, start: at(1) };
                let program = ["/usr/bin/bash", "/usr/bin/id"][usize::from(*pid == 2)];
                if *from == now {
                    work.wants(task, at(now), (!passes).then(|| root(program)));
                } else if from + long == now {
                    work.ended(task, at(now));
                }
            }
            // An event of another processor may be a little older than the last look.
            for looked in [now, now.saturating_sub(1), now] {
                let (kept, judged) = (
                    standing.coverage(&book, &work, &clock(), at(looked)),
                    coverage_now(&book, &work, &clock(), at(looked)),
                );
                prop_assert_eq!(kept, judged, "at {}", looked);
            }
        }
    }

    #[test]
    fn every_instant_has_exactly_one_coverage(
        all in documents(9), who in who(6), start in 0u64..END, length in 0u64..50, needs in needs(),
    ) {
        let (book, mut work) = (book(all), work(who, start, &needs));
        work.close(at(start + length));
        let told = timeline(&book, &work, &clock(), at(200));
        let mut expected = start;
        for stretch in &told {
            prop_assert_eq!(stretch.from.get(), expected);
            prop_assert!(stretch.from < stretch.until);
            expected = stretch.until.get();
        }
        prop_assert_eq!(expected, start + length);
        prop_assert!(told.windows(2).all(|two| two[0].coverage != two[1].coverage));
        for stretch in &told {
            for now in stretch.from.get()..stretch.until.get() {
                let live = work.needs().filter(|n| n.from.get() <= now && n.until.is_none_or(|u| now < u.get()));
                let live: Vec<&Wanted> = live.map(|need| &need.wanted).collect();
                let of = |needs: &[&Wanted]| {
                    super::super::coverage(&book, work.person(), needs.iter().copied(), real(now))
                };
                prop_assert_eq!(of(&live), stretch.coverage, "at {}", now);
                if !live.is_empty() {
                    let all = live.iter().all(|need| of(&[need]).grant().is_some());
                    prop_assert_eq!(stretch.coverage.grant().is_some(), all, "at {}", now);
                }
            }
        }
    }

    #[test]
    fn nothing_changes_until_the_next_change(all in documents(9), who in who(5), now in 0u64..END) {
        let (book, work) = (book(all), work(who, 0, &[(1, 0, 1, false)]));
        let next = next_change(&book, PEOPLE[who], &clock(), at(now)).map_or(END + 30, BootNanos::get);
        let first = coverage_now(&book, &work, &clock(), at(now));
        for later in now..next {
            prop_assert_eq!(coverage_now(&book, &work, &clock(), at(later)), first);
        }
    }

    #[test]
    fn h7_steps_of_the_wall_clock_open_no_window(
        all in documents(9), who in who(5),
        steps in prop::collection::vec((0u64..60, 0u64..200), 0..8),
    ) {
        let (book, work) = (book(all), work(who, 0, &[(1, 0, 1, false)]));
        let mut moved = clock();
        for (boot, wall) in steps {
            moved.observe(ClockPair { boot: at(boot), real: real(wall) }, Trust::Untrusted);
        }
        prop_assert_eq!(timeline(&book, &work, &moved, at(80)), timeline(&book, &work, &clock(), at(80)));
    }

    #[test]
    fn h7_not_even_trusted_steps_give_more_than_the_window(
        all in documents(9), who in who(5),
        steps in prop::collection::vec((0u64..60, 0u64..200, any::<bool>()), 0..8),
    ) {
        let (book, work) = (book(all), work(who, 0, &[(1, 0, 1, false)]));
        let mut moved = clock();
        for (boot, wall, trusted) in steps {
            let trust = if trusted { Trust::Trusted } else { Trust::Untrusted };
            moved.observe(ClockPair { boot: at(boot), real: real(wall) }, trust);
        }
        let told = timeline(&book, &work, &moved, at(80));
        for grant in book.grants() {
            let stretches: Vec<_> = told.iter().filter(|s| s.coverage.grant() == Some(grant.id)).collect();
            let sum: u64 = stretches.iter().map(|s| s.until.since(s.from)).sum();
            let window = grant.effective().map_or(0, |w| w.until.get() - w.from.get());
            prop_assert!(sum <= window, "{} ns of {}", sum, window);
            for stretch in stretches {
                let (first, last) = (moved.real(stretch.from), moved.real(at(stretch.until.get() - 1)));
                let window = grant.effective().unwrap();
                prop_assert!(window.from <= first && last < window.until);
            }
        }
    }

    #[test]
    fn nobody_is_never_covered(all in documents(9), needs in needs()) {
        let nobody = Coverage::Uncovered { reason: Uncovered::Unattributed };
        let told = timeline(&book(all), &work(PEOPLE.len(), 0, &needs), &clock(), at(END));
        prop_assert!(told.iter().all(|s| s.coverage == nobody));
    }
}
