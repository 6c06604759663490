//! The file's shape.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) journal: Journal,
    pub(super) encryption: Encryption,
    pub(super) scope: Scope,
    pub(super) capture: Capture,
    pub(super) grants: Grants,
    pub(super) control: Control,
    pub(super) notices: Notices,
    pub(super) anchor: super::anchor::Keys,
    pub(super) retention: Retention,
    pub(super) content: super::content::Keys,
    pub(super) redaction: super::redaction::Keys,
    pub(super) metrics: super::metrics::Keys,
    pub(super) guard: super::guard::Keys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Journal {
    pub(super) dir: Option<PathBuf>,
    pub(super) spare_dir: Option<PathBuf>,
    pub(super) segment: Option<String>,
    pub(super) segment_age: Option<String>,
    pub(super) reserve: Option<String>,
    pub(super) on_storage_failure: StorageKey,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Encryption {
    pub(super) mode: Option<String>,
    pub(super) recipients: Vec<String>,
    pub(super) recipients_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scope {
    pub(super) record: ScopeKey,
    pub(super) jobs: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Capture {
    pub(super) backend: BackendKey,
    pub(super) tty_input: InputKey,
    pub(super) critical_ring: Option<String>,
    pub(super) bulk_ring: Option<String>,
    pub(super) terminal_burst: Option<String>,
    pub(super) terminal_rate: Option<String>,
    pub(super) arguments: Option<String>,
    pub(super) flood: FloodKey,
    pub(super) kernel_log: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Grants {
    pub(super) dir: Option<PathBuf>,
    pub(super) policy: Option<PathBuf>,
    pub(super) allowed_signers: Option<PathBuf>,
    pub(super) enforcement: EnforcementKey,
    pub(super) grace: Option<String>,
    pub(super) fail_closed: bool,
    pub(super) exempt: Option<Vec<String>>,
    pub(super) memory: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Control {
    pub(super) socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notices {
    pub(super) at_elevation: Option<bool>,
    pub(super) before_end: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub(super) holds: Option<PathBuf>,
}

/// `scope.record`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeKey {
    /// Elevated sessions.
    #[default]
    Elevated,
    /// All sessions of somebody who holds a grant.
    Granted,
    /// Every login.
    AllLogins,
}

/// `journal.on_storage_failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKey {
    /// What finds no place is counted, and the count is recorded when storage is back.
    #[default]
    ContinueWithLoss,
    /// Recorded sessions are ended besides.
    EndSessions,
}

/// `capture.flood`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FloodKey {
    /// What finds no room is lost, counted and declared; nobody is held up.
    #[default]
    Lose,
    /// Sessions that fill the ring are stopped for moments.
    Pause,
}

/// `capture.backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKey {
    /// The best that answers.
    #[default]
    Auto,
    /// fentry and fexit (`fentry` and `lsm` are older names for it).
    #[serde(alias = "fentry", alias = "lsm")]
    Trampoline,
    /// System call tracepoints.
    Tracepoint,
}

/// `capture.tty_input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKey {
    /// Counts only.
    Off,
    /// Bytes while the terminal echoes lines.
    #[default]
    Redacted,
    /// Everything.
    Full,
}

/// `grants.enforcement`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcementKey {
    /// Record only.
    #[default]
    Observe,
    /// Tell the person.
    Warn,
    /// Refuse.
    Enforce,
}

fn split(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(at)?;
    Some((number.parse().ok()?, unit))
}

/// `"64MiB"` in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (n, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    n.checked_mul(factor)
}

/// `"15m"` as a duration.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (n, unit) = split(text)?;
    let factor: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    n.checked_mul(factor).map(Duration::from_secs)
}
