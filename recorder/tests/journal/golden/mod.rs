//! Frozen journals: one for each rule of the page, with what must be said of it. The Python reader says the same.

pub(crate) mod acts;
pub(crate) mod anchored;
pub(crate) mod buried;
pub(crate) mod changes;
pub(crate) mod forge;
#[cfg(test)]
mod frozen;
pub(crate) mod list;
pub(crate) mod retained;
pub(crate) mod scenes;
pub(crate) mod secret;
pub(crate) mod sign;
pub(crate) mod told;

/// All of them.
pub(crate) fn fixtures() -> impl Iterator<Item = &'static list::Fixture> {
    [list::FIXTURES, retained::FIXTURES, anchored::FIXTURES, secret::FIXTURES].into_iter().flatten()
}
