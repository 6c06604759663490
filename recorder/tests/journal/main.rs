//! The journal from outside: what is written comes back, and whatever is done to the bytes is found.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_imports,
    reason = "test arithmetic and the model's words"
)]

#[cfg(test)]
mod anchors;
#[cfg(test)]
mod common;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod handmade;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod surgery;
#[cfg(test)]
mod torn;
#[cfg(test)]
mod vectors;
