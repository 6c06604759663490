//! Folds opens for reading: whoever opens a file again and again is told once in full, and then by numbers.
//!
//! Equal are opens of one file by one path, with the same flags, by programs of one name with the same ids. Numbers are of what no
//! other record stands for, so all records of a session together give what was done; each says by itself which file it is about.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Tracked;
use crate::model::{Body, BootNanos, Bytes, File, FileOp, Flags, Mark, Reads, Record, Task};

/// Numbers are told at most so late: what a crash may take with it.
const TELL_NS: u64 = 10_000_000_000;
/// Files that are remembered of one session, and of all; then they are forgotten together, and told in full again.
const MOST: usize = 16 * 1024;
const MOST_OF_ALL: usize = 64 * 1024;
/// `O_ACCMODE` (0 = for reading), `O_TRUNC` of the generic kernel ABI.
const O_ACCMODE: u32 = 3;
const O_TRUNC: u32 = 0o1000;
/// Longer paths are told each time: what is remembered is bounded in bytes as well.
const LONGEST: usize = 512;
const S_IFMT: u32 = 0o170_000;
const S_IFBLK: u32 = 0o060_000;

/// Which opens are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    path: Bytes,
    dev: (u32, u32),
    ino: u64,
    mode: u32,
    flags: u32,
    comm: Bytes,
    ids: [u32; 3],
}

/// What was not told yet.
#[derive(Debug)]
struct Fold {
    count: u64,
    first: BootNanos,
    last: BootNanos,
    /// The last that did.
    task: Arc<Task>,
}

#[derive(Debug, Default)]
struct Session {
    known: HashMap<Key, Fold>,
    /// When the first of what is not told yet was done.
    since: Option<BootNanos>,
}

/// The state machine; stands behind the tracker.
#[derive(Debug, Default)]
pub struct Reading {
    sessions: BTreeMap<Mark, Session>,
    /// Files that are remembered of all of them.
    known: usize,
}

impl Reading {
    /// Takes what the tracker gave out and leaves what is to be written.
    pub fn pass(&mut self, now: BootNanos, tracked: &mut Vec<Tracked>) {
        for item in std::mem::take(tracked) {
            let Tracked::Event { mark, record } = item else {
                if let Tracked::Closed { mark, at, .. } = &item {
                    self.forget(*mark, *at, tracked);
                }
                tracked.push(item);
                continue;
            };
            match &record.body {
                Body::File(FileOp::Open, file) => {
                    if let Some(key) = key(&record, file) {
                        self.read(mark, key, record, tracked);
                        continue;
                    }
                }
                Body::SessionEnd(_) => self.forget(mark, record.boot_ns, tracked),
                // What was done under one grant does not stand behind the word of another.
                Body::Coverage(_) => {
                    if let Some(session) = self.sessions.get_mut(&mark) {
                        session.tell(mark, record.boot_ns, tracked);
                    }
                }
                _ => {}
            }
            tracked.push(Tracked::Event { mark, record });
        }
        for (mark, session) in &mut self.sessions {
            if session.since.is_some_and(|since| now.since(since) >= TELL_NS) {
                session.tell(*mark, now, tracked);
            }
        }
    }

    fn read(&mut self, mark: Mark, key: Key, record: Record, out: &mut Vec<Tracked>) {
        let at = record.boot_ns;
        let Some(task) = record.task.clone() else { return out.push(Tracked::Event { mark, record }) };
        let session = self.sessions.entry(mark).or_default();
        if let Some(fold) = session.known.get_mut(&key) {
            if fold.count == 0 {
                fold.first = at;
            }
            (fold.count, fold.last, fold.task) = (fold.count.saturating_add(1), at, task);
            session.since.get_or_insert(at);
            return;
        }
        if session.known.len() >= MOST {
            self.forget(mark, at, out);
        } else if self.known >= MOST_OF_ALL {
            for mark in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.forget(mark, at, out);
            }
        }
        let fold = Fold { count: 0, first: at, last: at, task };
        self.sessions.entry(mark).or_default().known.insert(key, fold);
        self.known += 1;
        out.push(Tracked::Event { mark, record });
    }

    /// Tells what is left to tell of a session; nothing of it is known any more.
    fn forget(&mut self, mark: Mark, at: BootNanos, out: &mut Vec<Tracked>) {
        if let Some(mut session) = self.sessions.remove(&mark) {
            session.tell(mark, at, out);
            self.known -= session.known.len();
        }
    }
}

/// What tells an open from others, if it is one that only reads and of which everything is known.
fn key(record: &Record, file: &File) -> Option<Key> {
    let reads = file.flags & (O_ACCMODE | O_TRUNC) == 0 && file.result >= 0;
    let is_device = file.mode & S_IFMT == S_IFBLK;
    let is_plain = record.flags == Flags::default() && file.cut.is_none() && file.count == 1;
    let task = record.task.as_ref()?;
    (reads && !is_device && is_plain && file.ino != 0 && file.path.len() <= LONGEST).then(|| Key {
        path: file.path.clone(),
        dev: file.dev,
        ino: file.ino,
        mode: file.mode,
        flags: file.flags,
        comm: task.comm.clone(),
        ids: [task.auid, task.uid, task.euid],
    })
}

impl Session {
    /// What was not told yet, in the order in which it began.
    fn tell(&mut self, mark: Mark, at: BootNanos, out: &mut Vec<Tracked>) {
        if self.since.take().is_none() {
            return;
        }
        let mut due: Vec<_> = self.known.iter_mut().filter(|(_, fold)| fold.count > 0).collect();
        due.sort_unstable_by(|(a, one), (b, other)| (one.first, *a).cmp(&(other.first, *b)));
        for (key, fold) in due {
            let count = std::mem::take(&mut fold.count);
            let Key { path, dev, ino, mode, flags, .. } = key.clone();
            let reads = Reads { path, dev, ino, mode, flags, count, first: fold.first, last: fold.last };
            let record = Record {
                boot_ns: at,
                cpu: u16::MAX,
                flags: Flags::default(),
                task: Some(Arc::clone(&fold.task)),
                body: Body::Reads(Box::new(reads)),
            };
            out.push(Tracked::Event { mark, record });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coverage, CoverageChange, EndReason, SessionEnd, Uncovered};

    const MARK: Mark = Mark::new(5);
    const SECOND: u64 = 1_000_000_000;

    fn event(mark: Mark, at: u64, pid: u32, body: Body) -> Tracked {
        let task = Task {
            id: crate::model::TaskId { pid, start: BootNanos::new(1) },
            comm: Bytes::from(if pid < 100 { "cc" } else { "sh" }),
            ..Task::default()
        };
        let record = Record {
            boot_ns: BootNanos::new(at),
            cpu: 0,
            flags: Flags::default(),
            task: Some(Arc::new(task)),
            body,
        };
        Tracked::Event { mark, record }
    }

    fn open(at: u64, pid: u32, path: &str, flags: u32) -> Tracked {
        let file = File { path: Bytes::from(path), flags, ino: 7, count: 1, ..File::default() };
        event(MARK, at, pid, Body::File(FileOp::Open, file))
    }

    /// What comes out, in few words: the path alone, or with number, first, last and process.
    fn told(reading: &mut Reading, now: u64, mut items: Vec<Tracked>) -> Vec<String> {
        reading.pass(BootNanos::new(now), &mut items);
        let words = items.into_iter().map(|item| match item {
            Tracked::Event { record: Record { body: Body::File(_, file), .. }, .. } => file.path.escaped(),
            Tracked::Event { record: Record { body: Body::Reads(r), task, .. }, .. } => format!(
                "{} x{} {}..{} by {}",
                r.path.escaped(),
                r.count,
                r.first.get(),
                r.last.get(),
                task.unwrap().id.pid
            ),
            Tracked::Event { record, .. } => record.body.kind().name().to_owned(),
            Tracked::Closed { .. } => "closed".to_owned(),
            other => panic!("{other:?}"),
        });
        words.collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_by_number() {
        let mut reading = Reading::default();
        let opens = vec![open(1, 1, "/a", 0), open(2, 1, "/a", 0), open(3, 2, "/a", 0), open(4, 1, "/b", 0)];
        assert_eq!(told(&mut reading, 5, opens), ["/a", "/b"]);
        assert_eq!(told(&mut reading, 1 + TELL_NS, vec![open(6, 3, "/b", 0)]), [""; 0]);
        assert_eq!(
            told(&mut reading, 2 + TELL_NS, Vec::new()),
            ["/a x2 2..3 by 2", "/b x1 6..6 by 3"],
            "in the order in which they began"
        );
        assert_eq!(told(&mut reading, 9 * TELL_NS, Vec::new()), [""; 0], "nothing twice");
        // It stays known: the next is a number too.
        assert_eq!(told(&mut reading, 9 * TELL_NS, vec![open(9 * TELL_NS, 1, "/a", 0)]), [""; 0]);
    }

    #[test]
    fn what_is_not_equal_is_told_in_full() {
        let mut reading = Reading::default();
        let writes = [0o1, 0o2, 0o1000];
        let mut items: Vec<_> =
            writes.iter().flat_map(|flags| [1, 2].map(|at| open(at, 1, "/w", *flags))).collect();
        items.extend([open(2, 1, "/a", 0), open(3, 1, "/a", 0o2_000_000), open(4, 100, "/a", 0)]);
        assert_eq!(told(&mut reading, 5, items), ["/w", "/w", "/w", "/w", "/w", "/w", "/a", "/a", "/a"]);
        for change in [
            |file: &mut File| file.result = -2,
            |file: &mut File| file.ino = 0,
            |file: &mut File| file.mode = S_IFBLK,
            |file: &mut File| file.ino = 8,
        ] {
            let mut one = open(6, 1, "/a", 0);
            if let Tracked::Event { record: Record { body: Body::File(_, file), .. }, .. } = &mut one {
                change(file);
            }
            assert_eq!(told(&mut reading, 6, vec![one]), ["/a"]);
        }
    }

    #[test]
    fn numbers_stand_before_the_end_and_before_another_coverage() {
        let mut reading = Reading::default();
        let coverage = CoverageChange {
            from: BootNanos::new(3),
            coverage: Coverage::Uncovered { reason: Uncovered::NoGrant },
            person: Bytes::default(),
            incident: Bytes::default(),
        };
        let end = SessionEnd {
            reason: EndReason::LastTask,
            code: None,
            signal: 0,
            execs: 0,
            files: 0,
            tty_bytes: 0,
        };
        let items = vec![
            open(1, 1, "/a", 0),
            open(2, 1, "/a", 0),
            event(MARK, 3, 1, Body::Coverage(Box::new(coverage))),
            open(4, 1, "/a", 0),
            event(MARK, 5, 1, Body::SessionEnd(end)),
        ];
        let said = told(&mut reading, 6, items);
        assert_eq!(said, ["/a", "/a x1 2..2 by 1", "coverage", "/a x1 4..4 by 1", "session_end"]);
        assert!(reading.sessions.is_empty());
        // One that ends without a record of it.
        told(&mut reading, 7, vec![open(7, 1, "/a", 0), open(8, 1, "/a", 0)]);
        let closed =
            Tracked::Closed { mark: MARK, reason: EndReason::LastTask, losses: 0, at: BootNanos::new(9) };
        assert_eq!(told(&mut reading, 9, vec![closed]), ["/a x1 8..8 by 1", "closed"]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost_by_it() {
        let mut reading = Reading::default();
        let mut opens = Vec::new();
        for round in 0..3u64 {
            for n in 0..MOST + 10 {
                opens.push(open(round * SECOND, 1, &format!("/{n}"), 0));
                opens.push(open(round * SECOND, 1, &format!("/{n}"), 0));
            }
        }
        let done = opens.len();
        let mut items = opens;
        reading.pass(BootNanos::new(3 * SECOND), &mut items);
        assert!(reading.sessions.values().all(|session| session.known.len() <= MOST));
        reading.pass(BootNanos::new(90 * SECOND), &mut items);
        let sum: u64 = items
            .iter()
            .map(|item| match item {
                Tracked::Event { record: Record { body: Body::Reads(reads), .. }, .. } => reads.count,
                _ => 1,
            })
            .sum();
        assert_eq!(usize::try_from(sum), Ok(done));
        let others = (0..9).flat_map(|mark| {
            (0..MOST).map(move |n| match open(1, 1, &format!("/{n}"), 0) {
                Tracked::Event { record, .. } => Tracked::Event { mark: Mark::new(mark), record },
                other => other,
            })
        });
        reading.pass(BootNanos::new(91 * SECOND), &mut others.collect());
        let all: usize = reading.sessions.values().map(|session| session.known.len()).sum();
        assert!(all <= MOST_OF_ALL && all == reading.known, "{all}");
    }
}
