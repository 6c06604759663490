//! A bell: who sleeps beside it is woken by whoever has something for him.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use zerocopy::IntoBytes;

/// A descriptor that becomes readable when it is rung.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(fd)))
    }

    /// Wakes who sleeps, or who will next.
    pub fn ring(&self) {
        // Full: it rings already.
        let _ = rustix::io::write(&self.0, 1u64.as_bytes());
    }

    /// It was heard.
    pub fn hush(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn it_is_heard_once_however_often_it_was_rung() {
        let bell = Bell::new().unwrap();
        let heard = || {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&now)).unwrap()
        };
        assert_eq!(heard(), 0);
        bell.ring();
        bell.clone().ring();
        assert_eq!(heard(), 1);
        bell.hush();
        assert_eq!(heard(), 0);
        bell.hush();
    }
}
