//! Work that is handed to other people's processes (docs/attacks.md, group B): stand-ins for the daemons, where everything is in the
//! scenario's hands. The real ones are on the systemd machine.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, number, text},
    proc,
};
use serde_json::Value;

use crate::{
    secrets::leave,
    stage::{Stage, quiet},
};

/// The delegation records of one session with that role.
fn ends<'e>(events: &'e Events, session: &str, role: &str) -> Vec<&'e Value> {
    events
        .of_kind("delegation")
        .filter(|e| text(e, &["session"]) == session && text(e, &["delegation", "role"]) == role)
        .collect()
}

/// What ran with `tag` is a session of its own that says it came of the session of `asker`, and the other way round.
fn came_of(stage: &Stage, events: &Events, tag: &str, asker: &str, trigger: &str) -> Result<()> {
    came_so_surely(stage, events, tag, asker, (trigger, "certain"))
}

/// As above, of a script: by its inode, or where that is not seen by its path.
fn came_of_script(stage: &Stage, events: &Events, tag: &str, asker: &str) -> Result<()> {
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let confidence = if text(boot, &["boot", "backend"]) == "trampoline" { "certain" } else { "likely" };
    came_so_surely(stage, events, tag, asker, ("plant", confidence))
}

fn came_so_surely(
    stage: &Stage,
    events: &Events,
    tag: &str,
    asker: &str,
    (trigger, confidence): (&str, &str),
) -> Result<()> {
    let child = events.session_of(&stage.tag(tag))?;
    let parent = events.session_of(&stage.tag(asker))?;
    ensure!(child != parent, "{tag} ran in the asker's own session");
    let by = ends(events, &child, "by");
    ensure!(by.len() == 1, "{tag} came of {} others", by.len());
    let one = by.first().context("none")?;
    let told = |key| text(one, &["delegation", key]);
    ensure!(told("session") == parent, "{tag} came of {}, not of {parent}", told("session"));
    ensure!(told("trigger") == trigger && told("confidence") == confidence, "{tag}: {one}");
    let to = ends(events, &parent, "to");
    ensure!(
        to.iter().any(|e| text(e, &["delegation", "session"]) == child),
        "the asker does not know of {tag}: {to:?}"
    );
    Ok(())
}

/// A program that a session wrote is run by somebody else, also when the session is over.
pub(crate) fn planted_program(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let (planted, own) = (stage.path("planted"), stage.path("nobodys"));
    fs::copy(stage.workload(), &own)?;
    terminal.ask(
        &format!(
            "{}; cp {} {planted}; chmod 755 {planted}; echo did-$((40+2))",
            stage.noop("planter"),
            stage.workload()
        ),
        "did-42",
        stage.limit(20),
    )?;
    quiet(&planted, &["noop", &stage.tag("fired")])?;
    quiet(&own, &["noop", &stage.tag("others")])?;
    leave(stage, terminal, 2)?;
    quiet(&planted, &["noop", &stage.tag("fired-late")])?;
    let events = stage.finish(running)?;
    came_of(stage, &events, "fired", "planter", "plant")?;
    let late = events.session_of(&stage.tag("fired-late"))?;
    let by = ends(&events, &late, "by");
    let planter = events.session_of(&stage.tag("planter"))?;
    ensure!(by.iter().any(|e| text(e, &["delegation", "session"]) == planter), "fired late: {by:?}");
    ensure!(events.execs_with(&stage.tag("others")).next().is_none(), "nobody's program is recorded");
    Ok(())
}

/// A script that a session wrote, and one that it moved to its place: what others run is the interpreter.
pub(crate) fn planted_script(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let [planted, draft, moved, own] = ["planted", "draft", "moved", "nobodys"].map(|name| stage.path(name));
    let script = format!("#!/bin/sh\n{} noop \"$1\"\n", stage.workload());
    fs::write(&own, &script)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
    let line = format!(
        "{}; cat {own} >{planted}; cat {own} >{draft}; chmod 755 {planted} {draft}; mv {draft} {moved}; echo did-$((40+2))",
        stage.noop("planter")
    );
    terminal.ask(&line, "did-42", stage.limit(20))?;
    // Where it is known by its path, the service has to have heard of it.
    std::thread::sleep(stage.limit(1) / 4);
    for (script, tag) in [(&planted, "fired"), (&moved, "fired-moved"), (&own, "others")] {
        quiet(script, &[&stage.tag(tag)])?;
    }
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    came_of_script(stage, &events, "fired", "planter")?;
    came_of_script(stage, &events, "fired-moved", "planter")?;
    ensure!(events.execs_with(&stage.tag("others")).next().is_none(), "nobody's script is recorded");
    Ok(())
}

/// The kernel itself runs what a session wrote: the helper that it names for core dumps.
pub(crate) fn planted_helper(stage: &mut Stage) -> Result<()> {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let oncall = stage.account("oncall", Sudo::Free)?;
    let before = fs::read_to_string(PATTERN)?;
    stage.janitor.at_end(&format!("echo '{}' >{PATTERN}", before.trim()))?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let (helper, fired) = (stage.path("helper"), stage.path("fired"));
    let line = format!(
        "{}; printf '#!/bin/sh\\n{}\\n: >{fired}\\n' >{helper}; chmod 755 {helper}; echo '|{helper}' >{PATTERN}; echo did-$((40+2))",
        stage.noop("planter"),
        stage.noop("dumped")
    );
    terminal.ask(&line, "did-42", stage.limit(20))?;
    std::thread::sleep(stage.limit(1) / 4);
    let _ = Command::new("/bin/sh").args(["-c", "kill -SEGV $$"]).status()?;
    let ran = proc::until("the helper", stage.limit(20), || Path::new(&fired).exists().then_some(()));
    fs::write(PATTERN, before.trim())?;
    ran?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    came_of_script(stage, &events, "dumped", "planter")
}

/// A daemon by that name, which nobody logged in to.
fn daemon(stage: &Stage, name: &str) -> Result<PathBuf> {
    let path = stage.dir.join(name);
    fs::copy(stage.workload(), &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Lines of cron's tables and jobs of at, as the daemons run them.
pub(crate) fn planted_jobs(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let (cron, atd) = (daemon(stage, "cron")?, daemon(stage, "atd")?);
    let table = PathBuf::from(format!("/etc/cron.d/{}", stage.tag("table")));
    let spool = PathBuf::from(format!("/var/spool/cron/atjobs/{}", stage.tag("a")));
    for path in [&table, &spool] {
        fs::create_dir_all(path.parent().context("no directory")?)?;
        stage.janitor.at_end(&format!("rm -f {}", path.display()))?;
    }
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let job = stage.noop("by-cron");
    // No field of the table may be a file of this directory.
    let line = format!(
        "{}; echo '* * * * * root {job}' >{}; echo '{}' >{}; echo did-$((40+2))",
        stage.noop("planter"),
        table.display(),
        stage.noop("by-at"),
        spool.display()
    );
    terminal.ask(&line, "did-42", stage.limit(20))?;
    let run = |daemon: &Path, words: &[&str]| quiet(&daemon.display().to_string(), words);
    run(&cron, &["daemon", "/bin/sh", "-c", &job])?;
    run(&cron, &["daemon", "/bin/sh", "-c", &stage.noop("hosts")])?;
    run(&atd, &["daemon", "--stdin", &spool.display().to_string(), "/bin/sh"])?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let written: Vec<_> = ["create", "open", "rename"]
        .iter()
        .flat_map(|kind| events.of_kind(kind))
        .map(|e| {
            format!(
                "{} {} {}",
                text(e, &["kind"]),
                text(e, &["file", "path"]),
                e.pointer("/boot_ns").map(ToString::to_string).unwrap_or_default()
            )
        })
        .filter(|line| line.contains("cron"))
        .collect();
    came_of(stage, &events, "by-cron", "planter", "cron").with_context(|| format!("written: {written:?}"))?;
    came_of(stage, &events, "by-at", "planter", "at")?;
    let hosts = events.session_of(&stage.tag("hosts"))?;
    let by = ends(&events, &hosts, "by");
    ensure!(
        by.len() == 1 && by.iter().all(|e| text(e, &["delegation", "session"]).is_empty()),
        "the host's own job: {by:?}"
    );
    let start =
        events.of_kind("session_start").find(|e| text(e, &["session"]) == hosts).context("no start")?;
    ensure!(text(start, &["session_start", "elevation", "via"]) == "scheduled", "{start}");
    Ok(())
}

/// B6: ptrace and its kin on a process of nobody's are told; on a child of his own they are his own business.
pub(crate) fn taken_hold_of(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let mut target = Command::new("sleep").arg("706").stdin(Stdio::null()).spawn()?;
    let pid = u64::from(target.id());
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let line = format!(
        "{} reach {pid}; echo reached-$?; {}; echo did-$((40+2))",
        stage.workload(),
        stage.noop("reached")
    );
    let asked = terminal.ask(&line, "reached-0", stage.limit(5));
    let asked = asked.and_then(|from| terminal.wait_for("did-42", from, stage.limit(20)));
    let told = asked.and_then(|_| {
        leave(stage, terminal, 2)?;
        stage.finish(running)
    });
    // Not sooner: who it is, the service looks up when it hears of it.
    proc::kill(&mut target);
    let events = told?;
    let session = events.session_of(&stage.tag("reached"))?;
    let held: Vec<_> = ends(&events, &session, "asked")
        .into_iter()
        .filter(|e| text(e, &["delegation", "trigger"]) == "control")
        .collect();
    ensure!(
        held.iter().all(|e| number(e, &["delegation", "peer"]) == Some(pid)),
        "more than that process: {held:?}"
    );
    let mut means: Vec<_> = held.iter().map(|e| text(e, &["delegation", "what"])).collect();
    means.sort_unstable();
    let memory = means.contains(&"its memory was opened");
    means.retain(|what| *what != "its memory was opened");
    ensure!(means == ["pidfd_getfd", "process_vm_readv", "ptrace"], "seen: {means:?}");
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let opened = events.of_kind("open").any(|e| text(e, &["file", "path"]) == format!("/proc/{pid}/mem"));
    ensure!(
        memory == (text(boot, &["boot", "backend"]) == "trampoline") && opened,
        "its memory: told {memory}, opened {opened}"
    );
    ensure!(
        held.iter().all(|e| text(e, &["delegation", "to"]).ends_with("sleep") || stage.is_emulated()),
        "not by its program: {held:?}"
    );
    Ok(())
}

fn field(out: &mut Vec<u8>, code: u8, kind: u8, value: &str) -> Result<()> {
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend([code, 1, kind, 0]);
    if kind == b'g' {
        out.push(u8::try_from(value.len())?);
    } else {
        out.extend(u32::try_from(value.len())?.to_le_bytes());
    }
    out.extend(value.as_bytes());
    out.push(0);
    Ok(())
}

/// `StartTransientUnit(unit, "replace", more)`, without its arrays, as a client sends it behind its authentication.
fn start_unit(unit: &str, more: &str) -> Result<Vec<u8>> {
    let mut fields = Vec::new();
    field(&mut fields, 1, b'o', "/org/freedesktop/systemd1")?;
    field(&mut fields, 2, b's', "org.freedesktop.systemd1.Manager")?;
    field(&mut fields, 3, b's', "StartTransientUnit")?;
    field(&mut fields, 8, b'g', "sss")?;
    let mut body = Vec::new();
    for word in [unit, "replace", more] {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(u32::try_from(word.len())?.to_le_bytes());
        body.extend(word.as_bytes());
        body.push(0);
    }
    let mut out = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n".to_vec();
    let mut message = vec![b'l', 1, 0, 1];
    message.extend(u32::try_from(body.len())?.to_le_bytes());
    message.extend(1u32.to_le_bytes());
    message.extend(u32::try_from(fields.len())?.to_le_bytes());
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    out.extend(message);
    Ok(out)
}

/// A manager that is asked for a unit makes its control group and starts it there; another one it starts by itself.
pub(crate) fn asked_for_a_unit(stage: &mut Stage) -> Result<()> {
    asked(stage, false)
}

/// The same where the kernel's own copy can't be read: the manager never sleeps, and the message lies in a page and nowhere else.
pub(crate) fn asked_in_haste(stage: &mut Stage) -> Result<()> {
    asked(stage, true)
}

fn asked(stage: &mut Stage, in_haste: bool) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let groups = stage.dir.join("groups");
    fs::create_dir(&groups)?;
    quiet("mount", &["-t", "cgroup2", "none", &groups.display().to_string()])?;
    let units = ["asked", "nobodys"].map(|unit| groups.join(format!("{}.service", stage.tag(unit))));
    let clean: Vec<String> = units.iter().map(|unit| format!("rmdir {}", unit.display())).collect();
    stage.janitor.at_end(&format!("{}; umount {}", clean.join("; "), groups.display()))?;
    // The number of this user, in a place that no real manager has.
    let socket = PathBuf::from("/run/user/00/bus");
    fs::create_dir_all("/run/user/00")?;
    let _ = fs::remove_file(&socket);
    stage.janitor.at_end("rm -rf /run/user/00")?;
    let listener = UnixListener::bind(&socket)?;
    let message = stage.dir.join("message");
    let filler = "x".repeat(if in_haste { 3700 } else { 0 });
    fs::write(&message, start_unit(&format!("{}.service", stage.tag("asked")), &filler)?)?;

    let mut jobs: Vec<(PathBuf, String)> =
        units.iter().cloned().zip([stage.noop("by-manager"), stage.noop("others")]).collect();
    if in_haste {
        // What he doesn't name may still be his then (docs/delegation.md).
        jobs.truncate(1);
    }
    let manager = thread::spawn(move || -> Result<()> {
        let (mut client, _) = listener.accept()?;
        let mut heard = [0; 4096];
        if in_haste {
            client.set_nonblocking(true)?;
            while client.read(&mut heard).is_err() {}
            client.set_nonblocking(false)?;
        } else {
            thread::sleep(Duration::from_millis(200));
            ensure!(client.read(&mut heard)? > 0, "nothing was said");
        }
        for (group, job) in jobs {
            fs::create_dir(&group)?;
            let line = format!("echo $$ >{}/cgroup.procs; exec {job}", group.display());
            let status = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).status()?;
            ensure!(status.success(), "the unit ended with {status}");
        }
        client.write_all(b"!")?;
        Ok(())
    });
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let line = format!(
        "{}; {} say {} {}; echo did-$((40+2))",
        stage.noop("asker"),
        stage.workload(),
        socket.display(),
        message.display()
    );
    terminal.ask(&line, "did-42", stage.limit(30))?;
    proc::until("the manager", stage.limit(20), || manager.is_finished().then_some(()))?;
    manager.join().map_err(|_| anyhow::anyhow!("the manager panicked"))??;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let boot = events.of_kind("boot").next().context("no boot record")?;
    if boot.to_string().contains("what sessions ask service managers for") {
        // Said, and then nothing is guessed.
        ensure!(
            events.execs_with(&stage.tag("by-manager")).next().is_none(),
            "a request was seen all the same"
        );
        return Ok(());
    }
    came_of(stage, &events, "by-manager", "asker", "unit")?;
    let asker = events.session_of(&stage.tag("asker"))?;
    let asked = ends(&events, &asker, "asked");
    ensure!(
        asked.iter().any(|e| text(e, &["delegation", "what"]).contains(&stage.tag("asked"))),
        "what was asked for is not on record: {asked:?}"
    );
    ensure!(
        events.execs_with(&stage.tag("others")).next().is_none(),
        "a unit that nobody asked for is recorded"
    );
    Ok(())
}
