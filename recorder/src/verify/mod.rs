//! Verification: what may be believed of a journal, and the records that may. docs/journal-format.md is the law.
//!
//! Reads files and nothing else: no write, no lock, no root, no secret. A broken chain is a [`Finding`]; an error means
//! that nothing can be said about the evidence.

mod anchor;
mod clock;
mod entries;
mod entry;
mod expired;
mod files;
mod finding;
mod fold;
mod interval;
mod link;
mod log;
mod notes;
mod opener;
mod policy;
mod queue;
mod report;
mod roots;
mod secrecy;
mod segment;
mod sessions;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::journal::Identities;
pub use entries::Entries;
pub use entry::{Entry, Verified};
pub use expired::PermitSigners;
pub use interval::{Interval, IntervalKind};
pub use report::{
    AnchorState, AnchorVerdict, Cosignature, Finding, LogSummary, Report, SessionVerdict, Severity, Verdict,
    Witnessed,
};

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
    /// Who reads. Without any, bodies stay shut; everything else is verified all the same.
    pub identities: Identities,
    /// Checkpoints that were kept elsewhere: files with notes or lines of syslog, directories of such files.
    pub anchors: Vec<PathBuf>,
    /// A C2SP policy: whose cosignatures have to be there.
    pub policy: Option<PathBuf>,
    /// Who may sign retention permits; without it they are `PERMIT_UNCHECKED`.
    pub permits: Option<Arc<dyn PermitSigners>>,
    /// Only so many of the newest segments of each log, the first of them taken as it stands: for whoever asks what the
    /// last ones say, not for a verdict. The report says what was left out.
    pub newest: Option<usize>,
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
    /// A file given as an anchor has none.
    #[error("{path} holds no checkpoint of a recorder's log", path = path.display())]
    NoAnchor {
        /// Where.
        path: PathBuf,
    },
    /// The file given as policy is none.
    #[error("{path}, line {line}: {text}", path = path.display())]
    BadPolicy {
        /// Where.
        path: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        text: String,
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

/// The files of one log, before anything is verified.
#[derive(Clone, Debug)]
pub struct LogFiles {
    /// Its directory.
    pub path: PathBuf,
    /// Its origin note, if there is one whose signature fits.
    pub origin: Option<crate::journal::origin::Origin>,
    /// Its segments, by their first leaves.
    pub segments: Vec<PathBuf>,
}

/// The logs at `dir`: what can be said of them without verifying.
pub fn log_files(dir: &Path) -> Result<Vec<LogFiles>, VerifyError> {
    let one = |log: files::LogDir| {
        let origin = match files::note_in(&log.path)? {
            files::Note::Origin(origin) => Some(*origin),
            files::Note::Missing | files::Note::Invalid => None,
        };
        let segments = files::segments(std::slice::from_ref(&log.path))?;
        Ok(LogFiles {
            path: log.path,
            origin,
            segments: segments.into_iter().map(|(_, path)| path).collect(),
        })
    };
    files::logs(dir)?.into_iter().map(one).collect()
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
    Ok((report, Entries::new(plans, options.identities.clone())))
}
