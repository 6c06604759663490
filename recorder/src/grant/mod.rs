//! Grants: signed permissions, who may give them, which of them cover which stretch of a session (docs/grants.md).
//!
//! Pure: documents, clocks, time zones and lists of signers are arguments; nothing here reads a file or the time.

mod allowed_signers;
mod auth_info;
mod book;
mod certificate;
mod clock;
mod correlate;
mod document;
mod enforce;
mod follow;
mod grade;
pub mod import;
mod key;
mod need;
mod parse;
mod pattern;
mod policy;
mod principals;
mod reader;
mod render;
mod retention;
mod signature;
mod sshsig;
mod standing;
mod token;
mod validity;
mod work;

pub use allowed_signers::{
    AllowedSigners, AllowedSignersError, CertificateRefusal, LineFault, MAX_ALLOWED_SIGNERS,
    Refusal as SignerRefusal,
};
pub use auth_info::{AuthInfo, LoginCertificate, MAX_AUTH_INFO};
pub use book::{Book, Refusal, Verdict, Verified};
pub use certificate::{Certificate, CertificateError, FOREVER, GRANT_ID};
pub use clock::{Clock, Observed, Trust};
pub use correlate::{Overdue, Stretch, coverage, coverage_now, next_change, overdue, timeline};
pub use document::{
    Answer, Certified, Document, DocumentError, Extension, Import, Incident, MAX_DOCUMENT, NAMESPACE, Nonce,
    Note, Privilege, Request, Statement, Token, Window,
};
pub use enforce::{Case as EnforcementCase, Rules as EnforcementRules, Step, View, allowing_now, ends_at};
pub use follow::Follow;
pub use grade::{Closed, Grant, State, Voucher};
pub use key::{KeyError, PublicKey};
pub use need::{CommandLine, Need, Wanted};
pub use pattern::{Case, MAX_PATTERN, contains, listed, matches};
pub use policy::{DEFAULT_MAX_WINDOW, DEFAULT_TOKEN_MAX, Policy, PolicyError, Rule};
pub use retention::check_named;
pub use sshsig::{MAX_SIGNATURE, SignatureError, Signed, verify as verify_signature, verify_in};
pub use standing::Standing;
pub use token::{MAX_TOKEN, TOKEN_PREFIX, TokenParts, TokenRefusal, Tokens, see_token, use_token};
pub use work::Work;

#[cfg(test)]
mod tests;
