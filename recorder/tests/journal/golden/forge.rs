//! Somebody who has every key the recorder ever made: whatever he changes, links, roots and signatures fit again. What is
//! refused then is refused for the rule that he broke.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::common::{Dice, at, boot, config, log_dir, segments};
use recorder::journal::frame::{frame_hash, frame_len};
use recorder::journal::key::{
    Entropy, Identity, ORIGIN_LABEL, PublicKey, RESTART_LABEL, SEAL_LABEL, SecretKey,
};
use recorder::journal::tree::Frontier;
use recorder::journal::{Encryption, JournalError, RealDisk, Writer};
use recorder::model::*;
use recorder::sys::secret::Secret;

const BODY: usize = 112;

/// Repeatable randomness of which somebody keeps a copy.
#[derive(Clone)]
pub(crate) struct Overheard {
    dice: Dice,
    heard: Arc<Mutex<Vec<[u8; 32]>>>,
}

impl Entropy for Overheard {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), JournalError> {
        self.dice.fill(out)?;
        if let Ok(secret) = <[u8; 32]>::try_from(&*out) {
            self.heard.lock().unwrap().push(secret);
        }
        Ok(())
    }
}

/// A journal whose keys are known.
pub(crate) struct Forger {
    pub(crate) dir: PathBuf,
    heard: Arc<Mutex<Vec<[u8; 32]>>>,
    seed: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) spare: Option<PathBuf>,
    pub(crate) encryption: Encryption,
}

/// One frame while it is made anew.
pub(crate) struct Site<'a> {
    /// Which file of the log.
    pub(crate) file: usize,
    /// Header and body.
    pub(crate) bytes: &'a mut [u8],
}

impl Site<'_> {
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[5]
    }

    pub(crate) fn put(&mut self, offset: usize, value: &[u8]) {
        self.bytes[offset..offset + value.len()].copy_from_slice(value);
    }

    /// Adds to an 8-byte number.
    pub(crate) fn add(&mut self, offset: usize, more: u64) {
        let raw: [u8; 8] = self.bytes[offset..offset + 8].try_into().unwrap();
        self.put(offset, &(u64::from_le_bytes(raw).wrapping_add(more)).to_le_bytes());
    }

    /// The kind of the only record of a control frame.
    pub(crate) fn only_record(&self) -> Option<Kind> {
        let records =
            (self.kind() == 4).then(|| recorder::journal::record::decode(&self.bytes[BODY..]))?.ok()?;
        match &records[..] {
            [one] => Some(one.body.kind()),
            _ => None,
        }
    }
}

impl Forger {
    pub(crate) fn new(dir: &Path, seed: u64, segment_bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            heard: Arc::default(),
            seed,
            segment_bytes,
            spare: None,
            encryption: Encryption::Off,
        }
    }

    /// The recorder starts.
    pub(crate) fn open(&mut self, seconds: u64) -> Writer<RealDisk, Overheard> {
        self.open_in(1, seconds)
    }

    /// The recorder starts in another boot.
    pub(crate) fn open_in(&mut self, boot_no: u8, seconds: u64) -> Writer<RealDisk, Overheard> {
        self.seed += 1;
        let entropy = Overheard { dice: Dice(self.seed), heard: Arc::clone(&self.heard) };
        let config = recorder::journal::WriterConfig {
            spare_dir: self.spare.clone(),
            encryption: self.encryption.clone(),
            ..config(&self.dir, self.segment_bytes)
        };
        Writer::open(config, RealDisk, entropy, boot(boot_no), at(seconds)).unwrap().0
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        segments(&log_dir(&self.dir))
    }

    /// Makes the whole log anew; `change` sees every frame before it is hashed and signed.
    pub(crate) fn forge(&self, mut change: impl FnMut(&mut Site<'_>)) {
        let keys = self.keys();
        let (mut prev, mut key, mut recovery) = ([0; 32], PublicKey([0; 32]), PublicKey([0; 32]));
        let (mut tree, mut seal_hash) = (Frontier::default(), [0; 32]);
        let files = self.files();
        for (file, path) in files.iter().enumerate() {
            let mut bytes = std::fs::read(path).unwrap();
            let limit = files.get(file + 1).and_then(|next| named_seal(&std::fs::read(next).unwrap()));
            let identity = identity(&bytes);
            for (no, span) in frames(&bytes).into_iter().enumerate() {
                let body =
                    u32::from_le_bytes(bytes[span.start + 8..span.start + 12].try_into().unwrap()) as usize;
                let frame = &mut bytes[span.start..span.start + BODY + body];
                let reason = frame.get(BODY + 52).copied().unwrap_or_default();
                if file + no > 0 {
                    frame[80..112].copy_from_slice(&prev);
                }
                match frame[5] {
                    1 if reason > 0 => {
                        frame[BODY + 104..BODY + 136].copy_from_slice(&seal_hash);
                        for (at, peak) in (BODY + 288..).step_by(32).zip(tree.peaks()) {
                            frame[at..at + 32].copy_from_slice(peak.as_bytes());
                        }
                    }
                    3 => {
                        frame[BODY + 32..BODY + 64].copy_from_slice(&prev);
                        frame[BODY + 64..BODY + 96].copy_from_slice(tree.root().as_bytes());
                    }
                    _ => {}
                }
                change(&mut Site { file, bytes: frame });
                let (label, signer) = match (frame[5], reason) {
                    (1, 0) => (ORIGIN_LABEL, Some(identity.admission)),
                    (1, 2..) => (RESTART_LABEL, Some(recovery)),
                    (3, _) => (SEAL_LABEL, Some(key)),
                    _ => (SEAL_LABEL, None),
                };
                if let Some(signer) = signer {
                    let (signed, signature) = frame.split_at_mut(BODY + body - 64);
                    let mut message = Vec::new();
                    identity.message(label, signed, &mut message);
                    // A key that nobody has: signed by another, then.
                    let secret = keys.get(&signer.0).unwrap_or_else(|| &keys[&identity.admission.0]);
                    signature.copy_from_slice(&secret.sign(&message));
                }
                prev = *frame_hash(frame).as_bytes();
                if frame[5] == 3 {
                    seal_hash = prev;
                    key = PublicKey(frame[BODY + 96..BODY + 128].try_into().unwrap());
                    recovery = PublicKey(frame[BODY + 128..BODY + 160].try_into().unwrap());
                } else {
                    tree.push(frame_hash(frame));
                }
                if frame[5] == 1 {
                    key = PublicKey(frame[BODY + 144..BODY + 176].try_into().unwrap());
                }
                let sealed =
                    frame[5] == 3 && Some(&frame[BODY + 16..BODY + 24]) == limit.as_ref().map(|n| &n[..]);
                fix_crc(&mut bytes[span]);
                // What lies behind is set aside, and stays as it is.
                if sealed {
                    break;
                }
            }
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn keys(&self) -> BTreeMap<[u8; 32], SecretKey> {
        let heard = self.heard.lock().unwrap();
        let keys = heard.iter().map(|raw| {
            let mut page = Secret::new().unwrap();
            page.expose_mut().copy_from_slice(raw);
            SecretKey::from_secret(page)
        });
        keys.map(|key| (key.public().0, key)).collect()
    }
}

/// The seal behind which a restart begins; none for a rotation.
fn named_seal(bytes: &[u8]) -> Option<[u8; 8]> {
    (bytes[BODY + 52] > 1).then(|| bytes[BODY + 96..BODY + 104].try_into().unwrap())
}

fn identity(bytes: &[u8]) -> Identity {
    let log = LogId::new(bytes[BODY..BODY + 16].try_into().unwrap());
    Identity { log, admission: PublicKey(bytes[BODY + 16..BODY + 48].try_into().unwrap()) }
}

/// Frames of a segment's bytes.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut list, mut at) = (Vec::new(), 0);
    while bytes.get(at..at + 4) == Some(b"RJF1") {
        let body = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let end = at + frame_len(body);
        list.push(at..end);
        at = end;
    }
    list
}

/// The checksum of a whole frame.
pub(crate) fn fix_crc(frame: &mut [u8]) {
    let body = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
    let (covered, rest) = frame.split_at_mut(BODY + body);
    rest[..4].copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
}
