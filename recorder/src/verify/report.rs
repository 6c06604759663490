//! What verification says: verdict, findings, and what was not checked. A broken chain is a [`Finding`], not an error.

use serde::Serialize;

use super::interval::Interval;
use crate::model::{Digest, LogId, SessionId};

/// The outcome, with the exit code that scripts rely on (docs/journal-format.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Whole, sealed, ended or anchored as asked, origin checked, nothing undeclared.
    Verified,
    /// Whole, with findings.
    VerifiedWithGaps,
    /// A hash, chain, seal, stream or fork mismatch is proven.
    Tampered,
    /// Something in the middle is missing, or was rolled back against an anchor.
    Incomplete,
    /// Consistent, but origin or keys are not the ones given.
    Untrusted,
    /// A newer format or algorithm.
    Unsupported,
    /// Whole, but the identity opens nothing.
    Decrypt,
}

impl Verdict {
    /// The exit code.
    pub const fn exit(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::VerifiedWithGaps => 1,
            Self::Tampered => 2,
            Self::Incomplete => 3,
            Self::Untrusted => 4,
            Self::Unsupported => 5,
            Self::Decrypt => 6,
        }
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing, changes no verdict.
    Info,
    /// A declared or explainable gap: `VERIFIED WITH GAPS`.
    Gap,
    /// The identity opens nothing, or a body does not open: `DECRYPT`.
    Undecryptable,
    /// A newer format or algorithm: `UNSUPPORTED`.
    Unsupported,
    /// Not the origin or keys that were given: `UNTRUSTED`.
    Untrusted,
    /// Missing: `INCOMPLETE`.
    Missing,
    /// Proven: `TAMPERED`.
    Tampered,
}

/// One thing that verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code, such as `END_UNPROVEN`.
    pub code: &'static str,
    /// Its weight.
    pub severity: Severity,
    /// The log.
    #[serde(serialize_with = "display_opt")]
    pub log: Option<LogId>,
    /// The segment's file name.
    pub segment: Option<String>,
    /// The leaf index at or after which it was found.
    pub leaf: Option<u64>,
    /// One sentence for people.
    pub text: String,
}

/// A session's completeness; provable without any decryption key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionVerdict {
    /// The session.
    #[serde(serialize_with = "display")]
    pub id: SessionId,
    /// `complete`, `complete_with_loss`, `expired` (complete, but parts of it were deleted by permission), `open`,
    /// `incomplete`.
    pub completeness: &'static str,
    /// Records of its stream.
    pub records: u64,
    /// Losses declared while it was open.
    pub losses: u64,
}

/// One log of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSummary {
    /// Its id.
    #[serde(serialize_with = "display")]
    pub id: LogId,
    /// First leaf index present.
    pub first: u64,
    /// Number of leaves (tree size) at the last seal.
    pub last: u64,
    /// Tree root at the last seal.
    #[serde(serialize_with = "display")]
    pub root: Digest,
    /// Seals checked.
    pub seals: u64,
    /// Bytes read.
    pub bytes: u64,
    /// `off` or the number of recipients; shown in every verdict.
    pub encryption: String,
    /// Segments with recipients.
    pub encrypted: u64,
    /// Those of them that an identity opened.
    pub opened: u64,
}

/// What a checkpoint that was kept elsewhere says of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorState {
    /// The log has that root at that size.
    Matches,
    /// The log is shorter.
    RolledBack,
    /// The log has another root at that size.
    Fork,
    /// The log's admission key did not sign it.
    Invalid,
    /// The log does not verify that far.
    NotChecked,
}

/// A witness's signature that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cosignature {
    /// Name of its key.
    pub name: String,
    /// When, by its own clock: seconds since 1970.
    pub time: u64,
}

/// A checkpoint that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnchorVerdict {
    /// The file.
    pub source: String,
    /// The log.
    #[serde(serialize_with = "display")]
    pub log: LogId,
    /// Its leaves.
    pub size: u64,
    /// Their root.
    #[serde(serialize_with = "display")]
    pub root: Digest,
    /// What it says of the log.
    pub state: AnchorState,
    /// The policy's witnesses whose signatures hold.
    pub cosigned: Vec<Cosignature>,
}

/// What the policy's quorum saw, and when by its own clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// The log.
    #[serde(serialize_with = "display")]
    pub log: LogId,
    /// The first so many leaves were there at `not_after`.
    pub leaves: u64,
    /// Seconds since 1970.
    pub not_after: u64,
    /// The checkpoint came back into the log at that leaf: what stands there and behind it was not there before `not_after`.
    pub recorded_at: Option<u64>,
    /// Whose signatures hold.
    pub by: Vec<String>,
}

/// Everything that verification says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The verdict over all logs.
    pub verdict: Verdict,
    /// Its exit code.
    pub exit: u8,
    /// All findings, in journal order.
    pub findings: Vec<Finding>,
    /// All sessions.
    pub sessions: Vec<SessionVerdict>,
    /// All logs.
    pub logs: Vec<LogSummary>,
    /// The anchors that were given, as far as they are of these logs.
    pub anchors: Vec<AnchorVerdict>,
    /// What the policy's witnesses saw, by log and leaves; empty without a policy.
    pub witnessed: Vec<Witnessed>,
    /// Time without a recorder that saw everything.
    pub intervals: Vec<Interval>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
}

fn display<T: std::fmt::Display, S: serde::Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn display_opt<T: std::fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(v) => s.collect_str(v),
        None => s.serialize_none(),
    }
}
