//! What the next run has to know of this one: which tasks are whose, in a file beside the control socket, which a restart leaves and a
//! reboot doesn't. Root can write it, as he can kill the recorder; what it says is used for tasks that still live as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::redaction::Redactor;
use crate::model::{BootId, Lived};
use crate::session::Tracker;
use crate::sys::process;

const NAME: &str = "living";
const NEW: &str = "living.new";
/// What was forked since is found below its parent.
const PERIOD: Duration = Duration::from_secs(1);
const MAX_LEN: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Written {
    boot: BootId,
    sessions: Vec<Lived>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Living {
    dir: PathBuf,
    boot: BootId,
    written: Vec<Lived>,
    looked: Instant,
    failed: bool,
}

impl Living {
    /// Beside that socket.
    pub(super) fn beside(socket: &Path) -> io::Result<Self> {
        let dir = socket.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        let (boot, looked) = (process::boot_id()?, Instant::now());
        Ok(Self { dir, boot, written: Vec::new(), looked, failed: false })
    }

    /// Sessions of the run before, if it was in this boot. What can't be read is told, and as good as nothing.
    pub(super) fn of_before(&self) -> Vec<Lived> {
        match self.read() {
            Ok(Some(written)) if written.boot == self.boot => written.sessions,
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "what ran before the recorder started again is not known");
                Vec::new()
            }
        }
    }

    fn read(&self) -> io::Result<Option<Written>> {
        let options = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.dir.join(NAME));
        let file = match options {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(io::Error::other("it is not this service's own file"));
        }
        let mut text = Vec::new();
        file.take(MAX_LEN).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
    }

    /// Writes down what changed, now and then; with `last`, at once.
    pub(super) fn tend(&mut self, tracker: &Tracker, redactor: &Redactor, last: bool) {
        if !last && self.looked.elapsed() < PERIOD {
            return;
        }
        self.looked = Instant::now();
        let mut sessions = tracker.living();
        redactor.living(&mut sessions);
        if sessions == self.written {
            return;
        }
        let written = Written { boot: self.boot, sessions };
        let outcome = self.write(&written);
        self.written = written.sessions;
        if let Err(error) = &outcome
            && !self.failed
        {
            tracing::error!(dir = %self.dir.display(), %error, "what runs can't be written down for the next start");
        }
        self.failed = outcome.is_err();
    }

    fn write(&self, written: &Written) -> io::Result<()> {
        let new = self.dir.join(NEW);
        let text = serde_json::to_vec(written)?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        fs::rename(&new, self.dir.join(NAME))
    }
}
