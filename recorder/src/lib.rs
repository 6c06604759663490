//! Host session recorder. `docs/architecture.md` is the map of these rooms and says who may call whom.
#![deny(unsafe_code)]

#[cfg(feature = "service")]
pub mod capture;
pub mod cli;
pub mod config;
#[cfg(feature = "service")]
pub mod content;
pub mod export;
pub mod grant;
pub mod index;
pub mod journal;
pub mod model;
pub mod replay;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "service")]
pub mod session;
pub mod sys;
pub mod verify;
#[cfg(feature = "service")]
pub mod witness;
