//! What is left of a segment that was deleted by permission: enough to link what lies before and behind it, and to count
//! its sessions on. docs/journal-format.md ("Stub") is the law.
//!
//! Hand-laid like a frame; the same segment always gives the same bytes, because a permit names their digest.

use std::io;

use super::super::bytes::{Cursor, Short, narrow32, put32, put64, wide32};
use super::super::disk::ReadAt;
use super::super::frame::{FrameType, Header, frame_len};
use super::super::key::sha256;
use super::super::scan::{Found, Scanner, Step};
use super::super::seal::{SEAL_LEN, Seal};
use super::super::segment::SegmentHeader;
use super::super::tree::{Frontier, RangeRoots};
use super::super::walk::{SealPoint, Walk};
use crate::model::{Digest, RealNanos, SessionId, Tombstone};

/// First four bytes of every stub.
pub const MAGIC: [u8; 4] = *b"RJS1";
/// The stub's version.
pub const VERSION: u8 = 1;
/// Longest stub in bytes: a segment header's frame and the sessions of the largest segment fit many times.
pub const MAX_STUB: usize = 64 << 20;
/// Bytes of the fields before the frames.
const HEAD: usize = 128;
/// Bytes of one stream's row.
const STREAM: usize = 80;
/// Bytes of one tombstone's row.
const TOMBSTONE: usize = 88;

/// How the segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without a footer: a restart follows.
    Open,
    /// Closed by a rotation.
    Rotated,
    /// Closed by a stop.
    Stopped,
}

impl Ending {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Rotated => 1,
            Self::Stopped => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Open,
            1 => Self::Rotated,
            2 => Self::Stopped,
            _ => return None,
        })
    }
}

/// What a segment held of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamPart {
    /// The stream.
    pub stream: u64,
    /// It was opened here.
    pub opened: bool,
    /// Frames, records and losses of its closing record, if it was closed here.
    pub closed: Option<(u64, u64, u64)>,
    /// Its session, if it was opened or closed here.
    pub session: Option<SessionId>,
    /// Running number of its first frame here (0 without frames).
    pub first: u64,
    /// Frames here.
    pub frames: u64,
    /// Records here.
    pub records: u64,
}

/// Counts that a segment's frames and its file tell, at the last seal that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How it ended.
    pub ending: Ending,
    /// Seals.
    pub seals: u64,
    /// Length of the file.
    pub len: u64,
    /// End of the seal in the file.
    pub sealed_end: u64,
    /// Bytes behind the seal up to the last that is not zero.
    pub aside: u64,
    /// Their SHA-256.
    pub aside_sha256: Digest,
    /// Number of the next control frame.
    pub control: u64,
    /// Next record and next stream at the seal.
    pub record: u64,
    /// See `record`.
    pub next_stream: u64,
    /// Next record and next stream behind the readable frames that follow the seal.
    pub readable_record: u64,
    /// See `readable_record`.
    pub readable_stream: u64,
}

/// A stub, read and found to agree with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Counts.
    pub facts: Facts,
    /// The segment's header.
    pub header: SegmentHeader,
    /// Its signature.
    pub signature: [u8; 64],
    /// Header and body before the signature, as stored.
    pub signed: Vec<u8>,
    /// The header's frame.
    pub first: Found,
    /// The last seal that counts, with its place in the segment.
    pub seal: SealPoint,
    /// The tree under that seal.
    pub tree: Frontier,
    /// Streams, by rising number.
    pub streams: Vec<StreamPart>,
    /// Tombstones that stood in the segment, in their order.
    pub tombstones: Vec<Tombstone>,
    /// SHA-256 of the stub's bytes.
    pub digest: Digest,
}

/// Why bytes are no stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubFault {
    /// Of a newer version.
    #[error("stub version {0} is newer than this program")]
    Version(u8),
    /// Cut, too long, a wrong checksum, or fields that make no sense.
    #[error("the stub is damaged: {0}")]
    Damaged(&'static str),
}

impl From<Short> for StubFault {
    fn from(_: Short) -> Self {
        Self::Damaged("it ends inside a field, or goes on behind the last one")
    }
}

/// Bytes in memory, read as a file.
struct Memory<'a>(&'a [u8]);

impl ReadAt for Memory<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let from = super::super::bytes::narrow(offset).min(self.0.len());
        let rest = self.0.get(from..).unwrap_or_default();
        let n = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(super::super::bytes::wide(self.0.len()))
    }
}

/// What a stub is made of.
pub(super) struct Parts<'a> {
    pub(super) facts: Facts,
    /// Whole frames, as stored.
    pub(super) header: &'a [u8],
    pub(super) seal: &'a [u8],
    pub(super) roots: &'a [Digest],
    pub(super) streams: &'a [StreamPart],
    pub(super) tombstones: &'a [Tombstone],
}

impl Parts<'_> {
    /// The stub's bytes.
    pub(super) fn put(&self) -> Vec<u8> {
        let f = &self.facts;
        let mut out = Vec::with_capacity(HEAD.saturating_add(self.header.len()).saturating_add(1024));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, f.ending.code(), 0, 0]);
        for n in [self.header.len(), self.roots.len(), self.streams.len(), self.tombstones.len()] {
            put32(&mut out, wide32(n));
        }
        for n in [f.seals, f.len, f.sealed_end, f.aside] {
            put64(&mut out, n);
        }
        out.extend_from_slice(f.aside_sha256.as_bytes());
        for n in [f.control, f.record, f.next_stream, f.readable_record, f.readable_stream] {
            put64(&mut out, n);
        }
        out.extend_from_slice(self.header);
        out.extend_from_slice(self.seal);
        for root in self.roots {
            out.extend_from_slice(root.as_bytes());
        }
        for s in self.streams {
            put64(&mut out, s.stream);
            out.extend_from_slice(&[u8::from(s.opened), u8::from(s.closed.is_some()), 0, 0, 0, 0, 0, 0]);
            out.extend_from_slice(s.session.unwrap_or_default().as_bytes());
            let (frames, records, losses) = s.closed.unwrap_or_default();
            for n in [s.first, s.frames, s.records, frames, records, losses] {
                put64(&mut out, n);
            }
        }
        for t in self.tombstones {
            out.extend_from_slice(t.permit.as_bytes());
            out.extend_from_slice(t.stub.as_bytes());
            for n in [t.first, t.leaves, t.applied.get()] {
                put64(&mut out, n);
            }
        }
        let crc = crc32c::crc32c(&out);
        put32(&mut out, crc);
        out
    }
}

impl Stub {
    /// Reads a stub and checks all that it can show by itself: the frames in it are whole and of one log, and its roots
    /// put behind the header's peaks give the tree that the seal names.
    pub fn parse(raw: &[u8]) -> Result<Self, StubFault> {
        let damaged = |why| Err(StubFault::Damaged(why));
        if raw.len() > MAX_STUB {
            return damaged("it is longer than any stub");
        }
        let Some((covered, crc)) = raw.split_last_chunk::<4>() else { return damaged("it is too short") };
        let mut c = Cursor::new(covered);
        if c.array::<4>()? != MAGIC {
            return damaged("it does not begin as a stub");
        }
        let [version, ending, zero @ ..] = c.array::<4>()?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return damaged("its checksum does not fit");
        }
        if version != VERSION {
            return Err(StubFault::Version(version));
        }
        let Some(ending) = Ending::from_code(ending).filter(|_| zero == [0; 2]) else {
            return damaged("its ending is none");
        };
        let lengths = [c.u32()?, c.u32()?, c.u32()?, c.u32()?].map(narrow32);
        let [header_len, root_count, stream_count, tombstone_count] = lengths;
        let facts = Facts {
            ending,
            seals: c.u64()?,
            len: c.u64()?,
            sealed_end: c.u64()?,
            aside: c.u64()?,
            aside_sha256: Digest::new(c.array()?),
            control: c.u64()?,
            record: c.u64()?,
            next_stream: c.u64()?,
            readable_record: c.u64()?,
            readable_stream: c.u64()?,
        };
        let header_frame = c.take(header_len)?;
        let seal_frame = c.take(frame_len(SEAL_LEN))?;
        // Lengths are held against what is there before anything is allocated by them.
        let mut roots = Cursor::new(c.take(root_count.checked_mul(32).ok_or(Short)?)?);
        let mut streams = Cursor::new(c.take(stream_count.checked_mul(STREAM).ok_or(Short)?)?);
        let mut tombs = Cursor::new(c.take(tombstone_count.checked_mul(TOMBSTONE).ok_or(Short)?)?);
        c.finish()?;
        let (header, signature, signed, first) = header_of(header_frame)?;
        let (seal_header, seal, seal_hash) = seal_of(seal_frame)?;
        let begins = first.header.leaf;
        let whole = seal.log == header.log
            && seal.boot == header.boot
            && seal.tree_size == seal_header.leaf
            && seal.no == seal_header.stream_seq
            && seal.last == seal_header.prev
            && seal_header.record == facts.record
            && seal.tree_size > begins
            && header.next_seal.checked_add(facts.seals) == seal.no.checked_add(1);
        let lies = facts.sealed_end.checked_add(facts.aside).is_some_and(|end| end <= facts.len)
            && facts.readable_record >= facts.record
            && facts.readable_stream >= facts.next_stream;
        if !whole || !lies {
            return damaged("its last seal is not the seal of its header's segment");
        }
        let Some(mut tree) = Frontier::resume(begins, header.peaks.clone()) else {
            return damaged("its header has not the peaks of its place");
        };
        let levels = RangeRoots::levels(begins, seal.tree_size);
        if levels.len() != root_count {
            return damaged("it has not the roots of its leaves");
        }
        for level in levels {
            let _ = tree.push_perfect(level, Digest::new(roots.array()?));
        }
        if tree.root() != seal.root || tree.size() != seal.tree_size {
            return damaged("its roots do not give the tree that its seal names");
        }
        let streams = (0..stream_count).map(|_| stream(&mut streams)).collect::<Result<Vec<_>, _>>()?;
        let rising = streams.iter().zip(streams.iter().skip(1)).all(|(a, b)| a.stream < b.stream);
        if !rising {
            return damaged("its streams do not rise");
        }
        let tombstones = (0..tombstone_count).map(|_| tombstone(&mut tombs)).collect::<Result<_, _>>()?;
        Ok(Self {
            facts,
            header,
            signature,
            signed,
            first,
            seal: SealPoint { seal, hash: seal_hash, end: facts.sealed_end },
            tree,
            streams,
            tombstones,
            digest: sha256(raw),
        })
    }

    /// Leaves of the segment.
    pub const fn leaves(&self) -> u64 {
        self.seal.seal.tree_size.saturating_sub(self.first.header.leaf)
    }
}

type HeaderParts = (SegmentHeader, [u8; 64], Vec<u8>, Found);

/// One whole segment header and nothing behind it.
fn header_of(frame: &[u8]) -> Result<HeaderParts, StubFault> {
    let no = StubFault::Damaged("it holds no whole segment header");
    let Ok(Ok(walk)) = Walk::open(Memory(frame)) else { return Err(no) };
    if walk.first.end != super::super::bytes::wide(frame.len()) {
        return Err(no);
    }
    Ok((walk.header, walk.signature, walk.signed, walk.first))
}

/// One whole seal. Its signature is nobody's to check here: the key stood in the seal before it.
fn seal_of(frame: &[u8]) -> Result<(Header, Seal, Digest), StubFault> {
    let no = StubFault::Damaged("it holds no whole seal");
    let Ok(mut scanner) = Scanner::new(Memory(frame), 0) else { return Err(no) };
    match scanner.step() {
        Ok(Step::Frame(found)) if found.header.kind == FrameType::SEAL => {
            let (seal, _) = Seal::parse(scanner.body()).map_err(|_| no)?;
            Ok((found.header, seal, found.hash))
        }
        _ => Err(no),
    }
}

fn stream(c: &mut Cursor<'_>) -> Result<StreamPart, StubFault> {
    let stream = c.u64()?;
    let [opened, closed, zeros @ ..] = c.array::<8>()?;
    let session = SessionId::new(c.array()?);
    let (first, frames, records) = (c.u64()?, c.u64()?, c.u64()?);
    let counts = (c.u64()?, c.u64()?, c.u64()?);
    let named = opened == 1 || closed == 1;
    let plain = opened <= 1
        && closed <= 1
        && zeros == [0; 6]
        && (closed == 1 || counts == (0, 0, 0))
        && (named || session == SessionId::default())
        && (frames > 0 || (first, records) == (0, 0));
    if !plain {
        return Err(StubFault::Damaged("a stream's row contradicts itself"));
    }
    Ok(StreamPart {
        stream,
        opened: opened == 1,
        closed: (closed == 1).then_some(counts),
        session: named.then_some(session),
        first,
        frames,
        records,
    })
}

fn tombstone(c: &mut Cursor<'_>) -> Result<Tombstone, StubFault> {
    Ok(Tombstone {
        permit: Digest::new(c.array()?),
        stub: Digest::new(c.array()?),
        first: c.u64()?,
        leaves: c.u64()?,
        applied: RealNanos::new(c.u64()?),
    })
}
