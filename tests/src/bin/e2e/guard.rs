//! What is tried with the recorder itself (docs/attacks.md, groups E and F2): on record in either mode, refused in one of them.

use std::{
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, files, number, text},
    proc,
    recorder::Running,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::Stage;

const EPERM: i64 = 1;
/// How often one of the attempts is made.
const OFTEN: u64 = 50;
/// How often, where the kernel would refuse it in any case.
const WITHOUT_RIGHTS: u64 = 3;

/// Each attempt as the workload names it, its act, its object, and the signal if it is one.
const ATTEMPTS: [(&str, &str, &str, u64); 20] = [
    ("stop", "signal", "process", 19),
    ("cont", "signal", "process", 18),
    ("limit", "limit", "process", 0),
    ("nice", "priority", "process", 0),
    ("trace", "trace", "process", 0),
    ("async", "signal", "process", 28),
    ("mem", "open", "process", 0),
    ("thread-oom", "open", "process", 0),
    ("ftrace", "open", "switch", 0),
    ("map", "map", "map", 0),
    ("append", "open", "journal", 0),
    ("create", "create", "journal", 0),
    ("link", "link", "journal", 0),
    ("truncate", "truncate", "journal", 0),
    ("chmod", "attributes", "journal", 0),
    ("move", "rename", "journal", 0),
    ("xattr", "xattr", "journal", 0),
    ("flags", "ioctl", "journal", 0),
    ("lock", "lock", "journal", 0),
    ("watch", "watch", "journal", 0),
];
/// What is tried only where it is refused.
const WHOLE: [(&str, &str, &str, u64); 5] = [
    ("kill", "signal", "process", 9),
    ("term", "signal", "process", 15),
    ("remove", "unlink", "journal", 0),
    ("above", "rename", "journal", 0),
    ("cover", "mount", "journal", 0),
];

/// True if this machine has a guard; else that there is none is said.
fn is_there(stage: &Stage, running: &Running) -> Result<bool> {
    let events = Events::load(&stage.site)?;
    let boot = events.of_kind("boot").last().context("no boot record")?;
    let blind = field(boot, &["boot", "blind"]).map(Value::to_string).unwrap_or_default();
    let declared = blind.contains("guard: there is none");
    ensure!(declared == running.said().contains("there is no guard"), "said and recorded differ: {blind}");
    let able = text(boot, &["boot", "backend"]) == "trampoline"
        && fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|list| list.contains("bpf"));
    ensure!(able != declared, "the guard could be there: {able}, and is said not to be: {declared}");
    Ok(able)
}

fn configure(stage: &Stage, mode: &str) -> Result<()> {
    let config = fs::read_to_string(&stage.site.config)?;
    let off = "[guard]\nmode = \"off\"\n";
    ensure!(config.contains(off), "the guard is not switched off in {config}");
    fs::write(&stage.site.config, config.replace(off, &format!("[guard]\nmode = \"{mode}\"\n")))?;
    Ok(())
}

fn segment(dir: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir()
            && let Ok(found) = segment(&path)
        {
            return Ok(found);
        }
        if path.extension().is_some_and(|end| end == "rj") {
            return Ok(path);
        }
    }
    anyhow::bail!("no segment in {}", dir.display())
}

/// The words of an assault, and where its truth will lie.
fn assault(stage: &Stage, running: &Running, who: &str, whole: bool) -> Result<Vec<String>> {
    let scratch = stage.dir.join(format!("scratch-{who}"));
    fs::create_dir(&scratch)?;
    let words = [
        stage.workload(),
        "assault".to_owned(),
        "--pid".to_owned(),
        running.child().id().to_string(),
        "--segment".to_owned(),
        segment(&stage.site.journal)?.display().to_string(),
        "--scratch".to_owned(),
        scratch.display().to_string(),
        "--times".to_owned(),
        OFTEN.to_string(),
        "--truth".to_owned(),
        stage.path(who),
    ];
    Ok(words.into_iter().chain(whole.then(|| "--whole".to_owned())).collect())
}

/// Assaults from within a session, and by somebody who is nobody's session; what came of each attempt.
fn assaults(stage: &mut Stage, running: &Running, whole: bool) -> Result<[Value; 2]> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let words = assault(stage, running, "inside", whole)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.elevated(&oncall, &words)?.finish(stage.limit(30))?;
    let words = assault(stage, running, "outside", whole)?;
    let (program, words) = words.split_first().context("no words")?;
    let out = Command::new(program).args(words).output()?;
    ensure!(out.status.success(), "the assault ended: {}", String::from_utf8_lossy(&out.stderr));
    Ok([stage.truth("inside")?, stage.truth("outside")?])
}

/// Somebody who has no rights tries it, several times and as several processes.
fn by_nobody(stage: &Stage) -> Result<()> {
    let segment = segment(&stage.site.journal)?;
    for _ in 0..WITHOUT_RIGHTS {
        let mut chmod = Command::new("chmod");
        // He gets to it by a descriptor: no directory keeps him away.
        let out =
            chmod.args(["600", "/proc/self/fd/0"]).stdin(fs::File::open(&segment)?).uid(65534).output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            said.contains("not permitted"),
            "anybody may change the journal, or did not get to it: {said}"
        );
    }
    Ok(())
}

/// These are one, with their number.
fn recorded_as_one(events: &Events) -> Result<()> {
    let found = events.of_kind("guard").filter(|e| number(e, &["guard", "start_ns"]) == Some(1));
    let found: Vec<_> = found.collect();
    let counts: Vec<_> = found.iter().filter_map(|e| number(e, &["guard", "count"])).collect();
    ensure!(counts.last() == Some(&WITHOUT_RIGHTS) && counts.len() <= 3, "told as {found:?}");
    ensure!(found.iter().all(|e| text(e, &["guard", "act"]) == "attributes"), "{found:?}");
    Ok(())
}

/// Each attempt is on record for that session (none: of nobody's), refused or not.
fn recorded(events: &Events, session: Option<&str>, denied: bool, whole: bool) -> Result<()> {
    let whole: &[_] = if whole { &WHOLE } else { &[] };
    for (name, act, object, signal) in ATTEMPTS.iter().chain(whole) {
        let found = events.of_kind("guard").find(|e| {
            text(e, &["guard", "act"]) == *act
                && text(e, &["guard", "object"]) == *object
                && (*signal == 0 || number(e, &["guard", "signal"]) == Some(*signal))
                && field(e, &["guard", "session"]).and_then(Value::as_str) == session
                && text(e, &["task", "comm"]).contains("workload")
        });
        let found = found.with_context(|| format!("{name} is not on record for {session:?}"))?;
        let was = field(found, &["guard", "denied"]).and_then(Value::as_bool);
        ensure!(was == Some(denied), "{name} refused: {was:?}: {found}");
    }
    let often = events.of_kind("guard").filter(|e| {
        text(e, &["guard", "act"]) == "priority"
            && field(e, &["guard", "session"]).and_then(Value::as_str) == session
    });
    let counts: Vec<_> = often.filter_map(|e| number(e, &["guard", "count"])).collect();
    ensure!(counts.last() == Some(&OFTEN), "{OFTEN} attempts are told as {counts:?}");
    ensure!(counts.len() <= 4, "attempts of one process are {} records", counts.len());
    Ok(())
}

/// The session of the assault, of those that are on record.
fn session(events: &Events) -> Result<String> {
    let found = events.of_kind("guard").find_map(|e| field(e, &["guard", "session"]).and_then(Value::as_str));
    Ok(found.context("no attempt is tied to a session")?.to_owned())
}

/// Without a guard who sends the recorder a signal is on record, and gets his way.
fn signals_all_the_same(stage: &mut Stage, running: Running) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let pid = running.child().id().to_string();
    let words = ["-c", "kill -WINCH $0 && kill -WINCH $0 && kill -HUP $0", &pid];
    stage.elevated(&oncall, &["/bin/sh", words[0], words[1], words[2]])?.finish(stage.limit(30))?;
    let out = Command::new("/bin/sh").args(words).output()?;
    ensure!(out.status.success(), "a signal did not go through: {}", String::from_utf8_lossy(&out.stderr));
    let events = stage.finish(running)?;
    let session = session(&events)?;
    for session in [Some(session.as_str()), None] {
        let found = events
            .of_kind("guard")
            .filter(|e| field(e, &["guard", "session"]).and_then(Value::as_str) == session);
        let found: Vec<_> = found.collect();
        let last = found.last().with_context(|| format!("nothing on record for {session:?}"))?;
        let told = (number(last, &["guard", "signal"]), number(last, &["guard", "count"]));
        ensure!(told == (Some(28), Some(2)) && found.len() <= 3, "told as {found:?}");
        ensure!(field(last, &["guard", "denied"]) == Some(&Value::Bool(false)), "{last}");
    }
    Ok(())
}

/// E1, E4, E5, F2, mode `record`: all of it happens, and is on record with who did it.
pub(crate) fn attempts_are_recorded(stage: &mut Stage) -> Result<()> {
    configure(stage, "record")?;
    let running = stage.record()?;
    if !is_there(stage, &running)? {
        return signals_all_the_same(stage, running);
    }
    for truth in assaults(stage, &running, false)? {
        for (name, errno) in truth.as_object().context("no truth")? {
            // What this file system has no flags for is asked all the same.
            ensure!(errno == 0 || name == "flags", "{name} came back with {errno}: nothing is refused here");
        }
    }
    by_nobody(stage)?;
    let events = stage.finish(running)?;
    let session = session(&events)?;
    recorded(&events, Some(&session), false, false)?;
    recorded(&events, None, false, false)?;
    recorded_as_one(&events)
}

/// The same with mode `enforce`: all of it is refused, and on record; who started the recorder ends it.
pub(crate) fn attempts_are_refused(stage: &mut Stage) -> Result<()> {
    configure(stage, "enforce")?;
    let running = stage.record()?;
    if !is_there(stage, &running)? {
        return signals_all_the_same(stage, running);
    }
    for truth in assaults(stage, &running, true)? {
        for (name, errno) in truth.as_object().context("no truth")? {
            // Nobody is told what became of that signal.
            ensure!(errno.as_i64() == Some(EPERM) || name == "async", "{name} came back with {errno}");
        }
    }
    // Not even who started it, before he asked it to end.
    let killed = proc::signal(running.child(), Signal::KILL);
    ensure!(killed.is_err(), "it was killed by who started it");
    let events = stage.finish(running)?;
    let session = session(&events)?;
    recorded(&events, Some(&session), true, true)?;
    recorded(&events, None, true, true)?;
    let own = events.of_kind("guard").find(|e| text(e, &["task", "comm"]).contains("e2e"));
    ensure!(
        own.is_some_and(|e| number(e, &["guard", "signal"]) == Some(9)),
        "the early kill is not on record"
    );
    Ok(())
}

/// What of the journal somebody had open to write, or mapped to be written, when the recorder came: of what he does with it no hook tells.
pub(crate) fn held_from_before(stage: &mut Stage) -> Result<()> {
    let before = stage.record()?;
    stage.finish(before)?;
    configure(stage, "record")?;
    let [first, second] = [0, 1].map(|n| files(&stage.site.journal).map(|all| all.get(n).cloned()));
    let (open, mapped) = (first?.context("no file")?, second?.context("no second file")?);
    let mut holder = Command::new(stage.workload())
        .arg("keep")
        .args([Path::new("--open"), &open, Path::new("--mapped"), &open, Path::new("--mapped"), &mapped])
        .args([Path::new("--read"), &mapped])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = [0; 5];
    holder.stdout.take().context("no standard output")?.read_exact(&mut said)?;
    let running = stage.record()?;
    let found = proc::until("what was held is on record", stage.limit(30), || {
        let events = Events::load(&stage.site).ok()?;
        let told = events.of_kind("guard").filter(|event| text(event, &["guard", "act"]) == "held");
        let told = told.map(|event| {
            let (path, pid) = (text(event, &["guard", "path"]), number(event, &["guard", "pid"]));
            (PathBuf::from(path), pid, number(event, &["guard", "count"]))
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        (told.len() >= 2).then_some(told)
    })?;
    let by = Some(u64::from(holder.id()));
    drop(holder.stdin.take());
    holder.wait()?;
    stage.finish(running)?;
    let mut wanted = vec![(open, by, Some(2)), (mapped, by, Some(1))];
    wanted.sort();
    ensure!(found == wanted, "{found:?} instead of {wanted:?}");
    Ok(())
}
