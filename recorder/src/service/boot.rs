//! The boot record: what this run stands on.

use std::fs;

use sha2::{Digest as _, Sha256};

use crate::{
    capture::{self, Capture},
    config::Config,
    model::{Body, Boot, BootId, Bytes, Digest, Flags, PreviousEnd, Record},
    sys::clock,
};

pub(super) fn host_name() -> Vec<u8> {
    fs::read("/proc/sys/kernel/hostname").map(|n| n.trim_ascii().to_vec()).unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// A file's hash; zeros if it can't be read.
fn file_sha256(path: &str) -> Digest {
    fs::read(path).map(|b| sha256(&b)).unwrap_or_default()
}

pub(super) fn record(
    config: &Config,
    capture: &Capture,
    previous_end: PreviousEnd,
    boot_id: BootId,
) -> Record {
    let support = capture::probe();
    let clock = clock::pair();
    let list = |items: &[&str]| items.iter().map(|s| Bytes::from(*s)).collect::<Vec<_>>();
    let mut blind = list(&capture.blind());
    blind.extend(super::guard::absence(config, capture).map(|text| Bytes::from(text.as_str())));
    Record {
        boot_ns: clock.boot,
        cpu: u16::MAX,
        flags: Flags::default(),
        task: None,
        body: Body::Boot(Box::new(Boot {
            boot_id,
            clock,
            host: Bytes::new(host_name()),
            kernel: Bytes::from(support.release.as_str()),
            cmdline_sha256: file_sha256("/proc/cmdline"),
            object_sha256: sha256(capture::OBJECT),
            recorder_sha256: file_sha256("/proc/self/exe"),
            config_sha256: sha256(config.text.as_bytes()),
            version: Bytes::from(env!("CARGO_PKG_VERSION")),
            backend: Bytes::from(capture.backend().name()),
            hooks: list(capture.hooks()),
            blind,
            lsm: support.lsm.iter().map(|s| Bytes::from(s.as_str())).collect(),
            lockdown: Bytes::from(support.lockdown.as_str()),
            previous_end,
        })),
    }
}
