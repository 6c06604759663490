//! systemd's notification socket, and what it keeps for us while we are not there (sd_notify(3), file descriptor store).
#![expect(unsafe_code, reason = "descriptors that were passed to this process are nobody's yet")]

use std::{
    fs, io,
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, connect, sendmsg, socket_with,
    },
};

/// The first descriptor that systemd passes, SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// Tells systemd a state such as `READY=1`; does nothing where nobody listens.
pub fn systemd(state: &str) {
    if let Err(error) = send(state, &[]) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

/// Between asks for patience, and how long each asks for, in microseconds.
const ASK: Duration = Duration::from_secs(5);
const EXTENSION_USEC: u32 = 60_000_000;

/// Work of the start that may take longer than the unit allows a start.
#[derive(Debug)]
pub struct Patience {
    what: &'static str,
    asked: Instant,
}

impl Patience {
    /// That work begins, in words that the unit's status shows.
    pub fn new(what: &'static str) -> Self {
        Self { what, asked: Instant::now() }
    }

    /// The work goes on; asks now and then.
    pub fn ask(&mut self) {
        if self.asked.elapsed() >= ASK {
            self.asked = Instant::now();
            systemd(&format!("EXTEND_TIMEOUT_USEC={EXTENSION_USEC}\nSTATUS={}", self.what));
        }
    }
}

/// Leaves duplicates of these with systemd, under that name (no colon): they outlive this process and come back with the next start of
/// the service. False where nobody listens.
///
/// # Errors
/// They could not be sent.
pub fn store(name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
    send(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), descriptors)
}

/// Has it close all of that name; it does so in its own time.
pub fn forget(name: &str) {
    systemd(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
}

/// What was left there by an earlier process of the service, with its names. Only the first call gives any.
pub fn stored() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name: &str| std::env::var(name).ok()?.parse::<RawFd>().ok();
    let own = i32::try_from(std::process::id()).ok();
    let count = number("LISTEN_FDS").filter(|_| own.is_some() && number("LISTEN_PID") == own).unwrap_or(0);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut found = Vec::new();
    for fd in FIRST..FIRST.saturating_add(count) {
        let name = names.next().unwrap_or_default().to_owned();
        if fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err() {
            continue;
        }
        // SAFETY: it is open, was given to this process, and is taken once.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if let Err(error) = fcntl_setfd(&fd, FdFlags::CLOEXEC) {
            tracing::warn!(%error, "a descriptor of systemd's stays open in programs");
        }
        found.push((name, fd));
    }
    found
}

/// False where nobody listens.
fn send(state: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(false) };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path.as_bytes())?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address)?;
    let message = SendAncillaryMessage::ScmRights(descriptors);
    let mut space = vec![MaybeUninit::uninit(); message.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(message) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket.as_fd(), &[IoSlice::new(state.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(true)
}
