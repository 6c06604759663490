//! Plans and permits: which segments of a log may be replaced by which stubs. A plan is nobody's word; a permit is a plan
//! that somebody who may has signed off-host.

use super::text::{
    DocumentFault, Head, Maker, Out, digest, fault, finish, head, limited, log, number, rfc3339, table, take,
    time, words,
};
use crate::model::{Digest, LogId, RealNanos};

/// The SSHSIG namespace of permits, holds and releases.
pub const NAMESPACE: &str = "recorder-retention";
/// Most segments of one permit.
pub const MAX_SEGMENTS: usize = 400;

/// One segment that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// First leaf.
    pub first: u64,
    /// Last leaf.
    pub last: u64,
    /// SHA-256 of the stub that takes its place.
    pub stub: Digest,
}

/// What may go, and under which circumstances that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The log.
    pub log: LogId,
    /// The policy in words, such as `keep 90d`.
    pub policy: String,
    /// The state of the holds ([`super::hold::state`]).
    pub holds: Digest,
    /// Segments by rising leaf, at least one.
    pub segments: Vec<Item>,
}

/// A plan that somebody allows. Whether he may is for the list of signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Who and when.
    pub head: Head,
    /// What.
    pub plan: Plan,
    /// Why.
    pub reason: String,
    /// The first moment at which it can't be applied any more.
    pub until: RealNanos,
}

impl Plan {
    /// Reads a plan.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentFault> {
        let (mut table, kind) = table(bytes)?;
        if kind != "plan" {
            return fault("kind", "is no plan");
        }
        let plan = Self::take(&mut table)?;
        finish(&table)?;
        Ok(plan)
    }

    /// Writes a plan and reads it back.
    pub fn write(&self) -> Result<Vec<u8>, DocumentFault> {
        let mut out = Out::begin("plan");
        self.put(&mut out);
        let bytes = out.0.into_bytes();
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// The item for the segment that begins with that leaf.
    pub fn item(&self, first: u64) -> Option<&Item> {
        self.segments.iter().find(|item| item.first == first)
    }

    fn take(table: &mut toml::Table) -> Result<Self, DocumentFault> {
        let log = log(&take(table, "log")?)?;
        let policy = words("policy", limited("policy", take(table, "policy")?, 256)?)?;
        let holds = digest("holds", &take(table, "holds")?)?;
        let list = match table.remove("segment") {
            Some(toml::Value::Array(list)) if (1..=MAX_SEGMENTS).contains(&list.len()) => list,
            Some(_) => return fault("segment", &format!("has to be 1 to {MAX_SEGMENTS} tables")),
            None => return fault("segment", "is missing"),
        };
        let mut segments: Vec<Item> = Vec::with_capacity(list.len());
        for value in list {
            let toml::Value::Table(mut row) = value else {
                return fault("segment", "has to be a list of tables");
            };
            let item = Item {
                first: number(&mut row, "first")?,
                last: number(&mut row, "last")?,
                stub: digest("stub", &take(&mut row, "stub")?)?,
            };
            finish(&row)?;
            let rising = segments.last().is_none_or(|before| before.last < item.first);
            if !rising || item.last <= item.first {
                return fault("segment", "leaves have to rise, and a segment has two at least");
            }
            segments.push(item);
        }
        Ok(Self { log, policy, holds, segments })
    }

    fn put(&self, out: &mut Out) {
        out.text("log", &self.log.to_string());
        out.text("policy", &self.policy);
        out.text("holds", &self.holds.to_string());
        self.put_segments(out);
    }

    /// Tables, so they have to come last.
    fn put_segments(&self, out: &mut Out) {
        for item in &self.segments {
            out.0.push_str("\n[[segment]]\n");
            out.raw("first", &item.first.to_string());
            out.raw("last", &item.last.to_string());
            out.text("stub", &item.stub.to_string());
        }
    }
}

impl Permit {
    /// Reads the bytes; they are what was signed, so they are never written again to be checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentFault> {
        let (mut table, kind) = table(bytes)?;
        if kind != "permit" {
            return fault("kind", "is no permit");
        }
        let head = head(bytes, &mut table)?;
        let until = time("until", &take(&mut table, "until")?)?;
        let reason = words("reason", take(&mut table, "reason")?)?;
        let plan = Plan::take(&mut table)?;
        finish(&table)?;
        if until <= head.made {
            return fault("until", "lies before `made`");
        }
        Ok(Self { head, plan, reason, until })
    }

    /// Writes a permit and reads it back: what the reader would refuse is never handed out to be signed.
    pub fn write(
        maker: &Maker,
        plan: &Plan,
        reason: &str,
        until: RealNanos,
    ) -> Result<(Self, Vec<u8>), DocumentFault> {
        let mut out = Out::begin("permit");
        out.maker(maker);
        out.text("until", &rfc3339(until));
        out.text("reason", reason);
        plan.put(&mut out);
        let bytes = out.0.into_bytes();
        Ok((Self::parse(&bytes)?, bytes))
    }
}

/// File name of a permit beside its log; its signature has `.sig` behind it.
pub fn file_name(id: Digest) -> String {
    format!("permit-{id}.toml")
}
