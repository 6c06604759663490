//! Who opens a journal: age identities and SSH private keys, and the segment keys that they unwrap. Readers only.

use std::fmt;
use std::io::{BufReader, Read};
use std::sync::Arc;

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use super::cipher::{Ratchet, commitment};
use super::segment::SegmentHeader;
use crate::sys::secret::Secret;

/// A longer file is no identity.
pub const MAX_LEN: usize = 256 << 10;

/// Why a file is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not one of the known forms.
    #[error("no age identity (AGE-SECRET-KEY-1…) and no SSH private key")]
    Unknown,
    /// The passphrase is wrong, or the file is damaged.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// Nobody could be asked for the passphrase.
    #[error("it needs a passphrase, and there is nobody to ask")]
    NobodyToAsk,
    /// A key that can't decrypt.
    #[error("{0} keys can't decrypt")]
    SignsOnly(String),
}

/// Asks for the passphrase of a file; `None` if there is nobody to ask.
pub type Ask<'a> = &'a mut dyn FnMut() -> Option<SecretString>;

/// Keys that open segments. Cheap to clone.
#[derive(Clone, Default)]
pub struct Identities(Vec<Arc<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

/// What unwrapping a segment's key came to.
#[derive(Debug)]
pub enum Unwrapped {
    /// The segment's bodies are stored in clear.
    Clear,
    /// It is not wrapped to any of the identities.
    NotForUs,
    /// It is wrapped to one, but the file holds no key, or another than the segment's header commits to.
    Wrong,
    /// Here it is.
    Open(Ratchet),
}

impl Identities {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the keys of a file: age identities (also passphrase-encrypted, armoured or not) or one SSH private key.
    pub fn add(&mut self, raw: &[u8], ask: Ask<'_>) -> Result<(), IdentityError> {
        let text = std::str::from_utf8(raw).unwrap_or_default();
        if text.contains("PRIVATE KEY-----") {
            return self.add_ssh(text, ask);
        }
        if raw.starts_with(b"age-encryption.org/v1") || text.starts_with("-----BEGIN AGE ENCRYPTED FILE") {
            let plain = decrypt_file(raw, ask)?;
            return self.add_lines(&plain);
        }
        self.add_lines(raw)
    }

    fn add_lines(&mut self, raw: &[u8]) -> Result<(), IdentityError> {
        let text = std::str::from_utf8(raw).map_err(|_| IdentityError::Unknown)?;
        let mut found = false;
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let key: age::x25519::Identity = line.parse().map_err(|_| IdentityError::Unknown)?;
            self.0.push(Arc::new(key));
            found = true;
        }
        if found { Ok(()) } else { Err(IdentityError::Unknown) }
    }

    fn add_ssh(&mut self, text: &str, ask: Ask<'_>) -> Result<(), IdentityError> {
        let mut plain = Zeroizing::new(text.to_owned());
        if let Ok(key) = ssh_key::PrivateKey::from_openssh(text) {
            let kind = key.algorithm();
            if !matches!(kind, ssh_key::Algorithm::Ed25519 | ssh_key::Algorithm::Rsa { .. }) {
                return Err(IdentityError::SignsOnly(kind.to_string()));
            }
            if key.is_encrypted() {
                use age::secrecy::ExposeSecret as _;
                // Once, here: age would ask, and derive a key slowly, for every segment again.
                let passphrase = ask().ok_or(IdentityError::NobodyToAsk)?;
                let key = key
                    .decrypt(passphrase.expose_secret().as_bytes())
                    .map_err(|_| IdentityError::Passphrase)?;
                plain = key.to_openssh(ssh_key::LineEnding::LF).map_err(|_| IdentityError::Unknown)?;
            }
        }
        let key = age::ssh::Identity::from_buffer(BufReader::new(plain.as_bytes()), None)
            .map_err(|_| IdentityError::Unknown)?;
        match key {
            age::ssh::Identity::Unencrypted(_) => self.0.push(Arc::new(key)),
            age::ssh::Identity::Encrypted(_) | age::ssh::Identity::Unsupported(_) => {
                return Err(IdentityError::Unknown);
            }
        }
        Ok(())
    }

    /// The key of the segment with that header, if one of the identities opens it.
    pub fn unwrap(&self, header: &SegmentHeader, first_leaf: u64) -> Unwrapped {
        if header.recipients == 0 {
            return Unwrapped::Clear;
        }
        if self.0.is_empty() {
            return Unwrapped::NotForUs;
        }
        let Ok(file) = age::Decryptor::new(header.wrapped_key.as_slice()) else { return Unwrapped::Wrong };
        let keys = self.0.iter().map(|key| -> &dyn age::Identity { &**key });
        let mut reader = match file.decrypt(keys) {
            Ok(reader) => reader,
            Err(age::DecryptError::NoMatchingKeys) => return Unwrapped::NotForUs,
            Err(_) => return Unwrapped::Wrong,
        };
        let Ok(mut key) = Secret::new() else { return Unwrapped::Wrong };
        let whole = reader.read_exact(key.expose_mut()).is_ok();
        let mut more = [0u8];
        let ends = matches!(reader.read(&mut more), Ok(0));
        if whole && ends && commitment(&key, header.log, first_leaf) == header.key_commitment {
            Unwrapped::Open(Ratchet::new(key))
        } else {
            Unwrapped::Wrong
        }
    }
}

/// The content of a passphrase-encrypted identity file.
fn decrypt_file(raw: &[u8], ask: Ask<'_>) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let file = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(raw))
        .map_err(|_| IdentityError::Unknown)?;
    if !file.is_scrypt() {
        return Err(IdentityError::Unknown);
    }
    let passphrase = ask().ok_or(IdentityError::NobodyToAsk)?;
    let key = age::scrypt::Identity::new(passphrase);
    let mut reader =
        file.decrypt(std::iter::once::<&dyn age::Identity>(&key)).map_err(|_| IdentityError::Passphrase)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    reader
        .by_ref()
        .take(super::wide(MAX_LEN))
        .read_to_end(&mut plain)
        .map_err(|_| IdentityError::Passphrase)?;
    Ok(plain)
}
