//! Host session recorder. `docs/architecture.md` is the map of these rooms and says who may call whom.
#![deny(unsafe_code)]

pub mod capture;
pub mod cli;
pub mod config;
pub mod export;
pub mod grant;
pub mod index;
pub mod journal;
pub mod model;
pub mod replay;
pub mod service;
pub mod session;
pub mod sys;
pub mod verify;
pub mod witness;
