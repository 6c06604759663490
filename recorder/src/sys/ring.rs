//! How full a ring buffer of the kernel is: its two positions, mapped once more, because aya keeps them to itself.
#![expect(unsafe_code, reason = "mmap(2) of a ring's positions has no safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

/// One page that the kernel writes: a position.
#[derive(Debug)]
struct Page {
    at: NonNull<AtomicUsize>,
    len: usize,
}

// SAFETY: a shared mapping that is only read, and atomically.
unsafe impl Send for Page {}
// SAFETY: as above: no thread writes to it.
unsafe impl Sync for Page {}

impl Page {
    fn map(ring: BorrowedFd<'_>, page: usize) -> io::Result<Self> {
        let len = rustix::param::page_size();
        let offset = libc::off_t::try_from(page * len).map_err(io::Error::other)?;
        // SAFETY: a new mapping, read only; the kernel checks descriptor and offset.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, ring.as_raw_fd(), offset)
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast()).map(|at| Self { at, len }).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn position(&self) -> usize {
        // SAFETY: mapped as long as this lives, and at the beginning of a page.
        unsafe { self.at.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; nobody has a reference to it.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// The positions of a ring.
#[derive(Debug)]
pub struct Fill {
    consumer: Page,
    producer: Page,
}

impl Fill {
    /// Of that map.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(ring: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { consumer: Page::map(ring, 0)?, producer: Page::map(ring, 1)? })
    }

    /// Bytes that wait in it.
    pub fn bytes(&self) -> usize {
        // The consumer first: what comes in between only makes it more.
        let consumed = self.consumer.position();
        self.producer.position().wrapping_sub(consumed)
    }
}
