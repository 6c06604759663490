//! Work that is handed over, in the daemon: what the rules of `session` need of this host's files and of the kernel side.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    capture::{Backend, Capture, Standing},
    model::{Act, BootNanos, Bytes, Captured, Confidence, Dropped, Handed, KernelEvent, Mark, Task, Trigger},
    session::{Container, Files, Handover, Tracked},
    sys::{clock, process},
};

/// Longest table of cron that is read.
const LONGEST: u64 = 1 << 20;
/// So many marks of nobody's are forgotten at once.
const MOST_NOBODYS: usize = 256;
/// Where cron's tables lie.
const TABLES: [&str; 4] =
    ["/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"];
/// Where systemd looks for units, the strongest first (systemd.unit(5)).
const UNITS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Where docker writes down what containers there are, unless it is told another place.
const CONTAINERS: &str = "/var/lib/docker/containers";

/// This host's files.
struct Host;

impl Files for Host {
    fn read(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        // A pipe or a device in its place would hold the daemon up.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return None;
        }
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        Some(text)
    }

    fn alias(&self, unit: &str) -> Option<String> {
        let link = UNITS.iter().find_map(|dir| fs::read_link(Path::new(dir).join(unit)).ok())?;
        let name = link.file_name()?.to_os_string().into_vec();
        String::from_utf8(name).ok().filter(|name| name != unit)
    }

    fn container(&self, id: &str) -> Option<Container> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Written {
            name: String,
            created: String,
        }
        // It is an id: no path leads out of there by it.
        let text = self.read(format!("{CONTAINERS}/{id}/config.v2.json").as_bytes())?;
        let written: Written = serde_json::from_slice(&text).ok()?;
        let now = clock::pair();
        let made: Timestamp = written.created.parse().ok()?;
        let made = u128::try_from(made.as_nanosecond()).ok()?;
        let age = u128::from(now.real.get()).saturating_sub(made);
        Some(Container {
            name: written.name.trim_start_matches('/').to_owned(),
            made: BootNanos::new(now.boot.get().saturating_sub(u64::try_from(age).unwrap_or(u64::MAX))),
        })
    }
}

/// Servers of terminals that may be older than every session. Whatever else gets hold of a terminal is told and not followed: below a
/// bus or a manager everybody's work is found.
const SERVERS: [&[u8]; 6] = [b"tmux", b"screen", b"zellij", b"dtach", b"abduco", b"tmate"];

/// A session sits down at a server that is nobody's: what runs in it is his work from here on.
fn adopted(item: &Captured, capture: &Capture) -> Option<Vec<Captured>> {
    let Captured::Event(event) = item else { return None };
    let Act::Shared(shared) = &event.act else { return None };
    let server = process::read(shared.server)?;
    // With a login uid it is a person's, whose own elevations open sessions of his.
    if event.mark == Mark::default()
        || server.loginuid != u32::MAX
        || !SERVERS.contains(&server.program.as_slice())
    {
        return None;
    }
    let (mark, tasks) = capture.adopt(server.id.pid)?;
    let handed = Handed {
        from: Some(event.mark),
        trigger: Trigger::Terminal,
        confidence: Confidence::Certain,
        to: Bytes::new(server.program),
        what: Bytes::from("a server of terminals that is older"),
        evidence: shared.terminal.clone(),
    };
    let of = |act| {
        let task = Task { id: server.id, tid: server.id.pid, ppid: server.ppid, ..Task::clone(&event.task) };
        let event = KernelEvent { mark, task: Arc::new(task), act, ..(**event).clone() };
        Captured::Event(Box::new(event))
    };
    let known = tasks.into_iter().map(|task| of(Act::Fork(task)));
    Some(std::iter::once(of(Act::Handed(Box::new(handed)))).chain(known).collect())
}

/// What the pump does between the kernel side and the tracker.
pub(super) struct Handing {
    rules: Handover,
    let_go: Vec<Dropped>,
    /// Whose work something is was known late.
    late: Vec<Captured>,
    /// Marks that were let go and may have left something in the maps.
    nobodys: Vec<Mark>,
    /// Until when managers and engines are looked at.
    standing: [Option<BootNanos>; 2],
}

impl Handing {
    /// Knows the tables as they stand, and lets the kernel side look.
    pub(super) fn start(capture: &mut Capture, records_jobs: bool) -> Self {
        let mut rules = Handover::new(records_jobs);
        if capture.backend() == Backend::Trampoline {
            rules = rules.by_inode();
        }
        let mut tables = vec![PathBuf::from("/etc/crontab")];
        for dir in TABLES {
            tables
                .extend(fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())));
        }
        for table in tables {
            let path = table.as_os_str().as_bytes();
            if let Some(text) = Host.read(path) {
                rules.known_table(path, &text);
            }
        }
        if let Err(error) = capture.look_at_managers() {
            tracing::error!(%error, "what is handed to managers is not seen");
        }
        Self { rules, let_go: Vec::new(), late: Vec::new(), nobodys: Vec::new(), standing: [None; 2] }
    }

    /// Gives on what belongs to sessions.
    pub(super) fn pass(&mut self, captured: &mut Vec<Captured>, capture: &Capture) -> Vec<Captured> {
        let mut out = std::mem::take(&mut self.late);
        out.reserve(captured.len());
        for item in captured.drain(..) {
            let from = out.len();
            self.rules.step(item, &Host, &mut out, &mut self.let_go);
            let come = out.iter().skip(from).find_map(|item| adopted(item, capture));
            out.extend(come.into_iter().flatten());
        }
        out
    }

    /// What is due now: terminals and connections of sessions that are over are forgotten, the kernel side forgets what was nobody's,
    /// and goes on looking where something may start by itself.
    pub(super) fn tend(&mut self, now: BootNanos, tracked: &[Tracked], capture: &mut Capture) {
        let mut over = Vec::new();
        for item in tracked {
            if let Tracked::Closed { mark, .. } = item {
                over.push(*mark);
                self.rules.closed(*mark);
            }
        }
        self.rules.tick(now, &Host, &mut self.late, &mut self.let_go);
        for dropped in self.let_go.drain(..) {
            capture.let_go(&dropped);
            self.nobodys.push(dropped.mark);
        }
        // What was nobody's left counts behind too; a look at all of them costs, so they go with others.
        if !over.is_empty() || self.nobodys.len() >= MOST_NOBODYS {
            over.append(&mut self.nobodys);
        }
        capture.forget(&over);
        if let Err(error) = capture.scripts(&self.rules.scripts()) {
            tracing::error!(%error, "scripts that sessions wrote are not seen");
        }
        let standing = [self.rules.standing_until(now), self.rules.engines_until(now)];
        for ((manager, until), old) in
            [Standing::System, Standing::Engines].into_iter().zip(standing).zip(self.standing)
        {
            if let Some(until) = until.filter(|until| Some(*until) != old)
                && let Err(error) = capture.keep_looking(manager, until)
            {
                tracing::error!(%error, "what starts by itself is not seen");
            }
        }
        self.standing = standing;
    }
}
