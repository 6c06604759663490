//! Streams: buffers of records that become frames of one session each, and the order in which they are queued.

use std::collections::{BTreeMap, VecDeque};

use super::chain::flags_of;
use super::cipher::TAG_LEN;
use super::frame::{FrameType, Header, flag, frame_len};
use super::pack::Packer;
use super::record::{CODEC, Encoder, MAX_RECORD, rough_len};
use super::{Pending, bytes};
use crate::model::{
    Body, BootNanos, Bytes, EndReason, Flags, Kind, Loss, LossReason, Record, SessionClosed, SessionId,
    SessionOpened, StreamNo,
};

/// A frame is cut when its records have this many bytes.
const CUT: usize = 64 << 10;

/// A frame that waits for its place in the chain.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
}

impl Queued {
    /// Bytes that it takes in a segment, encrypted or not.
    pub(super) fn room(&self) -> usize {
        frame_len(self.body.len().saturating_add(TAG_LEN))
    }
}

#[derive(Debug, Default)]
struct Buffer {
    encoder: Encoder,
    flags: u32,
}

#[derive(Debug)]
struct Stream {
    id: SessionId,
    frames: u64,
    records: u64,
    buffer: Buffer,
}

/// Everything that is not yet durable.
#[derive(Debug, Default)]
pub(super) struct Streams {
    next: u64,
    log: Buffer,
    open: BTreeMap<u64, Stream>,
    /// Frames in the order in which they will stand.
    pub(super) queue: VecDeque<Queued>,
    queued_bytes: usize,
    critical: bool,
    packer: Packer,
    plain: Vec<u8>,
}

/// Where a record goes.
#[derive(Clone, Copy, Debug)]
enum To {
    /// The log's control frames, in clear.
    Log,
    /// A stream that is open.
    Stream(u64),
}

fn control(at: BootNanos, body: Body) -> Record {
    Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

impl Streams {
    /// `sealed`: there is a stream of the log's own whose frames only the recipients can read.
    pub(super) fn new(next: u64, sealed: bool) -> Self {
        let mut streams = Self { next: next.max(1), ..Self::default() };
        if sealed {
            let id = SessionId::default();
            let stream = Stream { id, frames: 0, records: 0, buffer: Buffer::default() };
            streams.open.insert(StreamNo::LOG.get(), stream);
        }
        streams
    }

    /// Takes a record of the log into its own sealed stream; false if there is none, because nothing is encrypted.
    pub(super) fn append_sealed(&mut self, record: &Record) -> bool {
        let there = self.open.contains_key(&StreamNo::LOG.get());
        if there {
            self.push(To::Stream(StreamNo::LOG.get()), record);
        }
        there
    }

    /// No stream below this number will be opened any more.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn open(&mut self, id: SessionId, at: BootNanos) -> StreamNo {
        let stream = StreamNo::new(self.next);
        self.next = self.next.saturating_add(1);
        self.open.insert(stream.get(), Stream { id, frames: 0, records: 0, buffer: Buffer::default() });
        self.append(StreamNo::LOG, &control(at, Body::SessionOpened(SessionOpened { stream, id })));
        stream
    }

    pub(super) fn append(&mut self, stream: StreamNo, record: &Record) {
        let session = stream != StreamNo::LOG && self.open.contains_key(&stream.get());
        if record.body.kind().is_control() {
            self.push(To::Log, record);
        } else if session {
            self.push(To::Stream(stream.get()), record);
        } else {
            self.refused(record);
        }
    }

    /// Declared, never dropped in silence: a record that no frame can hold, or for a stream that isn't open.
    fn refused(&mut self, record: &Record) {
        let kind = record.body.kind();
        let loss = Loss {
            class: Bytes::from(kind.name()),
            ring: Bytes::from("journal"),
            cpu: record.cpu,
            from: 0,
            to: 0,
            count: 1,
            reason: LossReason::Undecodable,
        };
        if kind != Kind::LOSS {
            self.push(To::Log, &control(record.boot_ns, Body::Loss(loss)));
        }
    }

    fn push(&mut self, to: To, record: &Record) {
        let len = bytes::narrow(rough_len(&record.body));
        if len > MAX_RECORD {
            return self.refused(record);
        }
        let full = |b: &Buffer| {
            !b.encoder.is_empty()
                && (b.encoder.raw_len().saturating_add(len) > MAX_RECORD || b.encoder.is_full())
        };
        if self.buffer(to).is_some_and(|b| full(b)) {
            self.cut_of(to);
        }
        let kind = record.body.kind();
        let Some(buffer) = self.buffer(to) else { return };
        buffer.encoder.push(record);
        buffer.flags |= flags_of(kind);
        let enough = buffer.encoder.raw_len() >= CUT;
        self.critical |= kind.is_critical();
        if enough {
            self.cut_of(to);
        }
    }

    fn buffer(&mut self, to: To) -> Option<&mut Buffer> {
        match to {
            To::Log => Some(&mut self.log),
            To::Stream(no) => self.open.get_mut(&no).map(|stream| &mut stream.buffer),
        }
    }

    fn cut_of(&mut self, to: To) {
        self.cut_log();
        if let To::Stream(no) = to {
            self.cut_stream(no);
        }
    }

    pub(super) fn close(&mut self, stream: StreamNo, reason: EndReason, losses: u64, at: BootNanos) {
        self.cut_log();
        self.cut_stream(stream.get());
        if let Some(open) = self.open.remove(&stream.get()) {
            let closed = SessionClosed {
                stream,
                id: open.id,
                reason,
                frames: open.frames,
                records: open.records,
                losses,
            };
            self.append(StreamNo::LOG, &control(at, Body::SessionClosed(closed)));
        }
    }

    /// Puts a record of the log itself before everything that waits.
    pub(super) fn prepend(&mut self, at: BootNanos, body: Body) {
        let record = control(at, body);
        let mut buffer = Buffer { flags: flags_of(record.body.kind()), ..Buffer::default() };
        buffer.encoder.push(&record);
        if let Some(frame) = finish(&mut buffer, &mut self.plain, None, StreamNo::LOG.get(), 0) {
            self.queued_bytes = self.queued_bytes.saturating_add(frame.body.len());
            self.queue.push_front(frame);
        }
    }

    /// Takes a record of the log itself.
    pub(super) fn say(&mut self, at: BootNanos, body: Body) {
        self.append(StreamNo::LOG, &control(at, body));
    }

    fn cut_log(&mut self) {
        if let Some(frame) = finish(&mut self.log, &mut self.plain, None, StreamNo::LOG.get(), 0) {
            self.queued_bytes = self.queued_bytes.saturating_add(frame.body.len());
            self.queue.push_back(frame);
        }
    }

    fn cut_stream(&mut self, no: u64) {
        let Some(stream) = self.open.get_mut(&no) else { return };
        let seq = stream.frames;
        if let Some(frame) = finish(&mut stream.buffer, &mut self.plain, Some(&mut self.packer), no, seq) {
            stream.frames = stream.frames.saturating_add(1);
            stream.records = stream.records.saturating_add(u64::from(frame.header.records));
            self.queued_bytes = self.queued_bytes.saturating_add(frame.body.len());
            self.queue.push_back(frame);
        }
    }

    /// Cuts everything that is buffered.
    pub(super) fn cut_all(&mut self) {
        self.cut_log();
        let waiting: Vec<u64> =
            self.open.iter().filter(|(_, s)| !s.buffer.encoder.is_empty()).map(|(no, _)| *no).collect();
        for no in waiting {
            self.cut_stream(no);
        }
    }

    pub(super) fn pending(&self) -> Pending {
        let buffered: usize = self.open.values().map(|s| s.buffer.encoder.raw_len()).sum();
        Pending {
            bytes: buffered.saturating_add(self.log.encoder.raw_len()).saturating_add(self.queued_bytes),
            critical: self.critical,
        }
    }

    /// The first `n` frames are durable.
    pub(super) fn acknowledged(&mut self, n: usize) {
        for frame in self.queue.drain(..n.min(self.queue.len())) {
            self.queued_bytes = self.queued_bytes.saturating_sub(frame.body.len());
        }
        if self.queue.is_empty() {
            self.critical = false;
        }
    }
}

fn finish(
    buffer: &mut Buffer,
    plain: &mut Vec<u8>,
    packer: Option<&mut Packer>,
    stream: u64,
    seq: u64,
) -> Option<Queued> {
    if buffer.encoder.is_empty() {
        return None;
    }
    plain.clear();
    let summary = buffer.encoder.finish(plain);
    let mut body = Vec::with_capacity(plain.len() / 3);
    let mut header = Header::new(if packer.is_some() { FrameType::DATA } else { FrameType::CONTROL });
    header.flags = std::mem::take(&mut buffer.flags);
    match packer {
        Some(packer) => header.compression = packer.pack(plain, &mut body),
        None => body.extend_from_slice(plain),
    }
    if header.compression != 0 {
        header.flags |= flag::COMPRESSED;
    }
    header.codec = CODEC;
    header.stream = stream;
    header.stream_seq = seq;
    header.records = summary.count;
    header.first_ns = summary.first.get();
    header.last_ns = summary.last.get();
    Some(Queued { header, body })
}
