//! What readers look up: host and login of a record, the list of sessions, filters. In memory, derived from verified
//! entries in one pass, never stored, so never trusted.

mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod grants;
mod known;
mod sessions;

pub use filter::Filter;
pub use grants::{GrantInfo, Grants, Stretch};
pub use known::Known;
pub use sessions::{SessionInfo, Sessions};
