//! Which managers are listened to, and what they made that is nobody's.

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use recorder_common::{Armed, PlantKey, SCRIPT_NAME, SUN_PATH};
use zerocopy::IntoBytes as _;

use crate::model::{BootNanos, Dropped, Mark};

/// Sockets whose messages are read: the system's manager and the bus. Those of users lie under /run/user, which the kernel side
/// knows by itself.
const SOCKETS: [&str; 4] = [
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
    "/var/run/dbus/system_bus_socket",
    "/run/systemd/io.systemd.Manager",
];
/// The system's manager.
const SYSTEM: u64 = 1;
/// Sockets of container engines; podman's and those of a user's own engine start nothing by a shim of root's.
const ENGINES: [&str; 5] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/var/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
];

/// Who may start something by himself that a session asked for once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The system's manager.
    System,
    /// Container engines.
    Engines,
}

/// The maps.
pub(super) struct Managers {
    sockets: BpfHashMap<MapData, [u8; SUN_PATH], u64>,
    armed: BpfHashMap<MapData, u64, [u8; 24]>,
    pending: BpfHashMap<MapData, u64, u64>,
    planted: BpfHashMap<MapData, [u8; 16], u64>,
    scripts: BpfHashMap<MapData, [u8; SCRIPT_NAME], u64>,
}

impl Managers {
    pub(super) fn open(ebpf: &mut aya::Ebpf) -> Option<Self> {
        Some(Self {
            sockets: BpfHashMap::try_from(ebpf.take_map("SOCKETS")?).ok()?,
            armed: BpfHashMap::try_from(ebpf.take_map("ARMED")?).ok()?,
            pending: BpfHashMap::try_from(ebpf.take_map("PENDING")?).ok()?,
            planted: BpfHashMap::try_from(ebpf.take_map("PLANTED")?).ok()?,
            scripts: BpfHashMap::try_from(ebpf.take_map("SCRIPT_NAMES")?).ok()?,
        })
    }

    pub(super) fn listen(&mut self) -> Result<(), MapError> {
        let managers = SOCKETS.iter().map(|socket| (socket, SYSTEM));
        for (socket, manager) in managers.chain(ENGINES.iter().map(|socket| (socket, Armed::ENGINE))) {
            if let Some(name) = padded(socket.as_bytes()) {
                self.sockets.insert(name, manager, 0)?;
            }
        }
        Ok(())
    }

    pub(super) fn keep_looking(&mut self, manager: Standing, until: BootNanos) -> Result<(), MapError> {
        // Whose it may be says the unit's name alone: no session is behind it by its time.
        let armed = Armed { mark: u64::MAX, until: until.get(), sender: 0 };
        let mut raw = [0; 24];
        raw.copy_from_slice(armed.as_bytes());
        let key = match manager {
            Standing::System => SYSTEM,
            Standing::Engines => Armed::ENGINE,
        };
        self.armed.insert(key, raw, 0)
    }

    /// Who runs that path runs what the session wrote; a path that is too long stays unknown.
    pub(super) fn script(&mut self, path: &[u8], by: Mark) -> Result<(), MapError> {
        padded(path).map_or(Ok(()), |name| self.scripts.insert(name, by.get(), 0))
    }

    pub(super) fn forget(&mut self, dropped: &Dropped) {
        if let Some(cgroup) = dropped.cgroup {
            let _ = self.pending.remove(&cgroup);
        }
        if let Some((ino, dev, generation)) = dropped.plant {
            let mut raw = [0; 16];
            raw.copy_from_slice(PlantKey { ino, dev, generation }.as_bytes());
            let _ = self.planted.remove(&raw);
        }
        if let Some(name) = dropped.script.as_ref().and_then(|path| padded(path.as_slice())) {
            let _ = self.scripts.remove(&name);
        }
    }
}

/// A path as the kernel side compares it, with a zero behind it; `None` if it does not fit.
fn padded<const N: usize>(path: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(..path.len()).filter(|_| path.len() < N)?.copy_from_slice(path);
    Some(out)
}
