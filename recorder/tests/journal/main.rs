//! The journal from outside: what is written comes back, and whatever is done to the bytes is found.

#![expect(clippy::as_conversions, reason = "test arithmetic")]

mod common;
mod crash;
mod fake;
mod laws;
mod restart;
mod surgery;
