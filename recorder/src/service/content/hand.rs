//! The thread that reads files, and what lies between it and the pump.
//!
//! Looks and answers are bounded by the ledger's limit: each look has one answer. A thread that hangs on a file system is left behind:
//! its look is answered for it, and another thread takes its place, a few times.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::files::HostFiles;
use crate::{
    content::{Aim, Examiner, Look, Rules, Seen},
    model::{Changed, Digested, Why},
    sys::{files, process},
};

/// Between two files of a walk through the trees.
const STEP: Duration = Duration::from_millis(2);
/// Between looks whether it is time to walk again.
const REST: Duration = Duration::from_secs(1);
/// A look that takes longer than its bytes may take, by so much, hangs.
const HANGS: Duration = Duration::from_secs(20);
/// Threads that may be left behind.
const LOST: u32 = 8;

/// How the thread reads.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) rules: Rules,
    /// Bytes in a second.
    pub(super) rate: u64,
}

#[derive(Debug, Default)]
struct Desk {
    programs: VecDeque<Look>,
    files: VecDeque<Look>,
    answers: Vec<(u64, Seen)>,
    /// What is being looked at.
    at: Option<Look>,
    /// Since when the thread is with one file, asked for or of a walk.
    since: Option<Instant>,
    /// Sessions wait for what is read: no rate holds.
    hurry: bool,
}

#[derive(Debug, Default)]
struct Between {
    desk: Mutex<Desk>,
    work: Condvar,
    end: Arc<AtomicBool>,
}

/// The pump's side.
#[derive(Debug)]
pub(super) struct Hand {
    pace: Pace,
    between: Arc<Between>,
    lost: u32,
}

impl Between {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// Starts the thread. If that fails nothing is looked at, and everything is told as late.
    pub(super) fn start(pace: Pace) -> Self {
        Self { between: begin(&pace, Desk::default()), pace, lost: 0 }
    }

    /// Hands out looks and takes answers.
    pub(super) fn exchange(&mut self, looks: Vec<Look>, hurry: bool, answers: &mut Vec<(u64, Seen)>) {
        let mut desk = self.between.desk();
        answers.append(&mut desk.answers);
        desk.hurry = hurry;
        let some = !looks.is_empty();
        for look in looks {
            if matches!(look.aim, Aim::Program | Aim::Script) {
                desk.programs.push_back(look);
            } else {
                desk.files.push_back(look);
            }
        }
        let bytes = Duration::from_secs(self.pace.rules.max_file / self.pace.rate.max(1));
        let hangs = desk.since.is_some_and(|since| since.elapsed() > HANGS + bytes * 3);
        if hangs && self.lost < LOST {
            desk.since = None;
            let look = desk.at.take();
            answers.extend(look.map(|look| (look.id, unreadable(&look))));
            let rest = std::mem::take(&mut *desk);
            drop(desk);
            tracing::warn!("a file system hangs: the thread that reads files is left behind");
            self.between.end.store(true, Ordering::Relaxed);
            self.lost += 1;
            self.between = begin(&self.pace, rest);
            return;
        }
        drop(desk);
        if some || hurry {
            self.between.work.notify_one();
        }
    }
}

impl Drop for Hand {
    /// The thread ends by itself, at the latest with the process: a file system that hangs keeps nobody waiting.
    fn drop(&mut self) {
        self.between.end.store(true, Ordering::Relaxed);
        self.between.work.notify_one();
    }
}

fn unreadable(look: &Look) -> Seen {
    let (path, why) = (look.path.clone(), Why::Unreadable);
    match look.aim {
        Aim::Program | Aim::Script => Seen::Program(Box::new(Digested {
            path,
            dev: look.dev,
            ino: look.ino,
            why,
            count: 1,
            ..Digested::default()
        })),
        Aim::File { .. } => Seen::File(Box::new(Changed { path, why, count: 1, ..Changed::default() })),
    }
}

fn begin(pace: &Pace, desk: Desk) -> Arc<Between> {
    let between = Arc::new(Between { desk: Mutex::new(desk), ..Between::default() });
    let (own, pace) = (Arc::clone(&between), pace.clone());
    let thread = std::thread::Builder::new().name("content".into());
    if let Err(error) = thread.spawn(move || run(&own, &pace)) {
        tracing::error!(%error, "the thread that reads files could not be started");
    }
    between
}

fn run(between: &Between, pace: &Pace) {
    files::give_way();
    if let Err(error) = files::own_descriptors() {
        tracing::warn!(%error, "a file system that hangs can keep the journal open when the recorder has ended");
    }
    let mut host = HostFiles::new(pace.rate, Arc::clone(&between.end));
    let mut examiner = Examiner::new(pace.rules.clone());
    let (mut pause, mut told) = (STEP, false);
    while !between.end.load(Ordering::Relaxed) {
        let mut desk = between.desk();
        host.hurry = desk.hurry;
        let next = desk.programs.pop_front().or_else(|| desk.files.pop_front());
        if let Some(look) = next {
            (desk.at, desk.since) = (Some(look.clone()), Some(Instant::now()));
            drop(desk);
            let seen = examiner.look(&look, &mut host);
            let mut desk = between.desk();
            desk.since = None;
            // Left behind: it was answered for us.
            if desk.at.take().is_some() {
                desk.answers.push((look.id, seen));
            }
            continue;
        }
        let (mut desk, _) = between.work.wait_timeout(desk, pause).unwrap_or_else(PoisonError::into_inner);
        let is_idle = desk.programs.is_empty() && desk.files.is_empty();
        desk.since = is_idle.then(Instant::now);
        drop(desk);
        if is_idle {
            host.hurry = false;
            pause = if examiner.walk(&mut host) { STEP } else { REST };
            between.desk().since = None;
            if examiner.has_walked() && !told {
                told = true;
                process::give_memory_back();
                tracing::info!("the baseline of the watched trees is known");
            }
        }
    }
}
