//! Tracepoints that somebody else holds as well.
//!
//! At the last close of a perf event on a tracepoint the kernel waits until no processor is in it any more, one event after the other:
//! 36 ms each on 6.18, for a recorder with the `tracepoint` backend four seconds at every stop. A run of all scenarios is mostly that.
//! With an event of ours on each the recorder's is not the last, until the run is over.

use std::{fs::File, io::Read, os::fd::OwnedFd};

use perf_event::{Builder, Counter, events::Tracepoint};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

/// The tracepoints that the recorder uses are named here. What is missed costs time and nothing else.
const NAMED_IN: &str = include_str!("../../../../recorder/src/capture/programs.rs");

/// Held until dropped; nothing where the kernel has no such tracepoints.
pub(crate) fn tracepoints() -> Vec<Counter> {
    let Some(tracefs) = tracefs() else { return Vec::new() };
    let names =
        NAMED_IN.split('"').filter(|word| word.starts_with("sys_exit_") || word.starts_with("sys_enter_"));
    names.filter_map(|name| hold(&tracefs, name)).collect()
}

/// A private view of it: here it may be mounted nowhere.
fn tracefs() -> Option<OwnedFd> {
    let fs = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    fsconfig_create(&fs).ok()?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).ok()
}

fn hold(tracefs: &OwnedFd, name: &str) -> Option<Counter> {
    let path = format!("events/syscalls/{name}/id");
    let mut id = String::new();
    let file = openat(tracefs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    File::from(file).read_to_string(&mut id).ok()?;
    Builder::new(Tracepoint::with_id(id.trim().parse().ok()?)).any_pid().one_cpu(0).build().ok()
}
