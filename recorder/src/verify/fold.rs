//! Folds the segments of one log, in order, into findings, sessions and a summary.

use std::collections::BTreeMap;
use std::num::NonZero;

use super::anchor::{Given, Judged, Mark, Recorded, Subject};
use super::expired::{self, Expired, Refused};
use super::files;
use super::finding::{self as f, Findings};
use super::interval::Intervals;
use super::link::{self, Named};
use super::log::Range;
use super::notes::Note;
use super::queue;
use super::report::LogSummary;
use super::secrecy::Secrecy;
use super::segment::{Outcome, Task, Unwalked, Walked, retell, walk};
use super::sessions::Sessions;
use super::{EndPolicy, Options, VerifyError};
use crate::journal::Identities;
use crate::journal::origin::Origin;
use crate::journal::retain::StubFault;
use crate::journal::retain::shelf::stub_leaf;
use crate::journal::segment::Reason;
use crate::journal::walk::Unreadable;
use crate::model::{LogId, RealNanos, SessionId, Tombstone};

/// Declared losses of one class and reason.
struct Losses {
    events: u64,
    records: u64,
    segment: String,
    leaf: u64,
}

/// A log of fewer bytes is walked by one thread.
const SMALL: u64 = 4 << 20;
/// Most threads. Each has about 1 MiB, and a few segments' notes.
const WIDEST: usize = 32;

pub(super) struct Fold<'a> {
    pub(super) out: Findings,
    pub(super) sessions: Sessions,
    losses: BTreeMap<(Vec<u8>, &'static str), Losses>,
    pub(super) secrecy: Secrecy,
    pub(super) given: Option<&'a Origin>,
    pub(super) summary: LogSummary,
    pub(super) ranges: Vec<Range>,
    pub(super) not_checked: Vec<String>,
    pub(super) intervals: Intervals,
    pub(super) whole: bool,
    pub(super) kept: &'a Given,
    pub(super) marks: Vec<Mark>,
    pub(super) recorded: Vec<Recorded>,
    pub(super) judged: Judged,
    /// Stubs that were linked, and the tombstones found, with their places among the segments.
    pub(super) expired: Vec<Expired>,
    pub(super) tombstones: Vec<(usize, Tombstone)>,
    /// A stub behind which nothing is read, and why.
    pub(super) refused: Option<Refused>,
    /// Ended before the last segment.
    pub(super) broken: bool,
    /// The log's first segments were not asked for.
    pub(super) begins_late: bool,
    /// Sessions that expired segments opened and a restart that they began, for the next range.
    pub(super) carried: (bool, Vec<(u64, SessionId)>),
}

fn name_of(task: &Task) -> String {
    task.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
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

/// Walks segments on all processors and hands them over in order; `tell` gets the bytes as they are done.
fn walk_all(
    tasks: &[Task],
    identities: &Identities,
    tell: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(&Task, Outcome) -> Result<bool, VerifyError>,
) -> Result<(), VerifyError> {
    // Threads cost more than small files do.
    let small = tasks.iter().map(|t| files::len(&t.path)).fold(0, u64::saturating_add) < SMALL;
    let width =
        if small { 1 } else { std::thread::available_parallelism().map_or(1, NonZero::get).min(WIDEST) };
    let mut failed = None;
    let work = |item: usize, tell: &dyn Fn(u64)| tasks.get(item).map(|task| walk(task, identities, tell));
    queue::in_order(tasks.len(), width, work, tell, &mut |item, outcome| {
        let (Some(task), Some(outcome)) = (tasks.get(item), outcome) else { return false };
        outcome.and_then(|outcome| each(task, outcome)).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    });
    failed.map_or(Ok(()), Err)
}

impl<'a> Fold<'a> {
    pub(super) fn new(log: LogId, given: Option<&'a Origin>, kept: &'a Given) -> Self {
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
            losses: BTreeMap::new(),
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
            expired: Vec::new(),
            tombstones: Vec::new(),
            refused: None,
            broken: false,
            begins_late: false,
            carried: (false, Vec::new()),
        }
    }

    pub(super) fn run(
        &mut self,
        tasks: &[Task],
        id: LogId,
        origin: Option<&Origin>,
        options: &Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), VerifyError> {
        if tasks.is_empty() {
            self.out.add(f::SEGMENT_MISSING, None, Some(0), "the log has no segment");
            self.origin_unchecked();
            return Ok(());
        }
        let mut before: Option<(String, Walked)> = None;
        let mut stopped_at: Option<usize> = None;
        let mut seen = 0usize;
        walk_all(tasks, &options.identities, progress, &mut |task, outcome| {
            let name = name_of(task);
            let place = seen;
            seen = seen.saturating_add(1);
            if let Some(refused) = self.refused.as_ref().filter(|r| r.place == place) {
                let leaf = stub_leaf(&name);
                self.out.add(refused.code, Some(&name), leaf, refused.text.clone());
                stopped_at = Some(seen);
                before = None;
                return Ok(false);
            }
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
            let known = self.out.list.len();
            let good = self.accept(before.as_ref(), (&name, &walked), id, origin);
            if walked.stub.is_some() || before.as_ref().is_some_and(|(_, b)| b.stub.is_some()) {
                expired::blame(&mut self.out, known);
            }
            if !good {
                before = None;
                stopped_at = Some(seen);
                return Ok(false);
            }
            self.take(task, &options.identities, (&name, place), &mut walked)?;
            before = Some((name, walked));
            Ok(true)
        })?;
        if before.as_ref().is_some_and(|(_, last)| last.stub.is_some()) {
            let text = "the log ends with a stub: what the recorder wrote last is gone";
            self.out.add(f::SEGMENT_MISSING, None, Some(self.summary.last), text);
            self.broken = true;
            return Ok(());
        }
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
        self.broken = stopped_at.is_some();
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

    fn unreadable(&mut self, before: Option<&(String, Walked)>, name: &str, why: Unwalked) {
        if let Some((before, w)) = before
            && let Some(fault) = w.fault.filter(|_| !w.reached)
        {
            let (code, text) = f::of_fault(fault.code);
            self.out.add(code, Some(before), Some(fault.leaf), text);
        }
        let leaf = crate::journal::segment::leaf_of(name).or_else(|| stub_leaf(name));
        match why {
            Unwalked::Stub(StubFault::Version(v)) => {
                self.out.add(f::UNSUPPORTED_VERSION, Some(name), leaf, format!("stub version {v}"));
            }
            Unwalked::Stub(fault) => self.out.add(f::STUB_INVALID, Some(name), leaf, fault.to_string()),
            Unwalked::Segment(Unreadable::Version(v)) => {
                self.out.add(f::UNSUPPORTED_VERSION, Some(name), leaf, format!("format version {v}"));
            }
            Unwalked::Segment(Unreadable::Header(code)) => {
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
        if crate::journal::segment::leaf_of(name).or_else(|| stub_leaf(name)) != Some(leaf) {
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
        if leaf != 0 && self.begins_late {
            return true;
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
    fn take(
        &mut self,
        task: &Task,
        identities: &Identities,
        (name, place): (&str, usize),
        w: &mut Walked,
    ) -> Result<(), VerifyError> {
        let fresh = matches!(w.header.reason, Reason::Resume | Reason::Break);
        if fresh {
            self.sessions.interrupted(w.header.next_stream);
        }
        self.intervals.begins(fresh, name, w, &mut self.out);
        match w.notes.take() {
            Some(notes) => notes.into_iter().for_each(|(leaf, note)| self.note(&note, (name, place), leaf)),
            None => retell(task, identities, w, &mut |leaf, note| self.note(&note, (name, place), leaf))?,
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
        if fresh {
            self.carried = (true, Vec::new());
        }
        if let Some(stub) = &w.stub {
            for part in &stub.streams {
                self.sessions.expired(part, name, w.first.header.leaf, &mut self.out);
                if let Some(id) = part.session.filter(|_| part.opened) {
                    self.carried.1.push((part.stream, id));
                }
            }
            self.tombstones.extend(stub.tombstones.iter().map(|t| (place, *t)));
            self.expired.push(Expired::new(place, name, stub));
            return Ok(());
        }
        if self.ranges.is_empty() {
            self.summary.first = w.first.header.leaf;
        }
        // A reader sees behind a last seal what follows the chain, but not what a storage fault repeats elsewhere.
        let readable = if task.repeated { w.sealed_end() } else { w.tail.readable };
        let (fresh, opened) = std::mem::take(&mut self.carried);
        self.ranges.push(Range { path: task.path.clone(), sealed: w.sealed_end(), readable, fresh, opened });
        Ok(())
    }

    fn note(&mut self, note: &Note, (name, place): (&str, usize), leaf: u64) {
        let out = &mut self.out;
        match note {
            Note::Frames { stream, seq, frames, records } => {
                self.sessions.frames(*stream, (*seq, *frames), *records, name, leaf, out);
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
            Note::Tombstone(t) => self.tombstones.push((place, *t)),
            Note::Jump(j) => {
                let drift = |p: crate::model::ClockPair| i128::from(p.real.get()) - i128::from(p.boot.get());
                let step = drift(j.after) - drift(j.before);
                out.add(f::JUMP, Some(name), Some(leaf), format!("the wall clock was set by {step} ns"));
            }
            Note::Undecryptable => {
                let text = "a body does not open with its segment's key";
                out.add(f::DECRYPT_FAILED, Some(name), Some(leaf), text);
            }
            Note::Cosigned(_) | Note::Boot(..) | Note::Stop(_) => {}
            Note::Silence { from, to } => self.intervals.quiet(*from, *to, name, leaf),
            Note::Hook(change) => self.intervals.hook(change, name, leaf, out),
            Note::Clock(change) => self.intervals.clock(*change, name, leaf, out),
            Note::Unreadable => {
                out.add(f::CONTROL_UNREADABLE, Some(name), Some(leaf), "a control frame can't be decoded");
            }
        }
    }

    pub(super) fn report_losses(&mut self) {
        for ((class, reason), Losses { events, records, segment, leaf }) in std::mem::take(&mut self.losses) {
            let class = crate::model::Bytes::new(class).escaped();
            let text =
                format!("{events} events of class {class} are declared lost ({reason}, {records} records)");
            self.out.add(f::LOSS, Some(&segment), Some(leaf), text);
        }
    }
}
