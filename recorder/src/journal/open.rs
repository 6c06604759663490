//! Opening a journal: choose the log, continue it behind its last seal, or enrol a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::{Position, Sealer};
use super::disk::{Disk, ReadAt};
use super::fault;
use super::key::{Entropy, Identity, ORIGIN_LABEL, PublicKey, RESTART_LABEL, SecretKey};
use super::keyfile::{self, KeyFile};
use super::origin::{self, Origin};
use super::recover::{self, Found, Outcome};
use super::segment::{NONE, Reason, SegmentHeader, SetAside, file_name};
use super::store::{Active, Basis, Begin, Current, Place};
use super::stream::Streams;
use super::writer::Recovery;
use super::{Abandoned, JournalError, MIN_SEGMENT, Opened, Writer, WriterConfig};
use crate::model::{Body, BootId, Bytes, ClockPair, Digest, LogId, PreviousEnd, StorageFault};

/// What all ways of opening need.
struct Opening<D: Disk, E: Entropy> {
    config: WriterConfig,
    disk: D,
    entropy: E,
    root: D::Dir,
    boot: BootId,
    now: ClockPair,
}

/// A log that is there.
struct Known {
    log: LogId,
    origin: Option<(Origin, String)>,
}

impl Known {
    fn incarnation(&self) -> u32 {
        self.origin.as_ref().map_or(0, |(o, _)| o.incarnation)
    }
}

pub(super) fn open<D: Disk, E: Entropy>(
    config: WriterConfig,
    disk: D,
    entropy: E,
    boot: BootId,
    now: ClockPair,
) -> Result<(Writer<D, E>, Opened), JournalError> {
    let io = |source| JournalError::io("open the journal directory", source);
    let root = disk.root(&config.dir).map_err(io)?;
    if !disk.lock(&root).map_err(io)? {
        return Err(JournalError::Locked { dir: config.dir });
    }
    let opening = Opening { config, disk, entropy, root, boot, now };
    let Some(known) = opening.newest().map_err(io)? else { return opening.enrol(None) };
    let Some((origin, note)) = &known.origin else {
        return opening.enrol(Some((&known, Abandoned::Damaged)));
    };
    let dir = opening.disk.subdir(&opening.root, &known.log.to_string(), false).map_err(io)?;
    let spare = opening.spare_dir(known.log);
    let dirs: Vec<&D::Dir> = std::iter::once(&dir).chain(&spare).collect();
    let found = match recover::find(&opening.disk, &dirs, known.log)? {
        Outcome::Found(found) if found.identity == origin.identity => found,
        Outcome::Found(_) => return opening.enrol(Some((&known, Abandoned::Damaged))),
        Outcome::Abandon(why) => return opening.enrol(Some((&known, why))),
    };
    let key = match recover::authority(&opening.disk, &dirs, found.recovery_key)? {
        Ok(key) => key,
        Err(why) => return opening.enrol(Some((&known, why))),
    };
    drop(dirs);
    let (incarnation, note) = (origin.incarnation, note.clone());
    opening.resume(&found, &key, dir, spare.as_ref(), incarnation, note)
}

impl<D: Disk, E: Entropy> Opening<D, E> {
    fn spare_dir(&self, log: LogId) -> Option<D::Dir> {
        let spare = self.config.spare_dir.as_ref().filter(|p| p.exists())?;
        let root = self.disk.root(spare).ok()?;
        self.disk.subdir(&root, &log.to_string(), false).ok()
    }

    /// The log with the highest incarnation.
    fn newest(&self) -> std::io::Result<Option<Known>> {
        let mut best: Option<Known> = None;
        for name in self.disk.list(&self.root)? {
            let Some(log) = LogId::from_hex(&name).filter(|log| log.to_string() == name) else { continue };
            let Ok(dir) = self.disk.subdir(&self.root, &name, false) else { continue };
            let origin = self.read_note(&dir).filter(|(o, _)| o.identity.log == log);
            let known = Known { log, origin };
            if best.as_ref().is_none_or(|b| b.incarnation() <= known.incarnation()) {
                best = Some(known);
            }
        }
        Ok(best)
    }

    fn read_note(&self, dir: &D::Dir) -> Option<(Origin, String)> {
        let file = self.disk.open(dir, origin::FILE).ok()?;
        let mut raw = vec![0u8; origin::MAX_LEN];
        let len = file.read_at(0, &mut raw).ok()?;
        raw.truncate(len);
        let origin = Origin::parse(&raw)?;
        Some((origin, String::from_utf8(raw).ok()?))
    }

    fn header(&self, identity: Identity, incarnation: u32, reason: Reason, at: &Position) -> SegmentHeader {
        SegmentHeader {
            log: identity.log,
            admission: identity.admission,
            incarnation,
            reason,
            capacity: self.config.segment_bytes.max(MIN_SEGMENT).next_multiple_of(8),
            boot: self.boot,
            clock: self.now,
            last_seal: at.last_seal,
            next_seal: at.next_seal,
            next_key: PublicKey::default(),
            next_control: at.control,
            next_stream: 1,
            set_aside: SetAside::default(),
            peaks: at.tree.peaks().to_vec(),
            recipients: 0,
            wrapped_key: Vec::new(),
            key_commitment: Digest::default(),
        }
    }

    /// Restarts the chain behind the last seal, authorised by the recovery key that it names.
    fn resume(
        mut self,
        found: &Found,
        authority: &SecretKey,
        dir: D::Dir,
        spare: Option<&D::Dir>,
        incarnation: u32,
        note: String,
    ) -> Result<(Writer<D, E>, Opened), JournalError> {
        let Found { identity, number, next_stream, stopped, set_aside, .. } = *found;
        let at = &found.at;
        let mut keys = match KeyFile::open(&self.disk, &dir) {
            Ok((keys, _)) => keys,
            Err(_) => KeyFile::create(&self.disk, &dir, keyfile::FILE)?,
        };
        let next = SecretKey::generate(&mut self.entropy)?;
        keys.store(&self.disk, &next, &[authority.public()])?;
        let mut sealer = Sealer::start(identity, self.boot, &mut self.entropy)?;
        let reason = if stopped { Reason::Resume } else { Reason::Break };
        let mut header = self.header(identity, incarnation, reason, at);
        header.next_key = sealer.public();
        header.next_stream = next_stream;
        header.set_aside = set_aside;
        let mut begin = |basis, header: &SegmentHeader, sealer: &mut Sealer| {
            let begin = Begin {
                header: header.clone(),
                encryption: &self.config.encryption,
                number: number.saturating_add(1),
                signer: Some((RESTART_LABEL, authority)),
                recovery: next.public(),
            };
            begin.run(basis, &self.disk, &mut self.entropy, &dir, sealer, at).map_err(JournalError::from)
        };
        let (begun, full) = match begin(Basis::Fresh, &header, &mut sealer) {
            Ok(begun) => (begun, None),
            // A full disk must be no way to keep the recorder from starting.
            Err(error) if fault::is_full(&error) => {
                let Ok(capacity) = Active::<D>::reserve_len(&self.disk, &dir) else { return Err(error) };
                if capacity < MIN_SEGMENT {
                    return Err(error);
                }
                // The first attempt's key has signed.
                header.next_key = sealer.public();
                header.capacity = capacity;
                let begun = begin(Basis::Reserve, &header, &mut sealer)?;
                (begun, Some(error))
            }
            Err(error) => return Err(error),
        };
        keys.erase_others(&self.disk, next.public())?;
        if let Some(spare) = spare
            && let Ok((mut old, _)) = KeyFile::open(&self.disk, spare)
        {
            old.erase_others(&self.disk, next.public())?;
        }
        let opened = Opened {
            log: identity.log,
            enrolled: false,
            previous_end: if stopped { PreviousEnd::Stop } else { PreviousEnd::Crash },
            set_aside: (set_aside.bytes > 0).then_some(set_aside),
            incarnation,
            abandoned: None,
            origin: note,
            secrets_locked: authority.is_locked(),
        };
        let place = Place::new(self.config.dir.clone(), dir, keys);
        let mut writer =
            self.writer(begun, sealer, next, place, (incarnation, opened.origin.clone()), next_stream);
        if let Some(JournalError::Io { operation, source }) = full {
            writer.in_reserve = true;
            let errno = source.raw_os_error().unwrap_or(0);
            let fault = StorageFault { operation: Bytes::from(operation), errno, repeated: 0 };
            writer.streams.say(writer.segment.since.boot, Body::Storage(fault));
        }
        writer.look_for_reserve();
        Ok((writer, opened))
    }

    /// Makes a new log under a hidden name and shows it when it is whole.
    fn enrol(mut self, before: Option<(&Known, Abandoned)>) -> Result<(Writer<D, E>, Opened), JournalError> {
        let mut raw = [0u8; 16];
        self.entropy.fill(&mut raw)?;
        let log = LogId::new(raw);
        self.entropy.fill(&mut raw)?;
        let same_host = before.and_then(|(k, _)| k.origin.as_ref()).map(|(o, _)| o.host_id);
        let admission = SecretKey::generate(&mut self.entropy)?;
        let identity = Identity { log, admission: admission.public() };
        let incarnation = before.map_or(1, |(k, _)| k.incarnation().max(1).saturating_add(1));
        let recovery = SecretKey::generate(&mut self.entropy)?;
        let mut sealer = Sealer::start(identity, self.boot, &mut self.entropy)?;
        let origin = Origin {
            identity,
            host_id: same_host.unwrap_or(LogId::new(raw)),
            host: Bytes::escaped(&self.config.host),
            incarnation,
            previous: before.map(|(k, why)| (k.log, why)),
            first_seal: sealer.public(),
        };
        let note = origin.sign(&admission);
        let hidden = format!(".new-{log}");
        let io = |source| JournalError::io("enrol a log", source);
        let dir = self.disk.subdir(&self.root, &hidden, true).map_err(io)?;
        self.write_note(&dir, &note).map_err(io)?;
        KeyFile::create(&self.disk, &dir, keyfile::ADMISSION_FILE)?.store(&self.disk, &admission, &[])?;
        KeyFile::create(&self.disk, &dir, keyfile::FILE)?.store(&self.disk, &recovery, &[])?;
        let at = Position::start();
        let mut header = self.header(identity, incarnation, Reason::Origin, &at);
        header.next_key = sealer.public();
        header.set_aside.bytes = 0;
        let begin = Begin {
            header,
            encryption: &self.config.encryption,
            number: 0,
            signer: Some((ORIGIN_LABEL, &admission)),
            recovery: recovery.public(),
        };
        let (mut active, at, current) =
            begin.run(Basis::Fresh, &self.disk, &mut self.entropy, &dir, &mut sealer, &at)?;
        let name = log.to_string();
        self.disk.rename(&self.root, &hidden, &name).map_err(io)?;
        self.disk.sync_dir(&self.root).map_err(io)?;
        let dir = self.disk.subdir(&self.root, &name, false).map_err(io)?;
        active.file = self.disk.open(&dir, &file_name(0)).map_err(io)?;
        let (keys, _) = KeyFile::open(&self.disk, &dir)?;
        let opened = Opened {
            log,
            enrolled: true,
            previous_end: PreviousEnd::None,
            set_aside: None,
            incarnation,
            abandoned: before.map(|(k, why)| (k.log, why)),
            origin: note,
            secrets_locked: admission.is_locked(),
        };
        let begun = (active, at, current);
        let place = Place::new(self.config.dir.clone(), dir, keys);
        let mut writer = self.writer(begun, sealer, recovery, place, (incarnation, opened.origin.clone()), 1);
        writer.look_for_reserve();
        Ok((writer, opened))
    }

    fn write_note(&self, dir: &D::Dir, note: &str) -> std::io::Result<()> {
        self.disk.remove(dir, origin::FILE)?;
        let file = self.disk.create(dir, origin::FILE)?;
        self.disk.write(&file, 0, note.as_bytes())?;
        self.disk.sync(&file)
    }

    fn writer(
        self,
        (active, at, segment): (Active<D>, Position, Current),
        sealer: Sealer,
        recovery: SecretKey,
        place: Place<D>,
        (incarnation, note): (u32, String),
        next_stream: u64,
    ) -> Writer<D, E> {
        debug_assert_ne!(next_stream, NONE);
        let encrypted = self.config.encryption.is_on();
        Writer {
            config: self.config,
            disk: self.disk,
            entropy: self.entropy,
            root: self.root,
            incarnation,
            sealer,
            at,
            place,
            left: None,
            active,
            segment,
            recovery: Recovery { current: Arc::new(recovery), next: None, restart: None, since: self.now },
            streams: Streams::new(next_stream, encrypted),
            poison: None,
            gone: false,
            declared: false,
            in_reserve: false,
            toll: BTreeMap::new(),
            note,
            buffer: Vec::new(),
            rotate_next: false,
        }
    }
}
