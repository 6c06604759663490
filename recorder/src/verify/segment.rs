//! Walks one segment and keeps what the log's fold needs: no look at other segments, so segments can be walked in parallel.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::files::{io_error, open_file};
use super::{VerifyError, expired};
use crate::journal::frame::FrameType;
use crate::journal::record::{CODEC, decode};
use crate::journal::retain::{Stub, StubFault};
use crate::journal::scan::Found;
use crate::journal::segment::{NONE, SegmentHeader};
use crate::journal::walk::{Event, Fault, State, Unreadable, Walk};
use crate::model::{Body, BootNanos, ClockPair, Digest, Jump, Loss, SessionClosed, SessionOpened, Tombstone};

/// Longest time between two seals of a living recorder: three idle heartbeats.
pub(super) const SILENCE: u64 = 30_000_000_000;

/// What the log's fold has to know of a sealed leaf.
#[derive(Clone, Debug)]
pub(super) enum Note {
    Frame { stream: u64, seq: u64, records: u32 },
    Opened(SessionOpened),
    Closed(SessionClosed),
    Loss(Loss),
    Jump(Jump),
    Tombstone(Tombstone),
    Silence { from: BootNanos, to: BootNanos },
    Unreadable,
}

/// What lies behind the last seal that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// File length.
    pub(super) len: u64,
    /// End of the last byte that is not zero.
    pub(super) used: u64,
    /// SHA-256 from the seal to `used`.
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
    pub(super) notes: Vec<(u64, Note)>,
    pub(super) last_clock: ClockPair,
    pub(super) first_clock: ClockPair,
    pub(super) tail: Tail,
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
}

/// Why a file could not be walked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unwalked {
    Segment(Unreadable),
    Stub(StubFault),
}

pub(super) type Outcome = Result<Walked, Unwalked>;

/// Only the header, to know where its predecessor ends.
pub(super) fn peek(path: &Path) -> Result<Option<(SegmentHeader, u64)>, VerifyError> {
    if path.extension().is_some_and(|e| e == "stub") {
        let stub = expired::read(path)?;
        return Ok(stub.ok().map(|s| (s.header, s.first.header.stream_seq)));
    }
    let file = open_file(path).map_err(io_error(path))?;
    let walk = Walk::<File>::open(file).map_err(io_error(path))?;
    Ok(walk.ok().map(|w| (w.header, w.first.header.stream_seq)))
}

/// Walks a segment to its end.
pub(super) fn walk(task: &Task) -> Result<Outcome, VerifyError> {
    if task.stub {
        return Ok(expired::read(&task.path)?.map(expired::walked).map_err(Unwalked::Stub));
    }
    let io = io_error(&task.path);
    let file = open_file(&task.path).map_err(&io)?;
    let mut walk = match Walk::open(file).map_err(&io)? {
        Ok(walk) => walk,
        Err(unreadable) => return Ok(Err(Unwalked::Segment(unreadable))),
    };
    let mut notes = Vec::new();
    let (mut sealed_notes, mut seals_behind) = (0, 0u64);
    let mut end: Option<State> = None;
    let (mut first_clock, mut last_clock) = (None::<ClockPair>, ClockPair::default());
    let fault = loop {
        match walk.step().map_err(&io)? {
            Event::Leaf(found) if end.is_none() => note(&found, walk.body(), &mut notes),
            Event::Leaf(_) => {}
            Event::Sealed(_) if end.is_some() => seals_behind = seals_behind.saturating_add(1),
            Event::Sealed(point) => {
                let now = point.seal.clock;
                if first_clock.is_none() {
                    first_clock = Some(now);
                } else if now.boot.since(last_clock.boot) > SILENCE {
                    let silence = Note::Silence { from: last_clock.boot, to: now.boot };
                    notes.push((point.seal.tree_size, silence));
                }
                last_clock = now;
                sealed_notes = notes.len();
                if task.limit == Some(point.seal.no) {
                    end = Some(walk.committed.clone());
                }
            }
            Event::End => break None,
            Event::Fault(fault) => break Some(fault),
        }
    };
    notes.truncate(sealed_notes);
    let reached = end.is_some();
    let readable = (walk.state.end, walk.state.record, walk.state.next_stream);
    let end = end.unwrap_or_else(|| walk.committed.clone());
    let from = end.seal.map_or(end.end, |s| s.end);
    let used = walk.scanner().used_end(from).map_err(&io)?;
    let sha256 = walk.scanner().digest(from, used.saturating_sub(from)).map_err(&io)?;
    let len = walk.scanner().len();
    // Behind the seal number n that was reached, n+1 may be the remains of the one commit that a crash can tear.
    let later_seal = used > from && walk.seal_behind(from, end.next_seal.saturating_add(1)).map_err(&io)?;
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
    Ok(Ok(Walked {
        header: walk.header,
        signed: walk.signed,
        signature: walk.signature,
        first: walk.first,
        end,
        reached,
        fault,
        unsupported: walk.unsupported,
        notes,
        last_clock,
        first_clock: first_clock.unwrap_or_default(),
        tail,
        stub: None,
    }))
}

/// Control records are read here; bodies of sessions are not opened by verification.
fn note(found: &Found, body: &[u8], notes: &mut Vec<(u64, Note)>) {
    let h = &found.header;
    match h.kind {
        FrameType::DATA => {
            notes.push((h.leaf, Note::Frame { stream: h.stream, seq: h.stream_seq, records: h.records }));
        }
        FrameType::CONTROL if h.codec == CODEC => match decode(body) {
            Ok(records) if u32::try_from(records.len()) == Ok(h.records) => {
                notes.extend(records.into_iter().filter_map(|r| Some((h.leaf, of_body(r.body)?))));
            }
            _ => notes.push((h.leaf, Note::Unreadable)),
        },
        _ => {}
    }
}

fn of_body(body: Body) -> Option<Note> {
    Some(match body {
        Body::SessionOpened(o) => Note::Opened(o),
        Body::SessionClosed(c) => Note::Closed(c),
        Body::Loss(l) => Note::Loss(l),
        Body::Jump(j) => Note::Jump(j),
        Body::Tombstone(t) => Note::Tombstone(t),
        _ => return None,
    })
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
        let measured = said.bytes == self.tail.used.saturating_sub(from) && said.sha256 == self.tail.sha256;
        said.offset == from && (said.bytes == NONE || measured)
    }
}
