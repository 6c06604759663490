//! Bodies that only the recipients can read: a key for each frame, drawn from the segment's key by a ratchet that
//! doesn't turn back. docs/journal-format.md, "Encryption".

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::JournalError;
use super::frame::{HEADER_LEN, Header, finish_frame, flag};
use super::key::Entropy;
use crate::model::{Digest, LogId};
use crate::sys::secret::Secret;

/// Bytes that encryption adds to a body.
pub const TAG_LEN: usize = 16;
const COMMIT_LABEL: &[u8] = b"recorder-journal/v1/segment-key\0";
/// A key encrypts one frame, so its nonce never changes.
const NONCE: [u8; 12] = [0; 12];

/// How bodies are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// Where the processor helps with it.
    Aes256Gcm,
    /// Everywhere else: fast and without tables in plain instructions.
    ChaCha20Poly1305,
}

impl Aead {
    /// The one that this processor is fast at.
    pub fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        let helps =
            std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let helps = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let helps = false;
        if helps { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// Stored number; 0 is no encryption.
    pub const fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// From the stored number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn encrypt(self, key: &[u8; 32], header: &[u8], body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (key, nonce) = (Key::<Aes256Gcm>::from_slice(key), Nonce::from_slice(&NONCE));
        let tag = match self {
            Self::Aes256Gcm => Aes256Gcm::new(key).encrypt_in_place_detached(nonce, header, body),
            Self::ChaCha20Poly1305 => {
                ChaCha20Poly1305::new(key).encrypt_in_place_detached(nonce, header, body)
            }
        };
        tag.ok().map(Into::into)
    }

    fn decrypt(self, key: &[u8; 32], header: &[u8], body: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        let (key, nonce, tag) =
            (Key::<Aes256Gcm>::from_slice(key), Nonce::from_slice(&NONCE), Tag::from_slice(tag));
        match self {
            Self::Aes256Gcm => Aes256Gcm::new(key).decrypt_in_place_detached(nonce, header, body, tag),
            Self::ChaCha20Poly1305 => {
                ChaCha20Poly1305::new(key).decrypt_in_place_detached(nonce, header, body, tag)
            }
        }
        .is_ok()
    }
}

/// HMAC-SHA256 of the parts in a row.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // HMAC pads a key with zeros to the hash's block; a whole block can't be refused.
    let mut block = Zeroizing::new([0u8; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as Mac>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// What a segment's header says about its key, so that nobody can wrap one key for one reader and another for another.
pub fn commitment(key: &Secret, log: LogId, first_leaf: u64) -> Digest {
    Digest::new(*hmac(key.expose(), &[COMMIT_LABEL, log.as_bytes(), &first_leaf.to_le_bytes()]))
}

/// The key of the next encrypted frame of a segment. The one before is gone.
#[derive(Debug)]
pub struct Ratchet {
    key: Secret,
    /// How frames are encrypted; a reader goes by each frame's own header.
    aead: Aead,
}

impl Ratchet {
    /// Begins with the segment's key.
    pub fn new(key: Secret) -> Self {
        Self { key, aead: Aead::of_this_processor() }
    }

    /// Encrypts with this cipher, whatever the processor is fast at.
    #[must_use]
    pub fn by(self, aead: Aead) -> Self {
        Self { aead, ..self }
    }

    /// Makes a new segment's key.
    pub fn generate(entropy: &mut impl Entropy) -> Result<Secret, JournalError> {
        let mut key = Secret::new().map_err(|source| JournalError::io("map locked memory", source))?;
        entropy.fill(key.expose_mut())?;
        Ok(key)
    }

    /// This frame's key; the ratchet stands at the next one.
    fn turn(&mut self) -> Zeroizing<[u8; 32]> {
        let key = hmac(self.key.expose(), &[b"frame"]);
        let next = hmac(self.key.expose(), &[b"next"]);
        self.key.expose_mut().copy_from_slice(next.as_slice());
        key
    }

    /// Appends a whole frame with its body encrypted and returns its hash. `header.body_len`, flag and aead are set here.
    pub fn put_frame(
        &mut self,
        out: &mut Vec<u8>,
        mut header: Header,
        body: &[u8],
    ) -> Result<Digest, JournalError> {
        header.flags |= flag::ENCRYPTED;
        header.aead = self.aead.code();
        header.body_len = super::bytes::wide32(body.len().saturating_add(TAG_LEN));
        let start = out.len();
        header.put(out);
        out.extend_from_slice(body);
        let (head, body) = out
            .get_mut(start..)
            .and_then(|frame| frame.split_at_mut_checked(HEADER_LEN))
            .ok_or(JournalError::Cipher)?;
        let key = self.turn();
        let Some(tag) = self.aead.encrypt(&key, head, body) else {
            out.truncate(start);
            return Err(JournalError::Cipher);
        };
        out.extend_from_slice(&tag);
        Ok(finish_frame(out, start))
    }

    /// Decrypts the next encrypted frame's body into `out`; false if its tag doesn't fit. Every encrypted frame of the
    /// segment has to pass here, in order.
    pub fn open(&mut self, header: &Header, body: &[u8], out: &mut Vec<u8>) -> bool {
        let key = self.turn();
        out.clear();
        let Some((text, tag)) = body.split_last_chunk::<TAG_LEN>() else { return false };
        let Some(aead) = Aead::from_code(header.aead) else { return false };
        let mut head = Vec::with_capacity(HEADER_LEN);
        header.put(&mut head);
        out.extend_from_slice(text);
        let good = aead.decrypt(&key, &head, out, tag);
        if !good {
            out.clear();
        }
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::FrameType;

    fn ratchet() -> Ratchet {
        let mut key = Secret::new().unwrap();
        key.expose_mut().fill(7);
        Ratchet::new(key)
    }

    #[test]
    fn frames_open_in_order_under_both_ciphers_and_not_if_a_bit_of_either_part_differs() {
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            let (mut writer, mut reader) = (ratchet().by(aead), ratchet());
            let mut plain = Vec::new();
            for (n, text) in [b"one".as_slice(), b"", &[9; 4000]].into_iter().enumerate() {
                let mut out = Vec::new();
                let header =
                    Header { leaf: 5, stream: 1, records: 1, codec: 1, ..Header::new(FrameType::DATA) };
                writer.put_frame(&mut out, header, text).unwrap();
                let stored = Header::parse(out.first_chunk().unwrap()).unwrap();
                let body = &out[HEADER_LEN..HEADER_LEN + text.len() + TAG_LEN];
                assert!(reader.open(&stored, body, &mut plain), "{aead:?} {n}");
                assert_eq!(plain, text);
                let mut at = ratchet();
                (0..n).for_each(|_| drop(at.turn()));
                let mut broken = body.to_vec();
                *broken.last_mut().unwrap() ^= 1;
                assert!(!at.open(&stored, &broken, &mut plain) && plain.is_empty());
                let mut at = ratchet();
                (0..n).for_each(|_| drop(at.turn()));
                assert!(!at.open(&Header { leaf: 6, ..stored }, body, &mut plain));
            }
        }
    }

    #[test]
    fn a_frame_too_few_or_too_many_opens_nothing() {
        let (mut writer, mut reader) = (ratchet(), ratchet());
        let mut out = Vec::new();
        writer.put_frame(&mut out, Header::new(FrameType::DATA), b"text").unwrap();
        let stored = Header::parse(out.first_chunk().unwrap()).unwrap();
        drop(reader.turn());
        assert!(!reader.open(&stored, &out[HEADER_LEN..HEADER_LEN + 20], &mut Vec::new()));
    }
}
