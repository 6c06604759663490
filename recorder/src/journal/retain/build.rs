//! Makes the stub of a segment: walks it once, as verification does, and keeps what the format asks for.

use std::collections::BTreeMap;
use std::io;

use super::super::disk::ReadAt;
use super::super::frame::{FrameType, Header, finish_frame};
use super::super::record::{CODEC, decode};
use super::super::scan::Found;
use super::super::segment::{Reason, SegmentHeader};
use super::super::tree::RangeRoots;
use super::super::walk::{Event, FaultCode, State, Walk};
use super::stub::{Ending, Facts, Parts, StreamPart, Stub, StubFault};
use crate::model::{Body, Tombstone};

/// The segment behind the one that is to go: it says where that one ended.
#[derive(Clone, Debug)]
pub struct Successor {
    header: SegmentHeader,
    first: Header,
}

/// Why a segment gets no stub.
#[derive(Debug, thiserror::Error)]
pub enum BuildFault {
    /// The disk refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It can't be walked.
    #[error("is damaged at leaf {leaf} ({code:?})")]
    Damaged {
        /// Where.
        leaf: u64,
        /// The first broken rule.
        code: FaultCode,
    },
    /// The first frame is no segment header of this version.
    #[error("has no segment header that this program can read")]
    Header,
    /// Its successor does not continue it.
    #[error("is not continued by the segment behind it")]
    NotFollowed,
    /// A control frame whose records can't be read could be a session's edge.
    #[error("has a control frame at leaf {leaf} that this program can't read")]
    Unreadable {
        /// Where.
        leaf: u64,
    },
    /// Frames of a stream contradict each other.
    #[error("has frames of stream {stream} that contradict each other")]
    Stream {
        /// Which.
        stream: u64,
    },
    /// What was made is no stub: a fault of this program.
    #[error("gave no stub: {0}")]
    Stub(#[from] StubFault),
}

impl Successor {
    /// Reads the header of that segment.
    pub fn read<R: ReadAt>(source: R) -> Result<Self, BuildFault> {
        match Walk::open(source)? {
            Ok(walk) => Ok(Self { header: walk.header, first: walk.first.header }),
            Err(_) => Err(BuildFault::Header),
        }
    }

    /// Of a segment whose header was read already.
    pub const fn new(header: SegmentHeader, first: Header) -> Self {
        Self { header, first }
    }

    /// The seal at which a restart says that the segment before it ended.
    fn limit(&self) -> Option<u64> {
        self.header.last_seal.filter(|_| self.header.reason.is_restart()).map(|s| s.no)
    }
}

/// What the leaves hold.
struct Content {
    roots: RangeRoots,
    streams: BTreeMap<u64, StreamPart>,
    tombstones: Vec<Tombstone>,
}

impl Content {
    fn take(&mut self, found: &Found, body: &[u8]) -> Result<(), BuildFault> {
        let h = &found.header;
        self.roots.push(found.hash);
        match h.kind {
            FrameType::DATA => {
                let part = self.part(h.stream);
                if part.frames == 0 {
                    part.first = h.stream_seq;
                }
                let next = part.first.checked_add(part.frames);
                if part.closed.is_some() || next != Some(h.stream_seq) {
                    return Err(BuildFault::Stream { stream: h.stream });
                }
                part.frames = part.frames.saturating_add(1);
                part.records = part.records.saturating_add(u64::from(h.records));
            }
            FrameType::CONTROL => {
                let unreadable = BuildFault::Unreadable { leaf: h.leaf };
                let list = if h.codec == CODEC { decode(body).ok() } else { None };
                let Some(list) = list.filter(|l| u32::try_from(l.len()) == Ok(h.records)) else {
                    return Err(unreadable);
                };
                list.into_iter().try_for_each(|record| self.control(&record.body))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn part(&mut self, stream: u64) -> &mut StreamPart {
        self.streams.entry(stream).or_insert(StreamPart { stream, ..StreamPart::default() })
    }

    fn control(&mut self, body: &Body) -> Result<(), BuildFault> {
        match body {
            Body::SessionOpened(o) => {
                let part = self.part(o.stream.get());
                if part.opened || part.frames > 0 || part.closed.is_some() {
                    return Err(BuildFault::Stream { stream: o.stream.get() });
                }
                (part.opened, part.session) = (true, Some(o.id));
            }
            Body::SessionClosed(c) => {
                let part = self.part(c.stream.get());
                if part.closed.is_some() || part.session.is_some_and(|id| id != c.id) {
                    return Err(BuildFault::Stream { stream: c.stream.get() });
                }
                (part.closed, part.session) = (Some((c.frames, c.records, c.losses)), Some(c.id));
            }
            Body::Tombstone(t) => self.tombstones.push(*t),
            _ => {}
        }
        Ok(())
    }
}

/// A frame's bytes on disk from its header and body: CRC and padding follow from them.
fn whole(stored: &[u8]) -> Vec<u8> {
    let mut out = stored.to_vec();
    finish_frame(&mut out, 0);
    out
}

/// Makes the stub; gives its bytes and what they say.
pub fn build<R: ReadAt>(source: R, next: &Successor) -> Result<(Vec<u8>, Stub), BuildFault> {
    let Ok(mut walk) = Walk::open(source)? else { return Err(BuildFault::Header) };
    let header = whole(walk.scanner().stored());
    let mut content = Content {
        roots: RangeRoots::new(walk.first.header.leaf),
        streams: BTreeMap::new(),
        tombstones: Vec::new(),
    };
    content.roots.push(walk.first.hash);
    let (mut end, mut seal, mut behind) = (None::<State>, Vec::new(), 0u64);
    let limit = next.limit();
    loop {
        match walk.step()? {
            Event::Leaf(found) if end.is_none() => content.take(&found, walk.body())?,
            Event::Leaf(_) => {}
            Event::Sealed(_) if end.is_some() => behind = behind.saturating_add(1),
            Event::Sealed(point) => {
                seal.clear();
                seal.extend_from_slice(walk.scanner().stored());
                if limit == Some(point.seal.no) {
                    end = Some(walk.committed.clone());
                }
            }
            // Behind the place where a restart took over, damage is what it set aside.
            Event::Fault(_) if end.is_some() => break,
            Event::Fault(fault) => return Err(BuildFault::Damaged { leaf: fault.leaf, code: fault.code }),
            Event::End => break,
        }
    }
    let end = match (limit, end) {
        (Some(_), Some(end)) => end,
        // A rotated segment ends with its seal.
        (None, None) if walk.state.end == walk.committed.end => walk.committed.clone(),
        _ => return Err(BuildFault::NotFollowed),
    };
    let Some(point) = end.seal else { return Err(BuildFault::NotFollowed) };
    let fault = next.header.reason == Reason::Fault;
    let follows = next.first.leaf == end.leaf
        && next.first.prev == end.prev
        && next.header.log == walk.header.log
        && behind <= u64::from(fault);
    if !follows {
        return Err(BuildFault::NotFollowed);
    }
    let used = walk.scanner().used_end(point.end)?;
    let facts = Facts {
        ending: match end.footer {
            None => Ending::Open,
            Some(footer) if footer.stopped == 1 => Ending::Stopped,
            Some(_) => Ending::Rotated,
        },
        seals: end.seals,
        len: walk.scanner().len(),
        sealed_end: point.end,
        aside: used.saturating_sub(point.end),
        aside_sha256: walk.scanner().digest(point.end, used.saturating_sub(point.end))?,
        control: end.control,
        record: end.record,
        next_stream: end.next_stream,
        readable_record: walk.state.record,
        readable_stream: walk.state.next_stream,
    };
    let streams: Vec<StreamPart> = content.streams.into_values().collect();
    let parts = Parts {
        facts,
        header: &header,
        seal: &whole(&seal),
        roots: &content.roots.into_roots(),
        streams: &streams,
        tombstones: &content.tombstones,
    };
    let bytes = parts.put();
    let stub = Stub::parse(&bytes)?;
    Ok((bytes, stub))
}
