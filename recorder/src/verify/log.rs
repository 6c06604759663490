//! Folds the segments of one log, in order, into findings, sessions and a summary.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::{self, LogDir};
use super::finding::{self as f, Findings};
use super::link::{self, Named};
use super::report::{Finding, LogSummary, SessionVerdict};
use super::segment::{Note, Outcome, Task, Walked, peek, walk};
use super::sessions::Sessions;
use super::{EndPolicy, Options, VerifyError};
use crate::journal::origin::Origin;
use crate::journal::segment::Reason;
use crate::journal::walk::Unreadable;
use crate::model::LogId;

/// A range of a segment that verification vouches for.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) path: PathBuf,
    /// End of the last seal.
    pub(super) sealed: u64,
    /// End of the readable frames behind it.
    pub(super) readable: u64,
    /// A new process of the recorder begins with this segment.
    pub(super) fresh: bool,
}

/// What a reader may read of a log.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) log: LogId,
    pub(super) ranges: Vec<Range>,
}

/// Everything about one log.
pub(super) struct LogResult {
    pub(super) origin: Option<Origin>,
    pub(super) incarnation: u32,
    pub(super) findings: Vec<Finding>,
    pub(super) sessions: Vec<SessionVerdict>,
    pub(super) summary: LogSummary,
    pub(super) plan: Plan,
    pub(super) not_checked: Vec<String>,
}

/// Declared losses of one class and reason.
struct Losses {
    events: u64,
    records: u64,
    segment: String,
    leaf: u64,
}

struct Fold<'a> {
    out: Findings,
    sessions: Sessions,
    losses: BTreeMap<(Vec<u8>, &'static str), Losses>,
    given: Option<&'a Origin>,
    summary: LogSummary,
    ranges: Vec<Range>,
    not_checked: Vec<String>,
    whole: bool,
}

fn name_of(task: &Task) -> String {
    task.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Verifies one log.
pub(super) fn verify(
    dir: &LogDir,
    options: &Options,
    given: Option<&Origin>,
    progress: &mut dyn FnMut(u64),
) -> Result<LogResult, VerifyError> {
    let note = files::note(&dir.path.join(crate::journal::origin::FILE))?;
    let origin = match &note {
        files::Note::Origin(origin) => Some(Origin::clone(origin)),
        _ => None,
    };
    let mut dirs = vec![dir.path.clone()];
    let id = origin.as_ref().map(|o| o.identity.log).or(dir.named);
    if let (Some(spare), Some(id)) = (&options.spare, id) {
        let spare = spare.join(id.to_string());
        if spare.is_dir() {
            dirs.push(spare);
        }
    }
    let mut tasks: Vec<Task> = files::segments(&dirs)?
        .into_iter()
        .map(|(_, path)| Task { path, limit: None, repeated: false })
        .collect();
    drop_void(&mut tasks)?;
    let mut first_id = None;
    let mut number_after: Option<(u64, Option<u64>, bool)> = None;
    for task in tasks.iter_mut().rev() {
        let head = peek(&task.path)?;
        // Only the direct successor can say where a segment ended.
        if let (Some((_, number)), Some((next, limit, repeated))) = (&head, number_after)
            && number.saturating_add(1) == next
        {
            (task.limit, task.repeated) = (limit, repeated);
        }
        first_id = head.as_ref().map(|(h, _)| h.log).or(first_id);
        number_after = head.map(|(h, number)| {
            let limit = h.last_seal.filter(|_| h.reason.is_restart()).map(|s| s.no);
            (number, limit, h.reason == Reason::Fault)
        });
    }
    let id = id.or(first_id).unwrap_or_default();
    let mut fold = Fold::new(id, given);
    match &note {
        files::Note::Missing => fold.out.add(f::ORIGIN_MISSING, None, None, "origin.note is missing"),
        files::Note::Invalid => {
            fold.out.add(f::ORIGIN_INVALID, None, None, "origin.note is not as it was signed");
        }
        files::Note::Origin(_) => {}
    }
    if dir.named.is_some_and(|named| named != id) {
        fold.out.add(f::FOREIGN_LOG, None, None, "the directory has the name of another log");
    }
    fold.run(&tasks, id, origin.as_ref(), options, progress)?;
    let incarnation = origin.as_ref().map_or(0, |o| o.incarnation);
    fold.report_losses();
    let sessions = fold.sessions.verdicts(fold.whole);
    Ok(LogResult {
        origin,
        incarnation,
        findings: fold.out.list,
        sessions,
        summary: fold.summary,
        plan: Plan { log: id, ranges: fold.ranges },
        not_checked: fold.not_checked,
    })
}

/// A storage fault can strike after a new segment got its name and before that was acknowledged: then it holds a header
/// and one seal, and the restart elsewhere begins at the same leaf. Such a segment is void. One that holds more is a
/// fork, and stays to be found as one.
fn drop_void(tasks: &mut Vec<Task>) -> Result<(), VerifyError> {
    let mut void = Vec::new();
    for pair in tasks.windows(2) {
        let [a, b] = pair else { continue };
        if a.path.file_name() != b.path.file_name() {
            continue;
        }
        for (candidate, other) in [(a, b), (b, a)] {
            let (Some((mine, _)), Some((theirs, _))) = (peek(&candidate.path)?, peek(&other.path)?) else {
                continue;
            };
            let replaced = mine.reason == Reason::Rotate
                && theirs.reason == Reason::Fault
                && mine.last_seal == theirs.last_seal;
            if replaced && walk(candidate)?.is_ok_and(|w| w.end.seals == 1 && !w.tail.later_seal) {
                void.push(candidate.path.clone());
            }
        }
    }
    tasks.retain(|t| !void.contains(&t.path));
    Ok(())
}

/// Walks segments on all processors, a few at a time, and hands them over in order.
fn walk_all(tasks: &[Task], each: &mut dyn FnMut(&Task, Outcome) -> bool) -> Result<(), VerifyError> {
    let width = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    for wave in tasks.chunks(width) {
        let mut outcomes = Vec::with_capacity(wave.len());
        // Threads cost more than small files do.
        let small = |t: &Task| std::fs::metadata(&t.path).is_ok_and(|m| m.len() < 1 << 20);
        if wave.iter().all(small) {
            outcomes.extend(wave.iter().map(walk));
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = wave.iter().map(|task| scope.spawn(move || walk(task))).collect();
                outcomes.extend(
                    threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))),
                );
            });
        }
        for (task, outcome) in wave.iter().zip(outcomes) {
            if !each(task, outcome?) {
                return Ok(());
            }
        }
    }
    Ok(())
}

impl<'a> Fold<'a> {
    fn new(log: LogId, given: Option<&'a Origin>) -> Self {
        let summary = LogSummary {
            id: log,
            first: 0,
            last: 0,
            root: crate::model::Digest::default(),
            seals: 0,
            bytes: 0,
            encryption: "off".to_owned(),
        };
        Self {
            out: Findings::new(Some(log)),
            sessions: Sessions::default(),
            losses: BTreeMap::new(),
            given,
            summary,
            ranges: Vec::new(),
            not_checked: Vec::new(),
            whole: false,
        }
    }

    fn run(
        &mut self,
        tasks: &[Task],
        id: LogId,
        origin: Option<&Origin>,
        options: &Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), VerifyError> {
        self.out.add(f::ENCRYPTION_OFF, None, None, "bodies are stored in clear (encryption mode = off)");
        if tasks.is_empty() {
            self.out.add(f::SEGMENT_MISSING, None, Some(0), "the log has no segment");
            self.origin_unchecked();
            return Ok(());
        }
        let mut before: Option<(String, Walked)> = None;
        let mut stopped_at: Option<usize> = None;
        let mut seen = 0usize;
        walk_all(tasks, &mut |task, outcome| {
            let name = name_of(task);
            seen = seen.saturating_add(1);
            let walked = match outcome {
                Ok(walked) => walked,
                Err(unreadable) => {
                    self.unreadable(before.as_ref(), &name, unreadable);
                    stopped_at = Some(seen);
                    before = None;
                    return false;
                }
            };
            progress(walked.tail.len);
            self.summary.bytes = self.summary.bytes.saturating_add(walked.tail.len);
            let good = self.accept(before.as_ref(), (&name, &walked), id, origin);
            if !good {
                before = None;
                stopped_at = Some(seen);
                return false;
            }
            self.take(task, &name, &walked);
            before = Some((name, walked));
            true
        })?;
        if let Some((name, last)) = &before {
            self.whole = link::ends(Named { name, walked: last }, &mut self.out);
            let ended = self.whole && last.stopped() && last.tail.len == last.sealed_end();
            if !(ended && options.end == EndPolicy::Stopped) {
                let text = format!(
                    "nothing outside this log shows that it did not go on behind seal {}",
                    last.end.next_seal.saturating_sub(1)
                );
                self.out.add(f::END_UNPROVEN, Some(name), Some(last.end.leaf), text);
            }
        }
        if let Some(n) = stopped_at {
            let rest = tasks.len().saturating_sub(n);
            self.not_checked.push(format!(
                "log {id}: whether what follows the first fault (segment {n} of {}, and {rest} behind it) belongs to this log",
                tasks.len()
            ));
        }
        // Without its first segment a log can be held against no note.
        let told = self.out.list.iter().any(|x| matches!(x.code, "ORIGIN_UNCHECKED" | "ORIGIN_MISMATCH"));
        let compared = self.given.is_some() && self.summary.seals > 0;
        if !told && !compared {
            self.origin_unchecked();
        }
        Ok(())
    }

    fn unreadable(&mut self, before: Option<&(String, Walked)>, name: &str, why: Unreadable) {
        if let Some((before, w)) = before
            && let Some(fault) = w.fault.filter(|_| !w.reached)
        {
            let (code, text) = f::of_fault(fault.code);
            self.out.add(code, Some(before), Some(fault.leaf), text);
        }
        let leaf = crate::journal::segment::leaf_of(name);
        match why {
            Unreadable::Version(v) => {
                self.out.add(f::UNSUPPORTED_VERSION, Some(name), leaf, format!("format version {v}"));
            }
            Unreadable::Header(code) => {
                let (code, text) = f::of_fault(code);
                self.out.add(code, Some(name), leaf, format!("{text} (the segment's header)"));
            }
        }
    }

    /// True if the segment belongs here and follows what was before.
    fn accept(
        &mut self,
        before: Option<&(String, Walked)>,
        (name, w): (&str, &Walked),
        id: LogId,
        origin: Option<&Origin>,
    ) -> bool {
        let leaf = w.first.header.leaf;
        if w.header.log != id || origin.is_some_and(|o| o.identity.admission != w.header.admission) {
            self.out.add(f::FOREIGN_SEGMENT, Some(name), Some(leaf), "the segment belongs to another log");
            return false;
        }
        if crate::journal::segment::leaf_of(name) != Some(leaf) {
            self.out.add(f::CHAIN_BROKEN, Some(name), Some(leaf), "the file has another segment's name");
            return false;
        }
        if let Some(leaf) = w.unsupported.filter(|leaf| *leaf < w.end.leaf) {
            let text = "a frame needs a newer version of this program";
            self.out.add(f::UNSUPPORTED_VERSION, Some(name), Some(leaf), text);
        }
        if let Some((before, p)) = before {
            return link::follows(
                Named { name: before, walked: p },
                Named { name, walked: w },
                &mut self.out,
            );
        }
        if leaf != 0 || w.header.reason != Reason::Origin {
            self.out.add(f::SEGMENT_MISSING, Some(name), Some(0), "the first segment of the log is missing");
            return false;
        }
        if !link::origin_signed(w) {
            let text = "the log's first frame is not signed by its admission key";
            self.out.add(f::SEAL_INVALID, Some(name), Some(0), text);
            return false;
        }
        self.check_origin(name, w, origin);
        true
    }

    fn check_origin(&mut self, name: &str, w: &Walked, local: Option<&Origin>) {
        let same = |o: &Origin| {
            o.identity.log == w.header.log
                && o.identity.admission == w.header.admission
                && o.first_seal == w.header.next_key
                && o.incarnation == w.header.incarnation
        };
        if local.is_some_and(|o| !same(o)) {
            self.out.add(f::ORIGIN_INVALID, Some(name), Some(0), "origin.note is not the note of this log");
        }
        match self.given {
            None => self.origin_unchecked(),
            Some(given) if same(given) => {}
            Some(given) if local.is_some_and(|o| o.previous.is_some() && o.host_id == given.host_id) => {
                let text = "a later incarnation of the journal whose origin was given: its own was not";
                self.out.add(f::ORIGIN_UNCHECKED, None, None, text);
            }
            Some(_) => {
                self.out.add(f::ORIGIN_MISMATCH, None, None, "this is not the log whose origin was given");
            }
        }
    }

    fn origin_unchecked(&mut self) {
        let text = match self.given {
            None => "no origin was given: whoever made this log may have made all of it (--origin FILE)",
            Some(_) => "the log's first segment can't be held against the origin that was given",
        };
        self.out.add(f::ORIGIN_UNCHECKED, None, None, text);
    }

    /// Takes over what an accepted segment holds.
    fn take(&mut self, task: &Task, name: &str, w: &Walked) {
        let fresh = matches!(w.header.reason, Reason::Resume | Reason::Break);
        if fresh {
            self.sessions.interrupted(w.header.next_stream);
        }
        for (leaf, note) in &w.notes {
            self.note(note, name, *leaf);
        }
        self.summary.last = w.end.leaf;
        self.summary.root = w.end.tree.root();
        self.summary.seals = self.summary.seals.saturating_add(w.end.seals);
        // A reader sees behind a last seal what follows the chain, but not what a storage fault repeats elsewhere.
        let readable = if task.repeated { w.sealed_end() } else { w.tail.readable };
        self.ranges.push(Range { path: task.path.clone(), sealed: w.sealed_end(), readable, fresh });
    }

    fn note(&mut self, note: &Note, name: &str, leaf: u64) {
        let out = &mut self.out;
        match note {
            Note::Frame { stream, seq, records } => {
                self.sessions.frame(*stream, *seq, *records, name, leaf, out);
            }
            Note::Opened(o) => self.sessions.opened(*o, name, leaf, out),
            Note::Closed(c) => self.sessions.closed(c, name, leaf, out),
            Note::Loss(l) => {
                let key = (l.class.as_slice().to_vec(), l.reason.name());
                let entry = self.losses.entry(key).or_insert_with(|| Losses {
                    events: 0,
                    records: 0,
                    segment: name.to_owned(),
                    leaf,
                });
                entry.events = entry.events.saturating_add(l.count);
                entry.records = entry.records.saturating_add(1);
            }
            Note::Jump(j) => {
                let drift = |p: crate::model::ClockPair| i128::from(p.real.get()) - i128::from(p.boot.get());
                let step = drift(j.after) - drift(j.before);
                out.add(f::JUMP, Some(name), Some(leaf), format!("the wall clock was set by {step} ns"));
            }
            Note::Silence { from, to } => {
                let seconds = to.since(*from) / 1_000_000_000;
                out.add(
                    f::GAP,
                    Some(name),
                    Some(leaf),
                    format!("no sign of a living recorder for {seconds} s"),
                );
            }
            Note::Unreadable => {
                out.add(f::CONTROL_UNREADABLE, Some(name), Some(leaf), "a control frame can't be decoded");
            }
        }
    }

    fn report_losses(&mut self) {
        for ((class, reason), Losses { events, records, segment, leaf }) in std::mem::take(&mut self.losses) {
            let class = crate::model::Bytes::new(class).escaped();
            let text =
                format!("{events} events of class {class} are declared lost ({reason}, {records} records)");
            self.out.add(f::LOSS, Some(&segment), Some(leaf), text);
        }
    }
}
