//! Checks an armored SSH signature (OpenSSH's PROTOCOL.sshsig) over a document. Making one is ssh-keygen's work.
//!
//! Stricter than ssh-keygen in three things: nothing but blanks behind the armor, the reserved field empty (it is not
//! signed), and RSA keys of 2048 bits or more.

use base64::{Engine as _, engine::general_purpose};
use ssh_key::{Algorithm, HashAlg, Signature, SshSig, public::KeyData};

use super::document::NAMESPACE;
use super::key::{KeyError, PublicKey};
use super::reader::{Reader, Short};

/// Longest signature file in bytes; the longest honest one (a certificate over a large RSA key) has about a tenth.
pub const MAX_SIGNATURE: usize = 64 << 10;

const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const END: &[u8] = b"\n-----END SSH SIGNATURE-----";

/// A good signature: who made it is the key, nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key that signed. Whether it may is for the list of signers.
    pub key: PublicKey,
    /// `sha256` or `sha512`: how the document was hashed before it was signed.
    pub hash: &'static str,
}

/// Why a signature proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than any honest one.
    #[error("a signature has at most {most} bytes, this has {bytes}")]
    TooLong {
        /// Found.
        bytes: usize,
        /// Allowed.
        most: usize,
    },
    /// Not the text that ssh-keygen writes.
    #[error("no SSH signature: {0}")]
    Armor(&'static str),
    /// Cut off, trailing bytes, fields that make no sense.
    #[error("the signature is damaged: {0}")]
    Damaged(&'static str),
    /// From another age.
    #[error("version {0} of SSH signatures is not known, only 1")]
    Version(u32),
    /// Made for something else.
    #[error("the signature was made in namespace {found:?}, not in {NAMESPACE:?}")]
    Namespace {
        /// Found, as far as it is text.
        found: String,
    },
    /// Neither sha256 nor sha512.
    #[error("hash {found:?} is not allowed, only sha256 and sha512")]
    Hash {
        /// Found, as far as it is text.
        found: String,
    },
    /// Made with a certificate: ssh-keygen -Y verify can judge it, this can't.
    #[error("signed with a certificate ({kind}); only ssh-keygen can check it")]
    CertificateSignature {
        /// Its type.
        kind: String,
    },
    /// A key that proves nothing or can't be used.
    #[error("{0}")]
    Key(KeyError),
    /// An algorithm that is not the key's, or a broken one such as RSA with SHA-1.
    #[error("a {key} key does not sign with {algorithm:?} here")]
    Algorithm {
        /// The key's type.
        key: String,
        /// The signature's algorithm, as far as it is text.
        algorithm: String,
    },
    /// Everything is well-formed, but these are not the bytes that were signed.
    #[error("the signature does not match: the document or the signature was changed")]
    Mismatch,
}

impl From<Short> for SignatureError {
    fn from(_: Short) -> Self {
        Self::Damaged("it ends too early")
    }
}

impl From<KeyError> for SignatureError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Certificate { kind } => Self::CertificateSignature { kind },
            other => Self::Key(other),
        }
    }
}

/// Checks that `armored` is a signature over exactly `document` in the namespace of grants.
pub fn verify(document: &[u8], armored: &[u8]) -> Result<Signed, SignatureError> {
    let raw = dearmor(armored)?;
    let mut reader = Reader::new(&raw);
    if reader.take(6)? != b"SSHSIG" {
        return Err(SignatureError::Damaged("it does not begin with SSHSIG"));
    }
    let version = reader.u32()?;
    if version != 1 {
        return Err(SignatureError::Version(version));
    }
    let (key, namespace, reserved) = (reader.string()?, reader.string()?, reader.string()?);
    let (hash, signature) = (reader.string()?, reader.string()?);
    if !reader.is_empty() {
        return Err(SignatureError::Damaged("bytes behind its end"));
    }
    if namespace != NAMESPACE.as_bytes() {
        return Err(SignatureError::Namespace { found: lossy(namespace) });
    }
    if !reserved.is_empty() {
        return Err(SignatureError::Damaged("the reserved field is not empty"));
    }
    let (hash, hash_alg) = match hash {
        b"sha256" => ("sha256", HashAlg::Sha256),
        b"sha512" => ("sha512", HashAlg::Sha512),
        _ => return Err(SignatureError::Hash { found: lossy(hash) }),
    };
    let key = PublicKey::from_blob(key)?;
    let signature = parse_signature(&key, signature)?;
    check(document, &key, hash_alg, signature)?;
    Ok(Signed { key, hash })
}

fn dearmor(armored: &[u8]) -> Result<Vec<u8>, SignatureError> {
    if armored.len() > MAX_SIGNATURE {
        return Err(SignatureError::TooLong { bytes: armored.len(), most: MAX_SIGNATURE });
    }
    let body = armored.strip_prefix(BEGIN).ok_or(SignatureError::Armor("the first line is missing"))?;
    if !(body.starts_with(b"\n") || body.starts_with(b"\r\n")) {
        return Err(SignatureError::Armor("the first line does not end"));
    }
    let end = body
        .windows(END.len())
        .position(|window| window == END)
        .ok_or(SignatureError::Armor("the last line is missing"))?;
    let (body, tail) = body.split_at_checked(end).unwrap_or((body, &[]));
    let tail = tail.strip_prefix(END).unwrap_or(tail);
    if !tail.iter().all(u8::is_ascii_whitespace) {
        return Err(SignatureError::Armor("text behind its end"));
    }
    let digits: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    general_purpose::STANDARD.decode(digits).map_err(|_| SignatureError::Armor("the body is no base64"))
}

fn parse_signature(key: &PublicKey, blob: &[u8]) -> Result<Signature, SignatureError> {
    let mut reader = Reader::new(blob);
    let (algorithm, raw) = (reader.string()?, reader.string()?);
    // A security key adds its flags and its counter.
    let is_security_key = key.kind().starts_with("sk-");
    let trailer = if is_security_key { reader.take(5)? } else { &[] };
    if !reader.is_empty() {
        return Err(SignatureError::Damaged("bytes behind the signature proper"));
    }
    let fits = match key.inner().key_data() {
        KeyData::Rsa(_) => matches!(algorithm, b"rsa-sha2-256" | b"rsa-sha2-512"),
        _ => algorithm == key.kind().as_bytes(),
    };
    let refused = || SignatureError::Algorithm { key: key.kind().to_owned(), algorithm: lossy(algorithm) };
    if !fits {
        return Err(refused());
    }
    let algorithm =
        std::str::from_utf8(algorithm).ok().and_then(|name| Algorithm::new(name).ok()).ok_or_else(refused)?;
    let data = [raw, trailer].concat();
    Signature::new(algorithm, data)
        .map_err(|_| SignatureError::Damaged("the signature proper has a wrong form"))
}

fn check(
    document: &[u8],
    key: &PublicKey,
    hash: HashAlg,
    signature: Signature,
) -> Result<(), SignatureError> {
    if let Some(raw) = key.inner().key_data().ed25519() {
        // The crate takes weak keys, under which one signature fits many documents.
        let signed = SshSig::signed_data(NAMESPACE, hash, document).map_err(|_| SignatureError::Mismatch)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&raw.0)
            .map_err(|_| SignatureError::Key(KeyError::Damaged))?;
        let signature = ed25519_dalek::Signature::from_slice(signature.as_bytes())
            .map_err(|_| SignatureError::Damaged("the signature proper has a wrong form"))?;
        return key.verify_strict(&signed, &signature).map_err(|_| SignatureError::Mismatch);
    }
    let whole = SshSig::new(key.inner().key_data().clone(), NAMESPACE, hash, signature)
        .map_err(|_| SignatureError::Damaged("it has a wrong form"))?;
    key.inner().verify(NAMESPACE, document, &whole).map_err(|_| SignatureError::Mismatch)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..64.min(bytes.len())).unwrap_or_default()).into_owned()
}
