//! Who had files of the journal open to write, or mapped to be written, before anybody looked (docs/guard.md): of what he does with them
//! no hook tells.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use super::guard::Earlier;
use crate::{
    capture::{GuardPlaces, Marks},
    model::{Bytes, Guard, GuardAct, GuardObject, SessionId, TaskId},
    sys::{clock, process},
};

/// Bytes of what the kernel says of a descriptor that are read; what is looked for stands in its first lines (fs/proc/fd.c).
const HEAD: u64 = 128;
/// Files of processes that are told one by one; of the rest the number.
const MOST: usize = 1024;

/// A file, as the kernel tells files apart.
type Identity = (u32, u32, u64);

/// Looks in a thread of its own: a process whose memory is being mapped from a file system that never answers can't be looked at until it
/// does, and nobody's start waits for that.
pub(super) fn look(places: GuardPlaces, marks: Option<Marks>) -> mpsc::Receiver<Earlier> {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new().name("held".to_owned());
    let begun = thread.spawn(move || {
        let files = places.files().into_iter().filter_map(|path| Some((identity(&path)?, path))).collect();
        for earlier in search(&files, marks.as_ref(), MOST) {
            if tell.send(earlier).is_err() {
                return;
            }
        }
    });
    if let Err(error) = begun {
        tracing::error!(%error, "who holds files of the journal is not known");
    }
    told
}

fn search(files: &HashMap<Identity, PathBuf>, marks: Option<&Marks>, most: usize) -> Vec<Earlier> {
    let me = std::process::id();
    let (mut out, mut rest) = (Vec::new(), 0);
    for pid in process::pids().unwrap_or_default().into_iter().filter(|pid| *pid != me) {
        // By its files, so that the same comes out whatever the order of descriptors is.
        let mut held = BTreeMap::<&Path, u64>::new();
        let open = descriptors(pid).into_iter().chain(mappings(pid));
        for path in open.filter_map(|link| files.get(&identity(&link)?)) {
            *held.entry(path).or_default() += 1;
        }
        if held.is_empty() {
            continue;
        }
        let Some(by) = process::read(pid) else { continue };
        for (path, count) in held {
            if out.len() < most {
                out.push(Earlier::of(&by, marks, guard(by.id, path, count)));
            } else {
                rest += 1;
            }
        }
    }
    if rest > 0 {
        out.push(Earlier::nobodys(guard(TaskId::default(), Path::new(""), rest)));
    }
    out
}

/// What lies behind a link of procfs, without a question to its file system: one that never answers is not asked.
fn identity(path: &Path) -> Option<Identity> {
    let what = rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    Some((what.stx_dev_major, what.stx_dev_minor, what.stx_ino))
}

/// Descriptors that may write.
fn descriptors(pid: u32) -> Vec<PathBuf> {
    let of = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let may_write = of.filter(|entry| {
        let mut text = String::new();
        let read = File::open(entry.path()).and_then(|file| file.take(HEAD).read_to_string(&mut text));
        read.is_ok() && writes(&text)
    });
    may_write.map(|entry| PathBuf::from(format!("/proc/{pid}/fd")).join(entry.file_name())).collect()
}

/// `flags:` in octal digits; how it was opened stands in the last two bits.
fn writes(fdinfo: &str) -> bool {
    let flags =
        fdinfo.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 != 0)
}

/// Mappings of files that are shared and may be written.
fn mappings(pid: u32) -> Vec<PathBuf> {
    let Ok(text) = fs::read(format!("/proc/{pid}/maps")) else { return Vec::new() };
    let places = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let (place, rights) = (words.next()?, words.next()?);
        (rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b's')).then_some(place)
    });
    let dir = PathBuf::from(format!("/proc/{pid}/map_files"));
    places.map(|place| dir.join(std::ffi::OsStr::from_bytes(place))).collect()
}

fn guard(by: TaskId, path: &Path, count: u64) -> Guard {
    let now = clock::boot();
    Guard {
        act: GuardAct::Held,
        object: GuardObject::Journal,
        denied: 0,
        detail: 0,
        path: Bytes::new(path.as_os_str().as_bytes().to_vec()),
        to: Bytes::default(),
        session: SessionId::NOBODY,
        by,
        count,
        first: now,
        last: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_told_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        let [a, b, c] = paths.each_ref().map(|path| File::create(path).unwrap());
        let mut child =
            std::process::Command::new("sleep").arg("60").stdin(a).stdout(b).stderr(c).spawn().unwrap();
        let files = paths.into_iter().map(|path| (identity(&path).unwrap(), path)).collect();
        let begun = std::time::Instant::now();
        // Another test's child may have them as well, until it is the program that it was made for.
        let told = loop {
            let found = search(&files, None, 2);
            let of =
                |e: &Earlier| (e.guard.by.pid, e.guard.path.escaped().rsplit('/').next().unwrap().to_owned());
            let told: Vec<_> = found.iter().map(|e| (of(e), e.guard.count, e.by.is_some())).collect();
            if told.len() == 3 && told[0].0.0 == child.id() || begun.elapsed().as_secs() > 9 {
                break told;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        let one = |name: &str| ((child.id(), name.to_owned()), 1, true);
        assert_eq!(told, [one("a"), one("b"), ((0, String::new()), 1, false)]);
    }

    #[test]
    fn how_a_descriptor_was_opened_stands_in_its_flags() {
        for (flags, may) in [("0100000", false), ("02100001", true), ("0100002", true), ("010000000", false)]
        {
            assert_eq!(writes(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t29\n")), may, "{flags}");
        }
        assert!(!writes("") && !writes("flags:\tx"));
    }
}
