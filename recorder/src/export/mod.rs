//! Journal content in forms that other programs read. Owns the JSON shapes of docs/events.md; reads verified entries only.

mod bodies;
mod company;
pub mod json;
mod liveness;
mod permissions;
mod redacted;
mod safe;

pub use bodies::ElevationJson;
pub(crate) use bodies::Obj;
pub(crate) use permissions::Objs;
pub use safe::{to_string, write_line, write_pretty};
