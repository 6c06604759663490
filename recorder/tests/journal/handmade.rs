//! A log made frame by frame, signed as a recorder signs, with whatever a lying recorder might put into it.

use std::path::{Path, PathBuf};

use crate::common::*;
use recorder::journal::chain::{Position, Sealer};
use recorder::journal::frame::{FrameType, Header};
use recorder::journal::key::{Identity, ORIGIN_LABEL, PublicKey, SecretKey};
use recorder::journal::origin::{self, Origin};
use recorder::journal::record::Encoder;
use recorder::journal::segment::{Footer, NONE, Reason, SegmentHeader, SetAside, file_name};
use recorder::model::*;

pub(crate) struct Handmade {
    dir: PathBuf,
    pub(crate) out: Vec<u8>,
    at: Position,
    sealer: Sealer,
    dice: Dice,
    records: u64,
    seals: u64,
}

impl Handmade {
    /// Begins a log in `journal`, with its note.
    pub(crate) fn begin(journal: &Path, capacity: u64) -> Self {
        let mut dice = Dice(5);
        let admission = SecretKey::generate(&mut dice).unwrap();
        let identity = Identity { log: LogId::new([7; 16]), admission: admission.public() };
        let sealer = Sealer::start(identity, boot(1), &mut dice).unwrap();
        let note = Origin {
            identity,
            host_id: LogId::new([8; 16]),
            host: "web-1".to_owned(),
            incarnation: 1,
            previous: None,
            first_seal: sealer.public(),
        };
        let dir = journal.join(identity.log.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(origin::FILE), note.sign(&admission)).unwrap();
        let header = SegmentHeader {
            log: identity.log,
            admission: identity.admission,
            incarnation: 1,
            reason: Reason::Origin,
            capacity,
            boot: boot(1),
            clock: at(0),
            last_seal: None,
            next_seal: 0,
            next_key: sealer.public(),
            next_control: 0,
            next_stream: 1,
            set_aside: SetAside { offset: 0, bytes: 0, sha256: Digest::default() },
            peaks: Vec::new(),
            recipients: 0,
            wrapped_key: Vec::new(),
            key_commitment: Digest::default(),
        };
        let (mut out, mut position) = (Vec::new(), Position::start());
        position.put_segment(&mut out, &header, 0, Some((ORIGIN_LABEL, &admission)));
        let mut made = Self { dir, out, at: position, sealer, dice, records: 0, seals: 0 };
        assert_ne!(NONE, 0);
        made.seal();
        made
    }

    pub(crate) fn seal(&mut self) {
        let recovery = PublicKey([9; 32]);
        self.sealer.seal(&mut self.out, &mut self.at, recovery, at(0), &mut self.dice).unwrap();
        self.seals += 1;
    }

    pub(crate) fn leaf(&mut self, header: Header, body: &[u8]) {
        self.records += u64::from(header.records);
        self.at.put_leaf(&mut self.out, header, body, None).unwrap();
    }

    /// A data frame that says what it holds, and holds `body`.
    pub(crate) fn data(&mut self, stream: u64, seq: u64, records: u32, compression: u8, body: &[u8]) {
        let flags = if compression == 0 { 0 } else { 8 };
        let header = Header {
            flags,
            stream,
            stream_seq: seq,
            records,
            codec: 1,
            compression,
            ..Header::new(FrameType::DATA)
        };
        self.leaf(header, body);
    }

    /// A control frame of these records.
    pub(crate) fn control(&mut self, bodies: impl IntoIterator<Item = Body>) {
        let mut encoder = Encoder::default();
        for body in bodies {
            let boot_ns = at(0).boot;
            encoder.push(&Record { boot_ns, cpu: 0, flags: Flags::default(), task: None, body });
        }
        let mut plain = Vec::new();
        let records = encoder.finish(&mut plain).count;
        self.leaf(Header { records, codec: 1, ..Header::new(FrameType::CONTROL) }, &plain);
    }

    pub(crate) fn opened(&mut self, stream: u64) {
        let stream = StreamNo::new(stream);
        self.control([Body::SessionOpened(SessionOpened { stream, id: session(stream.get() as u8) })]);
    }

    pub(crate) fn closed(&mut self, stream: u64, frames: u64, records: u64) {
        let (stream, id) = (StreamNo::new(stream), session(stream as u8));
        let reason = EndReason::LastTask;
        self.control([Body::SessionClosed(SessionClosed { stream, id, reason, frames, records, losses: 0 })]);
    }

    /// Stops the log and writes the segment; gives its path.
    pub(crate) fn stop(mut self) -> PathBuf {
        let footer = Footer {
            first_leaf: 0,
            leaves: self.at.leaf + 1,
            records: self.records,
            seals: self.seals,
            bytes: self.out.len() as u64,
            stopped: 1,
        };
        self.at.put_footer(&mut self.out, &footer, 0, at(0)).unwrap();
        self.seal();
        self.write()
    }

    /// Writes the segment as it is.
    pub(crate) fn write(self) -> PathBuf {
        let path = self.dir.join(file_name(0));
        std::fs::write(&path, &self.out).unwrap();
        path
    }
}
