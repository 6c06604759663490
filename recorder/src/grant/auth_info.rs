//! What sshd says about how a login proved itself: the text of `SSH_AUTH_INFO_0` in PAM's environment (sshd_config(5),
//! `ExposeAuthInfo`). One line for each method: `publickey ssh-ed25519 AAAA…`, `password`, `keyboard-interactive/pam`.
//!
//! sshd has checked the key, the certificate and its authority; here they only get their names.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ssh_key::{Certificate, HashAlg};

use super::key::{CERTIFICATE, fingerprint, kind_of};

/// Longest text that is looked at: a few keys of the largest kind.
pub const MAX_AUTH_INFO: usize = 64 << 10;
/// Methods that are named; sshd knows six.
const MOST_METHODS: usize = 8;

/// How a login proved itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthInfo {
    /// The methods, joined by commas.
    pub methods: String,
    /// Fingerprint of the first public key, `SHA256:…`; of a certificate that of the key in it, as ssh-keygen has it.
    pub key: Option<String>,
    /// What was signed about that key.
    pub certificate: Option<LoginCertificate>,
}

/// A certificate's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCertificate {
    /// Its key id.
    pub id: String,
    /// Its serial number.
    pub serial: u64,
    /// Fingerprint of the authority.
    pub authority: String,
}

impl AuthInfo {
    /// Reads the text. What it does not know it leaves out: a login is never refused for that.
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        let mut methods = Vec::new();
        for line in text.get(..MAX_AUTH_INFO).unwrap_or(text).lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(method) = words.next() else { continue };
            if methods.len() < MOST_METHODS && method.len() <= 64 {
                methods.push(method);
            }
            // `hostbased` shows a key too: the other host's, which says nothing about the person.
            if method == "publickey"
                && info.key.is_none()
                && let Some((kind, blob)) = words.next().zip(words.next())
            {
                info.take(kind, blob);
            }
        }
        info.methods = methods.join(",");
        info
    }

    fn take(&mut self, kind: &str, blob: &str) {
        let Ok(blob) = STANDARD.decode(blob) else { return };
        // The type stands in front of the bytes and in them.
        if kind_of(&blob).as_deref() != Some(kind) {
            return;
        }
        if !kind.ends_with(CERTIFICATE) {
            self.key = Some(fingerprint(&blob));
        } else if let Ok(certificate) = Certificate::from_bytes(&blob) {
            let name = |key: &ssh_key::public::KeyData| key.fingerprint(HashAlg::Sha256).to_string();
            self.key = Some(name(certificate.public_key()));
            self.certificate = Some(LoginCertificate {
                id: certificate.key_id().to_owned(),
                serial: certificate.serial(),
                authority: name(certificate.signature_key()),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str) -> String {
        let path = format!("{}/tests/ssh/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    #[test]
    fn a_key_has_the_fingerprint_that_ssh_keygen_gives_it() {
        let key = file("auth-user.pub");
        let info = AuthInfo::parse(&format!("publickey {key}\nkeyboard-interactive/pam\n"));
        assert_eq!(info.methods, "publickey,keyboard-interactive/pam");
        assert_eq!(info.key.as_deref(), Some(file("auth-user.fingerprint").trim()));
        assert_eq!(info.certificate, None);
    }

    #[test]
    fn a_certificate_has_its_id_its_serial_and_its_authority() {
        let info = AuthInfo::parse(&format!("publickey {}", file("auth-user-cert.pub")));
        assert_eq!(info.key.as_deref(), Some(file("auth-user.fingerprint").trim()));
        let certified = info.certificate.unwrap();
        assert_eq!((certified.id.as_str(), certified.serial), ("anna@example.com", 42));
        assert_eq!(certified.authority, file("auth-ca.fingerprint").trim());
    }

    #[test]
    fn another_hosts_key_is_nobodys_and_a_wrong_type_is_no_key() {
        let key = file("auth-user.pub");
        let (_, blob) = key.split_once(' ').unwrap();
        for line in [
            format!("hostbased {key}"),
            format!("publickey ssh-rsa {blob}"),
            "publickey ssh-ed25519".to_owned(),
            "publickey ssh-ed25519 ====".to_owned(),
            "password".to_owned(),
            String::new(),
        ] {
            assert_eq!(AuthInfo::parse(&line).key, None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(publickey |ssh-ed25519(-cert-v01@openssh.com)? |[A-Za-z0-9+/=]{0,80}|\\PC|\n){0,12}") {
            AuthInfo::parse(&text);
        }

        #[test]
        fn a_certificate_with_other_bytes_is_read(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let text = file("auth-user-cert.pub");
            let mut words = text.split(' ');
            let kind = words.next().unwrap();
            let mut blob = STANDARD.decode(words.next().unwrap()).unwrap();
            let at = at.index(blob.len());
            blob[at] = byte;
            AuthInfo::parse(&format!("publickey {kind} {}", STANDARD.encode(blob)));
        }
    }
}
