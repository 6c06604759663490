//! What others signed of this log.

use serde::{Deserialize, Serialize};

use super::{Bytes, Digest};

/// Witnesses have signed a checkpoint of this log: it stood like that before this record was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    /// Leaves of the checkpoint.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// The signed note, with the witnesses' signatures.
    pub note: Bytes,
}
