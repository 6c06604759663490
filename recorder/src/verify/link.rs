//! How a segment must follow the one before it, and how a log may end.

use super::finding::{self as f, Findings};
use super::segment::Walked;
use crate::journal::key::{Identity, PublicKey, RESTART_LABEL};
use crate::journal::segment::{NONE, Reason};

/// One segment with its file name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) walked: &'a Walked,
}

fn signed_by(w: &Walked, label: &[u8], key: PublicKey) -> bool {
    let identity = Identity { log: w.header.log, admission: w.header.admission };
    let mut message = Vec::new();
    identity.message(label, &w.signed, &mut message);
    key.verifies(&message, &w.signature)
}

/// The origin segment is signed by the admission key.
pub(super) fn origin_signed(w: &Walked) -> bool {
    signed_by(w, crate::journal::key::ORIGIN_LABEL, w.header.admission)
}

/// Checks the step from one segment to the next. False: nothing behind it can be vouched for.
pub(super) fn follows(before: Named<'_>, next: Named<'_>, out: &mut Findings) -> bool {
    let (p, c) = (before.walked, next.walked);
    let leaf = Some(c.first.header.leaf);
    if let Some(fault) = p.fault.filter(|_| !p.reached) {
        // Behind a footer and its seal stands nothing, whatever it looks like.
        let behind = (f::TRAILING_DATA, "bytes stand behind the end of a closed segment");
        let (code, text) = if p.closed() { behind } else { f::of_fault(fault.code) };
        out.add(code, Some(before.name), Some(fault.leaf), text);
        return false;
    }
    let last = p.end.seal.map(|s| (s.seal.no, s.hash));
    let named = c.header.last_seal.map(|s| (s.no, s.hash));
    if c.first.header.leaf > p.end.leaf {
        let between = c.first.header.stream_seq > p.first.header.stream_seq.saturating_add(1);
        if p.closed() || between {
            let text = "the segment before this one is missing";
            out.add(f::SEGMENT_MISSING, Some(next.name), Some(p.end.leaf), text);
        } else if p.reached || p.right_len() || p.unsupported.is_some_and(|leaf| leaf >= p.end.leaf) {
            // The file was not cut: what it holds is not what the next segment says of it.
            let text = "the segment does not follow the seals of the one before it";
            out.add(f::CHAIN_BROKEN, Some(next.name), Some(c.first.header.leaf), text);
        } else {
            let text = "the segment ends before the log goes on";
            out.add(f::SEGMENT_CUT, Some(before.name), Some(p.end.leaf), text);
        }
        return false;
    }
    if c.first.header.leaf < p.end.leaf {
        let text = "two segments claim the same place in the log";
        out.add(f::FORK, Some(next.name), leaf, text);
        return false;
    }
    let linked = c.first.header.prev == p.end.prev
        && last == named
        && c.header.peaks == p.end.tree.peaks()
        && c.header.next_seal == p.end.next_seal
        && c.header.next_control == p.end.control
        && c.first.header.stream_seq == p.first.header.stream_seq.saturating_add(1)
        && c.header.incarnation == p.header.incarnation;
    if !linked {
        out.add(f::CHAIN_BROKEN, Some(next.name), leaf, "the segment does not follow the one before it");
        return false;
    }
    if c.header.reason.is_restart() { restarts(before, next, out) } else { rotates(before, next, out) }
}

fn rotates(before: Named<'_>, next: Named<'_>, out: &mut Findings) -> bool {
    let (p, c) = (before.walked, next.walked);
    let leaf = Some(c.first.header.leaf);
    let plain = c.header.reason == Reason::Rotate
        && p.closed()
        && !p.stopped()
        && c.first.header.record == p.end.record
        && c.header.boot == p.header.boot
        && c.header.next_stream >= p.end.next_stream;
    if !plain {
        out.add(f::CHAIN_BROKEN, Some(next.name), leaf, "the segment before was not closed for this one");
        return false;
    }
    if c.header.next_key != p.end.next_key {
        let text = "the segment names another seal key than the last seal announced";
        out.add(f::SEAL_KEY_MISMATCH, Some(next.name), leaf, text);
        return false;
    }
    if p.tail.len != p.sealed_end() {
        let text = "a closed segment is longer than its last seal";
        out.add(f::TRAILING_DATA, Some(before.name), Some(p.end.leaf), text);
    }
    true
}

fn restarts(before: Named<'_>, next: Named<'_>, out: &mut Findings) -> bool {
    let (p, c) = (before.walked, next.walked);
    let leaf = Some(c.first.header.leaf);
    let authorised = p.end.seal.is_some_and(|s| signed_by(c, RESTART_LABEL, s.seal.recovery_key));
    if !authorised {
        let text = "the restart is not signed by the recovery key that the last seal names";
        out.add(f::RESTART_UNAUTHORISED, Some(next.name), leaf, text);
        return false;
    }
    let fault = c.header.reason == Reason::Fault;
    let (spare_seals, text) = if fault { (1, "a storage fault") } else { (0, "a restart") };
    if p.tail.seals > spare_seals || p.tail.later_seal {
        let text = format!("{text} voids sealed commits behind seal {}", p.end.next_seal.saturating_sub(1));
        out.add(f::FORK, Some(before.name), Some(p.end.leaf), text);
        return false;
    }
    let reason_fits = match c.header.reason {
        Reason::Resume => p.stopped(),
        Reason::Break => !p.stopped(),
        _ => true,
    };
    let numbers_fit = if fault {
        c.first.header.record == p.end.record && c.header.next_stream >= p.end.next_stream
    } else {
        c.first.header.record == p.tail.record && c.header.next_stream >= p.tail.next_stream
    };
    if !reason_fits || !numbers_fit {
        let text = "the restart does not say what the segment before shows";
        out.add(f::RESTART_MISDECLARED, Some(next.name), leaf, text);
    }
    let unknown_only_after_fault = fault || c.header.set_aside.bytes != NONE;
    if !p.set_aside_is(c.header.set_aside) || !unknown_only_after_fault {
        let text = "what lies behind the last seal is not what the restart set aside";
        out.add(f::SET_ASIDE_MISMATCH, Some(before.name), Some(p.end.leaf), text);
    }
    if !p.right_len() {
        let text = "the segment before the restart does not have the length that the recorder gave it";
        out.add(f::SEGMENT_CUT, Some(before.name), Some(p.end.leaf), text);
    }
    let away = c.header.clock.real.get().saturating_sub(p.last_clock.real.get()) / 1_000_000_000;
    let aside = match c.header.set_aside.bytes {
        0 => String::new(),
        NONE => "; unacknowledged bytes behind the last seal are void".to_owned(),
        n => format!("; {n} unsealed bytes were set aside"),
    };
    let (code, text) = match c.header.reason {
        Reason::Resume => (f::RESUME, format!("the recorder was stopped and started again {away} s later")),
        Reason::Fault => (f::FAULT_RESTART, format!("storage failed; the chain was restarted{aside}")),
        _ => {
            (f::RESTART, format!("the recorder ended without a stop; it started again {away} s later{aside}"))
        }
    };
    out.add(code, Some(next.name), leaf, text);
    true
}

/// Judges the last segment's end. False: the end is proven to be tampered with.
pub(super) fn ends(last: Named<'_>, out: &mut Findings) -> bool {
    let w = last.walked;
    let leaf = Some(w.end.leaf);
    let (code, text) =
        w.fault.map_or((f::TRAILING_DATA, "bytes stand behind the end"), |x| f::of_fault(x.code));
    let at = w.fault.map_or(leaf, |x| Some(x.leaf));
    if w.end.seal.is_none() {
        // A segment gets its name only when its first seal is durable: no crash leaves it without one.
        let cut = w.fault.is_none() && w.tail.len < w.header.capacity;
        let (code, text) = if cut {
            (f::SEGMENT_CUT, "the file ends before the segment's first seal")
        } else {
            (code, text)
        };
        out.add(code, Some(last.name), at, text);
        return false;
    }
    if w.tail.later_seal {
        out.add(code, Some(last.name), at, format!("{text}, and later commits follow"));
        return false;
    }
    if w.closed() && w.tail.used > w.sealed_end() {
        out.add(f::TRAILING_DATA, Some(last.name), leaf, "bytes stand behind the end of a closed segment");
        return false;
    }
    if w.tail.used > w.sealed_end() {
        let bytes = w.tail.used.saturating_sub(w.sealed_end());
        let text = format!("{bytes} bytes behind the last seal belong to no whole commit ({text})");
        out.add(f::UNSEALED_TAIL, Some(last.name), leaf, text);
    } else if !w.right_len() {
        let text = "the file ends behind a seal where the zeros of an active segment should be: it was cut";
        out.add(f::UNSEALED_TAIL, Some(last.name), leaf, text);
    }
    if !w.stopped() {
        let text = "no stop record: the recorder runs, has crashed, or the end was cut off";
        out.add(f::UNCLEAN_END, Some(last.name), leaf, text);
    } else if w.tail.len != w.sealed_end() {
        out.add(f::UNCLEAN_END, Some(last.name), leaf, "the last segment was not cut to its length");
    }
    true
}
