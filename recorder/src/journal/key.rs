//! Keys: seal keys that sign once, recovery keys, the admission key; and what exactly is signed.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::JournalError;
use crate::model::{Digest, LogId};
use crate::sys::secret::Secret;

/// Signed before a seal.
pub const SEAL_LABEL: &[u8] = b"recorder-journal/v1/seal\0";
/// Signed before the first segment header of a log, by the admission key.
pub const ORIGIN_LABEL: &[u8] = b"recorder-journal/v1/origin-segment\0";
/// Signed before the segment header of a restarted chain, by the recovery key that the last seal names.
pub const RESTART_LABEL: &[u8] = b"recorder-journal/v1/restart\0";

/// Where randomness comes from.
pub trait Entropy {
    /// Fills `out` with unpredictable bytes.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), JournalError>;
}

/// The kernel's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), JournalError> {
        getrandom::fill(out).map_err(|_| JournalError::Entropy)
    }
}

/// An Ed25519 public key as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Checks a signature strictly (no small-order keys, no malleable signatures).
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

/// A secret key in locked memory.
#[derive(Debug)]
pub struct SecretKey {
    secret: Secret,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a new key.
    pub fn generate(entropy: &mut impl Entropy) -> Result<Self, JournalError> {
        let mut secret = Secret::new().map_err(|source| JournalError::io("map locked memory", source))?;
        entropy.fill(secret.expose_mut())?;
        Ok(Self::from_secret(secret))
    }

    /// Takes a secret over.
    pub fn from_secret(secret: Secret) -> Self {
        let public = PublicKey(SigningKey::from_bytes(secret.expose()).verifying_key().to_bytes());
        Self { secret, public }
    }

    /// The public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// True if the secret can't be swapped out.
    pub const fn is_locked(&self) -> bool {
        self.secret.is_locked()
    }

    /// The secret half, for the key files only.
    pub(super) fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(self.secret.expose()).sign(message).to_bytes()
    }
}

/// Who a log is: every signature covers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The log.
    pub log: LogId,
    /// Its admission key.
    pub admission: PublicKey,
}

impl Identity {
    /// What is signed: label, log id, admission key, then the stored bytes (header and the body before its signature).
    pub fn message(&self, label: &[u8], stored: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(label);
        out.extend_from_slice(self.log.as_bytes());
        out.extend_from_slice(&self.admission.0);
        out.extend_from_slice(stored);
    }
}

/// SHA-256 of plain bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::new(sha2::Sha256::digest(bytes).into())
}
