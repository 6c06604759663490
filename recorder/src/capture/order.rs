//! Brings the events of both rings into the order of the boot clock.
//!
//! Each ring is in order of its reserves; between the rings only time tells. What was drained is held until both rings
//! were drained once more, so everything older has arrived.

use crate::model::{BootNanos, KernelEvent};

/// Holds events until nothing older can come.
#[derive(Default)]
pub(super) struct Reorder {
    held: Vec<KernelEvent>,
}

impl Reorder {
    pub(super) fn push(&mut self, event: KernelEvent) {
        self.held.push(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives out what is not younger than `horizon`, oldest first. Equal times keep their order of arrival.
    pub(super) fn release(&mut self, horizon: BootNanos, mut out: impl FnMut(KernelEvent)) {
        if self.held.is_empty() {
            return;
        }
        self.held.sort_by_key(|e| e.boot_ns);
        let ready = self.held.partition_point(|e| e.boot_ns <= horizon);
        self.held.drain(..ready).for_each(&mut out);
    }
}
