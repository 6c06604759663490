//! What is done to a journal to make a fixture of it.

use std::path::{Path, PathBuf};

use super::forge::{Forger, Site, frames};
use super::scenes::patient;
use crate::common::*;

/// The operation of the fake disk that is a commit's write, and the one that makes a rotated segment's name durable.
pub(crate) const FAULT_AT: usize = 30;
pub(crate) const FAULT_ROTATION: usize = 41;

pub(crate) fn capacity(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[112 + 56..112 + 64].try_into().unwrap()) as usize
}

pub(crate) fn j(dir: &Path) -> PathBuf {
    dir.join("journal")
}

pub(crate) fn log_of(forger: &Forger) -> PathBuf {
    log_dir(&forger.dir)
}

pub(crate) fn keep_origin(dir: &Path) {
    std::fs::copy(log_dir(&j(dir)).join("origin.note"), dir.join("origin.note")).unwrap();
}

pub(crate) fn edit(forger: &Forger, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
    let path = &forger.files()[file];
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Flips a bit of a frame's byte; a negative frame is counted from the end.
pub(crate) fn flip(bytes: &mut [u8], frame: isize, offset: usize) {
    let all = frames(bytes);
    let no = frame.rem_euclid(all.len() as isize) as usize;
    bytes[all[no].start + offset] ^= 1 << (offset % 8);
}

pub(crate) fn flipped(dir: &Path, frame: isize, offset: usize) {
    edit(&patient(&j(dir)), 1, |bytes| flip(bytes, frame, offset));
}

/// The first segment of these of its frames, and of all that follow the last one named.
pub(crate) fn moved(dir: &Path, order: fn(usize) -> Vec<usize>, _first: usize) {
    edit(&patient(&j(dir)), 0, |bytes| {
        let all = frames(bytes);
        let order = order(all.len());
        let last = all[*order.iter().max().unwrap()].end;
        let mut out: Vec<u8> = order.iter().flat_map(|n| bytes[all[*n].clone()].to_vec()).collect();
        out.extend_from_slice(&bytes[last..]);
        *bytes = out;
    });
}

pub(crate) fn forged(forger: &Forger, change: impl FnMut(&mut Site<'_>)) {
    forger.forge(change);
}

/// The second control frame of the first segment.
pub(crate) fn forged_frame(dir: &Path, change: fn(&mut Site<'_>)) {
    let mut seen = 0;
    forged(&patient(&j(dir)), |s| {
        if s.file == 0 && s.kind() == 4 {
            seen += 1;
            if seen == 2 {
                change(s);
            }
        }
    });
}

/// The second seal of the first segment.
pub(crate) fn forged_seal(dir: &Path, change: fn(&mut Site<'_>)) {
    let mut seen = 0;
    forged(&patient(&j(dir)), |s| {
        if s.file == 0 && s.kind() == 3 {
            seen += 1;
            if seen == 2 {
                change(s);
            }
        }
    });
}

pub(crate) fn at_header(s: &mut Site<'_>, file: usize, change: impl FnOnce(&mut Site<'_>)) {
    if s.file == file && s.kind() == 1 {
        change(s);
    }
}
