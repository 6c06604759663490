//! What readers get: a record whose frame was verified. Nothing outside this room can make one.

use std::ops::Deref;

use crate::model::{BootId, LogId, RealNanos, Record, SessionId, StreamNo};

/// Wraps what verification has vouched for. Readers take this type, so an unverified record can't reach them.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(in crate::verify) fn new(inner: T) -> Self {
        Self(inner)
    }

    /// For tests of the readers, which have no journal at hand.
    #[cfg(test)]
    pub(crate) fn for_test(inner: T) -> Self {
        Self(inner)
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A record with its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The log it stands in.
    pub log: LogId,
    /// The boot it was recorded in.
    pub boot: BootId,
    /// Record number, unique and rising within the log; control and session records share one count.
    pub seq: u64,
    /// The stream; [`StreamNo::LOG`] for records of the log itself.
    pub stream: StreamNo,
    /// The session of that stream.
    pub session: Option<SessionId>,
    /// False for a readable frame behind the last seal.
    pub sealed: bool,
    /// Wall-clock time: `record.boot_ns` through the newest clock pair (boot, heartbeat or jump record) before it.
    pub time: RealNanos,
    /// The record.
    pub record: Record,
}
