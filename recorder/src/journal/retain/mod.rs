//! Deletion by permission: plans, permits and holds as documents, the stub that takes a segment's place, and the steps in
//! which it does. docs/journal-format.md ("Retention") is the law. Whose signature is good is decided elsewhere.

pub mod build;
pub mod examine;
pub mod hold;
pub mod permit;
pub mod shelf;
pub mod stub;
pub mod text;

pub use build::{BuildFault, Successor, build};
pub use examine::{ExamineFault, Examined, examine};
pub use hold::{Criterion, Hold, HoldDocument, Release};
pub use permit::{Item, NAMESPACE, Permit, Plan};
pub use stub::{Ending, MAX_STUB, StreamPart, Stub, StubFault};
pub use text::{DocumentFault, Head, Maker};

#[cfg(test)]
mod tests;
