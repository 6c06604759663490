//! Everything that a counted load did is in the journal: every exec, every file, every byte of the terminal.

use std::collections::HashSet;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, number, text},
    truth::sha256,
};
use serde_json::Value;

use crate::stage::{SIZE, Stage};

const EXECS: u32 = 4000;
const FILES: u32 = 20_000;
const FAILING: u32 = 5000;
const TERMINAL_BYTES: u32 = 10_000_000;
/// Six times what its scenario allows.
const FLOOD_BYTES: u32 = 400_000;
/// How many missing names an error quotes.
const QUOTED: usize = 3;

pub(crate) fn execs_all_there(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let terminal = stage.elevated(
        &oncall,
        &[
            &stage.workload(),
            "execs",
            "--count",
            &stage.count(EXECS).to_string(),
            "--prefix",
            &stage.mark,
            "--truth",
            &stage.path("truth"),
        ],
    )?;
    ended_well(terminal.finish(stage.limit(120))?)?;
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let args = events.exec_args();
    let expected = |kind: &str, key: &str| -> Result<Vec<String>> {
        let count = number(&truth, &[key]).context("truth without a count")?;
        Ok((0..count).map(|n| format!("{}-{kind}-{n}", stage.mark)).collect())
    };
    for (kind, key) in [("v", "spawned"), ("s", "shell")] {
        let names = expected(kind, key)?;
        complete(key, &names, |name| args.get(name.as_str()).is_some_and(|count| *count == 1))?;
    }
    let session = events.session_of(&format!("{}-v-0", stage.mark))?;
    let elsewhere = events
        .of_kind("exec")
        .filter(|event| {
            recorder_tests::journal::argv(event).any(|arg| arg.starts_with(&format!("{}-", stage.mark)))
        })
        .filter(|event| text(event, &["session"]) != session)
        .count();
    ensure!(elsewhere == 0, "{elsewhere} execs are not in the session {session}");
    // Each of those processes ended, and the fork that made it is there too.
    let exits = events.of_kind("exit").filter(|event| text(event, &["session"]) == session).count();
    let processes = stage.count(EXECS);
    ensure!(exits >= usize::try_from(processes)?, "only {exits} exits for {processes} processes");
    Ok(())
}

pub(crate) fn files_all_there(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let terminal = stage.elevated(
        &oncall,
        &[
            &stage.workload(),
            "files",
            "--count",
            &stage.count(FILES).to_string(),
            "--failing",
            &stage.count(FAILING).to_string(),
            "--dir",
            &stage.path(&stage.mark),
            "--truth",
            &stage.path("truth"),
        ],
    )?;
    ended_well(terminal.finish(stage.limit(180))?)?;
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let dir = text(&truth, &["dir"]);
    let path = |name: &str, n: u64| format!("{dir}/{name}-{n}");
    let paths = |kind: &str| -> HashSet<String> {
        events.of_kind(kind).map(|event| text(event, &["file", "path"]).to_owned()).collect()
    };
    let renames: HashSet<(String, String)> = events
        .of_kind("rename")
        .map(|e| (text(e, &["file", "path"]).to_owned(), text(e, &["file", "to"]).to_owned()))
        .collect();
    let refused: HashSet<String> = events
        .of_kind("open")
        .filter(|event| field(event, &["file", "result"]).and_then(Value::as_i64) == Some(-2))
        .map(|event| text(event, &["file", "path"]).to_owned())
        .collect();
    let (created, unlinked) = (paths("create"), paths("unlink"));
    let numbers = |key: &str| -> Result<Vec<u64>> {
        Ok((0..number(&truth, &[key]).context("truth without a count")?).collect())
    };
    complete("create", &numbers("create")?, |n| created.contains(&path("born", *n)))?;
    complete("rename", &numbers("rename")?, |n| renames.contains(&(path("born", *n), path("moved", *n))))?;
    complete("unlink", &numbers("unlink")?, |n| unlinked.contains(&path("moved", *n)))?;
    complete("failing open", &numbers("failing")?, |n| refused.contains(&path("absent", *n)))?;
    Ok(())
}

pub(crate) fn terminal_byte_exact(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let terminal = stage.elevated(
        &oncall,
        &[
            &stage.workload(),
            "show",
            "--bytes",
            &stage.count(TERMINAL_BYTES).to_string(),
            "--truth",
            &stage.path("truth"),
        ],
    )?;
    let name = terminal.name().to_owned();
    let (status, shown) = terminal.finish(stage.limit(180))?;
    ensure!(status.success(), "the workload ended with {status}");
    let truth = stage.truth("truth")?;
    ensure!(
        text(&truth, &["shown_sha256"]) == sha256(&shown),
        "the terminal itself showed something else than the workload wrote"
    );
    let events = stage.finish(running)?;
    same_stream(&events, &name, &shown)?;
    same_screen(stage, &shown)
}

/// A terminal that floods is bounded: what it showed first is there, then lengths and hashes that are exact, and ends of them.
pub(crate) fn flood_is_folded(stage: &mut Stage) -> Result<()> {
    stage.site.set("capture", "terminal_burst = \"64KiB\"\nterminal_rate = \"1KiB\"")?;
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (bytes, truth) = (FLOOD_BYTES.to_string(), stage.path("truth"));
    let workload = stage.workload();
    let terminal = stage.elevated(&oncall, &[&workload, "show", "--bytes", &bytes, "--truth", &truth])?;
    let name = terminal.name().to_owned();
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}");
    let events = stage.finish(running)?;
    let (mut at, mut kept, mut folded) = (0, 0, 0);
    for event in events.of_kind("tty_output") {
        if text(event, &["tty", "name"]).trim_start_matches("/dev/") != name {
            continue;
        }
        let data = STANDARD.decode(text(event, &["tty", "data"])).context("no base64")?;
        kept += data.len();
        let whole = number(event, &["cut", "bytes"]).map_or(Ok(data.len()), usize::try_from)?;
        let part = shown.get(at..at + whole).context("more than was shown")?;
        ensure!(part.ends_with(&data), "what is kept at {at} is not the end of what was shown");
        if whole > data.len() {
            folded += 1;
            ensure!(text(event, &["cut", "sha256"]) == sha256(part), "another hash at {at}");
        }
        at += whole;
    }
    ensure!(at == shown.len(), "{at} bytes accounted for of {}", shown.len());
    ensure!(folded > 0 && kept < shown.len() / 2, "{folded} folds, {kept} of {} bytes kept", shown.len());
    Ok(())
}

/// The stream of the person's terminal is what it showed, byte for byte.
fn same_stream(events: &Events, name: &str, shown: &[u8]) -> Result<()> {
    let streams = events.shown()?;
    let Some(stream) = streams.get(name) else {
        let lengths: Vec<_> = streams.iter().map(|(name, bytes)| (name, bytes.len())).collect();
        bail!("nothing recorded of {name}; recorded: {lengths:?}");
    };
    if sha256(stream) == sha256(shown) {
        return Ok(());
    }
    let same = stream.iter().zip(shown).take_while(|(a, b)| a == b).count();
    let excerpt = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes.get(same..).unwrap_or_default().get(..60).unwrap_or_default())
            .into_owned()
    };
    bail!(
        "{} bytes recorded of {} shown on {name}; the first difference is at {same}: recorded {:?}, shown {:?}",
        stream.len(),
        shown.len(),
        excerpt(stream),
        excerpt(shown)
    );
}

/// `replay --final` shows what an emulator shows that was fed with the truth.
fn same_screen(stage: &Stage, shown: &[u8]) -> Result<()> {
    let mut emulator = vt100::Parser::new(SIZE.1, SIZE.0, 0);
    emulator.process(shown);
    let expected: Vec<String> =
        emulator.screen().rows(0, SIZE.0).map(|row| row.trim_end().to_owned()).collect();
    let out = stage.site.read_ok(&["replay", "last", "--final", "--format", "json"])?;
    let json: Value = serde_json::from_slice(&out).context("replay printed no JSON")?;
    let mut lines = screen(&json).with_context(|| format!("no screen in what replay printed: {json}"))?;
    lines.resize(expected.len().max(lines.len()), String::new());
    if lines != expected {
        let differing = expected.iter().zip(&lines).enumerate().find(|(_, (a, b))| a != b);
        bail!("the replayed screen differs from the emulator's: {differing:?}");
    }
    Ok(())
}

/// The first list of lines in the answer, wherever it stands.
pub(crate) fn screen(json: &Value) -> Option<Vec<String>> {
    match json {
        Value::Array(list) if !list.is_empty() => {
            let lines: Option<Vec<_>> =
                list.iter().map(|line| line.as_str().map(|line| line.trim_end().to_owned())).collect();
            lines.or_else(|| list.iter().find_map(screen))
        }
        Value::Object(map) => map.values().find_map(screen),
        _ => None,
    }
}

pub(crate) fn resize_is_recorded(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.elevated(&oncall, &["/bin/sh", "-c", "echo size; read x; stty size; read x"])?;
    terminal.wait_for("size", 0, stage.limit(20))?;
    terminal.resize(77, 19)?;
    // Through sudo's own pty the new size needs a moment; the person presses Enter until he sees it.
    terminal.ask("", "\r\n", stage.limit(20))?;
    terminal.ask("", "\r\n", stage.limit(20))?;
    terminal.finish(stage.limit(20))?;
    let events = stage.finish(running)?;
    let found = events.of_kind("tty_resize").any(|event| {
        number(event, &["tty", "cols"]) == Some(77) && number(event, &["tty", "rows"]) == Some(19)
    });
    ensure!(found, "no tty_resize to 77 by 19");
    Ok(())
}

/// Every one of these is there, or the error says how many are not and names some.
fn complete<T: std::fmt::Debug>(what: &str, expected: &[T], found: impl Fn(&T) -> bool) -> Result<()> {
    ensure!(!expected.is_empty(), "{what}: the workload did nothing");
    let missing: Vec<_> = expected.iter().filter(|item| !found(item)).collect();
    let some: Vec<_> = missing.iter().take(QUOTED).collect();
    ensure!(
        missing.is_empty(),
        "{what}: {} of {} are not in the journal, such as {some:?}",
        missing.len(),
        expected.len()
    );
    Ok(())
}

fn ended_well((status, shown): (std::process::ExitStatus, Vec<u8>)) -> Result<()> {
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    Ok(())
}
