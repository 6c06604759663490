//! Whose work it stays, whatever he does to look like somebody else (docs/attacks.md, groups A and B).

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use recorder_tests::{
    account::Sudo,
    journal::{self, number, text},
    proc,
    pty::Terminal,
};

use crate::{
    company::{Tmux, detach},
    logins::{Sshd, session_is_of},
    secrets::leave,
    stage::{SIZE, Stage, quiet},
};

/// A1: no terminal at all: a script on standard input, one that is decoded on the way, a here-document.
pub(crate) fn no_terminal(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let root = stage.as_root().join(" ");
    let coded = STANDARD.encode(format!("{}\n", stage.noop("coded")));
    let ways = [
        ("stdin", format!("exec {root} /bin/sh"), format!("{}\n", stage.noop("stdin"))),
        ("coded", format!("echo {coded} | base64 -d | {root} /bin/sh"), String::new()),
        ("here", format!("{root} /bin/sh <<END\n{}\nEND\n", stage.noop("here")), String::new()),
    ];
    for (way, line, input) in &ways {
        let mut child = Command::new("setsid")
            .args(stage.human(&oncall))
            .args(["/bin/sh", "-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
        let status = proc::wait(&mut child, stage.limit(20))?;
        ensure!(status.success(), "{way} ended with {status}");
    }
    let events = stage.finish(running)?;
    for (way, ..) in &ways {
        session_is_of(stage, &events, way, &oncall)?;
    }
    Ok(())
}

/// A9: several channels of one connection, and files that are carried by sftp and rsync as root.
pub(crate) fn one_connection_many_channels(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let sshd = Sshd::start(stage, &oncall)?;
    let running = stage.record()?;
    let (path, port) = (format!("ControlPath={}", stage.path("control")), sshd.port().to_string());
    let host = format!("{}@127.0.0.1", oncall.name);
    let mut master = sshd.ssh(&oncall);
    master.args(["-o", &path, "-M", "-N"]).stdin(Stdio::null());
    let mut master = master.spawn()?;
    stage.janitor.watch(&master)?;
    let control = stage.path("control");
    proc::until("the connection", stage.limit(20), || Path::new(&control).exists().then_some(()))?;
    for way in ["first", "second"] {
        let words = format!("sudo -n {}", stage.noop(way));
        run(sshd.ssh(&oncall).args(["-o", &path, "-T", &words]), "")?;
    }
    // As root, each to where only root may write.
    let (kept, file) = (stage.dir.join("roots"), stage.path("file"));
    fs::create_dir(&kept)?;
    fs::set_permissions(&kept, Permissions::from_mode(0o700))?;
    fs::write(&file, "carried\n")?;
    let server = "sudo -n /usr/lib/openssh/sftp-server";
    let put = format!("put {file} {}/by-sftp\n", kept.display());
    run(sshd.options("sftp").args(["-q", "-P", &port, "-s", server, "-b", "-", &host]), &put)?;
    let shell = sshd.options("ssh");
    let words = shell.get_args().map(|word| word.to_string_lossy().into_owned());
    let shell = format!("ssh {} -p {port}", words.collect::<Vec<_>>().join(" "));
    let to = format!("{host}:{}/by-rsync", kept.display());
    run(Command::new("rsync").args(["-e", &shell, "--rsync-path=sudo -n rsync", &file, &to]), "")?;
    proc::kill(&mut master);
    stage.janitor.forget(master.id())?;
    drop(sshd);
    for name in ["by-sftp", "by-rsync"] {
        ensure!(fs::read(kept.join(name))? == b"carried\n", "{name} did not arrive");
    }
    let events = stage.finish(running)?;
    for way in ["first", "second"] {
        session_is_of(stage, &events, way, &oncall)?;
    }
    let listed = journal::sessions(&stage.site)?;
    for (kind, key, name) in [("create", "path", "by-sftp"), ("rename", "to", "by-rsync")] {
        let written = events.of_kind(kind).find(|event| text(event, &["file", key]).ends_with(name));
        let session = text(written.with_context(|| format!("nothing of {name}"))?, &["session"]);
        let whose = listed.iter().find(|listed| text(listed, &["id"]) == session).context("no session")?;
        ensure!(number(whose, &["auid"]) == Some(oncall.uid.into()), "{name} is somebody else's: {whose}");
    }
    Ok(())
}

/// Runs it to its end with this on its standard input.
fn run(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let out = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{} ended with {}: {said}", command.get_program().display(), out.status);
    Ok(())
}

/// A8: programs that give a shell: editors, pagers, interpreters; those that this machine has.
pub(crate) fn shells_out_of_programs(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let text = stage.path("text");
    fs::write(&text, "one line\n")?;
    let ways = |way: &str, noop: &str| match way {
        "awk" => format!("awk 'BEGIN {{ system(\"{noop}\") }}'"),
        "find" => format!("find {text} -exec {noop} \\;"),
        "xargs" => format!("echo {text} | xargs {noop}"),
        "perl" => format!("perl -e 'system(\"{noop}\")'"),
        "python3" => format!("/usr/bin/python3 -c 'import os; os.system(\"{noop}\")'"),
        "vim" => format!("vim -u NONE -es -c ':!{noop}' -c ':qa!' {text}"),
        "git" => format!("git -c 'alias.x=!{noop}' x"),
        "tar" => format!("tar cf /dev/null --checkpoint=1 --checkpoint-action=exec='{noop}' {text}"),
        _ => format!("env {noop}"),
    };
    let found: Vec<_> = ["awk", "find", "xargs", "perl", "python3", "vim", "git", "tar", "env"]
        .into_iter()
        .filter(|way| match *way {
            "python3" => Path::new("/usr/bin/python3").exists(),
            // The small ones of busybox have no such ways out.
            "vim" | "git" | "tar" => Path::new("/usr/bin").join(way).exists(),
            way => proc::on_path(way),
        })
        .collect();
    ensure!(found.len() >= 4, "only {found:?} are here");
    for (n, way) in found.iter().enumerate() {
        let line = format!("{}; echo did-{way}-$(({n}+40))", ways(way, &stage.noop(way)));
        terminal.ask(&line, &format!("did-{way}-{}", n + 40), stage.limit(20))?;
    }
    // Busybox' has no such way out.
    let pager = Path::new("/usr/bin/less").exists();
    if pager {
        terminal.type_line(&format!("less {text}"))?;
        let mark = terminal.mark();
        terminal.type_line(&format!("!{}; echo out-$((40+2))", stage.noop("less")))?;
        terminal.wait_for("out-42", mark, stage.limit(20))?;
        terminal.type_line("")?;
        terminal.type_bytes(b"q")?;
    }
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let sessions: Result<Vec<_>> =
        found.iter().map(|way| session_is_of(stage, &events, way, &oncall)).collect();
    let mut sessions = sessions?;
    sessions.dedup();
    ensure!(sessions.len() == 1, "one session's work is spread over {sessions:?}");
    if pager {
        ensure!(events.session_of(&stage.tag("less"))? == sessions.concat(), "less' shell is elsewhere");
    }
    Ok(())
}

/// A10: one user after the other, each by another program: one session, one person.
pub(crate) fn one_user_after_the_other(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let other = stage.account("other", Sudo::No)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let name = &other.name;
    let ways = [
        ("su-c", format!("su {name} -s /bin/sh -c '{}'", stage.noop("su-c"))),
        ("su-l", format!("su - {name} -s /bin/sh -c '{}'", stage.noop("su-l"))),
        ("runuser", format!("runuser -u {name} -- {}", stage.noop("runuser"))),
        ("sudo-u", format!("sudo -n -u {name} {}", stage.noop("sudo-u"))),
        ("setpriv", format!("setpriv --reuid {} --clear-groups {}", other.uid, stage.noop("setpriv"))),
        ("chain", format!("su {name} -s /bin/sh -c 'exec sh -c \"{}\"'", stage.noop("chain"))),
    ];
    for (n, (way, line)) in ways.iter().enumerate() {
        let line = format!("{line}; echo did-{way}-$((40+{n}))");
        terminal.ask(&line, &format!("did-{way}-{}", 40 + n), stage.limit(20))?;
    }
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let sessions: Result<Vec<_>> =
        ways.iter().map(|(way, _)| session_is_of(stage, &events, way, &oncall)).collect();
    let mut sessions = sessions?;
    sessions.dedup();
    ensure!(sessions.len() == 1, "one session's work is spread over {sessions:?}");
    for (way, _) in &ways {
        let tag = stage.tag(way);
        let last = events.execs_with(&tag).last().context("no exec")?;
        ensure!(
            number(last, &["user", "uid"]) == Some(other.uid.into()),
            "{way} is not recorded as the other user: {}",
            last["user"]
        );
    }
    Ok(())
}

/// A6: a tmux of his own: detached, he logs out, its work goes on in his session; from a new login he looks at it again.
pub(crate) fn his_own_tmux(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let socket = stage.path("tmux");
    let tmux = Tmux::at(stage, &socket)?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("outside")), "did-42", stage.limit(20))?;
    tmux.begin(stage, &mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+3))", stage.noop("inside")), "did-43", stage.limit(20))?;
    detach(stage, &mut terminal)?;
    leave(stage, terminal, 2)?;
    let late = format!("{}; : >{}", stage.noop("late"), stage.path("late.done"));
    let mut second = stage.shell(&oncall)?;
    stage.become_root(&mut second)?;
    second.ask(&format!("{}; echo did-$((40+4))", stage.noop("again")), "did-44", stage.limit(20))?;
    tmux.sit_down(stage, &mut second)?;
    second.ask(&format!("{late}; echo did-$((40+5))"), "did-45", stage.limit(20))?;
    let mark = second.mark();
    second.type_line("exit")?;
    second.wait_for("exited", mark, stage.limit(20))?;
    leave(stage, second, 2)?;
    let events = stage.finish(running)?;
    let first = session_is_of(stage, &events, "outside", &oncall)?;
    for tag in ["inside", "late"] {
        ensure!(session_is_of(stage, &events, tag, &oncall)? == first, "{tag} left the session");
    }
    let again = session_is_of(stage, &events, "again", &oncall)?;
    ensure!(again != first, "two logins are one session");
    Ok(())
}

/// B7: root rewrites the login uid of his own processes: the kernel's numbers change, the session does not.
pub(crate) fn loginuid_rewritten(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let work = |terminal: &mut Terminal, n: u32, tag: &str, line: &str| {
        let line = format!("{line}; {}; echo did-$((40+{n}))", stage.noop(tag));
        terminal.ask(&line, &format!("did-{}", 40 + n), stage.limit(20))
    };
    work(&mut terminal, 1, "as-himself", ":")?;
    work(&mut terminal, 2, "as-nobody", "echo 4294967295 >/proc/self/loginuid")?;
    work(&mut terminal, 3, "as-another", "echo 54321 >/proc/self/loginuid; cat /proc/self/loginuid")?;
    // And from a process that was nobody's while it was set.
    let set = format!("sh -c 'echo 4294967295 >/proc/self/loginuid; echo 0 >/proc/self/loginuid; {}'", {
        stage.noop("as-root")
    });
    work(&mut terminal, 4, "behind", &set)?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let first = session_is_of(stage, &events, "as-himself", &oncall)?;
    // The kernel's number did change.
    let tag = stage.tag("as-another");
    let another = events.execs_with(&tag).next().context("no exec")?;
    ensure!(number(another, &["user", "auid"]) == Some(54321), "nothing was rewritten: {}", another["user"]);
    for tag in ["as-nobody", "as-another", "as-root", "behind"] {
        ensure!(session_is_of(stage, &events, tag, &oncall)? == first, "{tag} left the session");
    }
    Ok(())
}

/// B8: he moves himself to another control group, where services live.
pub(crate) fn moved_to_another_group(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let groups = stage.dir.join("groups");
    fs::create_dir(&groups)?;
    quiet("mount", &["-t", "cgroup2", "none", &groups.display().to_string()])?;
    let group = groups.join(format!("{}.service", stage.tag("moved")));
    stage.janitor.at_end(&format!("rmdir {}; umount {}", group.display(), groups.display()))?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let line = format!(
        "{}; mkdir {group}; echo $$ >{group}/cgroup.procs; {}; echo did-$((40+2))",
        stage.noop("before"),
        stage.noop("after"),
        group = group.display()
    );
    terminal.ask(&line, "did-42", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let first = session_is_of(stage, &events, "before", &oncall)?;
    ensure!(
        session_is_of(stage, &events, "after", &oncall)? == first,
        "the group took him out of his session"
    );
    Ok(())
}

/// B10: the number of a process of the session comes back as somebody else's: what that does is nobody's.
pub(crate) fn numbers_used_again(stage: &mut Stage) -> Result<()> {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = Terminal::start(stage.login(&oncall, &["/bin/sh", "-i"]), SIZE.0, SIZE.1)?;
    stage.become_root(&mut terminal)?;
    let number = stage.path("number");
    let line = format!("sh -c 'echo $$ >{number}; {}'; echo did-$((40+2))", stage.noop("his"));
    terminal.ask(&line, "did-42", stage.limit(60))?;
    // A child that is gone by now.
    let pid: u32 = fs::read_to_string(&number)?.trim().parse()?;
    proc::until("the number comes back", stage.limit(60), || {
        fs::write(LAST, (pid - 1).to_string()).ok()?;
        let mut child = Command::new(stage.workload())
            .args(["noop", &stage.tag("strangers")])
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let same = child.id() == pid;
        child.wait().ok()?;
        same.then_some(())
    })?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "his", &oncall)?;
    let strangers = stage.tag("strangers");
    let taken = events.execs_with(&strangers).next();
    ensure!(
        taken.is_none(),
        "a stranger with a number of the session: {}",
        taken.map_or("", |e| text(e, &["session"]))
    );
    Ok(())
}
