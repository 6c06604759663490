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

/// Names in systemd's store: of links, and of counts.
const LINKS: &str = "guard-";
const COUNTS: &str = "counts-";
/// Counts of so many processes before are kept; whoever kills one after the other fills no store.
const MOST: usize = 8;
/// So long the programs of before may take to be let go; each waits for all processors.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// What came of taking over.
#[derive(Default)]
pub(super) struct Taken {
    /// This guard is left with systemd already.
    pub(super) is_kept: bool,
    /// What those before counted, up to their ends, and had not on disk.
    pub(super) attempts: Vec<(Guard, Mark)>,
    /// By which systemd knows these counts.
    pub(super) counts: Vec<String>,
}

/// What the processes before left.
pub(super) struct Heirs {
    links: Vec<(String, OwnedFd)>,
    counts: Vec<(String, OwnedFd)>,
}

impl Heirs {
    /// Takes over what systemd kept. Once, at the start.
    pub(super) fn take() -> Self {
        let (mut links, mut counts) = (Vec::new(), Vec::new());
        for (name, fd) in notify::stored() {
            if name.starts_with(LINKS) {
                links.push((name, fd));
            } else if name.starts_with(COUNTS) {
                counts.push((name, fd));
            }
        }
        // Names end with a time of this boot.
        counts.sort_by_key(|(name, _)| name.rsplit('-').next().and_then(|at| at.parse::<u64>().ok()));
        for (name, _) in counts.drain(..counts.len().saturating_sub(MOST)) {
            notify::forget(&name);
        }
        Self { links, counts }
    }

    /// The guard of before goes as soon as this one knows what is to be guarded, is kept as well, and before the journal is opened, which
    /// the old one would refuse.
    pub(super) fn succeed(self, config: &Config, capture: &mut Capture) -> Taken {
        // From now on it is counted who ends this process.
        leave_counts(config, capture);
        let is_kept = !self.links.is_empty() && replace(self.links, config, capture);
        // Nothing is added to them any more.
        let (names, counts): (Vec<_>, Vec<_>) = self.counts.into_iter().unzip();
        Taken { is_kept, attempts: counts.into_iter().flat_map(read).collect(), counts: names }
    }
}

/// True if this guard is left with systemd.
fn replace(before: Vec<(String, OwnedFd)>, config: &Config, capture: &mut Capture) -> bool {
    let places = guard::places(config);
    // A journal that is yet to be made is guarded as soon as it is there.
    let is_kept = places.journal.iter().all(|dir| dir.is_dir()) && guard::is_there(config, capture) && {
        capture.guard(&places);
        leave(config, capture)
    };
    let links: Vec<u32> = before.iter().filter_map(|(_, fd)| link_of(fd)).collect();
    let names: BTreeSet<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    for name in names {
        notify::forget(name);
    }
    drop(before);
    wait(&links);
    is_kept
}

/// What was counted is on disk: nobody needs it any more.
pub(super) fn forget(counts: &mut Vec<String>) {
    counts.drain(..).for_each(|name| notify::forget(&name));
}

fn read(counts: OwnedFd) -> Vec<(Guard, Mark)> {
    let read = Bequest::of(counts).map(|bequest| bequest.untold());
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

fn link_of(fd: &OwnedFd) -> Option<u32> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    told.lines().find_map(|line| line.strip_prefix("link_id:")?.trim().parse().ok())
}

/// Process numbers come again.
fn name(of: &str) -> String {
    format!("{of}{}-{}", std::process::id(), clock::boot().get())
}

/// Leaves what the guard counts with systemd.
fn leave_counts(config: &Config, capture: &Capture) {
    if guard::mode(config) == GuardMode::Off {
        return;
    }
    let left =
        capture.counts_of_attempts().and_then(|counts| notify::store(&name(COUNTS), &[counts.as_fd()]));
    if let Err(error) = left {
        tracing::error!(%error, "who ends this process may not be on record");
    }
}

/// Leaves this guard with systemd, for the time between the end of this process and the next. True if it was sent there.
pub(super) fn leave(config: &Config, capture: &Capture) -> bool {
    if guard::mode(config) != GuardMode::Enforce || !guard::is_there(config, capture) {
        return false;
    }
    let mut kept: Vec<OwnedFd> =
        capture.guard_links().into_iter().filter_map(|link| bpf::open_link(link).ok()).collect();
    // Mounts in this namespace are refused, and its number must not become that of the next one.
    kept.extend(File::open("/proc/self/ns/mnt").map(OwnedFd::from));
    let kept: Vec<_> = kept.iter().map(OwnedFd::as_fd).collect();
    let sent = notify::store(&name(LINKS), &kept);
    match &sent {
        Ok(true) => {}
        Ok(false) => tracing::info!("nobody keeps the guard while the recorder is not there"),
        Err(error) => tracing::error!(%error, "nobody keeps the guard while the recorder is not there"),
    }
    sent.unwrap_or(false)
}
