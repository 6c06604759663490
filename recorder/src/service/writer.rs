//! Turns batches into commits: one durable write for whatever came in the meantime.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    time::{Duration, Instant},
};

use super::{ServiceError, StopFlag, pump::Batch, retention::Burial};
use crate::{
    journal::{JournalError, Writer},
    model::{Body, Flags, Mark, Record, Stop, StreamNo},
    session::Tracked,
    sys::clock,
};

/// Bytes that make a commit without waiting for more.
const ENOUGH: usize = 256 << 10;
/// How long something that is not critical may wait for company.
const PATIENCE: Duration = Duration::from_millis(5);
/// Something critical starts the next commit at once, but not within this of the last one: a storm of execs would
/// sign and write a thousand times a second.
const BREATH: Duration = Duration::from_millis(3);
/// Storage that failed is tried again after this long, and given up after so many times.
const RETRY: Duration = Duration::from_millis(500);
const RETRIES: u32 = 120;

struct Books {
    journal: Writer,
    streams: HashMap<Mark, StreamNo>,
}

/// Runs until the pump is gone, then seals and stops.
pub(super) fn run(
    journal: Writer,
    batches: &Receiver<Batch>,
    burials: &Receiver<Burial>,
    stop: &StopFlag,
) -> Result<(), ServiceError> {
    let mut books = Books { journal, streams: HashMap::new() };
    let mut since: Option<Instant> = None;
    let mut last = Instant::now();
    let mut failures = 0;
    loop {
        let buried: Vec<Burial> = burials.try_iter().collect();
        for record in buried.iter().flat_map(|burial| &burial.tombstones) {
            books.journal.append(StreamNo::LOG, record.clone());
        }
        if !buried.is_empty() {
            // Answered only when the tombstones are durable under a seal: nothing is deleted before.
            let done = books.journal.commit(clock::pair()).map(drop);
            for burial in buried {
                let _ = burial.done.send(done.is_ok());
            }
            if let Err(error) = done {
                failures += 1;
                storage_failed(error, failures, false)?;
                continue;
            }
        }
        let wait = match since {
            None => Duration::from_secs(1),
            Some(_) if books.journal.pending().critical => BREATH.saturating_sub(last.elapsed()),
            Some(t) => PATIENCE.saturating_sub(t.elapsed()),
        };
        let mut ended = false;
        match batches.recv_timeout(wait) {
            Ok(batch) => {
                books.take(batch);
                since.get_or_insert_with(Instant::now);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        while books.journal.pending().bytes < ENOUGH && !ended {
            match batches.try_recv() {
                Ok(batch) => books.take(batch),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => ended = true,
            }
        }
        let pending = books.journal.pending();
        let due = pending.bytes >= ENOUGH
            || (pending.critical && last.elapsed() >= BREATH)
            || since.is_some_and(|t| t.elapsed() >= PATIENCE);
        if (due && pending.bytes > 0) || ended {
            last = Instant::now();
            match books.journal.commit(clock::pair()) {
                Ok(_) => {
                    since = None;
                    failures = 0;
                }
                Err(error) => {
                    failures += 1;
                    storage_failed(error, failures, ended)?;
                    continue;
                }
            }
        }
        if ended {
            let open = u32::try_from(books.streams.len()).unwrap_or(u32::MAX);
            let stop = Stop { clock: clock::pair(), signal: stop.signal(), open_sessions: open };
            return books.journal.stop(stop).map_err(ServiceError::from);
        }
    }
}

/// Nothing is lost yet: it waits in the writer, and the channel and rings behind it. Tried again for a while.
fn storage_failed(error: JournalError, failures: u32, ended: bool) -> Result<(), ServiceError> {
    tracing::error!(%error, failures, "the journal could not be written");
    if failures >= RETRIES || (ended && failures >= 4) {
        return Err(error.into());
    }
    std::thread::sleep(RETRY);
    Ok(())
}

impl Books {
    fn take(&mut self, batch: Batch) {
        // The log's own records first: a document stands before the coverage that it brings.
        for record in batch.control {
            self.journal.append(StreamNo::LOG, record);
        }
        for item in batch.tracked {
            match item {
                Tracked::Opened { mark, id, at } => {
                    let stream = self.journal.open_session(id, at);
                    self.streams.insert(mark, stream);
                }
                Tracked::Event { mark, record } => {
                    if let Some(stream) = self.streams.get(&mark) {
                        self.journal.append(*stream, record);
                    }
                }
                Tracked::Closed { mark, reason, losses, at } => {
                    if let Some(stream) = self.streams.remove(&mark) {
                        self.journal.close_session(stream, reason, losses, at);
                    }
                }
                Tracked::Lost { at, loss } => {
                    let body = Body::Loss(loss);
                    let record =
                        Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body };
                    self.journal.append(StreamNo::LOG, record);
                }
            }
        }
    }
}
