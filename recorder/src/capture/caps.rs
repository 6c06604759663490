//! Capabilities that sessions exercise: the hook that a kernel may lack, and the map in which it counts.

use std::collections::BTreeMap;

use aya::{
    Btf,
    maps::{HashMap as BpfHashMap, MapData},
};
use recorder_common::{CapKey, CapUse, Hook};
use zerocopy::{FromBytes, transmute};

use super::{
    backend::Backend,
    load::{LoadError, Loaded},
    programs::Typed,
};
use crate::model::{BootNanos, Capability, Mark, TaskId};

/// Functions in which a check is a mere look (`CAP_OPT_NOAUDIT`), for the tracepoint, which doesn't tell. The first one
/// stands for `cap_vm_enough_memory`, which asks by a tail call and leaves no frame.
const PROBES: [&str; 4] = [
    "security_vm_enough_memory_mm",
    "ns_capable_noaudit",
    "has_capability_noaudit",
    "has_ns_capability_noaudit",
];

const NO_TRACEPOINT: &str = "capabilities (this kernel has no tracepoint for them: it came with 6.13)";
const NO_SYMBOLS: &str =
    "capabilities: checks that exercise nothing are counted too (the kernel's symbols can't be read)";

/// Where the kernel tells its symbols. The unit hides them at the first place (ProtectKernelTunables=); the first process, whose root
/// we may look into, sees them.
const SYMBOLS: [&str; 2] = ["/proc/kallsyms", "/proc/1/root/proc/kallsyms"];

/// Begin and end of the functions that only look; zeros where the kernel doesn't tell its symbols.
pub(super) fn probes() -> [u64; 8] {
    probes_at(&SYMBOLS)
}

/// By the first of these files that tells any.
fn probes_at(files: &[&str]) -> [u64; 8] {
    let told = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    told.map(|symbols| probes_in(&symbols)).find(|probes| *probes != [0; 8]).unwrap_or_default()
}

/// A function ends where the next symbol begins.
fn probes_in(symbols: &str) -> [u64; 8] {
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    let address = |line: &str| u64::from_str_radix(line.split(' ').next()?, 16).ok();
    let name = |line: &str| line.split(' ').nth(2).and_then(|n| n.split('\t').next()).map(str::to_owned);
    for line in symbols.lines() {
        if name(line).is_some_and(|n| PROBES.contains(&n.as_str()))
            && let Some(at) = address(line).filter(|at| *at != 0)
        {
            found.insert(at, u64::MAX);
        }
    }
    for line in symbols.lines() {
        let Some(at) = address(line) else { continue };
        if let Some((_, end)) = found.range_mut(..at).next_back() {
            *end = (*end).min(at);
        }
    }
    let mut out = [0; 8];
    let bounds = found.into_iter().filter(|(_, end)| *end != u64::MAX).flat_map(|(at, end)| [at, end]);
    out.iter_mut().zip(bounds).for_each(|(slot, bound)| *slot = bound);
    out
}

impl Loaded {
    /// Attaches what sees checks of capabilities, or says what will not be seen.
    pub(super) fn attach_caps(&mut self, btf: &Btf) -> Result<(), LoadError> {
        if self.backend == Backend::Trampoline {
            let hook = Typed { program: "security_capable", target: "security_capable" };
            self.attach_typed(&hook, btf)?;
        } else {
            match self.attach_typed(&Typed { program: "on_capable", target: "cap_capable" }, btf) {
                Err(LoadError::Unknown { .. }) => {
                    self.blind.push(NO_TRACEPOINT);
                    return Ok(());
                }
                other => other?,
            }
            if probes() == [0; 8] {
                self.blind.push(NO_SYMBOLS);
            }
        }
        self.caps = true;
        Ok(())
    }

    /// Hooks that have to answer.
    pub(super) fn hooks(&self) -> &'static [&'static str] {
        let optional = usize::from(!self.caps);
        Hook::NAMES.get(..Hook::NAMES.len() - optional).unwrap_or_default()
    }
}

/// The kernel's counts.
pub(super) struct Uses(BpfHashMap<MapData, [u8; 24], [u8; 40]>);

impl Uses {
    pub(super) fn new(map: BpfHashMap<MapData, [u8; 24], [u8; 40]>) -> Self {
        Self(map)
    }

    /// What these sessions used so far, exact. Paths are not known here.
    pub(super) fn of(&self, sessions: &[Mark]) -> Vec<(Mark, Capability)> {
        let entries = self.0.iter().filter_map(Result::ok);
        let uses = entries.map(|(key, value)| {
            let (key, value): (CapKey, CapUse) = (transmute!(key), transmute!(value));
            (Mark::new(key.mark), capability(&key, &value))
        });
        uses.filter(|(mark, _)| sessions.contains(mark)).collect()
    }

    /// Makes room: the session is over.
    pub(super) fn forget(&mut self, sessions: &[Mark]) {
        let stale: Vec<[u8; 24]> = self
            .0
            .keys()
            .filter_map(Result::ok)
            .filter(|key| CapKey::read_from_bytes(key).is_ok_and(|k| sessions.contains(&Mark::new(k.mark))))
            .collect();
        for key in stale {
            let _ = self.0.remove(&key);
        }
    }
}

/// The kernel's words as a record's body, without the path.
pub(super) fn capability(key: &CapKey, used: &CapUse) -> Capability {
    Capability {
        program: crate::model::Bytes::default(),
        dev: (key.dev >> 20, key.dev & 0xf_ffff),
        ino: key.ino,
        by: TaskId { pid: used.pid, start: BootNanos::new(used.start_ns) },
        number: u32::from(key.number),
        granted: key.granted,
        inner: key.inner,
        count: used.count,
        first: BootNanos::new(used.first_ns),
        last: BootNanos::new(used.last_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_that_are_hidden_are_read_at_the_next_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (empty, told) = (at("empty", ""), at("told", "f1 T ns_capable_noaudit\nf9 T x\n"));
        let zeros = at("zeros", "0000000000000000 T ns_capable_noaudit\n");
        for hidden in [empty.as_str(), zeros.as_str(), "/nonexistent"] {
            assert_eq!(probes_at(&[hidden, &told])[..2], [0xf1, 0xf9], "{hidden}");
            assert_eq!(probes_at(&[hidden]), [0; 8]);
        }
    }

    #[test]
    fn a_function_ends_where_the_next_symbol_begins() {
        let symbols = "ffffffff81a80310 T security_vm_enough_memory_mm\nffffffff81a80340 t __pfx_x\n\
                       ffffffff81000100 T ns_capable_noaudit\nffffffff81000200 T y\nffffffff81000180 t z\n\
                       ffffffffc0000000 t f\t[module]\n";
        let bounds =
            [0xffff_ffff_8100_0100, 0xffff_ffff_8100_0180, 0xffff_ffff_81a8_0310, 0xffff_ffff_81a8_0340];
        let probes = probes_in(symbols);
        assert_eq!(probes[..4], bounds);
        assert_eq!(probes[4..], [0; 4]);
        // Without the privilege to see addresses all of them are zero.
        assert_eq!(
            probes_in("0000000000000000 T security_vm_enough_memory_mm\n0000000000000000 T y\n"),
            [0; 8]
        );
    }
}
