//! Session tracking: a pure state machine from kernel events to sessions with their own ids.
//!
//! `step(now, captured) -> outputs`; whatever it wants to know of the host comes through [`Host`]. docs/sessions.md is
//! the law.

mod company;
mod container;
mod delegation;
mod edges;
mod flood;
mod folds;
mod lineage;
mod permissions;
mod places;
mod reached;
mod reads;
pub mod redact;
mod relay;
mod sends;
mod terminals;
mod tracker;

pub use delegation::{Container, Files, Handover};
pub use edges::{Host, Tracked};
pub use flood::{Allowance, Flood};
pub use reads::Reading;
pub use relay::Relay;
pub use tracker::Tracker;

#[cfg(test)]
mod guests;
#[cfg(test)]
mod handed;
#[cfg(test)]
mod living;
#[cfg(test)]
mod tests;
