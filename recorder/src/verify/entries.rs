//! Records out of what was verified: walks the vouched ranges once more, frame by frame, and yields their records.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;

use super::VerifyError;
use super::clock::Clock;
use super::entry::{Entry, Verified};
use super::files::{io_error, open_file};
use super::log::{Plan, Range};
use super::opener::{Access, Content, Opener};
use crate::journal::Identities;
use crate::journal::frame::{self, FrameType};
use crate::journal::pack::Unpacker;
use crate::journal::record::{CODEC, RecordError, decode};
use crate::journal::scan::Found;
use crate::journal::walk::{Event, Walk};
use crate::model::{Body, Flags, LogId, SessionId, StreamNo};

struct Open {
    walk: Box<Walk<File>>,
    opener: Opener,
    range: Range,
}

/// Verified records, in journal order (log, then record number). Memory is one frame's records.
pub struct Entries {
    plans: VecDeque<Plan>,
    log: LogId,
    ranges: VecDeque<Range>,
    open: Option<Open>,
    sessions: HashMap<u64, SessionId>,
    clock: Clock,
    unpacker: Unpacker,
    ready: VecDeque<Verified<Entry>>,
    identities: Identities,
    of_sessions: bool,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Entries {
    pub(super) fn new(plans: Vec<Plan>, identities: Identities) -> Self {
        Self {
            plans: plans.into(),
            log: LogId::default(),
            ranges: VecDeque::new(),
            open: None,
            sessions: HashMap::new(),
            clock: Clock::default(),
            unpacker: Unpacker::default(),
            ready: VecDeque::new(),
            identities,
            of_sessions: true,
        }
    }

    /// Only what belongs to logs themselves: what sessions did is verified and not decoded.
    #[must_use]
    pub fn of_logs(mut self) -> Self {
        self.of_sessions = false;
        self
    }

    fn is_wanted(&self, h: &frame::Header) -> bool {
        h.records > 0 && (self.of_sessions || h.kind == FrameType::CONTROL || h.stream == StreamNo::LOG.get())
    }

    /// Opens the next range; false at the end of everything.
    fn next_range(&mut self) -> Result<bool, VerifyError> {
        loop {
            if let Some(range) = self.ranges.pop_front() {
                let io = io_error(&range.path);
                let file = open_file(&range.path).map_err(&io)?;
                let walk = Walk::open(file)
                    .map_err(&io)?
                    .map_err(|_| VerifyError::Changed { path: range.path.clone() })?;
                if range.fresh {
                    self.sessions.clear();
                }
                self.sessions.extend(range.opened.iter().copied());
                self.clock.set(walk.header.clock);
                let opener = Opener::new(&self.identities, &walk.header, walk.first.header.leaf);
                self.open = Some(Open { walk: Box::new(walk), opener, range });
                return Ok(true);
            }
            let Some(plan) = self.plans.pop_front() else { return Ok(false) };
            self.log = plan.log;
            self.ranges = plan.ranges.into();
            self.sessions.clear();
        }
    }

    /// Fills `ready` with the records of the next frame that has some; false at the end of everything.
    fn fill(&mut self) -> Result<bool, VerifyError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.next_range()? {
                    return Ok(false);
                }
                continue;
            };
            if open.walk.state.end >= open.range.readable {
                self.open = None;
                continue;
            }
            let path = open.range.path.clone();
            match open.walk.step().map_err(io_error(&path))? {
                Event::Sealed(point) => self.clock.set(point.seal.clock),
                Event::Leaf(found) if self.is_wanted(&found.header) => {
                    self.decode(&found).map_err(|source| records(path, &found, source))?;
                    return Ok(true);
                }
                Event::Leaf(_) => {}
                Event::End | Event::Fault(_) => {
                    self.open = None;
                    return Err(VerifyError::Changed { path });
                }
            }
        }
    }

    fn decode(&mut self, found: &Found) -> Result<(), RecordError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let h = &found.header;
        let known = matches!(h.kind, FrameType::DATA | FrameType::CONTROL);
        if !known || h.codec != CODEC {
            return Err(RecordError::Codec(h.codec));
        }
        let whole = open.opener.access == Access::Open;
        let body = match open.opener.open(h, open.walk.body()) {
            Content::Plain(body) => body,
            Content::Shut => return Ok(()),
            Content::Broken => return Err(RecordError::Undecryptable),
        };
        let list = decode(self.unpacker.unpack(h.compression, body)?)?;
        if u32::try_from(list.len()) != Ok(h.records) {
            return Err(RecordError::Malformed);
        }
        let sealed = found.end <= open.range.sealed;
        let boot = open.walk.header.boot;
        for (seq, record) in (h.record..).zip(list) {
            self.clock.learn(&record.body);
            // Who can open the segment gets the whole record from the sealed stream.
            if whole && record.flags.has(Flags::LEFT_OUT) {
                continue;
            }
            if let Body::SessionOpened(o) = &record.body {
                self.sessions.insert(o.stream.get(), o.id);
            }
            let entry = Entry {
                log: self.log,
                boot,
                seq,
                stream: StreamNo::new(h.stream),
                session: self.sessions.get(&h.stream).copied(),
                sealed,
                time: self.clock.real(record.boot_ns),
                record,
            };
            self.ready.push_back(Verified::new(entry));
        }
        Ok(())
    }
}

fn records(path: PathBuf, found: &Found, source: RecordError) -> VerifyError {
    VerifyError::Records { path, leaf: found.header.leaf, source }
}

impl Iterator for Entries {
    type Item = Result<Verified<Entry>, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
