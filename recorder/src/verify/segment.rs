//! Walks one segment and keeps what the log's fold needs: no look at other segments, so segments can be walked in parallel.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::VerifyError;
use super::anchor::{Mark, Recorded};
use super::expired;
use super::files::{self, io_error};
use super::interval::SILENCE;
use super::notes::{Note, Notes, Program, of_leaf};
use super::opener::{Access, Content, Opener};
use super::roots::Roots;
use crate::journal::Identities;
use crate::journal::disk::ReadAt;
use crate::journal::retain::{Stub, StubFault};
use crate::journal::scan::Found;
use crate::journal::segment::{NONE, SegmentHeader};
use crate::journal::walk::{Event, Fault, FaultCode, State, Unreadable, Walk};
use crate::model::{ClockPair, Digest};

/// Longest segment.
const LONGEST: u64 = 1 << 32;

/// What lies behind the last seal that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// File length.
    pub(super) len: u64,
    /// End of the last byte that is not zero.
    pub(super) used: u64,
    /// SHA-256 from the seal to `used`; zero if that is longer than a segment.
    pub(super) sha256: Digest,
    /// Whole further commits, sealed and all.
    pub(super) seals: u64,
    /// A seal of this log that no crash leaves behind damage.
    pub(super) later_seal: bool,
    /// End of the frames that still follow the chain.
    pub(super) readable: u64,
    /// Record and stream numbers used up by them.
    pub(super) record: u64,
    pub(super) next_stream: u64,
}

/// What a segment says of the runs that begin and end in it.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// When the boot record was written: its hooks had answered.
    pub(super) ready: Option<ClockPair>,
    /// What began to record then.
    pub(super) program: Option<Program>,
    /// Up to when the last stop record says that everything was taken: seals behind that hold what was still to be done.
    pub(super) stop: Option<ClockPair>,
}

impl Run {
    fn see(&mut self, note: &Note) {
        match note {
            Note::Boot(clock, by) => {
                self.ready.get_or_insert(*clock);
                self.program.get_or_insert_with(|| by.clone());
            }
            Note::Stop(clock) => self.stop = Some(*clock),
            _ => {}
        }
    }
}

/// A segment that could be walked.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) header: SegmentHeader,
    pub(super) signed: Vec<u8>,
    pub(super) signature: [u8; 64],
    pub(super) first: Found,
    /// At the last seal that counts.
    pub(super) end: State,
    /// The seal that a following restart names was reached.
    pub(super) reached: bool,
    pub(super) fault: Option<Fault>,
    pub(super) unsupported: Option<u64>,
    /// `None`: too many to keep; [`retell`] gives them.
    pub(super) notes: Option<Vec<(u64, Note)>>,
    pub(super) last_clock: ClockPair,
    pub(super) first_clock: ClockPair,
    pub(super) run: Run,
    pub(super) tail: Tail,
    /// What the identities make of it.
    pub(super) access: Access,
    /// Roots at the sizes that were asked for.
    pub(super) marks: Vec<Mark>,
    /// Checkpoints that witnesses had signed.
    pub(super) recorded: Vec<Recorded>,
    /// Only its stub is left.
    pub(super) stub: Option<Box<Stub>>,
}

/// A file that is to be walked.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) path: PathBuf,
    /// Seal at which a following restart says that this segment ended.
    pub(super) limit: Option<u64>,
    /// That restart followed a storage fault and repeats what was not acknowledged.
    pub(super) repeated: bool,
    /// The file is a stub.
    pub(super) stub: bool,
    /// Tree sizes whose roots have to be kept, rising.
    pub(super) wanted: Arc<[u64]>,
}

/// Why a file could not be walked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unwalked {
    Segment(Unreadable),
    Stub(StubFault),
}

pub(super) type Outcome = Result<Walked, Unwalked>;

/// A file that is no file, or a link to one, is as good as a damaged one: a recorder makes neither.
const NO_FILE: Unreadable = Unreadable::Header(FaultCode::FrameBroken);
/// Bytes between two tellings of how far a walk is.
const TELL: u64 = 8 << 20;

fn open(path: &Path) -> Result<Result<Walk<File>, Unreadable>, VerifyError> {
    let Some(file) = files::open_regular(path).map_err(io_error(path))? else { return Ok(Err(NO_FILE)) };
    Walk::open(file).map_err(io_error(path))
}

/// Only the header, to know where its predecessor ends.
pub(super) fn peek(path: &Path) -> Result<Option<(SegmentHeader, u64)>, VerifyError> {
    if path.extension().is_some_and(|e| e == "stub") {
        let stub = expired::read(path)?;
        return Ok(stub.ok().map(|s| (s.header, s.first.header.stream_seq)));
    }
    Ok(open(path)?.ok().map(|w| (w.header, w.first.header.stream_seq)))
}

/// Where the bytes behind the end end, and whether one of them is a seal that no crash leaves there.
fn behind<R: ReadAt>(walk: &mut Walk<R>, end: Option<&State>) -> io::Result<(u64, bool)> {
    let end = end.unwrap_or(&walk.committed);
    // Behind the seal number n that was reached, n+1 may be the remains of the one commit that a crash can tear.
    let (from, next) = (end.seal.map_or(end.end, |s| s.end), end.next_seal.saturating_add(1));
    let used = walk.scanner().used_end(from)?;
    let later_seal = used > from && walk.seal_behind(from, next)?;
    Ok((used, later_seal))
}

/// Walks a segment to its end; `tell` gets the bytes as they are done, in all the file's length.
pub(super) fn walk(task: &Task, identities: &Identities, tell: &dyn Fn(u64)) -> Result<Outcome, VerifyError> {
    if task.stub {
        let stub = expired::read(&task.path)?;
        return Ok(stub.map(|stub| expired::walked(stub, &task.wanted)).map_err(Unwalked::Stub));
    }
    match open(&task.path)? {
        Ok(walk) => Ok(Ok(to_the_end(walk, task, identities, tell).map_err(io_error(&task.path))?)),
        Err(unreadable) => Ok(Err(Unwalked::Segment(unreadable))),
    }
}

fn to_the_end<R: ReadAt>(
    mut walk: Walk<R>,
    task: &Task,
    identities: &Identities,
    tell: &dyn Fn(u64),
) -> io::Result<Walked> {
    let mut opener = Opener::new(identities, &walk.header, walk.first.header.leaf);
    let mut notes = Notes::default();
    let mut roots = Roots::new(&task.wanted);
    roots.leaf(&walk.state);
    let mut run = Run::default();
    let (mut told, mut seals_behind) = (0u64, 0u64);
    let mut end: Option<State> = None;
    let (mut first_clock, mut last_clock) = (None::<ClockPair>, ClockPair::default());
    let mut stood = None;
    let (fault, used, later_seal) = loop {
        let fault = match walk.step()? {
            Event::Leaf(found) if end.is_none() => {
                of_sealed(&found, walk.body(), &mut opener, &mut |leaf, note| {
                    roots.note(leaf, &note);
                    run.see(&note);
                    notes.push(leaf, note);
                });
                roots.leaf(&walk.state);
                None
            }
            Event::Leaf(_) => None,
            Event::Sealed(_) if end.is_some() => {
                seals_behind = seals_behind.saturating_add(1);
                None
            }
            Event::Sealed(point) => {
                let now = point.seal.clock;
                notes.seal();
                if first_clock.is_none() {
                    first_clock = Some(now);
                } else if let Some(silence) = silence(last_clock, now) {
                    notes.add(point.seal.tree_size, silence);
                }
                last_clock = now;
                roots.sealed(&point);
                if task.limit == Some(point.seal.no) {
                    end = Some(walk.committed.clone());
                }
                None
            }
            Event::End => Some(None),
            Event::Fault(fault) => Some(Some(fault)),
        };
        let done = walk.state.end.saturating_sub(told);
        if done >= TELL {
            tell(done);
            told = walk.state.end;
        }
        let Some(fault) = fault else { continue };
        let (used, later_seal) = behind(&mut walk, end.as_ref())?;
        // A log that is written while it is read has gone on by now: then there is more to walk, from here.
        // A later seal is believed only if the step failed once more after it was seen.
        let here = (walk.state.end, later_seal);
        if used > walk.state.end && stood != Some(here) {
            stood = Some(here);
            walk.scanner().refresh()?;
            continue;
        }
        break (fault, used, later_seal);
    };
    let reached = end.is_some();
    let readable = (walk.state.end, walk.state.record, walk.state.next_stream);
    let end = end.unwrap_or_else(|| walk.committed.clone());
    let marks = roots.marks.into_iter().filter(|m| m.size <= end.leaf).collect();
    let from = end.seal.map_or(end.end, |s| s.end);
    // No recorder leaves more behind than a segment holds; a sparse file could have anybody hash for hours.
    let rest = used.saturating_sub(from);
    let sha256 = if rest > LONGEST { Digest::default() } else { walk.scanner().digest(from, rest)? };
    let len = walk.scanner().len();
    tell(len.saturating_sub(told));
    let tail = Tail {
        len,
        used,
        sha256,
        seals: seals_behind,
        later_seal,
        readable: readable.0,
        record: readable.1,
        next_stream: readable.2,
    };
    Ok(Walked {
        header: walk.header,
        signed: walk.signed,
        signature: walk.signature,
        first: walk.first,
        end,
        reached,
        fault,
        unsupported: walk.unsupported,
        notes: notes.finish(),
        last_clock,
        first_clock: first_clock.unwrap_or_default(),
        run,
        tail,
        access: opener.access,
        marks,
        recorded: roots.recorded,
        stub: None,
    })
}

/// Notes of a leaf, and whether its body opens for who can open the segment.
fn of_sealed(found: &Found, body: &[u8], opener: &mut Opener, each: &mut dyn FnMut(u64, Note)) {
    let leaf = found.header.leaf;
    of_leaf(&found.header, body, &mut |note| each(leaf, note));
    if matches!(opener.open(&found.header, body), Content::Broken) {
        each(leaf, Note::Undecryptable);
    }
}

fn silence(before: ClockPair, now: ClockPair) -> Option<Note> {
    let long = now.boot.since(before.boot) > SILENCE;
    long.then_some(Note::Silence { from: before, to: now })
}

/// Walks a segment once more and gives its sealed notes one by one, for those that have too many to keep them.
pub(super) fn retell(
    task: &Task,
    identities: &Identities,
    walked: &Walked,
    each: &mut dyn FnMut(u64, Note),
) -> Result<(), VerifyError> {
    let changed = || VerifyError::Changed { path: task.path.clone() };
    let mut walk = open(&task.path)?.map_err(|_| changed())?;
    let mut opener = Opener::new(identities, &walk.header, walk.first.header.leaf);
    let mut last = None::<ClockPair>;
    while walk.state.end < walked.sealed_end() {
        match walk.step().map_err(io_error(&task.path))? {
            Event::Leaf(found) => of_sealed(&found, walk.body(), &mut opener, each),
            Event::Sealed(point) => {
                let now = point.seal.clock;
                if let Some(silence) = last.and_then(|last| silence(last, now)) {
                    each(point.seal.tree_size, silence);
                }
                last = Some(now);
            }
            Event::End | Event::Fault(_) => return Err(changed()),
        }
    }
    if walk.state.prev == walked.end.prev { Ok(()) } else { Err(changed()) }
}

impl Walked {
    /// True if the last commit was a stop.
    pub(super) fn stopped(&self) -> bool {
        self.end.footer.is_some_and(|f| f.stopped == 1)
    }

    /// True if a footer closed the segment.
    pub(super) const fn closed(&self) -> bool {
        self.end.footer.is_some()
    }

    /// End of the last seal that counts.
    pub(super) fn sealed_end(&self) -> u64 {
        self.end.seal.map_or(0, |s| s.end)
    }

    /// The file has the length that the writer gives it: while active that of the header, closed the exact one.
    pub(super) fn right_len(&self) -> bool {
        self.tail.len == self.header.capacity || (self.closed() && self.tail.len == self.sealed_end())
    }

    /// What a restart after this segment must say that it set aside.
    pub(super) fn set_aside_is(&self, said: crate::journal::SetAside) -> bool {
        let from = self.sealed_end();
        let rest = self.tail.used.saturating_sub(from);
        let measured = rest <= LONGEST && said.bytes == rest && said.sha256 == self.tail.sha256;
        said.offset == from && (said.bytes == NONE || measured)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A file of which more is there once its end was looked at.
    struct Growing {
        all: Vec<u8>,
        first: u64,
        seen: Cell<bool>,
    }

    impl ReadAt for Growing {
        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            let at = usize::try_from(offset).unwrap();
            let rest = self.all.get(at..).unwrap_or_default();
            let len = rest.len().min(out.len());
            out[..len].copy_from_slice(&rest[..len]);
            let hidden = usize::try_from(self.first.saturating_sub(offset)).unwrap().min(len);
            if !self.seen.get() && hidden < len {
                out[hidden..len].fill(0);
                self.seen.set(true);
            }
            Ok(len)
        }

        fn size(&self) -> io::Result<u64> {
            Ok(u64::try_from(self.all.len()).unwrap())
        }
    }

    #[test]
    fn what_is_written_meanwhile_is_walked_as_well() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/v1/checkpoint/journal/6cd78104b5f1462bee2daf70dae71d4c/seg-0000000000000000.rj"
        );
        let file = std::fs::read(path).unwrap();
        let task = Task {
            path: PathBuf::new(),
            limit: None,
            repeated: false,
            stub: false,
            wanted: Vec::new().into(),
        };
        let walked = |first: u64| {
            let source = Growing { all: file.clone(), first, seen: Cell::new(false) };
            let walk = Walk::open(source).unwrap().unwrap();
            to_the_end(walk, &task, &Identities::default(), &|_| ()).unwrap()
        };
        let whole = walked(u64::MAX);
        assert!(whole.end.seals > 3 && !whole.tail.later_seal);
        // Wherever the file ended when it was looked at first.
        for first in (whole.first.end..whole.end.end).step_by(8) {
            let walked = walked(first);
            assert_eq!(
                (walked.end.seals, walked.tail.later_seal),
                (whole.end.seals, false),
                "from byte {first}"
            );
        }
    }
}
