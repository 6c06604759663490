//! The room for system calls: clocks, perf and bpf descriptors, locked memory, processes, files, notification. The only one
//! with `unsafe`.

#[cfg(feature = "service")]
pub mod bell;
#[cfg(feature = "service")]
pub mod bpf;
pub mod clock;
#[cfg(feature = "service")]
pub mod files;
#[cfg(feature = "service")]
pub mod notify;
#[cfg(feature = "service")]
pub mod perf;
#[cfg(feature = "service")]
pub mod process;
#[cfg(feature = "service")]
pub mod ring;
pub mod secret;
pub mod socket;
#[cfg(feature = "service")]
pub mod tracefs;
