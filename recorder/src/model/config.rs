//! A configuration that was read again while the recorder runs.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, Digest};

codes! {
    /// What came of it.
    ConfigAct {
        /// It is the configuration now; each key says what takes effect when.
        Taken = 1, "taken";
        /// It has faults, or asks for what only a new start can do: nothing was changed.
        Refused = 2, "refused";
    }
}

codes! {
    /// When a key that changed takes effect.
    Takes {
        /// With the next segment, which begins at once.
        NextSegment = 1, "next_segment";
        /// With the next start of the recorder.
        Restart = 2, "restart";
    }
}

/// Somebody had the configuration read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// What came of it.
    pub act: ConfigAct,
    /// SHA-256 of the text that held before.
    pub before: Digest,
    /// SHA-256 of the text that was read; zeros if none could be.
    pub after: Digest,
    /// What differs. Of a file that was refused: nothing.
    pub keys: Vec<ConfigKey>,
    /// Why it was refused.
    pub text: Bytes,
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    /// With its table: `journal.segment`.
    pub key: Bytes,
    /// As it was written; `None`: it was not, the default held.
    pub before: Option<Bytes>,
    /// As it is written now.
    pub after: Option<Bytes>,
    /// When that takes effect.
    pub takes: Takes,
}
