//! Hands signed checkpoints out, so that what the journal holds now can be shown later without trusting this host.
//!
//! A thread of its own: whoever is slow, or fails, holds up nobody. The writer leaves the newest head here after each
//! commit, and takes from here what witnesses signed.

mod hand;
mod sinks;
mod witness;

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(super) use self::hand::Hands;
use super::alarm;
use crate::{
    journal::checkpoint::{Head, Signer, verifier},
    model::{Body, Cosigned, Flags, RealNanos, Record},
    sys::clock,
};

/// How long a witness or a command may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all of them together may take when the recorder stops.
const LAST_PATIENCE: Duration = Duration::from_secs(15);
/// Checkpoints that wait for the writer: one that is held up by its disk finds the newest.
const RETURNED: usize = 16;

/// What became of the checkpoints so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Size and time of the last one that was handed out.
    pub(super) last: Option<(u64, RealNanos)>,
    /// Size of the last one that a witness signed.
    pub(super) witnessed: Option<u64>,
    /// How often handing one to somebody failed.
    pub(super) failed: u64,
    /// Who fails at present, and why.
    pub(super) faults: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    signer: Option<Arc<Signer>>,
    head: Option<Head>,
    /// The chain began anew: the next one goes out at once.
    urgent: bool,
    ended: bool,
    returned: Vec<Cosigned>,
    told: Told,
}

/// Between the writer, who knows where the log stands, and the thread that hands it out.
#[derive(Clone, Default)]
pub(super) struct Anchors(Arc<(Mutex<State>, Condvar)>);

/// What the thread does next.
enum Turn {
    Hand(Arc<Signer>, Head),
    /// The last one, if the log was stopped.
    Last(Option<(Arc<Signer>, Head)>),
}

impl Anchors {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal is open: its first checkpoint goes out at once.
    pub(super) fn begin(&self, signer: Option<Signer>, head: Head) {
        let mut state = self.state();
        state.signer = signer.map(Arc::new);
        (state.head, state.urgent) = (Some(head), true);
        self.0.1.notify_all();
    }

    /// Where the log stands, durably. `restarted`: the chain began anew.
    pub(super) fn publish(&self, head: Head, restarted: bool) {
        let mut state = self.state();
        state.head = Some(head);
        if restarted {
            state.urgent = true;
            self.0.1.notify_all();
        }
    }

    /// No more comes. `head`: behind the last seal of a log that was stopped.
    pub(super) fn end(&self, head: Option<Head>) {
        let mut state = self.state();
        (state.head, state.ended) = (head, true);
        self.0.1.notify_all();
    }

    /// What witnesses signed since the last time, as records.
    pub(super) fn returned(&self) -> Vec<Record> {
        let returned = std::mem::take(&mut self.state().returned);
        let boot_ns = clock::boot();
        let record = |cosigned| Record {
            boot_ns,
            cpu: u16::MAX,
            flags: Flags::default(),
            task: None,
            body: Body::Checkpoint(Box::new(cosigned)),
        };
        returned.into_iter().map(record).collect()
    }

    /// The signed note of where the log stands now, and the key's name for others.
    pub(super) fn current(&self) -> Result<(String, String), &'static str> {
        let state = self.state();
        let head = state.head.ok_or("the journal is not open yet")?;
        let signer = state.signer.clone().ok_or("the log's admission key is gone")?;
        drop(state);
        let identity = signer.identity();
        let vkey = verifier(identity.log, identity.admission).map(|v| v.to_string()).unwrap_or_default();
        Ok((signer.sign(head), vkey))
    }

    /// True once the end is known.
    fn is_ended(&self) -> bool {
        self.state().ended
    }

    /// What became of the checkpoints so far.
    pub(super) fn told(&self) -> Told {
        self.state().told.clone()
    }

    /// Waits until one has to be handed out: the log grew and it is time, or it can't wait.
    fn turn(&self, every: Duration, last: Option<(Instant, Head)>) -> Turn {
        let mut state = self.state();
        loop {
            let signed = |state: &State| Some((state.signer.clone()?, state.head?));
            if state.ended {
                return Turn::Last(signed(&state));
            }
            let wait = last.map_or(Duration::ZERO, |(at, _)| every.saturating_sub(at.elapsed()));
            let grown = last.is_none_or(|(_, head)| state.head != Some(head));
            let ready = signed(&state).filter(|_| state.urgent || (wait.is_zero() && grown));
            if let Some((signer, head)) = ready {
                state.urgent = false;
                return Turn::Hand(signer, head);
            }
            // A log that does not grow is looked at once in a cadence; nobody is woken for each commit.
            let wait = if wait.is_zero() { every } else { wait };
            state = self.0.1.wait_timeout(state, wait).map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
    }

    /// Notes how it went with one of them; told once when it begins to fail, and when it works again.
    fn went(&self, whom: &str, outcome: Result<(), String>) {
        let mut state = self.state();
        match outcome {
            Ok(()) => {
                if state.told.faults.remove(whom).is_some() {
                    tracing::warn!(whom, "checkpoints are taken again");
                }
            }
            Err(why) => {
                state.told.failed = state.told.failed.saturating_add(1);
                if state.told.faults.insert(whom.to_owned(), why.clone()).as_ref() != Some(&why) {
                    tracing::warn!(
                        MESSAGE_ID = alarm::CHECKPOINT_FAILS,
                        whom,
                        why,
                        "a checkpoint could not be handed out"
                    );
                }
            }
        }
    }

    fn handed(&self, head: Head, cosigned: Option<Cosigned>) {
        let mut state = self.state();
        state.told.last = Some((head.size, clock::pair().real));
        if let Some(cosigned) = cosigned {
            state.told.witnessed = Some(cosigned.size);
            if state.returned.len() == RETURNED {
                state.returned.remove(0);
            }
            state.returned.push(cosigned);
        }
    }

    /// Hands checkpoints out until [`Self::end`].
    pub(super) fn run(&self, mut hands: Hands) {
        let mut last: Option<(Instant, Head)> = None;
        loop {
            match self.turn(hands.every(), last) {
                Turn::Hand(signer, head) => {
                    last = Some((Instant::now(), head));
                    hands.hand(self, &signer, head, None);
                }
                Turn::Last(end) => {
                    if let Some((signer, head)) = end.filter(|(_, head)| last.map(|l| l.1) != Some(*head)) {
                        hands.hand(self, &signer, head, Some(Instant::now() + LAST_PATIENCE));
                    }
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
