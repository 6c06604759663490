//! Frames out of a file, one after the other, with everything checked that one frame alone can show: magic, version,
//! lengths, CRC, padding. Constant memory; no length is believed before the file is known to hold that much.

use std::io;

use super::bytes::{narrow, wide};
use super::disk::ReadAt;
use super::frame::{FrameType, HEADER_LEN, Header, HeaderFault, frame_hash};
use crate::model::Digest;

/// How much is read at once: what a processor's second cache holds beside its other work.
const CHUNK: usize = 256 << 10;
/// How much is read first: a peek at a header doesn't need more.
const FIRST: usize = 16 << 10;
/// Bytes of a seal's frame before its padding.
const SEAL_FRAME: usize = HEADER_LEN + super::seal::SEAL_LEN + 4;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// A frame found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its header.
    pub header: Header,
    /// Its hash.
    pub hash: Digest,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
}

/// Why there is no frame at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The bytes are no frame of ours.
    NotAFrame,
    /// A frame of a newer version.
    Version(u8),
    /// The file ends inside a frame.
    Cut,
    /// The CRC doesn't fit; `hash` is that of the bytes as they are.
    Crc {
        /// Hash of header and body.
        hash: Digest,
        /// Where the next frame would begin.
        end: u64,
    },
    /// Header, body and CRC are good, the padding is not zero.
    Padding,
}

/// One step of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame.
    Frame(Found),
    /// The file ends here, or zeros begin.
    End,
    /// No frame here.
    Damage(Damage),
}

/// Reads frames from a file.
#[derive(Debug)]
pub struct Scanner<R> {
    source: R,
    len: u64,
    pos: u64,
    /// Of its bytes only the first `filled` are the file's.
    buffer: Vec<u8>,
    filled: usize,
    /// File offset of the buffer's first byte.
    start: u64,
    body: (usize, usize),
}

impl<R: ReadAt> Scanner<R> {
    /// Starts at `pos`.
    pub fn new(source: R, pos: u64) -> io::Result<Self> {
        let len = source.size()?;
        Ok(Self { source, len, pos, buffer: Vec::new(), filled: 0, start: pos, body: (0, 0) })
    }

    /// The file's length when it was opened, or read anew.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// True if the file is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next frame is expected.
    pub const fn position(&self) -> u64 {
        self.pos
    }

    /// Goes elsewhere.
    pub fn seek(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// Forgets what was read ahead: who writes may have gone on.
    ///
    /// # Errors
    /// The file's.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.filled = 0;
        self.len = self.source.size()?;
        Ok(())
    }

    /// Body of the frame that was found last.
    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body.0..self.body.1).unwrap_or_default()
    }

    /// Header and body of the frame that was found last.
    pub fn stored(&self) -> &[u8] {
        self.buffer.get(self.body.0.saturating_sub(HEADER_LEN)..self.body.1).unwrap_or_default()
    }

    /// At least `need` bytes from `pos`, if the file has them; returns the buffer's range from `pos`.
    fn window(&mut self, need: usize) -> io::Result<&[u8]> {
        let skip = self.pos.checked_sub(self.start).map(narrow).filter(|skip| *skip <= self.filled);
        let left = skip.map_or(0, |skip| self.filled.saturating_sub(skip));
        let want = narrow(self.len.saturating_sub(self.pos)).min(need);
        if skip.is_none() || left < want {
            if let Some(skip) = skip {
                self.buffer.copy_within(skip..self.filled, 0);
            }
            let chunk = if self.buffer.is_empty() { FIRST } else { CHUNK };
            let room = narrow(self.len.saturating_sub(self.pos)).min(chunk.max(need));
            (self.start, self.filled) = (self.pos, left);
            self.fill(room)?;
        }
        let skip = narrow(self.pos.saturating_sub(self.start));
        Ok(self.buffer.get(skip..self.filled).unwrap_or_default())
    }

    /// Reads until `want` bytes are there or the file has no more.
    fn fill(&mut self, want: usize) -> io::Result<()> {
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        while self.filled < want {
            let at = self.start.saturating_add(wide(self.filled));
            match self.source.read_at(at, self.buffer.get_mut(self.filled..want).unwrap_or_default())? {
                0 => break,
                n => self.filled = self.filled.saturating_add(n),
            }
        }
        Ok(())
    }

    /// The frame at the current position. Moves on only if it is whole.
    pub fn step(&mut self) -> io::Result<Step> {
        if self.pos >= self.len {
            return Ok(Step::End);
        }
        let head = self.window(HEADER_LEN)?;
        let Some(raw) = head.first_chunk::<HEADER_LEN>() else {
            return Ok(if head.iter().all(|b| *b == 0) { Step::End } else { Step::Damage(Damage::Cut) });
        };
        let header = match Header::parse(raw) {
            Ok(header) => header,
            Err(HeaderFault::Version(v)) => return self.version(v).map(Step::Damage),
            Err(_) if raw.iter().all(|b| *b == 0) => return Ok(Step::End),
            Err(_) => return Ok(Step::Damage(Damage::NotAFrame)),
        };
        let whole = header.frame_len();
        let bytes = self.window(whole)?;
        let Some(frame) = bytes.get(..whole) else { return Ok(Step::Damage(Damage::Cut)) };
        let covered_len = HEADER_LEN.saturating_add(super::bytes::narrow32(header.body_len));
        let (covered, tail) = frame.split_at_checked(covered_len).unwrap_or_default();
        let (crc, padding) = tail.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let good_crc = crc32c::crc32c(covered) == u32::from_le_bytes(*crc);
        let good_padding = padding.iter().all(|b| *b == 0);
        let hash = frame_hash(covered);
        let end = self.pos.saturating_add(wide(whole));
        if !good_crc {
            return Ok(Step::Damage(Damage::Crc { hash, end }));
        }
        if !good_padding {
            return Ok(Step::Damage(Damage::Padding));
        }
        let skip = narrow(self.pos.saturating_sub(self.start));
        self.body = (skip.saturating_add(HEADER_LEN), skip.saturating_add(covered_len));
        let found = Found { header, hash, offset: self.pos, end };
        self.pos = end;
        Ok(Step::Frame(found))
    }

    /// A foreign version number: damage to one of our frames if the frame is whole but for that byte.
    fn version(&mut self, version: u8) -> io::Result<Damage> {
        let mut head =
            self.window(HEADER_LEN)?.first_chunk::<HEADER_LEN>().copied().unwrap_or([0; HEADER_LEN]);
        if let Some(byte) = head.get_mut(4) {
            *byte = super::frame::VERSION;
        }
        let Ok(header) = Header::parse(&head) else { return Ok(Damage::Version(version)) };
        let body_end = HEADER_LEN.saturating_add(super::bytes::narrow32(header.body_len));
        let frame = self.window(header.frame_len())?;
        let body = frame.get(HEADER_LEN..body_end).unwrap_or_default();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), body);
        let stored = frame.get(body_end..).and_then(|t| t.first_chunk::<4>());
        Ok(if stored == Some(&crc.to_le_bytes()) { Damage::NotAFrame } else { Damage::Version(version) })
    }

    /// End of the last byte at or behind `from` that is not zero; `from` if there is none.
    pub fn used_end(&mut self, from: u64) -> io::Result<u64> {
        let mut end = from;
        let mut at = from;
        let mut chunk = vec![0u8; narrow(self.len.saturating_sub(from)).min(CHUNK)];
        while at < self.len {
            let Some(data) = self.source.data_from(at)? else { break };
            at = data;
            let want = narrow(self.len.saturating_sub(at)).min(CHUNK);
            let got = self.source.read_at(at, chunk.get_mut(..want).unwrap_or_default())?;
            if got == 0 {
                break;
            }
            let bytes = chunk.get(..got).unwrap_or_default();
            if ZEROS.get(..got) != Some(bytes)
                && let Some(last) = bytes.iter().rposition(|b| *b != 0)
            {
                end = at.saturating_add(wide(last)).saturating_add(1);
            }
            at = at.saturating_add(wide(got));
        }
        Ok(end)
    }

    /// SHA-256 of a range.
    pub fn digest(&mut self, from: u64, bytes: u64) -> io::Result<Digest> {
        use sha2::Digest as _;
        let mut sha = sha2::Sha256::new();
        let (mut at, end) = (from, from.saturating_add(bytes).min(self.len));
        let mut chunk = vec![0u8; narrow(end.saturating_sub(from)).min(CHUNK)];
        while at < end {
            let want = narrow(end.saturating_sub(at)).min(CHUNK);
            let got = self.source.read_at(at, chunk.get_mut(..want).unwrap_or_default())?;
            if got == 0 {
                break;
            }
            sha.update(chunk.get(..got).unwrap_or_default());
            at = at.saturating_add(wide(got));
        }
        Ok(Digest::new(sha.finalize().into()))
    }

    /// Looks behind damage: calls `seen` for every seal's frame with a good CRC at any 8-byte boundary.
    pub fn hunt_seals(&mut self, from: u64, mut seen: impl FnMut(&Found, &[u8])) -> io::Result<()> {
        self.pos = from.next_multiple_of(8);
        while self.pos < self.len {
            let pos = self.pos;
            if pos >= self.start.saturating_add(wide(self.filled)) {
                let Some(data) = self.source.data_from(pos)? else { break };
                self.pos = pos.max(data & !7);
            }
            // No more than a seal's length, or each place would have the whole buffer moved.
            let window = self.window(SEAL_FRAME)?;
            if window.is_empty() {
                break;
            }
            let read = wide(window.len());
            // Skip to the next magic without hashing what lies between.
            let Some(skip) = window.chunks(8).position(|c| c.starts_with(b"RJF1")) else {
                self.pos = self.pos.saturating_add(read).next_multiple_of(8);
                continue;
            };
            let skip = skip.saturating_mul(8);
            let wanted = window.get(skip.saturating_add(5)) == Some(&FrameType::SEAL.0);
            self.pos = self.pos.saturating_add(wide(skip));
            let at = self.pos;
            if wanted && let Step::Frame(found) = self.step()? {
                seen(&found, self.body());
            } else {
                self.pos = at.saturating_add(8);
            }
        }
        Ok(())
    }
}
