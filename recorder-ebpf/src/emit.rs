//! The only user of rings, scratch buffers and counters.
//!
//! An event is put together in a scratch buffer and copied out at its true length. Scratch buffers are taken by an
//! atomic bit: a preempted program keeps its own, another one on the same processor takes the next
//! (docs/kernel.md, preempt=full). The sequence number is taken before the ring is asked for room, so a hole in the
//! numbers is exactly a loss.

use core::{ffi::c_void, ptr::addr_of};

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
    bpf_probe_read_user, bpf_probe_read_user_str, bpf_ringbuf_output, bpf_ringbuf_query,
};
use recorder_common::{CLASSES, CpuCounters, EventHeader, Flag, Ring, SCRATCH_SLOTS, STR_MAX, State};

use crate::{
    atomic, context,
    kernel::{self, Place, opaque},
    maps::{BULK, COUNTERS, CRITICAL, NEXT_MARK, SCRATCHES, STATE},
    walk::{self, AT_MASK},
};

const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAIL_DATA: u64 = 0;
/// Pending bytes that wake a sleeping reader.
const WAKE_BYTES: u64 = 64 << 10;

#[inline(always)]
pub fn counters() -> Option<*mut CpuCounters> {
    COUNTERS.get_ptr_mut(0)
}

/// A word of the state map.
#[inline(always)]
pub fn state(word: u32) -> u32 {
    // SAFETY: map value.
    STATE.get_ptr(word).map_or(0, |w| unsafe { w.read_volatile() })
}

/// Sets a word of the state map to 1.
#[inline(always)]
pub fn set_state(word: u32) {
    if let Some(w) = STATE.get_ptr_mut(word) {
        // SAFETY: map value.
        unsafe { w.write_volatile(1) };
    }
}

#[inline(always)]
fn add(counter: *mut u64, n: u64) -> u64 {
    atomic::fetch_add(counter, n)
}

/// Counts something on this processor.
#[inline(always)]
pub fn count(pick: impl Fn(*mut CpuCounters) -> *mut u64, n: u64) {
    if let Some(c) = counters() {
        add(pick(c), n);
    }
}

#[inline(always)]
pub fn next_mark() -> u64 {
    NEXT_MARK.get_ptr_mut(0).map_or(0, |next| add(next, 1))
}

/// Tells the current thread from others: thread group and thread in 32 bits each.
#[inline(always)]
pub fn thread() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_pid_tgid() }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Takes a scratch buffer of this processor; `SCRATCH_SLOTS` if all are in use. Global: one path for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn scratch_take(class: u32) -> u32 {
    let none = SCRATCH_SLOTS as u32;
    let Some(c) = counters() else { return none };
    // SAFETY: map value.
    let mask = unsafe { &raw mut (*c).scratch_mask };
    let mut slot = 0;
    while slot < none {
        let bit = 1u64 << slot;
        if atomic::fetch_or(mask, bit) & bit == 0 {
            return slot;
        }
        slot += 1;
    }
    // SAFETY: map value; the index is masked below CLASSES.
    add(unsafe { &raw mut (*c).scratch_busy[class as usize & (CLASSES - 1)] }, 1);
    none
}

#[inline(always)]
fn scratch_give(slot: u32) {
    if let Some(c) = counters() {
        // SAFETY: map value.
        atomic::fetch_and(unsafe { &raw mut (*c).scratch_mask }, !(1u64 << (slot & 63)));
    }
}

/// An event under construction: header, fixed payload, then bytes up to `at`.
pub struct Event {
    pub buf: *mut u8,
    pub at: usize,
    pub flags: u16,
    pub boot_ns: u64,
    slot: u32,
    class: usize,
}

impl Event {
    /// Takes a scratch buffer; counts a loss of `class` if all are in use.
    #[inline(always)]
    pub fn new<P>(class: usize) -> Option<Self> {
        let slot = scratch_take(class as u32);
        let buf = SCRATCHES.get_ptr_mut(slot)?;
        let at = size_of::<EventHeader>() + size_of::<P>();
        Some(Self { buf: buf.cast(), at, flags: 0, boot_ns: now(), slot, class })
    }

    /// Appends a walked path; returns its length.
    #[inline(always)]
    pub fn path(&mut self, place: Place) -> u32 {
        let start = self.at & AT_MASK;
        let r = walk::path(self.slot, start as u32, place.dentry, place.mnt);
        let at = r as u32 as usize & 0x7fff;
        self.flags |= (r >> 32) as u16;
        self.at = at;
        (at.wrapping_sub(start) & 0x7fff) as u32
    }

    /// Says so if the file has no name any more, or never had one.
    #[inline(always)]
    pub fn nameless(&mut self, file: u64) {
        let inode: u64 = kernel::read(file, kernel::off!(file_inode));
        if inode != 0 && kernel::read::<u32>(inode, kernel::off!(inode_nlink)) == 0 {
            self.flags |= Flag::DELETED;
        }
    }

    /// Appends the walked names of a cgroup; returns their length.
    #[inline(always)]
    pub fn names(&mut self, node: u64) -> u32 {
        let start = self.at & AT_MASK;
        let r = walk::cgroup(self.slot, start as u32, node);
        let at = r as u32 as usize & 0x7fff;
        self.flags |= (r >> 32) as u16;
        self.at = at;
        (at.wrapping_sub(start) & 0x7fff) as u32
    }

    /// Appends a string that the program passed, without its zero; returns its length.
    #[inline(always)]
    pub fn user_str(&mut self, from: u64) -> u32 {
        let o = opaque(self.at) & AT_MASK;
        // SAFETY: at most AT_MASK + STR_MAX bytes are touched; the helper checks the source.
        let n = unsafe {
            bpf_probe_read_user_str(self.buf.add(o).cast::<c_void>(), STR_MAX as u32, from as *const c_void)
        };
        self.string(o, n)
    }

    /// Appends a kernel string, without its zero; returns its length.
    #[inline(always)]
    pub fn kernel_str(&mut self, from: u64) -> u32 {
        let o = opaque(self.at) & AT_MASK;
        // SAFETY: as above.
        let n = unsafe {
            aya_ebpf::helpers::generated::bpf_probe_read_kernel_str(
                self.buf.add(o).cast::<c_void>(),
                STR_MAX as u32,
                from as *const c_void,
            )
        };
        self.string(o, n)
    }

    #[inline(always)]
    fn string(&mut self, o: usize, n: i64) -> u32 {
        if n <= 0 {
            self.flags |= Flag::UNREADABLE;
            return 0;
        }
        if n == STR_MAX as i64 {
            self.flags |= Flag::TRUNCATED;
        }
        let len = (n as usize - 1) & 0xfff;
        self.at = o + len;
        len as u32
    }

    /// Appends `len` (at most `MAX`, a power of two minus one) bytes of user memory; returns how many.
    #[inline(always)]
    pub fn user_bytes<const MAX: usize>(&mut self, from: u64, len: usize) -> u32 {
        let o = opaque(self.at) & AT_MASK;
        let n = opaque(len) & MAX;
        // SAFETY: at most AT_MASK + MAX bytes are touched; the helper checks the source.
        let r =
            unsafe { bpf_probe_read_user(self.buf.add(o).cast::<c_void>(), n as u32, from as *const c_void) };
        self.bytes(o, n, r)
    }

    /// As [`Self::user_bytes`], kernel memory.
    #[inline(always)]
    pub fn kernel_bytes<const MAX: usize>(&mut self, from: u64, len: usize) -> u32 {
        let o = opaque(self.at) & AT_MASK;
        let n = opaque(len) & MAX;
        // SAFETY: as above.
        let r = unsafe {
            bpf_probe_read_kernel(self.buf.add(o).cast::<c_void>(), n as u32, from as *const c_void)
        };
        self.bytes(o, n, r)
    }

    /// One byte that lies in no memory.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        let o = opaque(self.at) & AT_MASK;
        // SAFETY: at most AT_MASK + 1 bytes are touched.
        unsafe { self.buf.add(o).write(byte) };
        self.at = o + 1;
    }

    #[inline(always)]
    fn bytes(&mut self, o: usize, n: usize, r: i64) -> u32 {
        if r != 0 {
            self.flags |= Flag::UNREADABLE;
            return 0;
        }
        self.at = o + n;
        n as u32
    }

    /// Completes the event of the current task and hands it to the ring; counts a loss if there is no room. Gives the
    /// scratch back.
    #[inline(always)]
    pub fn send<P>(self, kind: u16, ring: u16, mark: u64, payload: P, hook: u32) -> bool {
        // SAFETY: the scratch is larger than header and payload, which are multiples of 8 bytes.
        unsafe { self.payload::<P>().write(payload) };
        self.send_as_is(kind, ring, mark, hook)
    }

    /// Gives the scratch back: there is nothing to tell.
    #[inline(always)]
    pub fn abandon(self) {
        scratch_give(self.slot);
    }

    /// Where the payload lies, for callers that have no stack to build it on.
    #[inline(always)]
    pub fn payload<P>(&self) -> *mut P {
        // SAFETY: the scratch is larger than the header.
        unsafe { self.buf.add(size_of::<EventHeader>()) }.cast()
    }

    /// As [`Self::send`], with the payload already in its place.
    #[inline(always)]
    pub fn send_as_is(self, kind: u16, ring: u16, mark: u64, hook: u32) -> bool {
        let what = u64::from(kind)
            | u64::from(self.flags) << 16
            | u64::from(ring) << 32
            | (self.class as u64) << 40
            | u64::from(hook) << 48;
        event_send(self.slot, self.at as u32, what, mark, self.boot_ns) == 1
    }
}

/// Writes the header, copies the event out, gives the scratch back. `what` is kind, flags, ring, class and hook in 16,
/// 16, 8, 8 and 16 bits. Returns 1 if the ring had room.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn event_send(slot: u32, len: u32, what: u64, mark: u64, boot_ns: u64) -> u32 {
    let Some(c) = counters() else { return 0 };
    let Some(buf) = SCRATCHES.get_ptr_mut(slot) else { return 0 };
    let len = opaque(len as usize) & 0x7fff;
    let ring = (what >> 32) as u16 & 1;
    let task = kernel::current();
    let cred: *const u8 = kernel::load(task, kernel::off!(task_cred));
    let leader = kernel::leader(task);
    let parent: *const u8 = kernel::load(task, kernel::off!(task_parent));
    // Field by field: 88 bytes on the stack would be too much below the deepest callers.
    // SAFETY: the scratch is larger than the header, and aligned.
    let header = unsafe { &mut *buf.cast::<EventHeader>() };
    header.len = len as u32;
    header.kind = what as u16;
    header.flags = (what >> 16) as u16;
    // SAFETY: map value; the index is masked below RINGS.
    header.seq = add(unsafe { &raw mut (*c).seq[ring as usize & 1] }, 1);
    header.boot_ns = boot_ns;
    header.mark = mark;
    header.start_ns = kernel::load(leader, kernel::off!(task_start));
    header.pid = kernel::tgid(task);
    header.tid = kernel::tid(task);
    header.uid = kernel::load(cred, kernel::off!(cred_uid));
    header.euid = kernel::load(cred, kernel::off!(cred_euid));
    header.auid = kernel::loginuid(task);
    header.ppid = kernel::load(parent, kernel::off!(task_tgid));
    // SAFETY: no arguments.
    header.cpu = unsafe { bpf_get_smp_processor_id() } as u16;
    header.ring = ring;
    header.hook = (what >> 48) as u32;
    header.comm = kernel::comm(task);
    context::put(&mut header.place, task);
    let map: *mut c_void = if ring == Ring::CRITICAL {
        addr_of!(CRITICAL).cast_mut().cast()
    } else {
        addr_of!(BULK).cast_mut().cast()
    };
    let wake = wake_flags(map, ring);
    // SAFETY: `len` is below SCRATCH.
    let r = unsafe { bpf_ringbuf_output(map, buf.cast(), len as u64, wake) };
    // SAFETY: map value.
    atomic::fetch_and(unsafe { &raw mut (*c).scratch_mask }, !(1u64 << (slot & 63)));
    if r == 0 {
        return 1;
    }
    let class = (what >> 40) as usize & (CLASSES - 1);
    // SAFETY: map value; both indexes are masked.
    add(unsafe { &raw mut (*c).ring_full[ring as usize & 1][class] }, 1);
    0
}

/// Wakes the reader only if it sleeps, and then for a critical event or 64 KiB: the wakeup is the cost of a ring.
#[inline(always)]
fn wake_flags(map: *mut c_void, ring: u16) -> u64 {
    let idle = state(State::IDLE) == 1;
    // SAFETY: a ring map.
    if idle && (ring == Ring::CRITICAL || unsafe { bpf_ringbuf_query(map, AVAIL_DATA) } >= WAKE_BYTES) {
        FORCE_WAKEUP
    } else {
        NO_WAKEUP
    }
}
