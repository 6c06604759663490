//! The recorder ends and starts again while people work: what they left behind stays theirs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, text},
    proc,
};

use crate::{logins::session_is_of, secrets::leave, stage::Stage};

/// Work that shows no more whose it is (another login uid, parents that are gone) and work that somebody else's process does for him: over
/// a kill and over a stop both are his, and say what they came of.
pub(crate) fn restart_in_the_middle(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let [go, hidden, planted] = ["go", "hidden", "planted"].map(|name| stage.path(name));
    let waits = |tag: &str, n: u32| {
        format!("until [ -e {go}-{n} ]; do sleep 0.2; done; {}", stage.noop(&format!("{tag}-{n}")))
    };
    let work = |tag: &str| [1, 2, 3].map(|n| waits(tag, n)).join("\n");
    fs::write(&hidden, format!("{}\n", work("hidden")))?;
    let draft = stage.path("draft");
    fs::write(&draft, format!("#!/bin/sh\n{}\n", work("planted")))?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let lines = [
        stage.noop("asker"),
        format!("cat {draft} >{planted}; chmod 755 {planted}"),
        format!("(echo 4294967295 >/proc/self/loginuid; setsid sh {hidden} </dev/null >/dev/null 2>&1 &)"),
        "echo did-$((40+2))".to_owned(),
    ];
    terminal.ask(&lines.join("; "), "did-42", stage.limit(20))?;
    ensure!(fs::metadata(&planted)?.permissions().mode() & 0o111 != 0, "nothing was planted");
    let mut others = Command::new(&planted).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    stage.janitor.watch(&others)?;
    leave(stage, terminal, 2)?;

    let did = |n: u32, tag: &str| {
        let tag = stage.tag(&format!("{tag}-{n}"));
        proc::until(&format!("{tag} is on disk"), stage.limit(30), || {
            Events::load(&stage.site).ok()?.session_of(&tag).ok()
        })
    };
    let round = |n: u32| -> Result<()> {
        fs::write(format!("{go}-{n}"), "")?;
        did(n, "hidden")?;
        did(n, "planted").map(drop)
    };
    round(1)?;
    // What was forked within the last second before a kill, and lost its parent, is not known (docs/sessions.md).
    std::thread::sleep(std::time::Duration::from_secs(3));
    running.crash()?;
    let running = stage.record()?;
    round(2)?;
    running.stop(stage.limit(60))?;
    let running = stage.record()?;
    round(3)?;
    proc::wait(&mut others, stage.limit(20))?;
    stage.janitor.forget(others.id())?;
    let events = stage.finish(running)?;

    let asker = session_is_of(stage, &events, "asker", &oncall)?;
    let mut before = asker.clone();
    for n in [1, 2, 3] {
        let his = session_is_of(stage, &events, &format!("hidden-{n}"), &oncall)?;
        ensure!((n == 1) == (his == asker), "run {n}: {his} and {asker}");
        // Each run's own session of it came of the one before, and the first of who planted it.
        let branch = session_is_of(stage, &events, &format!("planted-{n}"), &oncall)?;
        let by =
            events.came_by(&branch).with_context(|| format!("run {n}: the planted script came of nobody"))?;
        let told = |key| text(by, &["delegation", key]);
        ensure!((told("session"), told("trigger")) == (before.as_str(), "plant"), "run {n}: {by}");
        before = branch;
    }
    Ok(())
}
