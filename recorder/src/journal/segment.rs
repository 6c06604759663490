//! A segment's first and last leaf: the self-sufficient header and the footer; and the file names.

use super::bytes::{Cursor, Short, narrow32, put16, put32, put64, wide32};
use super::key::PublicKey;
use crate::model::{BootId, BootNanos, ClockPair, Digest, LogId, RealNanos};

/// "There is none" in the seal number field, "can't be known" in the set-aside length.
pub const NONE: u64 = u64::MAX;

/// Why a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The log begins.
    Origin,
    /// The segment before it was closed; the chain goes on.
    Rotate,
    /// The recorder was stopped and starts again.
    Resume,
    /// The recorder ended without a stop record.
    Break,
    /// Storage failed; what was unacknowledged is repeated.
    Fault,
}

impl Reason {
    /// Stored number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Origin => 0,
            Self::Rotate => 1,
            Self::Resume => 2,
            Self::Break => 3,
            Self::Fault => 4,
        }
    }

    /// From the stored number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Origin,
            1 => Self::Rotate,
            2 => Self::Resume,
            3 => Self::Break,
            4 => Self::Fault,
            _ => return None,
        })
    }

    /// True if a new seal chain starts, authorised by a recovery key.
    pub const fn is_restart(self) -> bool {
        matches!(self, Self::Resume | Self::Break | Self::Fault)
    }
}

/// Bytes behind the last seal that a restart leaves where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Where they begin: the end of the last seal.
    pub offset: u64,
    /// How many, up to the last byte that is not zero; [`NONE`] after a storage fault, where nobody can know.
    pub bytes: u64,
    /// Their SHA-256 (zero if the length is not known).
    pub sha256: Digest,
}

/// The last seal before a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeal {
    /// Its number.
    pub no: u64,
    /// Hash of its frame.
    pub hash: Digest,
}

/// Body of a segment header frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log.
    pub log: LogId,
    /// Its admission key.
    pub admission: PublicKey,
    /// Its incarnation, from 1.
    pub incarnation: u32,
    /// Why the segment begins.
    pub reason: Reason,
    /// Length of the file while it is active.
    pub capacity: u64,
    /// The boot.
    pub boot: BootId,
    /// Both clocks.
    pub clock: ClockPair,
    /// The last seal before it; `None` at the origin.
    pub last_seal: Option<LastSeal>,
    /// Number that the next seal will have.
    pub next_seal: u64,
    /// Key that will sign it.
    pub next_key: PublicKey,
    /// Number that the next control frame will have.
    pub next_control: u64,
    /// No stream below this number will be opened any more.
    pub next_stream: u64,
    /// What a restart set aside.
    pub set_aside: SetAside,
    /// Perfect subtrees of the tree before this segment.
    pub peaks: Vec<Digest>,
    /// Recipients of the segment's key: 0 = encryption is off.
    pub recipients: u16,
    /// The segment's key, wrapped; empty while encryption is off.
    pub wrapped_key: Vec<u8>,
    /// Commitment to the segment's key; zero while encryption is off.
    pub key_commitment: Digest,
}

impl SegmentHeader {
    /// Appends everything but the signature.
    pub fn put(&self, out: &mut Vec<u8>) {
        let last = self.last_seal.unwrap_or(LastSeal { no: NONE, hash: Digest::default() });
        out.extend_from_slice(self.log.as_bytes());
        out.extend_from_slice(&self.admission.0);
        put32(out, self.incarnation);
        out.extend_from_slice(&[self.reason.code(), 0, 0, 0]);
        put64(out, self.capacity);
        out.extend_from_slice(self.boot.as_bytes());
        put64(out, self.clock.boot.get());
        put64(out, self.clock.real.get());
        put64(out, last.no);
        out.extend_from_slice(last.hash.as_bytes());
        put64(out, self.next_seal);
        out.extend_from_slice(&self.next_key.0);
        put64(out, self.next_control);
        put64(out, self.next_stream);
        put64(out, self.set_aside.offset);
        put64(out, self.set_aside.bytes);
        out.extend_from_slice(self.set_aside.sha256.as_bytes());
        out.extend_from_slice(self.key_commitment.as_bytes());
        put16(out, self.recipients);
        put16(out, 0);
        put32(out, wide32(self.peaks.len()));
        put32(out, wide32(self.wrapped_key.len()));
        put32(out, 0);
        for peak in &self.peaks {
            out.extend_from_slice(peak.as_bytes());
        }
        out.extend_from_slice(&self.wrapped_key);
    }

    /// Reads a body; the signature comes second and is not checked here. `Err(Short)` covers every broken rule.
    pub fn parse(body: &[u8]) -> Result<(Self, [u8; 64]), Short> {
        let mut c = Cursor::new(body);
        let log = LogId::new(c.array()?);
        let admission = PublicKey(c.array()?);
        let incarnation = c.u32()?;
        let [reason, zeros @ ..] = c.array::<4>()?;
        let reason = Reason::from_code(reason).filter(|_| zeros == [0; 3]).ok_or(Short)?;
        let capacity = c.u64()?;
        let boot = BootId::new(c.array()?);
        let clock = ClockPair { boot: BootNanos::new(c.u64()?), real: RealNanos::new(c.u64()?) };
        let last = LastSeal { no: c.u64()?, hash: Digest::new(c.array()?) };
        let next_seal = c.u64()?;
        let next_key = PublicKey(c.array()?);
        let next_control = c.u64()?;
        let next_stream = c.u64()?;
        let set_aside = SetAside { offset: c.u64()?, bytes: c.u64()?, sha256: Digest::new(c.array()?) };
        let key_commitment = Digest::new(c.array()?);
        let recipients = c.u16()?;
        let pad = c.u16()?;
        let peak_count = narrow32(c.u32()?);
        let wrapped_len = narrow32(c.u32()?);
        if pad != 0 || c.u32()? != 0 || peak_count > 64 {
            return Err(Short);
        }
        // What is not there or not known has no digest either: one form for one meaning.
        let origin_without_seal = last.no != NONE || last.hash == Digest::default();
        let unknown_without_digest = set_aside.bytes != NONE || set_aside.sha256 == Digest::default();
        if !origin_without_seal || !unknown_without_digest {
            return Err(Short);
        }
        let mut peaks = Vec::with_capacity(peak_count);
        for _ in 0..peak_count {
            peaks.push(Digest::new(c.array()?));
        }
        let wrapped_key = c.take(wrapped_len)?.to_vec();
        let signature = c.array()?;
        c.finish()?;
        // Recipients, wrapped key and commitment are there together or not at all.
        let sealed = recipients != 0;
        if sealed == wrapped_key.is_empty() || (!sealed && key_commitment != Digest::default()) {
            return Err(Short);
        }
        let last_seal = (last.no != NONE).then_some(last);
        let header = Self {
            log,
            admission,
            incarnation,
            reason,
            capacity,
            boot,
            clock,
            last_seal,
            next_seal,
            next_key,
            next_control,
            next_stream,
            set_aside,
            peaks,
            recipients,
            wrapped_key,
            key_commitment,
        };
        Ok((header, signature))
    }
}

/// Body of a footer frame: 48 bytes that a verifier holds against what it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// Leaf index of the segment's header.
    pub first_leaf: u64,
    /// Leaves of the segment, header and footer among them.
    pub leaves: u64,
    /// Records of the segment.
    pub records: u64,
    /// Seals of the segment before the footer.
    pub seals: u64,
    /// Bytes of the segment before the footer.
    pub bytes: u64,
    /// 1 if the recorder stopped here, 0 if the log goes on in the next segment.
    pub stopped: u64,
}

impl Footer {
    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>) {
        for n in [self.first_leaf, self.leaves, self.records, self.seals, self.bytes, self.stopped] {
            put64(out, n);
        }
    }

    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, Short> {
        let mut c = Cursor::new(body);
        let footer = Self {
            first_leaf: c.u64()?,
            leaves: c.u64()?,
            records: c.u64()?,
            seals: c.u64()?,
            bytes: c.u64()?,
            stopped: c.u64()?,
        };
        c.finish()?;
        Ok(footer)
    }
}

/// File name of the segment that begins with that leaf.
pub fn file_name(first_leaf: u64) -> String {
    format!("seg-{first_leaf:016x}.rj")
}

/// The first leaf in a segment's file name.
pub fn leaf_of(name: &str) -> Option<u64> {
    let hex = name.strip_prefix("seg-")?.strip_suffix(".rj")?;
    let leaf = u64::from_str_radix(hex, 16).ok()?;
    (file_name(leaf) == name).then_some(leaf)
}
