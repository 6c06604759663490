//! The running capture: drains both rings, keeps order and count, sleeps when there is nothing to do.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use recorder_common::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    arguments,
    backend::Backend,
    caps::Uses,
    counters::Counters,
    decode::{self, Decoder},
    folds::Folds,
    gate::{GateKey, GateWindow, Gates},
    guard::Guards,
    join::Joiner,
    links::Hold,
    load::{self, CaptureConfig, LoadError, Loaded},
    loss::LossTracker,
    managers::{Managers, Standing},
    marks::{self, Marks},
    order::Reorder,
    rounds::{CanaryRound, Rounds},
    seed,
    sends::Sends,
    skips::Skips,
    streams::Streams,
    tables::Tables,
};
use crate::{
    model::{BootNanos, Bytes, Capability, Captured, Dropped, Folded, Lived, Mark, Sent, Streamed, TaskId},
    sys::{bell::Bell, clock, process, ring::Fill},
};

/// Events taken from one ring before the other gets its turn.
const TURN: usize = 64 * 1024;
/// The same where floods are watched: some milliseconds.
const PART: usize = 4 * 1024;
/// Between looks at what the kernel left out.
const SKIPS: Duration = Duration::from_secs(5);

/// At the end what is still on its way to a ring is waited for, with looks in between.
const LATE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken over.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
}

/// What waits in the ring that a flood fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes.
    pub bytes: usize,
    /// Bytes that it holds.
    pub room: usize,
}

/// Live kernel programs and their reader.
pub struct Capture {
    pub(super) loaded: Loaded,
    counters: Counters,
    ttys: BpfHashMap<MapData, u64, [u8; 32]>,
    tables: Tables,
    streams: Streams,
    decoder: Decoder,
    losses: LossTracker,
    order: Reorder,
    counts: Counts,
    /// Events taken from one ring before the other gets its turn.
    at_once: usize,
    bulk: Option<Fill>,
    bulk_room: usize,
    checked: Instant,
    gates: Gates,
    pub(super) guards: Guards,
    rounds: Rounds,
    managers: Managers,
    skips: Skips,
    looked: Instant,
    horizon: BootNanos,
}

impl Capture {
    /// Loads, attaches, and waits for the canaries.
    pub fn start(config: &CaptureConfig) -> Result<Self, LoadError> {
        super::probe().check_age()?;
        let mut loaded = load::load(config, load::OBJECT)?;
        let missing =
            |what: &str| LoadError::Refused { what: what.into(), reason: "not in the object".into() };
        let gates = loaded.ebpf.take_map("GATES").and_then(|m| BpfHashMap::try_from(m).ok());
        let allowed = loaded.ebpf.take_map("ALLOWED").and_then(|m| BpfHashMap::try_from(m).ok());
        let ttys = loaded.ebpf.take_map("TTYS").and_then(|m| BpfHashMap::try_from(m).ok());
        let streams = loaded.ebpf.take_map("STREAMS").and_then(|m| BpfHashMap::try_from(m).ok());
        let sends = loaded.ebpf.take_map("SENDS").and_then(|m| BpfHashMap::try_from(m).ok());
        let uses = loaded.ebpf.take_map("CAPS").and_then(|m| BpfHashMap::try_from(m).ok());
        let mut capture = Self {
            counters: Counters::open(&mut loaded.ebpf).ok_or_else(|| missing("map COUNTERS"))?,
            ttys: ttys.ok_or_else(|| missing("map TTYS"))?,
            streams: Streams::new(streams.ok_or_else(|| missing("map STREAMS"))?),
            tables: Tables::new(
                Uses::new(uses.ok_or_else(|| missing("map CAPS"))?),
                Folds::open(&mut loaded.ebpf).ok_or_else(|| missing("the maps of what is folded"))?,
                Sends::new(sends.ok_or_else(|| missing("map SENDS"))?),
            ),
            decoder: Decoder::new(arguments::parts(config.arguments)),
            losses: LossTracker::default(),
            order: Reorder::default(),
            counts: Counts::default(),
            at_once: TURN,
            bulk: None,
            bulk_room: usize::try_from(config.bulk_ring).unwrap_or(usize::MAX),
            checked: Instant::now(),
            gates: Gates::new(
                gates.ok_or_else(|| missing("map GATES"))?,
                allowed.ok_or_else(|| missing("map ALLOWED"))?,
            ),
            guards: Guards::open(&mut loaded.ebpf).ok_or_else(|| missing("the maps of the guard"))?,
            rounds: Rounds::default(),
            managers: Managers::open(&mut loaded.ebpf).ok_or_else(|| missing("the maps of delegation"))?,
            skips: Skips::default(),
            looked: Instant::now(),
            horizon: BootNanos::default(),
            loaded,
        };
        for raw in std::mem::take(&mut capture.loaded.early) {
            capture.take(&raw, Instant::now());
        }
        // The kernel's types were read, and the programs with their relocations.
        process::give_memory_back();
        Ok(capture)
    }

    /// The backend that answered.
    pub fn backend(&self) -> Backend {
        self.loaded.backend
    }

    /// Why a better backend was not taken, in the kernel's words.
    pub fn refused(&self) -> Option<&str> {
        self.loaded.refused.as_deref()
    }

    /// Hooks whose canary came back: all of them, or `start` would have failed.
    pub fn hooks(&self) -> &'static [&'static str] {
        self.loaded.hooks()
    }

    /// What is not seen: by this backend, and on this kernel.
    pub fn blind(&self) -> Vec<&'static str> {
        [self.loaded.backend.blind(), &self.loaded.blind].concat()
    }

    /// Capabilities that these sessions exercised so far, with exact counts and without paths.
    pub fn capabilities(&self, sessions: &[Mark]) -> Vec<(Mark, Capability)> {
        self.tables.uses.of(sessions)
    }

    /// Programs that these sessions could not start, and files that they mapped to be executed, with exact counts so far.
    pub fn folded(&self, sessions: &[Mark]) -> Vec<(Mark, Folded)> {
        self.tables.folds.of(sessions)
    }

    /// What these sessions sent without a connection so far, exact.
    pub fn sent(&self, sessions: &[Mark]) -> Vec<(Mark, Sent)> {
        self.tables.sends.of(sessions)
    }

    /// What went through standard streams of these sessions and was not taken along, exact.
    pub fn streamed(&self, sessions: &[Mark]) -> Vec<(Mark, Streamed)> {
        self.streams.of(sessions)
    }

    /// Totals.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Marks what already runs, by what an earlier run knew and by what it shows itself. Call once, after `start`.
    pub fn seed(&mut self, lived: &[Lived]) -> seed::Seeded {
        let seeded = seed::run(&self.loaded.tasks, lived);
        if let Err(error) = self.streams_of(&seeded) {
            tracing::error!(%error, "what sessions without a terminal show is not seen");
        }
        seeded
    }

    fn streams_of(&mut self, seeded: &seed::Seeded) -> Result<(), MapError> {
        let mut known = HashSet::new();
        for member in &seeded.members {
            let Captured::Event(event) = member else { continue };
            // Parents come before children: the first one stands for the session.
            if known.insert(event.mark) {
                self.streams.found(event.mark, event.task.id.pid)?;
            }
        }
        if self.streams.is_empty() { Ok(()) } else { self.loaded.state.set(State::STREAMS, 1, 0) }
    }

    /// From now on only these may elevate; nobody is judged before the first call.
    ///
    /// # Errors
    /// The kernel's. What it took over so far counts.
    pub fn set_gates(&mut self, gates: &HashMap<GateKey, GateWindow>) -> Result<(), MapError> {
        self.gates.set(gates)?;
        self.loaded.state.set(State::GATE, 1, 0)
    }

    /// Jobs of cron and at are looked at from here on, and what is sent to these sockets.
    ///
    /// # Errors
    /// The kernel's.
    pub fn look_at_managers(&mut self) -> Result<(), MapError> {
        self.managers.listen()?;
        self.loaded.state.set(State::JOBS, 1, 0)
    }

    /// What the manager starts is looked at until then, whether it is asked again or not.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep_looking(&mut self, manager: Standing, until: BootNanos) -> Result<(), MapError> {
        self.managers.keep_looking(manager, until)?;
        self.loaded.state.set(State::ARMED, 1, 0)
    }

    /// Sessions wrote these files; what runs them as scripts is looked at. Where the kernel side sees their inodes it needs no paths.
    ///
    /// # Errors
    /// The kernel's.
    pub fn scripts(&mut self, written: &HashMap<Bytes, Mark>) -> Result<(), MapError> {
        if self.loaded.backend == Backend::Trampoline {
            return Ok(());
        }
        written.iter().try_for_each(|(path, by)| self.managers.script(path.as_slice(), *by))
    }

    /// Gives a process of nobody's, and what descends from it, a mark of their own; tells which ones. `None` if it is gone or somebody's.
    pub fn adopt(&self, pid: u32) -> Option<(Mark, Vec<TaskId>)> {
        seed::adopt(&self.loaded.tasks, pid)
    }

    /// Forgets what was nobody's: its control group and its processes carry no mark any more.
    pub fn let_go(&mut self, dropped: &Dropped) {
        self.managers.forget(dropped);
        for task in &dropped.tasks {
            marks::release(&self.loaded.tasks, task.pid, dropped.mark);
        }
    }

    /// Why a program that is refused is ended by a signal instead of not being started, if that is so.
    pub fn no_lsm(&self) -> Option<&str> {
        self.loaded.no_lsm.as_deref()
    }

    /// A view of the marks that outlives this struct and may go to another thread.
    pub fn marks(&self) -> io::Result<Marks> {
        Marks::of_map(&self.loaded.tasks)
    }

    /// Takes what the rings hold and gives out what is in order, with the losses found. Returns the number of events
    /// taken. With `last`, nothing is held back.
    pub fn drain(&mut self, out: &mut Vec<Captured>, last: bool) -> usize {
        if let Some(log) = &mut self.loaded.kernel_log {
            log.flush();
        }
        let horizon = clock::boot();
        self.horizon = horizon;
        let now = Instant::now();
        let before = self.counts.events;
        self.rounds.look(&mut self.loaded);
        let mut emptied = false;
        // What is numbered later comes after the end: missing is only what was numbered by now.
        let numbered = if last { self.counters.read() } else { Vec::new() };
        for _ in 0..if last { 64 } else { 1 } {
            let turn = self.turn(now);
            emptied = turn.emptied;
            if !turn.any {
                break;
            }
        }
        // A processor may stand still between number and ring, and what comes behind it in the ring waits with it.
        let end = now + LATE;
        while last && self.losses.awaits(&numbered) && Instant::now() < end {
            if !self.turn(now).any {
                thread::sleep(LOOK);
            }
        }
        if emptied {
            let counters = &self.counters;
            self.rounds.settle(|| counters.read());
        }
        for event in self.decoder.overdue(now, last) {
            self.order.push(event);
        }
        let horizon = if last { BootNanos::new(u64::MAX) } else { horizon };
        let mut joiner = Joiner::default();
        self.order.release(horizon, |e| joiner.push(out, e));
        if last || self.losses.has_holes() || now.duration_since(self.checked) > Duration::from_millis(500) {
            self.checked = now;
            let mut counters = self.counters.read();
            counters.iter_mut().zip(&numbered).for_each(|(now, then)| now.seq = then.seq);
            for loss in self.losses.declare(&counters, now, last) {
                self.counts.lost += loss.count;
                out.push(Captured::Lost(loss));
            }
        }
        if last || now.duration_since(self.looked) > SKIPS {
            self.looked = now;
            for loss in self.skips.look(&self.loaded.ebpf) {
                self.counts.lost += loss.count;
                out.push(Captured::Lost(loss));
            }
        }
        usize::try_from(self.counts.events - before).unwrap_or(usize::MAX)
    }

    /// One turn over both rings.
    fn turn(&mut self, now: Instant) -> Turn {
        let mut turn = Turn { any: false, emptied: true };
        let Self { loaded, decoder, losses, order, counts, rounds, at_once, .. } = self;
        for ring in [&mut loaded.critical, &mut loaded.bulk] {
            let mut taken = 0;
            while taken < *at_once {
                let Some(item) = ring.next() else { break };
                taken += 1;
                take(&item, now, decoder, losses, order, counts, rounds);
            }
            turn.any |= taken > 0;
            turn.emptied &= taken < *at_once;
        }
        turn
    }

    fn take(&mut self, raw: &[u8], now: Instant) {
        let Self { decoder, losses, order, counts, rounds, .. } = self;
        take(raw, now, decoder, losses, order, counts, rounds);
    }

    /// Everything that happened before was given out by the last call of [`Self::drain`], and nothing later.
    pub const fn horizon(&self) -> BootNanos {
        self.horizon
    }

    /// From now on rings are read in smaller parts, and [`Self::waiting`] tells how full the one for floods is.
    ///
    /// # Errors
    /// The kernel's: its positions can't be mapped.
    pub fn watch_floods(&mut self) -> io::Result<()> {
        self.bulk = Some(Fill::of(self.loaded.bulk.as_fd())?);
        self.at_once = PART;
        Ok(())
    }

    /// How full the rings are, critical and bulk, for somebody else to look. The kernel's error: their positions can't be mapped.
    pub fn fills(&self) -> io::Result<[Fill; 2]> {
        Ok([Fill::of(self.loaded.critical.as_fd())?, Fill::of(self.loaded.bulk.as_fd())?])
    }

    /// What waits in the ring; nothing before [`Self::watch_floods`].
    pub fn waiting(&self) -> Waiting {
        self.bulk
            .as_ref()
            .map_or_else(Waiting::default, |fill| Waiting { bytes: fill.bytes(), room: self.bulk_room })
    }

    /// Sessions of which an exec is still put together: they are not over.
    pub fn incomplete(&self) -> impl Iterator<Item = Mark> + '_ {
        self.decoder.incomplete()
    }

    /// True if events are held for their order.
    pub fn holds_back(&self) -> bool {
        !self.order.is_empty()
    }

    /// Sleeps until the rings want attention or the bell is rung, at most `limit`.
    pub fn sleep(&mut self, limit: Duration, bell: &Bell) {
        if self.set_idle(1).is_err() {
            std::thread::sleep(limit.min(Duration::from_millis(5)));
            return;
        }
        let timeout = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut fds = [
            PollFd::new(&self.loaded.critical, PollFlags::IN),
            PollFd::new(&self.loaded.bulk, PollFlags::IN),
            PollFd::new(bell, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Some(&timeout));
        bell.hush();
        let _ = self.set_idle(0);
    }

    fn set_idle(&mut self, idle: u32) -> Result<(), aya::maps::MapError> {
        self.loaded.state.set(State::IDLE, idle, 0)
    }

    /// Forgets the counts of sessions that ended, and their terminals, so that nobody who gets one of their addresses is
    /// recorded.
    pub fn forget(&mut self, marks: &[Mark]) {
        self.tables.forget(marks, Instant::now());
        if marks.is_empty() {
            return;
        }
        self.forget_streams(marks);
        let wanted: Vec<_> = marks.iter().map(|mark| mark.get().to_le_bytes()).collect();
        let stale: Vec<u64> = self
            .ttys
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, state)| wanted.iter().any(|mark| state.starts_with(mark)))
            .map(|(key, _)| key)
            .collect();
        for key in stale {
            let _ = self.ttys.remove(&key);
        }
    }

    /// Without streams nobody's reads and writes are looked at.
    fn forget_streams(&mut self, marks: &[Mark]) {
        if !self.streams.forget(marks) {
            return;
        }
        let idle = self.loaded.state.set(State::STREAMS, 0, 0);
        // One may have come meanwhile.
        let idle = idle.and_then(|()| {
            if self.streams.is_empty() { Ok(()) } else { self.loaded.state.set(State::STREAMS, 1, 0) }
        });
        if let Err(error) = idle {
            tracing::debug!(%error, "reads and writes go on being looked at");
        }
    }

    /// Lets one canary per hook out, unless the round before still runs; [`Self::canaries`] tells what came back.
    ///
    /// # Errors
    /// The acts can't be asked for: the thread can't be started.
    pub fn send_canaries(&mut self) -> io::Result<()> {
        let counters = self.counters.read();
        self.rounds.send(&mut self.loaded, &counters, clock::boot().get())
    }

    /// What the newest round came to so far.
    pub const fn canaries(&self) -> CanaryRound {
        self.rounds.round()
    }

    /// Programs that the kernel no longer has where they were attached; each is told once.
    pub fn missing_links(&mut self) -> Vec<String> {
        self.loaded.attached.extract_if(.., |hold| !hold.holds()).map(Hold::into_name).collect()
    }
}

/// What a turn over the rings found.
struct Turn {
    any: bool,
    /// Both rings were read to their end.
    emptied: bool,
}

fn take(
    raw: &[u8],
    now: Instant,
    decoder: &mut Decoder,
    losses: &mut LossTracker,
    order: &mut Reorder,
    counts: &mut Counts,
    rounds: &mut Rounds,
) {
    if let Ok(head) = decode::header(raw) {
        losses.seen(head.cpu, head.ring, head.seq, now);
        if rounds.takes(&head) {
            return;
        }
    }
    counts.events += 1;
    match decoder.decode(raw) {
        Ok(Some(event)) => order.push(event),
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, "an event from the kernel could not be decoded");
            losses.undecodable();
        }
    }
}
