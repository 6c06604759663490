//! What is looked at besides the kernel, and what to do about it. Nothing is changed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Serialize;
use serde_json::json;

use super::super::control;
use crate::{
    config::{Config, ConfigError},
    journal::Recipient,
    sys::clock,
};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// Worth a look; recording does not depend on it.
    Look,
    /// Something is not recorded, or soon will not be, or people are locked out.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) text: String,
    /// What to do; empty where all is well.
    pub(super) advice: String,
}

pub(super) fn good(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { check, state: State::Good, text: text.into(), advice: String::new() }
}

pub(super) fn look(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { check, state: State::Look, text: text.into(), advice: advice.into() }
}

pub(super) fn bad(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { check, state: State::Bad, text: text.into(), advice: advice.into() }
}

/// Bytes that a journal needs at least: less is a day at best.
const LITTLE: u64 = 1 << 30;

/// What the recorder may need besides its rings: it took less in the worst load that was measured (the unit, MemoryMax=).
const BESIDES: u64 = 256 << 20;

/// Security modules, tracing, clock.
pub(super) fn host(root: &Path, lsm: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    found.push(if lsm.iter().any(|name| name == "bpf") {
        good("lsm", "bpf is among the security modules")
    } else {
        let list = if lsm.is_empty() { "unknown".to_owned() } else { lsm.join(",") };
        look("lsm", format!("bpf is not among the security modules ({list})"), "boot with lsm=…,bpf (the kernel's own list, and bpf): then what no grant allows is refused by an error; without it by a signal")
    });
    let read = |path: &str| fs::read_to_string(root.join(path)).map(|text| text.trim().to_owned());
    found.push(match read("proc/sys/kernel/ftrace_enabled").as_deref() {
        Ok("0") => bad(
            "ftrace",
            "kernel.ftrace_enabled is 0: no trampoline program fires",
            "sysctl kernel.ftrace_enabled=1, and find out who set it",
        ),
        Ok(_) => good("ftrace", "kernel.ftrace_enabled is 1"),
        Err(_) => good("ftrace", "this kernel has no ftrace; the tracepoint backend does not need it"),
    });
    found.push(match clock::is_synchronised() {
        Some(true) => good("clock", "the wall clock is kept right"),
        _ => look("clock", "nobody keeps the wall clock right, as far as the kernel knows", "run systemd-timesyncd, chrony or ntpd: times in the journal are this clock's, and grants go by it at the start"),
    });
    found
}

/// The configuration itself; what depends on it is looked at if there is one.
pub(super) fn configuration(loaded: &Result<Config, ConfigError>) -> Finding {
    match loaded {
        Ok(_) => good("config", "it is valid"),
        Err(ConfigError::Read { .. }) => look("config", "there is none that can be read", "recorder setup"),
        Err(error) => bad(
            "config",
            error.to_string(),
            "mend it: the recorder does not start with it, and a reload changes nothing",
        ),
    }
}

/// What the configuration names.
pub(super) fn configured(config: &Config) -> Vec<Finding> {
    let mut found = vec![disk(config), recipients(config)];
    found.extend(keys(&config.journal_dir, || signs(&config.socket)));
    found.push(grants(config));
    found.extend(of_systemd("MemoryHigh,MemoryMax").and_then(|told| memory(config, &told)));
    found
}

/// Whether the rings fit into what the unit lets the recorder have: the kernel counts them as its memory.
fn memory(config: &Config, told: &str) -> Option<Finding> {
    let limit = |key: &str| {
        let of = told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        // `infinity`, and nothing from a unit that is not there.
        of.parse::<u64>().ok()
    };
    let rings = u64::from(config.critical_ring).saturating_add(u64::from(config.bulk_ring));
    let needed = rings.saturating_add(BESIDES);
    let (high, most) = (limit("MemoryHigh"), limit("MemoryMax"));
    let advice = format!(
        "systemctl edit recorder: MemoryHigh={0}M and MemoryMax={1}M or more under [Service], or smaller capture.critical_ring and capture.bulk_ring",
        needed >> 20,
        needed.saturating_add(BESIDES) >> 20
    );
    let text = |name: &str, limit: u64| {
        format!("rings of {} MiB in a unit with {name}={}M", rings >> 20, limit >> 20)
    };
    match (high, most) {
        (_, Some(most)) if needed > most => Some(bad(
            "memory",
            format!("{}: it is ended when it needs more, and tried again", text("MemoryMax", most)),
            advice,
        )),
        (Some(high), _) if needed > high => {
            Some(look("memory", format!("{}: it is slowed down there", text("MemoryHigh", high)), advice))
        }
        (None, None) => None,
        _ => Some(good("memory", "the rings fit into the unit's limits")),
    }
}

fn disk(config: &Config) -> Finding {
    let dir = config.journal_dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
    let text = format!("{} MiB free for {}", free >> 20, config.journal_dir.display());
    if free < config.reserve.saturating_add(config.segment_bytes) {
        bad(
            "disk",
            text,
            "make room, or set journal.spare_dir: only what is essential is recorded when it is full",
        )
    } else if free < LITTLE {
        look(
            "disk",
            text,
            "give the journal a file system of its own, see Sizing in operations.md; retention deletes what is old, by a signed permit",
        )
    } else {
        good("disk", text)
    }
}

fn recipients(config: &Config) -> Finding {
    let named = &config.recipients;
    for (n, text) in named.iter().enumerate() {
        if let Err(error) = text.parse::<Recipient>() {
            let no = n.saturating_add(1);
            return bad(
                "recipients",
                format!("number {no}: {error}"),
                "name public keys: age1…, ssh-ed25519 …, ssh-rsa …",
            );
        }
    }
    match named.len() {
        0 => look(
            "recipients",
            "encryption is off: who reads the disk reads the journal",
            "name recipients (recorder setup), and start the recorder anew",
        ),
        1 => look(
            "recipients",
            "one can read the journal",
            "name two or more: what is sealed to one key is lost with it",
        ),
        n => good("recipients", format!("{n} can read the journal")),
    }
}

/// Whether the running recorder has an admission key: systemd may have handed it over.
fn signs(socket: &Path) -> bool {
    control::ask(socket, &json!({"v": 1, "op": "checkpoint"}), Duration::from_secs(5)).is_ok()
}

/// The secrets of the newest log, which nobody else may read.
fn keys(journal: &Path, signs: impl Fn() -> bool) -> Option<Finding> {
    let logs =
        fs::read_dir(journal).ok()?.flatten().filter(|entry| entry.path().join("origin.note").is_file());
    let newest = logs.max_by_key(|log| log.metadata().and_then(|meta| meta.modified()).ok())?.path();
    for (name, lost) in [
        (
            "admission.key",
            "if it is a credential, start the recorder; else no more checkpoints of this log are signed: move the journal away when it suits, and a new log begins",
        ),
        ("recovery.key", "the next start begins a new log: verify this one then"),
    ] {
        let path = newest.join(name);
        match fs::symlink_metadata(&path) {
            Err(_) if name == "admission.key" && signs() => {}
            Err(_) => return Some(bad("keys", format!("{} is not there", path.display()), lost)),
            Ok(meta) if meta.mode() & 0o077 != 0 => {
                let advice =
                    format!("chmod 600 {}; who read it can sign in this host's name", path.display());
                return Some(bad("keys", format!("others may read {}", path.display()), advice));
            }
            Ok(_) => {}
        }
    }
    Some(good("keys", "the log's keys are there, and nobody else's to read"))
}

fn grants(config: &Config) -> Finding {
    let grants = &config.grants;
    if !grants.named && !grants.allowed_signers.exists() {
        return good("grants", "grants are not watched");
    }
    for path in [&grants.allowed_signers, &grants.policy] {
        if !path.is_file() {
            return bad(
                "grants",
                format!("{} is not there", path.display()),
                "without it no grant is followed (docs/grants.md)",
            );
        }
    }
    for path in [&grants.dir, &grants.allowed_signers, &grants.policy] {
        match fs::metadata(path) {
            Err(error) => {
                return bad(
                    "grants",
                    format!("{}: {error}", path.display()),
                    "make it: mkdir -m 755, owned by root",
                );
            }
            Ok(meta) if meta.uid() != 0 || meta.mode() & 0o022 != 0 => {
                let advice = format!("chown root {0}; chmod go-w {0}", path.display());
                return bad("grants", format!("others than root may change {}", path.display()), advice);
            }
            Ok(_) => {}
        }
    }
    good("grants", "directory, policy and list of signers are there, and root's")
}

/// The lines by which PAM loads the module, and the module.
pub(super) fn pam(root: &Path) -> Finding {
    const MODULE: &str = "pam_recorder.so";
    let mut used = Vec::new();
    for name in ["sudo", "sudo-i", "su", "sshd", "login"] {
        let Ok(text) = fs::read_to_string(root.join("etc/pam.d").join(name)) else { continue };
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let Some(at) = lines.iter().position(|line| line.contains(MODULE)) else { continue };
        let line = lines.get(at).copied().unwrap_or_default();
        used.push(name);
        let asks = line.trim_start_matches('-').starts_with("account");
        if asks && at != 0 {
            return look(
                "pam",
                format!("in {name} the line is not the first"),
                "put it first: who starts su with little memory has it left out otherwise",
            );
        }
        if asks && !(line.starts_with('-') && line.contains("module_unknown=ignore")) {
            return bad(
                "pam",
                format!("in {name} the line locks out when the module is gone"),
                "use the line of operations.md: /usr/lib/recorder/login-lines remove, then add",
            );
        }
        let login_uid = lines.iter().position(|line| line.contains("pam_loginuid.so"));
        if !asks && login_uid.is_some_and(|uid| uid > at) {
            return look(
                "pam",
                format!("in {name} the line stands before pam_loginuid.so"),
                "put it behind: before it a login has no audit session to be told of",
            );
        }
    }
    if used.is_empty() {
        return good("pam", "not used: people are known by their accounts");
    }
    if find(&root.join("usr/lib"), "security", MODULE).is_none() {
        return bad(
            "pam",
            format!("{} name {MODULE}, which is not there", used.join(", ")),
            "/usr/lib/recorder/login-lines remove, or install the package again",
        );
    }
    good("pam", format!("used in {}", used.join(", ")))
}

/// `usr/lib/*/security/pam_recorder.so`
fn find(lib: &Path, dir: &str, file: &str) -> Option<PathBuf> {
    let below = fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path().join(dir).join(file));
    below.chain([lib.join(dir).join(file)]).find(|path| path.is_file())
}

/// sudo refuses everybody where it is told to load what is not there.
pub(super) fn sudo(root: &Path) -> Finding {
    let conf = fs::read_to_string(root.join("etc/sudo.conf")).unwrap_or_default();
    let told = conf.lines().any(|line| line.trim().starts_with("Plugin recorder_approval"));
    if !told {
        return good("sudo", "the plugin is not used");
    }
    match fs::metadata(root.join("usr/libexec/sudo/recorder_approval.so")) {
        Err(_) => bad(
            "sudo",
            "sudo.conf names the plugin, which is not there: sudo refuses everybody",
            "as root by su or pkexec: /usr/lib/recorder/login-lines remove, or install the package again",
        ),
        Ok(meta) if meta.uid() != 0 || meta.mode() & 0o022 != 0 => bad(
            "sudo",
            "others than root may change the plugin",
            "chown root:root and chmod 644 /usr/libexec/sudo/recorder_approval.so",
        ),
        Ok(_) => good("sudo", "the plugin is used"),
    }
}

/// These properties of the service, in whatever order systemd tells them; `None` where it does not answer.
fn of_systemd(properties: &str) -> Option<String> {
    // As root, and perhaps with somebody else's PATH: never whatever is called so there.
    let told = Command::new("/bin/systemctl").args(["show", "recorder.service", "-p", properties]).output();
    told.ok().filter(|out| out.status.success()).map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// What systemd says of the service.
pub(super) fn unit() -> Finding {
    let Some(text) = of_systemd("ActiveState,UnitFileState,NRestarts") else {
        return look(
            "unit",
            "systemd does not answer here",
            "see that something starts the recorder before anybody logs in, and again when it ends",
        );
    };
    let of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().trim()
    };
    judged(of("ActiveState"), of("UnitFileState"), of("NRestarts"))
}

fn judged(active: &str, enabled: &str, restarts: &str) -> Finding {
    let text = format!("{active}, {}", if enabled.is_empty() { "not installed" } else { enabled });
    match (active, enabled) {
        ("active", "enabled") if restarts == "0" || restarts.is_empty() => good("unit", text),
        ("active", "enabled") => look(
            "unit",
            format!("{text}, started {restarts} times more by systemd"),
            "journalctl -u recorder; recorder verify tells the intervals",
        ),
        ("active", _) => look("unit", text, "systemctl enable recorder: else the next boot goes unrecorded"),
        _ => bad("unit", text, "systemctl enable --now recorder; journalctl -u recorder tells why it ended"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    const ASK: &str =
        "-account [success=ignore ignore=ignore module_unknown=ignore default=die] pam_recorder.so\n";

    #[test]
    fn each_way_in_which_pam_can_be_wrong_is_told_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let state = || {
            let found = pam(root);
            assert_eq!(found.advice.is_empty(), found.state == State::Good, "{found:?}");
            found.state
        };
        assert_eq!(state(), State::Good);
        write(root, "etc/pam.d/sudo", &format!("# first\n{ASK}@include common-account\n"));
        assert_eq!(state(), State::Bad, "the module is not there");
        write(root, "usr/lib/x86_64-linux-gnu/security/pam_recorder.so", "");
        assert_eq!(state(), State::Good);
        write(root, "etc/pam.d/su", &format!("@include common-account\n{ASK}"));
        assert_eq!(state(), State::Look, "it is not the first");
        write(root, "etc/pam.d/su", "account required pam_recorder.so\n");
        assert_eq!(state(), State::Bad, "it locks out");
        fs::remove_file(root.join("etc/pam.d/su")).unwrap();
        let tell = "-session optional pam_recorder.so\n";
        write(root, "etc/pam.d/sshd", &format!("{tell}session required pam_loginuid.so\n"));
        assert_eq!(state(), State::Look);
        write(root, "etc/pam.d/sshd", &format!("session required pam_loginuid.so\n{tell}"));
        assert_eq!(state(), State::Good);
    }

    #[test]
    fn a_plugin_that_is_gone_is_told_before_sudo_refuses_everybody() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(sudo(dir.path()).state, State::Good);
        write(dir.path(), "etc/sudo.conf", "Plugin recorder_approval recorder_approval.so\n");
        assert_eq!(sudo(dir.path()).state, State::Bad);
    }

    #[test]
    fn rings_that_the_units_limit_has_no_room_for_are_bad() {
        let mut config = Config::least();
        let unit = "MemoryHigh=805306368\nMemoryMax=1073741824\n";
        let state = |config: &Config, told| memory(config, told).map(|found| found.state);
        assert_eq!(state(&config, unit), Some(State::Good));
        assert_eq!(state(&config, "MemoryMax=infinity\nMemoryHigh=infinity\n"), None);
        config.bulk_ring = 512 << 20;
        assert_eq!(state(&config, unit), Some(State::Look));
        assert_eq!(state(&config, "MemoryHigh=infinity\nMemoryMax=629145600\n"), Some(State::Bad), "600M");
        config.bulk_ring = 1 << 30;
        let found = memory(&config, unit).unwrap();
        assert_eq!(found.state, State::Bad);
        assert!(found.advice.contains("MemoryMax=1540M"), "{found:?}");
        assert_eq!(state(&config, "MemoryHigh=infinity\nMemoryMax=4294967296\n"), Some(State::Good));
    }

    #[test]
    fn a_unit_that_does_not_run_is_bad_and_one_that_will_not_is_worth_a_look() {
        assert_eq!(judged("active", "enabled", "0").state, State::Good);
        assert_eq!(judged("active", "enabled", "3").state, State::Look);
        assert_eq!(judged("active", "disabled", "0").state, State::Look);
        assert_eq!(judged("inactive", "enabled", "0").state, State::Bad);
        assert_eq!(judged("inactive", "", "").state, State::Bad);
    }

    #[test]
    fn tracing_that_was_switched_off_and_keys_that_others_read_are_bad() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "proc/sys/kernel/ftrace_enabled", "0\n");
        let of = |check: &str, found: &[Finding]| found.iter().find(|f| f.check == check).unwrap().state;
        assert_eq!(of("ftrace", &host(dir.path(), &["bpf".into()])), State::Bad);
        assert_eq!(of("lsm", &host(dir.path(), &["bpf".into()])), State::Good);
        assert_eq!(of("lsm", &host(dir.path(), &[])), State::Look);
        let keys = |signs: bool| keys(dir.path(), || signs).map(|found| found.state);
        assert_eq!(keys(false), None, "there is no log yet");
        write(dir.path(), "log/origin.note", "");
        assert_eq!(keys(false), Some(State::Bad));
        assert_eq!(keys(true), Some(State::Bad), "recovery.key is not there either");
        for name in ["admission.key", "recovery.key"] {
            write(dir.path(), &format!("log/{name}"), "");
            let path = dir.path().join("log").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(keys(false), Some(State::Good));
        fs::remove_file(dir.path().join("log/admission.key")).unwrap();
        assert_eq!((keys(false), keys(true)), (Some(State::Bad), Some(State::Good)), "a credential");
    }
}
