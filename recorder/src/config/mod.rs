//! Configuration: a closed TOML schema, every key with a documented default (docs/cli.md, dist/recorder.toml).
//!
//! All faults are reported at once, with the key they lie in. What does not exist yet is refused by name rather than
//! ignored.

mod anchor;
mod content;
mod diff;
mod guard;
mod metrics;
mod redaction;
mod schema;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use anchor::{Anchor, Witness};
pub use content::{Content, SECRET};
pub use diff::{Difference, difference};
pub use guard::GuardKey;
pub use metrics::{Listen, Metrics};
pub use redaction::{Redaction, RulesKey, compile};
pub(crate) use schema::duration;
use schema::size;
pub use schema::{BackendKey, EnforcementKey, FloodKey, InputKey, ScopeKey, StorageKey};

/// Where the configuration lies unless it is named.
pub const DEFAULT_PATH: &str = "/etc/recorder/recorder.toml";
/// Where the journal lies unless the configuration says otherwise.
pub const DEFAULT_JOURNAL: &str = "/var/lib/recorder/journal";

/// Where signed grant documents are picked up unless the configuration says otherwise.
pub const DEFAULT_GRANTS: &str = "/etc/recorder/grants.d";
/// Who may approve what, likewise.
pub const DEFAULT_POLICY: &str = "/etc/recorder/policy.toml";
/// Whose key is whose, likewise.
pub const DEFAULT_SIGNERS: &str = "/etc/recorder/allowed_signers";
/// Where the daemon listens for `recorder status`, `grant add` and PAM, likewise (docs/control.md).
pub const DEFAULT_SOCKET: &str = "/run/recorder/control.sock";

/// Where the host keeps what it needs of grants, tokens and logins whose records only the recipients can read, likewise.
pub const DEFAULT_MEMORY: &str = "/var/lib/recorder/memory";
/// Where legal holds lie, likewise.
pub const DEFAULT_HOLDS: &str = "/etc/recorder/holds.d";

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the logs.
    pub journal_dir: PathBuf,
    /// Where the chain goes on if storage fails.
    pub spare_dir: Option<PathBuf>,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Age at which a segment is closed.
    pub segment_age: Duration,
    /// Who can read the journal, as they were named; empty: encryption was switched off by name.
    pub recipients: Vec<String>,
    /// Bytes of the emergency reserve.
    pub reserve: u64,
    /// What follows when storage fails for good.
    pub on_storage_failure: StorageKey,
    /// Which sessions are recorded.
    pub scope: ScopeKey,
    /// Jobs of cron and at that run as root are sessions, also when no session planted them.
    pub records_jobs: bool,
    /// Which backend.
    pub backend: BackendKey,
    /// What of typed input is kept.
    pub tty_input: InputKey,
    /// Bytes of the critical ring.
    pub critical_ring: u32,
    /// Bytes of the bulk ring.
    pub bulk_ring: u32,
    /// Bytes that the terminals of a session may show at once before they are folded.
    pub terminal_burst: u64,
    /// Bytes more each second.
    pub terminal_rate: u64,
    /// Bytes of a program's arguments that are kept.
    pub arguments: u64,
    /// What happens to sessions that fill the kernel's ring.
    pub flood: FloodKey,
    /// The kernel programs' debug log.
    pub kernel_log: bool,
    /// Where grants come from and who decides about them.
    pub grants: Grants,
    /// The control socket (docs/control.md).
    pub socket: PathBuf,
    /// What people are told on their terminals.
    pub notices: Notices,
    /// The file that it was read from; none for [`Config::least`].
    pub path: Option<PathBuf>,
    /// Where signed checkpoints are handed to.
    pub anchor: Anchor,
    /// What is kept of the content of programs and files.
    pub content: Content,
    /// Legal holds and their releases: what they keep is not deleted.
    pub holds: PathBuf,
    /// What is taken out of arguments before they are written.
    pub redaction: Redaction,
    /// Where numbers about the recorder itself can be read.
    pub metrics: Metrics,
    /// What follows from attempts on the recorder itself.
    pub guard: GuardKey,
    /// The text as read, for its hash.
    pub text: String,
}

/// Where grants come from and who decides about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Signed documents are picked up here.
    pub dir: PathBuf,
    /// Who may approve what, and which accounts are whose.
    pub policy: PathBuf,
    /// Whose key is whose, as `ssh-keygen -Y verify` reads it.
    pub allowed_signers: PathBuf,
    /// One of them is named in the configuration. Else grants are watched only if the default list of signers exists.
    pub named: bool,
    /// What follows from missing coverage.
    pub enforcement: EnforcementKey,
    /// Between the end of a grant and the end of what was started under it.
    pub grace: Duration,
    /// PAM and sudo refuse while no recorder answers.
    pub fail_closed: bool,
    /// What the host keeps for itself of records that are sealed to others.
    pub memory: PathBuf,
    /// Accounts that are never refused: the way in when everything else is shut.
    pub exempt: Vec<String>,
}

/// What people are told on their terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notices {
    /// One line when a session begins.
    pub at_elevation: bool,
    /// How long before the end of a grant it is told.
    pub before_end: Duration,
}

impl Config {
    /// The least configuration: what `doctor` assumes where there is none.
    pub fn least() -> Self {
        let mut raw = schema::File::default();
        raw.encryption.mode = Some("off".to_owned());
        check(raw, "", &mut Vec::new())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unreadable.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML, or a key that does not exist.
    #[error("{path}: {text}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong.
        text: String,
    },
    /// Values that make no sense.
    #[error("{path}: {faults}", path = path.display(), faults = faults.join("; "))]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault with its key.
        faults: Vec<String>,
    },
}

/// Reads and checks the file; without a name, the default one.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    parse(path, &text)
}

/// The journal directory that the default configuration names, for readers that were given none.
pub fn journal_dir() -> PathBuf {
    load(None).map_or_else(|_| PathBuf::from(DEFAULT_JOURNAL), |c| c.journal_dir)
}

/// The control socket that the default configuration names, for whoever was given none.
pub fn socket() -> PathBuf {
    load(None).map_or_else(|_| PathBuf::from(DEFAULT_SOCKET), |c| c.socket)
}

/// The directory of legal holds that the default configuration names, likewise.
pub fn holds() -> PathBuf {
    load(None).map_or_else(|_| PathBuf::from(DEFAULT_HOLDS), |c| c.holds)
}

/// The list of signers that the default configuration names, likewise.
pub fn allowed_signers() -> PathBuf {
    load(None).map_or_else(|_| PathBuf::from(DEFAULT_SIGNERS), |c| c.grants.allowed_signers)
}

fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw: schema::File = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
        ConfigError::Parse { path: path.into(), text: format!("line {line}: {}", e.message()) }
    })?;
    let mut faults = Vec::new();
    let mut config = check(raw, text, &mut faults);
    config.path = Some(path.to_owned());
    if faults.is_empty() { Ok(config) } else { Err(ConfigError::Faults { path: path.into(), faults }) }
}

fn check(raw: schema::File, text: &str, faults: &mut Vec<String>) -> Config {
    let recipients = recipients(&raw.encryption, faults);
    if raw.scope.record == ScopeKey::Granted {
        faults.push("scope.record: \"granted\" needs grants, which do not exist in this version".into());
    }
    let grants = grants(&raw.grants, faults);
    let socket = raw.control.socket.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
    if !socket.is_absolute() {
        faults.push("control.socket: must be an absolute path".into());
    }
    let notices = Notices {
        at_elevation: raw.notices.at_elevation.unwrap_or(true),
        before_end: span(
            "notices.before_end",
            raw.notices.before_end.as_deref(),
            Duration::from_mins(10),
            faults,
        ),
    };
    let holds = raw.retention.holds.unwrap_or_else(|| PathBuf::from(DEFAULT_HOLDS));
    if !holds.is_absolute() {
        faults.push("retention.holds: must be an absolute path".into());
    }
    let journal_dir = raw.journal.dir.unwrap_or_else(|| PathBuf::from(DEFAULT_JOURNAL));
    if !journal_dir.is_absolute() {
        faults.push("journal.dir: must be an absolute path".into());
    }
    let content = content::check(raw.content, faults);
    let anchor = anchor::check(raw.anchor, &journal_dir, faults);
    let redaction = redaction::check(raw.redaction, faults);
    let metrics = metrics::check(raw.metrics, faults);
    let mut size = |key: &str, text: Option<&str>, default: u64, least: u64, most: u64| {
        let Some(text) = text else { return default };
        match schema::size(text) {
            Some(n) if (least..=most).contains(&n) => n,
            Some(_) => {
                faults.push(format!("{key}: {text:?} is not between {least} and {most} bytes"));
                default
            }
            None => {
                faults.push(format!("{key}: {text:?} is no size such as \"64MiB\""));
                default
            }
        }
    };
    let segment_bytes = size("journal.segment", raw.journal.segment.as_deref(), 64 << 20, 1 << 20, 1 << 32);
    let reserve = size("journal.reserve", raw.journal.reserve.as_deref(), 16 << 20, 2 << 20, 1 << 30);
    let critical =
        size("capture.critical_ring", raw.capture.critical_ring.as_deref(), 4 << 20, 1 << 16, 1 << 30);
    let bulk = size("capture.bulk_ring", raw.capture.bulk_ring.as_deref(), 16 << 20, 1 << 16, 1 << 30);
    let terminal_burst =
        size("capture.terminal_burst", raw.capture.terminal_burst.as_deref(), 64 << 20, 1 << 10, 1 << 40);
    let terminal_rate =
        size("capture.terminal_rate", raw.capture.terminal_rate.as_deref(), 64 << 10, 1 << 10, 1 << 40);
    let arguments = size("capture.arguments", raw.capture.arguments.as_deref(), 128 << 10, 1 << 10, 2 << 20);
    for (key, n) in [("capture.critical_ring", critical), ("capture.bulk_ring", bulk)] {
        if !n.is_power_of_two() {
            faults.push(format!("{key}: must be a power of two"));
        }
    }
    let segment_age = match raw.journal.segment_age.as_deref().map(schema::duration) {
        None => Duration::from_hours(24),
        Some(Some(d)) if d >= Duration::from_mins(1) => d,
        Some(_) => {
            faults.push("journal.segment_age: no duration of at least \"1m\", such as \"24h\"".into());
            Duration::ZERO
        }
    };
    Config {
        journal_dir,
        spare_dir: raw.journal.spare_dir,
        segment_bytes,
        segment_age,
        recipients,
        reserve,
        on_storage_failure: raw.journal.on_storage_failure,
        scope: raw.scope.record,
        records_jobs: raw.scope.jobs.unwrap_or(true),
        backend: raw.capture.backend,
        tty_input: raw.capture.tty_input,
        critical_ring: u32::try_from(critical).unwrap_or(4 << 20),
        bulk_ring: u32::try_from(bulk).unwrap_or(16 << 20),
        terminal_burst,
        terminal_rate,
        arguments,
        flood: raw.capture.flood,
        kernel_log: raw.capture.kernel_log,
        grants,
        socket,
        notices,
        path: None,
        anchor,
        content,
        holds,
        redaction,
        metrics,
        guard: raw.guard.mode,
        text: text.to_owned(),
    }
}

/// Whom the journal is sealed to. Whether they are keys at all is for the journal to say.
fn recipients(raw: &schema::Encryption, faults: &mut Vec<String>) -> Vec<String> {
    let mut named = raw.recipients.clone();
    if let Some(path) = &raw.recipients_file {
        match fs::read_to_string(path) {
            Ok(text) => named.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .map(str::to_owned),
            ),
            Err(e) => faults.push(format!("encryption.recipients_file: {}: {e}", path.display())),
        }
    }
    match raw.mode.as_deref() {
        None | Some("recipients") if named.is_empty() => faults.push(
            "encryption.recipients: name at least one (`recorder setup` asks for them), or switch encryption off by name, mode = \"off\""
                .into(),
        ),
        None | Some("recipients") => {}
        Some("off") if named.is_empty() => {}
        Some("off") => faults.push("encryption.mode: \"off\" and recipients contradict each other".into()),
        Some(_) => faults.push("encryption.mode: is \"recipients\" or \"off\"".into()),
    }
    named
}

fn grants(raw: &schema::Grants, faults: &mut Vec<String>) -> Grants {
    let mut path = |key: &str, given: Option<&PathBuf>, default: &str| {
        let path = given.cloned().unwrap_or_else(|| PathBuf::from(default));
        if !path.is_absolute() {
            faults.push(format!("grants.{key}: must be an absolute path"));
        }
        path
    };
    Grants {
        dir: path("dir", raw.dir.as_ref(), DEFAULT_GRANTS),
        policy: path("policy", raw.policy.as_ref(), DEFAULT_POLICY),
        allowed_signers: path("allowed_signers", raw.allowed_signers.as_ref(), DEFAULT_SIGNERS),
        memory: path("memory", raw.memory.as_ref(), DEFAULT_MEMORY),
        named: raw.dir.is_some() || raw.policy.is_some() || raw.allowed_signers.is_some(),
        enforcement: raw.enforcement,
        grace: span("grants.grace", raw.grace.as_deref(), Duration::from_mins(2), faults),
        fail_closed: raw.fail_closed,
        exempt: raw.exempt.clone().unwrap_or_else(|| vec!["root".to_owned()]),
    }
}

/// A duration of at most a day.
fn span(key: &str, text: Option<&str>, default: Duration, faults: &mut Vec<String>) -> Duration {
    match text.map(schema::duration) {
        None => default,
        Some(Some(d)) if d <= Duration::from_hours(24) => d,
        Some(_) => {
            faults.push(format!("{key}: no duration of at most \"24h\", such as \"2m\""));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        parse(Path::new("t.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_least_configuration_is_complete() {
        let config = read("[encryption]\nmode = \"off\"\n").unwrap();
        assert_eq!(config.journal_dir, Path::new(DEFAULT_JOURNAL));
        assert_eq!((config.segment_bytes, config.bulk_ring), (64 << 20, 16 << 20));
        assert_eq!(config.scope, ScopeKey::Elevated);
        assert!(config.records_jobs);
        assert_eq!(config.guard, GuardKey::Record);
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let error =
            read("[journal]\ndir = \"x\"\nsegment = \"1B\"\n[scope]\nrecord = \"granted\"\n").unwrap_err();
        for key in ["encryption", "journal.dir", "journal.segment", "scope.record"] {
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn f3_the_reserve_and_the_policy_for_failed_storage_are_checked() {
        let config = read("[encryption]\nmode = \"off\"\n").unwrap();
        assert_eq!((config.reserve, config.on_storage_failure), (16 << 20, StorageKey::ContinueWithLoss));
        let with = |keys: &str| read(&format!("[journal]\n{keys}\n[encryption]\nmode = \"off\"\n"));
        let config = with("reserve = \"4MiB\"\non_storage_failure = \"end-sessions\"").unwrap();
        assert_eq!((config.reserve, config.on_storage_failure), (4 << 20, StorageKey::EndSessions));
        assert!(with("reserve = \"0B\"").unwrap_err().contains("journal.reserve"));
        assert!(with("on_storage_failure = \"exit\"").unwrap_err().contains("end-sessions"));
    }

    #[test]
    fn the_guard_is_off_recording_or_enforcing() {
        let with = |mode: &str| read(&format!("[guard]\nmode = \"{mode}\"\n[encryption]\nmode = \"off\"\n"));
        assert_eq!(with("off").unwrap().guard, GuardKey::Off);
        assert_eq!(with("enforce").unwrap().guard, GuardKey::Enforce);
        assert!(with("on").unwrap_err().contains("enforce"));
    }

    #[test]
    fn a_typo_is_an_error_with_its_line() {
        let error = read("[encryption]\nmode = \"off\"\n[journal]\ndirectory = \"/x\"\n").unwrap_err();
        assert!(error.contains("line 4") && error.contains("directory"), "{error}");
    }

    #[test]
    fn encryption_is_off_only_by_name() {
        assert!(read("").unwrap_err().contains("encryption.recipients"));
        assert!(read("[encryption]\nmode = \"of\"\n").unwrap_err().contains("encryption.mode"));
        let both = "[encryption]\nmode = \"off\"\nrecipients = [\"age1x\"]\n";
        assert!(read(both).unwrap_err().contains("contradict"));
        assert_eq!(read("[encryption]\nrecipients = [\"age1x\"]\n").unwrap().recipients, ["age1x"]);
        assert!(
            read("[encryption]\nrecipients_file = \"/nonexistent\"\n")
                .unwrap_err()
                .contains("recipients_file")
        );
    }

    #[test]
    fn the_shipped_configuration_is_valid() {
        let text = include_str!("../../dist/recorder.toml");
        assert!(read(text).unwrap_err().contains("encryption.recipients"), "it names no recipient of ours");
        read(&text.replace("# recipients = [", "recipients = [")).unwrap();
    }
}
