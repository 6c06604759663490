//! Findings with their stable codes: one list, one place where a code gets its weight.

use std::collections::BTreeMap;

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
    HOOK_DEAD = Gap;
    SLEW = Gap;
    SUSPEND = Gap;
    CONTROL_UNREADABLE = Gap;
    DECRYPT_FAILED = Undecryptable;
    WITNESSES_SHORT = Gap;
    EXPIRED = Gap;
    PERMIT_UNCHECKED = Gap;
    UNSUPPORTED_VERSION = Unsupported;
    ORIGIN_MISMATCH = Untrusted;
    ANCHOR_INVALID = Untrusted;
    FOREIGN_LOG = Untrusted;
    ROLLED_BACK = Missing;
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

/// Most findings of one code that are listed for a log. The last of them says how many more there are.
pub(super) const LISTED: usize = 1000;

/// Findings of one log.
#[derive(Debug)]
pub(super) struct Findings {
    log: Option<LogId>,
    pub(super) list: Vec<Finding>,
    /// Findings of each code.
    count: BTreeMap<&'static str, usize>,
    /// Where the list says how many more there are of a code.
    more: BTreeMap<&'static str, usize>,
}

impl Findings {
    pub(super) const fn new(log: Option<LogId>) -> Self {
        Self { log, list: Vec::new(), count: BTreeMap::new(), more: BTreeMap::new() }
    }

    /// Adds one about the whole log, in front of all others.
    pub(super) fn add_first(&mut self, code: Code, text: String) {
        let (code, severity) = code;
        self.list.insert(0, Finding { code, severity, log: self.log, segment: None, leaf: None, text });
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
        let count = self.count.entry(code).or_insert(0);
        *count = count.saturating_add(1);
        if *count < LISTED {
            let segment = segment.map(str::to_owned);
            self.list.push(Finding { code, severity, log: self.log, segment, leaf, text: text.into() });
            return;
        }
        let more = count.saturating_sub(LISTED).saturating_add(1);
        let text = format!("{more} more of this kind are not listed one by one");
        if let Some(last) = self.more.get(code).and_then(|at| self.list.get_mut(*at)) {
            last.text = text;
        } else {
            self.more.insert(code, self.list.len());
            self.list.push(Finding { code, severity, log: self.log, segment: None, leaf: None, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_code_is_counted_and_hides_no_other() {
        let mut out = Findings::new(None);
        for n in 0..5000u64 {
            out.add(JUMP, Some("seg"), Some(n), "a jump");
        }
        out.add(FORK, None, None, "a fork");
        assert_eq!(out.list.len(), LISTED + 1);
        assert_eq!((out.list[998].leaf, &*out.list[998].text), (Some(998), "a jump"));
        assert_eq!(out.list[999].text, "4001 more of this kind are not listed one by one");
        assert_eq!((out.list[999].code, out.list[1000].code), ("JUMP", "FORK"));
    }
}
