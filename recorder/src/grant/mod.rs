//! Grants: signed permissions, who may give them, which of them cover which stretch of a session (docs/grants.md).
//!
//! Pure: documents, clocks, time zones and lists of signers are arguments; nothing here reads a file or the time.

mod allowed_signers;
mod document;
mod key;
mod parse;
mod pattern;
mod reader;
mod render;
mod sshsig;
mod validity;

pub use allowed_signers::{AllowedSigners, AllowedSignersError, LineFault, MAX_ALLOWED_SIGNERS, Refusal};
pub use document::{
    Answer, Document, DocumentError, Extension, Incident, MAX_DOCUMENT, NAMESPACE, Nonce, Note, Privilege,
    Request, Statement, Window,
};
pub use key::{KeyError, PublicKey};
pub use sshsig::{MAX_SIGNATURE, SignatureError, Signed, verify as verify_signature};

#[cfg(test)]
mod tests;
