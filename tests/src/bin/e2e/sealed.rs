//! A journal that is sealed to its recipients: they read all of it, everybody else verifies all of it and reads nothing.

use std::fs;

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{self, text},
    proc,
    recorder::Site,
};
use rustix::process::Signal;

use crate::{
    grants,
    hostile::output,
    secrets::leave,
    stage::{Stage, quiet},
};

/// Makes a key with the stock tool; gives its public half.
fn make_key(stage: &Stage, name: &str) -> Result<(std::path::PathBuf, String)> {
    let file = stage.dir.join(name);
    quiet("age-keygen", &["-o", &file.display().to_string()])?;
    let out = output(std::process::Command::new("age-keygen").arg("-y").arg(&file))?;
    Ok((file, String::from_utf8(out.stdout)?.trim().to_owned()))
}

/// All bytes of the journal's segments.
fn bytes(site: &Site) -> Result<Vec<u8>> {
    let all = journal::segments(&site.journal)?.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    Ok(all.concat())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

/// The whole story of a grant, with restarts, in a journal that the host itself can't read.
pub(crate) fn sealed_journal(stage: &mut Stage) -> Result<()> {
    let (identity, public) = make_key(stage, "identity.txt")?;
    stage.site.seal(&[&public], &identity)?;
    grants::grant_covers_a_session(stage)?;
    ensure!(fs::read_dir(stage.dir.join("memory"))?.next().is_some(), "the host kept nothing for itself");

    let all = bytes(&stage.site)?;
    for planted in ["anna", "boss", "pagerduty", "the disk is full", "that is enough", &stage.tag("during")] {
        ensure!(!holds(&all, planted), "{planted:?} stands in the sealed journal");
    }
    let session = journal::sessions(&stage.site)?.first().map(|s| text(s, &["id"]).to_owned());
    let session = session.context("no session is listed")?;
    stage.site.identity = None;
    let (code, verdict) = stage.site.verify()?;
    ensure!(code == 1, "without a key verify ends with {code}: {verdict}");
    let modes = verdict.pointer("/logs/0/encryption").and_then(serde_json::Value::as_str);
    ensure!(modes == Some("1 recipient"), "verify tells the encryption {modes:?}");
    let listed = journal::sessions(&stage.site)?;
    let found =
        listed.iter().find(|s| text(s, &["id"]) == session).context("without a key it is not listed")?;
    ensure!(text(found, &["completeness"]) == "complete", "without a key it is {found}");
    for words in [vec!["timeline", &session], vec!["grant", "list"]] {
        let out = stage.site.read(&words)?;
        ensure!(out.status.code() == Some(6), "{words:?} without a key: {}", out.status);
    }
    let (other, _) = make_key(stage, "other.txt")?;
    stage.site.identity = Some(other);
    let (code, verdict) = stage.site.verify()?;
    ensure!(code == 6, "with another's key verify ends with {code}: {verdict}");
    Ok(())
}

/// Another recipient is named while a session runs: nothing breaks, and each reads what was sealed to him.
pub(crate) fn recipients_change(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let (first, public) = make_key(stage, "first.txt")?;
    let (second, other) = make_key(stage, "second.txt")?;
    stage.site.seal(&[&public], &first)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("before")), "did-42", stage.limit(20))?;
    proc::until("the first exec is on disk", stage.limit(20), || {
        let events = journal::Events::load(&stage.site).ok()?;
        events.execs_with(&stage.tag("before")).next().map(|_| ())
    })?;
    let config = fs::read_to_string(&stage.site.config)?;
    fs::write(&stage.site.config, config.replace(&public, &other))?;
    proc::signal(running.child(), Signal::HUP)?;
    let said = || running.said().contains("sealed to 1 recipients").then_some(());
    proc::until("the recorder says who can read on", stage.limit(20), said)?;
    stage.site.identity = Some(second.clone());
    proc::until("a segment for the other", stage.limit(30), || {
        let (_, verdict) = stage.site.verify().ok()?;
        (verdict.pointer("/logs/0/opened")?.as_u64()? > 0).then_some(())
    })?;
    terminal.ask(&format!("{}; echo did-$((40+3))", stage.noop("after")), "did-43", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let seen = |tag: &str| events.execs_with(&stage.tag(tag)).next().is_some();
    ensure!(seen("after") && !seen("before"), "the second reads what was sealed to him, and only that");
    stage.site.identity = Some(first);
    let events = journal::Events::load(&stage.site)?;
    let seen = |tag: &str| events.execs_with(&stage.tag(tag)).next().is_some();
    ensure!(seen("before") && !seen("after"), "the first reads what was sealed to him, and only that");
    let (_, verdict) = stage.site.verify()?;
    let whole = |s: &serde_json::Value| text(s, &["completeness"]) == "complete";
    let sessions =
        verdict.pointer("/sessions").and_then(serde_json::Value::as_array).context("no sessions")?;
    ensure!(!sessions.is_empty() && sessions.iter().all(whole), "{verdict}");
    Ok(())
}
