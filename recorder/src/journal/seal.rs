//! A seal's body: 256 bytes, the last 64 of them the signature.

use super::bytes::{Cursor, Short, put64};
use super::key::PublicKey;
use crate::model::{BootId, BootNanos, ClockPair, Digest, LogId, RealNanos};

/// Length of a seal's body.
pub const SEAL_LEN: usize = 256;
/// Length of the signature at its end.
pub const SIGNATURE_LEN: usize = 64;

/// What a seal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The log.
    pub log: LogId,
    /// Number of this seal, from 0.
    pub no: u64,
    /// Leaves so far.
    pub tree_size: u64,
    /// Hash of the frame before the seal.
    pub last: Digest,
    /// Root of the tree.
    pub root: Digest,
    /// Key that will sign the next seal.
    pub next_key: PublicKey,
    /// Key that alone may restart the chain behind this seal.
    pub recovery_key: PublicKey,
    /// The boot.
    pub boot: BootId,
    /// Both clocks.
    pub clock: ClockPair,
}

impl Seal {
    /// Appends everything but the signature.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.log.as_bytes());
        put64(out, self.no);
        put64(out, self.tree_size);
        out.extend_from_slice(self.last.as_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.extend_from_slice(&self.next_key.0);
        out.extend_from_slice(&self.recovery_key.0);
        out.extend_from_slice(self.boot.as_bytes());
        put64(out, self.clock.boot.get());
        put64(out, self.clock.real.get());
    }

    /// Reads a body; the signature comes second and is not checked here.
    pub fn parse(body: &[u8]) -> Result<(Self, [u8; SIGNATURE_LEN]), Short> {
        let mut c = Cursor::new(body);
        let seal = Self {
            log: LogId::new(c.array()?),
            no: c.u64()?,
            tree_size: c.u64()?,
            last: Digest::new(c.array()?),
            root: Digest::new(c.array()?),
            next_key: PublicKey(c.array()?),
            recovery_key: PublicKey(c.array()?),
            boot: BootId::new(c.array()?),
            clock: ClockPair { boot: BootNanos::new(c.u64()?), real: RealNanos::new(c.u64()?) },
        };
        let signature = c.array()?;
        c.finish()?;
        Ok((seal, signature))
    }
}
