//! Asks the recorder, from inside login programs: one question, one answer, one second (docs/control.md is the law).
//!
//! It runs as root in sudo, su and sshd, where a crash locks people out: sizes are bounded before anything is allocated,
//! nothing waits longer than [`PATIENCE`], and the modules call it under [`guarded`]. Standard library and libc only.
#![deny(unsafe_code)]

mod answer;
mod ask;
mod caller;
mod guard;
mod options;
mod question;
mod sys;

pub use answer::{Answer, Decision};
pub use ask::{PATIENCE, ask};
pub use caller::{Caller, ROOT, started_with};
pub use guard::guarded;
pub use options::Options;
pub use question::{CUT, Login, MAX_ARGS, May, TOKEN};
pub use sys::log;
