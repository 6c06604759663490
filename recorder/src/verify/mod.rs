//! See docs/architecture.md.

mod entry;
mod report;

pub use entry::{Entry, Verified};
pub use report::{Finding, LogSummary, Report, SessionVerdict, Severity, Verdict};
