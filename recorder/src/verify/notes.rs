//! What the log's fold has to know of a segment's leaves. A note for each frame would grow with the file, so frames of a
//! stream that follow each other are one note; what lies behind the last seal never counts.

use std::collections::HashMap;

use crate::journal::frame::{FrameType, Header};
use crate::journal::record::{CODEC, decode};
use crate::model::{
    Body, ClockChange, ClockPair, Cosigned, Digest, HookChange, Jump, Loss, SessionClosed, SessionOpened,
    Tombstone,
};

/// Most notes of a segment that are kept. A segment with more is walked a second time, when its turn in the log comes.
pub(super) const KEPT: usize = 1 << 15;

/// What the log's fold has to know of sealed leaves.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    /// Data frames of a stream, by running numbers `seq`, `seq` + 1, …
    Frames {
        stream: u64,
        seq: u64,
        frames: u64,
        records: u64,
    },
    Opened(SessionOpened),
    Closed(SessionClosed),
    Loss(Loss),
    Jump(Jump),
    Tombstone(Tombstone),
    Cosigned(Box<Cosigned>),
    Hook(Box<HookChange>),
    Clock(ClockChange),
    Boot(ClockPair, Program),
    Stop(ClockPair),
    Silence {
        from: ClockPair,
        to: ClockPair,
    },
    Unreadable,
    /// A body does not open with the segment's key.
    Undecryptable,
}

/// Notes in the order of their first leaves; those of one stream are in the order of the frames.
#[derive(Debug, Default)]
struct Folded {
    list: Vec<(u64, Note)>,
    /// Where in the list a stream's frames go on.
    runs: HashMap<u64, usize>,
}

impl Folded {
    fn push(&mut self, leaf: u64, note: Note) {
        match &note {
            Note::Frames { stream, seq, frames, records } => {
                let run = self.runs.get(stream).and_then(|at| self.list.get_mut(*at));
                if let Some((_, Note::Frames { seq: first, frames: have, records: sum, .. })) = run
                    && first.checked_add(*have) == Some(*seq)
                {
                    *have = have.saturating_add(*frames);
                    *sum = sum.saturating_add(*records);
                    return;
                }
                self.runs.insert(*stream, self.list.len());
            }
            // Frames before an edge of their stream are judged otherwise than frames behind it.
            Note::Opened(o) => drop(self.runs.remove(&o.stream.get())),
            Note::Closed(c) => drop(self.runs.remove(&c.stream.get())),
            _ => {}
        }
        self.list.push((leaf, note));
    }

    fn clear(&mut self) {
        self.list.clear();
        self.runs.clear();
    }
}

/// Collects the notes of a segment.
/// What recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) version: String,
    pub(super) sha256: Digest,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    sealed: Folded,
    /// Of the commit whose seal is still to come.
    open: Folded,
    too_many: bool,
}

impl Notes {
    /// A note of a leaf that is not yet sealed. Checkpoints that came back, boots and stops are looked at elsewhere.
    pub(super) fn push(&mut self, leaf: u64, note: Note) {
        if !self.too_many && !matches!(note, Note::Cosigned(_) | Note::Boot(..) | Note::Stop(_)) {
            self.open.push(leaf, note);
            self.bound();
        }
    }

    /// A note about sealed leaves.
    pub(super) fn add(&mut self, leaf: u64, note: Note) {
        if !self.too_many {
            self.sealed.push(leaf, note);
            self.bound();
        }
    }

    /// A seal: everything before it counts.
    pub(super) fn seal(&mut self) {
        self.open.runs.clear();
        for (leaf, note) in self.open.list.drain(..) {
            self.sealed.push(leaf, note);
        }
    }

    fn bound(&mut self) {
        if self.sealed.list.len().saturating_add(self.open.list.len()) > KEPT {
            self.too_many = true;
            (self.sealed, self.open) = (Folded::default(), Folded::default());
        }
    }

    /// The notes of all sealed leaves; `None` if they are too many.
    pub(super) fn finish(mut self) -> Option<Vec<(u64, Note)>> {
        self.open.clear();
        (!self.too_many).then_some(self.sealed.list)
    }
}

/// Control records are read here; bodies of sessions are not opened by verification.
pub(super) fn of_leaf(h: &Header, body: &[u8], each: &mut dyn FnMut(Note)) {
    match h.kind {
        FrameType::DATA => {
            let (stream, seq, records) = (h.stream, h.stream_seq, u64::from(h.records));
            each(Note::Frames { stream, seq, frames: 1, records });
        }
        FrameType::CONTROL if h.codec == CODEC => match decode(body) {
            Ok(records) if u32::try_from(records.len()) == Ok(h.records) => {
                records.into_iter().filter_map(|r| of_body(r.body)).for_each(each);
            }
            _ => each(Note::Unreadable),
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
        Body::Checkpoint(c) => Note::Cosigned(c),
        Body::Hook(h) => Note::Hook(h),
        Body::Clock(c) => Note::Clock(c),
        Body::Stop(s) => Note::Stop(s.clock),
        Body::Boot(b) => {
            // Somebody else may have written it: no longer than a version is.
            let version = b.version.escaped().chars().take(40).collect();
            Note::Boot(b.clock, Program { version, sha256: b.recorder_sha256 })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::finding::Findings;
    use super::super::sessions::Sessions;
    use super::*;
    use crate::model::{EndReason, SessionId, StreamNo};

    fn opened(no: u64) -> Note {
        Note::Opened(SessionOpened { stream: StreamNo::new(no), id: SessionId::new([1; 16]) })
    }

    fn closed(no: u64, frames: u64, records: u64) -> Note {
        let (stream, id) = (StreamNo::new(no), SessionId::new([1; 16]));
        Note::Closed(SessionClosed { stream, id, reason: EndReason::LastTask, frames, records, losses: 0 })
    }

    fn frame(stream: u64, seq: u64) -> Note {
        Note::Frames { stream, seq, frames: 1, records: 2 }
    }

    /// What the fold makes of notes.
    fn told(notes: &[(u64, Note)]) -> impl PartialEq + std::fmt::Debug + use<> {
        let (mut sessions, mut out) = (Sessions::default(), Findings::new(None));
        for (leaf, note) in notes {
            match note {
                Note::Frames { stream, seq, frames, records } => {
                    sessions.frames(*stream, (*seq, *frames), *records, "seg", *leaf, &mut out);
                }
                Note::Opened(o) => sessions.opened(*o, "seg", *leaf, &mut out),
                Note::Closed(c) => sessions.closed(c, "seg", *leaf, &mut out),
                _ => {}
            }
        }
        let verdicts = sessions.verdicts(true);
        // Leaves of frames that a run holds are not in their old order; what is found of each is the same.
        out.list.sort_by(|a, b| (a.leaf, a.code, &a.text).cmp(&(b.leaf, b.code, &b.text)));
        (out.list, verdicts)
    }

    fn any_note() -> impl Strategy<Value = Note> {
        let no = 0..4u64;
        prop_oneof![
            6 => (no.clone(), 0..6u64).prop_map(|(no, seq)| frame(no, seq)),
            1 => no.clone().prop_map(opened),
            1 => (no, 0..6u64).prop_map(|(no, n)| closed(no, n, 2 * n)),
        ]
    }

    /// Streams as a recorder writes them, with a few that lie.
    fn any_story() -> impl Strategy<Value = Vec<Note>> {
        let honest = prop::collection::vec((1..4u64, prop::bool::weighted(0.1)), 0..60).prop_map(|order| {
            let mut next = [0u64; 4];
            let mut notes: Vec<Note> = (1..4).map(opened).collect();
            for (no, close) in order {
                let seq = &mut next[usize::try_from(no).unwrap()];
                if close {
                    notes.push(closed(no, *seq, 2 * *seq));
                } else {
                    notes.push(frame(no, *seq));
                    *seq += 1;
                }
            }
            notes
        });
        prop_oneof![honest, prop::collection::vec(any_note(), 0..40)]
    }

    proptest! {
        #[test]
        fn folded_notes_tell_the_same(story in any_story(), seals in prop::collection::vec(any::<bool>(), 60)) {
            let plain: Vec<(u64, Note)> = (10..).zip(story).collect();
            let mut notes = Notes::default();
            for (n, (leaf, note)) in plain.iter().enumerate() {
                notes.open.push(*leaf, note.clone());
                if seals.get(n).copied().unwrap_or(false) {
                    notes.seal();
                }
            }
            notes.seal();
            prop_assert_eq!(told(&notes.finish().unwrap()), told(&plain));
        }
    }

    #[test]
    fn ten_sessions_that_take_turns_are_ten_notes_and_what_no_seal_covers_is_none() {
        let mut notes = Notes::default();
        for n in 0..1000u64 {
            notes.open.push(n, frame(n % 10 + 1, n / 10));
            if n % 7 == 0 {
                notes.seal();
            }
        }
        notes.seal();
        notes.open.push(1000, frame(1, 100));
        let list = notes.finish().unwrap();
        let expected =
            (1..=10).map(|no| (no - 1, Note::Frames { stream: no, seq: 0, frames: 100, records: 200 }));
        assert_eq!(list, expected.collect::<Vec<_>>());
    }

    #[test]
    fn notes_that_can_not_be_folded_are_not_kept_without_end() {
        let mut notes = Notes::default();
        for leaf in 0..=u64::try_from(KEPT).unwrap() {
            notes.push(leaf, frame(leaf, 0));
        }
        assert!(notes.open.list.is_empty() && notes.sealed.list.is_empty());
        notes.seal();
        notes.add(1, Note::Unreadable);
        assert_eq!(notes.finish(), None);
    }
}
