//! The only room with `unsafe` and raw system calls. See docs/architecture.md.

pub mod secret;
