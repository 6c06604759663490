//! One segment, frame by frame, with the chain, the tree, the numbers and the seals checked. Recovery and verification
//! both stand on this walk, so they can't disagree about where a log's last good seal is.

use std::io;

use super::bytes::narrow32;
use super::cipher::Aead;
use super::disk::ReadAt;
use super::frame::{FrameType, HEADER_LEN, flag};
use super::key::{Identity, PublicKey, SEAL_LABEL};
use super::scan::{Damage, Found, Scanner, Step};
use super::seal::{SIGNATURE_LEN, Seal};
use super::segment::{Footer, Reason, SegmentHeader};
use super::tree::Frontier;
use crate::model::Digest;

/// What broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// The file ends inside a frame.
    Cut,
    /// No frame where one must be.
    FrameBroken,
    /// Content changed: neither the CRC nor the next link fits.
    HashMismatch,
    /// Only the stored CRC was changed.
    CrcMismatch,
    /// Padding is not zero.
    NonzeroPadding,
    /// A frame doesn't follow the one before it: link, leaf, record or control number.
    ChainBroken,
    /// A seal's signature or content is wrong.
    SealInvalid,
    /// A seal's number is not the next one.
    SealSkipped,
    /// A seal's tree size or root is wrong.
    TreeMismatch,
    /// A frame behind the last frame of a closed segment.
    TrailingData,
    /// A footer doesn't say what was counted.
    FooterMismatch,
    /// A frame's header fields contradict each other.
    FrameInvalid,
}

/// The first broken rule of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub code: FaultCode,
    /// Leaf index that the frame has or should have.
    pub leaf: u64,
    /// Place in the file.
    pub offset: u64,
}

/// A seal that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPoint {
    /// What it says.
    pub seal: Seal,
    /// Hash of its frame.
    pub hash: Digest,
    /// Where the file goes on behind it.
    pub end: u64,
}

/// Where a walk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Next leaf index.
    pub leaf: u64,
    /// Next record number.
    pub record: u64,
    /// Next control frame's number.
    pub control: u64,
    /// No stream below this is opened any more, as far as the frames tell.
    pub next_stream: u64,
    /// Hash of the last frame.
    pub prev: Digest,
    /// The tree so far.
    pub tree: Frontier,
    /// Number of the next seal.
    pub next_seal: u64,
    /// Key of the next seal.
    pub next_key: PublicKey,
    /// The last seal of this segment.
    pub seal: Option<SealPoint>,
    /// The footer, once it was there.
    pub footer: Option<Footer>,
    /// Seals of this segment.
    pub seals: u64,
    /// Where the file goes on.
    pub end: u64,
}

/// What a step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leaf that follows the chain; its body is [`Walk::body`].
    Leaf(Found),
    /// A seal that verified.
    Sealed(SealPoint),
    /// No further frame: the file ends, or zeros begin.
    End,
    /// A broken rule; the walk doesn't move any more.
    Fault(Fault),
}

/// Why a file is no segment that can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its first frame is damaged or is no segment header.
    Header(FaultCode),
    /// A newer format.
    Version(u8),
}

/// Walks a segment.
#[derive(Debug)]
pub struct Walk<R> {
    scanner: Scanner<R>,
    /// The segment's header.
    pub header: SegmentHeader,
    /// Its signature.
    pub signature: [u8; 64],
    /// Header and body before the signature, as stored.
    pub signed: Vec<u8>,
    /// The header's frame.
    pub first: Found,
    identity: Identity,
    /// Here.
    pub state: State,
    /// At the last seal that verified.
    pub committed: State,
    /// A leaf of a type, flag or algorithm that this version doesn't know.
    pub unsupported: Option<u64>,
    message: Vec<u8>,
}

impl<R: ReadAt> Walk<R> {
    /// Reads the segment header.
    pub fn open(source: R) -> io::Result<Result<Self, Unreadable>> {
        let mut scanner = Scanner::new(source, 0)?;
        let bad = |code| Ok(Err(Unreadable::Header(code)));
        let first = match scanner.step()? {
            Step::Frame(found) => found,
            Step::End if scanner.is_empty() => return bad(FaultCode::Cut),
            Step::Damage(damage @ (Damage::Version(_) | Damage::Cut)) => {
                return Self::first_frame(&mut scanner, damage);
            }
            Step::Damage(Damage::Padding) => return bad(FaultCode::NonzeroPadding),
            Step::Damage(Damage::Crc { .. }) => return bad(FaultCode::HashMismatch),
            Step::Damage(_) | Step::End => return bad(FaultCode::FrameBroken),
        };
        let h = first.header;
        let Ok((header, signature)) = SegmentHeader::parse(scanner.body()) else {
            return bad(FaultCode::FrameInvalid);
        };
        let signed = h.signature != 0 && header.reason != Reason::Rotate;
        let unsigned = h.signature == 0 && header.reason == Reason::Rotate && signature == [0; SIGNATURE_LEN];
        let plain =
            h.kind == FrameType::SEGMENT && h.holds() && h.flags & !flag::KNOWN == 0 && (signed || unsigned);
        let Some(mut tree) = Frontier::resume(h.leaf, header.peaks.clone()).filter(|_| plain) else {
            return bad(FaultCode::FrameInvalid);
        };
        tree.push(first.hash);
        let signed = scanner.stored();
        let signed = signed.get(..signed.len().saturating_sub(SIGNATURE_LEN)).unwrap_or_default().to_vec();
        let state = State {
            leaf: h.leaf.saturating_add(1),
            record: h.record,
            control: header.next_control,
            next_stream: header.next_stream,
            prev: first.hash,
            tree,
            next_seal: header.next_seal,
            next_key: header.next_key,
            seal: None,
            footer: None,
            seals: 0,
            end: first.end,
        };
        let identity = Identity { log: header.log, admission: header.admission };
        let committed = state.clone();
        let message = Vec::new();
        Ok(Ok(Self {
            scanner,
            header,
            signature,
            signed,
            first,
            identity,
            state,
            committed,
            unsupported: None,
            message,
        }))
    }

    /// A first frame of another version, or longer than the file. With a seal of ours behind it, it was changed.
    fn first_frame(scanner: &mut Scanner<R>, damage: Damage) -> io::Result<Result<Self, Unreadable>> {
        let mut ours = false;
        scanner.hunt_seals(0, |_, _| ours = true)?;
        Ok(Err(match damage {
            _ if ours => Unreadable::Header(FaultCode::FrameBroken),
            Damage::Version(v) => Unreadable::Version(v),
            _ => Unreadable::Header(FaultCode::Cut),
        }))
    }

    /// Who the log says it is.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// True if the segment has recipients: its data frames are encrypted.
    pub const fn is_encrypted(&self) -> bool {
        self.header.recipients != 0
    }

    /// Body of the leaf that was found last.
    pub fn body(&self) -> &[u8] {
        self.scanner.body()
    }

    /// The file beneath, to look behind the end.
    pub const fn scanner(&mut self) -> &mut Scanner<R> {
        &mut self.scanner
    }

    /// Checks that the header's signature was made by `key` over the bytes as stored.
    pub fn header_signed_by(&mut self, label: &[u8], key: PublicKey) -> bool {
        self.identity.message(label, &self.signed, &mut self.message);
        key.verifies(&self.message, &self.signature)
    }

    /// The next frame.
    pub fn step(&mut self) -> io::Result<Event> {
        self.scanner.seek(self.state.end);
        match self.scanner.step()? {
            Step::Frame(found) => Ok(match self.accept(&found) {
                Err(code) => self.fault(code),
                Ok(None) => Event::Leaf(found),
                Ok(Some(point)) => Event::Sealed(point),
            }),
            Step::End => Ok(Event::End),
            Step::Damage(damage) => self.damage(damage),
        }
    }

    const fn fault(&self, code: FaultCode) -> Event {
        Event::Fault(Fault { code, leaf: self.state.leaf, offset: self.state.end })
    }

    fn damage(&mut self, damage: Damage) -> io::Result<Event> {
        let code = match damage {
            // A frame longer than the file is a cut unless the seal that follows it is still there.
            Damage::Cut if self.seal_behind(self.state.end, self.state.next_seal)? => FaultCode::FrameBroken,
            Damage::Cut => FaultCode::Cut,
            Damage::NotAFrame | Damage::Version(_) => FaultCode::FrameBroken,
            Damage::Padding => FaultCode::NonzeroPadding,
            Damage::Crc { hash, end } => {
                // The next frame names the hash that this one should have.
                self.scanner.seek(end);
                match self.scanner.step()? {
                    Step::Frame(next) if next.header.prev == hash => FaultCode::CrcMismatch,
                    _ => FaultCode::HashMismatch,
                }
            }
        };
        Ok(self.fault(code))
    }

    /// Checks a whole frame against the state and moves the state on.
    fn accept(&mut self, found: &Found) -> Result<Option<SealPoint>, FaultCode> {
        let h = &found.header;
        let closed = self.state.footer.is_some();
        if closed && (h.kind != FrameType::SEAL || self.state.seal.is_some_and(|s| s.end == self.state.end)) {
            return Err(FaultCode::TrailingData);
        }
        if h.prev != self.state.prev || h.record != self.state.record {
            return Err(FaultCode::ChainBroken);
        }
        if h.kind == FrameType::SEAL {
            return self.accept_seal(found).map(Some);
        }
        if h.leaf != self.state.leaf {
            return Err(FaultCode::ChainBroken);
        }
        if !h.holds() {
            return Err(FaultCode::FrameInvalid);
        }
        match h.kind {
            FrameType::CONTROL => {
                if h.stream_seq != self.state.control {
                    return Err(FaultCode::ChainBroken);
                }
                if h.stream != 0 || h.records == 0 || h.compression != 0 || h.flags & flag::ENCRYPTED != 0 {
                    return Err(FaultCode::FrameInvalid);
                }
                self.state.control = self.state.control.saturating_add(1);
            }
            FrameType::DATA => {
                // With recipients all content is theirs alone, and the log has a stream of its own for what is content.
                let encrypted = h.flags & flag::ENCRYPTED != 0;
                if encrypted != self.is_encrypted() || (h.stream == 0 && !encrypted) || h.records == 0 {
                    return Err(FaultCode::FrameInvalid);
                }
                self.state.next_stream = self.state.next_stream.max(h.stream.saturating_add(1));
            }
            FrameType::FOOTER => {
                let footer = Footer::parse(self.scanner.body()).map_err(|_| FaultCode::FooterMismatch)?;
                let counted = Footer {
                    first_leaf: self.first.header.leaf,
                    leaves: self.state.leaf.saturating_add(1).saturating_sub(self.first.header.leaf),
                    records: self.state.record.saturating_sub(self.first.header.record),
                    seals: self.state.seals,
                    bytes: found.offset,
                    stopped: footer.stopped & 1,
                };
                if footer != counted || h.stream_seq != self.first.header.stream_seq {
                    return Err(FaultCode::FooterMismatch);
                }
                self.state.footer = Some(footer);
            }
            FrameType::SEGMENT => return Err(FaultCode::FrameInvalid),
            _ => {}
        }
        let compressed = h.flags & flag::COMPRESSED != 0;
        if compressed != (h.compression != 0) {
            return Err(FaultCode::FrameInvalid);
        }
        let encrypted = h.flags & flag::ENCRYPTED != 0;
        if encrypted != (h.aead != 0) || (encrypted && h.kind.is_known() && h.kind != FrameType::DATA) {
            return Err(FaultCode::FrameInvalid);
        }
        let known = h.kind.is_known()
            && h.flags & !flag::KNOWN == 0
            && (h.aead == 0 || Aead::from_code(h.aead).is_some())
            && h.compression <= super::pack::ZSTD
            && (h.records == 0 || h.codec == super::record::CODEC);
        if !known {
            self.unsupported.get_or_insert(h.leaf);
        }
        self.state.leaf = self.state.leaf.saturating_add(1);
        self.state.record = self.state.record.saturating_add(u64::from(h.records));
        self.state.tree.push(found.hash);
        self.state.prev = found.hash;
        self.state.end = found.end;
        Ok(None)
    }

    fn accept_seal(&mut self, found: &Found) -> Result<SealPoint, FaultCode> {
        let h = &found.header;
        let (seal, signature) = Seal::parse(self.scanner.body()).map_err(|_| FaultCode::SealInvalid)?;
        if seal.no != self.state.next_seal || h.stream_seq != seal.no {
            return Err(FaultCode::SealSkipped);
        }
        if seal.tree_size != self.state.leaf
            || h.leaf != seal.tree_size
            || seal.root != self.state.tree.root()
        {
            return Err(FaultCode::TreeMismatch);
        }
        let whole = seal.log == self.identity.log
            && seal.last == self.state.prev
            && seal.boot == self.header.boot
            && h.holds()
            && h.signature == 1;
        let stored = self.scanner.stored();
        let signed_len = HEADER_LEN.saturating_add(narrow32(h.body_len)).saturating_sub(SIGNATURE_LEN);
        self.identity.message(SEAL_LABEL, stored.get(..signed_len).unwrap_or_default(), &mut self.message);
        if !whole || !self.state.next_key.verifies(&self.message, &signature) {
            return Err(FaultCode::SealInvalid);
        }
        let point = SealPoint { seal, hash: found.hash, end: found.end };
        self.state.prev = found.hash;
        self.state.end = found.end;
        self.state.next_seal = self.state.next_seal.saturating_add(1);
        self.state.next_key = seal.next_key;
        self.state.seal = Some(point);
        self.state.seals = self.state.seals.saturating_add(1);
        self.committed = self.state.clone();
        Ok(point)
    }

    /// True if a seal of this log with number `no` or later lies whole behind `from`: what no crash leaves there.
    pub fn seal_behind(&mut self, from: u64, no: u64) -> io::Result<bool> {
        let log = self.identity.log;
        let mut hit = false;
        self.scanner.hunt_seals(from, |found, body| {
            hit |= Seal::parse(body).is_ok_and(|(seal, _)| {
                seal.log == log && seal.no >= no && found.header.stream_seq == seal.no
            });
        })?;
        Ok(hit)
    }
}
