//! Session x grants -> coverage: pure, total, the same for every order of arrival.
//!
//! An instant is judged by what had been received up to it: an approval that comes in the middle of work says nothing
//! about what was done before. So what was said live and what is computed years later from the journal agree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Book, Clock, Grant, Need, Wanted, Work};
use crate::model::{BootNanos, Coverage, Digest, RealNanos, TaskId, Uncovered};

/// A stretch with one coverage: from the first instant to the one before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first instant.
    pub from: BootNanos,
    /// The first one behind it.
    pub until: BootNanos,
    /// What holds in it.
    pub coverage: Coverage,
}

/// A process that was started under a grant and outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The process.
    pub task: TaskId,
    /// The last grant that covered it.
    pub grant: Digest,
    /// Since when nothing covers it.
    pub since: BootNanos,
    /// Why: `late`, or `revoked` if the grant was.
    pub reason: Uncovered,
}

/// How good a coverage is; less is better. Of equally good grants the one that began first, then the smaller id: a later
/// document can't change which one it was.
pub(super) type Choice = (u8, RealNanos, Digest);

pub(super) fn chosen((rank, _, grant): Choice) -> Coverage {
    match rank {
        0 => Coverage::Covered { grant },
        1 => Coverage::BreakGlass { grant },
        _ => Coverage::Uncovered { reason: reason(rank) },
    }
}

/// Reasons by nearness: the better the rank, the nearer a grant was.
const REASONS: [Uncovered; 7] = [
    Uncovered::Revoked,
    Uncovered::Late,
    Uncovered::Early,
    Uncovered::WrongPrivilege,
    Uncovered::WrongHost,
    Uncovered::NoGrant,
    Uncovered::Unattributed,
];

fn reason(rank: u8) -> Uncovered {
    REASONS.get(usize::from(rank.saturating_sub(2))).copied().unwrap_or(Uncovered::Unattributed)
}

pub(super) fn missed(reason: Uncovered) -> Choice {
    let nearness = REASONS.iter().position(|r| *r == reason).unwrap_or(REASONS.len());
    (u8::try_from(nearness).unwrap_or(u8::MAX).saturating_add(2), RealNanos::new(0), Digest::default())
}

/// What one grant says about one need; `None`: it did not exist at that time. Of several faults the one that is furthest
/// from a cover counts: host, then privilege, then time.
pub(super) fn judge(grant: &Grant, wanted: Option<&Wanted>, now: RealNanos) -> Option<Choice> {
    grant.opened.filter(|opened| *opened <= now)?;
    Some(if !grant.here {
        missed(Uncovered::WrongHost)
    } else if wanted.is_some_and(|wanted| !grant.request.privileges.iter().any(|p| p.allows(wanted))) {
        missed(Uncovered::WrongPrivilege)
    } else if grant.is_closed_at(now) {
        missed(Uncovered::Revoked)
    } else if now >= grant.until {
        missed(Uncovered::Late)
    } else if now < grant.request.window.from {
        missed(Uncovered::Early)
    } else {
        (u8::from(grant.break_glass), grant.start()?, grant.id)
    })
}

/// The best for one need, then the worst of all needs: a session is covered if everything in it is. While nothing in it
/// needs anything (sudo asks for the password), any grant of the person for this host and time will do.
fn choose<'a>(grants: &[&Grant], wanted: impl Iterator<Item = &'a Wanted>, now: RealNanos) -> Choice {
    let best = |wanted: Option<&Wanted>| {
        let judged = grants.iter().filter_map(|grant| judge(grant, wanted, now));
        judged.min().unwrap_or_else(|| missed(Uncovered::NoGrant))
    };
    wanted.map(|wanted| best(Some(wanted))).max().unwrap_or_else(|| best(None))
}

/// The coverage of what a person needs at one moment of trusted time.
pub fn coverage<'a>(
    book: &Book,
    person: Option<&str>,
    wanted: impl Iterator<Item = &'a Wanted>,
    now: RealNanos,
) -> Coverage {
    let Some(person) = person else { return Coverage::Uncovered { reason: Uncovered::Unattributed } };
    let grants: Vec<&Grant> = book.grants_of(person).collect();
    chosen(choose(&grants, wanted, now))
}

/// The coverage of a session's living processes at one instant.
pub fn coverage_now(book: &Book, work: &Work, clock: &Clock, now: BootNanos) -> Coverage {
    coverage(book, work.person(), work.live().map(|need| &need.wanted), clock.real(now))
}

/// The coverage of a whole session, up to its end or to now: without gaps and overlaps, neighbours differ. Empty if the
/// session has no instant.
pub fn timeline(book: &Book, work: &Work, clock: &Clock, now: BootNanos) -> Vec<Stretch> {
    let needs: Vec<&Need> = work.needs().collect();
    let until = work.end().map_or(now, |end| end.min(now));
    stretches(book, work.person(), &needs, clock, work.start(), until)
}

/// The next instant at which the coverage of a person's work may change by time alone; `None`: never. Until then it only
/// changes with a document, a process or an anchor.
pub fn next_change(book: &Book, person: &str, clock: &Clock, now: BootNanos) -> Option<BootNanos> {
    book.grants_of(person).flat_map(|grant| borders(grant, clock)).filter(|at| *at > now).min()
}

/// The living processes of a session that were started under a grant, outlive it, and are under no other one.
pub fn overdue(book: &Book, work: &Work, clock: &Clock, now: BootNanos) -> Vec<Overdue> {
    let over = |need: &Need| {
        let behind = now.get().checked_add(1).map(BootNanos::new)?;
        let life = stretches(book, work.person(), &[need], clock, need.from, behind);
        life.first()?.coverage.grant()?;
        let Coverage::Uncovered { .. } = life.last()?.coverage else { return None };
        let at = life.iter().rposition(|stretch| stretch.coverage.grant().is_some())?;
        let (covered, after) = (life.get(at)?, life.get(at.checked_add(1)?)?);
        let grant = covered.coverage.grant()?;
        let revoked = book.grant(&grant).is_some_and(|g| g.is_closed_at(clock.real(after.from)));
        let reason = if revoked { Uncovered::Revoked } else { Uncovered::Late };
        Some(Overdue { task: need.task, grant, since: after.from, reason })
    };
    work.live().filter_map(over).collect()
}

/// The instants at which what a grant says changes.
fn borders(grant: &Grant, clock: &Clock) -> impl Iterator<Item = BootNanos> {
    let times = [
        grant.opened,
        grant.opened.map(|_| grant.request.window.from),
        grant.opened.map(|_| grant.until),
        grant.opened.and(grant.closed.as_ref().map(|closed| closed.at)),
    ];
    times.map(|time| time.map(|time| clock.boot(time))).into_iter().flatten()
}

/// Between two neighbouring borders nothing changes, so each piece is judged by its first instant.
fn stretches(
    book: &Book,
    person: Option<&str>,
    needs: &[&Need],
    clock: &Clock,
    start: BootNanos,
    end: BootNanos,
) -> Vec<Stretch> {
    let grants: Vec<&Grant> = person.map(|person| book.grants_of(person).collect()).unwrap_or_default();
    let mut begins: BTreeMap<BootNanos, Vec<&Wanted>> = BTreeMap::new();
    let mut stops: BTreeMap<BootNanos, Vec<&Wanted>> = BTreeMap::new();
    for need in needs {
        let until = need.until.unwrap_or(end).min(end);
        let from = need.from.max(start);
        if from < until {
            begins.entry(from).or_default().push(&need.wanted);
            stops.entry(until).or_default().push(&need.wanted);
        }
    }
    let mut cuts: BTreeSet<BootNanos> = begins.keys().chain(stops.keys()).copied().collect();
    cuts.extend(grants.iter().flat_map(|grant| borders(grant, clock)));
    cuts.insert(start);
    let mut cuts = cuts.range(start..).copied().take_while(|cut| *cut < end).peekable();

    let mut live: BTreeMap<&Wanted, usize> = BTreeMap::new();
    let mut out: Vec<Stretch> = Vec::new();
    while let Some(from) = cuts.next() {
        for wanted in begins.get(&from).into_iter().flatten() {
            *live.entry(wanted).or_default() += 1;
        }
        for wanted in stops.get(&from).into_iter().flatten() {
            let left = live.get(wanted).map_or(0, |n| n.saturating_sub(1));
            if left == 0 {
                live.remove(wanted);
            } else {
                live.insert(wanted, left);
            }
        }
        let until = cuts.peek().copied().unwrap_or(end);
        let coverage = match person {
            None => Coverage::Uncovered { reason: Uncovered::Unattributed },
            Some(_) => chosen(choose(&grants, live.keys().copied(), clock.real(from))),
        };
        match out.last_mut() {
            Some(last) if last.coverage == coverage => last.until = until,
            _ => out.push(Stretch { from, until, coverage }),
        }
    }
    out
}
