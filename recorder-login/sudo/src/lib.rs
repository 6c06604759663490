//! sudo approval plugin: asks the recorder whether a person may run this command as that user. docs/operations.md says
//! how to load it; docs/control.md is the protocol; the ABI is that of sudo_plugin(5), API 1.15 and later.
//!
//! sudo stops for everyone if a plugin crashes or is missing, so this one is optional and holds as little as it can.
//! `unsafe` is in this file (the ABI) and in `given` (what sudo passes); the rest is in `approval`.
#![deny(unsafe_code)]

mod abi;
mod approval;
mod given;

pub use abi::{ApprovalPlugin, recorder_approval};
