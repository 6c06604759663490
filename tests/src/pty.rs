//! A pseudo terminal with a person at it: types, looks at what is shown, waits for it with a deadline.
//!
//! The child gets the terminal as its controlling one through `setsid -c` (util-linux and busybox alike), which needs
//! no code between fork and exec.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::proc;

/// How many bytes of the screen's end an error quotes.
const QUOTE: usize = 400;

/// A terminal with a program on it.
pub struct Terminal {
    master: File,
    name: String,
    size: (u16, u16),
    child: Child,
    shown: Arc<Shown>,
    reader: Option<JoinHandle<()>>,
}

/// Everything that was shown, and whether the other side hung up.
#[derive(Default)]
struct Shown {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An opened pair before a program is on it.
pub struct Pair {
    /// The terminal emulator's side.
    pub master: OwnedFd,
    /// The program's side.
    pub slave: OwnedFd,
    /// The slave's path.
    pub path: String,
}

/// Opens a pair of this size; neither side becomes our own controlling terminal.
pub fn open_pair(cols: u16, rows: u16) -> Result<Pair> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("openpt")?;
    grantpt(&master).context("grantpt")?;
    unlockpt(&master).context("unlockpt")?;
    let path = ptsname(&master, Vec::new()).context("ptsname")?.into_string()?;
    tcsetwinsize(&master, winsize(cols, rows)).context("window size")?;
    let slave = open(path.as_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {path}"))?;
    Ok(Pair { master, slave, path })
}

fn winsize(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A command that runs `argv` as leader of a new session whose controlling terminal is its standard input.
pub fn on_terminal<S: AsRef<OsStr>>(argv: &[S]) -> Command {
    let mut command = Command::new("setsid");
    command.arg("-c").args(argv);
    command
}

impl Terminal {
    /// Starts the command (see [`on_terminal`]) on a new terminal.
    pub fn start(mut command: Command, cols: u16, rows: u16) -> Result<Self> {
        let pair = open_pair(cols, rows)?;
        command
            .stdin(Stdio::from(pair.slave.try_clone()?))
            .stdout(Stdio::from(pair.slave.try_clone()?))
            .stderr(Stdio::from(pair.slave))
            .env("TERM", "xterm");
        let child = command.spawn().context("cannot start the terminal's program")?;
        // The command keeps copies of the slave, which would hide the hang-up.
        drop(command);
        let master = File::from(pair.master);
        let shown = Arc::new(Shown::default());
        let mut source = master.try_clone()?;
        let sink = Arc::clone(&shown);
        let reader = thread::spawn(move || {
            let mut chunk = vec![0; 65536];
            // EIO is how a master learns that the last slave is gone.
            while let Ok(n @ 1..) = source.read(&mut chunk) {
                sink.lock().bytes.extend(chunk.iter().take(n));
                sink.changed.notify_all();
            }
            sink.lock().closed = true;
            sink.changed.notify_all();
        });
        let name = pair.path.trim_start_matches("/dev/").to_owned();
        Ok(Self { master, name, size: (cols, rows), child, shown, reader: Some(reader) })
    }

    /// The slave's name as tools print it: `pts/3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process on the terminal that leads its session.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Types these bytes.
    pub fn type_bytes(&mut self, keys: &[u8]) -> Result<()> {
        self.master.write_all(keys).context("typing")
    }

    /// Types a line and Enter.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_bytes(line.as_bytes())?;
        self.type_bytes(b"\r")
    }

    /// Changes the window's size.
    pub fn resize(&self, cols: u16, rows: u16) -> Result<()> {
        tcsetwinsize(&self.master, winsize(cols, rows)).context("window size")
    }

    /// The position behind everything shown so far.
    pub fn mark(&self) -> usize {
        self.shown.lock().bytes.len()
    }

    /// Everything shown so far.
    pub fn shown(&self) -> Vec<u8> {
        self.shown.lock().bytes.clone()
    }

    /// Waits until `needle` was shown at or after `from`; gives the position behind it.
    pub fn wait_for(&self, needle: &str, from: usize, limit: Duration) -> Result<usize> {
        let end = Instant::now() + limit;
        let mut state = self.shown.lock();
        loop {
            let new = state.bytes.get(from..).unwrap_or_default();
            if let Some(at) = find(new, needle.as_bytes()) {
                return Ok(from + at + needle.len());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                let tail = new.get(new.len().saturating_sub(QUOTE)..).unwrap_or_default();
                let why = if state.closed { "the terminal was closed" } else { "too late" };
                bail!("{needle:?} was not shown ({why}); last shown: {:?}", String::from_utf8_lossy(tail));
            }
            state = self.shown.changed.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |r| r.0);
        }
    }

    /// Waits until the screen, as an emulator paints it, shows `needle` on one line: editors repaint only what differs.
    pub fn wait_for_screen(&self, needle: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut emulator = vt100::Parser::new(self.size.1, self.size.0, 0);
        let mut fed = 0;
        let mut state = self.shown.lock();
        loop {
            emulator.process(state.bytes.get(fed..).unwrap_or_default());
            fed = state.bytes.len();
            if emulator.screen().rows(0, self.size.0).any(|row| row.contains(needle)) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                bail!("{needle:?} is not on the screen: {}", emulator.screen().contents());
            }
            state = self.shown.changed.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |r| r.0);
        }
    }

    /// Types a line, then waits for `needle` in what is shown after it was typed.
    pub fn ask(&mut self, line: &str, needle: &str, limit: Duration) -> Result<usize> {
        let mark = self.mark();
        self.type_line(line)?;
        self.wait_for(needle, mark, limit)
    }

    /// Waits for the end of the session leader and of everything shown; gives its status and what was shown.
    pub fn finish(mut self, limit: Duration) -> Result<(ExitStatus, Vec<u8>)> {
        let status = proc::wait(&mut self.child, limit)?;
        let end = Instant::now() + limit;
        let mut state = self.shown.lock();
        while !state.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the terminal {} is still held by somebody", self.name);
            }
            state = self.shown.changed.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |r| r.0);
        }
        let shown = std::mem::take(&mut state.bytes);
        drop(state);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok((status, shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        proc::kill(&mut self.child);
    }
}

/// The first position of `needle`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_the_program_writes() {
        let terminal =
            Terminal::start(on_terminal(&["sh", "-c", "echo one; read x; echo got $x; stty size"]), 91, 17)
                .unwrap();
        let mut terminal = terminal;
        let limit = Duration::from_secs(10);
        terminal.wait_for("one\r\n", 0, limit).unwrap();
        terminal.type_line("two").unwrap();
        let (status, shown) = terminal.finish(limit).unwrap();
        assert!(status.success());
        assert_eq!(String::from_utf8_lossy(&shown), "one\r\ntwo\r\ngot two\r\n17 91\r\n");
    }

    #[test]
    fn a_missing_text_is_an_error_and_not_a_hang() {
        let terminal = Terminal::start(on_terminal(&["true"]), 80, 24).unwrap();
        let error = terminal.wait_for("never", 0, Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("the terminal was closed"), "{error}");
    }
}
