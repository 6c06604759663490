//! Whose log it is, by its first segment.

use super::finding::{self as f, Findings};
use super::segment::Walked;
use crate::journal::origin::Origin;

/// Holds a log's first segment against the note beside it (`local`) and the one kept elsewhere (`given`).
pub(super) fn check(
    name: &str,
    w: &Walked,
    local: Option<&Origin>,
    given: Option<&Origin>,
    out: &mut Findings,
) {
    let same = |o: &Origin| {
        o.identity.log == w.header.log
            && o.identity.admission == w.header.admission
            && o.first_seal == w.header.next_key
            && o.incarnation == w.header.incarnation
    };
    if local.is_some_and(|o| !same(o)) {
        out.add(f::ORIGIN_INVALID, Some(name), Some(0), "origin.note is not the note of this log");
    }
    match given {
        None => {
            let text = "no origin was given: whoever made this log may have made all of it (--origin FILE)";
            out.add(f::ORIGIN_UNCHECKED, None, None, text);
        }
        Some(given) if same(given) => {}
        Some(given) if local.is_some_and(|o| o.previous.is_some() && o.host_id == given.host_id) => {
            let text = "a later incarnation of the journal whose origin was given: its own was not";
            out.add(f::ORIGIN_UNCHECKED, None, None, text);
        }
        Some(_) => {
            out.add(f::ORIGIN_MISMATCH, None, None, "this is not the log whose origin was given");
        }
    }
}
