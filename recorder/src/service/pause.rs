//! `flood = "pause"`: a session that fills the kernel's ring faster than the journal takes it is stopped for moments instead of
//! losing records (SIGSTOP and SIGCONT). Reached is what bears the mark of such a session, and the shells of the same person in the
//! same session of job control that wait for it: they would take the terminal back if they saw it stopped. docs/sessions.md, Bulk data.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::sweep;
use crate::{
    capture::{Marks, Waiting},
    config::{Config, FloodKey},
    model::{
        Body, BootNanos, Bytes, Captured, ClockPair, Coverage, Enforcement, EnforcementAct, Flags, Mark,
        Record, TaskId, Uncovered,
    },
    session::Tracked,
    sys::{bpf, process},
};

/// Stopped from a quarter of the ring on, continued below a sixteenth.
const FULL: usize = 4;
const FREE: usize = 16;
/// Who made less than this part of what came of late is not what fills it.
const PART: usize = 8;
/// Nor who made less than what would fill it with so many bytes each, or so many acts: of three that came somebody made a third.
const EACH: usize = 256;
const ENOUGH: usize = 1024;
/// Of late: what is older by this counts half.
const HALF: Duration = Duration::from_millis(100);
/// A flood is over when nothing was stopped for so long; then it is told how often that was.
const QUIET: Duration = Duration::from_secs(2);
/// One that lasts is told so often.
const TELL: Duration = Duration::from_secs(10);
/// Nobody stays stopped for longer, whatever the ring says: a recorder that is stuck holds nobody up.
const LONGEST: Duration = Duration::from_secs(2);
/// Looks for children that were made while it was stopped.
const ROUNDS: usize = 3;
/// So long all of them together may take to stop; one that sleeps in the kernel does not. The pump waits meanwhile.
const TO_STOP: Duration = Duration::from_millis(200);
/// Between looks at it.
const LOOK: Duration = Duration::from_micros(200);
const NAME: &str = "stopped";

/// A process that can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: TaskId,
    pub(super) parent: u32,
    /// Somebody else stopped it.
    pub(super) is_stopped: bool,
    /// A debugger would be told, and show it.
    pub(super) is_traced: bool,
}

/// How a session's processes are reached. One real, one in tests.
pub(super) trait Reach {
    /// All of a session, and the shells of the same person that wait for it.
    fn candidates(&self, mark: Mark) -> Vec<Candidate>;
    /// True if it was reached.
    fn signal(&self, id: TaskId, signal: Signal) -> bool;
    /// True if a STOP has taken effect.
    fn has_stopped(&self, id: TaskId) -> bool;
}

impl Reach for Marks {
    fn candidates(&self, mark: Mark) -> Vec<Candidate> {
        let own = std::process::id();
        let mut found: HashMap<u32, Candidate> = HashMap::new();
        for (seen, _) in sweep::members(self, mark) {
            let mut below = (seen.id.pid, None);
            // Up to where another session of job control begins: there sshd or a terminal waits, and does not mind. Above what
            // is no person's stand daemons, and this recorder may have been started by hand in a session.
            while let Some(job) = process::job(below.0)
                .filter(|job| job.id.pid != own && below.1.is_none_or(|of| of == job.owner()))
            {
                let one = Candidate {
                    id: job.id,
                    parent: job.parent,
                    is_stopped: job.is_stopped,
                    is_traced: process::is_traced(job.id.pid),
                };
                if found.insert(below.0, one).is_some() || job.parent <= 1 || !job.is_of_a_person() {
                    break;
                }
                below = (job.parent, Some(job.owner()));
            }
        }
        found.into_values().collect()
    }

    fn signal(&self, id: TaskId, signal: Signal) -> bool {
        let process = bpf::open_process(id.pid).ok().filter(|_| process::is_alive(id));
        process.is_some_and(|process| sweep::send(&process, signal))
    }

    fn has_stopped(&self, id: TaskId) -> bool {
        process::job(id.pid).is_none_or(|job| job.id != id || job.is_stopped)
    }
}

/// A session that floods.
#[derive(Debug)]
struct Flood {
    /// Who is stopped, parents first.
    stopped: Vec<TaskId>,
    since: Instant,
    /// Since the last record: how often, how long, and how many processes at most.
    times: u32,
    total: Duration,
    most: usize,
    told: Instant,
    last: Instant,
    /// It was stopped for as long as may be: not again before there is room.
    is_spent: bool,
}

impl Flood {
    const fn new(now: Instant) -> Self {
        Self {
            stopped: Vec::new(),
            since: now,
            times: 0,
            total: Duration::ZERO,
            most: 0,
            told: now,
            last: now,
            is_spent: false,
        }
    }
}

/// Stops and continues.
pub(super) struct Pause {
    reach: Box<dyn Reach + Send>,
    file: PathBuf,
    /// Of open sessions.
    coverage: HashMap<Mark, Coverage>,
    floods: BTreeMap<Mark, Flood>,
    makers: Makers,
    /// What was done and is not told yet.
    acts: Vec<Tracked>,
}

impl Pause {
    /// `None` if floods lose.
    pub(super) fn new(config: &Config, marks: Marks) -> Option<Self> {
        (config.flood == FloodKey::Pause).then(|| Self::with(Box::new(marks), file_of(config)))
    }

    fn with(reach: Box<dyn Reach + Send>, file: PathBuf) -> Self {
        let (coverage, floods) = (HashMap::new(), BTreeMap::new());
        Self { reach, file, coverage, floods, makers: Makers::default(), acts: Vec::new() }
    }

    /// Sees what happened. What is not told yet of a session that ends is told before its end.
    pub(super) fn see(&mut self, tracked: &mut Vec<Tracked>, (at, now): (ClockPair, Instant)) {
        let mut ended = Vec::new();
        for (n, item) in tracked.iter().enumerate() {
            match item {
                Tracked::Event { mark, record } => match &record.body {
                    Body::Coverage(change) => {
                        self.coverage.insert(*mark, change.coverage);
                    }
                    Body::SessionEnd(_) if self.floods.contains_key(mark) => ended.push((n, *mark)),
                    _ => {}
                },
                Tracked::Closed { mark, .. } => {
                    self.coverage.remove(mark);
                }
                _ => {}
            }
        }
        for (n, mark) in ended.into_iter().rev() {
            self.go_on(|whose, _| whose == mark, now);
            let flood = self.floods.remove(&mark).filter(|flood| flood.times > 0);
            if let Some(flood) = flood {
                tracked.insert(n, act(mark, self.coverage.get(&mark), resumed(&flood), at.boot));
            }
        }
    }

    /// Looks at what waits, and who made what came just now; gives what was done since the last step.
    pub(super) fn step(
        &mut self,
        waiting: Waiting,
        came: &[Captured],
        (at, now): (ClockPair, Instant),
    ) -> Vec<Tracked> {
        self.makers.see(came, now);
        self.press(waiting, (at, now));
        self.tell(at, now);
        std::mem::take(&mut self.acts)
    }

    /// Looks at what waits while nothing is taken.
    pub(super) fn press(&mut self, waiting: Waiting, (at, now): (ClockPair, Instant)) {
        if waiting.bytes > waiting.room / FULL {
            for mark in self.makers.of(waiting.room) {
                self.stop(mark, (at, now));
            }
        } else if waiting.bytes < waiting.room / FREE {
            self.floods.values_mut().for_each(|flood| flood.is_spent = false);
            self.go_on(|_, _| true, now);
        }
        self.go_on(
            |_, flood| {
                let is_long = now.saturating_duration_since(flood.since) >= LONGEST;
                flood.is_spent |= is_long;
                is_long
            },
            now,
        );
    }

    /// The recorder stops: all go on.
    pub(super) fn end(&mut self, at: ClockPair, now: Instant) -> Vec<Tracked> {
        self.go_on(|_, _| true, now);
        let told = std::mem::take(&mut self.floods).into_iter().filter(|(_, flood)| flood.times > 0);
        told.map(|(mark, flood)| act(mark, self.coverage.get(&mark), resumed(&flood), at.boot)).collect()
    }

    fn stop(&mut self, mark: Mark, (at, now): (ClockPair, Instant)) {
        if self.floods.get(&mark).is_some_and(|flood| !flood.stopped.is_empty() || flood.is_spent) {
            return;
        }
        let mut stopped: Vec<TaskId> = Vec::new();
        let mut is_complete = true;
        let end = Instant::now() + TO_STOP;
        for _ in 0..ROUNDS {
            let known: HashSet<TaskId> = stopped.iter().copied().collect();
            let mut more = in_order(&self.reach.candidates(mark));
            more.retain(|one| !known.contains(&one.id));
            if more.is_empty() {
                break;
            }
            // Before the first one: who is killed in between leaves nobody stopped for good.
            let others = self.floods.values().flat_map(|flood| &flood.stopped);
            self.write(more.iter().map(|one| &one.id).chain(&stopped).chain(others));
            is_complete = self.stop_all(&more, &mut stopped, end);
            if !is_complete {
                break;
            }
        }
        if stopped.is_empty() {
            self.write(self.floods.values().flat_map(|flood| &flood.stopped));
            // It is gone, or traced: it is not looked for again before there is room.
            tracing::debug!(session = mark.get(), "nobody of a session that floods can be stopped");
            self.floods.entry(mark).or_insert_with(|| Flood::new(now)).is_spent = true;
            return;
        }
        let count = stopped.len();
        if self.floods.get(&mark).is_none_or(|flood| flood.most == 0) {
            let done = (EnforcementAct::Paused, count, "the journal can't keep up".to_owned());
            self.acts.push(act(mark, self.coverage.get(&mark), done, at.boot));
        }
        let flood = self.floods.entry(mark).or_insert_with(|| Flood::new(now));
        (flood.stopped, flood.since, flood.last) = (stopped, now, now);
        flood.times = flood.times.saturating_add(1);
        flood.most = flood.most.max(count);
        if !is_complete {
            // It can't be held up now without somebody noticing.
            flood.is_spent = true;
            self.go_on(|whose, _| whose == mark, now);
        }
    }

    /// Parents before their children, and not before they have stopped: a STOP takes effect when a process gets a processor, and a shell
    /// that sees its child stopped in between takes the terminal back. False if one does not stop.
    fn stop_all(&self, all: &[Ordered], stopped: &mut Vec<TaskId>, end: Instant) -> bool {
        for level in all.chunk_by(|one, next| one.depth == next.depth) {
            let reached: Vec<&Ordered> =
                level.iter().filter(|one| self.reach.signal(one.id, Signal::STOP)).collect();
            stopped.extend(reached.iter().map(|one| one.id));
            for parent in reached.iter().filter(|one| one.is_parent) {
                while !self.reach.has_stopped(parent.id) {
                    if Instant::now() >= end {
                        return false;
                    }
                    thread::sleep(LOOK);
                }
            }
        }
        true
    }

    fn go_on(&mut self, which: impl Fn(Mark, &mut Flood) -> bool, now: Instant) {
        let mut any = false;
        for (mark, flood) in &mut self.floods {
            if flood.stopped.is_empty() || !which(*mark, flood) {
                continue;
            }
            // Children first: a shell that waits for them must not see that they were stopped.
            for id in std::mem::take(&mut flood.stopped).into_iter().rev() {
                self.reach.signal(id, Signal::CONT);
            }
            flood.total = flood.total.saturating_add(now.saturating_duration_since(flood.since));
            flood.last = now;
            any = true;
        }
        if any {
            let left: Vec<TaskId> = self.floods.values().flat_map(|flood| flood.stopped.clone()).collect();
            self.write(left.iter());
        }
    }

    fn tell(&mut self, at: ClockPair, now: Instant) {
        self.floods.retain(|mark, flood| {
            let is_over = flood.stopped.is_empty() && now.saturating_duration_since(flood.last) >= QUIET;
            if flood.times > 0 && (is_over || now.saturating_duration_since(flood.told) >= TELL) {
                self.acts.push(act(*mark, self.coverage.get(mark), resumed(flood), at.boot));
                (flood.times, flood.total, flood.told) = (0, Duration::ZERO, now);
            }
            !is_over || flood.is_spent
        });
    }

    /// Who is stopped, for the next run.
    fn write<'a>(&self, stopped: impl Iterator<Item = &'a TaskId>) {
        let stopped: Vec<Written> =
            stopped.map(|id| Written { pid: id.pid, start: id.start.get() }).collect();
        let result = if stopped.is_empty() {
            fs::remove_file(&self.file)
        } else {
            let new = self.file.with_extension("new");
            let text = serde_json::to_vec(&stopped).unwrap_or_default();
            fs::write(&new, text).and_then(|()| fs::rename(&new, &self.file))
        };
        if let Err(error) =
            result.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        {
            tracing::warn!(%error, "who is stopped can't be written down");
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // Whatever ended the pump.
        self.go_on(|_, _| true, Instant::now());
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    pid: u32,
    start: u64,
}

fn file_of(config: &Config) -> PathBuf {
    config.socket.parent().unwrap_or_else(|| Path::new("/")).join(NAME)
}

/// What an earlier run had stopped when it was ended goes on, before anything else that may fail or take long.
pub(super) fn relent_all(config: &Config) {
    relent(&file_of(config));
}

fn relent(file: &Path) {
    let Ok(text) = fs::read(file) else { return };
    for one in serde_json::from_slice::<Vec<Written>>(&text).unwrap_or_default().iter().rev() {
        let id = TaskId { pid: one.pid, start: BootNanos::new(one.start) };
        let process = bpf::open_process(id.pid).ok().filter(|_| process::is_alive(id));
        let _ = process.is_some_and(|process| sweep::send(&process, Signal::CONT));
    }
    let _ = fs::remove_file(file);
}

/// Who made what came of late.
#[derive(Debug, Default)]
struct Makers {
    counts: HashMap<Mark, usize>,
    all: usize,
    halved: Option<Instant>,
}

impl Makers {
    fn see(&mut self, came: &[Captured], now: Instant) {
        let since = now.saturating_duration_since(*self.halved.get_or_insert(now));
        if since >= HALF {
            let times = u32::try_from(since.as_millis() / HALF.as_millis()).unwrap_or(u32::MAX);
            let halved = |count: usize| count.checked_shr(times).unwrap_or(0);
            self.counts.values_mut().for_each(|count| *count = halved(*count));
            self.counts.retain(|_, count| *count > 0);
            (self.all, self.halved) = (halved(self.all), Some(now));
        }
        self.all = self.all.saturating_add(came.len());
        for item in came {
            if let Captured::Event(event) = item
                && event.mark.get() != 0
            {
                let count = self.counts.entry(event.mark).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// Who fills a ring of so many bytes.
    fn of(&self, room: usize) -> Vec<Mark> {
        let enough = (room / FULL / EACH).min(ENOUGH);
        let much = |count: usize| count >= enough && count.saturating_mul(PART) >= self.all;
        self.counts.iter().filter(|(_, count)| much(**count)).map(|(mark, _)| *mark).collect()
    }
}

/// Who is to be stopped, in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered {
    /// Parents above it.
    depth: usize,
    id: TaskId,
    /// Others are below it.
    is_parent: bool,
}

/// Who is to be stopped, parents first. Not who is traced, nor what is below: he would see it stopped.
fn in_order(candidates: &[Candidate]) -> Vec<Ordered> {
    let parents: HashMap<u32, u32> = candidates.iter().map(|one| (one.id.pid, one.parent)).collect();
    let traced: HashSet<u32> = candidates.iter().filter(|one| one.is_traced).map(|one| one.id.pid).collect();
    let with_children: HashSet<u32> = candidates.iter().map(|one| one.parent).collect();
    let depth = |mut pid: u32| {
        let mut depth = 0usize;
        while let Some(parent) = parents.get(&pid).filter(|_| depth <= parents.len()) {
            if traced.contains(&pid) {
                return None;
            }
            (depth, pid) = (depth + 1, *parent);
        }
        Some(depth)
    };
    let free = candidates.iter().filter(|one| !one.is_stopped);
    let place = |one: &Candidate| {
        let is_parent = with_children.contains(&one.id.pid);
        Some(Ordered { depth: depth(one.id.pid)?, id: one.id, is_parent })
    };
    let mut order: Vec<Ordered> = free.filter_map(place).collect();
    order.sort_unstable();
    order.dedup();
    order
}

fn resumed(flood: &Flood) -> (EnforcementAct, usize, String) {
    let text = format!("stopped {} times, {} ms in all", flood.times, flood.total.as_millis());
    (EnforcementAct::Resumed, flood.most, text)
}

fn act(
    mark: Mark,
    coverage: Option<&Coverage>,
    (act, count, text): (EnforcementAct, usize, String),
    boot_ns: BootNanos,
) -> Tracked {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let coverage = coverage.copied().unwrap_or(Coverage::Uncovered { reason: Uncovered::Unknown(0) });
    let body =
        Enforcement { act, coverage, task: TaskId::default(), count, text: Bytes::from(text.into_bytes()) };
    let body = Body::Enforcement(Box::new(body));
    Tracked::Event {
        mark,
        record: Record { boot_ns, cpu: u16::MAX, flags: Flags::default(), task: None, body },
    }
}

#[cfg(test)]
mod tests;
