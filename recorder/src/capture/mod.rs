//! The only room that knows aya: loads the programs, proves that they see, drains the rings, decodes, counts losses.
//!
//! `docs/kernel.md` is the law. Output is [`Captured`](crate::model::Captured) in the order of the boot clock.

mod btf;
mod canary;
mod caps;
mod change;
mod decode;
mod gate;
mod handed;
mod join;
mod kernel_log;
mod links;
mod load;
mod loss;
mod managers;
mod marks;
mod offsets;
mod order;
mod programs;
mod ring;
mod rounds;
mod seed;
mod skips;
mod streams;
mod support;
mod system;
mod terminal;

pub(crate) use canary::EXIT_ARGUMENT;
pub use gate::{GateKey, GateLimit, GateWindow};
pub use load::{Backend, BackendChoice, CaptureConfig, InputMode, LoadError, OBJECT};
pub use managers::Standing;
pub use marks::Marks;
pub use ring::{Capture, Counts};
pub use rounds::CanaryRound;
pub use seed::Seeded;
pub use support::{Support, probe};
