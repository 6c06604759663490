//! What the writer does not take at once. A disk that is slow is waited for, for a moment; one that hangs holds up neither the
//! draining of the kernel nor what follows from grants: batches wait here, and what finds no place is counted.
//! docs/journal-format.md, Durability. No clock, no disk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use super::{pump::Batch, strain};
use crate::{
    journal::record::rough_len,
    model::{Body, BootNanos, Bytes, Kind, Loss, Mark, Record, SessionId},
    session::Tracked,
};

/// While the writer comes round this much may wait before the pump does: what waits in the rings has more room.
const ENOUGH: usize = 1 << 20;
/// Bytes on their way: a channel counts batches, and one of them may be all that a ring held.
const UNDERWAY: usize = 4 << 20;
/// A writer that has taken nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// A batch's share of what is on its way; given back when the writer has taken it.
#[derive(Debug, Default)]
pub(super) struct Load(Arc<AtomicUsize>, usize);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// What found no place before it came to the writer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unkept {
    /// Records by kind.
    pub(super) kinds: BTreeMap<Kind, u64>,
    /// Events that loss records counted, by class.
    pub(super) losses: BTreeMap<Bytes, u64>,
    /// Records by session.
    pub(super) sessions: BTreeMap<Mark, u64>,
}

impl Unkept {
    fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.losses.is_empty() && self.sessions.is_empty()
    }

    fn add(&mut self, other: Self) {
        merge(&mut self.kinds, other.kinds);
        merge(&mut self.losses, other.losses);
        merge(&mut self.sessions, other.sessions);
    }

    fn kind(&mut self, kind: Kind) {
        merge(&mut self.kinds, [(kind, 1)]);
    }

    /// A record of the log: what is declared as lost stays declared, and a sign of life is nothing that can be lost.
    fn control(&mut self, record: Record) {
        match record.body {
            Body::Loss(loss) => self.loss(loss),
            body if body.kind() == Kind::HEARTBEAT => {}
            body => self.kind(body.kind()),
        }
    }

    fn loss(&mut self, loss: Loss) {
        merge(&mut self.losses, [(loss.class, loss.count)]);
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, u64>, more: impl IntoIterator<Item = (K, u64)>) {
    for (key, count) in more {
        let sum = into.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }
}

/// Between the pump and the writer.
#[derive(Debug)]
pub(super) struct Outbox {
    writer: SyncSender<Batch>,
    underway: Arc<AtomicUsize>,
    /// With roughly the bytes of each.
    waiting: VecDeque<(usize, Batch)>,
    bytes: usize,
    /// Since when the writer has taken nothing.
    full: Option<Instant>,
    /// Sessions whose beginning found no place, and that go on.
    unsaid: BTreeMap<Mark, (SessionId, BootNanos)>,
}

impl Outbox {
    pub(super) fn new(writer: SyncSender<Batch>) -> Self {
        Self {
            writer,
            underway: Arc::default(),
            waiting: VecDeque::new(),
            bytes: 0,
            full: None,
            unsaid: BTreeMap::new(),
        }
    }

    /// Hands a batch on behind what waits, never waiting itself.
    pub(super) fn send(&mut self, batch: Batch, now: Instant) -> Result<(), Gone> {
        if batch.is_empty() {
            return self.flush(now);
        }
        if !self.waiting.is_empty() {
            self.keep(batch, now);
            return self.flush(now);
        }
        match self.hand(weight(&batch), batch) {
            Ok(()) => self.full = None,
            Err(TrySendError::Full(batch)) => {
                self.full.get_or_insert(now);
                self.keep(batch, now);
            }
            Err(TrySendError::Disconnected(_)) => return Err(Gone),
        }
        Ok(())
    }

    #[expect(clippy::result_large_err, reason = "the batch itself comes back, as from the channel")]
    fn hand(&self, weight: usize, mut batch: Batch) -> Result<(), TrySendError<Batch>> {
        if self.underway.load(Ordering::Relaxed) >= UNDERWAY {
            return Err(TrySendError::Full(batch));
        }
        self.underway.fetch_add(weight, Ordering::Relaxed);
        batch.load = Load(Arc::clone(&self.underway), weight);
        self.writer.try_send(batch).map_err(|refused| match refused {
            TrySendError::Full(batch) => TrySendError::Full(Batch { load: Load::default(), ..batch }),
            gone @ TrySendError::Disconnected(_) => gone,
        })
    }

    /// True if whoever fills this has to wait: the writer is busy, and comes round.
    pub(super) fn is_crowded(&self, now: Instant) -> bool {
        self.bytes >= ENOUGH && !self.hangs(now)
    }

    /// Hands on what the writer takes.
    pub(super) fn flush(&mut self, now: Instant) -> Result<(), Gone> {
        while let Some((weight, batch)) = self.waiting.pop_front() {
            match self.hand(weight, batch) {
                Ok(()) => {
                    self.bytes = self.bytes.saturating_sub(weight);
                    self.full = None;
                }
                Err(TrySendError::Full(batch)) => {
                    self.waiting.push_front((weight, batch));
                    self.full.get_or_insert(now);
                    return Ok(());
                }
                Err(TrySendError::Disconnected(_)) => return Err(Gone),
            }
            if self.waiting.is_empty() {
                self.say_unsaid();
            }
        }
        Ok(())
    }

    /// Hands everything on, however long that takes: nothing comes any more.
    pub(super) fn finish(mut self) -> Result<(), Gone> {
        self.say_unsaid();
        self.waiting.into_iter().try_for_each(|(_, batch)| self.writer.send(batch).map_err(|_| Gone))
    }

    fn hangs(&self, now: Instant) -> bool {
        self.full.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    fn say_unsaid(&mut self) {
        if !self.unsaid.is_empty() {
            let opened = std::mem::take(&mut self.unsaid).into_iter();
            let tracked = opened.map(|(mark, (id, at))| Tracked::Opened { mark, id, at }).collect();
            self.push(Batch { tracked, ..Batch::default() });
        }
    }

    fn push(&mut self, batch: Batch) {
        let weight = weight(&batch);
        self.bytes = self.bytes.saturating_add(weight);
        self.waiting.push_back((weight, batch));
    }

    fn keep(&mut self, batch: Batch, now: Instant) {
        if !self.hangs(now) {
            return self.push(batch);
        }
        let mut kept = Batch { until: batch.until, attempts: batch.attempts, ..Batch::default() };
        let mut bytes = self.bytes;
        let mut has_room = |kind: Kind, len: usize| {
            let fits = strain::has_room(kind, bytes);
            if fits {
                bytes = bytes.saturating_add(len);
            }
            fits
        };
        for record in batch.control {
            if has_room(record.body.kind(), of_record(&record)) {
                kept.control.push(record);
            } else {
                kept.unkept.control(record);
            }
        }
        for item in batch.tracked {
            match item {
                Tracked::Opened { mark, id, at } if !has_room(Kind::SESSION_OPENED, 0) => {
                    self.unsaid.insert(mark, (id, at));
                }
                Tracked::Event { mark, record } => {
                    let kind = record.body.kind();
                    if has_room(kind, of_record(&record)) {
                        if let Some((id, at)) = self.unsaid.remove(&mark) {
                            kept.tracked.push(Tracked::Opened { mark, id, at });
                        }
                        kept.tracked.push(Tracked::Event { mark, record });
                    } else {
                        let acts = record.body.acts();
                        merge(&mut kept.unkept.kinds, [(kind, acts)]);
                        merge(&mut kept.unkept.sessions, [(mark, acts)]);
                    }
                }
                // Nothing of it will ever be there but that it was.
                Tracked::Closed { mark, .. } if self.unsaid.remove(&mark).is_some() => {
                    kept.unkept.kind(Kind::SESSION_OPENED);
                }
                Tracked::Lost { loss, .. } if !has_room(Kind::LOSS, 0) => kept.unkept.loss(loss),
                other => kept.tracked.push(other),
            }
        }
        kept.unkept.add(batch.unkept);
        match self.waiting.back_mut() {
            // Counts alone take no more room however often they grow. Earlier than it happened, and so before its session's end.
            Some((_, last)) if kept.tracked.is_empty() && kept.control.is_empty() => {
                last.unkept.add(kept.unkept);
                last.until = kept.until.or(last.until);
                last.attempts = kept.attempts.or(last.attempts);
            }
            _ if !kept.is_empty() => self.push(kept),
            _ => {}
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        let nothing = self.tracked.is_empty() && self.control.is_empty() && self.unkept.is_empty();
        nothing && self.until.is_none()
    }
}

/// Roughly the memory that it takes; counts are not among it.
fn weight(batch: &Batch) -> usize {
    let tracked = batch.tracked.iter().map(|item| match item {
        Tracked::Event { record, .. } => of_record(record),
        _ => size_of::<Tracked>(),
    });
    let control = batch.control.iter().map(of_record);
    tracked.chain(control).fold(size_of::<Batch>(), usize::saturating_add)
}

fn of_record(record: &Record) -> usize {
    let content = usize::try_from(rough_len(&record.body)).unwrap_or(usize::MAX);
    content.saturating_add(size_of::<Tracked>())
}

#[cfg(test)]
mod tests;
