//! What the kernel side counted of attempts on the recorder, this one's or, by a descriptor of the counts that was left with systemd, its
//! predecessor's, which is gone and could not tell (docs/guard.md).

use std::{collections::HashMap, os::fd::OwnedFd};

use aya::maps::{HashMap as BpfHashMap, Map, MapData, MapError};
use recorder_common::{GuardAct as Acts, GuardEvent, GuardKey, GuardUse, Guarded};
use zerocopy::transmute;

use super::decode::{DecodeError, Reader, joined};
use crate::model::{Act, BootNanos, Bytes, Guard, GuardAct, GuardObject, Mark, SessionId, TaskId};

/// Who tries something looks at the clock and counts it a moment later, or in between earlier ones are read.
const MOMENT_NS: u64 = 1_000_000_000;

/// The kernel's counts of attempts.
pub(super) struct Seen(BpfHashMap<MapData, [u8; 24], [u8; 32]>);

impl Seen {
    pub(super) fn of(map: MapData) -> Result<Self, MapError> {
        BpfHashMap::try_from(Map::HashMap(map)).map(Self)
    }

    /// Places for what finds none of its own, one for each act on each object.
    pub(super) fn prepare(&mut self) -> Result<(), MapError> {
        let acts = Acts::SIGNAL..Acts::END;
        let objects = Guarded::PROCESS..Guarded::END;
        let both = acts.flat_map(|act| objects.clone().map(move |object| (act, object)));
        for ((act, object), denied) in both.flat_map(|one| [0, 1].map(|denied| (one, denied))) {
            let object = u16::try_from(object).unwrap_or_default();
            let key: [u8; 24] = transmute!(GuardKey { act, object, denied, ..GuardKey::default() });
            self.0.insert(key, [0; 32], 0)?;
        }
        self.tell(BootNanos::default())
    }

    /// All that was tried until then is on disk.
    pub(super) fn tell(&mut self, until: BootNanos) -> Result<(), MapError> {
        let key: [u8; 24] = transmute!(GuardKey::TOLD);
        let value: [u8; 32] = transmute!(GuardUse { last_ns: until.get(), ..GuardUse::default() });
        self.0.insert(key, value, 0)
    }

    fn told(&self) -> u64 {
        let key: [u8; 24] = transmute!(GuardKey::TOLD);
        let value = self.0.get(&key, 0).map(|value| -> GuardUse { transmute!(value) });
        value.map_or(0, |value| value.last_ns)
    }

    /// Makes room: nobody counts for these any more.
    pub(super) fn forget(&mut self, gone: impl Fn(TaskId) -> bool) {
        let stale: Vec<[u8; 24]> = self
            .0
            .keys()
            .filter_map(Result::ok)
            .filter(|key| {
                let key: GuardKey = transmute!(*key);
                key.pid != 0 && gone(TaskId { pid: key.pid, start: BootNanos::new(key.start_ns) })
            })
            .collect();
        for key in stale {
            let _ = self.0.remove(&key);
        }
    }

    /// With the sessions of who tried.
    pub(super) fn counts(&self, names: &HashMap<u32, String>) -> Vec<(Guard, Mark)> {
        let all = self.0.iter().filter_map(Result::ok);
        let all = all.map(|(key, value)| -> (GuardKey, GuardUse) { (transmute!(key), transmute!(value)) });
        let any = all.filter(|(_, value)| value.count > 0);
        any.map(|(key, value)| (attempt(&key, &value, names), Mark::new(value.mark))).collect()
    }
}

/// The counts of a guard that is not ours. They stay readable when its programs are gone.
pub struct Bequest(Seen);

impl Bequest {
    /// By what [`Capture::counts_of_attempts`](super::Capture::counts_of_attempts) gave.
    ///
    /// # Errors
    /// The kernel's, or it is no such map.
    pub fn of(counts: OwnedFd) -> Result<Self, MapError> {
        Seen::of(MapData::from_fd(counts)?).map(Self)
    }

    /// What it counted and may not have on disk, without paths, and in which sessions.
    pub fn untold(&self) -> Vec<(Guard, Mark)> {
        let told = self.0.told();
        let mut counts = self.0.counts(&HashMap::new());
        counts.retain(|(guard, _)| is_untold(guard, told));
        counts
    }
}

fn is_untold(guard: &Guard, told: u64) -> bool {
    guard.last.get().saturating_add(MOMENT_NS) > told
}

fn attempt(key: &GuardKey, value: &GuardUse, names: &HashMap<u32, String>) -> Guard {
    let object = GuardObject::from_code(key.object);
    let name = (object == GuardObject::Map).then(|| names.get(&key.detail)).flatten();
    Guard {
        act: GuardAct::from_code(key.act),
        object,
        denied: u8::from(key.denied != 0),
        detail: key.detail,
        path: name.map_or_else(Bytes::default, |name| Bytes::from(name.as_str())),
        to: Bytes::default(),
        session: SessionId::NOBODY,
        by: TaskId { pid: key.pid, start: BootNanos::new(key.start_ns) },
        count: value.count,
        first: BootNanos::new(value.first_ns),
        last: BootNanos::new(value.last_ns),
    }
}

/// The first attempt of its kind.
pub(super) fn first(at: u64, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: GuardEvent = r.get()?;
    let (path, to) = (r.take(e.path_len)?, r.take(e.to_len)?);
    let once = GuardUse { count: 1, first_ns: at, last_ns: at, mark: 0 };
    let walked = |names: &[u8]| if names.is_empty() { Bytes::default() } else { joined(names) };
    let mut guard = attempt(&e.key, &once, &HashMap::new());
    (guard.path, guard.to) = (walked(path), walked(to));
    Ok(Act::Guard(Box::new(guard)))
}

#[cfg(test)]
mod tests {
    use recorder_common::{EventHeader, Kind};
    use zerocopy::IntoBytes;

    use super::{super::decode::Decoder, *};

    #[test]
    fn an_attempt_is_told_with_its_paths() {
        let key = GuardKey {
            pid: 7,
            start_ns: 5,
            act: recorder_common::GuardAct::RENAME,
            object: 2,
            denied: 1,
            ..GuardKey::default()
        };
        let e = GuardEvent { key, path_len: 4, to_len: 6 };
        let head = EventHeader { kind: Kind::GUARD, boot_ns: 9, ..EventHeader::default() };
        let raw = [head.as_bytes(), e.as_bytes(), b"b\0a\0xx\0y\0\0".get(..10).unwrap()].concat();
        for len in size_of::<EventHeader>()..raw.len() {
            assert_eq!(Decoder::new(32).decode(raw.get(..len).unwrap()), Err(DecodeError::Cut), "{len}");
        }
        let Act::Guard(guard) = Decoder::new(32).decode(&raw).unwrap().unwrap().act else { panic!() };
        assert_eq!((guard.act, guard.object, guard.denied), (GuardAct::Rename, GuardObject::Journal, 1));
        assert_eq!((guard.path.escaped(), guard.by.pid, guard.count), ("/a/b".to_owned(), 7, 1));
        assert!(guard.to.escaped().contains("xx"), "{guard:?}");
    }

    #[test]
    fn what_was_tried_about_when_it_was_told_is_told_again() {
        let last = |ns| {
            let value = GuardUse { count: 1, last_ns: ns, ..GuardUse::default() };
            attempt(&GuardKey::default(), &value, &HashMap::new())
        };
        assert!(is_untold(&last(1), 0), "nothing was told yet");
        let told = 5 * MOMENT_NS;
        assert!(is_untold(&last(told - MOMENT_NS + 1), told) && !is_untold(&last(told - MOMENT_NS), told));
    }

    #[test]
    fn the_kernel_side_has_the_words_of_the_journal() {
        use recorder_common as kernel;
        assert_eq!(GuardAct::from_code(kernel::GuardAct::SIGNAL), GuardAct::Signal);
        assert_eq!(GuardAct::from_code(kernel::GuardAct::UMOUNT), GuardAct::Umount);
        assert_eq!(GuardAct::from_code(kernel::GuardAct::LOCK), GuardAct::Lock);
        assert_eq!(GuardAct::from_code(kernel::GuardAct::WATCH), GuardAct::Watch);
        assert_eq!(GuardAct::from_code(kernel::GuardAct::IOCTL), GuardAct::Ioctl);
        assert_eq!(GuardAct::from_code(kernel::GuardAct::MOVE), GuardAct::Move);
        let is_known = |code| !matches!(GuardAct::from_code(code), GuardAct::Unknown(_));
        assert!(is_known(kernel::GuardAct::END - 1) && !is_known(kernel::GuardAct::END));
        let is_known = |code| !matches!(GuardObject::from_code(code), GuardObject::Unknown(_));
        let end = u16::try_from(Guarded::END).unwrap();
        assert!(is_known(end - 1) && !is_known(end));
        for (number, word) in [
            (Guarded::PROCESS, GuardObject::Process),
            (Guarded::SWITCH, GuardObject::Switch),
            (Guarded::CGROUP, GuardObject::Cgroup),
            (Guarded::DEVICE, GuardObject::Device),
        ] {
            assert_eq!(u32::from(word.code()), number);
        }
    }
}
