//! OpenSSH certificates (PROTOCOL.certkeys): a key, what its authority says about it, and the authority's signature over
//! exactly these bytes.
//!
//! A [`Certificate`] that exists was signed by the key that it names as its authority. Whether that authority counts for
//! anything is for a list of signers or a policy.

use std::fmt;

use base64::{Engine as _, engine::general_purpose};

use super::key::{self, CERTIFICATE, KeyError, PublicKey};
use super::reader::{Reader, Short};
use super::signature;

/// Most principals, as in OpenSSH (sshkey.h, V_9_2_P1).
const MAX_PRINCIPALS: usize = 256;
/// Longest certificate in bytes; one over a large RSA key with many principals has a tenth.
const MAX_CERTIFICATE: usize = 32 << 10;
/// The extension by which an authority may name the grant, its ticket or its change.
pub const GRANT_ID: &str = "grant-id@recorder";
/// A time that never comes: `always` and `forever` of ssh-keygen -V.
pub const FOREVER: u64 = u64::MAX;

/// A certificate that its own authority signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    blob: Vec<u8>,
    kind: String,
    key: PublicKey,
    authority: PublicKey,
    serial: u64,
    user: bool,
    key_id: String,
    principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    critical: Vec<(String, Vec<u8>)>,
    extensions: Vec<(String, Vec<u8>)>,
}

/// Why bytes are no certificate that proves anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Cut off, trailing bytes, fields that make no sense.
    #[error("the certificate is damaged: {0}")]
    Damaged(&'static str),
    /// The key in it, or its authority's.
    #[error("in the certificate: {0}")]
    Key(KeyError),
    /// Changed, or signed in a broken way such as RSA with SHA-1.
    #[error("the certificate is not signed by the authority that it names")]
    Unsigned,
}

impl From<Short> for CertificateError {
    fn from(_: Short) -> Self {
        Self::Damaged("it ends too early")
    }
}

impl Certificate {
    /// Reads the wire form and checks the authority's signature.
    pub fn from_blob(blob: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError::{Damaged, Key};
        if blob.len() > MAX_CERTIFICATE {
            return Err(Damaged("it is too long"));
        }
        let kind = key::kind_of(blob).ok_or(Damaged("it has no type"))?;
        let plain = kind.strip_suffix(CERTIFICATE).ok_or(Damaged("it is no certificate"))?;
        let (plain, fields) = key_fields(plain).ok_or_else(|| Key(unknown(plain)))?;
        let mut reader = Reader::new(blob);
        reader.string()?;
        let _nonce = reader.string()?;
        let mut key = Vec::with_capacity(blob.len());
        put_string(&mut key, plain.as_bytes());
        for _ in 0..fields {
            put_string(&mut key, reader.string()?);
        }
        let key = PublicKey::from_blob(&key).map_err(Key)?;
        let serial = reader.u64()?;
        let user = match reader.u32()? {
            1 => true,
            2 => false,
            _ => return Err(Damaged("it is neither for a user nor for a host")),
        };
        let key_id = text(reader.string()?)?;
        let principals = principals(reader.string()?)?;
        let (valid_after, valid_before) = (reader.u64()?, reader.u64()?);
        let (critical, extensions) = (options(reader.string()?)?, options(reader.string()?)?);
        let _reserved = reader.string()?;
        let authority = PublicKey::from_blob(reader.string()?).map_err(Key)?;
        let signed = blob.get(..blob.len().saturating_sub(reader.len())).unwrap_or_default();
        let proof = reader.string()?;
        if !reader.is_empty() {
            return Err(Damaged("bytes behind its end"));
        }
        let proof = signature::parse(&authority, proof).map_err(|_| CertificateError::Unsigned)?;
        signature::check(&authority, signed, &proof).map_err(|_| CertificateError::Unsigned)?;
        Ok(Self {
            blob: blob.to_vec(),
            kind,
            key,
            authority,
            serial,
            user,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical,
            extensions,
        })
    }

    /// Reads `TYPE BASE64 [COMMENT]`, as in a `-cert.pub` file.
    pub fn from_openssh(line: &str) -> Result<Self, CertificateError> {
        let damaged = CertificateError::Damaged("expected a line of TYPE and base64");
        let mut words = line.split_ascii_whitespace();
        let Some((kind, blob)) = words.next().zip(words.next()) else { return Err(damaged) };
        let Ok(blob) = general_purpose::STANDARD.decode(blob) else { return Err(damaged) };
        let found = Self::from_blob(&blob)?;
        if found.kind == kind {
            Ok(found)
        } else {
            Err(CertificateError::Damaged("another type stands in front of it"))
        }
    }

    /// The wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `ssh-ed25519-cert-v01@openssh.com` and so on.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The key that it is about.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key that signed it.
    pub const fn authority(&self) -> &PublicKey {
        &self.authority
    }

    /// The authority's number for it.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// For a user; else for a host.
    pub const fn is_for_user(&self) -> bool {
        self.user
    }

    /// The authority's name for whom it is for.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The names that its holder may use.
    pub fn principals(&self) -> &[String] {
        &self.principals
    }

    /// The first second, since 1970.
    pub const fn valid_after(&self) -> u64 {
        self.valid_after
    }

    /// The first second behind, since 1970; [`FOREVER`] if there is none.
    pub const fn valid_before(&self) -> u64 {
        self.valid_before
    }

    /// Names of the critical options: whoever doesn't know one must not rely on the certificate.
    pub fn critical_options(&self) -> impl Iterator<Item = &str> {
        self.critical.iter().map(|(name, _)| name.as_str())
    }

    /// The text of an extension, as `ssh-keygen -O extension:NAME=TEXT` writes it.
    pub fn extension(&self, name: &str) -> Option<&str> {
        let (_, data) = self.extensions.iter().find(|(found, _)| found == name)?;
        let mut reader = Reader::new(data);
        let value = reader.string().ok().filter(|_| reader.is_empty())?;
        std::str::from_utf8(value).ok()
    }
}

/// `TYPE BASE64`.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, general_purpose::STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {:?} by {:?})", self.kind, self.key_id, self.authority)
    }
}

/// The type of the key inside, and how many fields it has; all are strings on the wire.
fn key_fields(plain: &str) -> Option<(&'static str, usize)> {
    Some(match plain {
        "ssh-ed25519" => ("ssh-ed25519", 1),
        "ssh-rsa" => ("ssh-rsa", 2),
        "ecdsa-sha2-nistp256" => ("ecdsa-sha2-nistp256", 2),
        "ecdsa-sha2-nistp384" => ("ecdsa-sha2-nistp384", 2),
        "ecdsa-sha2-nistp521" => ("ecdsa-sha2-nistp521", 2),
        // The type of the certificate ends the name of the key's in another way.
        "sk-ssh-ed25519" => ("sk-ssh-ed25519@openssh.com", 2),
        "sk-ecdsa-sha2-nistp256" => ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
        _ => return None,
    })
}

fn unknown(kind: &str) -> KeyError {
    KeyError::Unsupported { kind: kind.to_owned() }
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // A certificate is shorter than four gigabytes.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Names go into records and are compared: bytes that are no text stand for nothing.
fn text(bytes: &[u8]) -> Result<String, CertificateError> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned).ok_or(CertificateError::Damaged("a name in it is no text"))
}

fn principals(bytes: &[u8]) -> Result<Vec<String>, CertificateError> {
    let (mut reader, mut found) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        if found.len() == MAX_PRINCIPALS {
            return Err(CertificateError::Damaged("it has too many principals"));
        }
        found.push(text(reader.string()?)?);
    }
    Ok(found)
}

fn options(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, CertificateError> {
    let (mut reader, mut found) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        let (name, data) = (reader.string()?, reader.string()?);
        found.push((text(name)?, data.to_vec()));
    }
    Ok(found)
}
