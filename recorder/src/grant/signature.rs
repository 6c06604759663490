//! The signature proper (RFC 4253 6.6): which algorithm, made by which key, over which bytes. Documents and certificates
//! are both signed like that.

use ed25519_dalek::Verifier as _;
use ssh_key::{Algorithm, Signature, public::KeyData};

use super::key::{KeyError, PublicKey};
use super::reader::{Reader, Short};

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Cut off, trailing bytes, a wrong form.
    Damaged(&'static str),
    /// Not the key's algorithm, or a broken one such as RSA with SHA-1; as far as it is text.
    Algorithm(String),
    /// Other bytes were signed, or by another key.
    Mismatch,
    /// The key is none.
    Key(KeyError),
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Damaged("it ends too early")
    }
}

/// Reads a signature that `key` may have made.
pub(super) fn parse(key: &PublicKey, blob: &[u8]) -> Result<Signature, Fault> {
    let mut reader = Reader::new(blob);
    let (algorithm, raw) = (reader.string()?, reader.string()?);
    // A security key adds its flags and its counter.
    let is_security_key = key.kind().starts_with("sk-");
    let trailer = if is_security_key { reader.take(5)? } else { &[] };
    if !reader.is_empty() {
        return Err(Fault::Damaged("bytes behind the signature proper"));
    }
    let fits = match key.inner().key_data() {
        KeyData::Rsa(_) => matches!(algorithm, b"rsa-sha2-256" | b"rsa-sha2-512"),
        _ => algorithm == key.kind().as_bytes(),
    };
    let refused = || Fault::Algorithm(lossy(algorithm));
    if !fits {
        return Err(refused());
    }
    let algorithm =
        std::str::from_utf8(algorithm).ok().and_then(|name| Algorithm::new(name).ok()).ok_or_else(refused)?;
    let data = [raw, trailer].concat();
    Signature::new(algorithm, data).map_err(|_| Fault::Damaged("the signature proper has a wrong form"))
}

/// Checks that `key` signed exactly these bytes.
pub(super) fn check(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Fault> {
    if let Some(raw) = key.inner().key_data().ed25519() {
        // The crate takes weak keys, under which one signature fits many documents.
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&raw.0).map_err(|_| Fault::Key(KeyError::Damaged))?;
        let signature = ed25519_dalek::Signature::from_slice(signature.as_bytes())
            .map_err(|_| Fault::Damaged("the signature proper has a wrong form"))?;
        return key.verify_strict(message, &signature).map_err(|_| Fault::Mismatch);
    }
    key.inner().key_data().verify(message, signature).map_err(|_| Fault::Mismatch)
}

/// The beginning of what was found, for messages.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..64.min(bytes.len())).unwrap_or_default()).into_owned()
}
