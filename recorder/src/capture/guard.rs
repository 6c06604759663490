//! The guard's kernel side: attaches its programs, tells them what is to be guarded, reads what they counted (docs/guard.md).
//!
//! What is guarded is told by opening it: the programs take device, inode and generation from the kernel itself, which programs of
//! user space do not always see as they are.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf,
    maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, MapInfo},
    programs::{Program, links::FdLink},
};
use recorder_common::{GuardSettings, Guarded, PlantKey, State};
use rustix::fs::{Mode, OFlags};
use zerocopy::transmute;

use super::{
    attempts::Seen, backend::Backend, devices::devices, load::Loaded, programs::Typed, ring::Capture,
};
use crate::{
    model::{BootNanos, Guard, Mark, TaskId},
    sys::{bpf, process},
};

/// What follows from an attempt on the recorder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    /// Nothing; nobody looks.
    Off,
    /// It is on record.
    #[default]
    Record,
    /// It is refused besides.
    Enforce,
}

impl GuardMode {
    const fn code(self) -> u64 {
        match self {
            Self::Off => GuardSettings::OFF,
            Self::Record => GuardSettings::RECORD,
            Self::Enforce => GuardSettings::ENFORCE,
        }
    }
}

/// What is to be guarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardPlaces {
    /// Directories of the journal.
    pub journal: Vec<PathBuf>,
    /// The configuration's file.
    pub config: Option<PathBuf>,
}

impl GuardPlaces {
    /// Files of the journal, as deep as they are guarded.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for dir in &self.journal {
            tree(dir, LEVELS, &mut all);
        }
        all.into_iter().filter(|(_, what)| *what == Guarded::JOURNAL).map(|(path, _)| path).collect()
    }
}

/// Levels of directories below the journal's.
const LEVELS: u8 = 3;

/// Programs and their hooks. The first list has to be there for the guard to be any.
const NEEDED: [(&str, &str); 22] = [
    ("guard_file", "file_open"),
    ("guard_kill", "task_kill"),
    ("guard_sigio", "file_send_sigiotask"),
    ("guard_trace", "ptrace_access_check"),
    ("guard_limit", "task_setrlimit"),
    ("guard_nice", "task_setnice"),
    ("guard_scheduler", "task_setscheduler"),
    ("guard_ioprio", "task_setioprio"),
    ("guard_unlink", "inode_unlink"),
    ("guard_rmdir", "inode_rmdir"),
    ("guard_rename", "inode_rename"),
    ("guard_link", "inode_link"),
    ("guard_create", "inode_create"),
    ("guard_mkdir", "inode_mkdir"),
    ("guard_symlink", "inode_symlink"),
    ("guard_mknod", "inode_mknod"),
    ("guard_setattr", "inode_setattr"),
    ("guard_setxattr", "inode_setxattr"),
    ("guard_removexattr", "inode_removexattr"),
    ("guard_control", "file_ioctl"),
    ("guard_map", "bpf_map"),
    ("guard_mount", "sb_mount"),
];

/// What tells of signals where none of these can be attached.
const SIGNALS: Typed = Typed { program: "witness_signal", target: "signal_generate" };

/// What a kernel may lack, and what is said then.
const NEWER: [(&str, &str, &str); 11] = [
    ("guard_truncate", "path_truncate", "guard: lengths that are set by name"),
    ("guard_move_mount", "move_mount", "guard: mounts that are moved"),
    ("guard_umount", "sb_umount", "guard: mounts that are taken away"),
    ("guard_remount", "sb_remount", "guard: file systems that are mounted anew"),
    ("guard_pivot", "sb_pivotroot", "guard: roots that are changed"),
    ("guard_lock", "file_lock", "guard: locks and leases"),
    ("guard_watch", "path_notify", "guard: who wants to be asked before an open"),
    // Before 6.2, and the last before 6.8, these are told by the hooks above.
    ("guard_ftruncate", "file_truncate", ""),
    ("guard_acl", "inode_set_acl", ""),
    ("guard_no_acl", "inode_remove_acl", ""),
    ("guard_control_32", "file_ioctl_compat", ""),
];

/// What the programs are told for good. `setattr`: how many arguments that hook has.
pub(super) fn settings(mode: GuardMode, setattr: usize) -> [u64; 8] {
    let start = |pid| process::read(pid).map(|p| (p.ppid, p.id.start.get() / GuardSettings::TICK));
    let pid = std::process::id();
    let (parent, began) = start(pid).unwrap_or_default();
    let parent_began = start(parent).map_or(0, |(_, start)| start);
    let mounts = |pid| process::namespace(pid, "mnt").map_or(0, u64::from);
    transmute!(GuardSettings {
        mode: mode.code(),
        pid: u64::from(pid),
        start: began,
        parent: u64::from(parent),
        parent_start: parent_began,
        host_mounts: mounts(1),
        own_mounts: mounts(pid),
        setattr: u64::from(setattr >= 3),
    })
}

/// Attaches the guard; why there is none.
pub(super) fn attach(loaded: &mut Loaded, btf: &Btf) -> Result<(), String> {
    if loaded.backend != Backend::Trampoline {
        return Err("it needs the trampoline backend".to_owned());
    }
    if !super::probe().lsm.iter().any(|name| name == "bpf") {
        return Err("the bpf LSM is not switched on (lsm=…,bpf on the kernel's command line)".to_owned());
    }
    loaded.guard_maps = own_maps().map_err(|e| format!("the maps' ids: {e}"))?;
    tell_maps(&mut loaded.ebpf, &loaded.guard_maps)?;
    for (program, hook) in NEEDED {
        loaded.attach_lsm(program, hook, btf)?;
    }
    for (program, hook, blind) in NEWER {
        if let Err(error) = loaded.attach_lsm(program, hook, btf) {
            tracing::debug!(%error, "not guarded");
            if !blind.is_empty() {
                loaded.blind.push(blind);
            }
        }
    }
    Ok(())
}

impl Loaded {
    /// Where there is no guard: signals to the recorder are told all the same. What sessions do to its files is theirs as any other act.
    pub(super) fn witness(&mut self, btf: &Btf) {
        if let Err(error) = self.attach_typed(&SIGNALS, btf) {
            tracing::debug!(%error, "signals to the recorder are not seen");
        }
    }

    fn attach_lsm(&mut self, name: &str, hook: &str, btf: &Btf) -> Result<(), String> {
        let Ok(Program::Lsm(program)) = self.program(name) else {
            return Err(format!("{name} is not in the object"));
        };
        program.load(hook, btf).map_err(|e| super::load::refused(name)(e).to_string())?;
        let link = program.attach().and_then(|id| program.take_link(id));
        let link: FdLink = link.map_err(|e| super::load::refused(name)(e).to_string())?.into();
        self.hold(name, hook, link).map_err(|e| e.to_string())
    }
}

/// The maps of this process by their ids, with their names.
fn own_maps() -> io::Result<HashMap<u32, String>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok());
        if let Some(id) = id {
            let name = MapInfo::from_id(id).ok().and_then(|info| info.name_as_str().map(str::to_owned));
            found.insert(id, name.unwrap_or_default());
        }
    }
    Ok(found)
}

fn tell_maps(ebpf: &mut Ebpf, maps: &HashMap<u32, String>) -> Result<(), String> {
    // It stays where it is: programs that are not loaded yet refer to it.
    let map = ebpf.map_mut("GUARD_MAPS").ok_or("no map GUARD_MAPS")?;
    let mut told: BpfHashMap<&mut MapData, u32, u32> = map.try_into().map_err(|e| format!("{e}"))?;
    maps.keys().try_for_each(|id| told.insert(id, 1, 0)).map_err(|e| e.to_string())
}

/// What the kernel side knows of the guard.
pub(super) struct Guards {
    guarded: BpfHashMap<MapData, [u8; 16], u32>,
    seen: Seen,
    seen_id: u32,
}

impl Guards {
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        let guarded = BpfHashMap::try_from(ebpf.take_map("GUARDED")?).ok()?;
        let Some(Map::HashMap(seen)) = ebpf.take_map("GUARD_SEEN") else { return None };
        let seen_id = seen.info().ok()?.id();
        let mut seen = Seen::of(seen).ok()?;
        seen.prepare().ok()?;
        Some(Self { guarded, seen, seen_id })
    }

    /// Opens what is to be guarded; why nothing is.
    pub(super) fn learn(
        &mut self,
        state: &mut Array<MapData, u32>,
        places: &GuardPlaces,
    ) -> Result<(), String> {
        let told = list(places);
        let io = |e: MapError| e.to_string();
        let me = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        state.set(State::LEARNS, me, 0).map_err(io)?;
        let opened = told.iter().try_for_each(|(path, what)| {
            state.set(State::LEARNT_AS, *what, 0)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Err(error) = rustix::fs::open(path, flags, Mode::empty()) {
                tracing::debug!(path = %path.display(), %error, "not guarded");
            }
            Ok(())
        });
        state.set(State::LEARNS, 0, 0).map_err(io)?;
        state.set(State::LEARNT_AS, 0, 0).map_err(io)?;
        opened.map_err(io)?;
        for dev in places.journal.iter().flat_map(|dir| devices(dir)) {
            let key: [u8; 16] = transmute!(PlantKey { ino: 0, dev: dev.0 << 20 | dev.1, generation: 0 });
            self.guarded.insert(key, Guarded::DEVICE, 0).map_err(io)?;
        }
        let tree = Guarded::JOURNAL | Guarded::TREE;
        let sees = self.guarded.iter().filter_map(Result::ok).any(|(_, what)| what == tree);
        if sees { Ok(()) } else { Err("its programs are attached and see no open of the journal".to_owned()) }
    }
}

impl Capture {
    /// From now on these places are guarded, if the guard was asked for and this kernel has what it needs.
    pub fn guard(&mut self, places: &GuardPlaces) {
        if self.loaded.guard_maps.is_empty() || self.loaded.no_guard.is_some() {
            return;
        }
        self.loaded.no_guard = self.guards.learn(&mut self.loaded.state, places).err();
        self.loaded.without_half_a_guard();
        if self.loaded.no_guard.is_some()
            && let Ok(btf) = Btf::from_sys_fs()
        {
            self.loaded.witness(&btf);
        }
    }

    /// Numbers of the links by which it holds; none if there is no guard.
    pub fn guard_links(&self) -> Vec<u32> {
        let guards = self.loaded.attached.iter().filter(|hold| hold.is_of("guard_"));
        guards.filter_map(super::links::Hold::link_id).collect()
    }

    /// Why there is no guard although one was asked for.
    pub fn no_guard(&self) -> Option<&str> {
        self.loaded.no_guard.as_deref()
    }

    /// The recorder ends by itself: its supervisor may help it along.
    pub fn let_it_end(&mut self) {
        if let Err(error) = self.loaded.state.set(State::ENDS, 1, 0) {
            tracing::debug!(%error, "the guard holds until its programs are gone");
        }
    }

    /// A descriptor of these counts, for who outlives this process: nothing can be changed through it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts_of_attempts(&self) -> io::Result<OwnedFd> {
        bpf::open_map_to_read(self.guards.seen_id)
    }

    /// Attempts on the recorder so far, with exact counts and without paths, and the sessions of who tried.
    pub fn attempts(&self) -> Vec<(Guard, Mark)> {
        self.guards.seen.counts(&self.loaded.guard_maps)
    }

    /// All that was tried until then is on disk: whoever reads the counts after this process needs no word of it.
    pub fn attempts_told(&mut self, until: BootNanos) {
        if let Err(error) = self.guards.seen.tell(until) {
            tracing::error!(%error, "what was tried with the recorder is told again by the next one");
        }
    }

    /// The same of processes that are gone need no room any more.
    pub fn forget_attempts(&mut self, gone: impl Fn(TaskId) -> bool) {
        self.guards.seen.forget(gone);
    }
}

/// Everything there is to open, and as what it is to be guarded.
fn list(places: &GuardPlaces) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    for dir in &places.journal {
        let Ok(dir) = dir.canonicalize() else { continue };
        all.extend(
            dir.ancestors()
                .skip(1)
                .filter(|a| a.parent().is_some())
                .map(|above| (above.to_owned(), Guarded::JOURNAL | Guarded::ABOVE)),
        );
        tree(&dir, LEVELS, &mut all);
    }
    if let Some(config) = &places.config {
        all.push((config.clone(), Guarded::CONFIG));
        // Editors write a new file and rename it: where it has a directory of its own, all that lies there counts.
        if let Some(dir) = config.parent().filter(|dir| dir.ends_with("recorder")) {
            all.push((dir.to_owned(), Guarded::CONFIG | Guarded::TREE));
        }
    }
    all.push(("/proc/self/exe".into(), Guarded::PROGRAM));
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(path) = cgroup.lines().find_map(|line| line.strip_prefix("0::/")) {
        all.extend(units(path).into_iter().map(|unit| {
            let tree = if unit.is_dir() { Guarded::TREE } else { 0 };
            (unit, Guarded::UNIT | tree)
        }));
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let groups = Path::new(path).ancestors().filter(|group| !group.as_os_str().is_empty());
            all.extend(groups.map(|group| (Path::new(root).join(group), Guarded::CGROUP)));
        }
    }
    // What is above one thing may be another itself, which counts: the last word is the strongest.
    all.sort_by_key(|(_, what)| what & Guarded::ABOVE == 0);
    all
}

fn tree(dir: &Path, levels: u8, all: &mut Vec<(PathBuf, u32)>) {
    all.push((dir.to_owned(), Guarded::JOURNAL | Guarded::TREE));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && levels > 0 => tree(&entry.path(), levels - 1, all),
            Ok(kind) if kind.is_file() => all.push((entry.path(), Guarded::JOURNAL)),
            _ => {}
        }
    }
}

/// Files and directories of the unit that runs in that control group.
fn units(cgroup: &str) -> Vec<PathBuf> {
    let Some(unit) = cgroup.rsplit('/').find(|part| part.ends_with(".service")) else { return Vec::new() };
    let dirs =
        ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    dirs.iter()
        .flat_map(|dir| [Path::new(dir).join(unit), Path::new(dir).join(format!("{unit}.d"))])
        .filter(|path| path.exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_journal_is_opened_before_what_is_in_it() {
        let dir = std::env::temp_dir().join(format!("guard-{}", std::process::id()));
        let log = dir.join("journal/log");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("1.seg"), b"x").unwrap();
        let all = list(&GuardPlaces { journal: vec![dir.join("journal")], config: None });
        fs::remove_dir_all(&dir).unwrap();
        let at = |path: PathBuf| all.iter().position(|(known, _)| *known == path).unwrap();
        let of = |path: PathBuf| all.get(at(path)).unwrap().1;
        assert_eq!(of(dir.clone()), Guarded::JOURNAL | Guarded::ABOVE);
        assert_eq!(of(dir.join("journal")), Guarded::JOURNAL | Guarded::TREE);
        assert_eq!(of(log.join("1.seg")), Guarded::JOURNAL);
        assert!(at(dir.clone()) < at(dir.join("journal")));
        assert!(!all.iter().any(|(path, _)| path == Path::new("/")));
    }

    #[test]
    fn a_unit_is_known_by_its_control_group() {
        assert!(units("user.slice/session-3.scope").is_empty());
        // The journal's is on every machine with systemd; elsewhere there is nothing to find.
        let found = units("system.slice/systemd-journald.service");
        assert!(found.iter().all(|path| path.exists()));
    }
}
