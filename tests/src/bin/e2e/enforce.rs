//! Grants that are enforced: who has none does not elevate, who outlives his is ended, and nobody else.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, text},
    proc,
};

use serde_json::Value;

use crate::{grants::Office, secrets::leave, stage::Stage};

/// Without a grant nothing starts, under either backend; an exempt account passes.
pub(crate) fn elevation_is_refused(stage: &mut Stage) -> Result<()> {
    let anna = stage.account("anna", Sudo::Free)?;
    let keeper = stage.account("keeper", Sudo::Free)?;
    let config = fs::read_to_string(&stage.site.config)?;
    let section = format!(
        "{config}[grants]\npolicy = \"{0}/policy.toml\"\nallowed_signers = \"{0}/signers\"\nenforcement = \"enforce\"\nexempt = [\"{1}\"]\n",
        stage.dir.display(),
        keeper.name
    );
    fs::write(&stage.site.config, section)?;
    let running = stage.record()?;
    let attempts = stage.count(48).max(3);
    for n in 0..attempts {
        let path = stage.path(&format!("made-{n}"));
        let terminal = stage.elevated(&anna, &["touch", &path])?;
        let (status, _) = terminal.finish(stage.limit(20))?;
        ensure!(!status.success(), "attempt {n} ended with {status}");
        ensure!(!Path::new(&path).exists(), "attempt {n} ran");
    }
    let path = stage.path("kept");
    stage.elevated(&keeper, &["touch", &path])?.finish(stage.limit(20))?;
    ensure!(Path::new(&path).exists(), "the exempt account was refused");
    let by_signal = running.said().contains("is ended by a signal, not by an error");
    let events = stage.finish(running)?;
    let act = if by_signal { "stopped" } else { "refused" };
    let mut found = 0;
    // Whatever else runs on this host with somebody's login uid is ended too, and no business of this test.
    let of_touch = |e: &&Value| {
        let program = text(e, &["enforcement", "text"]);
        program.ends_with("/touch") || program.ends_with("/busybox")
    };
    for done in events.of_kind("enforcement").filter(of_touch) {
        ensure!(text(done, &["enforcement", "act"]) == act, "unexpected: {done}");
        ensure!(text(done, &["enforcement", "reason"]) == "unattributed", "the reason is in {done}");
        found += 1;
    }
    ensure!(found == attempts, "{found} refusals are on record, {attempts} were made");
    Ok(())
}

/// One line at the first elevation of a login, none at the second in the same state, none for what has no terminal.
pub(crate) fn a_session_is_told_that_it_is_recorded(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let config = fs::read_to_string(&stage.site.config)?;
    fs::write(&stage.site.config, config.replace("at_elevation = false", "at_elevation = true"))?;
    let running = stage.record()?;
    let mut shell = stage.shell(&oncall)?;
    let root = stage.as_root().join(" ");
    let line = format!("{root} {}; echo did-$((40+2))", stage.noop("first"));
    let from = shell.ask(&line, "did-42", stage.limit(20))?;
    shell.wait_for("recorder: this session is recorded", 0, stage.limit(10))?;
    let line = format!("{root} {}; sleep 1; echo did-$((40+3))", stage.noop("second"));
    shell.ask(&line, "did-43", stage.limit(20))?;
    let shown = String::from_utf8_lossy(&shell.shown()).matches("this session is recorded").count();
    ensure!(shown == 1, "it was told {shown} times (from {from})");
    leave(stage, shell, 1)?;
    stage.finish(running)?;
    Ok(())
}

/// Refused, granted, told, ended with everything that was left behind, and saved by broken glass.
pub(crate) fn grants_are_enforced(stage: &mut Stage) -> Result<()> {
    let anna = stage.account("anna", Sudo::Free)?;
    let office = Office::open(stage, &anna)?;
    Office::configure(stage, "enforcement = \"enforce\"\ngrace = \"4s\"\n")?;
    let running = stage.record()?;
    let mut shell = stage.shell(&anna)?;

    let early = stage.path("early");
    let from = shell.mark();
    shell.ask(&format!("sudo -n touch {early}; echo early-$((40+2))"), "early-42", stage.limit(20))?;
    ensure!(!Path::new(&early).exists(), "sudo ran without a grant");
    shell.wait_for("you have no grant for this host", from, stage.limit(10))?;

    // H10: a grant for one command.
    office.grant(stage, "*", "command:touch *", &["--for", "1h"])?;
    office.grant(stage, "*", "command:sleep 1", &["--for", "1h"])?;
    active(stage, 2)?;
    let path = stage.path("allowed");
    shell.ask(&format!("sudo -n touch {path}; echo made-$((40+2))"), "made-42", stage.limit(20))?;
    ensure!(Path::new(&path).exists(), "sudo was refused under a grant for this command");
    // Another program does not start; other arguments are known only when it runs.
    let shut = stage.path("shut");
    for n in 0..10 {
        shell.ask(
            &format!("sudo -n sh -c '>{shut}'; echo sh-$((40+{n}))"),
            &format!("sh-{}", 40 + n),
            stage.limit(20),
        )?;
    }
    ensure!(!Path::new(&shut).exists(), "another program than the grant's ran");
    shell.ask("sudo -n sleep 700; echo slept-$((40+2))", "slept-42", stage.limit(20))?;

    office.grant(stage, "*", "root", &["--for", "25s"])?;
    active(stage, 3)?;
    stage.become_root(&mut shell)?;
    let from = shell.mark();
    for left in ["setsid sleep 701", "nohup sleep 702", "setsid nohup sleep 703"] {
        shell.type_line(&format!("{left} </dev/null >/dev/null 2>&1 &"))?;
    }
    shell.ask("echo left-$((40+2))", "left-42", stage.limit(20))?;
    // Somebody else's work on the same host, and his own that is not elevated.
    let mut bystander = Command::new("sleep").arg("704").stdin(Stdio::null()).spawn()?;
    shell.wait_for("your grant ends in", 0, stage.limit(30))?;
    shell.wait_for("your grant is over; this session is ended", from, stage.limit(60))?;
    // nohup ignores the first signal, nobody the second.
    proc::until("what was left behind is ended", stage.limit(30), || {
        [701, 702, 703].iter().all(|n| !runs(*n)).then_some(())
    })?;
    ensure!(bystander.try_wait()?.is_none(), "somebody else's process was ended");
    bystander.kill()?;
    bystander.wait()?;
    shell.ask("echo still-$((40+2))", "still-42", stage.limit(20))?;

    let glass =
        ["break-glass", "--reason", "the pager rings", "--host", "*", "--for", "1h", "--privilege", "root"];
    office.deliver(&office.write(stage, "anna", &glass)?)?;
    active(stage, 4)?;
    let path = stage.path("glass");
    shell.ask(&format!("sudo -n sh -c '>{path}'; echo glass-$((40+2))"), "glass-42", stage.limit(20))?;
    ensure!(Path::new(&path).exists(), "sudo was refused under broken glass");
    leave(stage, shell, 1)?;
    let events = stage.finish(running)?;
    let acts = |act: &str| {
        let of_act = events.of_kind("enforcement").filter(move |e| text(e, &["enforcement", "act"]) == act);
        of_act
            .map(|e| format!("{} {}", text(e, &["enforcement", "reason"]), text(e, &["enforcement", "text"])))
            .collect::<Vec<_>>()
    };
    let stopped = acts("stopped");
    ensure!(
        stopped.first().is_some_and(|s| s.starts_with("no_grant") && s.ends_with("/touch")),
        "refusals: {stopped:?}"
    );
    ensure!(
        stopped.iter().filter(|s| s.starts_with("wrong_privilege")).count() == 10,
        "refusals: {stopped:?}"
    );
    let killed = acts("killed");
    ensure!(killed.first().is_some_and(|k| k.starts_with("wrong_privilege")), "ended: {killed:?}");
    ensure!(killed.iter().filter(|k| *k == "late sleep").count() >= 2, "ended: {killed:?}");
    ensure!(acts("hung_up").len() == 1, "told to end: {:?}", acts("hung_up"));
    let story = String::from_utf8(stage.site.read_ok(&["timeline", &events.session_of("702")?])?)?;
    for part in ["ENFORCED", "processes told to end (late)", "OVERDUE"] {
        ensure!(story.contains(part), "the timeline does not tell {part:?}:\n{story}");
    }
    Ok(())
}

/// Waits until so many grants have become active.
fn active(stage: &Stage, count: usize) -> Result<()> {
    proc::until(&format!("{count} grants were active"), stage.limit(20), || {
        let events = Events::load(&stage.site).ok()?;
        let states = events.of_kind("grant").filter(|e| text(e, &["grant_change", "text"]) == "active");
        (states.count() >= count).then_some(())
    })
}

/// True if `sleep SECONDS` runs.
fn runs(seconds: u32) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let Ok(all) = fs::read_dir("/proc") else { return true };
    all.filter_map(Result::ok)
        .any(|p| fs::read(p.path().join("cmdline")).is_ok_and(|c| c == wanted.as_bytes()))
}
