//! Grants: signed permissions, who may give them, which of them cover which stretch of a session (docs/grants.md).
//!
//! Pure: documents, clocks, time zones and lists of signers are arguments; nothing here reads a file or the time.

mod allowed_signers;
mod auth_info;
mod book;
mod clock;
mod correlate;
mod document;
mod enforce;
mod follow;
mod grade;
mod key;
mod need;
mod parse;
mod pattern;
mod policy;
mod principals;
mod reader;
mod render;
mod sshsig;
mod standing;
mod validity;
mod work;

pub use allowed_signers::{
    AllowedSigners, AllowedSignersError, LineFault, MAX_ALLOWED_SIGNERS, Refusal as SignerRefusal,
};
pub use auth_info::{AuthInfo, Certified, MAX_AUTH_INFO};
pub use book::{Book, Refusal, Verdict, Verified};
pub use clock::{Clock, Observed, Trust};
pub use correlate::{Overdue, Stretch, coverage, coverage_now, next_change, overdue, timeline};
pub use document::{
    Answer, Document, DocumentError, Extension, Incident, MAX_DOCUMENT, NAMESPACE, Nonce, Note, Privilege,
    Request, Statement, Window,
};
pub use enforce::{Case as EnforcementCase, Rules as EnforcementRules, Step, View, allowed_now, ends_at};
pub use follow::Follow;
pub use grade::{Closed, Grant, State};
pub use key::{KeyError, PublicKey};
pub use need::{CommandLine, Need, Wanted};
pub use pattern::{Case, MAX_PATTERN, contains, listed, matches};
pub use policy::{DEFAULT_MAX_WINDOW, Policy, PolicyError, Rule};
pub use sshsig::{MAX_SIGNATURE, SignatureError, Signed, verify as verify_signature};
pub use standing::Standing;
pub use work::Work;

#[cfg(test)]
mod tests;
