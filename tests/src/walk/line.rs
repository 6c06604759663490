//! The far end of the machine's serial line: what a person at a real terminal sees and types.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::pty;

/// So much of what came is quoted when something did not.
const QUOTE: usize = 300;

/// A connection to the line. Everything that came over it is kept.
pub struct Line {
    wire: UnixStream,
    came: Arc<(Mutex<Vec<u8>>, Condvar)>,
}

impl Line {
    /// Plugs in at the emulator's socket.
    pub fn plug_in(socket: &Path) -> Result<Self> {
        let wire = UnixStream::connect(socket).with_context(|| format!("no line at {}", socket.display()))?;
        let came = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (mut source, sink) = (wire.try_clone()?, Arc::clone(&came));
        thread::spawn(move || {
            let mut chunk = vec![0; 4096];
            while let Ok(n @ 1..) = source.read(&mut chunk) {
                lock(&sink.0).extend(chunk.iter().take(n));
                sink.1.notify_all();
            }
        });
        Ok(Self { wire, came })
    }

    /// Types these bytes, as fast as a person who holds a key down: the line has a buffer of 16.
    pub fn type_bytes(&mut self, keys: &[u8]) -> Result<()> {
        for key in keys.chunks(8) {
            self.wire.write_all(key).context("typing")?;
        }
        Ok(())
    }

    /// Everything that came.
    pub fn came(&self) -> Vec<u8> {
        lock(&self.came.0).clone()
    }

    /// The position behind all that came.
    pub fn mark(&self) -> usize {
        lock(&self.came.0).len()
    }

    /// Waits until `needle` came at or after `from`; gives the position behind it.
    pub fn wait_for(&self, needle: &str, from: usize, limit: Duration) -> Result<usize> {
        let end = Instant::now() + limit;
        let mut came = lock(&self.came.0);
        loop {
            let new = came.get(from..).unwrap_or_default();
            if let Some(at) = pty::find(new, needle.as_bytes()) {
                return Ok(from + at + needle.len());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail = new.get(new.len().saturating_sub(QUOTE)..).unwrap_or_default();
                bail!(
                    "{needle:?} did not come over the line; last came: {:?}",
                    String::from_utf8_lossy(tail)
                );
            }
            came = self.came.1.wait_timeout(came, left).map_or_else(|e| e.into_inner().0, |r| r.0);
        }
    }

    /// Types a line and Enter, then waits for `needle`; gives the position behind it.
    pub fn ask(&mut self, line: &str, needle: &str, limit: Duration) -> Result<usize> {
        let from = self.mark();
        self.type_bytes(line.as_bytes())?;
        self.type_bytes(b"\r")?;
        self.wait_for(needle, from, limit)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
