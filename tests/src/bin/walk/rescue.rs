//! Machines that end at once, recorders that are not what they were, and hosts whose recorder can't start (docs/attacks.md, E8, E9;
//! docs/operations.md, Rescue).

use anyhow::{Context, Result, ensure};
use recorder_tests::journal::{Events, number, sessions, text, texts};
use serde_json::Value;

use crate::Walk;

/// `systemctl mask` wants the name for itself: the unit lies where a package puts it.
const AS_PACKAGED: &str =
    "mv /etc/systemd/system/recorder.service /usr/lib/systemd/system/ && systemctl daemon-reload";
const AS_LAID: &str =
    "mv /usr/lib/systemd/system/recorder.service /etc/systemd/system/ && systemctl daemon-reload";
/// Somebody who is root changes the program by a byte, and what it is told to do.
const ANOTHER: &str = "cp -p /usr/bin/recorder /usr/bin/recorder.kept && cp -p /usr/bin/recorder /usr/bin/recorder.new \
    && printf x >>/usr/bin/recorder.new && mv /usr/bin/recorder.new /usr/bin/recorder \
    && sed -i s/enforce/off/ /etc/recorder/recorder.toml && systemctl restart recorder";
/// What was caused: nobody encrypted it, no checkpoint or origin was kept elsewhere, it ended without a word once, and was stopped twice.
const FINDINGS: [&str; 6] =
    ["END_UNPROVEN", "ENCRYPTION_OFF", "ORIGIN_UNCHECKED", "RESTART", "RESUME", "RESUME"];

pub(crate) fn rescue(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    machine.ok("root", AS_PACKAGED)?;
    let service = walk.service("[guard]\nmode = \"enforce\"\n")?;
    machine.ok("root", "systemctl enable --quiet recorder")?;
    let did = |tag: &str| machine.ok("oncall1", &format!("sudo -n /bin/true {}", walk.tag(tag))).map(drop);

    did("before")?;
    // What is on disk by then stays; of the rest nobody promises anything.
    machine.ok("root", "sleep 5")?;
    let seconds = machine.reset("oncall1")?.as_secs();
    machine.until("it records again", "systemctl is-active recorder", |out| {
        out.status.success().then_some(())
    })?;
    walk.step(&format!("the machine ended at once, and records again after {seconds} s"));
    did("after")?;

    machine.ok("oncall1", &format!("sudo -n sh -c '{ANOTHER}'"))?;
    machine.ok("root", "systemctl is-active recorder")?;
    walk.step("another program runs, and guards nothing");
    did("another")?;

    machine
        .ok("root", "mv /usr/bin/recorder.kept /usr/bin/recorder; systemctl mask --now --quiet recorder")?;
    let seconds = machine.reboot()?.as_secs();
    machine.ok("root", "! systemctl is-active --quiet recorder")?;
    did("alone")?;
    walk.step(&format!("booted again in {seconds} s without it: whoever could elevate still can"));
    machine.ok("root", "systemctl unmask --quiet recorder && systemctl start recorder")?;
    did("again")?;
    service.systemctl("stop")?;
    machine.ok("root", &format!("systemctl disable --quiet recorder; {AS_LAID}"))?;

    let (site, events) = walk.sound_journal()?;
    let (_, verdict) = site.verify()?;
    judge(walk, &events, &verdict)?;
    let before = events.session_of(&walk.tag("before"))?;
    ensure!(
        sessions(&site)?.iter().any(|s| text(s, &["id"]) == before),
        "the session before the crash is not listed"
    );
    walk.step("an investigator finds exactly that");
    Ok(())
}

fn judge(walk: &Walk, events: &Events, verdict: &Value) -> Result<()> {
    let mut codes = texts(verdict, "findings", "code");
    codes.sort_unstable();
    let mut wanted = FINDINGS;
    wanted.sort_unstable();
    ensure!(codes == wanted, "findings: {verdict}");
    let kinds = texts(verdict, "intervals", "kind");
    ensure!(kinds == ["rebooted", "stopped", "rebooted"], "intervals: {verdict}");
    let boots: Vec<&Value> = events.of_kind("boot").collect();
    let ends: Vec<_> = boots.iter().map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "crash", "stop", "stop"], "the starts follow on {ends:?}");
    let programs: Vec<_> = boots.iter().map(|e| text(e, &["boot", "recorder_sha256"])).collect();
    let [first, second, third, fourth] = programs[..] else { anyhow::bail!("{programs:?}") };
    ensure!(first == second && third != first && fourth == first, "programs: {programs:?}");
    let configs: Vec<_> = boots.iter().map(|e| text(e, &["boot", "config_sha256"])).collect();
    ensure!(configs.first() != configs.get(2), "configurations: {configs:?}");
    for tag in ["before", "after", "another", "again"] {
        events.session_of(&walk.tag(tag))?;
    }
    ensure!(events.session_of(&walk.tag("alone")).is_err(), "it was recorded by nobody");
    // Who changed it is on record.
    let trigger = |object: &str| {
        let mut all = events.of_kind("guard").filter(|e| text(e, &["guard", "object"]) == object);
        all.next().with_context(|| format!("nobody touched the {object}"))
    };
    for object in ["program", "config"] {
        let told = trigger(object)?;
        let by = text(told, &["guard", "session"]);
        ensure!(!by.is_empty() && number(told, &["guard", "count"]) > Some(0), "{told}");
    }
    Ok(())
}
