//! A public key as OpenSSH writes it: the bytes that name it, and its fingerprint.

use std::fmt;

use base64::{Engine as _, engine::general_purpose};
use sha2::{Digest as _, Sha256};

use super::reader::Reader;

/// A plain public key that a signature can be checked with here; never a certificate.
#[derive(Clone)]
pub struct PublicKey {
    /// The wire form (RFC 4253 6.6), which is what two equal keys have in common.
    blob: Vec<u8>,
    kind: String,
    inner: ssh_key::PublicKey,
}

/// Why bytes are no such key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Cut off, too long or otherwise not a key.
    #[error("the public key is damaged")]
    Damaged,
    /// A certificate.
    #[error("the key is a certificate ({kind})")]
    Certificate {
        /// Its type.
        kind: String,
    },
    /// Too weak to prove anything.
    #[error("the key is too weak: {why}")]
    Weak {
        /// Why.
        why: String,
    },
    /// Not known here.
    #[error("keys of this kind are not supported: {kind}")]
    Unsupported {
        /// Its type or size.
        kind: String,
    },
}

/// Ending of the type of every certificate.
pub(super) const CERTIFICATE: &str = "-cert-v01@openssh.com";
/// What `ssh-key` can check.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

impl PublicKey {
    /// Reads the wire form.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let kind = kind_of(blob).ok_or(KeyError::Damaged)?;
        if kind.ends_with(CERTIFICATE) {
            return Err(KeyError::Certificate { kind });
        }
        if kind == "ssh-dss" {
            return Err(KeyError::Weak { why: "ssh-dss".to_owned() });
        }
        if !KINDS.contains(&kind.as_str()) {
            return Err(KeyError::Unsupported { kind });
        }
        let inner = ssh_key::PublicKey::from_bytes(blob).map_err(|_| KeyError::Damaged)?;
        // The crate takes some lengths that are wrong: one key would have many names.
        if inner.to_bytes().map_err(|_| KeyError::Damaged)? != blob {
            return Err(KeyError::Damaged);
        }
        if let Some(rsa) = inner.key_data().rsa() {
            rsa_size(rsa.n.as_positive_bytes().ok_or(KeyError::Damaged)?)?;
        }
        Ok(Self { blob: blob.to_vec(), kind, inner })
    }

    /// Reads `TYPE BASE64 [COMMENT]`, as in a `.pub` file.
    pub fn from_openssh(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        let (kind, blob) = words.next().zip(words.next()).ok_or(KeyError::Damaged)?;
        let blob = general_purpose::STANDARD.decode(blob).map_err(|_| KeyError::Damaged)?;
        let key = Self::from_blob(&blob)?;
        if key.kind == kind { Ok(key) } else { Err(KeyError::Damaged) }
    }

    /// `ssh-ed25519` and so on.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `SHA256:` and 43 characters of base64, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    pub(super) const fn inner(&self) -> &ssh_key::PublicKey {
        &self.inner
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

/// `TYPE BASE64`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, general_purpose::STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.fingerprint())
    }
}

/// `SHA256:` and 43 characters of base64.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// The type that a wire form begins with; it may be any text of printable ASCII.
pub(super) fn kind_of(blob: &[u8]) -> Option<String> {
    let kind = Reader::new(blob).string().ok()?;
    let text = std::str::from_utf8(kind).ok()?;
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()))
        .then(|| text.to_owned())
}

/// 2048 to 4096 bits: ssh-keygen starts at 1024, which is broken; above 4096 the crate stops.
fn rsa_size(modulus: &[u8]) -> Result<(), KeyError> {
    let first = modulus.first().ok_or(KeyError::Damaged)?;
    let bits =
        modulus.len().saturating_mul(8).saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(0));
    match bits {
        ..2048 => Err(KeyError::Weak { why: format!("rsa with {bits} bits, less than 2048") }),
        2048..=4096 => Ok(()),
        _ => Err(KeyError::Unsupported { kind: format!("rsa with {bits} bits, more than 4096") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_name() {
        let mut blob = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[0xd7; 32]].concat();
        assert!(PublicKey::from_blob(&blob).is_ok());
        for at in 15..19 {
            blob[at] ^= 1;
            assert!(PublicKey::from_blob(&blob).is_err(), "byte {at}");
            blob[at] ^= 1;
        }
        blob.push(0);
        assert!(PublicKey::from_blob(&blob).is_err());
    }
}
