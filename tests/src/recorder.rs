//! A recorder under test: its configuration, its process, and its reading commands.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::proc;

/// The line on standard error that says that every hook has answered (docs/cli.md).
pub const READY: &str = "recorder: ready";

/// Where a recorder writes, and how it is configured.
#[derive(Clone, Debug)]
pub struct Site {
    /// The binary under test.
    pub binary: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// The journal directory named in it.
    pub journal: PathBuf,
    /// The control socket named in it.
    pub socket: PathBuf,
    /// The key that reading commands are given.
    pub identity: Option<PathBuf>,
    /// Where it notifies systemd, or whoever listens there.
    pub notify: Option<PathBuf>,
    /// What it says besides, as `RECORDER_LOG` has it.
    pub log: Option<String>,
}

impl Site {
    /// Writes the least configuration for this backend under `dir`. Without a guard, which costs an emulated machine six seconds for each
    /// start and stop: scenarios about it switch it on, and walks have what the package has.
    pub fn prepare(binary: &Path, dir: &Path, backend: &str) -> Result<Self> {
        let journal = dir.join("journal");
        let config = dir.join("recorder.toml");
        let socket = dir.join("control.sock");
        let text = format!(
            "[journal]\ndir = \"{}\"\n[encryption]\nmode = \"off\"\n[scope]\nrecord = \"elevated\"\n[capture]\nbackend = \"{backend}\"\ntty_input = \"redacted\"\n[control]\nsocket = \"{}\"\n[notices]\nat_elevation = false\n[guard]\nmode = \"off\"\n",
            journal.display(),
            socket.display()
        );
        fs::create_dir_all(dir)?;
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self {
            binary: binary.to_path_buf(),
            config,
            journal,
            socket,
            identity: None,
            notify: None,
            log: None,
        })
    }

    /// Makes segments as small as they can be: each crash leaves one at its full length.
    pub fn small_segments(&self) -> Result<()> {
        self.set("journal", "segment = \"1MiB\"")
    }

    /// Adds a line to a section that has none of its name.
    pub fn set(&self, section: &str, line: &str) -> Result<()> {
        let text = fs::read_to_string(&self.config)?;
        let section = format!("[{section}]\n");
        anyhow::ensure!(text.contains(&section), "no section {section:?}");
        fs::write(&self.config, text.replacen(&section, &format!("{section}{line}\n"), 1))?;
        Ok(())
    }

    /// Seals the journal to these recipients, and reads with `identity`.
    pub fn seal(&mut self, recipients: &[&str], identity: &Path) -> Result<()> {
        let text = fs::read_to_string(&self.config)?;
        let text = text.replacen("mode = \"off\"", &format!("recipients = {recipients:?}"), 1);
        fs::write(&self.config, text)?;
        self.identity = Some(identity.to_path_buf());
        Ok(())
    }

    /// Starts `recorder run` and waits until it says that it is ready.
    pub fn start(&self, limit: Duration) -> Result<Running> {
        let mut running = self.launch()?;
        running.wait_ready(limit)?;
        Ok(running)
    }

    /// Starts `recorder run` and does not wait.
    pub fn launch(&self) -> Result<Running> {
        let mut command = Command::new(&self.binary);
        command.args(["run", "--config"]).arg(&self.config);
        match &self.notify {
            Some(socket) => command.env("NOTIFY_SOCKET", socket),
            None => command.env_remove("NOTIFY_SOCKET"),
        };
        match &self.log {
            Some(levels) => command.env("RECORDER_LOG", levels),
            None => command.env_remove("RECORDER_LOG"),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let said = Arc::new(Said::default());
        if let Some(stderr) = child.stderr.take() {
            let sink = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    sink.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
                }
                sink.change(|state| state.closed = true);
            });
        }
        Ok(Running { child, said })
    }

    /// Runs a reading command on this journal.
    pub fn read(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--journal").arg(&self.journal).stdin(Stdio::null());
        match &self.identity {
            Some(identity) => command.env("RECORDER_IDENTITY", identity),
            None => command.env_remove("RECORDER_IDENTITY"),
        };
        command.output().with_context(|| format!("cannot start {}", self.binary.display()))
    }

    /// Runs a reading command that must end with 0, or with 1 (nothing matched, or findings); gives its standard output.
    pub fn read_ok(&self, args: &[&str]) -> Result<Vec<u8>> {
        let out = self.read(args)?;
        if !matches!(out.status.code(), Some(0 | 1)) {
            bail!(
                "recorder {}: {}: {}",
                args.join(" "),
                out.status,
                String::from_utf8_lossy(&out.stderr).trim()
            );
        }
        Ok(out.stdout)
    }

    /// `recorder verify` with its exit code and JSON.
    pub fn verify(&self) -> Result<(i32, serde_json::Value)> {
        let out = self.read(&["verify", "--format", "json"])?;
        let code = out.status.code().context("verify was killed")?;
        let json = serde_json::from_slice(&out.stdout).with_context(|| {
            format!("verify ended with {code} and no JSON: {}", String::from_utf8_lossy(&out.stderr).trim())
        })?;
        Ok((code, json))
    }
}

#[derive(Default)]
struct Said {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    closed: bool,
}

impl Said {
    fn change(&self, act: impl FnOnce(&mut Lines)) {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// A recorder process; killed when dropped.
pub struct Running {
    child: Child,
    said: Arc<Said>,
}

impl Running {
    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Waits for the ready line; the recorder's early end is an error with what it said.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut state = self.said.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.lines.iter().any(|line| line.trim() == READY) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                let text = state.lines.join("\n");
                let closed = state.closed;
                drop(state);
                if closed {
                    let status = proc::wait(&mut self.child, Duration::from_secs(10))?;
                    bail!("the recorder ended ({status}) before it was ready: {text}");
                }
                bail!("the recorder was not ready within {limit:?}: {text}");
            }
            state = self.said.changed.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |r| r.0);
        }
    }

    /// SIGTERM, then its end; the status is the caller's to judge.
    pub fn terminate(mut self, limit: Duration) -> Result<(ExitStatus, String)> {
        proc::signal(&self.child, Signal::TERM)?;
        let status = proc::wait(&mut self.child, limit)?;
        Ok((status, self.said()))
    }

    /// SIGTERM, and an end with 0 as the contract says.
    pub fn stop(self, limit: Duration) -> Result<()> {
        let (status, text) = self.terminate(limit)?;
        if !status.success() {
            bail!("the recorder ended with {status} after SIGTERM: {text}");
        }
        Ok(())
    }

    /// SIGKILL: the crash that recovery is for.
    pub fn crash(mut self) -> Result<()> {
        proc::signal(&self.child, Signal::KILL)?;
        proc::wait(&mut self.child, Duration::from_secs(30))?;
        Ok(())
    }

    /// Waits for an end by itself, as in a refusal.
    pub fn end(mut self, limit: Duration) -> Result<(ExitStatus, String)> {
        let status = proc::wait(&mut self.child, limit)?;
        let said = Arc::clone(&self.said);
        let closed = || said.state.lock().unwrap_or_else(PoisonError::into_inner).closed.then_some(());
        proc::until("the end of standard error", limit, closed)?;
        Ok((status, self.said()))
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.state.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A recorder that guards itself is killed only by who asked it to end before.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = proc::signal(&self.child, Signal::TERM);
        }
        proc::kill(&mut self.child);
    }
}
