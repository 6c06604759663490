//! Drains the kernel, tracks sessions, hands batches to the writer.

use std::{
    path::PathBuf,
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};

use super::{
    StopFlag, alarm, arguments,
    beat::Beat,
    content::{self, Contents},
    control::{PumpEnd, Reply},
    ending::Ending,
    grants::Desk,
    guard::Watch,
    handover::Handing,
    herald::Herald,
    host::RunningHost,
    living::Living,
    outbox::{Gone, Load, Outbox, Unkept},
    pause::Pause,
    pulse::Pulse,
    redaction::Redactor,
    standing::{Gauge, State},
};
use crate::{
    capture::{Capture, Seeded},
    model::{BootNanos, Captured, ClockPair, Mark, Record},
    session::{Allowance, Flood, Reading, Relay, Tracked, Tracker},
    sys::{bell::Bell, clock, process},
};

/// What the pump takes from the configuration.
pub(super) struct Settings {
    /// Whose free space heartbeats tell.
    pub(super) journal_dir: PathBuf,
    /// People are told on their terminals that a session begins.
    pub(super) tell: bool,
    /// What cron and at run for root is recorded, whoever planted it.
    pub(super) records_jobs: bool,
    /// What the terminals of a session may show before they are folded.
    pub(super) terminal: Allowance,
    /// What was said about grants before the pump ran.
    pub(super) first: Vec<Record>,
    /// Stops sessions that flood, if that is wanted.
    pub(super) pause: Option<Pause>,
    /// Ends sessions when storage has failed for good, if that is to follow.
    pub(super) ending: Option<Ending>,
    pub(super) gauge: Gauge,
    /// Told of each turn.
    pub(super) beat: Beat,
    /// What the next run has to know.
    pub(super) living: Living,
    /// What is looked at in programs and files; `None`: nothing.
    pub(super) content: Option<content::Settings>,
    /// What is tried with the recorder itself.
    pub(super) watch: Watch,
    /// Secrets do not leave the pump.
    pub(super) redactor: Redactor,
}

/// What goes to the writer at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Sessions, their records, losses.
    pub(super) tracked: Vec<Tracked>,
    /// Records of the log itself.
    pub(super) control: Vec<Record>,
    /// What found no place on the way.
    pub(super) unkept: Unkept,
    pub(super) load: Load,
    /// Attempts on the recorder until then are told in this one or before it. Nobody is woken for that alone.
    pub(super) attempts: Option<BootNanos>,
    /// In the last one: everything that happened before was taken from the kernel.
    pub(super) until: Option<ClockPair>,
}

/// What is told by numbers, or stands elsewhere.
struct Folds {
    reading: Reading,
    relay: Relay,
    flood: Flood,
}

impl Folds {
    fn new(terminal: Allowance) -> Self {
        Self { reading: Reading::default(), relay: Relay::default(), flood: Flood::new(terminal) }
    }

    fn pass(&mut self, now: BootNanos, horizon: BootNanos, tracked: &mut Vec<Tracked>) {
        self.reading.pass(now, tracked);
        self.relay.pass(horizon, tracked);
        self.flood.pass(horizon, tracked);
    }
}

/// A nap while events come: a reader that sleeps a little costs a fraction of one that polls.
const NAP: Duration = Duration::from_millis(1);
/// Sleep while nothing comes; a critical event and the bell end it at once.
const SLEEP_BUSY: Duration = Duration::from_millis(10);
const SLEEP_IDLE: Duration = Duration::from_millis(100);
/// Once nothing was told of any session for so long: most of a host's days.
const SLEEP_CALM: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(10);
/// Between looks at the live processes of open sessions.
const RECONCILE: Duration = Duration::from_secs(5);
/// Between looks at the kernel's counts of capabilities; at the end of a session they are read in any case.
const COUNT: Duration = Duration::from_secs(30);

/// Runs until the flag is raised; then takes everything that is still in the kernel and closes all sessions.
pub(super) fn run(
    mut capture: Capture,
    seeded: Seeded,
    mut desk: Option<Desk>,
    control: &PumpEnd,
    writer: SyncSender<Batch>,
    stop: &StopFlag,
    mut settings: Settings,
) {
    let mut outbox = Outbox::new(writer);
    let mut hanging = false;
    let mut herald = settings.tell.then(Herald::default);
    let mut tracker = tracker_of(&seeded);
    let mut folds = Folds::new(settings.terminal);
    let mut contents = Contents::start(settings.content.take());
    let mut host = RunningHost { marks: capture.marks().ok() };
    let mut pulse = Pulse::new(clock::reading(), capture.hooks().len());
    let mut captured = seeded.members;
    let mut handing = Handing::start(&mut capture, settings.records_jobs);
    if seeded.failed > 0 {
        tracing::error!(failed = seeded.failed, "running processes could not be marked");
    }
    let mut reconciled = Instant::now();
    let mut counted = Instant::now();
    let mut rest = Rest { told: Instant::now() };
    loop {
        settings.beat.turn();
        let last = stop.is_raised();
        if last {
            capture.let_it_end();
        }
        // Read before: what happens while it is drained, and later, nobody may come for.
        let until = last.then(clock::pair);
        let taken = drain(&mut capture, &mut settings.watch, &mut captured, last);
        let now = clock::pair();
        // Before anything is made of what came: meanwhile the ring fills.
        let acts = pause(&mut settings.pause, &capture, &captured, (now, last));
        let asked = control.carry_out(now.boot, desk.as_mut());
        let mut batch = Batch { control: std::mem::take(&mut settings.first), until, ..Batch::default() };
        for item in handing.pass(&mut captured, &capture) {
            tracker.step(now.boot, item, &mut host, &mut batch.tracked);
        }
        let open = |item: &Tracked| matches!(item, Tracked::Event { mark, .. } if tracker.is_open(*mark));
        let denied = asked.denials.into_iter().map(|(mark, record)| Tracked::Event { mark, record });
        batch.tracked.extend(acts.into_iter().chain(denied).filter(open));
        if reconciled.elapsed() >= RECONCILE && tracker.open_sessions() > 0 {
            reconciled = Instant::now();
            reconcile(&mut tracker, now.boot);
        }
        batch.control.extend(watched(&mut settings, &mut capture, &tracker, now.boot, last));
        batch.attempts = settings.watch.told_until();
        capture.incomplete().for_each(|mark| tracker.awaits(mark, now.boot));
        let ending = if last { tracker.open() } else { tracker.over(now.boot) };
        let due = counted.elapsed() >= COUNT;
        let asked_of = if due { tracker.open() } else { ending.clone() };
        if !asked_of.is_empty() {
            count(&capture, &mut tracker, (&asked_of, &ending), now.boot, &mut batch.tracked);
        }
        if due {
            counted = Instant::now();
        }
        tracker.tick(now.boot, &mut batch.tracked);
        settings.living.tend(&tracker, &settings.redactor, (&batch.tracked, last));
        if last {
            tracker.stop(now.boot, &mut batch.tracked);
        }
        handing.tend(now.boot, &batch.tracked, &mut capture);
        if let Some(desk) = &mut desk {
            let round = desk.round(now, std::mem::take(&mut batch.tracked));
            batch.tracked = round.tracked;
            batch.control.extend(round.control);
            if let Some(gates) = round.gates
                && let Err(error) = capture.set_gates(&gates)
            {
                tracing::error!(%error, "who may elevate could not be told to the kernel");
            }
        }
        if let Some(herald) = &mut herald {
            herald.pass(&batch.tracked);
        }
        batch.control.splice(0..0, asked.records);
        remember(desk.as_mut(), &mut batch.control, (now.boot, last));
        control.publish(&batch.tracked, desk.as_mut());
        let signs = pulse.due(clock::reading(), tracker.open_sessions(), &mut capture, &settings.journal_dir);
        batch.control.extend(signs);
        control.silent(pulse.silent());
        let here = Instant::now();
        settings.pause.iter_mut().for_each(|pause| pause.see(&mut batch.tracked, (now, here)));
        let storage = settings.gauge.watch(here);
        hanging = hangs(hanging, storage.state);
        if let Some(ending) = &mut settings.ending {
            let acts = ending.step(&batch.tracked, storage, now, here);
            batch.tracked.extend(acts);
        }
        // Last, since what a relay may copy waits here: grants, notices and the control socket do not wait with it.
        folds.pass(now.boot, capture.horizon(), &mut batch.tracked);
        // Behind what waits for terminals: it keeps the ends of sessions back until what they left is read.
        contents.pass(now, &mut batch.tracked, last);
        for_the_writer(&settings.redactor, &mut batch.tracked);
        rest.see(&batch.tracked, here);
        // The writer is gone only after a fault, which ends the service.
        if outbox.send(batch, here) == Err(Gone) {
            return;
        }
        if last {
            let _ = outbox.finish();
            return;
        }
        if wait_for_room(&mut outbox, &mut settings, &capture) == Err(Gone) {
            return;
        }
        asked.replies.into_iter().for_each(Reply::tell);
        rest.take(&mut capture, taken, tracker.open_sessions(), control.bell());
    }
}

/// Between two rounds.
struct Rest {
    /// When something was last told of a session.
    told: Instant,
}

impl Rest {
    fn see(&mut self, tracked: &[Tracked], now: Instant) {
        if !tracked.is_empty() {
            self.told = now;
        }
    }

    fn take(&self, capture: &mut Capture, taken: usize, sessions: usize, bell: &Bell) {
        if taken > 0 || capture.holds_back() {
            std::thread::sleep(NAP);
            return;
        }
        let limit = match sessions {
            0 if self.told.elapsed() > CALM => SLEEP_CALM,
            0 => SLEEP_IDLE,
            _ => SLEEP_BUSY,
        };
        capture.sleep(limit, bell);
    }
}

/// While the writer is behind nothing is taken from the rings.
fn wait_for_room(outbox: &mut Outbox, settings: &mut Settings, capture: &Capture) -> Result<(), Gone> {
    while outbox.is_crowded(Instant::now()) {
        settings.beat.turn();
        if let Some(pause) = &mut settings.pause {
            pause.press(capture.waiting(), (clock::pair(), Instant::now()));
        }
        std::thread::sleep(NAP);
        outbox.flush(Instant::now())?;
    }
    Ok(())
}

/// Stops who floods, and lets go on.
fn pause(
    pause: &mut Option<Pause>,
    capture: &Capture,
    came: &[Captured],
    (now, last): (ClockPair, bool),
) -> Vec<Tracked> {
    let Some(pause) = pause else { return Vec::new() };
    let here = Instant::now();
    if last {
        return pause.end(now, here);
    }
    pause.step(capture.waiting(), came, (now, here))
}

/// Takes what came; what was tried with the recorder itself is no session's act.
fn drain(capture: &mut Capture, watch: &mut Watch, captured: &mut Vec<Captured>, last: bool) -> usize {
    let taken = capture.drain(captured, last);
    watch.pick(captured);
    taken
}

/// What was tried with the recorder itself.
fn watched(
    Settings { watch, gauge, .. }: &mut Settings,
    capture: &mut Capture,
    tracker: &Tracker,
    at: BootNanos,
    last: bool,
) -> Vec<Record> {
    let mut out = watch.first(|mark| tracker.id_of(mark));
    if let Some((until, gone)) = gauge.told().and_then(|until| Some((until, watch.is_on_disk(until)?))) {
        capture.attempts_told(until);
        capture.forget_attempts(|by| gone.contains(&by));
    }
    let now = Instant::now();
    if watch.is_due(now, last) {
        let counts = capture.attempts();
        out.extend(watch.repeated(at, now, counts, |mark| tracker.id_of(mark), process::is_alive));
    }
    out
}

/// The log's records are all there: what the next start has to know of them.
fn remember(desk: Option<&mut Desk>, control: &mut Vec<Record>, (now, last): (BootNanos, bool)) {
    let record = desk.and_then(|desk| desk.remember(control, now, last));
    control.extend(record);
}

/// Takes secrets out first: an option may stand in one record and what it names in the next.
fn for_the_writer(redactor: &Redactor, tracked: &mut Vec<Tracked>) {
    redactor.pass(tracked);
    arguments::split(tracked);
}

/// Whether the storage hangs, which is logged once.
fn hangs(already: bool, state: State) -> bool {
    let now = state == State::Hanging;
    if now && !already {
        tracing::error!(
            MESSAGE_ID = alarm::JOURNAL_HANGS,
            "the journal hangs: a write does not come back; records wait in memory"
        );
    }
    now
}

/// Knows what is left of the sessions of an earlier run.
fn tracker_of(seeded: &Seeded) -> Tracker {
    let mut tracker = Tracker::default();
    for (mark, lived) in &seeded.lived {
        tracker.lived(*mark, lived);
    }
    tracker
}

/// What the kernel side counts of these sessions and nobody told it of; all of it for those that end.
fn count(
    capture: &Capture,
    tracker: &mut Tracker,
    (asked_of, ending): (&[Mark], &[Mark]),
    now: BootNanos,
    out: &mut Vec<Tracked>,
) {
    for (mark, used) in capture.capabilities(asked_of) {
        tracker.counted(mark, used, ending.contains(&mark), now, out);
    }
    for (mark, folded) in capture.folded(asked_of) {
        tracker.folded(mark, folded, ending.contains(&mark), now, out);
    }
    for (mark, sent) in capture.sent(asked_of) {
        tracker.sent(mark, sent, now, out);
    }
    for (mark, streamed) in capture.streamed(asked_of) {
        tracker.streamed(mark, streamed, now, out);
    }
}

/// Ends what is gone although its end was not seen.
fn reconcile(tracker: &mut Tracker, now: BootNanos) {
    for (mark, task) in tracker.believed_alive() {
        if !process::is_alive(task) {
            tracker.gone(mark, task, now);
        }
    }
}
