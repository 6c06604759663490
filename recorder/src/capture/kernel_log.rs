//! The kernel programs' debug log (aya-log) goes where the service's own diagnostics go.

use aya::Ebpf;
use aya_log::{EbpfLogger, Level};

use super::load::LoadError;

/// Bytes of the log's ring while nobody asked for it: the least that a ring can have.
pub(super) const UNUSED_RING: u32 = 4096;

#[expect(
    clippy::as_conversions,
    reason = "aya-log compares levels by their number and offers no other way to it"
)]
const ALL: u8 = Level::Trace as u8;

/// The level that the loader freezes into the programs; 0 switches every statement off.
pub(super) fn level(wanted: bool) -> u8 {
    if wanted { ALL } else { 0 }
}

/// Reads the programs' log.
pub(super) struct KernelLog(EbpfLogger<ToTracing>);

impl KernelLog {
    /// Takes the log's ring out of the loaded object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        EbpfLogger::init_with_logger(ebpf, ToTracing)
            .map(Self)
            .map_err(|e| LoadError::Refused { what: "debug log".into(), reason: e.to_string() })
    }

    /// Hands over what was said since the last call.
    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}

/// aya-log speaks to a `log` logger; this one speaks to tracing, with a target that a filter can name.
struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args();
        match record.level() {
            log::Level::Error => tracing::error!(target: "kernel", "{text}"),
            log::Level::Warn => tracing::warn!(target: "kernel", "{text}"),
            log::Level::Info => tracing::info!(target: "kernel", "{text}"),
            log::Level::Debug => tracing::debug!(target: "kernel", "{text}"),
            log::Level::Trace => tracing::trace!(target: "kernel", "{text}"),
        }
    }

    fn flush(&self) {}
}
