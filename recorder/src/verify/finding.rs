//! Findings with their stable codes: one list, one place where a code gets its weight.

use super::report::{Finding, Severity};
use crate::journal::walk::FaultCode;
use crate::model::LogId;

/// A code with its weight.
pub(super) type Code = (&'static str, Severity);

macro_rules! codes {
    ($($name:ident = $severity:ident;)*) => {
        $(pub(super) const $name: Code = (stringify!($name), Severity::$severity);)*
    };
}

codes! {
    ENCRYPTION_OFF = Info;
    ORIGIN_UNCHECKED = Gap;
    END_UNPROVEN = Gap;
    UNCLEAN_END = Gap;
    UNSEALED_TAIL = Gap;
    RESUME = Gap;
    RESTART = Gap;
    FAULT_RESTART = Gap;
    LOSS = Gap;
    JUMP = Gap;
    GAP = Gap;
    CONTROL_UNREADABLE = Gap;
    EXPIRED = Gap;
    PERMIT_UNCHECKED = Gap;
    UNSUPPORTED_VERSION = Unsupported;
    ORIGIN_MISMATCH = Untrusted;
    FOREIGN_LOG = Untrusted;
    PERMIT_INVALID = Untrusted;
    SEGMENT_MISSING = Missing;
    SEGMENT_CUT = Missing;
    LOG_MISSING = Missing;
    ORIGIN_MISSING = Missing;
    RECOVERY_KEY_MISSING = Missing;
    FRAME_BROKEN = Tampered;
    FRAME_INVALID = Tampered;
    HASH_MISMATCH = Tampered;
    CRC_MISMATCH = Tampered;
    NONZERO_PADDING = Tampered;
    TRAILING_DATA = Tampered;
    CHAIN_BROKEN = Tampered;
    TREE_MISMATCH = Tampered;
    SEAL_INVALID = Tampered;
    SEAL_SKIPPED = Tampered;
    SEAL_KEY_MISMATCH = Tampered;
    FOOTER_MISMATCH = Tampered;
    STREAM_BROKEN = Tampered;
    SESSION_COUNT_MISMATCH = Tampered;
    RESTART_UNAUTHORISED = Tampered;
    RESTART_MISDECLARED = Tampered;
    SET_ASIDE_MISMATCH = Tampered;
    FORK = Tampered;
    FOREIGN_SEGMENT = Tampered;
    ORIGIN_INVALID = Tampered;
    LOG_ABANDONED = Tampered;
    STUB_INVALID = Tampered;
}

/// The finding of a rule that the walk saw broken, with a sentence for people.
pub(super) const fn of_fault(code: FaultCode) -> (Code, &'static str) {
    match code {
        FaultCode::Cut => (SEGMENT_CUT, "the file ends inside a frame"),
        FaultCode::FrameBroken => (FRAME_BROKEN, "there is no whole frame where one must be"),
        FaultCode::FrameInvalid => (FRAME_INVALID, "a frame's header contradicts itself"),
        FaultCode::HashMismatch => (HASH_MISMATCH, "the content of a frame was changed"),
        FaultCode::CrcMismatch => (CRC_MISMATCH, "the checksum of an intact frame was changed"),
        FaultCode::NonzeroPadding => (NONZERO_PADDING, "the padding of a frame is not zero"),
        FaultCode::ChainBroken => (CHAIN_BROKEN, "a frame does not follow the one before it"),
        FaultCode::SealInvalid => (SEAL_INVALID, "a seal's signature or content is wrong"),
        FaultCode::SealSkipped => (SEAL_SKIPPED, "a seal's number is not the next one"),
        FaultCode::TreeMismatch => (TREE_MISMATCH, "a seal's tree is not the tree of the frames"),
        FaultCode::TrailingData => (TRAILING_DATA, "a frame stands behind the end of a closed segment"),
        FaultCode::FooterMismatch => (FOOTER_MISMATCH, "a footer does not say what the segment holds"),
    }
}

/// Findings of one log.
#[derive(Debug)]
pub(super) struct Findings {
    log: Option<LogId>,
    pub(super) list: Vec<Finding>,
}

impl Findings {
    pub(super) const fn new(log: Option<LogId>) -> Self {
        Self { log, list: Vec::new() }
    }

    /// Adds one.
    pub(super) fn add(
        &mut self,
        code: Code,
        segment: Option<&str>,
        leaf: Option<u64>,
        text: impl Into<String>,
    ) {
        let (code, severity) = code;
        let segment = segment.map(str::to_owned);
        self.list.push(Finding { code, severity, log: self.log, segment, leaf, text: text.into() });
    }
}
