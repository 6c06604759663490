//! Marks what already runs when the recorder starts: after the hooks are attached, pass after pass until one adds
//! nothing, because what runs can fork while we look.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use aya::maps::Map;
use recorder_common::{MarkFlag, TaskMark};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    model::{Act, Bytes, Caps, Captured, Elevated, Flags, Ids, KernelEvent, Lived, Mark, Task, TaskId, Via},
    sys::{
        bpf, clock,
        process::{self, Process},
    },
};

/// Marks of seeded sessions have the top bit, so that they never meet the kernel's own.
const SEEDED: u64 = 1 << 63;
/// Programs that carry a login uid as root without being anybody's work. One that is missing here costs a seeded session
/// after a restart of the service; a session that looks like one of these would have been seen to exec it.
const LOGIN_DAEMONS: &[&[u8]] = &[
    b"sshd",
    b"sshd-session",
    b"sshd-auth",
    b"login",
    b"cron",
    b"crond",
    b"atd",
    b"gdm-session-worker",
    b"lightdm",
    b"sddm-helper",
    b"systemd",
    b"systemd-executor",
];
/// A safety net: what forks faster than this is left to its parents' marks.
const PASSES: usize = 20;

/// What was found running.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seeded {
    /// Members of elevated sessions, parents before children.
    pub members: Vec<Captured>,
    /// Processes of people who are not elevated.
    pub people: usize,
    /// Processes that could not be marked.
    pub failed: usize,
    /// What is left of sessions of an earlier run, by its marks.
    pub lived: Vec<(Mark, Lived)>,
}

/// Marks every process of a person, and those that an earlier run knew; returns those of elevated sessions.
pub(super) fn run(tasks: &Map, lived: &[Lived]) -> Seeded {
    let mut seeded = Seeded::default();
    let Map::Unsupported(data) = tasks else { return seeded };
    let fd = data.fd().as_fd();
    let mut marks: HashMap<TaskId, u64> = HashMap::new();
    let mut next = SEEDED | clock::boot().get();
    let known = by_task(lived);
    let mut groups: HashMap<Mark, u64> = HashMap::new();
    let mut told = HashSet::new();
    for _ in 0..PASSES {
        let all = everybody();
        let mut added = 0;
        for process in in_tree_order(&all) {
            if marks.contains_key(&process.id) {
                continue;
            }
            let parent = all.get(&process.ppid).and_then(|p| marks.get(&p.id)).copied();
            let judged = match known.get(&process.id) {
                Some(session) => {
                    let mark = groups.entry(session.mark).or_insert_with(|| {
                        next += 1;
                        seeded.lived.push((Mark::new(next), (*session).clone()));
                        next
                    });
                    Some(*mark)
                }
                None => judge(process, parent, &mut next),
            };
            let Some(mark) = judged else { continue };
            if is_marked(fd, process.id.pid) {
                continue;
            }
            let lived = seeded.lived.iter().find(|(of, _)| of.get() == mark);
            let handed = lived.and_then(|(_, lived)| lived.handed());
            // What was there before the gate is not judged by it; what outlives its grant is (docs/grants.md).
            let flags = match (mark, &handed) {
                (0, _) => 0,
                (_, None) => MarkFlag::ADMITTED,
                (_, Some(_)) => MarkFlag::ADMITTED | MarkFlag::BRANCH,
            };
            let value = TaskMark { mark, flags, creds: creds(process) };
            let Ok(bytes) = <[u8; 64]>::read_from_bytes(value.as_bytes()) else { continue };
            if bpf::set_task_mark(fd, process.id.pid, &bytes).is_err() {
                seeded.failed += usize::from(process::is_alive(process.id));
                continue;
            }
            marks.insert(process.id, mark);
            added += 1;
            if mark == 0 {
                seeded.people += 1;
            } else {
                // What it came of is said before the first of its tasks.
                if let Some(handed) = handed.filter(|_| told.insert(mark)) {
                    seeded.members.push(event(process, mark, Act::Handed(Box::new(handed))));
                }
                seeded.members.push(member(process, mark));
            }
        }
        if added == 0 {
            break;
        }
    }
    seeded
}

/// Gives a process of nobody's and what descends from it a mark of their own, but for what the kernel side has marked already;
/// parents before children. Empty if it is gone or somebody's.
pub(super) fn adopt(tasks: &Map, pid: u32) -> Option<(Mark, Vec<TaskId>)> {
    let Map::Unsupported(data) = tasks else { return None };
    let fd = data.fd().as_fd();
    let mark = SEEDED | clock::boot().get();
    let mut adopted: Vec<TaskId> = Vec::new();
    for _ in 0..PASSES {
        let all: HashMap<u32, Process> = everybody();
        let before = adopted.len();
        for process in in_tree_order(&all) {
            let parent = all.get(&process.ppid).map(|parent| parent.id);
            let is_his = process.id.pid == pid || parent.is_some_and(|parent| adopted.contains(&parent));
            if !is_his || adopted.contains(&process.id) || is_marked(fd, process.id.pid) {
                continue;
            }
            let flags = MarkFlag::BRANCH | MarkFlag::ADMITTED;
            let value = TaskMark { mark, flags, creds: creds(process) };
            let Ok(bytes) = <[u8; 64]>::read_from_bytes(value.as_bytes()) else { continue };
            if bpf::set_task_mark(fd, process.id.pid, &bytes).is_ok() {
                adopted.push(process.id);
            }
        }
        if adopted.len() == before {
            break;
        }
    }
    (!adopted.is_empty()).then(|| (Mark::new(mark), adopted))
}

/// Which session of an earlier run a task was of. /proc tells starts in ticks.
fn by_task(lived: &[Lived]) -> HashMap<TaskId, &Lived> {
    let tasks = lived.iter().flat_map(|lived| lived.tasks.iter().map(move |task| (*task, lived)));
    tasks.map(|(task, lived)| (process::in_ticks(task), lived)).collect()
}

fn everybody() -> HashMap<u32, Process> {
    let all = process::pids().unwrap_or_default();
    all.into_iter().filter_map(process::read).map(|p| (p.id.pid, p)).collect()
}

/// The kernel may have marked it meanwhile, by fork or exec: its word counts.
fn is_marked(tasks: BorrowedFd<'_>, pid: u32) -> bool {
    bpf::open_process(pid).is_ok_and(|p| matches!(bpf::task_mark(tasks, p.as_fd()), Ok(Some(_))))
}

/// The mark a process gets: its parent's session, a new one if it is elevated, 0 if it is a person's and not elevated.
fn judge(process: &Process, parent: Option<u64>, next: &mut u64) -> Option<u64> {
    if process.loginuid == u32::MAX {
        return parent;
    }
    let [uid, euid, ..] = process.uids;
    let elevated = euid == 0 || process.cap_effective != 0;
    let person = if parent.is_some() {
        true
    } else if uid == process.loginuid {
        uid != 0 || process.leads
    } else {
        // Somebody's login uid and other rights, and nobody of his above it: what is left of an elevated session whose
        // login shell is gone. What logs people in looks the same: sshd's monitor carries the login uid and runs as root.
        // One that is just ending has no program any more, only its name.
        let name = if process.program.is_empty() { &process.comm } else { &process.program };
        elevated && !LOGIN_DAEMONS.contains(&name.as_slice())
    };
    if !person {
        return None;
    }
    match parent {
        Some(session) if session != 0 => Some(session),
        _ if elevated => {
            *next += 1;
            Some(*next)
        }
        _ => Some(0),
    }
}

/// Parents before children; cycles (there are none in a sane /proc) are left out.
fn in_tree_order(all: &HashMap<u32, Process>) -> Vec<&Process> {
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    for p in all.values() {
        children.entry(p.ppid).or_default().push(p);
    }
    let mut seen = HashSet::new();
    let mut queue: Vec<&Process> = all.values().filter(|p| !all.contains_key(&p.ppid)).collect();
    let mut out = Vec::with_capacity(all.len());
    while let Some(p) = queue.pop() {
        if seen.insert(p.id.pid) {
            out.push(p);
            queue.extend(children.get(&p.id.pid).into_iter().flatten());
        }
    }
    out
}

fn creds(p: &Process) -> recorder_common::Creds {
    let [uid, euid, suid, fsuid] = p.uids;
    let [gid, egid, sgid, fsgid] = p.gids;
    recorder_common::Creds {
        uid,
        gid,
        suid,
        sgid,
        euid,
        egid,
        fsuid,
        fsgid,
        cap_permitted: p.cap_permitted,
        cap_effective: p.cap_effective,
    }
}

fn member(p: &Process, mark: u64) -> Captured {
    let [uid, euid, suid, fsuid] = p.uids;
    let [gid, egid, ..] = p.gids;
    let ids = Ids { uid, euid, suid, fsuid, gid, egid };
    let act = Act::Seeded(Elevated {
        old: ids,
        new: ids,
        caps: Caps { effective: p.cap_effective, permitted: p.cap_permitted },
        audit_session: p.audit_session,
        via: Via::Seeded.code(),
    });
    event(p, mark, act)
}

fn event(p: &Process, mark: u64, act: Act) -> Captured {
    Captured::Event(Box::new(found(p, Mark::new(mark), act)))
}

/// What is known of a process that was found running, as an event of its own.
fn found(p: &Process, mark: Mark, act: Act) -> KernelEvent {
    KernelEvent {
        boot_ns: clock::boot(),
        cpu: u16::MAX,
        mark,
        flags: Flags::SEEDED,
        task: Arc::new(task_of(p)),
        place: crate::model::Place::default(),
        act,
    }
}

/// A process that was found running, as the task of a record.
pub fn task_of(p: &Process) -> Task {
    let [uid, euid, ..] = p.uids;
    let (comm, auid) = (Bytes::new(p.comm.clone()), p.loginuid);
    Task { id: p.id, tid: p.id.pid, ppid: p.ppid, comm, auid, uid, euid }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, ppid: u32, loginuid: u32, uid: u32, euid: u32, leads: bool) -> Process {
        Process {
            id: TaskId { pid, start: crate::model::BootNanos::new(u64::from(pid)) },
            ppid,
            loginuid,
            audit_session: 1,
            uids: [uid, euid, euid, euid],
            gids: [uid; 4],
            cap_effective: 0,
            cap_permitted: 0,
            comm: b"x".to_vec(),
            program: b"bash".to_vec(),
            tty: 0,
            leads,
        }
    }

    #[test]
    fn the_login_daemon_is_nobody_and_root_logins_are_elevated() {
        let mut next = SEEDED;
        assert_eq!(judge(&process(1, 0, u32::MAX, 0, 0, true), None, &mut next), None);
        let monitor = Process { program: b"sshd".to_vec(), ..process(2, 1, 1001, 0, 0, false) };
        assert_eq!(judge(&monitor, None, &mut next), None);
        let ending = Process { program: Vec::new(), comm: b"sshd".to_vec(), ..monitor };
        assert_eq!(judge(&ending, None, &mut next), None);
        assert_eq!(judge(&process(3, 2, 1001, 1001, 1001, false), None, &mut next), Some(0));
        assert_eq!(judge(&process(4, 3, 1001, 1001, 0, false), Some(0), &mut next), Some(SEEDED + 1));
        assert_eq!(judge(&process(5, 4, 1001, 0, 0, false), Some(SEEDED + 1), &mut next), Some(SEEDED + 1));
        assert_eq!(judge(&process(6, 1, 0, 0, 0, false), None, &mut next), None);
        assert_eq!(judge(&process(7, 6, 0, 0, 0, true), None, &mut next), Some(SEEDED + 2));
        // His login shell is gone, and nobody but the login uid tells whose work it is.
        assert_eq!(judge(&process(9, 1, 1001, 0, 0, true), None, &mut next), Some(SEEDED + 3));
        // Root rewrote the login uid: the lineage holds.
        assert_eq!(
            judge(&process(8, 4, u32::MAX, 0, 0, false), Some(SEEDED + 1), &mut next),
            Some(SEEDED + 1)
        );
    }

    #[test]
    fn parents_come_first() {
        let all: HashMap<u32, Process> =
            [(3, 2), (2, 1), (1, 0), (9, 3)].map(|(p, pp)| (p, process(p, pp, 1, 1, 1, false))).into();
        let order: Vec<u32> = in_tree_order(&all).iter().map(|p| p.id.pid).collect();
        assert_eq!(order, [1, 2, 3, 9]);
    }
}
