//! C2SP signed notes with Ed25519: plain signatures (type 0x01) and witnesses' cosignatures (type 0x04). No disk, no clock.
//! <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-cosignature>.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{PublicKey, SecretKey, sha256};

/// A longer note is none.
pub const MAX_LEN: usize = 64 << 10;
/// More signatures are refused; C2SP asks for 16 at least.
pub const MAX_SIGNATURES: usize = 64;
/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// Why bytes are no note, or text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long, no UTF-8, or with control characters.
    #[error("no text of a signed note")]
    Text,
    /// No blank line between text and signatures, or something else than signatures behind it.
    #[error("no signatures behind a blank line")]
    Signatures,
    /// A verifier key that doesn't have the form `name+hash+base64`, or whose hash is another key's.
    #[error("no verifier key (name+hash+base64)")]
    VerifierKey,
    /// A verifier key of an algorithm that is not spoken here.
    #[error("a verifier key of type {0:#04x}, which is not supported (0x01 and 0x04 are)")]
    Algorithm(u8),
}

/// What a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// The text was signed.
    Ed25519,
    /// A witness saw the checkpoint at a certain time.
    Cosignature,
}

impl Algorithm {
    const fn code(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// Who signs: key name, algorithm, public key. Shown and read as C2SP's vkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    algorithm: Algorithm,
    key: PublicKey,
}

/// First four bytes of SHA-256(name || 0x0a || type || key).
fn key_id(name: &str, algorithm: Algorithm, key: PublicKey) -> [u8; 4] {
    let mut input = name.as_bytes().to_vec();
    input.extend_from_slice(&[0x0a, algorithm.code()]);
    input.extend_from_slice(&key.0);
    sha256(&input).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Neither empty nor with spaces, control characters or `+`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

impl Verifier {
    /// `None` if that can't be a key's name.
    pub fn new(name: &str, algorithm: Algorithm, key: PublicKey) -> Option<Self> {
        is_name(name).then(|| Self { name: name.to_owned(), algorithm, key })
    }

    /// Reads `name+hash+base64`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.splitn(3, '+');
        let mut part = || parts.next().ok_or(NoteError::VerifierKey);
        let (name, hash, encoded) = (part()?, part()?, part()?);
        let raw = STANDARD.decode(encoded).map_err(|_| NoteError::VerifierKey)?;
        let (code, key) = raw.split_first().ok_or(NoteError::VerifierKey)?;
        let algorithm = match code {
            1 => Algorithm::Ed25519,
            4 => Algorithm::Cosignature,
            other => return Err(NoteError::Algorithm(*other)),
        };
        let key = key.try_into().map(PublicKey).map_err(|_| NoteError::VerifierKey)?;
        let verifier = Self::new(name, algorithm, key).ok_or(NoteError::VerifierKey)?;
        if verifier.hash() == hash { Ok(verifier) } else { Err(NoteError::VerifierKey) }
    }

    /// First four bytes of its hash, as eight hex digits.
    pub fn hash(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(key_id(&self.name, self.algorithm, self.key)))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures say.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself.
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Checks one signature: the seconds since 1970 of a cosignature, 0 of a plain one.
    fn checks(&self, text: &str, signature: &[u8]) -> Option<u64> {
        match self.algorithm {
            Algorithm::Ed25519 => self.key.verifies(text.as_bytes(), signature.try_into().ok()?).then_some(0),
            Algorithm::Cosignature => {
                let (time, signature) = signature.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                let message = cosigned(text, time);
                let good = i64::try_from(time).is_ok()
                    && self.key.verifies(message.as_bytes(), signature.try_into().ok()?);
                good.then_some(time)
            }
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![self.algorithm.code()];
        raw.extend_from_slice(&self.key.0);
        write!(f, "{}+{}+{}", self.name, self.hash(), STANDARD.encode(raw))
    }
}

/// What a witness signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn line(name: &str, algorithm: Algorithm, key: PublicKey, signature: &[u8]) -> String {
    let mut raw = key_id(name, algorithm, key).to_vec();
    raw.extend_from_slice(signature);
    format!("{DASH}{name} {}\n", STANDARD.encode(raw))
}

/// The signature line of a plain signature over `text`, which ends with a newline.
pub fn sign(name: &str, secret: &SecretKey, text: &str) -> String {
    line(name, Algorithm::Ed25519, secret.public(), &secret.sign(text.as_bytes()))
}

/// The signature line of a witness who saw the checkpoint `text` at `time`, in seconds since 1970.
pub fn cosign(name: &str, secret: &SecretKey, text: &str, time: u64) -> String {
    let mut signature = time.to_be_bytes().to_vec();
    signature.extend_from_slice(&secret.sign(cosigned(text, time).as_bytes()));
    line(name, Algorithm::Cosignature, secret.public(), &signature)
}

/// One signature, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// Reads a line without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let raw = STANDARD.decode(encoded).ok().filter(|_| is_name(name))?;
        let (id, bytes) = raw.split_first_chunk::<4>()?;
        Some(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// The key's name as it stands there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if name and id are those of that key.
    pub fn is_of(&self, by: &Verifier) -> bool {
        self.name == by.name && self.id == key_id(&by.name, by.algorithm, by.key)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = [&self.id[..], &self.bytes].concat();
        writeln!(f, "{DASH}{} {}", self.name, STANDARD.encode(raw))
    }
}

/// What a note shows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Nothing.
    Not,
    /// A signature that claims to be its and is not: the whole note is refused.
    Badly,
    /// Its signature; of a cosignature the seconds since 1970 (the earliest, if there are several), else 0.
    At(u64),
}

/// A text and its signatures, none of them checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text with its last newline: what is signed.
    pub text: String,
    /// The signatures in their order.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note. The newline behind the last signature may be missing, as it is lost in copying.
    pub fn parse(raw: &[u8]) -> Result<Self, NoteError> {
        let note = std::str::from_utf8(raw).ok().filter(|n| n.len() <= MAX_LEN).ok_or(NoteError::Text)?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Text);
        }
        let note = note.strip_suffix('\n').unwrap_or(note);
        let (text, block) = note.rsplit_once("\n\n").ok_or(NoteError::Signatures)?;
        let signatures: Option<Vec<Signature>> =
            block.split('\n').take(MAX_SIGNATURES + 1).map(Signature::parse).collect();
        let signatures =
            signatures.filter(|list| list.len() <= MAX_SIGNATURES).ok_or(NoteError::Signatures)?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// What the note shows of that key.
    pub fn signed_by(&self, by: &Verifier) -> Signed {
        let mut found = Signed::Not;
        for signature in self.signatures.iter().filter(|s| s.is_of(by)) {
            match (by.checks(&self.text, &signature.bytes), found) {
                (None, _) => return Signed::Badly,
                (Some(time), Signed::At(before)) => found = Signed::At(before.min(time)),
                (Some(time), _) => found = Signed::At(time),
            }
        }
        found
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::secret::Secret;

    /// The published example of golang.org/x/mod/sumdb/note.
    const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    /// Its secret: `PRIVATE+KEY+PeterNeumann+c74f20a3+` and this.
    const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    fn secret(raw: [u8; 32]) -> SecretKey {
        let mut page = Secret::new().unwrap();
        page.expose_mut().copy_from_slice(&raw);
        SecretKey::from_secret(page)
    }

    #[test]
    fn the_published_note_is_read_verified_and_made_again() {
        let verifier = Verifier::parse(NEUMANN).unwrap();
        assert_eq!(verifier.to_string(), NEUMANN);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.signed_by(&verifier), Signed::At(0));
        assert_eq!(note.to_string(), NOTE);
        let raw = STANDARD.decode(SECRET).unwrap();
        let key = secret(raw[1..].try_into().unwrap());
        assert_eq!(format!("{}\n{}", note.text, sign("PeterNeumann", &key, &note.text)), NOTE);
    }

    #[test]
    fn every_byte_of_the_published_note_counts() {
        let verifier = Verifier::parse(NEUMANN).unwrap();
        for i in 0..NOTE.len() {
            let mut bad = NOTE.as_bytes().to_vec();
            bad[i] ^= 1;
            let good = Note::parse(&bad).is_ok_and(|n| matches!(n.signed_by(&verifier), Signed::At(_)));
            assert!(!good, "byte {i}");
        }
    }

    #[test]
    fn a_cosignature_holds_for_its_text_its_time_and_its_kind() {
        let key = secret([7; 32]);
        let witness = Verifier::new("w.example/1", Algorithm::Cosignature, key.public()).unwrap();
        let plain = Verifier::new("w.example/1", Algorithm::Ed25519, key.public()).unwrap();
        let text = "log\n7\nAAAA\n";
        let made = cosign("w.example/1", &key, text, 1_679_315_147);
        let note = Note::parse(format!("{text}\n{made}").as_bytes()).unwrap();
        assert_eq!(
            (note.signed_by(&witness), note.signed_by(&plain)),
            (Signed::At(1_679_315_147), Signed::Not)
        );
        let earlier = cosign("w.example/1", &key, text, 5);
        let two = Note::parse(format!("{text}\n{made}{earlier}").as_bytes()).unwrap();
        assert_eq!(two.signed_by(&witness), Signed::At(5));
        for bit in 0..8 * note.signatures[0].bytes.len() {
            let mut bad = note.clone();
            bad.signatures[0].bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bad.signed_by(&witness), Signed::Badly, "bit {bit}");
        }
        let later = cosign("w.example/1", &key, text, u64::MAX);
        let later = Note::parse(format!("{text}\n{later}").as_bytes()).unwrap();
        assert_eq!(later.signed_by(&witness), Signed::Badly, "beyond 2^63");
    }

    #[test]
    fn what_is_no_note_or_key_is_refused() {
        for bad in [
            "",
            "text\n",
            "text\n\n",
            "text\n\nx\n",
            "text\n\n\u{2014} a\n",
            "text\n\n\u{2014} a AAA=\n",
            "te\txt\n\n\u{2014} a AAAAAAAA\n",
            "text\n\n\u{2014} a+b AAAAAAAA\n",
            "text\n\u{2014} a AAAAAAAA\n",
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Note::parse("text\n\n\u{2014} a AAAAAAAA".as_bytes()).is_ok());
        let many = format!("text\n\n{}", "\u{2014} a AAAAAAAA\n".repeat(MAX_SIGNATURES + 1));
        assert!(Note::parse(many.as_bytes()).is_err());
        let flipped = NEUMANN.replace("c74f20a3", "c74f20a4");
        assert_eq!(Verifier::parse(&flipped), Err(NoteError::VerifierKey));
        assert_eq!(Verifier::parse("a+b"), Err(NoteError::VerifierKey));
        assert_eq!(Verifier::parse("a+00000000+BgAA"), Err(NoteError::Algorithm(6)));
        assert_eq!(Verifier::new("a b", Algorithm::Ed25519, PublicKey::default()), None);
    }
}
