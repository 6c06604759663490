//! Whose work it is: logins, elevations, and the ways out of a terminal (docs/attacks.md, group A).

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{self, Events, number, text},
    proc,
    pty::Terminal,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    secrets::leave,
    stage::{SIZE, Stage, quiet},
};

pub(crate) fn plain_session_leaves_nothing(stage: &mut Stage) -> Result<()> {
    let plain = stage.account("plain", Sudo::No)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&plain)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("plain")), "did-42", stage.limit(20))?;
    leave(stage, terminal, 1)?;
    let events = stage.finish(running)?;
    nothing_of(stage, &events, &plain)
}

pub(crate) fn sudo_i(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("before")), "did-42", stage.limit(20))?;
    terminal.type_line("sudo -n -i")?;
    terminal.ask("echo root-$(id -u)-$((40+2))", "root-0-42", stage.limit(20))?;
    terminal.ask(&format!("{}; echo did-$((40+3))", stage.noop("inside")), "did-43", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "inside", &oncall)?;
    // The scope is the elevated part; what he did as himself before is his own.
    let before = events.session_of(&stage.tag("before"));
    ensure!(before.is_err(), "work before the elevation is recorded in {before:?}");
    Ok(())
}

pub(crate) fn su_login(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let other = stage.account("other", Sudo::No)?;
    let running = stage.record()?;
    // `su -` from root, where it asks nothing, and `su - other` from an ordinary shell with the other's password.
    let mut terminal = stage.shell(&oncall)?;
    terminal.type_line("sudo -n su -")?;
    terminal.ask("echo root-$(id -u)-$((40+2))", "root-0-42", stage.limit(20))?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("su-root")), "did-42", stage.limit(20))?;
    leave(stage, terminal, 2)?;

    let mut terminal = stage.shell(&oncall)?;
    terminal.ask(&format!("su - {}", other.name), "assword", stage.limit(20))?;
    let mark = terminal.mark();
    terminal.type_line(&other.password)?;
    terminal.wait_for("$ ", mark, stage.limit(20))?;
    terminal.ask("echo now-$(id -u)-$((40+2))", &format!("now-{}-42", other.uid), stage.limit(20))?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("su-other")), "did-42", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let first = session_is_of(stage, &events, "su-root", &oncall)?;
    let second = session_is_of(stage, &events, "su-other", &oncall)?;
    ensure!(first != second, "two logins are one session");
    Ok(())
}

pub(crate) fn sudo_other_user(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let other = stage.account("other", Sudo::No)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    let line = format!("sudo -n -u {} {}; echo did-$((40+2))", other.name, stage.noop("as-other"));
    terminal.ask(&line, "did-42", stage.limit(20))?;
    leave(stage, terminal, 1)?;
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "as-other", &oncall)?;
    let tag = stage.tag("as-other");
    let last = events.execs_with(&tag).last().context("no exec")?;
    ensure!(
        number(last, &["user", "uid"]) == Some(other.uid.into()),
        "not recorded as the other user: {}",
        last["user"]
    );
    Ok(())
}

/// `setsid`, `nohup`, a double fork: the terminal is gone, the work goes on, the session stays his.
pub(crate) fn detached_work(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let gate = stage.path("gate");
    quiet("mkfifo", &[&gate])?;
    // Each waits at the gate until the terminal is gone, then works, then says so by a file.
    let ways = ["setsid", "nohup", "double"];
    for way in ways {
        let work =
            format!("read x <{gate}.{way}; {} ; : >{}", stage.noop(way), stage.path(&format!("{way}.done")));
        quiet("mkfifo", &[&format!("{gate}.{way}")])?;
        let line = match way {
            "setsid" => format!("setsid sh -c '{work}' </dev/null >/dev/null 2>&1 &"),
            // What nohup does, where it is not installed: Debian's busybox has none.
            "nohup" if !proc::on_path("nohup") => {
                format!("(trap \"\" HUP; exec sh -c '{work}' </dev/null >/dev/null 2>&1) &")
            }
            "nohup" => format!("nohup sh -c '{work}' </dev/null >/dev/null 2>&1 &"),
            _ => format!("( ( sh -c '{work}' </dev/null >/dev/null 2>&1 & ) & ) ;"),
        };
        let line = format!("{line} echo sent-{way}-$((40+2))");
        terminal.ask(&line, &format!("sent-{way}-42"), stage.limit(20))?;
    }
    leave(stage, terminal, 2)?;
    for way in ways {
        open_gate(stage, &format!("{gate}.{way}")).with_context(|| way.to_owned())?;
        let done = stage.dir.join(format!("{way}.done"));
        proc::until(&format!("the work of {way}"), stage.limit(20), || done.exists().then_some(()))?;
    }
    let events = stage.finish(running)?;
    let sessions: Result<Vec<_>> =
        ways.iter().map(|way| session_is_of(stage, &events, way, &oncall)).collect();
    let mut sessions = sessions?;
    sessions.dedup();
    ensure!(sessions.len() == 1, "detached work is spread over {sessions:?}");
    Ok(())
}

/// His own login shell is killed under him: what still runs stays in the session.
pub(crate) fn killed_login_shell(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    let login_shell = proc::pid_of(terminal.child())?;
    stage.become_root(&mut terminal)?;
    let gate = stage.path("gate");
    quiet("mkfifo", &[&gate])?;
    let work = format!("read x <{gate}; {}; : >{}", stage.noop("orphan"), stage.path("orphan.done"));
    // The hang-up reaches the root shell's jobs; this one ignores it, as nohup does.
    let line =
        format!("(trap \"\" HUP; setsid sh -c '{work}' </dev/null >/dev/null 2>&1 &) ; echo sent-$((40+2))");
    terminal.ask(&line, "sent-42", stage.limit(20))?;
    kill_process(login_shell, Signal::KILL)?;
    drop(terminal);
    open_gate(stage, &gate)?;
    let done = stage.dir.join("orphan.done");
    proc::until("the orphan's work", stage.limit(20), || done.exists().then_some(()))?;
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "orphan", &oncall)?;
    Ok(())
}

pub(crate) fn two_people_two_sessions(stage: &mut Stage) -> Result<()> {
    let people = [stage.account("anna", Sudo::Free)?, stage.account("ben", Sudo::Free)?];
    let running = stage.record()?;
    let mut terminals = Vec::new();
    for person in &people {
        let mut terminal = stage.shell(person)?;
        stage.become_root(&mut terminal)?;
        terminals.push(terminal);
    }
    for (terminal, word) in terminals.iter_mut().zip(["anna", "ben"]) {
        terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop(word)), "did-42", stage.limit(20))?;
    }
    for terminal in terminals {
        leave(stage, terminal, 2)?;
    }
    let events = stage.finish(running)?;
    let [anna, ben] = &people;
    let first = session_is_of(stage, &events, "anna", anna)?;
    let second = session_is_of(stage, &events, "ben", ben)?;
    ensure!(first != second, "two people share the session {first}");
    Ok(())
}

pub(crate) fn ssh_sudo_without_tty(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let sshd = Sshd::start(stage, &oncall)?;
    let running = stage.record()?;
    let words = format!("sudo -n {}", stage.noop("no-tty"));
    let out = sshd.ssh(&oncall).args(["-T", &words]).stdin(Stdio::null()).output()?;
    ensure!(out.status.success(), "ssh ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    let out = sshd.ssh(&oncall).args(["-T", "sudo -n id -u"]).stdin(Stdio::null()).output()?;
    ensure!(out.stdout == b"0\n", "sudo id gave {:?}", String::from_utf8_lossy(&out.stdout));
    drop(sshd);
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "no-tty", &oncall)?;
    Ok(())
}

pub(crate) fn ssh_interactive_sudo_i(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let sshd = Sshd::start(stage, &oncall)?;
    let running = stage.record()?;
    let mut ssh = Command::new("setsid");
    ssh.arg("-c").arg(sshd.ssh(&oncall).get_program()).args(sshd.ssh(&oncall).get_args()).arg("-tt");
    let mut terminal = Terminal::start(ssh, SIZE.0, SIZE.1)?;
    terminal.wait_for("$", 0, stage.limit(20))?;
    terminal.ask("echo up-$((40+2))", "up-42", stage.limit(20))?;
    terminal.type_line("sudo -n -i")?;
    terminal.ask("echo root-$(id -u)-$((40+2))", "root-0-42", stage.limit(20))?;
    let shown = stage.tag("shown");
    terminal.ask(
        &format!("{}; echo {shown}-$((40+2))", stage.noop("over-ssh")),
        &format!("{shown}-42"),
        stage.limit(20),
    )?;
    leave(stage, terminal, 2)?;
    drop(sshd);
    let events = stage.finish(running)?;
    session_is_of(stage, &events, "over-ssh", &oncall)?;
    let needle = format!("{shown}-42");
    let seen =
        events.shown()?.values().any(|bytes| recorder_tests::pty::find(bytes, needle.as_bytes()).is_some());
    ensure!(seen, "what the terminal showed over ssh is not recorded");
    Ok(())
}

pub(crate) fn ssh_plain_leaves_nothing(stage: &mut Stage) -> Result<()> {
    let plain = stage.account("plain", Sudo::No)?;
    let sshd = Sshd::start(stage, &plain)?;
    let running = stage.record()?;
    let out = sshd.ssh(&plain).args(["-T", &stage.noop("plain")]).stdin(Stdio::null()).output()?;
    ensure!(out.status.success(), "ssh ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    drop(sshd);
    let events = stage.finish(running)?;
    nothing_of(stage, &events, &plain)
}

/// Lets the one who reads from this fifo go on; nobody waiting there is an error and not a hang.
fn open_gate(stage: &Stage, gate: &str) -> Result<()> {
    let open = || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::open(gate, flags, rustix::fs::Mode::empty()).ok()
    };
    let fifo = proc::until("somebody waits at the gate", stage.limit(20), open)?;
    fs::File::from(fifo).write_all(b"go\n").context("the gate")
}

/// The session of the exec with this tag; the person behind it is the one who logged in.
pub(crate) fn session_is_of(stage: &Stage, events: &Events, tag: &str, account: &Account) -> Result<String> {
    let session = events.session_of(&stage.tag(tag))?;
    let listed = journal::sessions(&stage.site)?;
    let found = listed
        .iter()
        .find(|s| text(s, &["id"]) == session)
        .with_context(|| format!("session {session} is not listed"))?;
    ensure!(
        number(found, &["auid"]) == Some(account.uid.into()),
        "{tag}: not the session of uid {}: {found}",
        account.uid
    );
    Ok(session)
}

fn nothing_of(stage: &Stage, events: &Events, account: &Account) -> Result<()> {
    let mine = journal::sessions(&stage.site)?
        .into_iter()
        .find(|s| number(s, &["auid"]) == Some(account.uid.into()));
    ensure!(mine.is_none(), "an ordinary login became a session: {mine:?}");
    let record = events.0.iter().find(|event| number(event, &["user", "auid"]) == Some(account.uid.into()));
    ensure!(record.is_none(), "an ordinary login left a record: {record:?}");
    Ok(())
}

/// An sshd of our own on loopback with its own key and configuration.
pub(crate) struct Sshd {
    child: Child,
    port: u16,
    key: PathBuf,
}

impl Sshd {
    pub(crate) fn start(stage: &mut Stage, account: &Account) -> Result<Self> {
        let program = Command::new(stage.sshd()?);
        Self::start_as(stage, account, program)
    }

    /// Starts it by this command, which ends with becoming sshd.
    pub(crate) fn start_as(stage: &mut Stage, account: &Account, mut program: Command) -> Result<Self> {
        let dir = stage.dir.join("sshd");
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        // Privilege separation wants its directory; on a machine without a running sshd nobody has made it.
        fs::create_dir_all("/run/sshd")?;
        let (host, key) = (dir.join("host"), dir.join("user"));
        for path in [&host, &key] {
            quiet("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path.display().to_string()])?;
        }
        let authorized = dir.join("authorized");
        fs::copy(key.with_extension("pub"), &authorized)?;
        // Free a moment ago and ours in a moment; a port taken in between shows as an error, not as a hang.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let config = dir.join("config");
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\nUseDNS no\nAllowUsers {}\n",
            host.display(),
            authorized.display(),
            account.name
        );
        fs::write(&config, text)?;
        let log = dir.join("log");
        let child = program
            .arg("-D")
            .arg("-f")
            .arg(&config)
            .arg("-E")
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .context("sshd")?;
        stage.janitor.watch(&child)?;
        let up =
            || fs::read_to_string(&log).is_ok_and(|text| text.contains("Server listening")).then_some(());
        proc::until("sshd listens", stage.limit(20), up).with_context(|| tail(&log))?;
        Ok(Self { child, port, key })
    }

    /// The public half of the person's key, as it is in a list of keys: type, key and comment.
    pub(crate) fn public_key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.key.with_extension("pub"))?)
    }

    pub(crate) fn ssh(&self, account: &Account) -> Command {
        let mut command = self.options("ssh");
        command.args(["-p", &self.port.to_string(), &format!("{}@127.0.0.1", account.name)]);
        command
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A program of OpenSSH's, with what leads here but the port, which each of them names in its own way.
    pub(crate) fn options(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args([
            "-F",
            "/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ]);
        command.args(["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-i"]).arg(&self.key);
        command
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default().lines().rev().take(5).collect::<Vec<_>>().join(" / ")
}
