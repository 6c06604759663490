//! People and witnesses of the fixtures, by a number each: their keys, signatures, lists and policies.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use recorder::grant::{AllowedSigners, check_named};
use recorder::journal::key::{SecretKey, sha256};
use recorder::journal::note::{Algorithm, Verifier, cosign};
use recorder::journal::retain::NAMESPACE;
use recorder::model::RealNanos;
use recorder::sys::secret::Secret;
use recorder::verify::PermitSigners;

pub(crate) fn secret(n: u8) -> SecretKey {
    let mut page = Secret::new().unwrap();
    page.expose_mut().copy_from_slice(&[n; 32]);
    SecretKey::from_secret(page)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, first);
    string(&mut out, second);
    out
}

/// What `ssh-keygen -Y sign` gives for person n.
pub(crate) fn ssh_signature(n: u8, document: &[u8]) -> Vec<u8> {
    let mut message = b"SSHSIG".to_vec();
    let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
    string(&mut blob, &pair(b"ssh-ed25519", &secret(n).public().0));
    for part in [NAMESPACE.as_bytes(), b"", b"sha256"] {
        string(&mut message, part);
        string(&mut blob, part);
    }
    string(&mut message, sha256(document).as_bytes());
    string(&mut blob, &pair(b"ssh-ed25519", &secret(n).sign(&message)));
    let text = STANDARD.encode(blob);
    let lines: Vec<&str> =
        text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n")).into_bytes()
}

/// A line that lets person n sign as `name`, with these options.
pub(crate) fn signer_line(name: &str, options: &str, n: u8) -> String {
    let key = STANDARD.encode(pair(b"ssh-ed25519", &secret(n).public().0));
    format!("{name} {options}ssh-ed25519 {key}\n")
}

/// A list of who may sign permits.
#[derive(Debug)]
pub(crate) struct Listed(AllowedSigners);

impl Listed {
    pub(crate) fn read(path: &Path) -> Self {
        Self(AllowedSigners::parse(&std::fs::read(path).unwrap(), &TimeZone::UTC).unwrap())
    }
}

impl PermitSigners for Listed {
    fn check(
        &self,
        document: &[u8],
        signature: &[u8],
        signer: &str,
        at: RealNanos,
    ) -> Result<String, String> {
        check_named(document, signature, NAMESPACE, signer, &self.0, at)
    }
}

/// The note with witness n's line under it.
pub(crate) fn cosigned(note: &str, n: u8, time: u64) -> String {
    let text = note.split_once("\n\n").unwrap().0;
    format!("{note}{}", cosign(&format!("w{n}"), &secret(n), &format!("{text}\n"), time))
}

/// How a policy names witness n.
pub(crate) fn vkey(n: u8) -> String {
    Verifier::new(&format!("w{n}"), Algorithm::Cosignature, secret(n).public()).unwrap().to_string()
}
