//! A configuration that was read again while the recorder runs.

use serde::{Deserialize, Serialize};

use super::event::serde_as_code;
use super::{Bytes, Digest};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigAct {
    /// It is the configuration now; each key says what takes effect when.
    Taken,
    /// It has faults, or asks for what only a new start can do: nothing was changed.
    Refused,
    /// A newer recorder's word.
    Unknown(u16),
}

impl ConfigAct {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::Taken => 1,
            Self::Refused => 2,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Taken,
            2 => Self::Refused,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(ConfigAct);

/// When a key that changed takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takes {
    /// With the next segment, which begins at once.
    NextSegment,
    /// With the next start of the recorder.
    Restart,
    /// A newer recorder's word.
    Unknown(u16),
}

impl Takes {
    /// Stable number in the journal.
    pub const fn code(self) -> u16 {
        match self {
            Self::NextSegment => 1,
            Self::Restart => 2,
            Self::Unknown(n) => n,
        }
    }

    /// From the stable number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::NextSegment,
            2 => Self::Restart,
            n => Self::Unknown(n),
        }
    }

    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextSegment => "next_segment",
            Self::Restart => "restart",
            Self::Unknown(_) => "unknown",
        }
    }
}
serde_as_code!(Takes);

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
