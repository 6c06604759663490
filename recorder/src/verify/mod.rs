//! Verification: what may be believed of a journal, and the records that may. docs/journal-format.md is the law.
//!
//! Reads files and nothing else: no write, no lock, no root, no secret. A broken chain is a [`Finding`]; an error means
//! that nothing can be said about the evidence.

mod clock;
mod entries;
mod entry;
mod expired;
mod files;
mod finding;
mod link;
mod log;
mod report;
mod segment;
mod sessions;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use entries::Entries;
pub use entry::{Entry, Verified};
pub use expired::PermitSigners;
pub use report::{Finding, LogSummary, Report, SessionVerdict, Severity, Verdict};

/// What the end of a log has to show for the verdict `VERIFIED`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndPolicy {
    /// An outside anchor. Without one the end is `END_UNPROVEN`, because a cut behind a seal leaves no trace in a log.
    #[default]
    Anchored,
    /// A stop record is enough. It does not show that nothing came after it.
    Stopped,
}

/// How to verify.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// An origin note that was kept elsewhere.
    pub origin: Option<PathBuf>,
    /// Where segments lie that were written after a storage fault.
    pub spare: Option<PathBuf>,
    /// What the end has to show.
    pub end: EndPolicy,
    /// Who may sign retention permits; without it they are `PERMIT_UNCHECKED`.
    pub permits: Option<Arc<dyn PermitSigners>>,
}

/// How far verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes checked.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Why nothing can be said about the evidence.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such directory.
    #[error("{path} does not exist", path = path.display())]
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// It holds no log.
    #[error("{path} is neither a journal nor a log of one", path = path.display())]
    NotAJournal {
        /// Where.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The file given as origin is none.
    #[error("{path} is no origin note, or its signature is wrong", path = path.display())]
    BadOrigin {
        /// Where.
        path: PathBuf,
    },
    /// What was verified is not there any more, or not as it was.
    #[error("{path} changed while it was read", path = path.display())]
    Changed {
        /// Where.
        path: PathBuf,
    },
    /// A signed frame holds records that this program can't decode.
    #[error("{path}: the records of leaf {leaf} can't be decoded: {source}", path = path.display())]
    Records {
        /// Where.
        path: PathBuf,
        /// The frame.
        leaf: u64,
        /// Why.
        source: crate::journal::record::RecordError,
    },
}

/// Verifies a journal or one log of it.
pub fn verify(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    verdict::run(dir, options, progress).map(|(report, _)| report)
}

/// Verifies, then reads what verification vouches for, in journal order, in constant memory.
pub fn read(dir: &Path, options: &Options) -> Result<(Report, Entries), VerifyError> {
    read_with(dir, options, &mut |_| ())
}

/// As [`read`], telling how far the verification is.
pub fn read_with(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Entries), VerifyError> {
    let (report, plans) = verdict::run(dir, options, progress)?;
    Ok((report, Entries::new(plans)))
}
