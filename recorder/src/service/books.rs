//! The writer's books: which session has which stream, what is kept and what is counted while storage fails.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    alarm,
    kept::Kept,
    metrics::{Meter, Tally},
    outbox::Unkept,
    pump::Batch,
    standing::Standing,
    strain::Strain,
};
use crate::{
    journal::{Committed, Disk, Entropy, JournalError, Pending, Recipient, Writer, checkpoint::Head},
    model::{
        Body, BootNanos, Bytes, ClockPair, ConfigChange, Flags, Kind, Loss, LossReason, Mark, Record,
        RedactionKey, SessionId, Stop, StorageFault, StreamNo, Task,
    },
    session::Tracked,
    sys::clock,
};

/// So many records are taken between looks at how much waits.
const LOOK: usize = 256;
/// What a STORAGE record says of a write that came back late: ETIMEDOUT.
const LATE: i32 = 110;

/// A session that is not over.
struct Open {
    id: SessionId,
    /// `None` if it began while nothing could be kept: opened with the first record that is.
    stream: Option<StreamNo>,
    /// Records that found no place.
    lost: u64,
}

/// Journal and sessions.
pub(super) struct Books<D: Disk, E: Entropy> {
    journal: Writer<D, E>,
    sessions: HashMap<Mark, Open>,
    strain: Strain,
    /// Where the host keeps content of the log's records for itself, if only others can read them.
    kept: Option<Kept>,
    /// Bytes that wait, as last looked at, and records taken since.
    waiting: usize,
    taken: usize,
    /// What is counted for whoever asks, and where it is put.
    tally: Tally,
    meter: Meter,
    /// When the oldest record that waits came.
    waits: Option<Instant>,
    /// Up to when everything was taken from the kernel, once nothing more comes.
    until: Option<ClockPair>,
    /// Up to when attempts on the recorder were told in what came.
    attempts: Option<BootNanos>,
}

/// What everybody may see of a configuration that was read again: which keys differ, and not in what.
fn bare(change: &ConfigChange) -> ConfigChange {
    let mut bare = change.clone();
    bare.text = Bytes::default();
    for key in &mut bare.keys {
        (key.before, key.after) = (None, None);
    }
    bare
}

/// A line for each edge of a session and for what allows it, with fields by which journald finds them. No content.
fn announce(id: SessionId, body: &Body) {
    match body {
        Body::SessionStart(start) => tracing::info!(
            target: "session",
            SESSION = %id,
            LOGINUID = start.login.auid,
            "session {id} of {} began",
            start.login.user.escaped()
        ),
        Body::SessionEnd(_) => tracing::info!(target: "session", SESSION = %id, "session {id} ended"),
        Body::Coverage(change) => match (change.coverage.grant(), change.coverage.reason()) {
            (Some(grant), _) => tracing::info!(
                target: "session",
                SESSION = %id,
                GRANT = %grant,
                "session {id} is allowed by grant {grant}"
            ),
            (None, Some(reason)) => tracing::info!(
                target: "session",
                MESSAGE_ID = alarm::UNCOVERED,
                SESSION = %id,
                REASON = reason.name(),
                "session {id} is allowed by nothing: {}",
                reason.name()
            ),
            (None, None) => {}
        },
        _ => {}
    }
}

fn control(at: BootNanos, body: Body) -> Record {
    Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

impl<D: Disk, E: Entropy> Books<D, E> {
    pub(super) fn new(journal: Writer<D, E>, kept: Option<Kept>, now: Instant) -> Self {
        let mut strain = Strain::new(now);
        if journal.is_in_reserve() {
            strain.succeeded(true, now);
        }
        let (tally, meter) = (Tally::default(), Meter::default());
        Self {
            journal,
            sessions: HashMap::new(),
            strain,
            kept,
            waiting: 0,
            taken: 0,
            tally,
            meter,
            waits: None,
            until: None,
            attempts: None,
        }
    }

    /// Puts what it counts there from now on.
    pub(super) fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    pub(super) fn pending(&self) -> Pending {
        self.journal.pending()
    }

    /// How long until storage that fails is tried again; `None` if it does not fail.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.strain.wait(now)
    }

    /// True if records were counted as lost and it is time to say so.
    pub(super) fn must_declare(&self, last: Instant, now: Instant) -> bool {
        self.journal.owes() && self.strain.declares(last, now)
    }

    /// Until when attempts on the recorder were told in what was taken.
    pub(super) const fn attempts(&self) -> Option<BootNanos> {
        self.attempts
    }

    /// Sessions that are not over.
    pub(super) fn open(&self) -> u32 {
        u32::try_from(self.sessions.len()).unwrap_or(u32::MAX)
    }

    /// How storage is doing.
    pub(super) const fn standing(&self) -> Standing {
        self.strain.standing()
    }

    /// A write came back that long after it was begun.
    pub(super) fn hung(&mut self, away: Duration, now: Instant) {
        tracing::error!(seconds = away.as_secs(), "storage hung: a write came back late");
        let operation = Bytes::from(format!("wait {} s for a write", away.as_secs()).as_str());
        self.say(
            control(clock::boot(), Body::Storage(StorageFault { operation, errno: LATE, repeated: 0 })),
            now,
        );
    }

    /// Takes a batch: what can't be kept is counted.
    pub(super) fn take(&mut self, batch: Batch, now: Instant) {
        self.look();
        self.until = batch.until.or(self.until);
        self.attempts = batch.attempts.or(self.attempts);
        // Before the sessions' ends that may follow.
        self.unkept(batch.unkept);
        // The log's own records first: a document stands before the coverage that it brings.
        for record in batch.control {
            self.say(record, now);
        }
        for item in batch.tracked {
            match item {
                Tracked::Opened { mark, id, at } => self.opened(mark, id, at, now),
                Tracked::Event { mark, record } => self.event(mark, record, now),
                Tracked::Closed { mark, reason, losses, at } => {
                    if let Some(open) = self.sessions.remove(&mark)
                        && let Some(stream) = open.stream
                    {
                        self.journal.close_session(stream, reason, losses.saturating_add(open.lost), at);
                    }
                }
                Tracked::Lost { at, loss } => self.say(control(at, Body::Loss(loss)), now),
            }
        }
    }

    /// What found no place before it came here.
    fn unkept(&mut self, unkept: Unkept) {
        for (mark, count) in unkept.sessions {
            if let Some(open) = self.sessions.get_mut(&mark) {
                open.lost = open.lost.saturating_add(count);
            }
        }
        for (kind, count) in unkept.kinds {
            self.tally.unkept(kind.name(), count);
            self.journal.lost(kind, count);
        }
        for (class, count) in unkept.losses {
            self.tally.unkept(&class.escaped(), count);
            let (ring, reason) = (Bytes::default(), LossReason::Storage);
            self.journal.lost_more(&Loss { class, ring, cpu: u16::MAX, from: 0, to: 0, count, reason });
        }
    }

    fn look(&mut self) {
        (self.waiting, self.taken) = (self.journal.pending().bytes, 0);
    }

    fn keeps(&mut self, kind: Kind, now: Instant) -> bool {
        self.taken += 1;
        if self.taken >= LOOK {
            self.look();
        }
        self.strain.keeps(kind, self.waiting, now)
    }

    pub(super) fn say(&mut self, record: Record, now: Instant) {
        let kind = record.body.kind();
        if self.keeps(kind, now) {
            self.count(&record, now);
            self.write_down(record);
        } else if let Body::Loss(loss) = record.body {
            // What is declared as lost stays declared: its count goes into ours.
            self.journal.lost_more(&loss);
        } else if kind != Kind::HEARTBEAT {
            self.tally.unkept(kind.name(), 1);
            self.journal.lost(kind, 1);
        }
    }

    fn count(&mut self, record: &Record, now: Instant) {
        self.tally.record(record);
        self.waits.get_or_insert(now);
    }

    /// A record of the log. What is content of it is for the recipients, its twin for everybody.
    fn write_down(&mut self, record: Record) {
        if let Body::RedactionKey(_) = record.body {
            return self.write_key(record);
        }
        if let Body::Config(change) = &record.body {
            let twin =
                Record { body: Body::Config(Box::new(bare(change))), flags: Flags::LEFT_OUT, ..record };
            let record =
                Record { body: Body::Config(change.clone()), flags: Flags::default(), ..twin.clone() };
            let there = self.journal.append_sealed(&record);
            return self.journal.append(StreamNo::LOG, if there { twin } else { record });
        }
        if let Body::Guard(tried) = &record.body {
            let who =
                record.task.as_deref().map(|task| Arc::new(Task { comm: Bytes::default(), ..task.clone() }));
            let body = Body::Guard(Box::new(tried.bare()));
            let twin =
                Record { body, task: who, flags: record.flags.with(Flags::LEFT_OUT), ..record.clone() };
            let there = self.journal.append_sealed(&record);
            return self.journal.append(StreamNo::LOG, if there { twin } else { record });
        }
        let Some(kept) = self.kept.as_mut().filter(|_| Kept::concerns(record.body.kind())) else {
            return self.journal.append(StreamNo::LOG, record);
        };
        let twin = kept.twin(&record);
        self.journal.append_sealed(&record);
        self.journal.append(StreamNo::LOG, twin);
    }

    /// The key of redactions is for the recipients and nobody else: the host keeps nothing of it, and its twin says only that it is there.
    fn write_key(&mut self, record: Record) {
        if self.journal.append_sealed(&record) {
            let body = Body::RedactionKey(Box::new(RedactionKey { key: Bytes::default() }));
            self.journal.append(StreamNo::LOG, Record { body, flags: Flags::LEFT_OUT, ..record });
        }
    }

    /// True once these are durable under a seal: nothing is deleted before.
    pub(super) fn bury(&mut self, tombstones: Vec<Record>, now: Instant) -> bool {
        for record in tombstones {
            self.journal.append(StreamNo::LOG, record);
        }
        self.commit(clock::pair(), now).is_ok()
    }

    /// Others can read what comes from now on.
    pub(super) fn set_recipients(&mut self, recipients: Vec<Recipient>) {
        self.journal.set_recipients(recipients);
    }

    /// Where the log stands.
    pub(super) fn head(&self) -> Head {
        self.journal.head()
    }

    fn opened(&mut self, mark: Mark, id: SessionId, at: BootNanos, now: Instant) {
        let stream = self.keeps(Kind::SESSION_OPENED, now).then(|| self.journal.open_session(id, at));
        self.sessions.insert(mark, Open { id, stream, lost: 0 });
    }

    fn event(&mut self, mark: Mark, record: Record, now: Instant) {
        let kind = record.body.kind();
        let keeps = self.keeps(kind, now);
        let Some(open) = self.sessions.get_mut(&mark) else { return };
        if !keeps {
            let acts = record.body.acts();
            open.lost = open.lost.saturating_add(acts);
            self.tally.unkept(kind.name(), acts);
            return self.journal.lost(kind, acts);
        }
        announce(open.id, &record.body);
        let stream = *open.stream.get_or_insert_with(|| self.journal.open_session(open.id, record.boot_ns));
        self.count(&record, now);
        self.journal.append(stream, record);
    }

    /// Makes everything that waits durable.
    pub(super) fn commit(&mut self, at: ClockPair, now: Instant) -> Result<Committed, JournalError> {
        match self.journal.commit(at) {
            Ok(done) => {
                self.kept.iter_mut().for_each(Kept::settle);
                self.succeeded(&done, now);
                Ok(done)
            }
            Err(error) => {
                if self.strain.is_sound() {
                    tracing::error!(MESSAGE_ID = alarm::JOURNAL_FAILS, %error, "the journal could not be written");
                }
                self.strain.failed(now);
                self.tally.failed();
                self.meter.publish(&self.tally, None);
                Err(error)
            }
        }
    }

    fn succeeded(&mut self, done: &Committed, now: Instant) {
        // The commit took as long as it took: `now` was before it.
        let sealed = Instant::now();
        let waited =
            self.waits.take().map_or(Duration::ZERO, |since| sealed.saturating_duration_since(since));
        self.tally.committed(waited, (u64::from(done.restarts), u64::from(done.rotations)));
        self.meter.publish(&self.tally, Some(sealed));
        let was_sound = self.strain.is_sound();
        let in_reserve = self.journal.is_in_reserve();
        if done.restarts > 0 {
            tracing::error!(in_reserve, "storage failed: the journal goes on in a fresh segment");
        }
        if self.strain.succeeded(in_reserve, now) {
            tracing::info!("the journal is written again");
        } else if was_sound && in_reserve {
            tracing::error!(
                MESSAGE_ID = alarm::NO_ROOM,
                "no room for the journal: only what is essential is recorded"
            );
        }
    }

    /// What is due every few seconds: the reserve is made again.
    pub(super) fn care(&mut self, now: Instant) {
        if self.strain.wait(now).is_none() {
            self.journal.tend();
            if self.strain.succeeded(self.journal.is_in_reserve(), now) {
                tracing::info!("there is room for the journal again");
            }
        }
    }

    /// Ends the log with a stop record, which says up to when everything was taken from the kernel.
    pub(super) fn stop(self, signal: u8, now: ClockPair) -> Result<Head, JournalError> {
        let clock = self.until.unwrap_or(now);
        let stop = Stop { clock, signal, open_sessions: self.open() };
        self.journal.stop_at(stop, now)
    }
}

#[cfg(test)]
mod tests;
