//! Tells the kernel programs who may elevate while grants are enforced.

use std::collections::HashMap;

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use recorder_common::Gate;
use zerocopy::IntoBytes;

use crate::model::BootNanos;

/// Whom an entry is about. A login's own entry goes before its account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateKey {
    /// Everybody who logged in as that user.
    Account(u32),
    /// One login, by audit's session id.
    Login(u32),
}

impl GateKey {
    fn number(self) -> u64 {
        match self {
            Self::Account(uid) => u64::from(uid),
            Self::Login(session) => Gate::LOGIN | u64::from(session),
        }
    }
}

/// When he may: from the first moment to the one before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateWindow {
    /// First moment.
    pub from: BootNanos,
    /// First moment behind it.
    pub until: BootNanos,
}

/// The gate map and what was written into it.
pub(super) struct Gates {
    map: BpfHashMap<MapData, u64, [u8; 16]>,
    written: HashMap<GateKey, GateWindow>,
}

impl Gates {
    pub(super) fn new(map: BpfHashMap<MapData, u64, [u8; 16]>) -> Self {
        Self { map, written: HashMap::new() }
    }

    /// Makes the map say exactly this. Entries go before others come, so that a full map errs on the side of the policy.
    pub(super) fn set(&mut self, wanted: &HashMap<GateKey, GateWindow>) -> Result<(), MapError> {
        let gone: Vec<GateKey> =
            self.written.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        for key in gone {
            match self.map.remove(&key.number()) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
            self.written.remove(&key);
        }
        for (key, window) in wanted {
            if self.written.get(key) == Some(window) {
                continue;
            }
            let gate = Gate { from: window.from.get(), until: window.until.get() };
            let mut bytes = [0; 16];
            bytes.copy_from_slice(gate.as_bytes());
            self.map.insert(key.number(), bytes, 0)?;
            self.written.insert(*key, *window);
        }
        Ok(())
    }
}
