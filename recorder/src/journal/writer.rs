//! The writer: group commits, rotation, storage faults, the recovery key's minute, the stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bytes::wide;
use super::chain::{Position, Sealer};
use super::checkpoint::Head;
use super::disk::{Disk, RealDisk};
use super::fault;
use super::key::{Entropy, OsEntropy, PublicKey, RESTART_LABEL, SecretKey};
use super::recipients::Recipient;
use super::segment::{Footer, Reason, SegmentHeader, SetAside};
use super::store::{Active, Basis, Begin, Current, NotBegun, Place};
use super::stream::Streams;
use super::{Committed, JournalError, MIN_SEGMENT, Opened, Pending, WriterConfig, elapsed};
use crate::model::{
    Body, BootId, BootNanos, ClockPair, Digest, EndReason, Flags, Record, SessionId, Stop, StorageFault,
    StreamNo,
};

/// The recovery key is replaced this often.
const RECOVERY_AGE: Duration = Duration::from_mins(1);
/// A segment must keep room for a footer and two seals.
const RESERVE: u64 = 1024;

/// Writes one log.
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Writer<D: Disk = RealDisk, E: Entropy = OsEntropy> {
    pub(super) config: WriterConfig,
    pub(super) disk: D,
    pub(super) entropy: E,
    /// Holds the lock.
    pub(super) root: D::Dir,
    pub(super) incarnation: u32,
    pub(super) sealer: Sealer,
    pub(super) at: Position,
    pub(super) place: Place<D>,
    /// Where the log lay before storage failed there.
    pub(super) left: Option<Place<D>>,
    pub(super) active: Active<D>,
    pub(super) segment: Current,
    pub(super) recovery: Recovery,
    pub(super) streams: Streams,
    pub(super) poison: Option<StorageFault>,
    /// The last fault was that a name was not there.
    pub(super) gone: bool,
    /// The last fault's record waits in the queue.
    pub(super) declared: bool,
    /// The segment is the emergency reserve, and there is no other.
    pub(super) in_reserve: bool,
    /// Records that found no place, by class.
    pub(super) toll: BTreeMap<&'static str, u64>,
    /// The origin note.
    pub(super) note: String,
    pub(super) buffer: Vec<u8>,
    /// Others can read from the next segment on, so it begins with the next commit.
    pub(super) rotate_next: bool,
}

/// Recovery keys: the one that the last durable seal names, and a newer one that is durable but not yet named by a
/// durable seal.
pub(super) struct Recovery {
    pub(super) current: Arc<SecretKey>,
    pub(super) next: Option<SecretKey>,
    /// The key of a restart that is being tried.
    pub(super) restart: Option<SecretKey>,
    pub(super) since: ClockPair,
}

impl<D: Disk, E: Entropy> std::fmt::Debug for Writer<D, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<D: Disk, E: Entropy> Writer<D, E> {
    /// Opens the journal: recovers and continues its newest log, or enrols a first one. Takes the journal's lock.
    pub fn open(
        config: WriterConfig,
        disk: D,
        entropy: E,
        boot: BootId,
        now: ClockPair,
    ) -> Result<(Self, Opened), JournalError> {
        super::open::open(config, disk, entropy, boot, now)
    }

    /// Where the log stands: behind its last durable seal.
    pub fn head(&self) -> Head {
        Head { size: self.at.leaf, root: self.at.tree.root() }
    }

    /// Begins a session's stream and says so in clear.
    pub fn open_session(&mut self, id: SessionId, at: BootNanos) -> StreamNo {
        self.streams.open(id, at)
    }

    /// Takes a record. Control kinds go to the log's own stream whatever `stream` says.
    #[expect(clippy::needless_pass_by_value, reason = "the record is the journal's from here on")]
    pub fn append(&mut self, stream: StreamNo, record: Record) {
        self.streams.append(stream, &record);
    }

    /// Takes a record of the log that only the recipients may read; false, and nothing is taken, if there are none.
    pub fn append_sealed(&mut self, record: &Record) -> bool {
        self.streams.append_sealed(record)
    }

    /// Who can read the segments that begin from now on. The running one is closed with the next commit. Encryption can't
    /// be switched on or off in a running log: `false`, and nothing changes.
    pub fn set_recipients(&mut self, recipients: Vec<Recipient>) -> bool {
        let on = self.config.encryption.is_on() && !recipients.is_empty();
        if on {
            self.config.encryption = self.config.encryption.readdress(recipients);
            self.rotate_next = true;
        }
        on
    }

    /// Ends a session's stream: what is buffered is cut, then the counts are stated in clear.
    pub fn close_session(&mut self, stream: StreamNo, reason: EndReason, losses: u64, at: BootNanos) {
        self.streams.close(stream, reason, losses, at);
    }

    /// What waits for a commit.
    pub fn pending(&self) -> Pending {
        self.streams.pending()
    }

    /// Makes everything that waits durable and sealed. After an error nothing is lost: it waits on, and the next commit
    /// tries a fresh segment.
    pub fn commit(&mut self, now: ClockPair) -> Result<Committed, JournalError> {
        if self.poison.is_none() || self.streams.pending().bytes == 0 {
            self.declare(now);
        }
        self.streams.cut_all();
        let mut done = Committed::default();
        self.drain(now, &mut done)?;
        if done.bytes > 0
            && let Err(e) = self.active.zero_ahead(&self.disk)
        {
            self.poison(&e);
        }
        (done.seal, done.tree_size) = (self.at.next_seal.saturating_sub(1), self.at.leaf);
        done.root = self.at.tree.root();
        Ok(done)
    }

    fn drain(&mut self, now: ClockPair, done: &mut Committed) -> Result<(), JournalError> {
        while !self.streams.queue.is_empty() {
            if self.poison.is_some() {
                self.restart(now)?;
                done.restarts = done.restarts.saturating_add(1);
            }
            let outcome = self.commit_some(now, done);
            if let Err(e) = outcome {
                let again = self.poison.is_none() && done.restarts == 0;
                self.poison(&e);
                if !again {
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Writes as many frames as the segment takes, or begins the next segment.
    fn commit_some(&mut self, now: ClockPair, done: &mut Committed) -> Result<(), JournalError> {
        let room = self.active.room().saturating_sub(RESERVE);
        let mut need = 0u64;
        let fits = self.streams.queue.iter().take_while(|f| {
            need = need.saturating_add(wide(f.room()));
            need <= room
        });
        let n = fits.count();
        let old = self.rotate_next || elapsed(self.segment.since, now) >= self.config.segment_age;
        let empty = self.at.leaf == self.segment.first_leaf.saturating_add(1);
        if n == 0 || (old && !empty) {
            let first = self.streams.queue.front().map_or(0, |f| wide(f.room()));
            self.rotate(now, first)?;
            done.rotations = done.rotations.saturating_add(1);
            return Ok(());
        }
        self.renew_recovery(now)?;
        let mut at = self.at.clone();
        let mut out = std::mem::take(&mut self.buffer);
        out.clear();
        let mut records = 0u64;
        for frame in self.streams.queue.iter().take(n) {
            at.put_leaf(&mut out, frame.header, &frame.body, self.active.cipher.as_mut())?;
            records = records.saturating_add(u64::from(frame.header.records));
        }
        let written = self.seal_and_write(&mut out, at, now);
        done.bytes = done.bytes.saturating_add(wide(out.len()));
        self.buffer = out;
        written?;
        done.records = done.records.saturating_add(records);
        done.frames = done.frames.saturating_add(wide(n));
        self.streams.acknowledged(n);
        self.declared = false;
        self.settle_recovery();
        Ok(())
    }

    /// Seals what `out` holds and writes it durably; only then does the chain's position move.
    fn seal_and_write(
        &mut self,
        out: &mut Vec<u8>,
        mut at: Position,
        now: ClockPair,
    ) -> Result<(), JournalError> {
        let recovery = self.recovery.named();
        self.sealer.seal(out, &mut at, recovery, now, &mut self.entropy)?;
        self.active.write(&self.disk, out)?;
        self.at = at;
        self.segment.seals = self.segment.seals.saturating_add(1);
        Ok(())
    }

    /// A new recovery secret is durable before the seal that names it is written.
    fn renew_recovery(&mut self, now: ClockPair) -> Result<(), JournalError> {
        if self.recovery.next.is_some() || elapsed(self.recovery.since, now) < RECOVERY_AGE {
            return Ok(());
        }
        let key = SecretKey::generate(&mut self.entropy)?;
        self.place.keys.store(&self.disk, &key, &[self.recovery.current.public()])?;
        self.recovery.next = Some(key);
        self.recovery.since = now;
        Ok(())
    }

    /// The old recovery secret goes once the seal that names the new one is durable.
    pub(super) fn settle_recovery(&mut self) {
        let next = self.recovery.restart.take().or(self.recovery.next.take());
        if let Some(next) = next {
            self.recovery.next = None;
            self.recovery.current = Arc::new(next);
            self.erase_old_keys();
        }
    }

    fn erase_old_keys(&mut self) {
        let keep = self.recovery.current.public();
        if let Err(e) = self.place.keys.erase_others(&self.disk, keep) {
            self.poison(&e);
        }
        if let Some(left) = &mut self.left {
            // The disk that failed may refuse this too; the restart in the new place has already voided its key.
            let _ = left.keys.erase_others(&self.disk, keep);
        }
    }

    /// Closes the segment and begins the next one with at least `need` bytes of room.
    fn rotate(&mut self, now: ClockPair, need: u64) -> Result<(), JournalError> {
        self.close_segment(now, false)?;
        self.begin(Basis::Fresh, Reason::Rotate, now, need, SetAside::default())?;
        self.in_reserve = false;
        Ok(())
    }

    fn close_segment(&mut self, now: ClockPair, stopped: bool) -> Result<(), JournalError> {
        let mut out = Vec::new();
        let mut at = self.at.clone();
        if stopped {
            for frame in &self.streams.queue {
                at.put_leaf(&mut out, frame.header, &frame.body, self.active.cipher.as_mut())?;
            }
        }
        let footer = Footer {
            first_leaf: self.segment.first_leaf,
            leaves: at.leaf.saturating_add(1).saturating_sub(self.segment.first_leaf),
            records: at.record.saturating_sub(self.segment.first_record),
            seals: self.segment.seals,
            bytes: self.active.tail.saturating_add(wide(out.len())),
            stopped: u64::from(stopped),
        };
        at.put_footer(&mut out, &footer, self.segment.number, now)?;
        self.seal_and_write(&mut out, at, now)?;
        if stopped {
            self.streams.acknowledged(usize::MAX);
        }
        self.settle_recovery();
        self.active.close(&self.disk)
    }

    pub(super) fn header(
        &self,
        reason: Reason,
        now: ClockPair,
        need: u64,
        set_aside: SetAside,
    ) -> SegmentHeader {
        let most = need.saturating_add(RESERVE * 4);
        SegmentHeader {
            log: self.sealer.identity.log,
            admission: self.sealer.identity.admission,
            incarnation: self.incarnation,
            reason,
            capacity: self.config.segment_bytes.max(MIN_SEGMENT).max(most).next_multiple_of(8),
            boot: self.sealer.boot,
            clock: now,
            last_seal: self.at.last_seal,
            next_seal: self.at.next_seal,
            next_key: self.sealer.public(),
            next_control: self.at.control,
            next_stream: self.streams.next(),
            set_aside,
            peaks: self.at.tree.peaks().to_vec(),
            recipients: 0,
            wrapped_key: Vec::new(),
            key_commitment: Digest::default(),
        }
    }

    /// Makes a segment with its header and first seal; only then does the chain's position move.
    pub(super) fn begin(
        &mut self,
        basis: Basis,
        reason: Reason,
        now: ClockPair,
        need: u64,
        aside: SetAside,
    ) -> Result<(), NotBegun> {
        let mut header = self.header(reason, now, need, aside);
        if basis == Basis::Reserve {
            header.capacity = fault::reserve_len(self.config.reserve);
        }
        let authority = Arc::clone(&self.recovery.current);
        let signer = reason.is_restart().then_some((RESTART_LABEL, &*authority));
        let plan = Begin {
            header,
            encryption: &self.config.encryption,
            number: self.segment.number.saturating_add(1),
            signer,
            recovery: self.recovery.named(),
        };
        let begun =
            plan.run(basis, &self.disk, &mut self.entropy, &self.place.dir, &mut self.sealer, &self.at)?;
        (self.active, self.at, self.segment) = begun;
        self.rotate_next = false;
        Ok(())
    }

    /// Writes the stop record, the footer and the last seal in one commit and closes the segment. Gives where the log ends.
    pub fn stop(self, stop: Stop) -> Result<Head, JournalError> {
        self.stop_at(stop, stop.clock)
    }

    /// The same some time behind what the stop record says: what was taken until then was still to be written.
    pub fn stop_at(mut self, stop: Stop, now: ClockPair) -> Result<Head, JournalError> {
        self.commit(now)?;
        let record = Record {
            boot_ns: stop.clock.boot,
            cpu: u16::MAX,
            flags: Flags::default(),
            task: None,
            body: Body::Stop(stop),
        };
        self.streams.append(StreamNo::LOG, &record);
        self.streams.cut_all();
        if self.poison.is_none() {
            match self.close_segment(now, true) {
                Ok(()) => return Ok(self.head()),
                Err(_) if self.streams.queue.is_empty() => return Ok(self.head()),
                Err(e) => self.poison(&e),
            }
        }
        self.restart(now)?;
        self.close_segment(now, true)?;
        Ok(self.head())
    }
}

impl Recovery {
    /// The key that the next seal names.
    pub(super) fn named(&self) -> PublicKey {
        self.restart.as_ref().or(self.next.as_ref()).unwrap_or(&self.current).public()
    }
}
