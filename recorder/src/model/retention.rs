//! What was deleted by permission.

use serde::{Deserialize, Serialize};

use super::{Digest, RealNanos};

/// A segment is about to be replaced by its stub. Sealed and durable before anything is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// SHA-256 of the permit's bytes.
    pub permit: Digest,
    /// SHA-256 of the stub's bytes.
    pub stub: Digest,
    /// First leaf of the segment.
    pub first: u64,
    /// Its leaves.
    pub leaves: u64,
    /// When the permit was applied, by the host's wall clock.
    pub applied: RealNanos,
}
