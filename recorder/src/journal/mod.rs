//! The journal: what is recorded becomes frames, chained, sealed and durable. docs/journal-format.md is the law.
//!
//! Owns the format, the writer and the recovery at its start. It doesn't judge: what a reader may believe is decided in
//! `verify`, which stands on the same [`walk`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Bytes, ClockPair, Digest, LogId, PreviousEnd};

mod body;
pub mod bytes;
pub mod chain;
pub mod checkpoint;
pub mod cipher;
pub mod disk;
mod fault;
pub mod frame;
pub mod identity;
pub mod key;
mod keyfile;
pub mod leaves;
pub mod note;
mod open;
pub mod origin;
pub mod pace;
pub mod pack;
pub mod proof;
pub mod recipients;
pub mod record;
mod recover;
pub mod retain;
mod rows;
pub mod scan;
pub mod seal;
pub mod segment;
mod store;
mod stream;
pub mod tree;
pub mod walk;
mod writer;

pub(crate) use bytes::wide;
pub use disk::{Disk, RealDisk};
pub use identity::Identities;
pub use key::{Entropy, OsEntropy};
pub use origin::Abandoned;
pub use recipients::{Encryption, Recipient};
pub use segment::SetAside;
pub use writer::Writer;

/// How to write.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// The journal's directory; logs lie in `<dir>/<log-id>/`.
    pub dir: PathBuf,
    /// Where the chain goes on when storage fails in `dir`.
    pub spare_dir: Option<PathBuf>,
    /// Length of a segment.
    pub segment_bytes: u64,
    /// A segment is closed when it is this old.
    pub segment_age: Duration,
    /// Bytes of the emergency reserve; 0: none.
    pub reserve: u64,
    /// Encryption of bodies.
    pub encryption: Encryption,
    /// Host name, for the origin.
    pub host: Bytes,
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The log that is written.
    pub log: LogId,
    /// A new origin was made: its note has to be kept elsewhere.
    pub enrolled: bool,
    /// How the last run on this log ended.
    pub previous_end: PreviousEnd,
    /// Bytes behind the last seal that the restart left where they are.
    pub set_aside: Option<SetAside>,
    /// Incarnation of the log, from 1.
    pub incarnation: u32,
    /// A log that could not be continued, and why.
    pub abandoned: Option<(LogId, Abandoned)>,
    /// The origin note.
    pub origin: String,
    /// False if the kernel refused to lock secrets into memory.
    pub secrets_locked: bool,
}

/// What waits for the next commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Roughly how many bytes.
    pub bytes: usize,
    /// Something among it has to be durable at once.
    pub critical: bool,
}

/// What a commit made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Frames with records.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Bytes written for them, seals included.
    pub bytes: u64,
    /// Number of the last seal.
    pub seal: u64,
    /// Leaves under it.
    pub tree_size: u64,
    /// Root under it.
    pub root: Digest,
    /// Segments that were begun because one was full or old.
    pub rotations: u32,
    /// Times the chain had to be restarted because storage failed.
    pub restarts: u32,
}

/// Why the writer could not do its job.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error("cannot {operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The disk's answer.
        source: io::Error,
    },
    /// The kernel gave no randomness.
    #[error("the kernel gives no randomness: no key can be made")]
    Entropy,
    /// Another recorder writes this journal.
    #[error("another recorder has the journal {dir} open; two at once would fork it", dir = dir.display())]
    Locked {
        /// The journal.
        dir: PathBuf,
    },
    /// A log of a newer version is there.
    #[error("log {log} has format version {version}, which this recorder can't continue")]
    NewerFormat {
        /// The log.
        log: LogId,
        /// Its version.
        version: u8,
    },
    /// A body could not be encrypted; it is never stored in clear instead.
    #[error("a body could not be encrypted")]
    Cipher,
    /// A segment's key could not be wrapped to its recipients.
    #[error("a segment's key could not be wrapped: {text}")]
    Wrap {
        /// age's words.
        text: String,
    },
    /// All slots of recovery.key are needed.
    #[error("recovery.key has no free slot")]
    NoKeySlot,
}

impl JournalError {
    pub(crate) const fn io(operation: &'static str, source: io::Error) -> Self {
        Self::Io { operation, source }
    }
}

/// Smallest segment: header, seals and footer have to fit, and something between them.
pub const MIN_SEGMENT: u64 = 3072;

/// Nanoseconds between two clock readings.
pub(crate) fn elapsed(from: ClockPair, to: ClockPair) -> Duration {
    Duration::from_nanos(to.boot.since(from.boot))
}
