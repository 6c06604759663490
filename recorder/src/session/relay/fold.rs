//! A stretch of a terminal's bytes that stands on another terminal as well: its length, its hash, its place there.

use sha2::{Digest as _, Sha256};

use super::window::wide;
use crate::model::{Body, BootNanos, Bytes, Cut, CutField, Digest, Flags, Record, Relay};

/// What is left out, so far.
#[derive(Debug)]
pub(super) struct Fold {
    since: BootNanos,
    relay: Relay,
    bytes: u64,
    hash: Sha256,
    /// The last record of which bytes were left out, without its bytes.
    last: Record,
}

impl Fold {
    /// Begins with bytes of this record.
    pub(super) fn new(relay: Relay, record: &Record) -> Self {
        Self { since: record.boot_ns, relay, bytes: 0, hash: Sha256::new(), last: bare(record) }
    }

    /// True if what stands there goes on where this ends.
    pub(super) fn goes_on(&self, relay: Relay) -> bool {
        self.relay.no == relay.no && self.relay.from.saturating_add(self.bytes) == relay.from
    }

    /// Leaves out these bytes of a record.
    pub(super) fn take(&mut self, record: &Record, data: &[u8]) {
        self.bytes = self.bytes.saturating_add(wide(data.len()));
        self.hash.update(data);
        self.last = bare(record);
    }

    pub(super) const fn since(&self) -> BootNanos {
        self.since
    }

    /// As a record.
    pub(super) fn told(self, at: BootNanos) -> Record {
        let Self { relay, bytes, hash, last: mut record, .. } = self;
        (record.boot_ns, record.cpu) = (at, u16::MAX);
        record.flags = record.flags.with(Flags::TRUNCATED);
        if let Body::Tty(_, tty) = &mut record.body {
            let sha256 = Some(Digest::new(hash.finalize().into()));
            tty.cut = Some(Cut { field: CutField::Tty, bytes, sha256, relay: Some(relay) });
        }
        record
    }
}

fn bare(record: &Record) -> Record {
    let mut bare = Record { body: record.body.clone(), ..record.clone() };
    if let Body::Tty(_, tty) = &mut bare.body {
        tty.data = Bytes::default();
    }
    bare
}
