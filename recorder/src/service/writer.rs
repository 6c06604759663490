//! Turns batches into commits: one durable write for whatever came in the meantime. What follows when storage fails is
//! decided by `Strain`; the writer doesn't end because of it.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    ServiceError, StopFlag, anchor::Anchors, books::Books, pump::Batch, retention::Burial, standing::Gauge,
};
use crate::{
    journal::{
        Disk, Entropy, OsEntropy, RealDisk, Recipient,
        checkpoint::Head,
        pace::{ENOUGH, Pace},
    },
    model::Record,
    sys::clock,
};

/// Between looks after the emergency reserve.
const CARE: Duration = Duration::from_secs(5);
/// Storage that fails is tried so often when the recorder is asked to stop.
const LAST_TRIES: u32 = 4;

/// Whence the writer gets its work.
pub(super) struct Inlets {
    pub(super) batches: Receiver<Batch>,
    /// Whom segments are sealed to from now on.
    pub(super) recipients: Receiver<Vec<Recipient>>,
    /// Records of the log that neither the pump nor an anchor makes.
    pub(super) told: Receiver<Record>,
    /// Tombstones, to be durable before anything is deleted.
    pub(super) burials: Receiver<Burial>,
    pub(super) anchors: Anchors,
    /// Who has to know how storage is doing, and must not wait for it, reads it there.
    pub(super) gauge: Gauge,
}

/// The writer's thread; `faults` learns of its end at once.
pub(super) fn start(
    books: Books<RealDisk, OsEntropy>,
    inlets: Inlets,
    stop: StopFlag,
    faults: Sender<()>,
) -> std::io::Result<JoinHandle<Result<Head, ServiceError>>> {
    std::thread::Builder::new().name("writer".into()).spawn(move || {
        inlets.gauge.is_written_here();
        let done = run(books, &inlets, &stop);
        let _ = faults.send(());
        done
    })
}

/// Runs until the pump is gone, then seals and stops.
pub(super) fn run<D: Disk, E: Entropy>(
    mut books: Books<D, E>,
    inlets: &Inlets,
    stop: &StopFlag,
) -> Result<Head, ServiceError> {
    let Inlets { batches, recipients, told, burials, anchors, gauge } = inlets;
    let mut pace = Pace::new(Instant::now());
    let mut cared = Instant::now();
    let mut tries = 0;
    // The start is no turn: it takes as long as the journal is large.
    gauge.turned(books.standing(), Instant::now());
    loop {
        let now = Instant::now();
        if let Some(away) = gauge.turned(books.standing(), now) {
            books.hung(away, now);
            pace.came(now);
        }
        let wait = books.retry_in(now).unwrap_or_else(|| pace.wait(books.pending(), now));
        if let Ok(recipients) = recipients.try_recv() {
            books.set_recipients(recipients);
        }
        for burial in burials.try_iter() {
            let durable = books.bury(burial.tombstones, now);
            if durable {
                // What went before it rests on this one: no cadence is waited for.
                anchors.publish(books.head(), true);
            }
            let _ = burial.done.send(durable);
        }
        let mut ended = false;
        match batches.recv_timeout(wait) {
            Ok(batch) => {
                books.take(batch, Instant::now());
                pace.came(Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        // While storage fails everything is taken: what finds no place in memory is counted, and nobody waits.
        let fails = books.retry_in(now).is_some();
        while (books.pending().bytes < ENOUGH || fails) && !ended {
            match batches.try_recv() {
                Ok(batch) => books.take(batch, Instant::now()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => ended = true,
            }
        }
        let now = Instant::now();
        for record in anchors.returned().into_iter().chain(told.try_iter()) {
            books.say(record, now);
            pace.came(now);
        }
        if now.saturating_duration_since(cared) >= CARE {
            cared = now;
            books.care(now);
        }
        let pending = books.pending();
        let due = match books.retry_in(now) {
            Some(retry) => retry.is_zero(),
            None => pending.bytes > 0 && pace.is_due(pending, now),
        };
        if due || books.must_declare(pace.last(), now) || ended {
            pace.begins(now);
            match books.commit(clock::pair(), now) {
                Ok(done) => {
                    gauge.tell(books.attempts());
                    anchors.publish(books.head(), done.restarts > 0);
                    pace.done();
                }
                Err(error) if ended => {
                    tries += 1;
                    if tries >= LAST_TRIES {
                        return Err(error.into());
                    }
                    // Nobody is left to be waited for: the channel's end returns at once.
                    std::thread::sleep(books.retry_in(now).unwrap_or_default());
                    continue;
                }
                Err(_) => continue,
            }
        }
        if ended {
            return books.stop(stop.signal(), clock::pair()).map_err(ServiceError::from);
        }
    }
}
