//! The room for system calls: clocks, perf and bpf descriptors, locked memory, processes, notification. The only one
//! with `unsafe`.

pub mod bpf;
pub mod clock;
pub mod notify;
pub mod perf;
pub mod process;
pub mod secret;
pub mod socket;
pub mod tracefs;
