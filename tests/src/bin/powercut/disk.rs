//! A disk with a volatile write cache: what was not flushed when the power goes is there or not, sector by sector.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt};

/// Bytes that reach the disk whole or not at all.
pub(crate) const SECTOR: u64 = 512;

/// Repeatable chance.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

/// What became of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) kept: u64,
    pub(crate) dropped: u64,
}

/// The disk.
pub(crate) struct CachedDisk {
    image: File,
    pub(crate) size: u64,
    cache: BTreeMap<u64, [u8; 512]>,
    /// Writes and flushes that are still carried out; `None`: all.
    left: Option<u64>,
    /// Without power.
    pub(crate) is_dead: bool,
}

impl CachedDisk {
    pub(crate) fn new(image: File) -> io::Result<Self> {
        let size = image.metadata()?.len();
        Ok(Self { image, size, cache: BTreeMap::new(), left: None, is_dead: false })
    }

    /// The power goes after so many writes and flushes more.
    pub(crate) fn cut_after(&mut self, operations: u64) {
        self.left.get_or_insert(operations);
    }

    /// One write or flush; false if the power is gone before it is carried out.
    fn tick(&mut self) -> bool {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                self.is_dead = true;
            }
            *left = left.saturating_sub(1);
        }
        !self.is_dead
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.image.read_exact_at(out, offset)?;
        for (sector, chunk) in (offset / SECTOR..).zip(out.chunks_mut(512)) {
            if let Some(cached) = self.cache.get(&sector) {
                chunk.copy_from_slice(cached);
            }
        }
        Ok(())
    }

    /// Into the cache, or with `durable` onto the disk. False if the power went before.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8], durable: bool) -> io::Result<bool> {
        let is_alive = self.tick();
        // What was under way when the power went is as likely to be there as anything in the cache.
        for (sector, chunk) in (offset / SECTOR..).zip(data.chunks(512)) {
            let chunk: [u8; 512] = chunk.try_into().map_err(io::Error::other)?;
            if durable && is_alive {
                self.cache.remove(&sector);
            } else {
                self.cache.insert(sector, chunk);
            }
        }
        if durable && is_alive {
            self.image.write_all_at(data, offset)?;
        }
        Ok(is_alive)
    }

    /// Everything onto the disk. False if the power went before.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if !self.tick() {
            return Ok(false);
        }
        for (sector, bytes) in std::mem::take(&mut self.cache) {
            self.image.write_all_at(&bytes, sector * SECTOR)?;
        }
        Ok(true)
    }

    /// The power is gone: of the cache each sector reaches the disk by chance.
    pub(crate) fn cut(&mut self, dice: &mut Dice) -> io::Result<Cut> {
        self.is_dead = true;
        // Nothing, everything, or a share of it.
        let share = match dice.roll(5) {
            0 => 0,
            1 => 100,
            2 => 50,
            3 => 10,
            _ => 90,
        };
        let mut cut = Cut::default();
        for (sector, bytes) in std::mem::take(&mut self.cache) {
            if dice.roll(100) < share {
                self.image.write_all_at(&bytes, sector * SECTOR)?;
                cut.kept += 1;
            } else {
                cut.dropped += 1;
            }
        }
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e8_what_was_flushed_stays_and_of_the_rest_each_sector_by_chance() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 * SECTOR).unwrap();
        let mut disk = CachedDisk::new(file).unwrap();
        assert!(disk.write(0, &[1; 4096], false).unwrap());
        assert!(disk.flush().unwrap());
        assert!(disk.write(0, &[2; 4096], false).unwrap());
        assert!(disk.write(4096, &[3; 512], true).unwrap());
        let mut seen = [0; 4096];
        disk.read(0, &mut seen).unwrap();
        assert_eq!(seen, [2; 4096], "the living system sees its writes");
        disk.cut_after(0);
        assert!(!disk.flush().unwrap());
        let mut total = Cut::default();
        let mut dice = Dice(7);
        let cut = disk.cut(&mut dice).unwrap();
        total.kept += cut.kept;
        total.dropped += cut.dropped;
        assert_eq!(total.kept + total.dropped, 8, "what was written with FUA is not among them");
        let mut after = vec![0; 4608];
        disk.read(0, &mut after).unwrap();
        assert!(after[..4096].chunks(512).all(|s| s == [1; 512] || s == [2; 512]));
        let kept = after[..4096].chunks(512).filter(|s| *s == [2; 512]).count();
        assert_eq!(u64::try_from(kept).unwrap(), cut.kept);
        assert_eq!(after[4096..], [3; 512]);
    }
}
