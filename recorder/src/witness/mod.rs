//! A small witness of our own: countersigns checkpoints of logs that only grow (C2SP tlog-witness, add-checkpoint).
//!
//! [`core`] decides, [`store`] remembers, [`serve`] speaks HTTP. What was signed is durable before it is answered.

mod core;
pub mod key;
mod serve;
mod store;

pub use self::{
    core::{MAX_REQUEST, Refusal, Witness},
    serve::{Limits, run},
    store::{Store, StoreError},
};
