//! Checks an armored SSH signature (OpenSSH's PROTOCOL.sshsig) over a document. Making one is ssh-keygen's work.
//!
//! Stricter than ssh-keygen in three things: nothing but blanks behind the armor, the reserved field empty (it is not
//! signed), and RSA keys of 2048 bits or more.

use base64::{Engine as _, engine::general_purpose};
use ssh_key::{HashAlg, SshSig};

use super::certificate::{Certificate, CertificateError};
use super::document::NAMESPACE;
use super::key::{CERTIFICATE, KeyError, PublicKey, kind_of};
use super::reader::{Reader, Short};
use super::signature::{self, Fault, lossy};

/// Longest signature file in bytes; the longest honest one (a certificate over a large RSA key) has about a tenth.
pub const MAX_SIGNATURE: usize = 64 << 10;

const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const END: &[u8] = b"\n-----END SSH SIGNATURE-----";

/// A good signature: who made it is the key, nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key that signed. Whether it may is for the list of signers.
    pub key: PublicKey,
    /// The certificate that the key was used with; then the list has to know its authority.
    pub certificate: Option<Certificate>,
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
    #[error("the signature was made in namespace {found:?}, for something else")]
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
    /// Made with a certificate that proves nothing.
    #[error("{0}")]
    Certificate(CertificateError),
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
        Self::Key(error)
    }
}

impl From<CertificateError> for SignatureError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

/// The fields of a signature, none of them judged.
struct Fields<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
}

/// Checks that `armored` is a signature over exactly `document` in the namespace of grants.
pub fn verify(document: &[u8], armored: &[u8]) -> Result<Signed, SignatureError> {
    verify_in(NAMESPACE, document, armored)
}

/// As [`verify`], in another namespace.
pub fn verify_in(namespace: &str, document: &[u8], armored: &[u8]) -> Result<Signed, SignatureError> {
    check(namespace, document, &dearmor(armored)?)
}

/// As [`verify`], without the armor.
pub(super) fn verify_raw(document: &[u8], raw: &[u8]) -> Result<Signed, SignatureError> {
    check(NAMESPACE, document, raw)
}

fn check(namespace: &str, document: &[u8], raw: &[u8]) -> Result<Signed, SignatureError> {
    let fields = fields(raw)?;
    if fields.namespace != namespace.as_bytes() {
        return Err(SignatureError::Namespace { found: lossy(fields.namespace) });
    }
    if !fields.reserved.is_empty() {
        return Err(SignatureError::Damaged("the reserved field is not empty"));
    }
    let (hash, hash_alg) = match fields.hash {
        b"sha256" => ("sha256", HashAlg::Sha256),
        b"sha512" => ("sha512", HashAlg::Sha512),
        _ => return Err(SignatureError::Hash { found: lossy(fields.hash) }),
    };
    let certificate =
        if is_certificate(fields.key) { Some(Certificate::from_blob(fields.key)?) } else { None };
    let key = match &certificate {
        Some(certificate) => certificate.key().clone(),
        None => PublicKey::from_blob(fields.key)?,
    };
    let signed = SshSig::signed_data(namespace, hash_alg, document).map_err(|_| SignatureError::Mismatch)?;
    signature::parse(&key, fields.signature)
        .and_then(|signature| signature::check(&key, &signed, &signature))
        .map_err(|fault| told(fault, &key))?;
    Ok(Signed { key, certificate, hash })
}

fn is_certificate(key: &[u8]) -> bool {
    kind_of(key).is_some_and(|kind| kind.ends_with(CERTIFICATE))
}

fn fields(raw: &[u8]) -> Result<Fields<'_>, SignatureError> {
    let mut reader = Reader::new(raw);
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
    Ok(Fields { key, namespace, reserved, hash, signature })
}

fn told(fault: Fault, key: &PublicKey) -> SignatureError {
    match fault {
        Fault::Damaged(why) => SignatureError::Damaged(why),
        Fault::Algorithm(algorithm) => SignatureError::Algorithm { key: key.kind().to_owned(), algorithm },
        Fault::Mismatch => SignatureError::Mismatch,
        Fault::Key(error) => SignatureError::Key(error),
    }
}

/// The text that ssh-keygen writes.
pub(super) fn armor(raw: &[u8]) -> Vec<u8> {
    let digits = general_purpose::STANDARD.encode(raw);
    let mut out = [BEGIN, b"\n"].concat();
    // Where ssh-keygen breaks its lines.
    for line in digits.as_bytes().chunks(70) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(END.trim_ascii());
    out.push(b'\n');
    out
}

pub(super) fn dearmor(armored: &[u8]) -> Result<Vec<u8>, SignatureError> {
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
