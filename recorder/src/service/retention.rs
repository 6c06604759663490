//! Applies retention permits: everything is checked before anything is done, and what is done is in an order in which no
//! crash leaves a hole that nothing explains. docs/journal-format.md ("Retention") is the law.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use jiff::tz::TimeZone;

use crate::{
    config::Config,
    grant::{self, AllowedSigners},
    journal::{
        Disk as _, RealDisk,
        retain::{
            Examined, Hold, Item, NAMESPACE, Permit,
            examine::{examine, stub_at},
            hold, shelf,
        },
    },
    model::{Body, Digest, Flags, LogId, RealNanos, Record, SessionId, Tombstone},
    sys::clock,
};

/// How long the writer may take for the tombstones: a disk that hangs longer is told.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tombstones for the writer.
#[derive(Debug)]
pub(super) struct Burial {
    /// Records of the log.
    pub(super) tombstones: Vec<Record>,
    /// True when they are durable under a seal.
    pub(super) done: SyncSender<bool>,
}

/// What came of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) permit: Digest,
    /// Segments that are gone now.
    pub(super) segments: usize,
    /// Segments of the permit that had gone before.
    pub(super) before: usize,
    /// Bytes that are free now.
    pub(super) bytes: u64,
}

/// What is needed to apply permits to the log that is written.
#[derive(Debug)]
pub(super) struct Retention {
    /// The log's directory, and the spare one if it is there.
    dirs: Vec<PathBuf>,
    log: LogId,
    holds: PathBuf,
    signers: PathBuf,
    writer: SyncSender<Burial>,
    /// One permit at a time.
    busy: Mutex<()>,
}

/// A segment that may go.
struct Doomed {
    path: PathBuf,
    bytes: u64,
    examined: Examined,
}

impl Retention {
    pub(super) fn new(config: &Config, log: LogId, writer: SyncSender<Burial>) -> Self {
        let mut dirs = vec![config.journal_dir.join(log.to_string())];
        dirs.extend(config.spare_dir.as_ref().map(|spare| spare.join(log.to_string())));
        Self {
            dirs,
            log,
            holds: config.holds.clone(),
            signers: config.grants.allowed_signers.clone(),
            writer,
            busy: Mutex::new(()),
        }
    }

    /// Applies a permit; the reason if it can't be. `open`: sessions that run.
    pub(super) fn apply(
        &self,
        document: &[u8],
        signature: &[u8],
        open: &BTreeSet<SessionId>,
    ) -> Result<Done, String> {
        let Ok(_one) = self.busy.try_lock() else {
            return Err("another permit is being applied".to_owned());
        };
        let now = clock::pair();
        let applied = RealNanos::new(now.real.get() - now.real.get() % 1_000_000_000);
        let permit = Permit::parse(document).map_err(|fault| format!("no permit: {fault}"))?;
        let signers = self.signers()?;
        let signer = permit.head.signer.as_str();
        grant::check_named(document, signature, NAMESPACE, signer, &signers, applied)
            .map_err(|why| format!("the permit is not signed by {signer}: {why}"))?;
        if permit.plan.log != self.log {
            return Err(format!(
                "the permit is for log {}, this recorder writes {}",
                permit.plan.log, self.log
            ));
        }
        if applied >= permit.until {
            return Err("the permit could be applied earlier only: its time is over".to_owned());
        }
        let holds = self.holds(&signers, applied)?;
        if hold::state(holds.iter()) != permit.plan.holds {
            return Err("other holds are in force than when the plan was made: plan again".to_owned());
        }
        let dirs: Vec<PathBuf> = self.dirs.iter().filter(|dir| dir.is_dir()).cloned().collect();
        let mut doomed = Vec::new();
        let mut before = 0;
        for item in &permit.plan.segments {
            match self.doom(&dirs, item, &holds, open)? {
                Some(segment) => doomed.push(segment),
                None => before += 1,
            }
        }
        let mut done = Done { permit: permit.head.id, segments: 0, before, bytes: 0 };
        if doomed.is_empty() {
            return Ok(done);
        }
        self.keep(&permit, document, signature)?;
        self.bury(&permit, &doomed, applied)?;
        for segment in &doomed {
            replace(segment)?;
            done.segments += 1;
            done.bytes = done.bytes.saturating_add(segment.bytes);
        }
        tracing::info!(permit = %done.permit, segments = done.segments, bytes = done.bytes, "segments expired");
        Ok(done)
    }

    fn signers(&self) -> Result<AllowedSigners, String> {
        let told = |why: String| format!("{}: {why}", self.signers.display());
        let bytes = fs::read(&self.signers).map_err(|e| told(e.to_string()))?;
        AllowedSigners::parse(&bytes, &TimeZone::system()).map_err(|e| told(e.to_string()))
    }

    fn holds(&self, signers: &AllowedSigners, now: RealNanos) -> Result<Vec<Hold>, String> {
        let filed = shelf::holds(&self.holds).map_err(|fault| fault.to_string())?;
        Ok(shelf::in_force(filed, |filed| {
            let signer = &filed.document.head().signer;
            grant::check_named(&filed.bytes, &filed.signature, NAMESPACE, signer, signers, now).is_ok()
        }))
    }

    /// Checks one item; `None` if its stub is in place already.
    fn doom(
        &self,
        dirs: &[PathBuf],
        item: &Item,
        holds: &[Hold],
        open: &BTreeSet<SessionId>,
    ) -> Result<Option<Doomed>, String> {
        let what = format!("the segment of leaves {} to {}", item.first, item.last);
        let told = |why: String| format!("{what} {why}");
        let io = |e: std::io::Error| told(format!("cannot be read: {e}"));
        let segments = shelf::segments(dirs).map_err(io)?;
        let mut here = segments.iter().filter(|(leaf, _)| *leaf == item.first);
        let Some((_, path)) = here.next() else {
            let stub = dirs.iter().find_map(|dir| stub_at(&dir.join(shelf::stub_name(item.first))).ok()?);
            return match stub {
                Some(stub) if stub.digest == item.stub => Ok(None),
                _ => Err(told("is not here".to_owned())),
            };
        };
        if here.next().is_some() {
            return Err(told("is there twice".to_owned()));
        }
        if segments.last().is_none_or(|(leaf, _)| *leaf == item.first) {
            return Err(told("is being written".to_owned()));
        }
        let leaves = shelf::leaves(dirs).map_err(io)?;
        let examined = examine(dirs, path, item.first, &leaves).map_err(|fault| told(fault.to_string()))?;
        let stub = &examined.stub;
        let last = item.first.saturating_add(stub.leaves()).saturating_sub(1);
        if stub.header.log != self.log || stub.digest != item.stub || last != item.last {
            return Err(told("leaves another stub than the permit names".to_owned()));
        }
        if let Some(id) = examined.sessions.iter().find(|id| open.contains(id)) {
            return Err(told(format!("holds session {id}, which is open")));
        }
        let held = |id: &SessionId| holds.iter().find(|hold| hold.keeps(*id)).map(|hold| (*id, hold));
        if let Some((id, hold)) = examined.sessions.iter().find_map(held) {
            let digits: String = hold.head.id.to_string().chars().take(12).collect();
            return Err(told(format!(
                "holds session {id}, which hold {digits} of {} keeps",
                hold.head.signer
            )));
        }
        let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
        Ok(Some(Doomed { path: path.clone(), bytes, examined }))
    }

    /// The permit lies beside the log before anything goes by it.
    fn keep(&self, permit: &Permit, document: &[u8], signature: &[u8]) -> Result<(), String> {
        let dir = self.dirs.first().map_or(Path::new("."), PathBuf::as_path);
        RealDisk
            .root(dir)
            .and_then(|dir| shelf::keep_permit(&RealDisk, &dir, permit.head.id, document, signature))
            .map_err(|e| format!("the permit could not be kept: {e}"))
    }

    /// Tombstones are sealed and durable before anything goes.
    fn bury(&self, permit: &Permit, doomed: &[Doomed], applied: RealNanos) -> Result<(), String> {
        let at = clock::boot();
        let record = |segment: &Doomed| {
            let stub = &segment.examined.stub;
            let body = Body::Tombstone(Tombstone {
                permit: permit.head.id,
                stub: stub.digest,
                first: stub.first.header.leaf,
                leaves: stub.leaves(),
                applied,
            });
            Record { boot_ns: at, cpu: u16::MAX, flags: Flags::default(), task: None, body }
        };
        let (done, answer) = sync_channel(1);
        let burial = Burial { tombstones: doomed.iter().map(record).collect(), done };
        self.writer.send(burial).map_err(|_| "the recorder ends".to_owned())?;
        match answer.recv_timeout(PATIENCE) {
            Ok(true) => Ok(()),
            Ok(false) => Err("the journal could not be written; nothing was deleted".to_owned()),
            Err(_) => Err("the journal was not written in time; nothing was deleted".to_owned()),
        }
    }
}

fn replace(segment: &Doomed) -> Result<(), String> {
    let dir = segment.path.parent().unwrap_or(Path::new("."));
    let first = segment.examined.stub.first.header.leaf;
    RealDisk
        .root(dir)
        .and_then(|dir| shelf::replace(&RealDisk, &dir, first, &segment.examined.bytes))
        .map_err(|e| format!("{} could not be replaced: {e}; apply the permit again", segment.path.display()))
}

#[cfg(test)]
mod tests;
