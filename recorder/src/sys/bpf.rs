//! Task storage and links from user space: aya has no type for the one and no way to the other. The key of a task is a pidfd.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_MAP_DELETE_ELEM: libc::c_int = 3;
const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
/// include/uapi/linux/bpf.h: a descriptor that only reads.
const BPF_F_RDONLY: u32 = 1 << 3;

#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A handle of a process that no other one can take over.
pub fn open_process(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn element(
    command: libc::c_int,
    map: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
    value: &mut [u8; 64],
) -> io::Result<()> {
    let key: i32 = process.as_raw_fd();
    let attr = ElementAttr {
        map_fd: u32::try_from(map.as_raw_fd()).map_err(io::Error::other)?,
        pad: 0,
        key: u64::try_from((&raw const key).addr()).map_err(io::Error::other)?,
        value: u64::try_from(value.as_mut_ptr().addr()).map_err(io::Error::other)?,
        flags: 0,
    };
    // SAFETY: `attr` names a key of 4 and a value of 64 bytes, the sizes of the TASKS map; both outlive the call.
    let r = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<ElementAttr>()) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor of a link; `NotFound` if there is none of that number any more.
pub fn open_link(id: u32) -> io::Result<OwnedFd> {
    open(BPF_LINK_GET_FD_BY_ID, id, 0)
}

/// A descriptor of a map through which nothing can be changed.
pub fn open_map_to_read(id: u32) -> io::Result<OwnedFd> {
    open(BPF_MAP_GET_FD_BY_ID, id, BPF_F_RDONLY)
}

fn open(command: libc::c_int, id: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct IdAttr {
        id: u32,
        next: u32,
        flags: u32,
    }
    let attr = IdAttr { id, next: 0, flags };
    // SAFETY: `attr` is what these commands read, and outlives the call.
    let r = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<IdAttr>()) };
    let fd = RawFd::try_from(r).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Writes the mark of a process's main thread.
pub fn set_task_mark(map: BorrowedFd<'_>, pid: u32, mark: &[u8; 64]) -> io::Result<()> {
    let mut value = *mark;
    element(BPF_MAP_UPDATE_ELEM, map, open_process(pid)?.as_fd(), &mut value)
}

/// Takes the mark of a process's main thread away.
pub fn clear_task_mark(map: BorrowedFd<'_>, process: BorrowedFd<'_>) -> io::Result<()> {
    element(BPF_MAP_DELETE_ELEM, map, process, &mut [0; 64])
}

/// Reads the mark of a process's main thread; `None` if it has none.
pub fn task_mark(map: BorrowedFd<'_>, process: BorrowedFd<'_>) -> io::Result<Option<[u8; 64]>> {
    let mut value = [0; 64];
    match element(BPF_MAP_LOOKUP_ELEM, map, process, &mut value) {
        Ok(()) => Ok(Some(value)),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}
