//! Taking hold of another process in every way that there is, and of a child of one's own.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::proc;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Somebody else's process
    pid: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut own = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().context("sleep")?;
    let pids = [own.id(), args.pid];
    // A child that has just begun may have no memory yet.
    let reached = proc::until("memory", Duration::from_secs(20), || pids.into_iter().try_for_each(read).ok())
        .and_then(|()| pids.into_iter().try_for_each(reach));
    own.kill()?;
    own.wait()?;
    reached
}

fn read(pid: u32) -> Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps.split('-').next().context("no memory")?;
    let address = usize::from_str_radix(first, 16)?;
    let raw = libc::pid_t::try_from(pid)?;
    let mut bytes = [0u8; 8];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: bytes.len() };
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: eight bytes into a buffer of eight; the other address is another process'.
    let n = unsafe { libc::process_vm_readv(raw, &raw const local, 1, &raw const remote, 1, 0) };
    ensure!(n == 8, "process_vm_readv: {}", std::io::Error::last_os_error());
    Ok(())
}

fn reach(pid: u32) -> Result<()> {
    let raw = libc::pid_t::try_from(pid)?;
    File::open(format!("/proc/{pid}/mem")).context("its memory")?;
    let handle = pidfd_open(Pid::from_raw(raw).context("no pid")?, PidfdFlags::empty())?;
    pidfd_getfd(&handle, 0, PidfdGetfdFlags::empty()).context("pidfd_getfd")?;
    seize(raw)
}

#[derive(clap::Args)]
pub(crate) struct Halt {
    /// The process
    pid: u32,
    /// The thread's name
    name: String,
}

/// Stops one thread of a process where it waits for another of the same process, and no other thread, until it is dead.
pub(crate) fn halt(args: &Halt) -> Result<()> {
    let threads = fs::read_dir(format!("/proc/{}/task", args.pid))?.flatten().map(|entry| entry.path());
    let named = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == args.name)
    };
    let path = threads.into_iter().find(named).with_context(|| format!("no thread {}", args.name))?;
    let thread = path.file_name().and_then(|name| name.to_str()?.parse().ok()).context("no number")?;
    seize(thread)?;
    proc::until("a wait of its own", Duration::from_mins(1), || {
        request(libc::PTRACE_INTERRUPT, thread).and_then(|()| wait(thread)).ok()?;
        let call = fs::read_to_string(path.join("syscall")).ok()?;
        let futex = format!("{} ", libc::SYS_futex);
        call.starts_with(&futex).then_some(()).or_else(|| {
            let _ = request(libc::PTRACE_CONT, thread);
            None
        })
    })?;
    loop {
        let status = wait(thread)?;
        // Its parent can't be told of its end before we were.
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return Ok(());
        }
    }
}

fn wait(thread: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    #[expect(unsafe_code, reason = "no safe interface for a thread that is no child")]
    // SAFETY: the status is a local number.
    let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    ensure!(waited == thread, "waitpid: {}", std::io::Error::last_os_error());
    Ok(status)
}

fn seize(thread: libc::pid_t) -> Result<()> {
    // The end of this process gives it back.
    request(libc::PTRACE_SEIZE, thread)
}

fn request(what: libc::c_uint, thread: libc::pid_t) -> Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: no memory of this process is involved.
    let done = unsafe { libc::ptrace(what, thread, nothing, nothing) };
    ensure!(done == 0, "ptrace {what}: {}", std::io::Error::last_os_error());
    Ok(())
}
