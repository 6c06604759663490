//! Grants: signed permissions, who may give them, which of them cover which stretch of a session (docs/grants.md).
//!
//! Pure: documents, clocks and lists of signers are arguments; nothing here reads a file or the time.

mod book;
mod clock;
mod correlate;
mod document;
mod follow;
mod grade;
mod need;
mod pattern;
mod policy;
mod work;

pub use book::{Book, Delivery, Refusal, Verdict, Verified};
pub use clock::{Clock, Observed, Trust};
pub use correlate::{Overdue, Stretch, coverage, coverage_now, next_change, overdue, timeline};
pub use document::{
    Answer, Document, DocumentError, Extension, Incident, NAMESPACE, Note, Privilege, Request, Statement,
    Window,
};
pub use follow::Follow;
pub use grade::{Closed, Grant, State};
pub use need::{CommandLine, Need, Wanted};
pub use pattern::{Case, MAX_PATTERN, contains, listed, matches};
pub use policy::{DEFAULT_MAX_WINDOW, Policy, PolicyError, Rule};
pub use work::Work;

#[cfg(test)]
mod tests;
