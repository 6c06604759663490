//! Programs and units that sessions wrote: who wrote them, and whether what runs them is to be followed.

use std::collections::HashMap;

use super::words::units_of;
use crate::model::{Bytes, Exec, File, FileOp, Mark, TaskId};

/// Files, units and processes that are remembered; then all are forgotten.
const MOST: usize = 64 * 1024;
/// Paths that are remembered: half of what the kernel side has room for, which forgets in advance.
const MOST_PATHS: usize = 8 * 1024;
/// With its zero behind it a path fits into the kernel side's key, `SCRIPT_NAME`.
const LONGEST_PATH: usize = 128;
/// A program that runs so often is told and followed no more.
const MOST_RUNS: u32 = 100;
/// What installs software for everybody: what it wrote is run by everybody, which makes nobody's work his.
const PACKAGERS: [&[u8]; 10] = [
    b"dpkg",
    b"dpkg-deb",
    b"apt",
    b"apt-get",
    b"rpm",
    b"dnf",
    b"yum",
    b"microdnf",
    b"zypper",
    b"unattended-upgrade",
];
/// Where a host has them.
const PLACES: [&[u8]; 3] = [b"/usr/", b"/bin/", b"/sbin/"];
const INTERPRETERS: [&[u8]; 4] = [b"python", b"perl", b"sh", b"bash"];
const WRITES: u32 = 0o3;

/// What a run of a planted program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// His work in another's hands.
    Followed,
    /// Told once and not followed: it came with a package, or runs all the time.
    Told,
}

#[derive(Debug)]
struct Plant {
    by_packager: bool,
    runs: u32,
}

/// What a session wrote at a path.
#[derive(Debug)]
struct Script {
    by: Mark,
    /// Since it was last written.
    runs: u32,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Plants {
    files: HashMap<((u32, u32), u64), Plant>,
    /// What lies at a path: scripts may be known by it alone.
    paths: HashMap<Bytes, Script>,
    /// Paths at which sessions wrote since the last look, and who did so last.
    fresh: HashMap<Bytes, Mark>,
    /// Units by name.
    units: HashMap<String, Mark>,
    inodes: bool,
    /// Files were forgotten: what is not known may have come with a package.
    forgot: bool,
    /// Processes that run a package manager.
    packagers: HashMap<u32, TaskId>,
}

impl Plants {
    /// A process of a session starts a program.
    pub(super) fn exec(&mut self, task: TaskId, exec: &Exec) {
        let leaf = |path: &[u8]| path.rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec).unwrap_or_default();
        let of_host = |path: &[u8]| PLACES.iter().any(|place| path.starts_with(place));
        let is_one = |path: &[u8]| of_host(path) && PACKAGERS.contains(&leaf(path).as_slice());
        // Some are scripts: the interpreter is what runs. A name alone says nothing, he chooses names.
        let program = leaf(exec.path.as_slice());
        let interprets = INTERPRETERS.iter().any(|name| program.starts_with(name));
        let script = exec.argv.get(1).is_some_and(|path| interprets && is_one(path.as_slice()));
        let his = self.files.get(&(exec.dev, exec.ino)).is_some_and(|plant| !plant.by_packager);
        let is_one = (is_one(exec.path.as_slice()) && !his) || script;
        if self.packagers.len() >= MOST {
            self.packagers.clear();
        }
        if is_one {
            self.packagers.insert(task.pid, task);
        } else {
            self.packagers.remove(&task.pid);
        }
    }

    /// A process of a session makes another.
    pub(super) fn fork(&mut self, task: TaskId, child: TaskId) {
        if self.packagers.get(&task.pid) == Some(&task) {
            self.packagers.insert(child.pid, child);
        }
    }

    /// A process of a session touched a file.
    pub(super) fn touched(&mut self, by: Mark, task: TaskId, op: FileOp, file: &File) {
        if file.result < 0 {
            return;
        }
        let by_packager = self.packagers.get(&task.pid) == Some(&task);
        let writes = file.flags & WRITES != 0 && matches!(op, FileOp::Open | FileOp::Create | FileOp::Write);
        if writes && file.ino != 0 {
            if self.files.len() >= MOST {
                self.files.clear();
                self.forgot = true;
            }
            self.files.insert((file.dev, file.ino), Plant { by_packager, runs: 0 });
        }
        if !by_packager && !self.inodes {
            self.named(by, op, file, writes);
        }
        let path = match (op, &file.to) {
            // Where it leads was there before; that it has this name too is his doing.
            (FileOp::Symlink, _) => &file.path,
            (_, Some(to)) => to,
            _ if writes => &file.path,
            _ => return,
        };
        if let Some(unit) = path.as_utf8().and_then(unit_of).filter(|_| !by_packager) {
            if self.units.len() >= MOST {
                self.units.clear();
            }
            self.units.insert(unit.to_owned(), by);
        }
    }

    /// A path at which a session wrote, or to which it moved something.
    fn named(&mut self, by: Mark, op: FileOp, file: &File, writes: bool) {
        let path = match &file.to {
            Some(to) if matches!(op, FileOp::Rename | FileOp::Link) => to,
            _ if writes => &file.path,
            _ => return,
        };
        // Longer ones, and those that are none from the root, the kernel side can't look for.
        if path.as_slice().first() != Some(&b'/') || path.len() >= LONGEST_PATH {
            return;
        }
        // The kernel side knows already: it is told of each once, however often it is written.
        if let Some(known) = self.paths.get_mut(path).filter(|known| known.by == by) {
            known.runs = 0;
            return;
        }
        if self.paths.len() >= MOST_PATHS {
            self.paths.clear();
        }
        self.paths.insert(path.clone(), Script { by, runs: 0 });
        self.fresh.insert(path.clone(), by);
    }

    /// Scripts are looked for by their inodes: nobody asks for paths.
    pub(super) fn by_inode(&mut self) {
        self.inodes = true;
    }

    /// What was written since the last call.
    pub(super) fn fresh(&mut self) -> HashMap<Bytes, Mark> {
        std::mem::take(&mut self.fresh)
    }

    /// Somebody who is nobody's runs a script by a path at which a session wrote.
    pub(super) fn runs_path(&mut self, path: &Bytes) -> Run {
        let Some(script) = self.paths.get_mut(path) else { return Run::Told };
        script.runs = script.runs.saturating_add(1);
        if script.runs > MOST_RUNS { Run::Told } else { Run::Followed }
    }

    /// The kernel side forgets that path: it has to be told of it again when a session writes there.
    pub(super) fn let_go(&mut self, path: &Bytes) {
        self.paths.remove(path);
    }

    /// Somebody who is nobody's runs a planted program.
    pub(super) fn runs(&mut self, dev: (u32, u32), ino: u64) -> Run {
        let unknown = Plant { by_packager: self.forgot, runs: 0 };
        let plant = self.files.entry((dev, ino)).or_insert(unknown);
        plant.runs = plant.runs.saturating_add(1);
        if plant.by_packager || plant.runs > MOST_RUNS { Run::Told } else { Run::Followed }
    }

    /// Who wrote a unit, or a drop-in of it.
    pub(super) fn writer_of(&self, cgroup: &str) -> Option<(&str, Mark)> {
        if self.units.is_empty() {
            return None;
        }
        units_of(cgroup).find_map(|part| {
            let template = part
                .split_once('@')
                .and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
            let (unit, by) =
                self.units.get_key_value(part).or_else(|| self.units.get_key_value(template?.as_str()))?;
            Some((unit.as_str(), *by))
        })
    }

    /// True if units of sessions may start by themselves.
    pub(super) fn has_units(&self) -> bool {
        !self.units.is_empty()
    }
}

/// The unit that a file makes or changes: `…/systemd/system/a.service`, `…/a.service.d/x.conf`.
fn unit_of(path: &str) -> Option<&str> {
    // One search for what is nearly never there, where three would be made.
    if !path.contains("/systemd/") {
        return None;
    }
    let (_, below) = ["/systemd/system/", "/systemd/user/", "/systemd/transient/"]
        .iter()
        .find_map(|dir| path.split_once(dir))?;
    let first = below.split('/').next()?;
    let unit = first.strip_suffix(".d").filter(|_| below.contains('/')).unwrap_or(first);
    super::words::is_unit(unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32) -> TaskId {
        TaskId { pid, ..TaskId::default() }
    }

    fn file(path: &str, ino: u64) -> File {
        File { path: path.into(), flags: 0o1101, dev: (8, 1), ino, ..File::default() }
    }

    #[test]
    fn what_a_package_brings_is_told_and_not_followed() {
        let mut plants = Plants::default();
        plants.exec(task(1), &Exec { path: "/usr/bin/dpkg".into(), ..Exec::default() });
        plants.fork(task(1), task(2));
        plants.touched(Mark::new(5), task(2), FileOp::Create, &file("/usr/bin/bash.dpkg-new", 10));
        plants.touched(Mark::new(5), task(3), FileOp::Create, &file("/usr/local/bin/tool", 11));
        assert_eq!(plants.runs((8, 1), 10), Run::Told);
        assert_eq!(plants.runs((8, 1), 11), Run::Followed);
        plants.exec(task(2), &Exec { path: "/bin/sh".into(), ..Exec::default() });
        plants.touched(Mark::new(5), task(2), FileOp::Create, &file("/usr/local/bin/other", 12));
        assert_eq!(plants.runs((8, 1), 12), Run::Followed, "a shell of a package's script is a shell");
        let seen: Vec<_> = (0..200).map(|_| plants.runs((8, 1), 11)).collect();
        assert_eq!(
            seen.iter().filter(|run| **run == Run::Followed).count(),
            99,
            "what runs all the time is told"
        );
    }

    #[test]
    fn a_script_is_known_by_its_path_and_is_his_who_wrote_there_last() {
        let mut plants = Plants::default();
        let path = Bytes::from("/etc/cron.daily/x");
        let written = file("/etc/cron.daily/x", 10);
        plants.touched(Mark::new(5), task(3), FileOp::Open, &written);
        plants.touched(Mark::new(6), task(4), FileOp::Open, &written);
        plants.touched(Mark::new(5), task(3), FileOp::Open, &file("relative", 11));
        plants.touched(Mark::new(5), task(3), FileOp::Open, &file(&format!("/{}", "x".repeat(127)), 11));
        assert_eq!(plants.fresh(), HashMap::from([(path.clone(), Mark::new(6))]));
        assert_eq!(plants.runs_path(&path), Run::Followed);
        let other = Bytes::from("/etc/cron.daily/y");
        assert_eq!(plants.runs_path(&other), Run::Told, "nothing is known of it");
        plants.touched(
            Mark::new(5),
            task(3),
            FileOp::Rename,
            &File { to: Some(other.clone()), ..written.clone() },
        );
        assert_eq!(plants.fresh(), HashMap::from([(other.clone(), Mark::new(5))]));
        assert_eq!((0..101).filter(|_| plants.runs_path(&other) == Run::Followed).count(), 100);
        plants.touched(Mark::new(5), task(3), FileOp::Open, &written);
        assert_eq!(plants.fresh().len(), 1, "what is written again is told again");
    }

    #[test]
    fn a_unit_is_his_who_wrote_it() {
        let mut plants = Plants::default();
        for path in [
            "/etc/systemd/system/mine.service",
            "/run/systemd/system/ssh.service.d/x.conf",
            "/etc/systemd/system/t@.service",
        ] {
            plants.touched(Mark::new(5), task(3), FileOp::Create, &file(path, 1));
        }
        let of = |path| plants.writer_of(path).map(|(unit, _)| unit);
        assert_eq!(of("/system.slice/mine.service"), Some("mine.service"));
        assert_eq!(of("/system.slice/ssh.service"), Some("ssh.service"));
        assert_eq!(of("/system.slice/system-t.slice/t@7.service"), Some("t@.service"));
        assert_eq!(of("/system.slice/cron.service"), None);
        let mut none = Plants::default();
        none.touched(
            Mark::new(5),
            task(3),
            FileOp::Open,
            &File { flags: 0, ..file("/etc/systemd/system/a.service", 1) },
        );
        none.touched(Mark::new(5), task(3), FileOp::Create, &file("/etc/systemd/system/README", 1));
        assert!(!none.has_units());
    }
}
