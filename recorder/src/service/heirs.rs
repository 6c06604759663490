//! The guard from one process of the recorder to the next: its links are left with systemd, so that they hold while nobody is there, and
//! the next process lets them go when its own guard knows the journal (docs/guard.md, Restart).
//!
//! Only where it refuses: one that tells has nobody to tell meanwhile.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use super::guard;
use crate::{
    capture::{Capture, GuardMode},
    config::Config,
    sys::{bpf, clock, notify},
};

const NAME: &str = "guard-";
/// So long the programs of before may take to be let go; each waits for all processors.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

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
    /// the old one would refuse. True if this one is kept.
    pub(super) fn succeed(self, config: &Config, capture: &mut Capture) -> bool {
        if self.before.is_empty() {
            return false;
        }
        let places = guard::places(config);
        // A journal that is yet to be made is guarded as soon as it is there.
        let is_kept = places.journal.iter().all(|dir| dir.is_dir()) && guard::is_there(config, capture) && {
            capture.guard(&places);
            leave(config, capture)
        };
        let links: Vec<u32> = self.before.iter().filter_map(|(_, fd)| link_of(fd)).collect();
        let names: BTreeSet<&str> = self.before.iter().map(|(name, _)| name.as_str()).collect();
        for name in names {
            notify::forget(name);
        }
        drop(self.before);
        // systemd closes them one by one and behind its own back.
        let end = Instant::now() + PATIENCE;
        while links.iter().any(|link| bpf::open_link(*link).is_ok()) {
            if Instant::now() >= end {
                let left: Vec<_> = links.iter().filter(|link| bpf::open_link(**link).is_ok()).collect();
                tracing::error!(
                    "somebody holds the guard of the process before, links {left:?}: it refuses this one its journal"
                );
                return is_kept;
            }
            thread::sleep(LOOK);
        }
        tracing::info!(links = links.len(), "the guard was taken over");
        is_kept
    }
}

fn link_of(fd: &OwnedFd) -> Option<u32> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    told.lines().find_map(|line| line.strip_prefix("link_id:")?.trim().parse().ok())
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
    // Process numbers come again.
    let name = format!("{NAME}{}-{}", std::process::id(), clock::boot().get());
    let sent = notify::store(&name, &kept);
    match &sent {
        Ok(true) => {}
        Ok(false) => tracing::info!("nobody keeps the guard while the recorder is not there"),
        Err(error) => tracing::error!(%error, "nobody keeps the guard while the recorder is not there"),
    }
    sent.unwrap_or(false)
}
