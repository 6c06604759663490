//! Frozen journals: one for each rule of the page, with what must be said of it. The Python reader says the same.

pub(crate) mod changes;
pub(crate) mod forge;
#[cfg(test)]
mod frozen;
pub(crate) mod list;
pub(crate) mod scenes;
pub(crate) mod told;
