//! Attaching a program to a tracepoint by its id.
#![expect(unsafe_code, reason = "perf_event_open and its ioctls have no safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// `_IOW('$', 8, __u32)` and `_IO('$', 0)`, include/uapi/linux/perf_event.h.
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;

const ALL_TASKS: i32 = -1;
const ANY_CPU: i32 = 0;
const NO_GROUP: i32 = -1;

/// First 64 bytes of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// `_IOWR('$', 10, struct perf_event_query_bpf *)`, include/uapi/linux/perf_event.h.
const PERF_EVENT_IOC_QUERY_BPF: libc::c_ulong = 0xc008_240a;
/// The kernel's limit of programs on one tracepoint (`BPF_TRACE_MAX_PROGS`, kernel/trace/bpf_trace.c).
const PROGRAMS: usize = 64;

/// `struct perf_event_query_bpf`.
#[repr(C)]
struct Query {
    room: u32,
    count: u32,
    ids: [u32; PROGRAMS],
}

/// An attached program: detaches when dropped.
#[derive(Debug)]
pub struct Attached(OwnedFd);

impl Attached {
    /// Whether the kernel has that program at this event's tracepoint.
    ///
    /// # Errors
    /// The kernel's; a descriptor that was closed behind our back is one.
    pub fn has(&self, program: u32) -> io::Result<bool> {
        let mut query = Query { room: 64, count: 0, ids: [0; PROGRAMS] };
        // SAFETY: `query` has room for as many ids as it says and outlives the call.
        let r = unsafe { libc::ioctl(self.0.as_raw_fd(), PERF_EVENT_IOC_QUERY_BPF, &raw mut query) };
        if r < 0 {
            return Err(io::Error::last_os_error());
        }
        let count = usize::try_from(query.count).unwrap_or(PROGRAMS);
        Ok(query.ids.iter().take(count).any(|id| *id == program))
    }
}

/// Runs `program` at the tracepoint with that id, for all tasks on all processors.
pub fn attach_tracepoint(program: BorrowedFd<'_>, id: u64) -> io::Result<Attached> {
    let attr = Attr { kind: PERF_TYPE_TRACEPOINT, size: 64, config: id, ..Attr::default() };
    // A BPF program on a tracepoint's perf event runs for every processor, whichever the event names.
    // SAFETY: `attr` is a valid perf_event_attr of the size it states and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            ALL_TASKS,
            ANY_CPU,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let raw = i32::try_from(fd).map_err(io::Error::other)?;
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let event = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: both descriptors are open; the ioctl takes an integer.
    let r = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()) };
    if r < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: an open descriptor, no argument.
    let r = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) };
    if r < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Attached(event))
}
