//! Attempts on the recorder itself, as records of the log: the first of a kind at once, with who it was; counts of what is repeated
//! follow (docs/guard.md).

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{
    alarm,
    heirs::{self, Taken},
    held,
};
use crate::{
    capture::{Capture, GuardMode, GuardPlaces, Marks, task_of},
    config::{Config, GuardKey},
    model::{
        Act, Body, BootNanos, Captured, Flags, Guard, GuardAct, GuardObject, KernelEvent, Lived, Mark,
        Record, SessionId, Task, TaskId,
    },
    sys::{
        clock,
        process::{self, Process},
    },
};

/// Between looks at the kernel's counts; at the stop they are read in any case.
const COUNT: Duration = Duration::from_secs(10);
/// Lines for journald between two of these looks; the rest is a number.
const LINES: u64 = 64;
/// Attempts whose counts are compared; the kernel side keeps no more apart.
const MOST: usize = 16 * 1024;

/// What the configuration asks for.
pub(super) const fn mode(config: &Config) -> GuardMode {
    match config.guard {
        GuardKey::Off => GuardMode::Off,
        GuardKey::Record => GuardMode::Record,
        GuardKey::Enforce => GuardMode::Enforce,
    }
}

/// What is to be guarded.
pub(super) fn places(config: &Config) -> GuardPlaces {
    let dirs = std::iter::once(&config.journal_dir).chain(&config.spare_dir);
    GuardPlaces { journal: dirs.cloned().collect(), config: config.path.as_deref().map(Path::to_owned) }
}

/// True if somebody looks after the recorder itself, as far as that is known before the journal is open.
pub(super) fn is_there(config: &Config, capture: &Capture) -> bool {
    absence(config, capture).is_none()
}

/// What the boot record says where nobody looks after the recorder itself.
pub(super) fn absence(config: &Config, capture: &Capture) -> Option<String> {
    if config.guard == GuardKey::Off {
        return Some("guard: switched off".to_owned());
    }
    capture.no_guard().map(|why| format!("guard: there is none: {why}"))
}

/// A kind of attempt of one process.
type Key = (TaskId, GuardAct, GuardObject, u32, u8);

/// Which map it was is told once, and not counted.
fn key(guard: &Guard) -> Key {
    let detail = if guard.object == GuardObject::Map { 0 } else { guard.detail };
    (guard.by, guard.act, guard.object, detail, guard.denied)
}

/// What was there before this run looked.
pub(super) struct Earlier {
    /// Whose doing it is, if he still lives.
    pub(super) by: Option<Arc<Task>>,
    /// His session now.
    mark: Mark,
    /// With the session that he was in then, if that is known.
    pub(super) guard: Guard,
}

impl Earlier {
    pub(super) fn of(by: &Process, marks: Option<&Marks>, guard: Guard) -> Self {
        let mark = marks.and_then(|marks| marks.session_of(by.id.pid).ok()?).unwrap_or_default();
        Self { by: Some(Arc::new(task_of(by))), mark, guard }
    }

    pub(super) fn nobodys(guard: Guard) -> Self {
        Self { by: None, mark: Mark::default(), guard }
    }
}

/// What was told of it.
struct Told {
    count: u64,
    last: BootNanos,
    task: Option<Arc<Task>>,
    session: SessionId,
    guard: Guard,
}

/// What was tried, and how much of it was told.
pub(super) struct Watch {
    fresh: Vec<KernelEvent>,
    /// Told as it is: what an earlier guard counted is no beginning of our counts.
    earlier: Vec<Earlier>,
    /// By which systemd knows those counts, until they are on record.
    counts: Vec<String>,
    /// Who held what before, as it is found.
    held: Option<mpsc::Receiver<Earlier>>,
    told: HashMap<Key, Told>,
    /// Who is gone, and when that was seen: of these nothing more comes.
    gone: HashMap<TaskId, BootNanos>,
    counted: Instant,
    /// What was tried until then was told.
    told_until: Option<BootNanos>,
    /// And is on disk.
    on_disk: Option<BootNanos>,
    lines: u64,
}

impl Watch {
    /// Looks from now on, and for what was held before; tells what a guard before counted and its recorder had not on disk.
    pub(super) fn start(config: &Config, capture: &Capture, taken: Taken, lived: &[Lived]) -> Self {
        let marks = capture.marks().ok();
        let mut watch = Self::new(Instant::now());
        let found = taken.attempts.into_iter().map(|(guard, mark)| {
            let session =
                lived.iter().find(|lived| lived.mark == mark).map_or(SessionId::NOBODY, |lived| lived.id);
            let guard = Guard { session, ..guard };
            let by = process::read(guard.by.pid).filter(|by| by.id == process::in_ticks(guard.by));
            by.map_or_else(
                || Earlier::nobodys(guard.clone()),
                |by| Earlier::of(&by, marks.as_ref(), guard.clone()),
            )
        });
        watch.earlier = found.collect();
        watch.counts = taken.counts;
        let look = || held::look(places(config), marks);
        watch.held = (config.guard != GuardKey::Off).then(look);
        watch
    }

    fn new(now: Instant) -> Self {
        let (fresh, earlier, counts) = (Vec::new(), Vec::new(), Vec::new());
        let (told, gone) = (HashMap::new(), HashMap::new());
        let (told_until, on_disk) = (None, None);
        Self { fresh, earlier, counts, held: None, told, gone, counted: now, told_until, on_disk, lines: 0 }
    }

    /// Takes what concerns it out of what came: it is no session's act.
    pub(super) fn pick(&mut self, captured: &mut Vec<Captured>) {
        let is = |item: &mut Captured| matches!(item, Captured::Event(event) if matches!(event.act, Act::Guard(_)));
        for item in captured.extract_if(.., is) {
            if let Captured::Event(event) = item {
                self.fresh.push(*event);
            }
        }
        self.earlier.extend(self.held.iter().flat_map(mpsc::Receiver::try_iter));
    }

    /// True if the kernel's counts are to be read.
    pub(super) fn is_due(&self, now: Instant, last: bool) -> bool {
        last || now.saturating_duration_since(self.counted) >= COUNT
    }

    /// The first ones, as soon as tracking knows whose sessions they are.
    pub(super) fn first(&mut self, of: impl Fn(Mark) -> Option<SessionId>) -> Vec<Record> {
        let mut out = Vec::new();
        for Earlier { by: task, mark, guard } in std::mem::take(&mut self.earlier) {
            let then = Some(guard.session).filter(|session| *session != SessionId::NOBODY);
            let session = then.or_else(|| of(mark)).unwrap_or(SessionId::NOBODY);
            let guard = self.tell(Guard { session, ..guard });
            let body = Body::Guard(Box::new(guard));
            out.push(Record { boot_ns: clock::boot(), cpu: u16::MAX, flags: Flags::SEEDED, task, body });
        }
        for event in std::mem::take(&mut self.fresh) {
            let KernelEvent { boot_ns, cpu, mark, flags, task, act: Act::Guard(guard), .. } = event else {
                continue;
            };
            let session = of(mark).unwrap_or(SessionId::NOBODY);
            let guard = self.tell(Guard { session, ..*guard });
            let told = Told {
                count: guard.count,
                last: boot_ns,
                task: Some(Arc::clone(&task)),
                session,
                guard: guard.clone(),
            };
            if self.told.len() < MOST {
                self.told.insert(key(&guard), told);
            }
            let body = Body::Guard(Box::new(guard));
            out.push(Record { boot_ns, cpu, flags, task: Some(task), body });
        }
        out
    }

    fn tell(&mut self, guard: Guard) -> Guard {
        self.lines += 1;
        if self.lines <= LINES {
            alarm(&guard);
        }
        guard
    }

    /// What was tried until then was told.
    pub(super) const fn told_until(&self) -> Option<BootNanos> {
        self.told_until
    }

    /// What was told is on disk up to then. `Some` if that is news: whose counts nobody needs any more, because they were read once more
    /// when he was gone.
    pub(super) fn is_on_disk(&mut self, until: BootNanos) -> Option<HashSet<TaskId>> {
        if self.on_disk.is_some_and(|known| known >= until) {
            return None;
        }
        self.on_disk = Some(until);
        heirs::forget(&mut self.counts);
        let gone: HashSet<_> = self.gone.extract_if(|_, seen| *seen < until).map(|(by, _)| by).collect();
        self.told.retain(|_, told| !gone.contains(&told.guard.by));
        Some(gone)
    }

    /// What was counted beyond what was told.
    pub(super) fn repeated(
        &mut self,
        at: BootNanos,
        now: Instant,
        counts: Vec<(Guard, Mark)>,
        of: impl Fn(Mark) -> Option<SessionId>,
        is_alive: impl Fn(TaskId) -> bool,
    ) -> Vec<Record> {
        (self.counted, self.told_until) = (now, Some(at));
        let more = std::mem::take(&mut self.lines).saturating_sub(LINES);
        if more > 0 {
            tracing::warn!(
                MESSAGE_ID = alarm::GUARD,
                "{more} more attempts on the recorder itself are on record"
            );
        }
        for by in counts.iter().map(|(guard, _)| guard.by).filter(|by| by.pid != 0) {
            if !self.gone.contains_key(&by) && !is_alive(by) {
                self.gone.insert(by, at);
            }
        }
        let mut out = Vec::new();
        for (mut guard, mark) in counts {
            let known = self.told.get_mut(&key(&guard));
            if known.as_ref().is_some_and(|told| told.count >= guard.count) {
                continue;
            }
            let mut task = None;
            if let Some(told) = known {
                (told.count, told.last) = (guard.count, guard.last);
                guard.session = told.session;
                guard.detail = told.guard.detail;
                // Of many it is not the first one's doing.
                if guard.by.pid != 0 {
                    guard.path = told.guard.path.clone();
                    guard.to = told.guard.to.clone();
                    task.clone_from(&told.task);
                }
            } else {
                guard.session = of(mark).unwrap_or(SessionId::NOBODY);
                if self.told.len() < MOST {
                    let told = Told {
                        count: guard.count,
                        last: guard.last,
                        task: None,
                        session: guard.session,
                        guard: guard.clone(),
                    };
                    self.told.insert(key(&guard), told);
                }
            }
            let body = Body::Guard(Box::new(guard));
            out.push(Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task, body });
        }
        out
    }
}

/// Whoever watches journald hears of it at once.
fn alarm(guard: &Guard) {
    tracing::warn!(
        MESSAGE_ID = alarm::GUARD,
        SESSION = %guard.session,
        DENIED = guard.denied,
        PID = guard.by.pid,
        "somebody tries something with the recorder itself: {} {}{}",
        guard.object.name(),
        guard.act.name(),
        if guard.denied == 0 { "" } else { ", refused" }
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, Place};

    fn guard(pid: u32, count: u64) -> Guard {
        Guard {
            act: GuardAct::Unlink,
            object: GuardObject::Journal,
            denied: 1,
            detail: 0,
            path: Bytes::default(),
            to: Bytes::default(),
            session: SessionId::NOBODY,
            by: TaskId { pid, start: BootNanos::new(5) },
            count,
            first: BootNanos::new(6),
            last: BootNanos::new(7),
        }
    }

    fn event(pid: u32) -> Captured {
        let task = Task { id: TaskId { pid, start: BootNanos::new(5) }, ..Task::default() };
        Captured::Event(Box::new(KernelEvent {
            boot_ns: BootNanos::new(6),
            cpu: 0,
            mark: Mark::new(9),
            flags: Flags::default(),
            task: Arc::new(task),
            place: Place::default(),
            act: Act::Guard(Box::new(Guard { path: Bytes::from("/j/1.seg"), ..guard(pid, 1) })),
        }))
    }

    fn of(record: &Record) -> (&Guard, bool) {
        let Body::Guard(guard) = &record.body else { panic!("{record:?}") };
        (guard, record.task.is_some())
    }

    #[test]
    fn the_first_is_told_at_once_and_repeats_by_their_number() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let mut captured = vec![event(7)];
        watch.pick(&mut captured);
        assert!(captured.is_empty());
        let id = SessionId::new([3; 16]);
        let first = watch.first(|mark| (mark == Mark::new(9)).then_some(id));
        assert_eq!((first.len(), of(&first[0]).0.session, of(&first[0]).0.count), (1, id, 1));
        assert!(
            !watch.is_due(start, false) && watch.is_due(start, true) && watch.is_due(start + COUNT, false)
        );
        let at = BootNanos::new(8);
        assert!(
            watch.repeated(at, start, vec![(guard(7, 1), Mark::default())], |_| None, |_| true).is_empty()
        );
        let more = watch.repeated(at, start, vec![(guard(7, 40), Mark::default())], |_| None, |_| true);
        let (told, who) = of(&more[0]);
        assert_eq!((told.count, told.session, told.path.escaped().as_str(), who), (40, id, "/j/1.seg", true));
        assert!(
            watch.repeated(at, start, vec![(guard(7, 40), Mark::default())], |_| None, |_| true).is_empty()
        );
    }

    #[test]
    fn one_whose_event_was_lost_is_told_by_its_count() {
        let id = SessionId::new([3; 16]);
        let mut watch = Watch::new(Instant::now());
        let mut round = |at, count| {
            let counts = vec![(guard(8, count), Mark::new(9))];
            let of = |mark| (mark == Mark::new(9)).then_some(id);
            watch.repeated(BootNanos::new(at), Instant::now(), counts, of, |_| false)
        };
        let told = round(8, 3);
        assert_eq!((of(&told[0]).0.count, of(&told[0]).0.session, of(&told[0]).1), (3, id, false));
        // It may have tried once more before it died.
        assert_eq!(of(&round(9, 4)[0]).0.count, 4);
    }

    #[test]
    fn who_is_gone_is_forgotten_when_a_count_from_after_his_end_is_on_disk() {
        let mut watch = Watch::new(Instant::now());
        let of_before = |watch: &mut Watch, at, count| {
            let counts = vec![(guard(8, count), Mark::default())];
            watch.repeated(BootNanos::new(at), Instant::now(), counts, |_| None, |_| false)
        };
        assert_eq!(watch.told_until(), None);
        let _ = of_before(&mut watch, 8, 3);
        assert_eq!(watch.told_until(), Some(BootNanos::new(8)));
        // Read before it was seen that he is gone.
        assert_eq!(watch.is_on_disk(BootNanos::new(8)).map(|gone| gone.len()), Some(0));
        let _ = of_before(&mut watch, 9, 4);
        assert!(watch.is_on_disk(BootNanos::new(8)).is_none(), "no news");
        assert_eq!(watch.told.len(), 1);
        let by = guard(8, 1).by;
        assert_eq!(watch.is_on_disk(BootNanos::new(9)), Some([by].into()));
        assert!(watch.told.is_empty() && watch.gone.is_empty(), "what is gone takes no room");
    }

    #[test]
    fn what_was_there_before_is_told_once_and_is_no_beginning_of_our_counts() {
        let mut watch = Watch::new(Instant::now());
        let task = Arc::new(Task { id: TaskId { pid: 7, start: BootNanos::new(0) }, ..Task::default() });
        let lives = Earlier { by: Some(task), mark: Mark::new(9), guard: guard(7, 50) };
        let (id, then) = (SessionId::new([3; 16]), SessionId::new([4; 16]));
        let before = Guard { session: then, ..guard(9, 4) };
        watch.earlier = vec![lives, Earlier::nobodys(guard(8, 2)), Earlier::nobodys(before)];
        let told = watch.first(|mark| (mark == Mark::new(9)).then_some(id));
        let told: Vec<_> = told
            .iter()
            .map(|record| (of(record).0.count, of(record).0.session, of(record).1, record.flags))
            .collect();
        let seeded = Flags::SEEDED;
        assert_eq!(
            told,
            [(50, id, true, seeded), (2, SessionId::NOBODY, false, seeded), (4, then, false, seeded)]
        );
        assert!(watch.first(|_| None).is_empty());
        // He goes on, and this guard counts from one.
        let more = watch.repeated(
            BootNanos::new(9),
            Instant::now(),
            vec![(guard(7, 1), Mark::default())],
            |_| None,
            |_| true,
        );
        assert_eq!(more.iter().map(|record| of(record).0.count).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn maps_are_counted_as_one_and_the_first_is_named() {
        let map =
            |detail, count| Guard { object: GuardObject::Map, act: GuardAct::Map, detail, ..guard(7, count) };
        let mut watch = Watch::new(Instant::now());
        let mut first = event(7);
        if let Captured::Event(event) = &mut first {
            event.act = Act::Guard(Box::new(map(33, 1)));
        }
        watch.pick(&mut vec![first]);
        assert_eq!(watch.first(|_| None).len(), 1);
        let told = watch.repeated(
            BootNanos::new(8),
            Instant::now(),
            vec![(map(0, 60), Mark::default())],
            |_| None,
            |_| true,
        );
        assert_eq!((of(&told[0]).0.count, of(&told[0]).0.detail), (60, 33));
    }
}
