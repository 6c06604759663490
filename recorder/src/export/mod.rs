//! Journal content in forms that other programs read. Owns the JSON shapes of docs/events.md; reads verified entries only.

mod bodies;
mod company;
mod config;
mod content;
mod files;
mod guard;
pub mod json;
mod liveness;
mod permissions;
mod programs;
mod redacted;
mod safe;
mod system;

pub use bodies::ElevationJson;
pub(crate) use bodies::{Obj, put as put_body};
pub(crate) use permissions::Objs;
pub use safe::{to_string, write_line, write_pretty};
