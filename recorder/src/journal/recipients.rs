//! Who can read a journal: age recipients, to whom each segment's key is wrapped. The host has nothing but their public keys.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;

use super::JournalError;
use super::cipher::{Aead, Ratchet, commitment};
use super::key::Entropy;
use super::segment::SegmentHeader;
use crate::sys::secret::Secret;

/// More would make a segment's header a burden: an `ssh-rsa` stanza has 539 bytes and more.
pub const MAX_RECIPIENTS: usize = 64;

/// Encryption of bodies.
#[derive(Clone, Debug, Default)]
pub enum Encryption {
    /// Bodies are stored in clear; every verdict says so.
    #[default]
    Off,
    /// Every segment's key is wrapped to these, at least one.
    To(Vec<Recipient>),
    /// As above, with this cipher on every processor: what is written does not depend on the machine.
    With(Aead, Vec<Recipient>),
}

/// A public key that opens a journal.
#[derive(Clone)]
pub struct Recipient {
    key: Key,
    text: String,
}

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

/// Why a text names no recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// It is a secret key: it must not lie on the host.
    #[error("this is a secret key; a recipient is its public half (age-keygen -y, or the .pub file)")]
    Secret,
    /// A kind of key that can only sign.
    #[error("{0} keys can't decrypt; use age1…, ssh-ed25519 or ssh-rsa")]
    SignsOnly(String),
    /// An RSA key of fewer than 2048 bits, or of more than 4096.
    #[error("RSA keys must have 2048 to 4096 bits")]
    RsaSize,
    /// Nothing of ours.
    #[error("no recipient: expected age1…, ssh-ed25519 … or ssh-rsa …")]
    Unknown,
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") || text.contains("PRIVATE KEY") {
            return Err(RecipientError::Secret);
        }
        let kind = text.split_ascii_whitespace().next().unwrap_or_default();
        if !kind.starts_with("ssh-") && !kind.starts_with("ecdsa-") && !kind.starts_with("sk-") {
            let key: age::x25519::Recipient = text.parse().map_err(|_| RecipientError::Unknown)?;
            return Ok(Self { text: key.to_string(), key: Key::X25519(key) });
        }
        if !matches!(kind, "ssh-ed25519" | "ssh-rsa") {
            return Err(RecipientError::SignsOnly(kind.to_owned()));
        }
        // A line's comment is nobody's business here, and age's parser wants none of it.
        let line: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
        let line = line.join(" ");
        match age::ssh::Recipient::from_str(&line) {
            Ok(key) => Ok(Self { text: line, key: Key::Ssh(key) }),
            Err(ParseRecipientKeyError::RsaModulusTooLarge | ParseRecipientKeyError::RsaModulusTooSmall) => {
                Err(RecipientError::RsaSize)
            }
            Err(ParseRecipientKeyError::Unsupported(kind)) => Err(RecipientError::SignsOnly(kind)),
            Err(ParseRecipientKeyError::Ignore | ParseRecipientKeyError::Invalid(_)) => {
                Err(RecipientError::Unknown)
            }
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recipient {}

impl Encryption {
    /// True if bodies are encrypted.
    pub const fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The same for others. Nothing, if it is off.
    #[must_use]
    pub(super) fn readdress(&self, recipients: Vec<Recipient>) -> Self {
        match self {
            Self::Off => Self::Off,
            Self::To(_) => Self::To(recipients),
            Self::With(aead, _) => Self::With(*aead, recipients),
        }
    }

    /// Makes the key of the segment with this header and writes into the header who can open it. The segment's capacity
    /// grows by the wrapped key, so that it holds what it was asked to.
    pub(super) fn arm(
        &self,
        header: &mut SegmentHeader,
        first_leaf: u64,
        entropy: &mut impl Entropy,
    ) -> Result<Option<Ratchet>, JournalError> {
        let (aead, recipients) = match self {
            Self::Off => return Ok(None),
            Self::To(recipients) => (Aead::of_this_processor(), recipients),
            Self::With(aead, recipients) => (*aead, recipients),
        };
        let key = Ratchet::generate(entropy)?;
        header.recipients = u16::try_from(recipients.len()).unwrap_or(u16::MAX);
        header.wrapped_key = wrap(&key, recipients)?;
        header.key_commitment = commitment(&key, header.log, first_leaf);
        let more = super::wide(header.wrapped_key.len().next_multiple_of(8));
        header.capacity = header.capacity.saturating_add(more);
        Ok(Some(Ratchet::new(key).by(aead)))
    }
}

/// A binary age file that holds the key and nothing else.
fn wrap(key: &Secret, recipients: &[Recipient]) -> Result<Vec<u8>, JournalError> {
    let list = recipients.iter().map(|r| -> &dyn age::Recipient {
        match &r.key {
            Key::X25519(key) => key,
            Key::Ssh(key) => key,
        }
    });
    let encryptor =
        age::Encryptor::with_recipients(list).map_err(|e| JournalError::Wrap { text: e.to_string() })?;
    let mut out = Vec::new();
    let write = |out: &mut Vec<u8>| {
        let mut writer = encryptor.wrap_output(out)?;
        writer.write_all(key.expose())?;
        writer.finish().map(|_| ())
    };
    write(&mut out).map_err(|e: std::io::Error| JournalError::Wrap { text: e.to_string() })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;

    #[test]
    fn only_keys_that_can_decrypt_and_public_halves_are_recipients() {
        let secret = age::x25519::Identity::generate();
        let public = secret.to_public().to_string();
        assert_eq!(format!(" {public}\n").parse::<Recipient>().unwrap().to_string(), public);
        let secret = secret.to_string().expose_secret().to_owned();
        assert_eq!(secret.parse::<Recipient>(), Err(RecipientError::Secret));
        let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
        assert_eq!(format!("{ed25519} alice@host").parse::<Recipient>().unwrap().to_string(), ed25519);
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA==";
        assert!(matches!(ecdsa.parse::<Recipient>(), Err(RecipientError::SignsOnly(_))));
        for wrong in ["", "age1", "ssh-ed25519", "ssh-ed25519 AAAA", "alice"] {
            assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
        }
    }
}
