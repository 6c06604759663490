//! A pty inside a pty is not stored twice: sudo's use_pty, `script` and whatever else only copies bytes.
//!
//! A relay reads what an inner terminal shows and writes it to an outer one. So the inner bytes are seen first and wait here,
//! a quarter of a second at most, for the same bytes on a terminal of the session that is older. What came out there is left
//! out here: a record states length, hash, and where on the outer terminal it stands. What did not is given out as it is, in
//! its place: nothing of a session passes what waits, and no act of it waits for longer than [`BEHIND_NS`].
//! A terminal is believed to be relayed only after [`PROOF`] bytes in a row. docs/sessions.md, Sessions.

mod fold;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, VecDeque};

use fold::Fold;
use window::{Window, wide};

use super::Tracked;
use crate::model::{Body, BootNanos, Bytes, Mark, Record, Relay as Place, Tty, TtyOp};

/// What did not come out after so long is not waited for.
const SETTLE_NS: u64 = 250_000_000;
/// ... and after so long where something else than terminals waits behind it: execs have to reach the disk.
const BEHIND_NS: u64 = 20_000_000;
/// The copy may seem so much older than what it copies: joined records have the time of their first byte.
const EARLY_NS: u64 = 20_000_000;
/// Bytes and records of a session that wait at most. What sudo holds in its buffer is 64 KiB.
const HELD: usize = 128 * 1024;
const QUEUED: usize = 4096;
/// A copy is looked for by so many bytes.
const NEEDLE: usize = 16;
/// So many bytes in a row must have come out before any is left out; each time that it differs, eight times as many.
const PROOF: u64 = 64;
/// After so many without a fault all faults are forgotten.
const GOOD: u64 = 64 * 1024;
/// A terminal that was waited for in vain so often in a row is left alone for a minute: it is no relay.
const MISSES: u32 = 8;
const REST_NS: u64 = 60_000_000_000;
/// A relay that lasts is told so often.
const TELL_NS: u64 = 60_000_000_000;

/// Folds what relays copy, in all sessions; stands behind the tracker.
#[derive(Debug, Default)]
pub struct Relay {
    sessions: BTreeMap<Mark, Session>,
}

#[derive(Debug, Default)]
struct Session {
    /// What waits, in order. The first one is always bytes that may come out yet.
    queue: VecDeque<Slot>,
    /// Bytes that wait.
    held: usize,
    /// By number.
    screens: BTreeMap<u32, Screen>,
}

#[derive(Debug)]
struct Slot {
    record: Record,
    /// Output that may come out on another terminal.
    waits: bool,
}

/// A terminal of a session.
#[derive(Debug, Default)]
struct Screen {
    shown: Window,
    typed: Window,
    /// Up to where what was typed here was found again on inner terminals.
    typed_to: u64,
    /// What it showed and was not seen on the outer terminal: first `out` bytes that were given out all the same, then what
    /// waits in the queue.
    pending: Vec<u8>,
    out: usize,
    /// Of it so many have come out; they wait for the proof.
    matched: usize,
    /// The outer terminal, and where on it the next byte is expected.
    at: Option<Place>,
    /// Since when nothing more came out.
    idle: BootNanos,
    /// Bytes that came out in a row, and how often it differed.
    score: u64,
    faults: u32,
    misses: u32,
    rests: Option<BootNanos>,
    fold: Option<Fold>,
    fold_typed: Option<Fold>,
}

impl Relay {
    /// Takes what is to be written of sessions and leaves what may be written now.
    pub fn pass(&mut self, now: BootNanos, tracked: &mut Vec<Tracked>) {
        // What is before the first one that matters here stays where it is.
        let from = tracked.iter().position(|item| self.concerns(item)).unwrap_or(tracked.len());
        for item in tracked.split_off(from) {
            match item {
                Tracked::Event { mark, record } => self.event(mark, record, tracked),
                Tracked::Closed { mark, .. } => {
                    self.end(mark, now, tracked);
                    tracked.push(item);
                }
                other => tracked.push(other),
            }
        }
        for (mark, session) in &mut self.sessions {
            session.overdue(now);
            session.tell_long(now, &mut |record| tracked.push(Tracked::Event { mark: *mark, record }));
            session.drain(&mut |record| tracked.push(Tracked::Event { mark: *mark, record }));
        }
    }

    fn concerns(&self, item: &Tracked) -> bool {
        match item {
            Tracked::Event { record, .. } if matches!(record.body, Body::Tty(..) | Body::SessionEnd(_)) => {
                true
            }
            Tracked::Event { mark, .. } => {
                self.sessions.get(mark).is_some_and(|session| !session.queue.is_empty())
            }
            Tracked::Closed { .. } => true,
            _ => false,
        }
    }

    fn event(&mut self, mark: Mark, record: Record, tracked: &mut Vec<Tracked>) {
        if let Body::SessionEnd(_) = record.body {
            self.end(mark, record.boot_ns, tracked);
            return tracked.push(Tracked::Event { mark, record });
        }
        let session = match &record.body {
            Body::Tty(..) => Some(self.sessions.entry(mark).or_default()),
            _ => self.sessions.get_mut(&mark).filter(|session| !session.queue.is_empty()),
        };
        let Some(session) = session else { return tracked.push(Tracked::Event { mark, record }) };
        session.take(record);
        session.drain(&mut |record| tracked.push(Tracked::Event { mark, record }));
    }

    /// Everything of a session that is over.
    fn end(&mut self, mark: Mark, at: BootNanos, tracked: &mut Vec<Tracked>) {
        let Some(mut session) = self.sessions.remove(&mark) else { return };
        while session.release(|_| true) {}
        let mut out = |record| tracked.push(Tracked::Event { mark, record });
        session.drain(&mut out);
        for screen in session.screens.into_values() {
            [screen.fold, screen.fold_typed].into_iter().flatten().for_each(|fold| out(fold.told(at)));
        }
    }
}

impl Session {
    fn take(&mut self, record: Record) {
        let at = record.boot_ns;
        let Body::Tty(op, tty) = &record.body else { return self.put(record, false) };
        let no = tty.no;
        self.screens.entry(no).or_default();
        match op {
            TtyOp::Resize => self.put(record, false),
            TtyOp::Input => self.input(no, record),
            TtyOp::Output => {
                let many = self.screens.len() > 1;
                let inner = self.screens.first_key_value().is_some_and(|(first, _)| *first < no);
                let Some(screen) = self.screens.get_mut(&no) else { return };
                if many {
                    screen.shown.push(at, tty.data.as_slice(), SETTLE_NS + EARLY_NS);
                } else {
                    screen.shown.skip(tty.data.len());
                }
                // What came before it and waits still comes before it.
                let waits = inner && (screen.tries(at) || screen.pending.len() > screen.out);
                if waits {
                    self.aim(no, at);
                    if let Some(screen) = self.screens.get_mut(&no) {
                        screen.pending.extend_from_slice(tty.data.as_slice());
                    }
                }
                if !waits {
                    self.tell(no, at);
                }
                self.put(record, waits);
                if many {
                    let inner: Vec<u32> = self.screens.range(no..).map(|(no, _)| *no).collect();
                    for no in inner {
                        self.settle(no, at);
                    }
                }
                while self.held > HELD && self.release(|_| true) {}
            }
        }
    }

    fn put(&mut self, record: Record, waits: bool) {
        if waits {
            self.held = self.held.saturating_add(shown(&record).len());
        }
        self.queue.push_back(Slot { record, waits });
    }

    /// What the outer terminal showed long before these bytes is no copy of them.
    fn aim(&mut self, no: u32, at: BootNanos) {
        let Some(screen) = self.screens.get(&no).filter(|screen| screen.pending.is_empty()) else { return };
        let Some(place) = screen.at else { return };
        let early = BootNanos::new(at.get().saturating_sub(EARLY_NS));
        let from = self.screens.get(&place.no).map_or(place.from, |outer| outer.shown.since(early));
        if let Some(screen) = self.screens.get_mut(&no) {
            screen.at = Some(Place { from: place.from.max(from), ..place });
        }
    }

    /// Compares what waits of a terminal with what others showed meanwhile.
    fn settle(&mut self, no: u32, now: BootNanos) {
        loop {
            let Some(screen) = self.screens.get(&no).filter(|screen| !screen.pending.is_empty()) else {
                return;
            };
            let Some(place) = screen.at else {
                let Some(found) = self.search(no) else { return };
                if let Some(screen) = self.screens.get_mut(&no) {
                    (screen.at, screen.matched, screen.score, screen.idle) = (Some(found), 0, 0, now);
                }
                continue;
            };
            let Some(outer) = self.screens.get(&place.no) else { return };
            let wanted = screen.pending.get(screen.matched..).unwrap_or_default();
            let came = outer.shown.from(place.from);
            let same = wanted.iter().zip(came).take_while(|(a, b)| a == b).count();
            let differs = wanted.len() > same && came.len() > same;
            let (behind, lost) =
                (outer.shown.next(place.from), place.from < outer.shown.end() && came.is_empty());
            let Some(screen) = self.screens.get_mut(&no) else { return };
            if same > 0 {
                screen.idle = now;
                screen.matched += same;
                screen.score = screen.score.saturating_add(wide(same));
                screen.at = Some(Place { from: place.from.saturating_add(wide(same)), ..place });
                if screen.score >= GOOD {
                    screen.faults = 0;
                }
            } else if differs && screen.is_believed() && screen.matched == 0 {
                // Somebody else's words stand before the copy.
                screen.at = Some(Place { from: behind, ..place });
                continue;
            }
            if screen.is_believed() {
                self.leave_out(no);
            }
            if differs || lost {
                self.differs(no);
            } else {
                return;
            }
        }
    }

    /// Leaves out what came out.
    fn leave_out(&mut self, no: u32) {
        let Some(screen) = self.screens.get_mut(&no) else { return };
        (screen.misses, screen.rests) = (0, None);
        screen.forget_out();
        let (Some(place), mut left) = (screen.at, std::mem::take(&mut screen.matched)) else { return };
        screen.pending.drain(..left.min(screen.pending.len()));
        let mut from = place.from.saturating_sub(wide(left));
        while left > 0 {
            let Some(index) = self.first(no) else { return };
            let Some(slot) = self.queue.get_mut(index) else { return };
            let Body::Tty(_, tty) = &mut slot.record.body else { return };
            let data = std::mem::take(&mut tty.data);
            let Some((data, rest)) = data.as_slice().split_at_checked(left.min(data.len())) else { return };
            let record = slot.record.clone();
            if rest.is_empty() {
                self.queue.remove(index);
            } else if let Body::Tty(_, tty) = &mut slot.record.body {
                tty.data = Bytes::new(rest);
            }
            let relay = Place { from, ..place };
            if self.fold_of(no).is_some_and(|fold| !fold.goes_on(relay)) {
                self.tell(no, record.boot_ns);
            }
            let Some(screen) = self.screens.get_mut(&no) else { return };
            screen.fold.get_or_insert_with(|| Fold::new(relay, &record)).take(&record, data);
            (left, from) = (left - data.len(), from.saturating_add(wide(data.len())));
            self.held = self.held.saturating_sub(data.len());
        }
    }

    /// What came next on the outer terminal is something else: it is no copy from here on, until it proves to be one again.
    fn differs(&mut self, no: u32) {
        let Some(screen) = self.screens.get_mut(&no) else { return };
        screen.faults = screen.faults.saturating_add(1);
        (screen.at, screen.score) = (None, 0);
        let (some, mut left) = (screen.matched > 0, screen.matched.saturating_sub(screen.out));
        screen.forget_out();
        screen.matched = 0;
        // What was compared in vain is not compared again.
        while some && let Some(index) = self.first(no) {
            let len = self.queue.get(index).map_or(0, |slot| shown(&slot.record).len());
            self.give(index);
            if len > left {
                break;
            }
            left -= len;
        }
    }

    /// Where what waits of a terminal begins on an older one that is not itself a relay's.
    fn search(&self, no: u32) -> Option<Place> {
        let needle = self.screens.get(&no)?.pending.get(..NEEDLE)?;
        let at = self.queue.get(self.first(no)?)?.record.boot_ns;
        let early = BootNanos::new(at.get().saturating_sub(EARLY_NS));
        self.screens.range(..no).filter(|(_, outer)| !(outer.at.is_some() && outer.is_believed())).find_map(
            |(no, outer)| {
                let from = outer.shown.find(outer.shown.since(early), needle)?;
                Some(Place { no: *no, from })
            },
        )
    }

    /// Typed bytes of an inner terminal that were typed on the outer one a moment ago.
    fn input(&mut self, no: u32, record: Record) {
        let Body::Tty(_, tty) = &record.body else { return };
        let at = record.boot_ns;
        let found = self.typed_on_outer(no, tty, at);
        let Some(screen) = self.screens.get_mut(&no) else { return };
        screen.typed.push(at, tty.data.as_slice(), SETTLE_NS);
        let goes_on = screen.fold_typed.as_ref().is_some_and(|fold| found.is_some_and(|f| fold.goes_on(f)));
        if !goes_on && let Some(fold) = screen.fold_typed.take_if(|_| found.is_some() || !tty.data.is_empty())
        {
            self.put(fold.told(at), false);
        }
        let Some(relay) = found else { return self.put(record, false) };
        let len = wide(tty.data.len());
        if let Some(screen) = self.screens.get_mut(&no) {
            let fold = screen.fold_typed.get_or_insert_with(|| Fold::new(relay, &record));
            fold.take(&record, tty.data.as_slice());
        }
        if let Some(outer) = self.screens.get_mut(&relay.no) {
            outer.typed_to = relay.from.saturating_add(len);
        }
    }

    fn typed_on_outer(&self, no: u32, tty: &Tty, at: BootNanos) -> Option<Place> {
        let screen = self.screens.get(&no).filter(|screen| screen.is_believed() && tty.hidden == 0)?;
        let outer = self.screens.get(&screen.at?.no)?;
        let early = BootNanos::new(at.get().saturating_sub(SETTLE_NS));
        let from = outer.typed.find(outer.typed.since(early).max(outer.typed_to), tty.data.as_slice())?;
        Some(Place { no: screen.at?.no, from })
    }

    /// The first record that waits of a terminal.
    fn first(&self, no: u32) -> Option<usize> {
        self.queue.iter().position(|slot| slot.waits && number(&slot.record) == Some(no))
    }

    fn fold_of(&self, no: u32) -> Option<&Fold> {
        self.screens.get(&no)?.fold.as_ref()
    }

    /// Tells what was left out so far, before what waits of this terminal.
    fn tell(&mut self, no: u32, at: BootNanos) {
        let Some(fold) = self.screens.get_mut(&no).and_then(|screen| screen.fold.take()) else { return };
        let index = self.first(no).unwrap_or(self.queue.len());
        self.queue.insert(index, Slot { record: fold.told(at), waits: false });
    }

    /// Lets the first record that waits go, if it is to; what it shows may come out yet and is then stored twice.
    fn release(&mut self, due: impl FnOnce(&Record) -> bool) -> bool {
        let Some(index) = self.queue.iter().position(|slot| slot.waits) else { return false };
        let is_due = self.queue.get(index).is_some_and(|slot| due(&slot.record));
        if is_due {
            self.give(index);
        }
        is_due
    }

    /// Gives out a record that waits, the first one of its terminal, as it is.
    fn give(&mut self, index: usize) {
        let Some(Slot { record, .. }) = self.queue.get(index) else { return };
        let (len, at) = (shown(record).len(), record.boot_ns);
        let Some(no) = number(record) else { return };
        self.held = self.held.saturating_sub(len);
        self.tell(no, at);
        // The record of the fold, if there was one, stands before it now.
        let Some(index) = self.first(no) else { return };
        if let Some(slot) = self.queue.get_mut(index) {
            slot.waits = false;
        }
        let Some(screen) = self.screens.get_mut(&no) else { return };
        if screen.out == 0 {
            screen.idle = screen.idle.max(at);
        }
        screen.out += len;
        if screen.at.is_none() && len >= NEEDLE {
            screen.missed(at);
        }
        screen.forget_out();
    }

    /// Gives up waiting where it took too long.
    fn overdue(&mut self, now: BootNanos) {
        let presses = |slot: &Slot| {
            !matches!(slot.record.body, Body::Tty(..)) && now.since(slot.record.boot_ns) >= BEHIND_NS
        };
        let pressed = self.queue.iter().rposition(presses).unwrap_or(0);
        for _ in 0..self.queue.iter().take(pressed).filter(|slot| slot.waits).count() {
            self.release(|_| true);
        }
        if self.queue.len() > QUEUED {
            while self.release(|_| true) {}
        }
        while self.release(|record| now.since(record.boot_ns) >= SETTLE_NS) {}
        for screen in self.screens.values_mut().filter(|screen| screen.out > 0) {
            // Stored, and never seen on the outer terminal.
            if now.since(screen.idle) >= SETTLE_NS || screen.out > HELD {
                (screen.at, screen.score) = (None, 0);
                screen.missed(now);
                screen.forget_out();
            }
        }
    }

    /// Tells of what lasts.
    fn tell_long(&mut self, now: BootNanos, out: &mut dyn FnMut(Record)) {
        let is_long = |fold: &mut Fold| now.since(fold.since()) >= TELL_NS;
        let (mut long, mut typed) = (Vec::new(), Vec::new());
        for (no, screen) in &mut self.screens {
            long.extend(screen.fold.as_mut().filter(|fold| now.since(fold.since()) >= TELL_NS).map(|_| *no));
            typed.extend(screen.fold_typed.take_if(is_long));
        }
        for no in long {
            self.tell(no, now);
        }
        self.drain(out);
        for fold in typed {
            self.put(fold.told(now), false);
        }
    }

    fn drain(&mut self, out: &mut dyn FnMut(Record)) {
        while self.queue.front().is_some_and(|slot| !slot.waits) {
            self.queue.pop_front().into_iter().for_each(|slot| out(slot.record));
        }
    }
}

impl Screen {
    fn is_believed(&self) -> bool {
        self.at.is_some() && self.score >= PROOF << (3 * self.faults.min(3))
    }

    /// True if it is waited for.
    fn tries(&mut self, now: BootNanos) -> bool {
        if self.rests.is_some_and(|since| now.since(since) >= REST_NS) {
            // One more miss and it rests again.
            (self.rests, self.misses) = (None, MISSES - 1);
        }
        self.rests.is_none()
    }

    fn missed(&mut self, now: BootNanos) {
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES {
            self.rests = Some(now);
        }
    }

    /// Bytes that were given out and have come out, or are not looked for any more.
    fn forget_out(&mut self) {
        let known = if self.at.is_some() { self.out.min(self.matched) } else { self.out };
        self.pending.drain(..known.min(self.pending.len()));
        self.out -= known;
        self.matched = self.matched.saturating_sub(known);
    }
}

fn number(record: &Record) -> Option<u32> {
    match &record.body {
        Body::Tty(_, tty) => Some(tty.no),
        _ => None,
    }
}

fn shown(record: &Record) -> &[u8] {
    match &record.body {
        Body::Tty(_, tty) => tty.data.as_slice(),
        _ => &[],
    }
}
