//! The systemd machine of tests/vm/host.sh: booted, reached by the real ssh, ended.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::line::Line;
use crate::{
    janitor::Janitor,
    proc,
    pty::{Terminal, on_terminal},
};

/// What host.sh prints when sshd answers.
const UP: &str = "machine: up";
/// For a machine that nobody waited for the start of: seconds that a usual one takes.
const USUAL_START: Duration = Duration::from_secs(20);
/// host-root.sh's word for: not on this machine.
const CANNOT: i32 = 3;

/// Why there can be no such machine here: a skip, and no failure.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// A running machine. Its people are `root`, `oncall1` and `oncall2`, each with a key of his own; both of the latter may
/// become root by sudo without a password.
pub struct Machine {
    port: u16,
    /// Our own directory: the socket of root's connection.
    dir: PathBuf,
    /// The people's keys, and the machine's.
    cache: PathBuf,
    patience: u32,
    start: Duration,
    /// The far end of its third serial line.
    line: Option<PathBuf>,
    /// Ends with us; `None` for a machine that somebody else started. Dropped behind `drop`.
    emulator: Option<(Child, Janitor)>,
}

impl Machine {
    /// Boots the kernel of this version with these files laid over the root, and waits for sshd.
    pub fn boot(kernel: &str, files: &Path, dir: &Path, patience: u32) -> Result<Self> {
        let cache = cache()?;
        // Free now, and bound by the emulator in a second: another program could only take it by chance.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let line = dir.join("line.sock");
        let limit = (Duration::from_mins(3) * patience).as_secs().to_string();
        let began = Instant::now();
        let mut child = script("host.sh")
            .arg(kernel)
            .arg(files)
            .env("VM_SSH", port.to_string())
            .env("VM_LINE", &line)
            .env("VM_TIMEOUT", std::env::var("VM_TIMEOUT").unwrap_or(limit))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("tests/vm/host.sh")?;
        let mut janitor = Janitor::start()?;
        janitor.watch(&child)?;
        let stdout = child.stdout.take().context("no pipe")?;
        let mut machine = Self {
            port,
            dir: dir.to_path_buf(),
            cache,
            patience,
            start: USUAL_START,
            line: Some(line),
            emulator: Some((child, janitor)),
        };
        let (to, lines) = mpsc::channel();
        // Reads to the end, or the machine would stop at a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let _ = to.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let end = began + machine.limit(60);
        let mut said = String::new();
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == UP => break,
                Ok(line) => said = said + "\n" + &line,
                Err(RecvTimeoutError::Timeout) => bail!("the machine was not up in time:{said}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the machine did not come up:{said}"),
            }
        }
        machine.start = began.elapsed();
        machine.connect_root()?;
        Ok(machine)
    }

    /// One that is up already: 127.0.0.1 leads to its sshd by this port.
    pub fn at(port: u16, dir: &Path, patience: u32) -> Result<Self> {
        let machine = Self {
            port,
            dir: dir.to_path_buf(),
            cache: cache()?,
            patience,
            start: USUAL_START,
            line: std::env::var_os("VM_LINE").map(PathBuf::from),
            emulator: None,
        };
        machine.connect_root()?;
        Ok(machine)
    }

    /// A deadline of so many seconds on a machine of usual speed.
    pub fn limit(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) * self.patience
    }

    /// How long it took to start: the measure for windows of time that have to be long enough for some steps.
    pub fn start(&self) -> Duration {
        self.start
    }

    /// Somebody sits down at the terminal of `ttyS2`.
    pub fn line(&self) -> Result<Line> {
        Line::plug_in(self.line.as_deref().context("VM_LINE does not say where the machine's line ends")?)
    }

    /// The key by which somebody logs in.
    pub fn key(&self, who: &str) -> PathBuf {
        self.cache.join("keys").join(who)
    }

    /// Somebody logs in by ssh, anew each time, and has a line of shell run; whatever comes of it.
    pub fn run(&self, who: &str, line: &str) -> Result<Output> {
        self.run_at(who, who, line)
    }

    /// The same, of somebody who comes to another account than his own, by his own key.
    pub fn run_at(&self, who: &str, account: &str, line: &str) -> Result<Output> {
        let mut command = self.client("ssh", who);
        if account == "root" {
            command.arg("-S").arg(self.socket());
        }
        command.arg(format!("{account}@127.0.0.1")).arg("--").arg(line);
        command.output().with_context(|| format!("ssh to {account}"))
    }

    /// Somebody logs in and stays: his shell on a terminal, wide enough for a notice on one row.
    pub fn terminal(&self, who: &str) -> Result<Terminal> {
        let client = self.client("ssh", who);
        // `timeout` would keep ssh from the terminal without `--foreground`.
        let mut words: Vec<&OsStr> = vec![client.get_program(), OsStr::new("--foreground")];
        words.extend(client.get_args());
        let to = format!("{who}@127.0.0.1");
        words.extend([OsStr::new("-tt"), OsStr::new(&to)]);
        let mut command = on_terminal(&words);
        command.env("LC_ALL", "C");
        Terminal::start(command, 200, 40)
    }

    /// The same; it has to end with 0. Gives what it printed.
    pub fn ok(&self, who: &str, line: &str) -> Result<String> {
        let out = self.run(who, line)?;
        if !out.status.success() {
            bail!(
                "{who}: {line}: {}: {}{}",
                out.status,
                String::from_utf8_lossy(&out.stderr).trim(),
                String::from_utf8_lossy(&out.stdout).trim()
            );
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Waits until a line of shell that root has run gives a value.
    pub fn until<T>(&self, what: &str, line: &str, look: impl Fn(&Output) -> Option<T>) -> Result<T> {
        proc::until(what, self.limit(20), || look(&self.run("root", line).ok()?))
    }

    /// Copies files to a directory of the machine, as root.
    pub fn put(&self, files: &[&Path], to: &str) -> Result<()> {
        let mut command = self.copier();
        copied(command.args(files).arg(format!("root@127.0.0.1:{to}")))
    }

    /// Somebody copies files to his home, by himself.
    pub fn send(&self, who: &str, files: &[&Path]) -> Result<()> {
        let mut command = self.client("scp", who);
        copied(command.arg("-q").args(files).arg(format!("{who}@127.0.0.1:")))
    }

    /// Copies a directory of the machine, as root.
    pub fn get(&self, from: &str, to: &Path) -> Result<()> {
        let mut command = self.copier();
        copied(command.arg("-r").arg(format!("root@127.0.0.1:{from}")).arg(to))
    }

    /// The machine boots again; how long that took until root was in.
    pub fn reboot(&self) -> Result<Duration> {
        self.go_down("root", "touch /.again && systemctl reboot")
    }

    /// The same at once, as the kernel does for who asks it to: nobody is told and nothing is written out.
    pub fn reset(&self, who: &str) -> Result<Duration> {
        self.ok("root", "touch /.again; sync")?;
        // Nobody would tell his connection that it is over.
        let line = "sh -c 'sleep 1; echo b >/proc/sysrq-trigger'";
        self.go_down(who, &format!("setsid sudo -n {line} </dev/null >/dev/null 2>&1 &"))
    }

    fn go_down(&self, who: &str, line: &str) -> Result<Duration> {
        let began = Instant::now();
        let boot = || self.ok("root", "cat /proc/sys/kernel/random/boot_id");
        let before = boot()?;
        // The connection ends with the machine: what it says of that is nothing.
        let _ = self.run(who, line);
        // Nor ours, if it is made anew before that.
        std::thread::sleep(Duration::from_secs(5));
        proc::until("the machine is up again", self.limit(60), || {
            // One that is going down may still answer.
            self.disconnect_root();
            self.connect_root().ok()?;
            boot().is_ok_and(|now| now != before).then_some(())
        })?;
        Ok(began.elapsed())
    }

    fn disconnect_root(&self) {
        let mut command = self.client("ssh", "root");
        let _ = command.args(["-O", "exit", "-S"]).arg(self.socket()).arg("127.0.0.1").output();
    }

    /// One connection for all that root does: a login a step would take seconds each.
    fn connect_root(&self) -> Result<()> {
        let mut command = self.client("ssh", "root");
        command.args(["-M", "-N", "-f", "-S"]).arg(self.socket()).arg("root@127.0.0.1");
        // It goes on in the background, and would hold a pipe of ours.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("ssh")?;
        ensure!(status.success(), "root can't log in by ssh at port {}: {status}", self.port);
        Ok(())
    }

    fn copier(&self) -> Command {
        let mut command = self.client("scp", "root");
        command.arg("-q").arg("-o").arg(format!("ControlPath={}", self.socket().display()));
        command
    }

    fn client(&self, program: &str, who: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args([&self.limit(30).as_secs().to_string(), program, "-F", "none", "-i"]).arg(self.key(who));
        for option in [
            &format!("Port={}", self.port),
            &format!("UserKnownHostsFile={}", self.cache.join("known_hosts").display()),
            "GlobalKnownHostsFile=/dev/null",
            "HostKeyAlias=recorder-machine",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            command.args(["-o", option]);
        }
        command.stdin(Stdio::null());
        command
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("root.sock")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let mut command = self.client("ssh", "root");
        let _ = command.args(["-O", "exit", "-S"]).arg(self.socket()).arg("127.0.0.1").output();
        if let Some((mut child, mut janitor)) = self.emulator.take() {
            let pid = child.id();
            // TERM, so that the script takes the emulator with it.
            let _ = proc::signal(&child, rustix::process::Signal::TERM);
            if proc::wait(&mut child, Duration::from_secs(20)).is_ok() {
                let _ = janitor.forget(pid);
            }
        }
    }
}

/// Makes the machine's root if it is not there; gives the directory with the keys.
fn cache() -> Result<PathBuf> {
    let out = script("host-root.sh").stdin(Stdio::null()).output().context("tests/vm/host-root.sh")?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        ensure!(out.status.code() == Some(CANNOT), "host-root.sh ended with {}: {why}", out.status);
        return Err(Unavailable(why.lines().last().unwrap_or_default().to_owned()).into());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()))
}

fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name));
    command
}

fn copied(command: &mut Command) -> Result<()> {
    let out = command.output().context("scp")?;
    ensure!(
        out.status.success(),
        "scp ended with {}: {}",
        out.status,
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}

/// A scratch directory whose path is short enough for sockets in it.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("recorder-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
