//! See docs/architecture.md.

mod entry;
mod report;

pub use entry::{Entry, Verified};
pub use report::{Finding, LogSummary, Report, SessionVerdict, Severity, Verdict};

use std::path::{Path, PathBuf};

/// TEMP stub of the interface; the real one replaces this file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Origin note kept elsewhere.
    pub origin: Option<PathBuf>,
}

/// How far a long verification is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Why verification could not do its job.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No such directory.
    #[error("{0}: no such directory")]
    NotFound(PathBuf),
    /// Holds no journal.
    #[error("{0}: not a journal")]
    NotAJournal(PathBuf),
}

/// Verified entries in journal order.
#[derive(Debug, Default)]
pub struct Entries;

impl Iterator for Entries {
    type Item = Result<Verified<Entry>, VerifyError>;
    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// Stub.
pub fn verify(
    dir: &Path,
    _options: &Options,
    _progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    Err(if dir.is_dir() { VerifyError::NotAJournal(dir.into()) } else { VerifyError::NotFound(dir.into()) })
}

/// Stub.
pub fn read(dir: &Path, options: &Options) -> Result<(Report, Entries), VerifyError> {
    verify(dir, options, &mut |_| {}).map(|r| (r, Entries))
}
