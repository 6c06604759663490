//! A message that is not to be had where the kernel has it, from the memory of who sent it.
//!
//! A receiver that is at work already takes it off the queue before anybody is told that it lies there, and one that lies in pages
//! alone is not looked at. What stands in the sender's memory is what he says that he sent: another thread of his may have changed it
//! since, so the service keeps in mind that something could not be read.

use recorder_common::{Class, Kind, REQUEST_PART, REQUEST_PARTS, RequestEvent, Ring};

use super::{ahead, append_name, connection, peer};
use crate::{
    emit::Event,
    kernel::{self, Args},
};

mod nr {
    pub const WRITE: u64 = 1;
    pub const WRITEV: u64 = 20;
    pub const SENDTO: u64 = 44;
    pub const SENDMSG: u64 = 46;
}

/// Where a `struct user_msghdr` has its pieces and their number (include/linux/socket.h).
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;
/// Size of a `struct iovec`, and where its length lies.
const IOVEC: u64 = 16;
const IOVEC_LEN: u64 = 8;
/// Pieces that are looked at: sd-bus sends a header and a body or two.
const PIECES: u64 = 12;
/// Steps from piece to piece and from part to part of one.
const STEPS: u32 = PIECES as u32 + REQUEST_PARTS;
/// A place in a message, as a cursor has it.
const PLACE: u64 = 0xff_ffff;
/// What is sent as one (net/unix/af_unix.c splits what is longer): where a longer one is at, nobody says.
const LONGEST: u64 = (REQUEST_PART * REQUEST_PARTS) as u64;

/// What a system call sends: one piece of memory (`count` 0), or as many as a list has.
struct Sent {
    at: u64,
    len: u64,
    count: u64,
}

impl Sent {
    #[inline(always)]
    fn now() -> Option<Self> {
        let args = Args::new(kernel::current());
        let call = args.call();
        let (at, second) = (args.second(), args.third());
        if call == nr::WRITE || call == nr::SENDTO {
            return Some(Self { at, len: second, count: 0 });
        }
        let (at, count) = if call == nr::WRITEV {
            (at, second)
        } else if call == nr::SENDMSG {
            (kernel::user(at + MSG_IOV)?, kernel::user(at + MSG_IOVLEN)?)
        } else {
            return None;
        };
        if count == 0 || count > PIECES { None } else { Some(Self { at, len: 0, count }) }
    }

    /// Place and length of a piece; none behind the last.
    #[inline(always)]
    fn piece(&self, i: u64) -> Option<(u64, u64)> {
        if self.count == 0 {
            return if i == 0 { Some((self.at, self.len)) } else { None };
        }
        if i >= self.count {
            return None;
        }
        let at = self.at + i * IOVEC;
        Some((kernel::user(at)?, kernel::user(at + IOVEC_LEN)?))
    }
}

/// The message that the current task is sending; how many steps it took to tell it, 0 if it is not to be had whole.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn parts(sk: u64, session: u64) -> u32 {
    let Some(sent) = Sent::now() else { return 0 };
    let total = length(sent.at, sent.len, sent.count);
    if total == 0 || total > LONGEST {
        return 0;
    }
    let mut cursor = 0;
    let mut steps = 0;
    while steps < STEPS {
        cursor = step(sk, session, cursor);
        if cursor == 0 {
            break;
        }
        steps += 1;
    }
    steps
}

/// Bytes of a message; too many where one piece has too many.
///
/// Global functions with numbers alone: the verifier of 6.1 goes through each once, and not through all of what they may give.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn length(at: u64, len: u64, count: u64) -> u64 {
    let sent = Sent { at, len, count };
    let (mut i, mut total) = (0, 0u64);
    while i < PIECES {
        let Some((_, len)) = sent.piece(i) else { break };
        total += if len > LONGEST { LONGEST + 1 } else { len };
        i += 1;
    }
    total
}

/// Tells the part at the cursor: number of the piece, place in it, place in the message, in 16, 24 and 24 bits. Returns where the next
/// one is; 0 behind the last, or where one can't be read.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step(sk: u64, session: u64, cursor: u64) -> u64 {
    let Some(sent) = Sent::now() else { return 0 };
    let (i, inside, offset) = (cursor >> 48, cursor >> 24 & PLACE, cursor & PLACE);
    let Some((at, len)) = sent.piece(i) else { return 0 };
    let left = len.saturating_sub(inside);
    let n = if left > u64::from(REQUEST_PART) { u64::from(REQUEST_PART) } else { left };
    if n != 0 && part(sk, session, offset, at + inside, n as u32) == 0 {
        return 0;
    }
    let is_last = inside + n >= len;
    let (i, inside) = if is_last { (i + 1, 0) } else { (i, inside + n) };
    i << 48 | (inside & PLACE) << 24 | (offset + n & PLACE)
}

/// One part, at its place in the message; 0 if it can't be read.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn part(sk: u64, session: u64, offset: u64, from: u64, len: u32) -> u32 {
    let Some(mut event) = Event::new::<RequestEvent>(Class::SESSION) else { return 0 };
    let path_len = append_name(&mut event, sk);
    let len = event.user_bytes::<0xfff>(from, len as usize);
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<RequestEvent>() };
    payload.since_ns = ahead::since();
    payload.connection = connection(sk);
    payload.total = 0;
    payload.offset = offset as u32;
    payload.peer = peer(sk, RequestEvent::RETOLD);
    payload.what = RequestEvent::RETOLD;
    payload.path_len = path_len;
    payload.len = len;
    // As parts that the kernel has: they must not push out an exec.
    event.send_as_is(Kind::REQUEST, Ring::BULK, session, 0);
    u32::from(len != 0)
}
