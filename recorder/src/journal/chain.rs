//! The writing side of the chain: positions, leaves, seals. No disk.

use super::JournalError;
use super::cipher::Ratchet;
use super::frame::{FrameType, Header, finish_frame, flag, put_frame};
use super::key::{Entropy, Identity, PublicKey, SEAL_LABEL, SecretKey};
use super::seal::Seal;
use super::segment::{Footer, LastSeal, SegmentHeader};
use super::tree::Frontier;
use crate::model::{BootId, ClockPair, Digest};

/// Where the chain stands. Cloned for each attempt, so that a failed write leaves the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Next leaf.
    pub leaf: u64,
    /// Next record.
    pub record: u64,
    /// Next control frame.
    pub control: u64,
    /// Hash of the last frame.
    pub prev: Digest,
    /// The tree.
    pub tree: Frontier,
    /// Next seal.
    pub next_seal: u64,
    /// The last seal.
    pub last_seal: Option<LastSeal>,
}

impl Position {
    /// Before the first frame of a log.
    pub fn start() -> Self {
        Self {
            leaf: 0,
            record: 0,
            control: 0,
            prev: Digest::default(),
            tree: Frontier::default(),
            next_seal: 0,
            last_seal: None,
        }
    }

    fn leaf_done(&mut self, hash: Digest, records: u32) {
        self.prev = hash;
        self.tree.push(hash);
        self.leaf = self.leaf.saturating_add(1);
        self.record = self.record.saturating_add(u64::from(records));
    }

    /// Appends a leaf; place and link are filled in here. With a cipher the body of a data frame is encrypted.
    pub fn put_leaf(
        &mut self,
        out: &mut Vec<u8>,
        mut header: Header,
        body: &[u8],
        cipher: Option<&mut Ratchet>,
    ) -> Result<(), JournalError> {
        header.leaf = self.leaf;
        header.record = self.record;
        header.prev = self.prev;
        if header.kind == FrameType::CONTROL {
            header.stream_seq = self.control;
            self.control = self.control.saturating_add(1);
        }
        let hash = match cipher.filter(|_| header.kind == FrameType::DATA) {
            Some(cipher) => cipher.put_frame(out, header, body)?,
            None => put_frame(out, header, body),
        };
        self.leaf_done(hash, header.records);
        Ok(())
    }

    /// Appends a segment header, signed by `signer` where the reason asks for it.
    pub fn put_segment(
        &mut self,
        out: &mut Vec<u8>,
        segment: &SegmentHeader,
        number: u64,
        signer: Option<(&[u8], &SecretKey)>,
    ) {
        let mut body = Vec::new();
        segment.put(&mut body);
        let identity = Identity { log: segment.log, admission: segment.admission };
        let now = segment.clock.boot.get();
        let mut header = Header::new(FrameType::SEGMENT);
        header.leaf = self.leaf;
        header.record = self.record;
        header.stream_seq = number;
        header.prev = self.prev;
        (header.first_ns, header.last_ns) = (now, now);
        header.signature = u8::from(signer.is_some());
        let hash = put_signed(out, header, &body, &identity, signer);
        self.leaf_done(hash, 0);
    }

    /// Appends a footer.
    pub fn put_footer(
        &mut self,
        out: &mut Vec<u8>,
        footer: &Footer,
        number: u64,
        now: ClockPair,
    ) -> Result<(), JournalError> {
        let mut body = Vec::new();
        footer.put(&mut body);
        let mut header = Header::new(FrameType::FOOTER);
        header.stream_seq = number;
        (header.first_ns, header.last_ns) = (now.boot.get(), now.boot.get());
        self.put_leaf(out, header, &body, None)
    }
}

/// Header, body, signature over both, CRC, padding.
fn put_signed(
    out: &mut Vec<u8>,
    mut header: Header,
    body: &[u8],
    identity: &Identity,
    signer: Option<(&[u8], &SecretKey)>,
) -> Digest {
    header.body_len = super::bytes::wide32(body.len().saturating_add(64));
    let start = out.len();
    header.put(out);
    out.extend_from_slice(body);
    let signature = signer.map_or([0; 64], |(label, key)| {
        let mut message = Vec::new();
        identity.message(label, out.get(start..).unwrap_or_default(), &mut message);
        key.sign(&message)
    });
    out.extend_from_slice(&signature);
    finish_frame(out, start)
}

/// Who seals: the log, this boot, and the key that signs the next seal and nothing else.
#[derive(Debug)]
pub struct Sealer {
    /// The log.
    pub identity: Identity,
    /// This boot.
    pub boot: BootId,
    key: SecretKey,
}

impl Sealer {
    /// A new chain of seal keys.
    pub fn start(identity: Identity, boot: BootId, entropy: &mut impl Entropy) -> Result<Self, JournalError> {
        Ok(Self { identity, boot, key: SecretKey::generate(entropy)? })
    }

    /// Key of the next seal.
    pub const fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Appends a seal. The key that signed it is erased before this returns, whatever becomes of the bytes.
    pub fn seal(
        &mut self,
        out: &mut Vec<u8>,
        at: &mut Position,
        recovery_key: PublicKey,
        clock: ClockPair,
        entropy: &mut impl Entropy,
    ) -> Result<(), JournalError> {
        let next = SecretKey::generate(entropy)?;
        let seal = Seal {
            log: self.identity.log,
            no: at.next_seal,
            tree_size: at.leaf,
            last: at.prev,
            root: at.tree.root(),
            next_key: next.public(),
            recovery_key,
            boot: self.boot,
            clock,
        };
        let key = std::mem::replace(&mut self.key, next);
        let mut body = Vec::with_capacity(super::seal::SEAL_LEN);
        seal.put(&mut body);
        let mut header = Header::new(FrameType::SEAL);
        header.leaf = at.leaf;
        header.record = at.record;
        header.stream_seq = seal.no;
        header.prev = at.prev;
        header.signature = 1;
        (header.first_ns, header.last_ns) = (clock.boot.get(), clock.boot.get());
        let hash = put_signed(out, header, &body, &self.identity, Some((SEAL_LABEL, &key)));
        drop(key);
        at.prev = hash;
        at.next_seal = at.next_seal.saturating_add(1);
        at.last_seal = Some(LastSeal { no: seal.no, hash });
        Ok(())
    }
}

/// Header flags of a frame for a record of that kind.
pub fn flags_of(kind: crate::model::Kind) -> u32 {
    use crate::model::Kind;
    let critical = if kind.is_critical() { flag::CRITICAL } else { 0 };
    critical
        | match kind {
            Kind::LOSS => flag::LOSS,
            Kind::HEARTBEAT => flag::HEARTBEAT,
            Kind::TTY_OUTPUT | Kind::TTY_INPUT | Kind::TTY_RESIZE => flag::TERMINAL,
            _ => 0,
        }
}
