//! Tracepoint ids without a mounted tracefs.
//!
//! Containers and small images often have none. A detached mount (fsopen, fsmount; Linux 5.2) shows in no mount table
//! and needs no cleaning up.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

/// A private view of tracefs.
#[derive(Debug)]
pub struct TraceFs(OwnedFd);

impl TraceFs {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        let fs = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&fs)?;
        Ok(Self(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?))
    }

    /// The id of a tracepoint, such as `syscalls/sys_exit_openat`.
    pub fn id(&self, event: &str) -> io::Result<u64> {
        let fd =
            openat(&self.0, format!("events/{event}/id"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text)?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a tracepoint id is no number"))
    }
}
