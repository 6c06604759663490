//! Walks one segment and keeps what the log's fold needs: no look at other segments, so segments can be walked in parallel.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::VerifyError;
use super::anchor::{Mark, Recorded};
use super::files::{io_error, open_file};
use super::interval::SILENCE;
use super::opener::{Access, Content, Opener};
use crate::journal::Identities;
use crate::journal::frame::FrameType;
use crate::journal::record::{CODEC, decode};
use crate::journal::scan::Found;
use crate::journal::segment::{NONE, SegmentHeader};
use crate::journal::walk::{Event, Fault, SealPoint, State, Unreadable, Walk};
use crate::model::{
    Body, ClockChange, ClockPair, Cosigned, Digest, HookChange, Jump, Loss, SessionClosed, SessionOpened,
};

/// What the log's fold has to know of a sealed leaf.
#[derive(Clone, Debug)]
pub(super) enum Note {
    Frame {
        stream: u64,
        seq: u64,
        records: u32,
    },
    Opened(SessionOpened),
    Closed(SessionClosed),
    Loss(Loss),
    Jump(Jump),
    Cosigned(Box<Cosigned>),
    Hook(Box<HookChange>),
    Clock(ClockChange),
    Boot(ClockPair),
    Silence {
        from: ClockPair,
        to: ClockPair,
    },
    Unreadable,
    /// A body does not open with the segment's key.
    Undecryptable,
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
    /// What the identities make of it.
    pub(super) access: Access,
    /// Roots at the sizes that were asked for.
    pub(super) marks: Vec<Mark>,
    /// Checkpoints that witnesses had signed.
    pub(super) recorded: Vec<Recorded>,
}

/// A file that is to be walked.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) path: PathBuf,
    /// Seal at which a following restart says that this segment ended.
    pub(super) limit: Option<u64>,
    /// That restart followed a storage fault and repeats what was not acknowledged.
    pub(super) repeated: bool,
    /// Tree sizes whose roots have to be kept, rising.
    pub(super) wanted: Arc<[u64]>,
}

pub(super) type Outcome = Result<Walked, Unreadable>;

/// Only the header, to know where its predecessor ends.
pub(super) fn peek(path: &Path) -> Result<Option<(SegmentHeader, u64)>, VerifyError> {
    let file = open_file(path).map_err(io_error(path))?;
    let walk = Walk::<File>::open(file).map_err(io_error(path))?;
    Ok(walk.ok().map(|w| (w.header, w.first.header.stream_seq)))
}

/// Walks a segment to its end.
pub(super) fn walk(task: &Task, identities: &Identities) -> Result<Outcome, VerifyError> {
    let io = io_error(&task.path);
    let file = open_file(&task.path).map_err(&io)?;
    let mut walk = match Walk::open(file).map_err(&io)? {
        Ok(walk) => walk,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    let mut opener = Opener::new(identities, &walk.header, walk.first.header.leaf);
    let mut notes = Vec::new();
    let (mut sealed_notes, mut seals_behind) = (0, 0u64);
    let mut end: Option<State> = None;
    let (mut first_clock, mut last_clock) = (None::<ClockPair>, ClockPair::default());
    let mut roots = Roots::new(&task.wanted);
    roots.leaf(&walk.state);
    let fault = loop {
        match walk.step().map_err(&io)? {
            Event::Leaf(found) if end.is_none() => {
                note(&found, walk.body(), &mut notes);
                if matches!(opener.open(&found.header, walk.body()), Content::Broken) {
                    notes.push((found.header.leaf, Note::Undecryptable));
                }
                roots.leaf(&walk.state);
            }
            Event::Leaf(_) => {}
            Event::Sealed(_) if end.is_some() => seals_behind = seals_behind.saturating_add(1),
            Event::Sealed(point) => {
                let now = point.seal.clock;
                if first_clock.is_none() {
                    first_clock = Some(now);
                } else if now.boot.since(last_clock.boot) > SILENCE {
                    let silence = Note::Silence { from: last_clock, to: now };
                    notes.push((point.seal.tree_size, silence));
                }
                last_clock = now;
                roots.sealed(&point, notes.get(sealed_notes..).unwrap_or_default());
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
    let marks = roots.marks.into_iter().filter(|m| m.size <= end.leaf).collect();
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
        access: opener.access,
        marks,
        recorded: roots.recorded,
    }))
}

/// Seals of a segment whose roots are kept for the checkpoints that come back: some minutes of the busiest host.
const RECENT: usize = 1 << 16;

/// Roots that somebody else may have signed.
struct Roots<'a> {
    wanted: std::slice::Iter<'a, u64>,
    next: Option<u64>,
    marks: Vec<Mark>,
    recent: VecDeque<(u64, Digest)>,
    recorded: Vec<Recorded>,
}

impl<'a> Roots<'a> {
    fn new(wanted: &'a [u64]) -> Self {
        let mut wanted = wanted.iter();
        let next = wanted.next().copied();
        Self { wanted, next, marks: Vec::new(), recent: VecDeque::new(), recorded: Vec::new() }
    }

    fn leaf(&mut self, state: &State) {
        while self.next.is_some_and(|size| size < state.leaf) {
            self.next = self.wanted.next().copied();
        }
        if self.next == Some(state.leaf) {
            self.marks.push(Mark { size: state.leaf, root: state.tree.root(), sealed: None });
        }
    }

    /// `notes`: of the frames that this seal covers.
    fn sealed(&mut self, point: &SealPoint, notes: &[(u64, Note)]) {
        let seal = &point.seal;
        if let Some(mark) = self.marks.last_mut().filter(|m| m.size == seal.tree_size) {
            mark.sealed = Some(seal.clock.real);
        }
        for (leaf, note) in notes {
            let Note::Cosigned(cosigned) = note else { continue };
            let known = self.recent.iter().rev().find(|(size, _)| *size <= cosigned.size);
            let fits =
                known.filter(|(size, _)| *size == cosigned.size).map(|(_, root)| *root == cosigned.root);
            self.recorded.push(Recorded { leaf: *leaf, cosigned: Cosigned::clone(cosigned), fits });
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((seal.tree_size, seal.root));
    }
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
        Body::Checkpoint(c) => Note::Cosigned(c),
        Body::Hook(h) => Note::Hook(h),
        Body::Clock(c) => Note::Clock(c),
        Body::Boot(b) => Note::Boot(b.clock),
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
