//! E7: sessions in masses, process trees of great depth, kernel maps that are full.

use std::{
    collections::{HashMap, HashSet},
    env,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, number, sessions, text},
    pty::Terminal,
};

use crate::stage::{SIZE, Stage};

/// One after the other, unless `E7_SESSIONS` says otherwise; a run of 100,000 stands in docs/benchmarks.md.
const SESSIONS: u32 = 2000;
/// At once, each with so many names of programs that are not there: together more than the kernel's map holds, which is 4096.
const AT_ONCE: u32 = 8;
const MISSING: u32 = 700;
/// Together more than the kernel's map holds, which is 16384.
const ADDRESSEES: u32 = 2500;
const LEVELS: u32 = 300;

pub(crate) fn masses(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    // Maps are filled on every machine; the rest is what it has time for.
    let wanted = match env::var("E7_SESSIONS") {
        Ok(told) => told.parse().with_context(|| format!("E7_SESSIONS is {told}"))?,
        Err(_) => SESSIONS,
    };
    let (count, levels) = (stage.count(wanted), stage.count(LEVELS));
    let numbers = [count, AT_ONCE, MISSING, ADDRESSEES, levels].map(|n| n.to_string());
    let [count_word, at_once, missing, addressees, levels_word] = &numbers;
    let (program, workload) = (stage.path("bin/become-root"), stage.workload());
    let prefix = stage.tag("crowd");
    let words = [
        &workload,
        "crowd",
        "--program",
        &program,
        "--sessions",
        count_word,
        "--at-once",
        at_once,
        "--prefix",
        &prefix,
        "--missing",
        missing,
        "--addressees",
        addressees,
        "--levels",
        levels_word,
    ];
    let terminal = Terminal::start(stage.login(&oncall, &words), SIZE.0, SIZE.1)?;
    let (status, shown) = terminal.finish(stage.limit(300))?;
    ensure!(status.success(), "the crowd ended with {status}: {}", String::from_utf8_lossy(&shown));
    let events = stage.finish(running)?;

    // Each is a session of its own, with what it ran, from its start to its end.
    let ran = events.of_kind("exec").filter_map(|exec| {
        let tag = exec.pointer("/exec/argv/2")?.as_str()?.strip_prefix(&format!("{prefix}-"))?;
        Some((tag.parse::<u32>().ok()?, text(exec, &["session"]).to_owned()))
    });
    let ran: Vec<(u32, String)> = ran.collect();
    let numbers: HashSet<u32> = ran.iter().map(|(number, _)| *number).collect();
    let of: HashSet<&str> = ran.iter().map(|(_, session)| session.as_str()).collect();
    let wanted = usize::try_from(count)?;
    ensure!((numbers.len(), of.len(), ran.len()) == (wanted, wanted, wanted), "{} of {count}", of.len());
    let listed = sessions(&stage.site)?;
    let whole = listed
        .iter()
        .filter(|s| of.contains(text(s, &["id"])) && text(s, &["completeness"]).starts_with("complete"));
    let whole = whole.count();
    ensure!(whole == wanted, "{whole} of {count} sessions are complete");

    for which in 0..AT_ONCE {
        let session = events.session_of(&format!("{prefix}-at-once-{which}-deepest"))?;
        let deep = events
            .of_kind("exec")
            .filter(|e| text(e, &["session"]) == session)
            .filter(|e| e.pointer("/exec/argv/1").and_then(serde_json::Value::as_str) == Some("deeper"));
        let deep = deep.count();
        ensure!(deep == usize::try_from(levels)?, "{deep} of {levels} levels");
        let failed = last_counts(&events, &session)?;
        let named = failed.iter().filter(|((path, _), _)| !path.is_empty());
        ensure!(
            failed.values().sum::<u64>() == u64::from(MISSING),
            "{} names and {:?} of {MISSING} programs that could not be started",
            named.count(),
            failed
                .iter()
                .filter(|((path, errno), count)| path.is_empty() || *errno != Some(2) || **count != 1)
                .collect::<Vec<_>>()
        );
        let sent = events.of_kind("send").filter(|e| text(e, &["session"]) == session);
        let sent: u64 = sent.filter_map(|e| number(e, &["socket", "count"])).sum();
        ensure!(sent == u64::from(ADDRESSEES), "{sent} of {ADDRESSEES} packets");
    }
    // The names had no room for all of them.
    let unnamed = events.of_kind("exec_failed").any(|e| text(e, &["exec_failed", "path"]).is_empty());
    ensure!(unnamed, "the map was never full");
    Ok(())
}

/// The last record of each name holds.
fn last_counts<'e>(events: &'e Events, session: &str) -> Result<HashMap<(&'e str, Option<u64>), u64>> {
    let mut last = HashMap::new();
    for event in events.of_kind("exec_failed").filter(|e| text(e, &["session"]) == session) {
        let count = number(event, &["exec_failed", "count"]).context("no count")?;
        last.insert((text(event, &["exec_failed", "path"]), number(event, &["exec_failed", "errno"])), count);
    }
    Ok(last)
}
