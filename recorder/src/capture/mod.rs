//! The only room that knows aya: loads the programs, proves that they see, drains the rings, decodes, counts losses.
//!
//! `docs/kernel.md` is the law. Output is [`Captured`](crate::model::Captured) in the order of the boot clock.

mod arguments;
mod attempts;
mod backend;
mod btf;
mod canary;
mod caps;
mod change;
mod counters;
mod decode;
mod devices;
mod folds;
mod gate;
mod guard;
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
mod sends;
mod skips;
mod streams;
mod support;
mod system;
mod tables;
mod terminal;

pub use attempts::Bequest;
pub use backend::{Backend, BackendChoice};
pub(crate) use canary::EXIT_ARGUMENT;
pub use gate::{GateKey, GateLimit, GateWindow};
pub use guard::{GuardMode, GuardPlaces};
pub use load::{CaptureConfig, InputMode, LoadError, OBJECT};
pub use managers::Standing;
pub use marks::Marks;
pub use ring::{Capture, Counts, Waiting};
pub use rounds::CanaryRound;
pub use seed::{Seeded, task_of};
pub use support::{Support, probe};
