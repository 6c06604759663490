//! A login as PAM told it.

use serde::{Deserialize, Serialize};

use super::{Bytes, Digest};

/// A record of the log: somebody logged in. It is what PAM, which runs as root, said over the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The account.
    pub account: Bytes,
    /// PAM's service, such as `sshd`.
    pub service: Bytes,
    /// Where from, in PAM's words; empty if nobody knows.
    pub remote: Bytes,
    /// PAM's name for the terminal; always `ssh` for sshd.
    pub tty: Bytes,
    /// How he proved who he is, such as `publickey`; several are joined by commas; empty if sshd did not tell.
    pub auth: Bytes,
    /// Fingerprint of the key, `SHA256:…`, of a certificate that of the key in it; empty without one.
    pub key: Bytes,
    /// Key id of the certificate; empty without one.
    pub certificate: Bytes,
    /// Its serial number.
    pub serial: u64,
    /// Fingerprint of the authority that signed it.
    pub authority: Bytes,
    /// Audit's session id, which ties recorded sessions to this login; `u32::MAX` if it was not set.
    pub audit_session: u32,
    /// The process that speaks for the login.
    pub pid: u32,
    /// Whose login it is by the policy of that moment; empty if nobody's.
    pub person: Bytes,
    /// In a clear twin: SHA-256 of what the host kept of the whole record for itself; else zero.
    pub kept: Digest,
}
