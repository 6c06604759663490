//! Declared losses of one log, added up by class and reason.

use std::collections::BTreeMap;

use super::finding::{self as f, Findings};
use crate::model::{Bytes, Loss};

/// Declared losses of one class and reason.
struct Sum {
    events: u64,
    records: u64,
    /// Where the first of them stands.
    segment: String,
    leaf: u64,
}

#[derive(Default)]
pub(super) struct Losses(BTreeMap<(Vec<u8>, &'static str), Sum>);

impl Losses {
    pub(super) fn add(&mut self, loss: &Loss, segment: &str, leaf: u64) {
        let key = (loss.class.as_slice().to_vec(), loss.reason.name());
        let sum = self.0.entry(key).or_insert_with(|| Sum {
            events: 0,
            records: 0,
            segment: segment.to_owned(),
            leaf,
        });
        sum.events = sum.events.saturating_add(loss.count);
        sum.records = sum.records.saturating_add(1);
    }

    /// One finding for each class and reason.
    pub(super) fn report(self, out: &mut Findings) {
        for ((class, reason), Sum { events, records, segment, leaf }) in self.0 {
            let class = Bytes::new(class).escaped();
            let text =
                format!("{events} events of class {class} are declared lost ({reason}, {records} records)");
            out.add(f::LOSS, Some(&segment), Some(leaf), text);
        }
    }
}
