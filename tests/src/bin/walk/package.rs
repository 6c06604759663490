//! The package's life on a systemd machine: installed, configured, recording, told to read its configuration again, upgraded, removed,
//! purged; and the journal outlives all of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{argv, number, text},
    walk::{machine::Machine, service::JOURNAL},
};
use serde_json::Value;

use crate::Walk;

/// What the machine had before, laid over its root; the next walk needs it again.
const KEPT: &str = "/var/tmp/before-package";
/// The package, and the same as a later version (xtask vm host).
const FIRST: &str = "/usr/lib/recorder/first.deb";
const SECOND: &str = "/usr/lib/recorder/second.deb";
const CONFIG: &str = "/etc/recorder/recorder.toml";
/// What takes checkpoints away, by a secret of its own.
const TAKER: &str = r#"["/bin/cp", "${CREDENTIALS_DIRECTORY}/token", "/var/lib/recorder/taken"]"#;
const DROPIN: &str = "/etc/systemd/system/recorder.service.d";
const METRICS: &str = "127.0.0.1:9469";

/// One story, by the README's words.
pub(crate) fn package_life(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    put_away(machine)?;
    let lived = live(walk);
    // Whatever came of it, the next walk finds the machine as it was.
    let back = put_back(machine);
    lived.and(back)
}

fn live(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let told = machine.ok("root", &format!("dpkg -i {FIRST} 2>&1"))?;
    ensure!(told.contains("recorder setup"), "the package says {told}");
    ensure!(state(machine)? == "inactive enabled", "unconfigured the unit is {}", state(machine)?);
    walk.step("installed: enabled, and nothing recorded without a word who may read it");

    configure(walk, "")?;
    machine.ok("root", "systemctl start recorder")?;
    ensure!(state(machine)? == "active enabled", "the unit is {}", state(machine)?);
    machine.ok(
        "root",
        "/usr/lib/recorder/login-lines add && grep -q pam_recorder /etc/pam.d/sudo /etc/pam.d/sshd",
    )?;
    let exposure = machine.ok("root", "systemd-analyze security recorder --no-pager | grep -i overall")?;
    let figure: f64 = exposure.split_whitespace().find_map(|word| word.parse().ok()).context("no figure")?;
    ensure!(figure <= 3.5, "{exposure}");
    walk.step(&format!("configured and started; exposure {figure}"));

    let before = String::from_utf8_lossy(&machine.run("root", &scrape())?.stdout).into_owned();
    let sessions = |page: &str| value(page, "recorder_sessions_total");
    let begun = sessions(&before).with_context(|| format!("the metrics are {before}"))?;
    machine
        .ok("oncall1", &format!("sudo -n sh -c '/bin/true {}; echo seen >/etc/motd'", walk.tag("first")))?;
    let page = machine.until("metrics tell of the session", &scrape(), |out| {
        let page = String::from_utf8_lossy(&out.stdout).into_owned();
        sessions(&page).is_some_and(|n| n > begun).then_some(page)
    })?;
    ensure!(value(&page, "recorder_hooks_silent") == Some(0.0), "{page}");
    ensure!(value(&page, "recorder_kernel_events_lost_total") == Some(0.0), "{page}");
    for (ring, room) in [("critical", 4 << 20), ("bulk", 16 << 20)] {
        let of = |family: &str| value(&page, &format!("recorder_ring_{family}{{ring=\"{ring}\"}}"));
        ensure!(of("capacity_bytes") == Some(f64::from(room)), "{page}");
        ensure!(of("bytes").is_some_and(|waits| waits <= f64::from(room)), "{page}");
    }
    ensure!(value(&page, "recorder_commits_total").is_some_and(|n| n > 1.0), "{page}");
    walk.step("one session by ssh and sudo; metrics tell of it");

    configure(walk, "[notices]\nbefore_end = \"5m\"\n")?;
    reload(machine, 1, "recorder_config_reloads_total")?;
    machine.ok("root", &format!("cp {CONFIG} /root/good && echo 'nonsense = 1' >>{CONFIG}"))?;
    reload(machine, 1, "recorder_config_reloads_refused_total")?;
    ensure!(
        state(machine)? == "active enabled",
        "after a broken configuration the unit is {}",
        state(machine)?
    );
    machine.ok("root", &format!("mv /root/good {CONFIG}"))?;
    walk.step("read again: a changed one, and a broken one that changed nothing");

    seal_keys(machine)?;
    let before = pid(machine)?;
    machine.ok("root", &format!("dpkg -i {SECOND} 2>&1"))?;
    ensure!(
        state(machine)? == "active enabled" && pid(machine)? != before,
        "after the upgrade it is {}",
        state(machine)?
    );
    machine.ok("oncall1", &format!("sudo -n /bin/true {}", walk.tag("second")))?;
    let kept = machine.ok("root", "grep -c pam_recorder /etc/pam.d/sudo")?;
    ensure!(kept.trim() == "1", "PAM's line after the upgrade: {kept}");
    walk.step("upgraded: a new process records");
    let checkpoint = with_credentials(walk)?;
    walk.step("its keys came from systemd, and lie nowhere in clear");
    doctor(machine)?;
    walk.step("doctor finds nothing that needs a hand");

    machine.ok("root", "dpkg -r recorder 2>&1")?;
    machine.ok("root", "! grep -r recorder /etc/pam.d && test ! -e /usr/bin/recorder && test ! -e /run/recorder && test -e /etc/recorder/recorder.toml")?;
    machine.ok("oncall1", "sudo -n true")?;
    machine.ok("root", &format!("dpkg -i {SECOND} 2>&1"))?;
    ensure!(state(machine)? == "active enabled", "installed again the unit is {}", state(machine)?);
    machine.ok("root", "dpkg -P recorder 2>&1")?;
    let left = machine.ok("root", &format!("ls {JOURNAL}/*/*.rj | wc -l; ls /etc/recorder /var/lib/recorder 2>&1; dpkg -s recorder 2>&1 | head -1"))?;
    ensure!(
        !left.contains("recorder.toml") && !left.contains("memory") && !left.starts_with("0\n"),
        "purged, there is left: {left}"
    );
    walk.step("removed and purged: sudo works, the journal lies where it lay");
    judge(walk, &checkpoint)
}

/// The admission key sealed to this machine, and a token for the command that takes checkpoints away; from the next start on.
fn seal_keys(machine: &Machine) -> Result<()> {
    let line = format!(
        "set -e; key=$(echo {JOURNAL}/*/admission.key); systemd-creds encrypt --name=recorder.admission $key /etc/recorder/admission.cred; rm $key; \
         (umask 077; echo opens-sesame >/etc/recorder/token); mkdir -p {DROPIN}; printf '%s\n' '[Service]' \
         LoadCredentialEncrypted=recorder.admission:/etc/recorder/admission.cred LoadCredential=token:/etc/recorder/token >{DROPIN}/credentials.conf; \
         systemctl daemon-reload"
    );
    machine.ok("root", &line).map(drop)
}

/// Both are used. Gives a checkpoint that the one signed.
fn with_credentials(walk: &Walk) -> Result<PathBuf> {
    let machine = walk.machine;
    machine.until("the command had its credential", "cat /var/lib/recorder/taken", |out| {
        (out.stdout == b"opens-sesame\n").then_some(())
    })?;
    let note = walk.dir.join("checkpoint");
    std::fs::write(&note, machine.ok("root", "recorder checkpoint")?)?;
    Ok(note)
}

/// What an investigator reads in it.
fn judge(walk: &Walk, checkpoint: &Path) -> Result<()> {
    let (site, events) = walk.sound_journal()?;
    let boots: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(boots == ["none", "stop", "stop"], "the starts follow on {boots:?}");
    let out = site.read(&["verify", "--format", "json", "--anchor", &checkpoint.display().to_string()])?;
    let verdict: Value = serde_json::from_slice(&out.stdout).context("verify printed no JSON")?;
    let anchors = verdict.get("anchors").and_then(Value::as_array).context("no anchors")?;
    ensure!(
        out.status.code().is_some_and(|code| code <= 1)
            && anchors.iter().map(|a| text(a, &["state"])).eq(["matches"]),
        "with the checkpoint that the credential signed: {verdict}"
    );
    // Each time without a recorder, the upgrade's among them, is told with its length.
    let intervals = verdict.get("intervals").and_then(Value::as_array).context("no intervals")?;
    let away: Vec<_> = intervals.iter().map(|i| (text(i, &["kind"]), number(i, &["seconds"]))).collect();
    walk.step(&format!("away at the upgrade, and while it was removed: {away:?}"));
    ensure!(away.len() == 2 && away.iter().all(|(kind, _)| *kind == "stopped"), "intervals: {intervals:?}");
    // The unit lets it read what people change.
    let motd = events.of_kind("changed").find(|e| text(e, &["changed", "path"]) == "/etc/motd");
    ensure!(motd.is_some_and(|e| text(e, &["changed", "sha256"]).len() == 64), "/etc/motd: {motd:?}");
    for tag in ["first", "second"] {
        let tag = walk.tag(tag);
        ensure!(events.execs_with(&tag).any(|e| argv(e).any(|a| a.contains(&tag))), "{tag} is not there");
    }
    let read: Vec<_> = events.of_kind("config").map(|e| text(e, &["config", "act"])).collect();
    ensure!(read == ["taken", "refused"], "the configuration was {read:?}");
    let taken = events.of_kind("config").next().context("no change")?;
    let key = taken.pointer("/config/keys/0").context("no key")?;
    ensure!(
        (text(key, &["key"]), text(key, &["after"]), text(key, &["takes"]))
            == ("notices.before_end", "\"5m\"", "restart"),
        "{taken}"
    );
    let refused = events.of_kind("config").last().context("no refusal")?;
    ensure!(text(refused, &["config", "text"]).contains("nonsense"), "{refused}");
    walk.step("an investigator finds exactly that");
    Ok(())
}

/// As `recorder setup` would, with segments that are quick to read here.
fn configure(walk: &Walk, more: &str) -> Result<()> {
    let text = format!(
        "[journal]\nsegment = \"1MiB\"\n[encryption]\nmode = \"off\"\n[capture]\nbackend = \"{}\"\n[metrics]\nlisten = \"{METRICS}\"\n[anchor]\ncommand = {TAKER}\n{more}",
        walk.backend
    );
    let at = walk.dir.join("recorder.toml");
    std::fs::write(&at, text)?;
    walk.machine.put(&[&at], "/etc/recorder/")
}

fn reload(machine: &Machine, count: u32, metric: &str) -> Result<()> {
    machine.ok("root", "systemctl reload recorder")?;
    machine.until(&format!("{metric} is {count}"), &scrape(), |out| {
        let page = String::from_utf8_lossy(&out.stdout);
        (value(&page, metric) == Some(f64::from(count))).then_some(())
    })
}

/// No curl there; bash can.
fn scrape() -> String {
    let place = METRICS.replace(':', "/");
    format!(
        "bash -c 'exec 3<>/dev/tcp/{place} && printf \"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\" >&3 && cat <&3'"
    )
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Every finding that is not good names what to do; here the only one may be that nothing is encrypted.
fn doctor(machine: &Machine) -> Result<()> {
    let out = machine.run("root", "recorder doctor --format json")?;
    let told: Value = serde_json::from_slice(&out.stdout).context("doctor printed no JSON")?;
    let findings = told.get("findings").and_then(Value::as_array).context("no findings")?;
    let bad: Vec<_> = findings.iter().filter(|f| text(f, &["state"]) == "bad").collect();
    ensure!(bad.is_empty() && out.status.success(), "doctor finds {bad:?}");
    let named =
        |name: &str| findings.iter().find(|f| text(f, &["check"]) == name).context("a check is missing");
    for (name, wanted) in [("kernel", "good"), ("unit", "good"), ("pam", "good"), ("recipients", "look")] {
        let found = named(name)?;
        ensure!(text(found, &["state"]) == wanted, "{found}");
        ensure!(wanted == "good" || !text(found, &["advice"]).is_empty(), "{found}");
    }
    Ok(())
}

/// `active enabled`
fn state(machine: &Machine) -> Result<String> {
    let told = machine.ok("root", "systemctl is-active recorder; systemctl is-enabled recorder; true")?;
    Ok(told.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn pid(machine: &Machine) -> Result<String> {
    Ok(machine.ok("root", "systemctl show recorder -P MainPID")?.trim().to_owned())
}

/// What was laid over the root is no package's.
fn put_away(machine: &Machine) -> Result<()> {
    let line = format!(
        "systemctl stop recorder; rm -rf {KEPT} {JOURNAL}; mkdir -p {KEPT} && cp -a /usr/bin/recorder {KEPT} && \
         cp -a /etc/systemd/system/recorder.service {KEPT} && cp -a /etc/recorder {KEPT}/etc && cp -a /etc/pam.d {KEPT} && \
         rm -rf /usr/bin/recorder /etc/systemd/system/recorder.service /etc/recorder /var/lib/recorder && systemctl daemon-reload"
    );
    machine.ok("root", &line).map(drop)
}

fn put_back(machine: &Machine) -> Result<()> {
    let line = format!(
        "dpkg -P recorder >/dev/null 2>&1; rm -rf {DROPIN}; systemctl unmask recorder 2>/dev/null; mkdir -p /etc/recorder && cp -a {KEPT}/recorder /usr/bin/ && \
         cp -a {KEPT}/recorder.service /etc/systemd/system/ && cp -a {KEPT}/etc/. /etc/recorder/ && cp -a {KEPT}/pam.d/. /etc/pam.d/ && systemctl daemon-reload"
    );
    machine.ok("root", &line).map(drop)
}
