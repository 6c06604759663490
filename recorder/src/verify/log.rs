//! Folds the segments of one log, in order, into findings, sessions and a summary.

use std::path::PathBuf;
use std::sync::Arc;

use super::anchor::{Given, Judged, Mark, Recorded, Subject};
use super::files::{self, LogDir};
use super::finding::{self as f, Findings};
use super::interval::{Edge, Interval, Intervals};
use super::link::{self, Named};
use super::losses::Losses;
use super::notes::Note;
use super::origins;
use super::report::{AnchorVerdict, Finding, LogSummary, SessionVerdict, Witnessed};
use super::secrecy::Secrecy;
use super::segment::{Task, Walked, peek, retell};
use super::sessions::Sessions;
use super::tasks::{drop_void, name_of, walk_all};
use super::{EndPolicy, Options, VerifyError};
use crate::journal::Identities;
use crate::journal::origin::Origin;
use crate::journal::segment::Reason;
use crate::journal::walk::Unreadable;
use crate::model::{LogId, RealNanos};

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
    pub(super) anchors: Vec<AnchorVerdict>,
    pub(super) witnessed: Vec<Witnessed>,
    pub(super) intervals: Vec<Interval>,
    /// Where the first run began and the last one ended, as far as it is sealed.
    pub(super) edges: (Option<Edge>, Option<Edge>),
}

struct Fold<'a> {
    out: Findings,
    sessions: Sessions,
    losses: Losses,
    secrecy: Secrecy,
    given: Option<&'a Origin>,
    summary: LogSummary,
    ranges: Vec<Range>,
    not_checked: Vec<String>,
    intervals: Intervals,
    whole: bool,
    kept: &'a Given,
    marks: Vec<Mark>,
    recorded: Vec<Recorded>,
    judged: Judged,
}

/// Why the end is open, and up to where it is not.
fn unproven(seal: u64, proven: Option<(u64, Option<RealNanos>)>) -> String {
    let text = format!("nothing outside this log shows that it did not go on behind seal {seal}");
    match proven {
        None => text,
        Some((size, None)) => format!("{text}; an anchor shows its first {size} leaves"),
        Some((size, Some(at))) => {
            let seconds = i64::try_from(at.get() / 1_000_000_000).unwrap_or(i64::MAX);
            let time = jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default();
            format!("{text}; an anchor shows its first {size} leaves, sealed at {time}")
        }
    }
}

/// Verifies one log.
pub(super) fn verify(
    dir: &LogDir,
    options: &Options,
    (given, kept): (Option<&Origin>, &Given),
    progress: &mut dyn FnMut(u64),
) -> Result<LogResult, VerifyError> {
    let note = files::note_in(&dir.path)?;
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
    let wanted = id.map(|id| kept.sizes(id)).unwrap_or_default();
    let mut tasks: Vec<Task> = files::segments(&dirs)?
        .into_iter()
        .map(|(_, path)| Task { path, limit: None, repeated: false, wanted: Arc::clone(&wanted) })
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
    let mut fold = Fold::new(id, given, kept);
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
    fold.losses.report(&mut fold.out);
    fold.secrecy.report(&mut fold.summary, &mut fold.out, &mut fold.not_checked);
    let edges = (fold.intervals.began, fold.intervals.ended);
    let intervals = fold.intervals.finish(&mut fold.out);
    let sessions = fold.sessions.verdicts(fold.whole);
    Ok(LogResult {
        origin,
        incarnation,
        findings: fold.out.list,
        sessions,
        summary: fold.summary,
        plan: Plan { log: id, ranges: fold.ranges },
        not_checked: fold.not_checked,
        anchors: fold.judged.anchors,
        witnessed: fold.judged.witnessed,
        intervals,
        edges,
    })
}

impl<'a> Fold<'a> {
    fn new(log: LogId, given: Option<&'a Origin>, kept: &'a Given) -> Self {
        let summary = LogSummary {
            id: log,
            first: 0,
            last: 0,
            root: crate::model::Digest::default(),
            seals: 0,
            bytes: 0,
            encryption: "off".to_owned(),
            encrypted: 0,
            opened: 0,
        };
        Self {
            out: Findings::new(Some(log)),
            sessions: Sessions::default(),
            losses: Losses::default(),
            secrecy: Secrecy::default(),
            given,
            summary,
            ranges: Vec::new(),
            not_checked: Vec::new(),
            intervals: Intervals::new(log),
            whole: false,
            kept,
            marks: Vec::new(),
            recorded: Vec::new(),
            judged: Judged::default(),
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
        if tasks.is_empty() {
            self.out.add(f::SEGMENT_MISSING, None, Some(0), "the log has no segment");
            return Ok(());
        }
        let mut before: Option<(String, Walked)> = None;
        let mut stopped_at: Option<usize> = None;
        let mut seen = 0usize;
        walk_all(tasks, &options.identities, progress, &mut |task, outcome| {
            let name = name_of(task);
            seen = seen.saturating_add(1);
            let mut walked = match outcome {
                Ok(walked) => walked,
                Err(unreadable) => {
                    self.unreadable(before.as_ref(), &name, unreadable);
                    stopped_at = Some(seen);
                    before = None;
                    return Ok(false);
                }
            };
            self.summary.bytes = self.summary.bytes.saturating_add(walked.tail.len);
            let good = self.accept(before.as_ref(), (&name, &walked), id, origin);
            if !good {
                before = None;
                stopped_at = Some(seen);
                return Ok(false);
            }
            self.take(task, &options.identities, &name, &mut walked)?;
            before = Some((name, walked));
            Ok(true)
        })?;
        if let Some((name, last)) = &before {
            self.whole = link::ends(Named { name, walked: last }, &mut self.out);
            let ended = self.whole && last.stopped() && last.tail.len == last.sealed_end();
            self.judge(id, last.header.admission);
            let proven = self.judged.proven.filter(|_| self.whole);
            let anchored = proven.is_some_and(|(size, _)| size >= last.end.leaf);
            let settled = anchored || (ended && options.end == EndPolicy::Stopped);
            if !settled {
                let text = unproven(last.end.next_seal.saturating_sub(1), proven);
                self.out.add(f::END_UNPROVEN, Some(name), Some(last.end.leaf), text);
            }
        } else if let Some(origin) = origin {
            self.judge(id, origin.identity.admission);
        }
        if let Some(n) = stopped_at {
            let rest = tasks.len().saturating_sub(n);
            self.not_checked.push(format!(
                "log {id}: whether what follows the first fault (segment {n} of {}, and {rest} behind it) belongs to this log",
                tasks.len()
            ));
        }
        Ok(())
    }

    /// Holds what was walked against what was kept elsewhere.
    fn judge(&mut self, log: LogId, admission: crate::journal::key::PublicKey) {
        let given = self.given.filter(|o| o.identity.log == log).map(|o| o.identity.admission);
        let subject = Subject {
            log,
            admission: given.unwrap_or(admission),
            marks: &self.marks,
            recorded: &self.recorded,
            last: self.summary.last,
            whole: self.whole,
        };
        self.judged = self.kept.judge(&subject, &mut self.out);
        self.not_checked.append(&mut self.judged.not_checked);
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
        origins::check(name, w, origin, self.given, &mut self.out);
        true
    }

    /// Takes over what an accepted segment holds.
    fn take(
        &mut self,
        task: &Task,
        identities: &Identities,
        name: &str,
        w: &mut Walked,
    ) -> Result<(), VerifyError> {
        let fresh = matches!(w.header.reason, Reason::Resume | Reason::Break);
        if fresh {
            self.sessions.interrupted(w.header.next_stream);
        }
        self.intervals.begins(fresh, name, w, &mut self.out);
        match w.notes.take() {
            Some(notes) => notes.into_iter().for_each(|(leaf, note)| self.note(&note, name, leaf)),
            None => retell(task, identities, w, &mut |leaf, note| self.note(&note, name, leaf))?,
        }
        self.secrecy.segment(name, w);
        self.marks.extend(&w.marks);
        if self.kept.has_policy() {
            self.recorded.extend(w.recorded.iter().cloned());
        }
        self.intervals.ends(w);
        self.summary.last = w.end.leaf;
        self.summary.root = w.end.tree.root();
        self.summary.seals = self.summary.seals.saturating_add(w.end.seals);
        // A reader sees behind a last seal what follows the chain, but not what a storage fault repeats elsewhere.
        let readable = if task.repeated { w.sealed_end() } else { w.tail.readable };
        self.ranges.push(Range { path: task.path.clone(), sealed: w.sealed_end(), readable, fresh });
        Ok(())
    }

    fn note(&mut self, note: &Note, name: &str, leaf: u64) {
        let out = &mut self.out;
        match note {
            Note::Frames { stream, seq, frames, records } => {
                self.sessions.frames(*stream, (*seq, *frames), *records, name, leaf, out);
            }
            Note::Opened(o) => self.sessions.opened(*o, name, leaf, out),
            Note::Closed(c) => self.sessions.closed(c, name, leaf, out),
            Note::Loss(l) => self.losses.add(l, name, leaf),
            Note::Jump(j) => {
                let drift = |p: crate::model::ClockPair| i128::from(p.real.get()) - i128::from(p.boot.get());
                let step = drift(j.after) - drift(j.before);
                out.add(f::JUMP, Some(name), Some(leaf), format!("the wall clock was set by {step} ns"));
            }
            Note::Undecryptable => {
                let text = "a body does not open with its segment's key";
                out.add(f::DECRYPT_FAILED, Some(name), Some(leaf), text);
            }
            Note::Silence { from, to } => self.intervals.quiet(*from, *to, name, leaf),
            Note::Hook(change) => self.intervals.hook(change, name, leaf, out),
            Note::Clock(change) => self.intervals.clock(*change, name, leaf, out),
            Note::Cosigned(_) | Note::Boot(_) => {}
            Note::Unreadable => {
                out.add(f::CONTROL_UNREADABLE, Some(name), Some(leaf), "a control frame can't be decoded");
            }
        }
    }
}
