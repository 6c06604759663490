//! Processes: ended by pid, waited for with a deadline, never by name.

use std::{
    env, io,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

/// How often a condition is looked at that nothing announces.
const GLANCE: Duration = Duration::from_millis(10);

/// The kernel's id of a child of ours.
pub fn pid_of(child: &Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("child without a pid")
}

/// Sends a signal to a child of ours that was not waited for yet, so its pid can't be somebody else's.
pub fn signal(child: &Child, signal: Signal) -> Result<()> {
    kill_process(pid_of(child)?, signal).context("cannot signal the child")
}

/// Waits for the end of a child; too late is an error and the child lives on.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    let handle = pidfd_open(pid_of(child)?, PidfdFlags::empty()).context("pidfd_open")?;
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().try_into()?, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => bail!("process {} still runs after {limit:?}", child.id()),
            Ok(_) => return child.wait().context("wait"),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Ends a child for good; for clean-up paths, where nothing more can be done about an error.
pub fn kill(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits until the condition gives a value; `what` names it in the error.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("not within {limit:?}: {what}");
        }
        thread::sleep(GLANCE);
    }
}

/// Whether a shell would find this program.
pub fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
