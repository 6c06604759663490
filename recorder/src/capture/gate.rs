//! Tells the kernel programs who may elevate while grants are enforced.

use std::collections::{BTreeMap, HashMap};

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use recorder_common::{Allow, Gate};
use zerocopy::{IntoBytes, transmute};

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

/// Something that may be run by whom is not allowed everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateLimit {
    /// Anything as this user, who is not root.
    User(u32),
    /// The program in this inode, as anybody. Its arguments are judged by whoever sees them.
    Program(u64),
}

/// What he may, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateWindow {
    /// Everything, to the moment before this.
    pub all: Option<BootNanos>,
    /// Some things, to the moment before.
    pub some: BTreeMap<GateLimit, BootNanos>,
}

impl GateWindow {
    fn until(&self) -> u64 {
        self.all.iter().chain(self.some.values()).map(|until| until.get()).max().unwrap_or(0)
    }
}

/// The kernel's maps of gates, and what was written into them.
pub(super) struct Gates {
    windows: BpfHashMap<MapData, u64, [u8; 24]>,
    allowed: BpfHashMap<MapData, [u8; 24], u64>,
    written: HashMap<GateKey, GateWindow>,
}

fn allow(gate: GateKey, limit: GateLimit) -> [u8; 24] {
    let gate = gate.number();
    transmute!(match limit {
        GateLimit::User(uid) => Allow { gate, ino: 0, uid, reserved: 0 },
        GateLimit::Program(ino) => Allow { gate, ino, uid: 0, reserved: 0 },
    })
}

fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

impl Gates {
    pub(super) fn new(
        windows: BpfHashMap<MapData, u64, [u8; 24]>,
        allowed: BpfHashMap<MapData, [u8; 24], u64>,
    ) -> Self {
        Self { windows, allowed, written: HashMap::new() }
    }

    /// Makes the maps say exactly this. What is gone goes before others come: a full map refuses rather than allows.
    pub(super) fn set(&mut self, wanted: &HashMap<GateKey, GateWindow>) -> Result<(), MapError> {
        let old: Vec<GateKey> = self.written.keys().copied().collect();
        for key in old {
            if wanted.get(&key) != self.written.get(&key) {
                self.shut(key, wanted.get(&key))?;
            }
        }
        for (key, window) in wanted {
            if self.written.get(key) != Some(window) {
                self.open(*key, window)?;
            }
        }
        Ok(())
    }

    fn shut(&mut self, key: GateKey, wanted: Option<&GateWindow>) -> Result<(), MapError> {
        let Some(written) = self.written.remove(&key) else { return Ok(()) };
        if wanted.is_none() {
            gone(self.windows.remove(&key.number()))?;
        }
        for limit in written.some.keys().filter(|limit| wanted.is_none_or(|w| !w.some.contains_key(limit))) {
            gone(self.allowed.remove(&allow(key, *limit)))?;
        }
        Ok(())
    }

    fn open(&mut self, key: GateKey, window: &GateWindow) -> Result<(), MapError> {
        for (limit, until) in &window.some {
            self.allowed.insert(allow(key, *limit), until.get(), 0)?;
        }
        let all = window.all.map_or(0, BootNanos::get);
        // Whoever is allowed everything for a shorter time than something else is told so again when that is over.
        let until = if all > 0 { all } else { window.until() };
        let gate = Gate { from: 0, until, all: u64::from(all > 0) };
        let mut bytes = [0; 24];
        bytes.copy_from_slice(gate.as_bytes());
        self.windows.insert(key.number(), bytes, 0)?;
        self.written.insert(key, window.clone());
        Ok(())
    }
}
