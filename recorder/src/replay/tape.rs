//! The recording of one terminal: steps in order, their bytes packed, so that 200 MB of `tail -f` fit in memory.

use std::collections::BTreeMap;

use crate::model::{Body, BootNanos, Bytes, RealNanos, SessionId, TtyOp};
use crate::verify::{Entry, Verified};

/// Bytes that are packed together: what a jump has to unpack at least.
const BLOCK: usize = 256 << 10;

/// A terminal of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its number in the session, from 1.
    pub no: u32,
    /// The system's name for it.
    pub name: Bytes,
    /// Bytes it showed.
    pub bytes: u64,
}

/// What happened on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It showed bytes.
    Output { block: usize, from: usize, len: usize },
    /// It has this size now, columns and rows.
    Resize(u16, u16),
    /// So many terminal events are missing here.
    Lost(u64),
    /// So many bytes were shown here and not kept.
    Folded(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Nanoseconds since the first step; never goes back.
    pub(super) at: u64,
    /// Wall clock.
    pub(super) real: RealNanos,
    /// Bytes shown before it.
    pub(super) sum: u64,
    pub(super) what: What,
}

enum Block {
    Raw(Vec<u8>),
    Packed(Vec<u8>, usize),
}

/// Collects one terminal of one session from entries in journal order.
pub struct Tape {
    session: SessionId,
    no: u32,
    started: bool,
    ended: bool,
    first: Option<BootNanos>,
    terminals: BTreeMap<u32, Terminal>,
    pub(super) steps: Vec<Step>,
    sum: u64,
    blocks: Vec<Block>,
    tail: Vec<u8>,
}

impl Tape {
    /// For terminal number `no` of a session.
    pub fn new(session: SessionId, no: u32) -> Self {
        Self {
            session,
            no,
            started: false,
            ended: false,
            first: None,
            terminals: BTreeMap::new(),
            steps: Vec::new(),
            sum: 0,
            blocks: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// Takes the next entry, of whatever session.
    pub fn see(&mut self, entry: &Verified<Entry>) {
        if entry.session == Some(self.session) {
            self.started = true;
            match &entry.record.body {
                Body::Tty(op, tty) => self.terminal(entry, *op, tty),
                Body::SessionEnd(_) => self.ended = true,
                _ => {}
            }
        } else if let (Body::Loss(loss), true, false) = (&entry.record.body, self.started, self.ended)
            && loss.class.as_slice() == b"tty"
        {
            self.push(entry, What::Lost(loss.count));
        }
    }

    fn terminal(&mut self, entry: &Entry, op: TtyOp, tty: &crate::model::Tty) {
        let known = self.terminals.entry(tty.no);
        let known = known.or_insert_with(|| Terminal { no: tty.no, name: tty.name.clone(), bytes: 0 });
        if op == TtyOp::Output {
            known.bytes = known.bytes.saturating_add(tty.shown());
        }
        if tty.no != self.no {
            return;
        }
        match op {
            TtyOp::Resize => self.push(entry, What::Resize(tty.cols, tty.rows)),
            TtyOp::Output => {
                // What is kept of a flood is its end.
                match tty.folded() {
                    0 => {}
                    folded => self.push(entry, What::Folded(folded)),
                }
                self.output(entry, &tty.as_shown());
            }
            TtyOp::Input => {}
        }
    }

    fn output(&mut self, entry: &Entry, data: &[u8]) {
        if self.tail.len() + data.len() > BLOCK && !self.tail.is_empty() {
            self.pack();
        }
        let (block, from, len) = (self.blocks.len(), self.tail.len(), data.len());
        self.tail.extend_from_slice(data);
        self.push(entry, What::Output { block, from, len });
        self.sum = self.sum.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }

    fn pack(&mut self) {
        let raw = std::mem::take(&mut self.tail);
        self.blocks.push(match zstd::bulk::compress(&raw, 1) {
            Ok(packed) if packed.len() < raw.len() => Block::Packed(packed, raw.len()),
            _ => Block::Raw(raw),
        });
    }

    fn push(&mut self, entry: &Entry, what: What) {
        let now = entry.record.boot_ns;
        let first = *self.first.get_or_insert(now);
        let at = now.since(first).max(self.steps.last().map_or(0, |s| s.at));
        self.steps.push(Step { at, real: entry.time, sum: self.sum, what });
    }

    /// All terminals of the session.
    pub fn terminals(&self) -> impl Iterator<Item = &Terminal> {
        self.terminals.values()
    }

    /// True if the terminal was never seen.
    pub fn is_empty(&self) -> bool {
        !self.terminals.contains_key(&self.no)
    }

    /// Bytes shown in all.
    pub fn bytes(&self) -> u64 {
        self.sum
    }

    /// How many steps lie at or before a moment of the wall clock.
    pub fn steps_until(&self, time: RealNanos) -> usize {
        self.steps.iter().rposition(|s| s.real <= time).map_or(0, |last| last + 1)
    }

    /// How many steps lie at or before an offset from the start.
    pub fn steps_within(&self, nanos: u64) -> usize {
        self.steps.partition_point(|s| s.at <= nanos)
    }
}

/// Unpacked bytes of the block in use.
#[derive(Default)]
pub(super) struct Unpacked {
    block: Option<usize>,
    data: Vec<u8>,
}

impl Unpacked {
    /// The bytes of a range in a block.
    pub(super) fn get<'a>(&'a mut self, tape: &'a Tape, block: usize, from: usize, len: usize) -> &'a [u8] {
        let data: &[u8] = match tape.blocks.get(block) {
            None => &tape.tail,
            Some(Block::Raw(raw)) => raw,
            Some(Block::Packed(packed, size)) => {
                if self.block != Some(block) {
                    // Our own bytes, packed a moment ago: an error is out of reach, and would show nothing.
                    self.data = zstd::bulk::decompress(packed, *size).unwrap_or_default();
                    self.block = Some(block);
                }
                &self.data
            }
        };
        data.get(from..from.saturating_add(len)).unwrap_or_default()
    }
}
