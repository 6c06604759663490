//! One harmless act per hook class, which must come back through the critical ring: a hook that attached and does not
//! see is found before anybody relies on it (5.10 attaches LSM programs that never fire; `ftrace_enabled=0` silences
//! trampolines).

use std::{
    fs, io,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use recorder_common::{EventHeader, Hook, Kind, State};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use zerocopy::FromBytes;

use super::load::Loaded;

/// The hidden argument that makes the recorder exit at once: the program that the exec canary starts.
pub(crate) const EXIT_ARGUMENT: &str = "--canary-exit";

/// Does one act per hook and returns the hooks that stayed silent until the deadline.
pub(super) fn silent_hooks(loaded: &mut Loaded, patience: Duration) -> io::Result<Vec<&'static str>> {
    let (to_thread, from_us) = std::sync::mpsc::channel::<()>();
    let (to_us, from_thread) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("canary".into()).spawn(move || {
        let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        if to_us.send(tid).is_ok() && from_us.recv().is_ok() { acts() } else { Ok(()) }
    })?;
    let tid = from_thread.recv().map_err(io::Error::other)?;
    set_canary(loaded, tid)?;
    let _ = to_thread.send(());
    let mut seen = [false; Hook::NAMES.len()];
    let deadline = Instant::now() + patience;
    let mut done = false;
    while !done || (!seen.iter().all(|s| *s) && Instant::now() < deadline) {
        drain(loaded, &mut seen);
        if thread.is_finished() && !done {
            done = true;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
        if Instant::now() > deadline {
            break;
        }
    }
    drain(loaded, &mut seen);
    set_canary(loaded, 0)?;
    if thread.is_finished() {
        thread.join().map_err(|_| io::Error::other("the canary thread failed"))??;
    }
    Ok(Hook::NAMES.iter().zip(seen).filter(|(_, s)| !s).map(|(n, _)| *n).collect())
}

fn set_canary(loaded: &mut Loaded, tid: u32) -> io::Result<()> {
    loaded.state.set(State::CANARY_TID, tid, 0).map_err(io::Error::other)
}

fn drain(loaded: &mut Loaded, seen: &mut [bool]) {
    let Loaded { critical, early, .. } = loaded;
    while let Some(item) = critical.next() {
        let Ok((header, _)) = EventHeader::ref_from_prefix(&item) else { continue };
        // Real events arrive between the canaries' answers: they are decoded later.
        early.push(item.to_vec());
        if header.kind == Kind::CANARY
            && let Some(slot) = usize::try_from(header.hook).ok().and_then(|h| seen.get_mut(h))
        {
            *slot = true;
        }
    }
}

/// Removes its directory when done.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn acts() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("recorder-canary-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&dir)?;
    let scratch = Scratch(dir);
    let (a, b) = (scratch.0.join("a"), scratch.0.join("b"));
    fs::write(&a, b"canary")?;
    fs::rename(&a, &b)?;
    fs::remove_file(&b)?;
    // The raw call changes this thread only, and to what it already is.
    rustix::thread::set_thread_uid(rustix::process::getuid())?;
    Command::new("/proc/self/exe").arg(EXIT_ARGUMENT).status()?;
    terminal()
}

fn terminal() -> io::Result<()> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave: OwnedFd =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut master = fs::File::from(master);
    let mut shown = fs::File::from(slave.as_fd().try_clone_to_owned()?);
    shown.write_all(b"c\n")?;
    let mut buffer = [0; 16];
    let _ = master.read(&mut buffer)?;
    master.write_all(b"c\n")
}
