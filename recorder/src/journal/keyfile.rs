//! `recovery.key`: the secret that alone may restart the chain behind the last seal, on disk because a crash loses
//! memory. A few slots in separate blocks, each written in place, so that a new secret is durable before the seal that
//! names it and the old one is overwritten where it lay.

use zeroize::Zeroizing;

use super::JournalError;
use super::disk::{Disk, ReadAt};
use super::key::{PublicKey, SecretKey, sha256};
use crate::sys::secret::Secret;

/// File name.
pub(super) const FILE: &str = "recovery.key";
/// File name of the admission key (one slot).
pub(super) const ADMISSION_FILE: &str = "admission.key";
/// Slots: the last seal's, that of a seal which may or may not have reached the disk, that of a restart behind it.
const SLOTS: u64 = 3;
const SLOT: u64 = 4096;
const MAGIC: [u8; 8] = *b"RJKEY1\0\0";
const USED: usize = 80;

/// Slots of one file.
#[derive(Debug)]
pub(super) struct KeyFile<F> {
    file: F,
    slots: [Option<PublicKey>; 3],
}

fn offsets() -> impl Iterator<Item = u64> {
    (0..SLOTS).map(|n| n * SLOT)
}

/// magic 8 | secret 32 | public 32 | first 8 bytes of SHA-256 over the 72 before
fn encode(key: &SecretKey) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(USED));
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(key.expose());
    out.extend_from_slice(&key.public().0);
    let check = sha256(&out);
    out.extend_from_slice(check.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    out
}

fn decode(raw: &[u8; USED]) -> Result<Option<SecretKey>, JournalError> {
    let (covered, check) = raw.split_at(USED - 8);
    let (magic, rest) = covered.split_at(8);
    let Some(secret) = rest.first_chunk::<32>().filter(|_| magic == MAGIC) else { return Ok(None) };
    if sha256(covered).as_bytes().first_chunk::<8>().map(<[u8; 8]>::as_slice) != Some(check) {
        return Ok(None);
    }
    let mut page = Secret::new().map_err(|source| JournalError::io("map locked memory", source))?;
    page.expose_mut().copy_from_slice(secret);
    let key = SecretKey::from_secret(page);
    Ok(rest.get(32..64).is_some_and(|public| public == key.public().0).then_some(key))
}

fn read_slot(file: &impl ReadAt, offset: u64) -> Result<Option<SecretKey>, JournalError> {
    let mut raw = Zeroizing::new([0u8; USED]);
    let got = file
        .read_at(offset, raw.as_mut_slice())
        .map_err(|source| JournalError::io("read a key file", source))?;
    if got < USED {
        return Ok(None);
    }
    decode(&raw)
}

/// The key of a file's first slot.
pub(super) fn first_key(file: &impl ReadAt) -> Result<Option<SecretKey>, JournalError> {
    read_slot(file, 0)
}

impl<F: ReadAt> KeyFile<F> {
    /// Makes the file, empty.
    pub(super) fn create<D: Disk<File = F>>(
        disk: &D,
        dir: &D::Dir,
        name: &str,
    ) -> Result<Self, JournalError> {
        let make = || {
            disk.remove(dir, name)?;
            let file = disk.create(dir, name)?;
            for offset in offsets() {
                disk.write(&file, offset, &[0; 4096])?;
            }
            disk.sync(&file)?;
            Ok(file)
        };
        let file = make().map_err(|source| JournalError::io("make a key file", source))?;
        Ok(Self { file, slots: [None; 3] })
    }

    /// Opens the file and returns the keys it holds.
    pub(super) fn open<D: Disk<File = F>>(
        disk: &D,
        dir: &D::Dir,
    ) -> Result<(Self, Vec<SecretKey>), JournalError> {
        let file = disk.open(dir, FILE).map_err(|source| JournalError::io("open recovery.key", source))?;
        let mut slots = [None; 3];
        let mut keys = Vec::new();
        for (slot, offset) in slots.iter_mut().zip(offsets()) {
            if let Some(key) = read_slot(&file, offset)? {
                *slot = Some(key.public());
                keys.push(key);
            }
        }
        Ok((Self { file, slots }, keys))
    }

    /// Writes a key durably into a slot that holds none of `keep`.
    pub(super) fn store<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        key: &SecretKey,
        keep: &[PublicKey],
    ) -> Result<(), JournalError> {
        let free = self.slots.iter_mut().zip(offsets()).find(|(s, _)| s.is_none_or(|k| !keep.contains(&k)));
        let Some((slot, offset)) = free else { return Err(JournalError::NoKeySlot) };
        *slot = Some(key.public());
        disk.write_durable(&self.file, offset, &encode(key))
            .map_err(|source| JournalError::io("write a recovery key", source))
    }

    /// Overwrites every slot but that of `keep`, durably.
    pub(super) fn erase_others<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        keep: PublicKey,
    ) -> Result<(), JournalError> {
        for (slot, offset) in self.slots.iter_mut().zip(offsets()) {
            if slot.is_some_and(|k| k != keep) {
                disk.write_durable(&self.file, offset, &[0; USED])
                    .map_err(|source| JournalError::io("erase a recovery key", source))?;
                *slot = None;
            }
        }
        Ok(())
    }
}
