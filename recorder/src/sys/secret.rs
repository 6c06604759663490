//! Memory for a secret key: one page of its own, locked against swapping, left out of core dumps, wiped before it goes.
//!
//! Owns the page and nothing else: what the 32 bytes mean is the caller's business.
#![expect(
    unsafe_code,
    reason = "mmap, mlock and madvise have no safe form; every block says why it is sound"
)]

use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use zeroize::Zeroize;

/// One page on every Linux that we build for; a larger real page is rounded up by the kernel.
const PAGE: usize = 4096;

/// No core dump of this process, and its memory is root's alone to read: keys that are not in a page of their own (a
/// cipher's key schedule on the stack) are not left in a file.
pub fn refuse_dumps() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// 32 secret bytes in a page of their own.
pub struct Secret {
    page: NonNull<[u8; 32]>,
    locked: bool,
}

// SAFETY: the page belongs to this value alone (mapped in `new`, unmapped in `drop`); nothing about it is tied to a thread.
unsafe impl Send for Secret {}

// SAFETY: a shared reference only reads; whoever writes has the value by `&mut`.
unsafe impl Sync for Secret {}

impl Secret {
    /// Maps an empty (all zero) secret. A refused `mlock` (RLIMIT_MEMLOCK) is not an error; [`Self::is_locked`] tells.
    pub fn new() -> io::Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh private anonymous mapping at an address that the kernel chooses can't overlap anything.
        let raw = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, prot, MapFlags::PRIVATE) }?;
        let page = NonNull::new(raw.cast::<[u8; 32]>())
            .ok_or_else(|| io::Error::other("the kernel mapped a secret at address 0"))?;
        // SAFETY: `raw` is the start of a live mapping of PAGE bytes, made above.
        let locked = unsafe { mlock(raw, PAGE) }.is_ok();
        // SAFETY: as above; DONTDUMP changes only what a core dump holds. Best effort: a kernel without it still works.
        let _ = unsafe { madvise(raw, PAGE, Advice::LinuxDontDump) };
        Ok(Self { page, locked })
    }

    /// True if the page can't be swapped out.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; 32] {
        // SAFETY: `page` points to PAGE >= 32 mapped, initialised (zero-filled) bytes, aligned for u8, owned by `self`.
        unsafe { self.page.as_ref() }
    }

    /// The bytes, to be filled.
    pub fn expose_mut(&mut self) -> &mut [u8; 32] {
        // SAFETY: as in `expose`; `&mut self` makes the reference unique.
        unsafe { self.page.as_mut() }
    }

    /// Wipes the bytes; the page stays usable.
    pub fn erase(&mut self) {
        self.expose_mut().zeroize();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.erase();
        // SAFETY: the mapping made in `new`, unmapped exactly once; no reference outlives `self`.
        let _ = unsafe { munmap(self.page.as_ptr().cast(), PAGE) };
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_own_page_and_can_be_erased() {
        let mut a = Secret::new().unwrap();
        let b = Secret::new().unwrap();
        a.expose_mut().fill(7);
        assert_eq!(a.expose(), &[7; 32]);
        assert_eq!(b.expose(), &[0; 32]);
        a.erase();
        assert_eq!(a.expose(), &[0; 32]);
        assert_eq!(format!("{a:?}"), "Secret(..)");
    }
}
