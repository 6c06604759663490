//! Programs beyond an honest exec line (docs/attacks.md, C): failed ones, mapped ones, 32-bit ones, arguments of every length.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, argv, field, number, text},
};
use serde_json::Value;

use crate::stage::Stage;

/// What is kept of arguments here: less than is passed.
const KEPT: u64 = 1800 << 10;
const PASSED: usize = 1_900_000;

/// What was not executed, or not by an exec, is on record with exact counts; what is too long for one record stands in several.
pub(crate) fn beyond_the_exec(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    stage.site.set("capture", "arguments = \"1800KiB\"")?;
    let running = stage.record()?;
    let (dir, truth, long) = (stage.path(&stage.mark), stage.path("truth"), PASSED.to_string());
    let words = [
        &stage.workload(),
        "starts",
        "--dir",
        &dir,
        "--prefix",
        &stage.mark,
        "--long",
        &long,
        "--truth",
        &truth,
    ];
    let terminal = stage.elevated(&oncall, &words)?;
    let (status, shown) = terminal.finish(stage.limit(120))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let sees_all = text(boot, &["boot", "backend"]) == "trampoline";

    failures(&truth, &events)?;
    mappings(&truth, &events, sees_all)?;
    compat(&truth, &events, boot, sees_all)?;

    let tag = stage.tag("thread");
    let exec = events.execs_with(&tag).next().context("the exec of a thread is missing")?;
    let id = |name| number(exec, &["task", name]);
    ensure!(id("pid").is_some() && id("pid") == id("tid"), "it became the leader: {exec}");
    let tag = stage.tag("raw-calls");
    let exec = events.execs_with(&tag).next().context("the exec by clone3 and execveat is missing")?;
    ensure!(text(exec, &["exec", "path"]) == text(&truth, &["program"]), "{exec}");
    let tag = stage.tag("other-name");
    let exec = events.execs_with(&tag).next().context("the exec under another name is missing")?;
    ensure!(argv(exec).next() == Some("-innocent"), "{exec}");
    ensure!(text(exec, &["exec", "path"]) == text(&truth, &["program"]), "the kernel's path wins: {exec}");
    arguments(&truth, &events, &stage.tag("long"))
}

/// The last count of each.
fn counts<'a>(events: &'a Events, kind: &'a str, and: &str) -> BTreeMap<(&'a str, String), u64> {
    let each = events.of_kind(kind).map(|event| {
        let word = field(event, &[kind, and]).map(ToString::to_string).unwrap_or_default();
        ((text(event, &[kind, "path"]), word), number(event, &[kind, "count"]).unwrap_or(0))
    });
    each.collect()
}

fn failures(truth: &Value, events: &Events) -> Result<()> {
    let told = counts(events, "exec_failed", "errno");
    for one in field(truth, &["failed", "each"]).and_then(Value::as_array).context("no failures")? {
        let key = (text(one, &["path"]), field(one, &["errno"]).map(ToString::to_string).unwrap_or_default());
        ensure!(told.get(&key) == number(one, &["count"]).as_ref(), "{one}: {:?}", told.get(&key));
    }
    // Beyond the names that are kept they are counted by their errno.
    let others = number(truth, &["failed", "others"]).context("no others")?;
    let named: Vec<u64> =
        told.iter().filter(|((path, _), _)| path.contains("/absent-")).map(|(_, count)| *count).collect();
    let rest = told.get(&("", "2".to_owned())).copied().unwrap_or(0);
    ensure!(named.iter().sum::<u64>() + rest == others, "{} names and {rest} of {others}", named.len());
    ensure!((100..=1024).contains(&named.len()) && rest > 0, "{} names", named.len());
    let records = events.of_kind("exec_failed").count();
    ensure!(records < 2 * 1024 + 100, "{records} records of {} failures", others + 3000);
    for event in events.of_kind("exec_failed") {
        ensure!(field(event, &["session"]).is_some_and(Value::is_string), "nobody's: {event}");
    }
    Ok(())
}

fn mappings(truth: &Value, events: &Events, sees_all: bool) -> Result<()> {
    let told = counts(events, "mapped", "how");
    for one in field(truth, &["mapped"]).and_then(Value::as_array).context("no mappings")? {
        let path = text(one, &["path"]);
        let how = field(one, &["how"]).map(ToString::to_string).unwrap_or_default();
        // What is made executable later is a blind spot there, and declared.
        let wanted = if how == "null" || (how == "\"mprotect\"" && !sees_all) {
            None
        } else {
            number(one, &["count"])
        };
        let found = told.iter().find(|((of, _), _)| *of == path);
        ensure!(
            found.map(|((_, by), count)| (by.clone(), *count)) == wanted.map(|n| (how, n)),
            "{one}: {found:?}"
        );
        if wanted.is_some() {
            let event = events.of_kind("mapped").find(|event| text(event, &["mapped", "path"]) == path);
            let ino = event.and_then(|event| number(event, &["mapped", "ino"]));
            ensure!(ino == number(one, &["ino"]), "{one}: {ino:?}");
        }
    }
    Ok(())
}

/// A 32-bit program's exec is seen in any case; what it does, by one backend, and the other one says that it does not see it.
fn compat(truth: &Value, events: &Events, boot: &Value, sees_all: bool) -> Result<()> {
    let program = text(truth, &["compat", "program"]);
    if field(truth, &["compat", "ran"]) == Some(&Value::Bool(false)) {
        // This kernel runs none: that it was tried is on record.
        let tried = counts(events, "exec_failed", "errno");
        ensure!(tried.get(&(program, "8".to_owned())) == Some(&1), "{program} was tried: {tried:?}");
        return Ok(());
    }
    let exec = events.of_kind("exec").find(|event| text(event, &["exec", "path"]) == program);
    ensure!(exec.is_some(), "the exec of a 32-bit program is missing");
    let made = text(truth, &["compat", "made"]);
    let created = events.of_kind("create").any(|event| text(event, &["file", "path"]) == made);
    let blind = boot.pointer("/boot/blind").map(ToString::to_string).unwrap_or_default();
    ensure!(
        created || (!sees_all && blind.contains("32-bit system calls")),
        "{made} is not on record: {blind}"
    );
    Ok(())
}

/// A field of a record that is too long to be shown.
fn said_of<'a>(more: &'a Value, name: &str) -> &'a Value {
    field(more, &["arguments", name]).unwrap_or(&Value::Null)
}

/// As many as were to be kept, in one record or in several, and how many there were.
fn arguments(truth: &Value, events: &Events, tag: &str) -> Result<()> {
    let exec = events.execs_with(tag).next().context("the exec with long arguments is missing")?;
    let wanted = truth.get("argv").and_then(Value::as_array).context("a truth without arguments")?;
    let wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
    let of_exec =
        |event: &&Value| event.get("task") == exec.get("task") && event.get("boot_ns") == exec.get("boot_ns");
    let more: Vec<&Value> = events.of_kind("arguments").filter(of_exec).collect();
    ensure!(more.len() > 1, "{} records behind the exec", more.len());
    let mut kept: Vec<&str> = argv(exec).collect();
    for one in &more {
        ensure!(number(one, &["arguments", "from"]) == u64::try_from(kept.len()).ok(), "a hole: {one}");
        let list = one.pointer("/arguments/argv").and_then(Value::as_array).context("no list")?;
        kept.extend(list.iter().filter_map(Value::as_str));
        for (name, said) in [("argc", "argc"), ("bytes", "bytes")] {
            ensure!(
                number(one, &["arguments", name]) == number(truth, &[said]),
                "{name}: {}",
                said_of(one, "argc")
            );
        }
        ensure!(
            number(one, &["arguments", "kept_argc"]).is_some_and(|n| n > 20),
            "{}",
            said_of(one, "kept_argc")
        );
    }
    ensure!(
        number(exec, &["cut", "bytes"]) == number(truth, &["bytes"]),
        "{}",
        exec.get("cut").unwrap_or(&Value::Null)
    );
    let (last, whole) = kept.split_last().context("nothing is kept")?;
    ensure!(wanted.starts_with(whole), "other arguments than were passed");
    ensure!(wanted.get(whole.len()).is_some_and(|arg| arg.starts_with(last)), "the cut one is another");
    let bytes: usize = kept.iter().map(|arg| arg.len() + 1).sum();
    let bytes = u64::try_from(bytes)?;
    ensure!((KEPT..KEPT + 8192).contains(&bytes), "{bytes} bytes are kept");
    ensure!(
        more.iter()
            .all(|one| number(one, &["arguments", "kept_bytes"]).is_some_and(|n| n.abs_diff(bytes) <= 1))
    );
    Ok(())
}

/// Whatever is changed while a program starts, the record says what the program itself got; and what has no exec of its own is seen by
/// what it does.
pub(crate) fn what_the_kernel_used(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let (dir, truth) = (stage.path(&stage.mark), stage.path("truth"));
    let races = format!("{} races --dir {dir} --prefix {} --truth {truth}", stage.workload(), stage.mark);
    let mut step = 0;
    let mut run = |line: &str| -> Result<()> {
        step += 1;
        let word = format!("did-{}", 40 + step);
        terminal.ask(&format!("{line} && echo did-$((40+{step}))"), &word, stage.limit(60))?;
        Ok(())
    };
    run(&races)?;
    // No program at all, and programs that run others within themselves.
    let by_builtin = stage.path("by-builtin");
    run(&format!(": >{by_builtin}"))?;
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    let loaded = fs::canonicalize("/bin/true").ok().filter(|_| loader.exists());
    let (preload, by_perl) = (stage.path("preload.so"), stage.path("by-perl"));
    let library = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6"].map(Path::new);
    let library = library.into_iter().find(|path| path.exists()).filter(|_| loaded.is_some());
    if loaded.is_some() {
        run(&format!("{} /bin/true {}", loader.display(), stage.tag("loaded")))?;
    }
    if let Some(library) = library {
        fs::copy(library, &preload)?;
        run(&format!("LD_PRELOAD={preload} /bin/true"))?;
    }
    let perl = Path::new("/usr/bin/perl").exists();
    if perl {
        run(&format!("perl -e 'open(F, q(>), q({by_perl}))'"))?;
    }
    crate::secrets::leave(stage, terminal, 2)?;
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    for told in truth.get("all").and_then(Value::as_array).context("no programs")? {
        let wanted: Vec<&str> = field(told, &["argv"])
            .and_then(Value::as_array)
            .context("no argv")?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let exec = events.of_kind("exec").find(|event| argv(event).eq(wanted.iter().copied()));
        let exec =
            exec.with_context(|| format!("no exec with the arguments that the program got: {wanted:?}"))?;
        ensure!(
            text(exec, &["exec", "path"]) == text(told, &["program"]),
            "{told}: {}",
            text(exec, &["exec", "path"])
        );
    }
    // A process by another name is still the one that was executed.
    let act =
        events.of_kind("create").find(|event| text(event, &["file", "path"]) == text(&truth, &["renamed"]));
    let act = act.context("the act under another name is missing")?;
    ensure!(text(act, &["task", "comm"]) == "innocent", "{act}");
    let same = |event: &&Value| {
        ["pid", "start_ns"].iter().all(|key| number(event, &["task", key]) == number(act, &["task", key]))
    };
    let exec = events.of_kind("exec").filter(same).last().context("its exec is missing")?;
    ensure!(text(exec, &["exec", "path"]) == text(&truth, &["program"]), "{exec}");

    let created = |path: &str| events.of_kind("create").any(|event| text(event, &["file", "path"]) == path);
    ensure!(created(&by_builtin), "what a builtin made is not on record");
    ensure!(!perl || created(&by_perl), "what perl made is not on record");
    let mapped = |path: &str| events.of_kind("mapped").any(|event| text(event, &["mapped", "path"]) == path);
    if let Some(program) = loaded {
        let tag = stage.tag("loaded");
        let exec = events.execs_with(&tag).next().context("the exec of the loader is missing")?;
        ensure!(text(exec, &["exec", "path"]).contains("ld-linux"), "{exec}");
        ensure!(mapped(&program.display().to_string()), "what the loader ran is not on record");
    }
    ensure!(library.is_none() || mapped(&preload), "a preloaded library is not on record");
    // All of it stands in the session that a set-user-id program began.
    let start = events.of_kind("session_start").next().context("no session")?;
    ensure!(text(start, &["session_start", "elevation", "via"]) == "setuid", "{start}");
    Ok(())
}
