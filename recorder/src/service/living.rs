//! What the next run has to know of this one: which tasks are whose, in a file beside the control socket, which a restart leaves and a
//! reboot doesn't. Root can write it, as he can kill the recorder; what it says is used for tasks that still live as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::redaction::Redactor;
use super::{ServiceError, host_error};
use crate::model::{Body, BootId, Lived};
use crate::session::{Tracked, Tracker};
use crate::sys::process;

const NAME: &str = "living";
const NEW: &str = "living.new";
/// What was forked since is found below its parent.
const PERIOD: Duration = Duration::from_secs(1);
/// Where sessions begin all the time one part of so many is spent here.
const SHARE: u32 = 20;
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
    /// How long that look took.
    took: Duration,
    /// A session has begun since.
    begun: bool,
    failed: bool,
}

impl Living {
    /// Beside that socket; and what the run before left there.
    pub(super) fn and_before(socket: &Path) -> Result<(Self, Vec<Lived>), ServiceError> {
        let dir = socket.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        let boot = process::boot_id().map_err(host_error("cannot read the boot's id"))?;
        let (looked, took) = (Instant::now(), Duration::ZERO);
        let living = Self { dir, boot, written: Vec::new(), looked, took, begun: false, failed: false };
        let before = living.of_before();
        Ok((living, before))
    }

    /// Sessions of the run before, if it was in this boot. What can't be read is told, and as good as nothing.
    fn of_before(&self) -> Vec<Lived> {
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

    /// Writes down what changed, now and then; with `last`, and when a session has begun, at once: what it does first may end this
    /// process. So many begin that this would be all that is done: seldomer.
    pub(super) fn tend(&mut self, tracker: &Tracker, redactor: &Redactor, (came, last): (&[Tracked], bool)) {
        let begins = |item: &Tracked| matches!(item, Tracked::Event { record, .. } if matches!(record.body, Body::SessionStart(_)));
        self.begun |= came.iter().any(begins);
        let pause = if self.begun { self.took.saturating_mul(SHARE) } else { PERIOD };
        if !last && self.looked.elapsed() < pause {
            return;
        }
        self.look(tracker, redactor);
        self.took = self.looked.elapsed();
    }

    fn look(&mut self, tracker: &Tracker, redactor: &Redactor) {
        self.looked = Instant::now();
        self.begun = false;
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
