//! One harmless act per hook class, which must come back through the critical ring: a hook that is attached and does not
//! see is found before anybody relies on it, and while somebody does (5.10 attaches LSM programs that never fire;
//! `ftrace_enabled=0` silences trampolines).
//!
//! A thread of its own acts when it is asked to, on a file system and a terminal that nobody else has: nothing of it can
//! be in anybody's way, and nobody's full disk or stopped terminal in its. Who judges what came back is the service.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use recorder_common::{EventHeader, Hook, Kind, State};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{AtFlags, Mode, OFlags, chmodat, fcntl_setfl, linkat, openat, renameat, unlinkat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsmount, fsopen, unmount,
    },
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use zerocopy::FromBytes;

use super::load::Loaded;

/// The hidden argument that makes the recorder exit at once: the program that the exec canary starts.
pub(crate) const EXIT_ARGUMENT: &str = "--canary-exit";

/// How long a written byte may take to the other end of the terminal; a kernel thread carries it.
const CARRIED: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// The thread that acts.
pub(super) struct Canary {
    thread: JoinHandle<()>,
    ask: SyncSender<()>,
    done: Receiver<io::Result<()>>,
    /// Its thread id: the kernel programs answer to its acts, and record none of them.
    pub(super) tid: u32,
}

impl Canary {
    /// Starts the thread; it waits to be asked.
    pub(super) fn start() -> io::Result<Self> {
        let (ask, asked) = sync_channel::<()>(1);
        let (tell, done) = sync_channel(1);
        let (to_us, tid) = sync_channel(1);
        let thread = std::thread::Builder::new().name("canary".into()).spawn(move || {
            let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
            let cage = match Cage::new() {
                Ok(cage) => cage,
                Err(error) => {
                    let _ = to_us.send(Err(error));
                    return;
                }
            };
            if to_us.send(Ok(tid)).is_err() {
                return;
            }
            while asked.recv().is_ok() {
                if tell.send(cage.acts()).is_err() {
                    return;
                }
            }
        })?;
        let tid = tid.recv().map_err(io::Error::other)??;
        Ok(Self { thread, ask, done, tid })
    }

    /// Asks for one round of acts. The round before has to be over.
    pub(super) fn send(&self) -> io::Result<()> {
        self.ask.try_send(()).map_err(io::Error::other)
    }

    /// The outcome of the round if it is over: everything that it made the kernel say lies in the rings.
    pub(super) fn over(&self) -> Option<io::Result<()>> {
        match self.done.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("the canary thread ended"))),
        }
    }

    /// Its thread id will become somebody else's.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Does one act per hook and returns the hooks that stayed silent until the deadline.
pub(super) fn silent_hooks(loaded: &mut Loaded, patience: Duration) -> io::Result<Vec<&'static str>> {
    let canary = Canary::start()?;
    set_canary(loaded, canary.tid)?;
    canary.send()?;
    let mut seen = [false; Hook::NAMES.len()];
    let deadline = Instant::now() + patience;
    let mut outcome = None;
    while outcome.is_none() && Instant::now() < deadline {
        outcome = canary.over();
        drain(loaded, &mut seen);
        if outcome.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    set_canary(loaded, 0)?;
    outcome.transpose()?;
    loaded.canary = Some(canary);
    Ok(loaded.hooks().iter().zip(seen).filter(|(_, s)| !s).map(|(n, _)| *n).collect())
}

pub(super) fn set_canary(loaded: &mut Loaded, tid: u32) -> io::Result<()> {
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

/// Where the canary lives: a file system in memory that is mounted nowhere, and a terminal.
struct Cage {
    dir: OwnedFd,
    master: File,
    slave: File,
}

impl Cage {
    fn new() -> io::Result<Self> {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&fs)?;
        let dir = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let slave = rustix::fs::open(name, flags, Mode::empty())?;
        // Nothing echoes, and nothing ever waits: whoever stops this terminal stops no thread.
        let mut raw = tcgetattr(&slave)?;
        raw.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &raw)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        Ok(Self { dir, master: File::from(master), slave: File::from(slave) })
    }

    /// All acts, also behind one that fails; the first fault. What a busy machine is slowest at comes last.
    fn acts(&self) -> io::Result<()> {
        let all = [self.file(), credentials(), system(), socket(), self.terminal(), program()];
        all.into_iter().collect()
    }

    fn file(&self) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(openat(&self.dir, "a", flags, Mode::RUSR)?);
        renameat(&self.dir, "a", &self.dir, "b")?;
        linkat(&self.dir, "b", &self.dir, "a", AtFlags::empty())?;
        chmodat(&self.dir, "b", Mode::RUSR, AtFlags::empty())?;
        unlinkat(&self.dir, "a", AtFlags::empty())?;
        Ok(unlinkat(&self.dir, "b", AtFlags::empty())?)
    }

    fn terminal(&self) -> io::Result<()> {
        // What somebody else may have put there.
        empty(&self.slave);
        empty(&self.master);
        rustix::io::write(&self.slave, b"c")?;
        let mut waits = [PollFd::new(&self.master, PollFlags::IN)];
        poll(&mut waits, Some(&CARRIED))?;
        empty(&self.master);
        rustix::io::write(&self.master, b"c")?;
        Ok(())
    }
}

/// Takes what is there; a turn each for what a full buffer holds.
fn empty(end: impl AsFd) {
    let mut buffer = [0; 4096];
    for _ in 0..16 {
        if !matches!(rustix::io::read(&end, &mut buffer), Ok(1..)) {
            return;
        }
    }
}

fn credentials() -> io::Result<()> {
    // The raw call changes this thread only, and to what it already is. It asks for CAP_SETUID first.
    Ok(rustix::thread::set_thread_uid(rustix::process::getuid())?)
}

/// There is no mount without a name, and the kernel says so.
fn system() -> io::Result<()> {
    match unmount("", UnmountFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => Err(io::Error::other(format!("a mount without a name: {other:?}"))),
    }
}

/// Nor is there somebody without a name.
fn socket() -> io::Result<()> {
    match UnixStream::connect("") {
        Err(error) if error.raw_os_error().is_some() => Ok(()),
        other => Err(io::Error::other(format!("a socket without a name: {other:?}"))),
    }
}

fn program() -> io::Result<()> {
    let mut program = Command::new("/proc/self/exe");
    program.arg(EXIT_ARGUMENT).env_clear().stdin(Stdio::inherit()).status().map(drop)
}
