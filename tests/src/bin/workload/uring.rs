//! Acts that are asked for through a ring and never pass a system call of their own (include/uapi/linux/io_uring.h).

use std::{
    ffi::{CStr, c_int, c_void},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};

/// `IORING_OP_*`.
const OPENAT: u8 = 18;
const WRITE: u8 = 23;
const RENAMEAT: u8 = 35;
const UNLINKAT: u8 = 36;
/// `IORING_OFF_SQES`, `IORING_ENTER_GETEVENTS`.
const OFF_SQES: libc::off_t = 0x1000_0000;
const GETEVENTS: c_int = 1;
/// More than a ring of eight entries takes.
const MAPPED: usize = 16 * 1024;
/// Places of `struct io_uring_params`, in words.
const SQ_TAIL: usize = 11;
const SQ_ARRAY: usize = 16;
const CQ_HEAD: usize = 20;
const CQ_CQES: usize = 25;

pub(crate) struct Ring {
    fd: OwnedFd,
    params: [u32; 30],
    rings: *mut c_void,
    entries: *mut c_void,
}

/// `struct io_uring_sqe`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    rest: [u64; 4],
}

impl Ring {
    pub(crate) fn new() -> Result<Self> {
        let mut params = [0u32; 30];
        #[expect(unsafe_code, reason = "no safe interface")]
        // SAFETY: the kernel writes the 120 bytes of its struct.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8u32, params.as_mut_ptr()) };
        ensure!(fd >= 0, "io_uring_setup: {}", io::Error::last_os_error());
        #[expect(unsafe_code, reason = "the descriptor was just made")]
        // SAFETY: nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd)?) };
        let (rings, entries) = (map(&fd, 0)?, map(&fd, OFF_SQES)?);
        Ok(Self { fd, params, rings, entries })
    }

    /// A word of the rings, by where the kernel said that it lies.
    fn word(&self, offset: u32, index: u32) -> &AtomicU32 {
        let at = usize::try_from(offset + 4 * index).unwrap_or(0);
        #[expect(unsafe_code, reason = "the kernel writes there, too")]
        // SAFETY: offsets that the kernel gave lie in what is mapped.
        unsafe {
            AtomicU32::from_ptr(self.rings.wrapping_byte_add(at).cast())
        }
    }

    fn at(&self, place: usize) -> u32 {
        self.params.get(place).copied().unwrap_or(0)
    }

    /// One act, and what came of it.
    fn act(&self, entry: Entry) -> Result<i32> {
        #[expect(unsafe_code, reason = "the entry lies in the kernel's memory")]
        // SAFETY: the first entry; the one before it was taken.
        unsafe {
            self.entries.cast::<Entry>().write(entry);
        };
        let tail = self.word(self.at(SQ_TAIL), 0);
        let number = tail.load(Ordering::Relaxed);
        self.word(self.at(SQ_ARRAY), number & 7).store(0, Ordering::Relaxed);
        tail.store(number.wrapping_add(1), Ordering::Release);
        #[expect(unsafe_code, reason = "no safe interface")]
        // SAFETY: one entry; all that it points to lives until it is done.
        let taken = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1u32,
                1u32,
                GETEVENTS,
                null_mut::<c_void>(),
                0usize,
            )
        };
        ensure!(taken == 1, "io_uring_enter: {taken}, {}", io::Error::last_os_error());
        let head = self.word(self.at(CQ_HEAD), 0);
        let done = head.load(Ordering::Acquire);
        // 16 bytes each, the result in the third word; twice as many as entries.
        let result = self.word(self.at(CQ_CQES), 4 * (done & 15) + 2).load(Ordering::Acquire);
        head.store(done.wrapping_add(1), Ordering::Release);
        Ok(result.cast_signed())
    }

    pub(crate) fn open(&self, path: &CStr, flags: c_int) -> Result<i32> {
        let (addr, op_flags) = (address(path), flags.cast_unsigned());
        self.act(Entry { opcode: OPENAT, fd: libc::AT_FDCWD, addr, len: 0o600, op_flags, ..Entry::default() })
    }

    pub(crate) fn write(&self, fd: i32, bytes: &[u8]) -> Result<i32> {
        let addr = u64::try_from(bytes.as_ptr().expose_provenance())?;
        let len = u32::try_from(bytes.len())?;
        self.act(Entry { opcode: WRITE, fd, addr, len, ..Entry::default() })
    }

    pub(crate) fn rename(&self, from: &CStr, to: &CStr) -> Result<i32> {
        let (addr, off) = (address(from), address(to));
        let len = libc::AT_FDCWD.cast_unsigned();
        self.act(Entry { opcode: RENAMEAT, fd: libc::AT_FDCWD, addr, off, len, ..Entry::default() })
    }

    pub(crate) fn unlink(&self, path: &CStr) -> Result<i32> {
        self.act(Entry { opcode: UNLINKAT, fd: libc::AT_FDCWD, addr: address(path), ..Entry::default() })
    }
}

fn address(path: &CStr) -> u64 {
    u64::try_from(path.as_ptr().expose_provenance()).unwrap_or(0)
}

fn map(fd: &OwnedFd, offset: libc::off_t) -> Result<*mut c_void> {
    let (rights, how) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
    // As much as there is: a ring of eight takes less than a page of each.
    for len in [MAPPED, 4096, 1024, 512] {
        #[expect(unsafe_code, reason = "no safe interface")]
        // SAFETY: a new mapping, wherever there is room.
        let at = unsafe { libc::mmap(null_mut(), len, rights, how, fd.as_raw_fd(), offset) };
        if at != libc::MAP_FAILED {
            return Ok(at);
        }
    }
    Err(io::Error::last_os_error()).context("mapping of a ring")
}
