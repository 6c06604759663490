//! One frame on disk: 112-byte header, body, CRC32C, zero padding. The law is docs/journal-format.md, "Frame".

use sha2::{Digest as _, Sha256};

use super::bytes::{Cursor, Short, narrow32, put16, put32, put64, wide32};
use crate::model::Digest;

/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"RJF1";
/// The format's version.
pub const VERSION: u8 = 1;
/// Length of a header.
pub const HEADER_LEN: usize = 112;
/// Most bytes a stored body may have.
pub const MAX_BODY: u32 = 1 << 20;

/// A frame's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameType(pub u8);

impl FrameType {
    /// First frame of every segment.
    pub const SEGMENT: Self = Self(1);
    /// Records of one session, or of the log's own sealed stream.
    pub const DATA: Self = Self(2);
    /// A signature over everything so far; the only type that is no leaf.
    pub const SEAL: Self = Self(3);
    /// Records of the log itself, in clear.
    pub const CONTROL: Self = Self(4);
    /// Last leaf of a closed segment.
    pub const FOOTER: Self = Self(5);

    /// True for the types that this version understands.
    pub const fn is_known(self) -> bool {
        matches!(self.0, 1..=5)
    }
}

/// Frame flags.
pub mod flag {
    /// Holds a record that had to be durable at once.
    pub const CRITICAL: u32 = 1;
    /// Holds a loss record.
    pub const LOSS: u32 = 2;
    /// The body is encrypted.
    pub const ENCRYPTED: u32 = 4;
    /// The body is compressed.
    pub const COMPRESSED: u32 = 8;
    /// Holds a heartbeat.
    pub const HEARTBEAT: u32 = 16;
    /// Holds terminal bytes.
    pub const TERMINAL: u32 = 32;
    /// All bits with a meaning.
    pub const KNOWN: u32 = 63;
}

/// A header, decoded. Fields are as on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type.
    pub kind: FrameType,
    /// Bytes of the body.
    pub body_len: u32,
    /// See [`flag`].
    pub flags: u32,
    /// Leaf index; in a seal the tree size.
    pub leaf: u64,
    /// The stream, 0 = the log itself.
    pub stream: u64,
    /// Running number: of the data frame in its stream, of the control frame, of the segment, of the seal.
    pub stream_seq: u64,
    /// Number of the first record; without records the number that the next record will get.
    pub record: u64,
    /// Earliest record.
    pub first_ns: u64,
    /// Latest record.
    pub last_ns: u64,
    /// How many records.
    pub records: u32,
    /// Codec of the records.
    pub codec: u8,
    /// 0 = none.
    pub aead: u8,
    /// 0 = none, 1 = zstd.
    pub compression: u8,
    /// 0 = none, 1 = Ed25519.
    pub signature: u8,
    /// Hash of the frame before this one.
    pub prev: Digest,
}

/// Why 112 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not our magic.
    Magic,
    /// A version that this program doesn't know.
    Version(u8),
    /// Header length, body length or reserved bytes break the rules.
    Shape,
}

impl Header {
    /// A header with everything zero but its type.
    pub const fn new(kind: FrameType) -> Self {
        Self {
            kind,
            body_len: 0,
            flags: 0,
            leaf: 0,
            stream: 0,
            stream_seq: 0,
            record: 0,
            first_ns: 0,
            last_ns: 0,
            records: 0,
            codec: 0,
            aead: 0,
            compression: 0,
            signature: 0,
            prev: Digest::new([0; 32]),
        }
    }

    /// Appends the 112 bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(self.kind.0);
        put16(out, 112);
        put32(out, self.body_len);
        put32(out, self.flags);
        put64(out, self.leaf);
        put64(out, self.stream);
        put64(out, self.stream_seq);
        put64(out, self.record);
        put64(out, self.first_ns);
        put64(out, self.last_ns);
        put32(out, self.records);
        out.extend_from_slice(&[self.codec, self.aead, self.compression, self.signature]);
        put64(out, 0);
        out.extend_from_slice(self.prev.as_bytes());
    }

    /// Reads the 112 bytes. The body length is checked here, before anybody allocates by it.
    pub fn parse(raw: &[u8; HEADER_LEN]) -> Result<Self, HeaderFault> {
        let mut c = Cursor::new(raw);
        let short = |_: Short| HeaderFault::Shape;
        if c.array::<4>().map_err(short)? != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let version = c.u8().map_err(short)?;
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let mut fields = || -> Result<(Self, u16, u64), Short> {
            let kind = FrameType(c.u8()?);
            let header_len = c.u16()?;
            let mut h = Self::new(kind);
            h.body_len = c.u32()?;
            h.flags = c.u32()?;
            h.leaf = c.u64()?;
            h.stream = c.u64()?;
            h.stream_seq = c.u64()?;
            h.record = c.u64()?;
            h.first_ns = c.u64()?;
            h.last_ns = c.u64()?;
            h.records = c.u32()?;
            [h.codec, h.aead, h.compression, h.signature] = c.array()?;
            let reserved = c.u64()?;
            h.prev = Digest::new(c.array()?);
            Ok((h, header_len, reserved))
        };
        let (header, header_len, reserved) = fields().map_err(short)?;
        let right_len = match header.kind {
            FrameType::SEAL => header.body_len == 256,
            FrameType::FOOTER => header.body_len == 48,
            _ => header.body_len <= MAX_BODY,
        };
        if header_len != 112 || !right_len || reserved != 0 {
            return Err(HeaderFault::Shape);
        }
        Ok(header)
    }

    /// False where two fields contradict each other. A type that is not known is held against nothing.
    pub fn holds(&self) -> bool {
        let (data, control) = (self.kind == FrameType::DATA, self.kind == FrameType::CONTROL);
        let seal = self.kind == FrameType::SEAL;
        let may_be_signed = seal || self.kind == FrameType::SEGMENT;
        let fits = (self.flags & flag::ENCRYPTED != 0) == (self.aead != 0)
            && (self.flags & flag::COMPRESSED != 0) == (self.compression != 0)
            && (data || (self.aead == 0 && self.compression == 0 && self.stream == 0))
            && (self.records > 0) == (data || control)
            && (self.records > 0) == (self.codec != 0)
            && self.first_ns <= self.last_ns
            && (may_be_signed || self.signature == 0)
            && (!seal || self.signature != 0);
        fits || !self.kind.is_known()
    }

    /// Bytes of the whole frame on disk.
    pub fn frame_len(&self) -> usize {
        frame_len(narrow32(self.body_len))
    }
}

/// Bytes on disk of a frame with a body of that length.
pub fn frame_len(body_len: usize) -> usize {
    body_len.saturating_add(HEADER_LEN + 4).next_multiple_of(8)
}

/// The chain link and the RFC 6962 leaf in one: SHA-256(0x00 || header || body).
pub fn frame_hash(header_and_body: &[u8]) -> Digest {
    let mut sha = Sha256::new();
    sha.update([0u8]);
    sha.update(header_and_body);
    Digest::new(sha.finalize().into())
}

/// Appends a whole frame and returns its hash. `header.body_len` is set here.
pub fn put_frame(out: &mut Vec<u8>, mut header: Header, body: &[u8]) -> Digest {
    header.body_len = wide32(body.len());
    let start = out.len();
    header.put(out);
    out.extend_from_slice(body);
    finish_frame(out, start)
}

/// Ends the frame whose header and body stand at `start`: CRC and padding. Returns its hash.
pub fn finish_frame(out: &mut Vec<u8>, start: usize) -> Digest {
    let covered = out.get(start..).unwrap_or_default();
    let hash = frame_hash(covered);
    let crc = crc32c::crc32c(covered);
    let end = start.saturating_add(frame_len(covered.len().saturating_sub(HEADER_LEN)));
    put32(out, crc);
    out.resize(end, 0);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_its_frame_is_padded() {
        let header = Header {
            flags: 9,
            leaf: 3,
            stream: 4,
            stream_seq: 5,
            record: 6,
            first_ns: 7,
            last_ns: 8,
            records: 2,
            codec: 1,
            compression: 1,
            prev: Digest::new([0xab; 32]),
            ..Header::new(FrameType::DATA)
        };
        let mut out = Vec::new();
        let hash = put_frame(&mut out, header, b"hello");
        assert_eq!(out.len(), 128);
        let parsed = Header::parse(out.first_chunk().unwrap()).unwrap();
        assert_eq!(parsed, Header { body_len: 5, ..header });
        assert_eq!(hash, frame_hash(&out[..117]));
        assert_eq!(out[117..121], crc32c::crc32c(&out[..117]).to_le_bytes());
        assert!(out[121..].iter().all(|b| *b == 0));
    }

    #[test]
    fn lengths_beyond_the_cap_are_refused_before_anything_is_read() {
        let mut out = Vec::new();
        let mut h = Header::new(FrameType::DATA);
        h.body_len = MAX_BODY + 1;
        h.put(&mut out);
        assert_eq!(Header::parse(out.first_chunk().unwrap()), Err(HeaderFault::Shape));
        out[4] = 2;
        assert_eq!(Header::parse(out.first_chunk().unwrap()), Err(HeaderFault::Version(2)));
    }
}
