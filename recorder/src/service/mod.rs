//! The daemon: wires capture, tracking and journal together, and nothing more.
//!
//! Two threads beside the one that waits for signals and answers at the control socket: one drains the kernel and tracks,
//! one writes. Between them a bounded channel:
//! when the disk is slow the channel fills, then the rings, and what no longer fits is counted by the kernel side. When it
//! fails the writer takes everything, keeps what fits into memory and counts the rest. When it hangs the first does that.

mod alarm;
mod anchor;
mod arguments;
mod beat;
mod board;
mod books;
mod boot;
mod canaries;
mod clocks;
mod content;
mod control;
mod credentials;
mod ending;
mod grants;
mod guard;
mod handover;
mod heirs;
mod held;
mod herald;
mod host;
mod kept;
mod living;
mod metrics;
mod outbox;
mod pause;
mod pulse;
mod pump;
mod redaction;
mod reload;
mod retention;
mod sealing;
mod standing;
mod strain;
mod sweep;
mod terminal;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc,
    },
    time::Duration,
};

pub use self::control::SocketError;
use self::{
    anchor::{Anchors, Hands},
    beat::{Beat, Listener},
    control::Control,
    credentials::Credentials,
    ending::Ending,
    grants::{Desk, Enforcer},
    heirs::{Heirs, Taken},
    kept::Kept,
    living::Living,
    metrics::{Around, Meter, Offer, Ring, Sizes},
    pause::Pause,
    redaction::Redactor,
    reload::Reload,
    retention::Retention,
    standing::Gauge,
};
use crate::{
    capture::{Backend, BackendChoice, Capture, CaptureConfig, InputMode, LoadError, Marks},
    config::{BackendKey, Config, EnforcementKey, InputKey, ScopeKey},
    journal::{
        Encryption, JournalError, OsEntropy, RealDisk, Writer, WriterConfig,
        checkpoint::Head,
        recipients::{MAX_RECIPIENTS, RecipientError},
    },
    model::Bytes,
    session::Allowance,
    sys::{bell::Bell, clock, notify, process, secret},
};

/// Batches between the threads.
const QUEUE: usize = 64;

/// Why the service could not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The kernel side.
    #[error(transparent)]
    Capture(#[from] LoadError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// A recipient is none.
    #[error("encryption.recipients: number {no}: {source}")]
    Recipient {
        /// Which, from 1.
        no: usize,
        /// Why.
        source: RecipientError,
    },
    /// There are too many.
    #[error("encryption.recipients: at most {MAX_RECIPIENTS}")]
    TooManyRecipients,
    /// Something of this host could not be read or started.
    #[error("{what}: {source}")]
    Host {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// What the journal remembers of grants can't be read.
    #[error("the grants in the journal: {0}")]
    Grants(String),
    /// Grants can't be enforced.
    #[error("who may elevate could not be told to the kernel: {0}")]
    Gates(String),
    /// A rule of redaction is none.
    #[error("redaction: {source}")]
    Redaction {
        /// What is wrong.
        source: regex::Error,
    },
    /// A witness's key is none.
    #[error("anchor.witness {url}: {source}")]
    Witness {
        /// Where it is asked.
        url: String,
        /// What is wrong.
        source: crate::journal::note::NoteError,
    },
    /// A thread ended by a fault of ours.
    #[error("the {0} thread failed")]
    Thread(&'static str),
}

fn host_error(what: &'static str) -> impl FnOnce(std::io::Error) -> ServiceError {
    move |source| ServiceError::Host { what, source }
}

/// Asks the threads to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopFlag(Arc<(AtomicBool, AtomicU8)>);

impl StopFlag {
    fn raise(&self, signal: u8) {
        self.0.1.store(signal, Ordering::Relaxed);
        self.0.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    pub(crate) fn signal(&self) -> u8 {
        self.0.1.load(Ordering::Relaxed)
    }
}

/// What the caller shows while the service runs.
pub trait Observer {
    /// The host got its identity on this run; the note has to be kept elsewhere.
    fn enrolled(&mut self, log: &str, note: &str);
    /// A fact worth a line.
    fn say(&mut self, line: &str);
    /// Every hook has answered and the boot record is on disk.
    fn ready(&mut self);
}

/// Runs until SIGTERM or SIGINT; then everything is drained, sealed and stopped.
pub fn run(config: &Config, observer: &mut dyn Observer) -> Result<(), ServiceError> {
    pause::relent_all(config);
    record(config, observer)
}

fn record(config: &Config, observer: &mut dyn Observer) -> Result<(), ServiceError> {
    // Signals first: one that arrives during the start must still end in a STOP record.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(host_error("cannot start the runtime"))?;
    let stop = StopFlag::default();
    let mut signals = {
        let _guard = runtime.enter();
        Signals::install().map_err(host_error("cannot install signal handlers"))?
    };
    secret::refuse_dumps().map_err(host_error("cannot refuse core dumps"))?;
    let encryption = sealing::encryption(config)?;
    // A key that is none is told before anything is written.
    let hands = Hands::new(config).map_err(|(url, source)| ServiceError::Witness { url, source })?;
    let boot = process::boot_id().map_err(host_error("cannot read the boot id"))?;
    let (mut capture, taken) = capture(config, observer)?;
    // Before the journal is opened for writing: what it remembers is read as it lies there.
    let host = String::from_utf8_lossy(&boot::host_name()).into_owned();
    let mut kept = Kept::at(&config.grants.memory);
    let mut desk =
        Desk::open(config, &host, Enforcer::new(config, marks(&capture)?), (&mut kept, boot), clock::pair())
            .map_err(|e| ServiceError::Grants(e.to_string()))?;
    let anchors = Anchors::default();
    let gauge = Gauge::new(std::time::Instant::now());
    let offer = Offer::new(&config.metrics);
    let (backend, hooks) = (capture.backend().name(), capture.hooks().len());
    let (control, pump_end) = Control::open(
        config,
        marks(&capture)?,
        (capture.backend(), guard::is_there(config, &capture)),
        &host,
        desk.is_some(),
        (anchors.clone(), gauge.clone()),
        Bell::new().map_err(host_error("cannot make a bell"))?,
    )?;
    let (mut journal, opened) =
        Writer::open(writer_config(config, encryption.clone()), RealDisk, OsEntropy, boot, clock::pair())?;
    tell_opened(&opened, (config, &mut capture, taken.is_kept), observer);
    let (living, lived) = Living::and_before(&config.socket)?;
    let seeded = capture.seed(&lived);
    let record = boot::record(config, &capture, opened.previous_end, boot);
    journal.append(crate::model::StreamNo::LOG, record);
    journal.commit(clock::pair())?;
    let anchor = anchor_thread(config, hands, &anchors, (&opened, journal.head()))?;

    // Before anybody is told that this host is recorded: whoever has no grant is refused from the first moment.
    let first = desk.as_mut().map(|desk| desk.round(clock::pair(), Vec::new())).unwrap_or_default();
    if let Some(gates) = &first.gates {
        capture.set_gates(gates).map_err(|e| ServiceError::Gates(e.to_string()))?;
    }
    let ending = Ending::new(config, marks(&capture)?);
    let pause = Pause::new(config, marks(&capture)?);
    if pause.is_some() {
        capture.watch_floods().map_err(host_error("cannot map the ring's positions"))?;
    }
    let (to_writer, from_pump) = mpsc::sync_channel(QUEUE);
    let (to_bury, burials) = mpsc::sync_channel(1);
    control.retain(Retention::new(config, opened.log, to_bury));
    let (faults, writer_state) = mpsc::channel();
    let (rekey, recipients) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let mut reload = Reload::new(config, rekey, tell)?;
    let kept = encryption.is_on().then_some(kept);
    let meter = Meter::default();
    let around =
        around(config, &meter, &control, (&gauge, &anchors), (backend, hooks, rings(config, &capture)));
    let books = books::Books::new(journal, kept, std::time::Instant::now()).metered(meter);
    let (handed, turns) = (anchors.clone(), gauge.clone());
    let inlets =
        writer::Inlets { batches: from_pump, recipients, told, burials, anchors: handed, gauge: turns };
    let writer =
        writer::start(books, inlets, stop.clone(), faults).map_err(host_error("cannot start the writer"))?;
    let pump_stop = stop.clone();
    let beat = Beat::default();
    let mut listener = Listener::new(beat.clone(), gauge.clone(), std::time::Instant::now());
    let redactor = Redactor::new(config, encryption.is_on())?;
    let watch = guard::Watch::start(config, &capture, taken, &lived);
    let settings =
        pump_settings(config, first.control, (ending, pause, gauge, beat), (living, redactor, watch));
    let pump = std::thread::Builder::new()
        .name("pump".into())
        .spawn(move || pump::run(capture, seeded, desk, &pump_end, to_writer, &pump_stop, settings))
        .map_err(host_error("cannot start the pump"))?;

    observer.ready();
    notify::systemd("READY=1\nSTATUS=");
    let mut reload = || reload.go(observer);
    let signal = runtime.block_on(async {
        tokio::select! {
            signal = signals.wait(&writer_state, &mut listener, &mut reload) => signal,
            () = control.serve() => 0,
            () = offer.serve(around) => 0,
        }
    });
    notify::systemd("STOPPING=1");
    stop.raise(signal);
    control.end();
    runtime.shutdown_background();
    let pumped = pump.join();
    let written = writer.join();
    let written = written.map_err(|_| ServiceError::Thread("writer")).flatten();
    // What ended the log leaves the host as well, before this process is gone.
    anchors.end(written.as_ref().ok().copied());
    let handed = anchor.join();
    written?;
    handed.map_err(|_| ServiceError::Thread("anchor"))?;
    pumped.map_err(|_| ServiceError::Thread("pump"))
}

/// Who is recorded, for those who act on them.
fn marks(capture: &Capture) -> Result<Marks, ServiceError> {
    capture.marks().map_err(host_error("cannot read the marks of processes"))
}

/// What the numbers of the metrics are about.
fn around(
    config: &Config,
    meter: &Meter,
    control: &Control,
    (gauge, anchors): (&Gauge, &Anchors),
    (backend, hooks, rings): (&'static str, usize, Vec<Ring>),
) -> Around {
    Around {
        meter: meter.clone(),
        board: control.board(),
        gauge: gauge.clone(),
        anchors: anchors.clone(),
        journal_dir: config.journal_dir.clone(),
        sizes: Sizes::default(),
        rings,
        backend,
        hooks,
        since: clock::pair().real,
    }
}

/// How full the kernel's rings are, for whoever asks; nobody learns it where the kernel does not let us look.
fn rings(config: &Config, capture: &Capture) -> Vec<Ring> {
    let fills =
        capture.fills().inspect_err(|error| tracing::warn!(%error, "the rings' positions can't be mapped"));
    let named = [("critical", config.critical_ring), ("bulk", config.bulk_ring)];
    let rings = fills.into_iter().flatten().zip(named);
    rings.map(|(fill, (name, room))| Ring { name, room, waits: Box::new(move || fill.bytes()) }).collect()
}

/// Beside it what came of taking the guard of before over.
fn capture(config: &Config, observer: &mut dyn Observer) -> Result<(Capture, Taken), ServiceError> {
    let heirs = Heirs::take();
    let mut capture = Capture::start(&capture_config(config))?;
    tell_backend(&capture, observer);
    let taken = heirs.succeed(config, &mut capture);
    Ok((capture, taken))
}

fn tell_backend(capture: &Capture, observer: &mut dyn Observer) {
    if let Some(why) = capture.no_lsm() {
        observer.say(&format!("what is refused is ended by a signal, not by an error: {why}"));
    }
    if let Some(why) = capture.refused() {
        observer.say(&format!("backend {} ({why})", capture.backend().name()));
    }
}

/// The journal lies there: from here on it is guarded.
fn tell_opened(
    opened: &crate::journal::Opened,
    (config, capture, is_kept): (&Config, &mut Capture, bool),
    observer: &mut dyn Observer,
) {
    capture.guard(&guard::places(config));
    if !is_kept {
        heirs::leave(config, capture);
    }
    if let Some(why) = capture.no_guard() {
        observer.say(&format!("there is no guard: {why}"));
    }
    if opened.enrolled {
        observer.enrolled(&opened.log.to_string(), &opened.origin);
    }
    if let Some((old, why)) = &opened.abandoned {
        observer
            .say(&format!("log {old} can't be continued ({why:?}); a new one begins: verify the old one"));
    }
    if !opened.secrets_locked {
        tracing::warn!("seal secrets could not be locked into memory (RLIMIT_MEMLOCK)");
    }
}

fn pump_settings(
    config: &Config,
    first: Vec<crate::model::Record>,
    (ending, pause, gauge, beat): (Option<Ending>, Option<Pause>, Gauge, Beat),
    (living, redactor, watch): (Living, Redactor, guard::Watch),
) -> pump::Settings {
    let first = redactor.told(clock::boot()).into_iter().chain(first).collect();
    let (journal_dir, tell) = (config.journal_dir.clone(), config.notices.at_elevation);
    let terminal = Allowance { burst: config.terminal_burst, rate: config.terminal_rate };
    pump::Settings {
        journal_dir,
        tell,
        records_jobs: config.records_jobs,
        terminal,
        first,
        pause,
        ending,
        gauge,
        beat,
        living,
        content: content::settings(config),
        watch,
        redactor,
    }
}

/// Begins to hand checkpoints out. A log whose admission key is gone is recorded all the same.
fn anchor_thread(
    config: &Config,
    hands: Hands,
    anchors: &Anchors,
    (opened, head): (&crate::journal::Opened, Head),
) -> Result<std::thread::JoinHandle<()>, ServiceError> {
    let signer = Credentials::given().signer(config, opened);
    if signer.is_none() {
        tracing::error!(
            "there is no admission key: no checkpoint is signed, and no cut of this log can be proven"
        );
    }
    anchors.begin(signer, head);
    let anchors = anchors.clone();
    let thread = std::thread::Builder::new().name("anchor".into());
    thread.spawn(move || anchors.run(hands)).map_err(host_error("cannot start the anchor thread"))
}

/// SIGTERM and SIGINT, caught from before the first hook, and SIGHUP.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The signal that asked for the end; 0 if the writer ended by itself.
    async fn wait(
        &mut self,
        writer: &mpsc::Receiver<()>,
        pump: &mut Listener,
        reload: &mut dyn FnMut(),
    ) -> u8 {
        loop {
            tokio::select! {
                _ = self.term.recv() => return 15,
                _ = self.int.recv() => return 2,
                _ = self.hup.recv() => reload(),
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if !matches!(writer.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                        return 0;
                    }
                    if pump.is_alive(std::time::Instant::now()) {
                        notify::systemd("WATCHDOG=1");
                    }
                }
            }
        }
    }
}

/// What capture takes from the configuration.
pub fn capture_config(config: &Config) -> CaptureConfig {
    CaptureConfig {
        backend: match config.backend {
            BackendKey::Auto => BackendChoice::Auto,
            BackendKey::Trampoline => BackendChoice::Only(Backend::Trampoline),
            BackendKey::Tracepoint => BackendChoice::Only(Backend::Tracepoint),
        },
        tty_input: match config.tty_input {
            InputKey::Off => InputMode::Off,
            InputKey::Redacted => InputMode::Redacted,
            InputKey::Full => InputMode::Full,
        },
        all_logins: config.scope == ScopeKey::AllLogins,
        critical_ring: config.critical_ring,
        bulk_ring: config.bulk_ring,
        arguments: config.arguments,
        kernel_log: config.kernel_log,
        enforce: config.grants.enforcement == EnforcementKey::Enforce,
        guard: guard::mode(config),
    }
}

fn writer_config(config: &Config, encryption: Encryption) -> WriterConfig {
    WriterConfig {
        dir: config.journal_dir.clone(),
        spare_dir: config.spare_dir.clone(),
        segment_bytes: config.segment_bytes,
        segment_age: config.segment_age,
        reserve: config.reserve,
        encryption,
        host: Bytes::new(boot::host_name()),
    }
}
