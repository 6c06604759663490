//! What the kernel side counted, per processor.

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use recorder_common::{CLASSES, CpuCounters, RINGS};

/// Words of `CpuCounters`.
const WORDS: usize = size_of::<CpuCounters>() / 8;

/// The map of the counters.
pub(super) struct Counters(PerCpuArray<MapData, [u64; WORDS]>);

impl Counters {
    /// Takes the map; `None` if the object has none of this shape.
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        ebpf.take_map("COUNTERS").and_then(|map| PerCpuArray::try_from(map).ok()).map(Self)
    }

    /// One per processor; none if the kernel does not answer.
    pub(super) fn read(&self) -> Vec<CpuCounters> {
        self.0.get(&0, 0).map(|values| values.iter().map(counters_of).collect()).unwrap_or_default()
    }
}

fn counters_of(words: &[u64; WORDS]) -> CpuCounters {
    let mut words = words.iter().copied();
    let mut next = || words.next().unwrap_or(0);
    // Evaluated in the order of the fields, which is the order of the words.
    CpuCounters {
        seq: std::array::from_fn::<_, RINGS, _>(|_| next()),
        ring_full: std::array::from_fn(|_| std::array::from_fn::<_, CLASSES, _>(|_| next())),
        scratch_busy: std::array::from_fn::<_, CLASSES, _>(|_| next()),
        mark_failed: next(),
        map_full: next(),
        unread_tty_bytes: next(),
        scratch_mask: next(),
        caps_full: next(),
        plants: next(),
        failed_full: next(),
        mapped_full: next(),
        guard_full: next(),
    }
}
