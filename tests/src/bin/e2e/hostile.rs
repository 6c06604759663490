//! Odd bytes and sudden ends: the recorder goes on, and what it sealed stays provable.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, argv, field, number, text},
    proc,
};
use serde_json::Value;

use crate::stage::Stage;

pub(crate) fn odd_bytes(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let odd = stage.path("odd");
    let terminal = stage.elevated(
        &oncall,
        &[&stage.workload(), "odd", "--dir", &odd, "--prefix", &stage.mark, "--truth", &stage.path("truth")],
    )?;
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    // Arguments that are no text: an escaped form, and the exact bytes beside it.
    let tag = stage.tag("bytes");
    let exec = events.execs_with(&tag).next().context("the exec with odd arguments is missing")?;
    ensure!(
        exec.to_string().contains("_b64\""),
        "bytes that are not UTF-8 have no _b64 field: {}",
        exec.pointer("/exec").unwrap_or(&Value::Null)
    );
    ensure!(
        argv(exec).any(str::is_empty),
        "the empty argument is gone: {:?}",
        argv(exec).collect::<Vec<_>>()
    );

    // A huge argument and a huge list: whole, or cut and stated.
    let huge = stage.tag("huge-");
    let exec = events
        .of_kind("exec")
        .find(|event| argv(event).any(|arg| arg.starts_with(&huge)))
        .context("the exec with the huge argument is missing")?;
    let whole = argv(exec)
        .any(|arg| Some(arg.len()) == number(&truth, &["huge"]).and_then(|n| usize::try_from(n).ok()));
    ensure!(whole || cut(exec), "the huge argument is neither whole nor stated as cut");
    let tag = stage.tag("many");
    let exec = events.execs_with(&tag).next().context("the exec with many arguments is missing")?;
    ensure!(argv(exec).count() >= 20_000 || cut(exec), "the long list is neither whole nor stated as cut");

    // No arguments at all: recorded with the path that the kernel used.
    let program = text(&truth, &["argc0"]);
    ensure!(
        events.of_kind("exec").any(|event| text(event, &["exec", "path"]) == program),
        "the exec without arguments is missing"
    );

    // Names: exact bytes, or their escaped form; the one beyond PATH_MAX with its end, or cut and stated.
    for (what, part) in [("the longest name", "n".repeat(255)), ("the name of bytes", "caf".to_owned())] {
        let prefix = format!("{odd}/{part}");
        let found = events.of_kind("create").any(|event| text(event, &["file", "path"]).starts_with(&prefix));
        ensure!(found, "{what} is not among the created files");
    }
    let bottom = text(&truth, &["deep_tail"]);
    let deep =
        events.of_kind("create").find(|event| text(event, &["file", "path"]).ends_with(bottom) || cut(event));
    ensure!(deep.is_some(), "the file beyond PATH_MAX is neither there nor stated as cut");
    Ok(())
}

fn cut(event: &Value) -> bool {
    let flagged = field(event, &["flags"]).and_then(Value::as_array);
    event.get("cut").is_some_and(|cut| !cut.is_null())
        || flagged.is_some_and(|flags| flags.iter().any(|flag| flag.as_str() == Some("truncated")))
}

/// Ten crashes on one journal, each in the middle of work.
pub(crate) fn kill_9_under_load(stage: &mut Stage) -> Result<()> {
    // Where all is emulated a start takes seconds; the law is the same for fewer.
    let rounds = stage.crashes().unwrap_or(if stage.is_emulated() { 4 } else { 6 });
    let oncall = stage.account("oncall", Sudo::Free)?;
    stage.site.small_segments()?;
    let (gate, touched) = (stage.path("stop"), stage.dir.join("touched"));
    let script = format!("while [ ! -e {gate} ]; do {} ; : >{}; done", stage.noop("load"), touched.display());
    // The session is older than any of the recorders, so each of them has to find it.
    let terminal = stage.elevated(&oncall, &["/bin/sh", "-c", &script])?;
    for round in 0..rounds {
        let running = stage.record().with_context(|| format!("start {round}"))?;
        // Under load: work was done since this recorder was ready, and something was written since that work.
        // The first turn of the loop may have begun before; the second has not.
        for _ in 0..2 {
            let _ = std::fs::remove_file(&touched);
            proc::until("the load works", stage.limit(30), || touched.exists().then_some(()))?;
        }
        let before = written(&stage.site.journal);
        proc::until("the journal grows", stage.limit(30), || {
            (written(&stage.site.journal) != before).then_some(())
        })?;
        running.crash()?;
        // The log only grows: the last look covers every crash, the ones in between tell sooner which.
        if round % 10 == 0 {
            let (code, json) = stage.site.verify()?;
            ensure!(code <= 1, "after crash {round} verify ends with {code}: {json}");
        }
    }
    let running = stage.record()?;
    std::fs::write(&gate, "")?;
    terminal.finish(stage.limit(60))?;
    running.stop(stage.limit(60))?;
    stage.whole()?;
    let events = Events::load(&stage.site)?;
    let crashes =
        events.of_kind("boot").filter(|event| text(event, &["boot", "previous_end"]) == "crash").count();
    ensure!(crashes == usize::try_from(rounds)?, "{crashes} of {rounds} crashes are declared");
    let loads = events.execs_with(&stage.tag("load")).count();
    ensure!(loads > 0, "nothing of the load was recorded");
    Ok(())
}

/// A number that changes with every write to the journal: preallocated files keep their length.
fn written(journal: &std::path::Path) -> u64 {
    let Ok(files) = recorder_tests::journal::files(journal) else { return 0 };
    files
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok()?.modified().ok())
        .filter_map(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|age| u64::try_from(age.as_nanos()).unwrap_or(0))
        .max()
        .unwrap_or(0)
}

/// Runs a program to its end with a closed standard input.
pub(crate) fn output(command: &mut Command) -> Result<std::process::Output> {
    command.stdin(Stdio::null()).output().context("cannot start the recorder")
}
