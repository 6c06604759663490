//! The journal from outside: what is written comes back, and whatever is done to the bytes is found.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::wildcard_imports,
    reason = "test arithmetic and the model's words"
)]

#[cfg(test)]
mod common;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod surgery;
#[cfg(test)]
mod vectors;
