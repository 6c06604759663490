//! The only user of rings, scratch buffers and counters.
//!
//! An event is put together in a scratch buffer and copied out at its true length. Scratch buffers are taken by an
//! atomic bit: a preempted program keeps its own, another one on the same processor takes the next
//! (docs/kernel.md, preempt=full). The sequence number is taken before the ring is asked for room, so a hole in the
//! numbers is exactly a loss.

use core::{ffi::c_void, ptr::addr_of};

use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_user,
    bpf_probe_read_user_str, bpf_ringbuf_output, bpf_ringbuf_query,
};
use recorder_common::{CpuCounters, EventHeader, Flag, Ring, SCRATCH_SLOTS, STR_MAX, State};

use crate::{
    atomic,
    kernel::{self, AT_MASK, TaskPtr, opaque},
    maps::{BULK, COUNTERS, CRITICAL, SCRATCHES, STATE},
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

#[inline(always)]
pub fn state() -> Option<*mut State> {
    STATE.get_ptr_mut(0)
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
    match state() {
        // SAFETY: map value.
        Some(s) => add(unsafe { &raw mut (*s).next_mark }, 1),
        None => 0,
    }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
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
        let c = counters()?;
        // SAFETY: map value.
        let mask = unsafe { &raw mut (*c).scratch_mask };
        let mut slot = 0;
        while slot < SCRATCH_SLOTS as u32 {
            let bit = 1u64 << slot;
            if atomic::fetch_or(mask, bit) & bit == 0 {
                let Some(buf) = SCRATCHES.get_ptr_mut(slot) else {
                    atomic::fetch_and(mask, !bit);
                    return None;
                };
                return Some(Self {
                    buf: buf.cast(),
                    at: size_of::<EventHeader>() + size_of::<P>(),
                    flags: 0,
                    boot_ns: now(),
                    slot,
                    class,
                });
            }
            slot += 1;
        }
        // SAFETY: map value; the class is a constant below CLASSES.
        add(unsafe { &raw mut (*c).scratch_busy[class] }, 1);
        None
    }

    /// Appends a walked path; returns its length.
    #[inline(always)]
    pub fn path(&mut self, walk: impl FnOnce(*mut u8, usize) -> (usize, u16)) -> u32 {
        let start = self.at;
        let (at, flags) = walk(self.buf, start);
        self.at = at;
        self.flags |= flags;
        (at - start) as u32
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
        let r = unsafe { bpf_probe_read_user(self.buf.add(o).cast::<c_void>(), n as u32, from as *const c_void) };
        self.bytes(o, n, r)
    }

    /// As [`Self::user_bytes`], kernel memory.
    #[inline(always)]
    pub fn kernel_bytes<const MAX: usize>(&mut self, from: u64, len: usize) -> u32 {
        let o = opaque(self.at) & AT_MASK;
        let n = opaque(len) & MAX;
        // SAFETY: as above.
        let r = unsafe { bpf_probe_read_kernel(self.buf.add(o).cast::<c_void>(), n as u32, from as *const c_void) };
        self.bytes(o, n, r)
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

    /// Completes the event and hands it to the ring; counts a loss if there is no room. Gives the scratch back.
    #[inline(always)]
    pub fn send<P>(self, kind: u16, ring: u16, mark: u64, task: TaskPtr, payload: P, hook: u32) -> bool {
        let sent = self.output(kind, ring, mark, task, payload, hook);
        self.discard();
        sent
    }

    /// Gives the scratch back.
    #[inline(always)]
    pub fn discard(self) {
        if let Some(c) = counters() {
            // SAFETY: map value.
            atomic::fetch_and(unsafe { &raw mut (*c).scratch_mask }, !(1u64 << (self.slot & 3)));
        }
    }

    #[inline(always)]
    fn output<P>(&self, kind: u16, ring: u16, mark: u64, task: TaskPtr, payload: P, hook: u32) -> bool {
        let Some(c) = counters() else { return false };
        let len = opaque(self.at) & 0x7fff;
        let cred: *const u8 = kernel::load(task, kernel::off!(task_cred));
        let leader = kernel::leader(task);
        let parent: *const u8 = kernel::load(task, kernel::off!(task_parent));
        let mut comm = [0u8; 16];
        // SAFETY: address arithmetic only.
        let from = unsafe { task.add(kernel::off!(task_comm)) };
        // SAFETY: 16 bytes into a local; the source is the task's comm.
        unsafe { bpf_probe_read_kernel(comm.as_mut_ptr().cast(), 16, from.cast()) };
        let header = EventHeader {
            len: len as u32,
            kind,
            flags: self.flags,
            // SAFETY: map value; the ring is a constant.
            seq: add(unsafe { &raw mut (*c).seq[ring as usize & 1] }, 1),
            boot_ns: self.boot_ns,
            mark,
            start_ns: kernel::load(leader, kernel::off!(task_start)),
            pid: kernel::tgid(task),
            tid: kernel::tid(task),
            uid: kernel::load(cred, kernel::off!(cred_uid)),
            euid: kernel::load(cred, kernel::off!(cred_euid)),
            auid: kernel::loginuid(task),
            ppid: kernel::load(parent, kernel::off!(task_tgid)),
            // SAFETY: no arguments.
            cpu: unsafe { bpf_get_smp_processor_id() } as u16,
            ring,
            hook,
            comm,
        };
        // SAFETY: the scratch is larger than header and payload, and 8-byte aligned.
        unsafe { self.buf.cast::<EventHeader>().write(header) };
        // SAFETY: as above.
        unsafe { self.buf.add(size_of::<EventHeader>()).cast::<P>().write_unaligned(payload) };
        let map: *mut c_void = if ring == Ring::CRITICAL {
            addr_of!(CRITICAL).cast_mut().cast()
        } else {
            addr_of!(BULK).cast_mut().cast()
        };
        let wake = wake_flags(map, ring);
        // SAFETY: `len` is at most SCRATCH - 1.
        let r = unsafe { bpf_ringbuf_output(map, self.buf.cast(), len as u64, wake) };
        if r != 0 {
            // SAFETY: map value; constants below the array sizes.
            add(unsafe { &raw mut (*c).ring_full[ring as usize & 1][self.class & 7] }, 1);
        }
        r == 0
    }
}

/// Wakes the reader only if it sleeps, and then for a critical event or 64 KiB: the wakeup is the cost of a ring.
#[inline(always)]
fn wake_flags(map: *mut c_void, ring: u16) -> u64 {
    // SAFETY: map value.
    let idle = state().is_some_and(|s| unsafe { (&raw const (*s).idle).read_volatile() } == 1);
    // SAFETY: a ring map.
    if idle && (ring == Ring::CRITICAL || unsafe { bpf_ringbuf_query(map, AVAIL_DATA) } >= WAKE_BYTES) {
        FORCE_WAKEUP
    } else {
        NO_WAKEUP
    }
}
