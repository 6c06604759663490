//! Execs whose arguments come in parts, through another ring than the exec itself.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use recorder_common::ArgvPart;

use crate::model::{Act, Bytes, Cut, CutField, Flags, KernelEvent, Mark};

/// How long an exec waits for the rest of its arguments.
const PATIENCE: Duration = Duration::from_millis(500);
/// Parts kept that overtook their exec; beyond that they start anew.
const EARLY: usize = 16 * 1024;
const CORE: u64 = 1024;
const EACH: u64 = 4095;
const _: () = assert!(recorder_common::ARGV_CORE == 1024 && recorder_common::ARGV_PART == 4096);

/// Who executed, and when, in nanoseconds of the boot clock.
type Key = (u32, u64);

/// An exec whose arguments are still coming.
struct Waiting {
    event: KernelEvent,
    argv: Vec<u8>,
    wanted: u64,
    since: Instant,
}

/// Puts long arguments together.
pub(super) struct Arguments {
    /// Bytes of arguments that come at most.
    most: u64,
    waiting: HashMap<Key, Waiting>,
    /// Parts that overtook their exec, and when they came.
    early: Vec<(Instant, Key, ArgvPart, Vec<u8>)>,
}

impl Arguments {
    /// For a kernel side that sends so many parts: each leaves room for the bound.
    pub(super) fn new(parts: u32) -> Self {
        Self { most: CORE + u64::from(parts) * EACH, waiting: HashMap::new(), early: Vec::new() }
    }

    /// An exec with the arguments that came with it, of `wanted` bytes. Given back if nothing more is to come.
    pub(super) fn of_exec(
        &mut self,
        key: Key,
        event: KernelEvent,
        argv: Vec<u8>,
        wanted: u64,
    ) -> Option<KernelEvent> {
        let mut waiting = Waiting { event, argv, wanted, since: Instant::now() };
        for (_, _, part, bytes) in self.early.extract_if(.., |(_, whose, ..)| *whose == key) {
            waiting.append(part, &bytes);
        }
        let unreadable = waiting.event.flags.has(Flags::UNREADABLE);
        if waiting.complete(self.most) || unreadable || waiting.argv.len() < recorder_common::ARGV_CORE {
            return Some(waiting.finish());
        }
        self.waiting.insert(key, waiting);
        None
    }

    /// A part; given back is the exec that it made whole.
    pub(super) fn part(&mut self, pid: u32, part: ArgvPart, bytes: &[u8]) -> Option<KernelEvent> {
        let key = (pid, part.exec_ns);
        let Some(waiting) = self.waiting.get_mut(&key) else {
            self.early.push((Instant::now(), key, part, bytes.to_vec()));
            return None;
        };
        waiting.append(part, bytes);
        if waiting.complete(self.most) { self.waiting.remove(&key).map(Waiting::finish) } else { None }
    }

    /// Sessions of what waits.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = Mark> + '_ {
        self.waiting.values().map(|waiting| waiting.event.mark)
    }

    /// Execs that have waited long enough (all of them if `all`): what came is kept, the rest is stated as cut.
    pub(super) fn overdue(&mut self, now: Instant, all: bool) -> Vec<KernelEvent> {
        // Their exec was lost, and is declared: nobody will ask for them.
        self.early.retain(|(since, ..)| !all && now.duration_since(*since) <= PATIENCE);
        if self.early.len() > EARLY {
            self.early.clear();
        }
        let late = |w: &Waiting| all || now.duration_since(w.since) > PATIENCE;
        self.waiting.extract_if(|_, w| late(w)).map(|(_, w)| w.finish()).collect()
    }
}

/// Parts that are to be sent of so many bytes of arguments.
pub(super) fn parts(bytes: u64) -> u32 {
    let parts = bytes.saturating_sub(CORE).div_ceil(EACH);
    u32::try_from(parts).unwrap_or(u32::MAX).min(recorder_common::ARGV_PARTS)
}

impl Waiting {
    fn append(&mut self, part: ArgvPart, bytes: &[u8]) {
        // A hole (a lost part) ends what can be kept: later parts would shift the arguments.
        if usize::try_from(part.offset).is_ok_and(|o| o == self.argv.len()) {
            self.argv.extend_from_slice(bytes);
        }
    }

    fn complete(&self, most: u64) -> bool {
        u64::try_from(self.argv.len()).is_ok_and(|n| n >= self.wanted.min(most))
    }

    fn finish(mut self) -> KernelEvent {
        let got = u64::try_from(self.argv.len()).unwrap_or(u64::MAX);
        let cut = got < self.wanted;
        if let Act::Exec(exec) = &mut self.event.act {
            let bytes = if cut { &self.argv[..] } else { self.argv.strip_suffix(&[0]).unwrap_or(&self.argv) };
            if self.wanted > 0 {
                exec.argv = bytes.split(|b| *b == 0).map(Bytes::from).collect();
            }
            if cut {
                exec.extent.kept = got;
                exec.cut = Some(Cut { field: CutField::Argv, bytes: self.wanted, sha256: None, relay: None });
                self.event.flags = self.event.flags.with(Flags::TRUNCATED);
            }
        }
        self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_asks_for_what_belongs_to_an_exec_that_was_lost() {
        let mut a = Arguments::new(32);
        assert_eq!(a.part(7, ArgvPart { exec_ns: 5, offset: 1024, len: 6 }, b"a\0b\nc\0"), None);
        assert!(a.overdue(Instant::now(), false).is_empty() && a.early.len() == 1);
        assert!(a.overdue(Instant::now() + 2 * PATIENCE, false).is_empty() && a.early.is_empty());
    }
}
