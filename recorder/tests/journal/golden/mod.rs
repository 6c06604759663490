//! Frozen journals: one for each rule of the page, with what must be said of it. The Python reader says the same.

pub(crate) mod forge;
pub(crate) mod list;
pub(crate) mod scenes;
#[cfg(test)]
mod frozen;
pub(crate) mod told;
