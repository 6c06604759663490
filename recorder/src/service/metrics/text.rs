//! Prometheus's text format (version 0.0.4).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{CLASSES, Meter, Tally};
use crate::{
    model::{Coverage, RealNanos},
    service::{
        anchor::Anchors,
        board::{Board, Snapshot},
        standing::{Gauge, State},
    },
};

/// The journal's files are counted when one came, and so often for those that others remove.
const RECOUNT: Duration = Duration::from_mins(5);

/// One of the kernel's rings: its name, what it holds at most, and what waits in it.
pub(in crate::service) struct Ring {
    pub(in crate::service) name: &'static str,
    pub(in crate::service) room: u32,
    pub(in crate::service) waits: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Bytes and segments of the journal as they were last counted.
#[derive(Default)]
pub(in crate::service) struct Sizes(Mutex<Option<Counted>>);

struct Counted {
    when: Instant,
    /// The writer's count of files then.
    files: u64,
    sizes: (u64, u64),
}

impl Sizes {
    /// A journal of years has many files: nobody looks at all of them for each question.
    fn of(&self, dir: &Path, files: u64, now: Instant) -> (u64, u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = &*last
            && counted.files == files
            && now.saturating_duration_since(counted.when) < RECOUNT
        {
            return counted.sizes;
        }
        last.insert(Counted { when: now, files, sizes: size(dir) }).sizes
    }
}

/// What the numbers are about, besides what was counted.
pub(in crate::service) struct Around {
    pub(in crate::service) meter: Meter,
    pub(in crate::service) board: Board,
    pub(in crate::service) gauge: Gauge,
    pub(in crate::service) anchors: Anchors,
    pub(in crate::service) journal_dir: PathBuf,
    pub(in crate::service) sizes: Sizes,
    pub(in crate::service) rings: Vec<Ring>,
    pub(in crate::service) backend: &'static str,
    pub(in crate::service) hooks: usize,
    pub(in crate::service) since: RealNanos,
}

/// Families under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP recorder_{name} {help}\n# TYPE recorder_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "recorder_{name}");
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if n == 0 { "{" } else { "," }, escaped(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Around {
    /// Everything, as it is now. May look at the journal's directory: not for a thread that somebody waits for.
    pub(super) fn page(&self, now: Instant) -> String {
        let (tally, sealed) = self.meter.read();
        let snapshot = self.board.borrow().clone();
        let mut page = Page::default();
        let version = env!("CARGO_PKG_VERSION");
        page.family("build_info", "gauge", "What runs.");
        page.sample("build_info", &[("version", version), ("backend", self.backend)], 1);
        page.one("start_time_seconds", "gauge", "When it started, Unix time.", seconds(self.since.get()));
        self.capture(&mut page, &tally, &snapshot);
        sessions(&mut page, &tally, &snapshot);
        self.journal(&mut page, &tally, now);
        // Before the first there is no age: 0 would look sound.
        if let Some(at) = sealed {
            page.one(
                "seal_age_seconds",
                "gauge",
                "Since everything that was recorded was sealed and durable; not there before the first seal.",
                now.saturating_duration_since(at).as_secs_f64(),
            );
        }
        let told = self.anchors.told();
        page.one(
            "checkpoint_failures_total",
            "counter",
            "Checkpoints that somebody did not take.",
            told.failed,
        );
        page.one(
            "checkpoint_faults",
            "gauge",
            "Who does not take checkpoints at present.",
            told.faults.len(),
        );
        if let Some((_, time)) = told.last {
            page.one(
                "checkpoint_time_seconds",
                "gauge",
                "When the last checkpoint left, Unix time.",
                seconds(time.get()),
            );
        }
        page.0
    }

    fn capture(&self, page: &mut Page, tally: &Tally, snapshot: &Snapshot) {
        let beat = &tally.beat;
        page.one(
            "kernel_events_total",
            "counter",
            "Events taken over from the kernel, by the last heartbeat.",
            beat.events,
        );
        page.one(
            "kernel_events_lost_total",
            "counter",
            "Events that the kernel side lost, by the last heartbeat.",
            beat.lost,
        );
        page.family("lost_total", "counter", "What is missing and declared in the journal.");
        for ((stage, class, reason), count) in &tally.losses {
            page.sample("lost_total", &[("stage", stage), ("class", class), ("reason", reason)], count);
        }
        if !self.rings.is_empty() {
            page.family("ring_bytes", "gauge", "What waits in the kernel's rings for the recorder.");
            for ring in &self.rings {
                page.sample("ring_bytes", &[("ring", ring.name)], (ring.waits)());
            }
            page.family(
                "ring_capacity_bytes",
                "gauge",
                "What they hold; when one is full its events are lost and counted.",
            );
            for ring in &self.rings {
                page.sample("ring_capacity_bytes", &[("ring", ring.name)], ring.room);
            }
        }
        page.one("hooks", "gauge", "Hooks whose canaries are awaited.", self.hooks);
        page.one(
            "hooks_silent",
            "gauge",
            "Hooks that do not see, and links that are gone.",
            snapshot.silent.len(),
        );
        page.one("canaries_sent_total", "counter", "Canaries that were let out.", beat.canaries);
        page.one(
            "canaries_missed_total",
            "counter",
            "Canaries that did not come back.",
            beat.canaries_missed,
        );
    }

    fn journal(&self, page: &mut Page, tally: &Tally, now: Instant) {
        page.family("records_total", "counter", "Records that were written, by what they are about.");
        for (class, count) in CLASSES.iter().zip(tally.records) {
            page.sample("records_total", &[("class", class)], count);
        }
        page.one("commits_total", "counter", "Durable writes, each under a seal.", tally.commits);
        page.one("commit_failures_total", "counter", "Writes that failed.", tally.failures);
        page.one(
            "segment_restarts_total",
            "counter",
            "Times that the chain went on in a fresh segment, because storage failed.",
            tally.restarts,
        );
        page.one(
            "seal_lag_seconds_total",
            "counter",
            "From the first record that waited to the seal over it, summed up over commits.",
            tally.lag.as_secs_f64(),
        );
        page.one(
            "seal_lag_max_seconds",
            "gauge",
            "The longest of these since the start.",
            tally.longest.as_secs_f64(),
        );
        page.family("storage_state", "gauge", "1 for how the journal's storage is doing.");
        let state_now = self.gauge.look(Instant::now()).state;
        for state in [State::Sound, State::Reserve, State::Failing, State::Hanging] {
            page.sample("storage_state", &[("state", state.word())], u8::from(state == state_now));
        }
        // A disk that hangs would hold the answer up.
        if state_now != State::Hanging {
            let (bytes, segments) = self.sizes.of(&self.journal_dir, tally.files, now);
            page.one("journal_bytes", "gauge", "Bytes that the journal takes on disk.", bytes);
            page.one("journal_segments", "gauge", "Its segments.", segments);
            let free =
                rustix::fs::statvfs(&self.journal_dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
            page.one("journal_free_bytes", "gauge", "Free bytes of its file system.", free);
        }
        page.one(
            "config_reloads_total",
            "counter",
            "Configurations that were read again and taken.",
            tally.reloads,
        );
        page.one(
            "config_reloads_refused_total",
            "counter",
            "Configurations that were read again and refused.",
            tally.reloads_refused,
        );
    }
}

fn sessions(page: &mut Page, tally: &Tally, snapshot: &Snapshot) {
    page.one("sessions_total", "counter", "Sessions that began.", tally.sessions);
    let mut open =
        BTreeMap::from([("break_glass", 0u64), ("covered", 0), ("uncovered", 0), ("unwatched", 0)]);
    for session in snapshot.sessions.values() {
        let state = match session.coverage.as_ref().map(|change| change.coverage) {
            None => "unwatched",
            Some(coverage) => Coverage::name(coverage),
        };
        if let Some(count) = open.get_mut(state) {
            *count += 1;
        }
    }
    page.family(
        "sessions_open",
        "gauge",
        "Sessions that are not over, by the last word about what allows them.",
    );
    for (state, count) in open {
        page.sample("sessions_open", &[("coverage", state)], count);
    }
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000_000)
}

/// Bytes on disk, and segments, of all logs below.
fn size(dir: &Path) -> (u64, u64) {
    let (mut bytes, mut segments) = (0u64, 0u64);
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    for log in below(dir) {
        for file in below(&log.path()) {
            let Ok(meta) = file.metadata() else { continue };
            bytes = bytes.saturating_add(std::os::unix::fs::MetadataExt::blocks(&meta).saturating_mul(512));
            segments += u64::from(file.path().extension().is_some_and(|e| e == "rj"));
        }
    }
    (bytes, segments)
}
