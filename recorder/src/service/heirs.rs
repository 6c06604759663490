//! The guard from one process of the recorder to the next: its links are left with systemd, so that they hold while nobody is there, and
//! the next process lets them go when its own guard knows the journal (docs/guard.md, Restart).
//!
//! Links only where it refuses: one that tells has nobody to tell meanwhile. Its counts in any case: they say who ended it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use super::guard;
use crate::{
    capture::{Bequest, Capture, GuardMode},
    config::Config,
    model::{Guard, Mark},
    sys::{bpf, clock, notify},
};

const NAME: &str = "guard-";
/// So long the programs of before may take to be let go; each waits for all processors.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// What came of taking over.
#[derive(Default)]
pub(super) struct Taken {
    /// This guard is left with systemd already.
    pub(super) is_kept: bool,
    /// What the guard of before counted, up to its end.
    pub(super) attempts: Vec<(Guard, Mark)>,
}

/// What the process before left.
pub(super) struct Heirs {
    before: Vec<(String, OwnedFd)>,
}

impl Heirs {
    /// Takes over what systemd kept. Once, at the start.
    pub(super) fn take() -> Self {
        let before = notify::stored().into_iter().filter(|(name, _)| name.starts_with(NAME)).collect();
        Self { before }
    }

    /// The guard of before goes as soon as this one knows what is to be guarded, is kept as well, and before the journal is opened, which
    /// the old one would refuse.
    pub(super) fn succeed(self, config: &Config, capture: &mut Capture) -> Taken {
        let names: BTreeSet<String> = self.before.iter().map(|(name, _)| name.clone()).collect();
        let mut links = Vec::new();
        let mut counts = None;
        let mut rest = Vec::new();
        for (_, fd) in self.before {
            if number(&fd, "map_id:").is_some() {
                counts = Some(fd);
            } else {
                links.extend(number(&fd, "link_id:"));
                rest.push(fd);
            }
        }
        let is_kept = !links.is_empty() && {
            let places = guard::places(config);
            // A journal that is yet to be made is guarded as soon as it is there.
            places.journal.iter().all(|dir| dir.is_dir()) && guard::is_there(config, capture) && {
                capture.guard(&places);
                leave(config, capture)
            }
        };
        for name in names {
            notify::forget(&name);
        }
        drop(rest);
        if !links.is_empty() {
            wait(&links);
        }
        // Nothing is added any more.
        Taken { is_kept, attempts: counts.map(read).unwrap_or_default() }
    }
}

fn read(counts: OwnedFd) -> Vec<(Guard, Mark)> {
    let read = Bequest::of(counts).map(|bequest| bequest.counts());
    let read = read.inspect_err(
        |error| tracing::error!(%error, "what was tried while no recorder was there is not known"),
    );
    read.unwrap_or_default()
}

/// Until the kernel has none of these any more: systemd closes them one by one and behind its own back.
fn wait(links: &[u32]) {
    let end = Instant::now() + PATIENCE;
    while links.iter().any(|link| bpf::open_link(*link).is_ok()) {
        if Instant::now() >= end {
            let left: Vec<_> = links.iter().filter(|link| bpf::open_link(**link).is_ok()).collect();
            tracing::error!(
                "somebody holds the guard of the process before, links {left:?}: it refuses this one its journal"
            );
            return;
        }
        thread::sleep(LOOK);
    }
    tracing::info!(links = links.len(), "the guard was taken over");
}

/// What the kernel says of a descriptor of a link.
fn number(fd: &OwnedFd, what: &str) -> Option<u32> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    told.lines().find_map(|line| line.strip_prefix(what)?.trim().parse().ok())
}

/// Leaves with systemd, for the time between the end of this process and the next, what the guard counts, and one that refuses itself. True
/// if it was sent there.
pub(super) fn leave(config: &Config, capture: &Capture) -> bool {
    let mode = guard::mode(config);
    if mode == GuardMode::Off {
        return false;
    }
    let counts = capture.counts_of_attempts();
    let counts =
        counts.inspect_err(|error| tracing::error!(%error, "what ends this process may not be on record"));
    let mut kept: Vec<OwnedFd> = counts.ok().into_iter().collect();
    let refuses = mode == GuardMode::Enforce && guard::is_there(config, capture);
    if refuses {
        kept.extend(capture.guard_links().into_iter().filter_map(|link| bpf::open_link(link).ok()));
        // Mounts in this namespace are refused, and its number must not become that of the next one.
        kept.extend(File::open("/proc/self/ns/mnt").map(OwnedFd::from));
    }
    let kept: Vec<_> = kept.iter().map(OwnedFd::as_fd).collect();
    // Process numbers come again.
    let name = format!("{NAME}{}-{}", std::process::id(), clock::boot().get());
    let sent = notify::store(&name, &kept);
    match &sent {
        Ok(false) if refuses => tracing::info!("nobody keeps the guard while the recorder is not there"),
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "nobody keeps the guard while the recorder is not there"),
    }
    sent.unwrap_or(false)
}
