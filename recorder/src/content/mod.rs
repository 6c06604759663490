//! What lay in the programs that a session ran, and what it left in the files that it changed: pure state machines.
//!
//! [`Ledger`] stands in the pump: it says what is to be looked at and when, and makes records of what was seen. [`Examiner`] stands in
//! a thread that may wait for disks: one look at one file, its digest, what lay there before, the diff. Clock and files are
//! arguments. docs/sessions.md (File semantics) is the law.

mod baseline;
mod cache;
mod class;
mod diff;
mod examine;
mod hash;
mod ledger;
mod rules;
mod session;
mod words;

pub use examine::Examiner;
pub use ledger::{Ledger, Limits};
pub use rules::Rules;
pub use words::{Aim, Entry, Files, Kind, Look, Seen, Stat, Way};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
