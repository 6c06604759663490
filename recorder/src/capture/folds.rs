//! What the kernel side counts and tells once: programs that could not be started, files that were mapped to be executed.

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, Map, MapData},
};
use recorder_common::{CapUse, EventHeader, FailedEvent, FailedKey, MapEvent, MapKey, RestKey, ScriptEvent};
use zerocopy::{FromBytes, Immutable, KnownLayout, transmute};

use super::decode::{DecodeError, Reader, below, dev, joined};
use crate::model::{Act, Attempt, BootNanos, Bytes, Folded, Mapped, Mark, Script, TaskId};

/// The kernel's counts.
pub(super) struct Folds {
    failed: BpfHashMap<MapData, [u8; 224], [u8; 40]>,
    rest: BpfHashMap<MapData, [u8; 16], [u8; 40]>,
    mapped: BpfHashMap<MapData, [u8; 32], [u8; 40]>,
}

impl Folds {
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        let mut take = |name: &str| ebpf.take_map(name);
        Some(Self {
            failed: table(take("FAILED")?)?,
            rest: table(take("FAILED_REST")?)?,
            mapped: table(take("MAPPED")?)?,
        })
    }

    /// What was counted of these sessions so far. Where directories and files lie is not known here.
    pub(super) fn of(&self, sessions: &[Mark]) -> Vec<(Mark, Folded)> {
        let failed = self.failed.iter().filter_map(Result::ok).map(|(key, value)| {
            let (key, value): (FailedKey, CapUse) = (transmute!(key), transmute!(value));
            (Mark::new(key.mark), attempt(&key, &value))
        });
        let rest = self.rest.iter().filter_map(Result::ok).filter_map(|(key, value)| {
            let (key, value): (RestKey, CapUse) = (transmute!(key), transmute!(value));
            // Without an errno it is the number of names.
            let nameless = Attempt { errno: key.errno, ..counted(&value) };
            (key.errno != 0).then(|| (Mark::new(key.mark), Folded::Failed(Box::new(nameless))))
        });
        let mapped = self.mapped.iter().filter_map(Result::ok).map(|(key, value)| {
            let (key, value): (MapKey, CapUse) = (transmute!(key), transmute!(value));
            (Mark::new(key.mark), Folded::Mapped(Box::new(file(&key, &value))))
        });
        failed.chain(rest).chain(mapped).filter(|(mark, _)| sessions.contains(mark)).collect()
    }

    /// Makes room: the sessions are over.
    pub(super) fn forget(&mut self, sessions: &[Mark]) {
        forget::<FailedKey, 224>(&mut self.failed, |key| sessions.contains(&Mark::new(key.mark)));
        forget::<RestKey, 16>(&mut self.rest, |key| sessions.contains(&Mark::new(key.mark)));
        forget::<MapKey, 32>(&mut self.mapped, |key| sessions.contains(&Mark::new(key.mark)));
    }
}

fn table<const K: usize>(map: Map) -> Option<BpfHashMap<MapData, [u8; K], [u8; 40]>> {
    BpfHashMap::try_from(map).ok()
}

fn forget<T: FromBytes + KnownLayout + Immutable, const K: usize>(
    map: &mut BpfHashMap<MapData, [u8; K], [u8; 40]>,
    stale: impl Fn(&T) -> bool,
) {
    let keys = map.keys().filter_map(Result::ok);
    let keys: Vec<[u8; K]> =
        keys.filter(|key| T::read_from_bytes(key).is_ok_and(|key| stale(&key))).collect();
    for key in keys {
        let _ = map.remove(&key);
    }
}

fn counted(value: &CapUse) -> Attempt {
    Attempt {
        by: TaskId { pid: value.pid, start: BootNanos::new(value.start_ns) },
        count: value.count,
        first: BootNanos::new(value.first_ns),
        last: BootNanos::new(value.last_ns),
        ..Attempt::default()
    }
}

fn attempt(key: &FailedKey, value: &CapUse) -> Folded {
    let name = key.name.split(|b| *b == 0).next().unwrap_or_default();
    Folded::Failed(Box::new(Attempt {
        errno: key.errno,
        directory: (dev(key.dev), key.dir),
        name: Bytes::from(name),
        len: key.len,
        ..counted(value)
    }))
}

fn file(key: &MapKey, value: &CapUse) -> Mapped {
    Mapped {
        path: Bytes::default(),
        dev: dev(key.dev),
        ino: key.ino,
        generation: key.generation,
        how: u16::try_from(key.how).unwrap_or(0),
        by: TaskId { pid: value.pid, start: BootNanos::new(value.start_ns) },
        count: value.count,
        first: BootNanos::new(value.first_ns),
        last: BootNanos::new(value.last_ns),
    }
}

/// The task of an event did it for the first time.
fn once(head: &EventHeader) -> CapUse {
    let at = head.boot_ns;
    let (start_ns, pid) = (head.start_ns, head.pid);
    CapUse { count: 1, first_ns: at, last_ns: at, start_ns, pid, reserved: 0 }
}

/// A program could not be started.
pub(super) fn failed(head: &EventHeader, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: FailedEvent = r.get()?;
    let name = r.take(e.name_len)?;
    let directory = r.take(e.path_len)?;
    let path = match (name, directory) {
        (b"", b"") => Bytes::default(),
        (b"", directory) => joined(directory),
        (name, b"") => Bytes::from(name),
        (name, directory) => below(directory, name),
    };
    let kept = name.get(..recorder_common::FAILED_NAME - 1).unwrap_or(name);
    let (errno, len) = (e.errno, e.name_len);
    Ok(Act::Folded(Folded::Failed(Box::new(Attempt {
        path,
        errno,
        directory: (dev(e.dev), e.dir),
        name: Bytes::from(kept),
        len,
        ..counted(&once(head))
    }))))
}

/// What was executed is the interpreter of a script.
pub(super) fn script(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: ScriptEvent = r.get()?;
    let name = r.take(e.name_len)?;
    let path = below(r.take(e.path_len)?, name);
    Ok(Act::Script(Box::new(Script { path, dev: dev(e.dev), ino: e.ino })))
}

/// A file was mapped to be executed.
pub(super) fn mapped(head: &EventHeader, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: MapEvent = r.get()?;
    let path = joined(r.take(e.path_len)?);
    Ok(Act::Folded(Folded::Mapped(Box::new(Mapped { path, ..file(&e.key, &once(head)) }))))
}

#[cfg(test)]
mod tests {
    use recorder_common::Kind;
    use zerocopy::IntoBytes;

    use super::{super::decode::Decoder, *};

    fn decoded(kind: u16, payload: &[u8], tail: &[u8]) -> Folded {
        let head = EventHeader { kind, pid: 7, boot_ns: 5, ..EventHeader::default() };
        let raw = [head.as_bytes(), payload, tail].concat();
        for len in size_of::<EventHeader>()..raw.len() {
            assert_eq!(Decoder::new(32).decode(raw.get(..len).unwrap()), Err(DecodeError::Cut), "{len}");
        }
        match Decoder::new(32).decode(&raw).unwrap().unwrap().act {
            Act::Folded(folded) => folded,
            other => panic!("{other:?}"),
        }
    }

    fn path(name: &[u8], directory: &[u8]) -> Attempt {
        let e = FailedEvent {
            errno: 2,
            dir: u64::from(!directory.is_empty()),
            name_len: u32::try_from(name.len()).unwrap(),
            path_len: u32::try_from(directory.len()).unwrap(),
            ..FailedEvent::default()
        };
        match decoded(Kind::EXEC_FAILED, e.as_bytes(), &[name, directory].concat()) {
            Folded::Failed(attempt) => *attempt,
            other @ Folded::Mapped(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_could_not_be_started_is_where_it_was_looked_for() {
        assert_eq!(path(b"/usr/bin/x", b"").path, Bytes::from("/usr/bin/x"));
        assert_eq!(path(b"bin/x", b"b\0a\0").path, Bytes::from("/a/b/bin/x"));
        // A descriptor alone, and memory that could not be read.
        assert_eq!(path(b"", b"b\0a\0").path, Bytes::from("/a/b"));
        assert_eq!(path(b"", b"").path, Bytes::default());
    }

    #[test]
    fn the_event_and_the_count_are_of_the_same_name() {
        for len in [3, 191, 192, 500] {
            let name = vec![b'x'; len];
            let told = path(&name, b"");
            let mut key = FailedKey {
                mark: 1,
                dir: 0,
                dev: 0,
                errno: 2,
                len: u32::try_from(len).unwrap(),
                reserved: 0,
                name: [0; 192],
            };
            // As the kernel side copies it: the last byte ends it.
            key.name[..191].iter_mut().zip(&name).for_each(|(to, from)| *to = *from);
            let Folded::Failed(counted) = attempt(&key, &CapUse { count: 9, ..CapUse::default() }) else {
                panic!("no attempt")
            };
            assert!(told.is_same(&counted), "{told:?} {counted:?}");
            assert_eq!((told.count, counted.count), (1, 9));
        }
    }

    #[test]
    fn a_mapping_is_of_a_file() {
        let key = MapKey {
            mark: 1,
            ino: 9,
            dev: 254 << 20 | 1,
            how: MapEvent::MPROTECT,
            generation: 3,
            reserved: 0,
        };
        let e = MapEvent { key, path_len: 9, reserved: 0 };
        let Folded::Mapped(mapped) = decoded(Kind::MAPPED, e.as_bytes(), b"x.so\0lib\0") else {
            panic!("no mapping")
        };
        assert_eq!((mapped.path.escaped(), mapped.dev, mapped.ino), ("/lib/x.so".to_owned(), (254, 1), 9));
        assert_eq!((mapped.how, mapped.count, mapped.by.pid), (Mapped::MPROTECT, 1, 7));
        assert_eq!(mapped.generation, 3);
    }
}
