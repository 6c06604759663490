//! What the suites, the demonstration and the benchmarks share: a pty with a person at it, throw-away accounts, a running
//! recorder and its readers. It knows the recorder only by its binary and docs/cli.md, never by its code.
#![forbid(unsafe_code)]

pub mod account;
pub mod human;
pub mod janitor;
pub mod journal;
pub mod proc;
pub mod pty;
pub mod recorder;
pub mod truth;
pub mod walk;
