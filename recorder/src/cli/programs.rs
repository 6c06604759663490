//! What could not be started and what was mapped to be executed, in a few words.

use super::brief;
use crate::model::{Arguments, ExecFailed, Mapped};

/// `/bin/x errno 2 x3`.
pub(crate) fn failed(failed: &ExecFailed) -> String {
    let path = if failed.path.is_empty() { "other programs".to_owned() } else { failed.path.escaped() };
    format!("{path} errno {}{}", failed.errno, brief::times(failed.count))
}

/// How much of the arguments is kept, and which stand here.
pub(crate) fn arguments(more: &Arguments) -> String {
    let Arguments { argc, bytes, kept_argc, kept, from, argv } = more;
    format!(
        "{kept_argc} of {argc} arguments, {kept} of {bytes} bytes are kept; {} from {from} on",
        argv.len()
    )
}

/// `/lib/x.so x3`.
pub(crate) fn mapped(mapped: &Mapped) -> String {
    let later = if mapped.how == Mapped::MPROTECT { ", made executable later" } else { "" };
    format!("{}{later}{}", mapped.path.escaped(), brief::times(mapped.count))
}
