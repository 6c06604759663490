//! Attempts on the recorder itself in a few words.

use std::fmt::Write as _;

use crate::model::{Guard, SessionId};

/// Who tried what, how often.
pub(super) fn guard(guard: &Guard) -> String {
    let mut text = format!("{} {}", guard.object.name(), guard.act.name());
    match guard.signal() {
        Some(signal) => drop(write!(text, " {signal}")),
        None if guard.path.is_empty() => {}
        None => drop(write!(text, " {}", guard.path.escaped())),
    }
    if !guard.to.is_empty() {
        let _ = write!(text, " -> {}", guard.to.escaped());
    }
    let _ = write!(text, " by {}, {} times", guard.by.pid, guard.count);
    text.push_str(if guard.denied == 0 { "" } else { ", refused" });
    if guard.session != SessionId::NOBODY {
        let _ = write!(text, ", session {}", guard.session);
    }
    text
}
