//! Bytes from the rings into words. Nothing here trusts a length.

use std::{collections::HashMap, sync::Arc, time::Instant};

use recorder_common::{
    ArgvPart, CapEvent, CapUse, CgroupEvent, CredEvent, Creds, EventHeader, ExecEvent, ExitEvent, Flag,
    ForkEvent, Kind, MarkEvent, PassedEvent, RefusedEvent,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{arguments::Arguments, attempts, change, folds, handed, sends, system, terminal};
use crate::model::{
    Act, ArgvExtent, BootNanos, Bytes, Caps, Elevated, EnforcementAct, Exec, Exit, Flags, Ids, KernelEvent,
    Mark, Passed, Place, Task, TaskId,
};

/// Bytes that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Shorter than its own lengths say.
    #[error("an event is cut")]
    Cut,
    /// A kind this version doesn't know.
    #[error("an event of unknown kind {0}")]
    Kind(u16),
}

/// Tasks kept for sharing; beyond that the cache starts anew.
const CACHED_TASKS: usize = 16 * 1024;
/// Turns events into words, shares task descriptions, puts long arguments together.
pub(super) struct Decoder {
    tasks: HashMap<u32, ([u8; TASK_BYTES], Arc<Task>)>,
    arguments: Arguments,
}

/// The header's bytes that describe the task: `start_ns` to `ppid`, and `comm`.
const TASK_BYTES: usize = 48;

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn get<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, DecodeError> {
        let (value, rest) = T::read_from_prefix(self.0).map_err(|_| DecodeError::Cut)?;
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Cut)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Cut)?;
        self.0 = rest;
        Ok(head)
    }
}

/// Reads the header alone.
pub(super) fn header(raw: &[u8]) -> Result<EventHeader, DecodeError> {
    Reader(raw).get()
}

impl Decoder {
    /// For a kernel side that sends so many parts of arguments.
    pub(super) fn new(parts: u32) -> Self {
        Self { tasks: HashMap::new(), arguments: Arguments::new(parts) }
    }

    /// Decodes one event. `None` for canaries, argument parts and execs that wait for theirs.
    pub(super) fn decode(&mut self, raw: &[u8]) -> Result<Option<KernelEvent>, DecodeError> {
        let mut r = Reader(raw);
        let head: EventHeader = r.get()?;
        let mut flags = flags(head.flags);
        let act = match head.kind {
            Kind::CANARY => return Ok(None),
            Kind::ARGV => {
                let part: ArgvPart = r.get()?;
                return Ok(self.arguments.part(head.pid, part, r.take(part.len)?));
            }
            Kind::MARK => mark(&r.get()?),
            Kind::EXEC => return self.exec(&head, &mut r),
            Kind::FORK => {
                let e: ForkEvent = r.get()?;
                Act::Fork(TaskId { pid: e.child_pid, start: BootNanos::new(e.child_start_ns) })
            }
            Kind::REFUSED => {
                let e: RefusedEvent = r.get()?;
                let act = match e.how {
                    RefusedEvent::NOT_STARTED => EnforcementAct::Refused,
                    _ => EnforcementAct::Stopped,
                };
                Act::Refused { act, path: joined(r.take(e.path_len)?) }
            }
            Kind::BRANCH => handed::branch(&mut r)?,
            Kind::REQUEST => handed::request(&mut r)?,
            Kind::STDIN => handed::stdin(&mut r)?,
            Kind::CONTROL => handed::control(&mut r)?,
            Kind::CAPABILITY => {
                let e: CapEvent = r.get()?;
                let (pid, start_ns, at) = (head.pid, head.start_ns, head.boot_ns);
                let once = CapUse { count: 1, first_ns: at, last_ns: at, start_ns, pid, ..CapUse::default() };
                let mut used = super::caps::capability(&e.key, &once);
                if e.path_len > 0 {
                    used.program = joined(r.take(e.path_len)?);
                }
                Act::Capability(Box::new(used))
            }
            Kind::CGROUP => {
                let e: CgroupEvent = r.get()?;
                Act::Cgroup { id: e.id, path: joined(r.take(e.path_len)?) }
            }
            Kind::PASSED => passed(&r.get()?),
            Kind::SCRIPT => folds::script(&mut r)?,
            Kind::EXEC_FAILED => folds::failed(&head, &mut r)?,
            Kind::MAPPED => folds::mapped(&head, &mut r)?,
            Kind::EXIT => exit(r.get::<ExitEvent>()?.code),
            Kind::CRED => {
                let e: CredEvent = r.get()?;
                Act::Cred { old: creds(&e.old), new: creds(&e.new) }
            }
            Kind::OPEN..=Kind::MKNOD | Kind::WRITE => change::file(head.kind, head.flags, &mut r)?,
            // What is written to processes' own files says nothing of the system.
            Kind::SETTING => match change::setting(&mut r)? {
                Some((act, more)) => {
                    flags = flags.with(more);
                    act
                }
                None => return Ok(None),
            },
            Kind::SETATTR => change::setattr(head.flags, &mut r)?,
            Kind::SETXATTR => {
                let (act, more) = change::xattr(head.flags, &mut r)?;
                flags = flags.with(more);
                act
            }
            Kind::ALLOCATE => change::allocate(&mut r)?,
            Kind::CALL => system::call_of(&mut r)?,
            Kind::GUARD => attempts::first(head.boot_ns, &mut r)?,
            Kind::SENT => sends::first(head.boot_ns, &mut r)?,
            Kind::SOCKET => system::socket(&mut r)?,
            Kind::TTY_OUTPUT | Kind::TTY_INPUT | Kind::TTY_RESIZE => {
                terminal::tty(head.kind, head.flags, &mut r)?
            }
            Kind::STREAM => terminal::stream(&mut r)?,
            other => return Err(DecodeError::Kind(other)),
        };
        Ok(Some(self.event(&head, flags, act)))
    }

    fn event(&mut self, head: &EventHeader, flags: Flags, act: Act) -> KernelEvent {
        KernelEvent {
            boot_ns: BootNanos::new(head.boot_ns),
            cpu: head.cpu,
            mark: Mark::new(head.mark),
            flags,
            task: self.task(head),
            place: place(head),
            act,
        }
    }

    /// The task's description, shared as long as nothing in it changes.
    fn task(&mut self, head: &EventHeader) -> Arc<Task> {
        let mut key = [0; TASK_BYTES];
        let bytes = head.as_bytes();
        // start_ns, pid, tid, uid, euid, auid, ppid lie together; comm comes after the processor.
        let parts = bytes.get(32..64).into_iter().chain(bytes.get(72..88)).flatten();
        key.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        if let Some((known, task)) = self.tasks.get(&head.tid)
            && *known == key
        {
            return Arc::clone(task);
        }
        if self.tasks.len() >= CACHED_TASKS {
            self.tasks.clear();
        }
        let comm = head.comm.split(|b| *b == 0).next().unwrap_or_default();
        let task = Arc::new(Task {
            id: TaskId { pid: head.pid, start: BootNanos::new(head.start_ns) },
            tid: head.tid,
            ppid: head.ppid,
            comm: Bytes::from(comm),
            auid: head.auid,
            uid: head.uid,
            euid: head.euid,
        });
        self.tasks.insert(head.tid, (key, Arc::clone(&task)));
        task
    }

    fn exec(&mut self, head: &EventHeader, r: &mut Reader<'_>) -> Result<Option<KernelEvent>, DecodeError> {
        let e: ExecEvent = r.get()?;
        let path = joined(r.take(e.path_len)?);
        let cwd = joined(r.take(e.cwd_len)?);
        let argv = r.take(e.argv_len)?.to_vec();
        let extent = ArgvExtent { argc: e.argc, bytes: e.argv_total, kept: e.argv_total };
        let exec = Exec { path, argv: Vec::new(), cwd, dev: dev(e.dev), ino: e.ino, cut: None, extent };
        let event = self.event(head, flags(head.flags), Act::Exec(exec));
        Ok(self.arguments.of_exec((head.pid, head.boot_ns), event, argv, e.argv_total))
    }

    /// Sessions that an exec waits for the rest of its arguments in.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = Mark> + '_ {
        self.arguments.incomplete()
    }

    /// Execs that have waited long enough (all of them if `all`).
    pub(super) fn overdue(&mut self, now: Instant, all: bool) -> Vec<KernelEvent> {
        self.arguments.overdue(now, all)
    }
}

fn flags(kernel: u16) -> Flags {
    let map = [
        (Flag::TRUNCATED, Flags::TRUNCATED),
        (Flag::AS_PASSED, Flags::AS_PASSED),
        (Flag::MOUNT_UNKNOWN, Flags::MOUNT_UNKNOWN),
        (Flag::UNREADABLE, Flags::UNREADABLE),
        (Flag::DELETED, Flags::DELETED),
    ];
    map.into_iter().filter(|(bit, _)| kernel & bit != 0).fold(Flags::default(), |all, (_, f)| all.with(f))
}

/// Leaf-first names, each ended by a zero, into a path.
pub(super) fn joined(walked: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(walked.len() + 1);
    for name in walked.strip_suffix(&[0]).unwrap_or(walked).rsplit(|b| *b == 0).filter(|n| !n.is_empty()) {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    // An empty name above it: it hangs in no tree, and has a name of the kernel's instead of a path.
    if walked.ends_with(&[0, 0]) {
        out.remove(0);
    }
    Bytes::new(out)
}

/// A directory and what was passed below it. Dots are kept: resolving them would claim knowledge of links.
pub(super) fn below(directory: &[u8], name: &[u8]) -> Bytes {
    if name.starts_with(b"/") {
        return Bytes::from(name);
    }
    // What lies there itself: a descriptor and no name.
    if name.is_empty() {
        return joined(directory);
    }
    let mut out = joined(directory).as_slice().to_vec();
    if !out.ends_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(name);
    Bytes::new(out)
}

pub(super) fn dev(kernel: u32) -> (u32, u32) {
    (kernel >> 20, kernel & 0xf_ffff)
}

fn ids(c: &Creds) -> Ids {
    Ids { uid: c.uid, euid: c.euid, suid: c.suid, fsuid: c.fsuid, gid: c.gid, egid: c.egid }
}

fn creds(c: &Creds) -> (Ids, Caps) {
    (ids(c), Caps { effective: c.cap_effective, permitted: c.cap_permitted })
}

fn mark(e: &MarkEvent) -> Act {
    let (new, caps) = creds(&e.new);
    let via = u16::try_from(e.via).unwrap_or(u16::MAX);
    Act::Elevated(Elevated { old: ids(&e.old), new, caps, audit_session: e.audit_session, via })
}

fn exit(code: u32) -> Act {
    let [low, high, ..] = code.to_le_bytes();
    Act::Exit(Exit { code: high, signal: low & 0x7f, core: low >> 7 })
}

fn place(head: &EventHeader) -> Place {
    let recorder_common::Place { cgroup, mnt_ns, pid_ns, user_ns, cgroup_ns } = head.place;
    Place { cgroup, mnt_ns, pid_ns, user_ns, cgroup_ns }
}

/// Capabilities of the file are what gives rights where its mode gives none.
fn passed(e: &PassedEvent) -> Act {
    let how = match (e.mode & 0o4000, e.mode & 0o2010) {
        (0, 0o2010) => Passed::SETGID,
        (0, _) => Passed::FILE_CAPS,
        (_, 0o2010) => Passed::SETUID | Passed::SETGID,
        (_, _) => Passed::SETUID,
    };
    Act::Passed { dev: dev(e.dev), ino: e.ino, how, gained: e.gained != 0 }
}

#[cfg(test)]
mod tests {
    use recorder_common::FileEvent;

    use super::*;
    use crate::model::{Cut, CutField};

    fn event(kind: u16, payload: &[u8], tail: &[u8]) -> Vec<u8> {
        let head = EventHeader { kind, pid: 7, tid: 7, boot_ns: 5, ..EventHeader::default() };
        [head.as_bytes(), payload, tail].concat()
    }

    #[test]
    fn walked_names_turn_round() {
        assert_eq!(joined(b"c\0b\0a\0").as_slice(), b"/a/b/c");
        assert_eq!(joined(b"").as_slice(), b"/");
        // A file in memory is in no directory.
        assert_eq!(joined(b"memfd:x\0\0").as_slice(), b"memfd:x");
        assert_eq!(below(b"b\0a\0", b"../x").as_slice(), b"/a/b/../x");
        assert_eq!(below(b"b\0a\0", b"/x").as_slice(), b"/x");
        assert_eq!(below(b"", b"x").as_slice(), b"/x");
        assert_eq!(below(b"b\0a\0", b"").as_slice(), b"/a/b");
    }

    #[test]
    fn lengths_beyond_the_event_are_an_error() {
        let e = FileEvent { path_len: u32::MAX, ..FileEvent::default() };
        assert_eq!(Decoder::new(32).decode(&event(Kind::OPEN, e.as_bytes(), b"x\0")), Err(DecodeError::Cut));
        assert_eq!(Decoder::new(32).decode(&event(999, b"", b"")), Err(DecodeError::Kind(999)));
        for len in 0..size_of::<EventHeader>() {
            let raw = event(Kind::EXIT, ExitEvent::default().as_bytes(), b"");
            assert_eq!(Decoder::new(32).decode(raw.get(..len).unwrap()), Err(DecodeError::Cut));
        }
    }

    fn exec_of(event: Option<KernelEvent>) -> Exec {
        match event.unwrap().act {
            Act::Exec(e) => e,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn long_arguments_are_put_together_in_either_order() {
        let first: Vec<u8> = [b"x".repeat(1023), vec![0]].concat();
        let e = ExecEvent { argv_total: 1030, argv_len: 1024, ..ExecEvent::default() };
        let head = event(Kind::EXEC, e.as_bytes(), &first);
        let part = ArgvPart { exec_ns: 5, offset: 1024, len: 6 };
        let rest = event(Kind::ARGV, part.as_bytes(), b"a\0b\nc\0");
        for order in [[&head, &rest], [&rest, &head]] {
            let mut d = Decoder::new(32);
            assert_eq!(d.decode(order[0]), Ok(None));
            let exec = exec_of(d.decode(order[1]).unwrap());
            assert_eq!(exec.argv.len(), 3);
            assert_eq!(exec.argv[2].as_slice(), b"b\nc");
            assert_eq!(exec.cut, None);
        }
        let mut d = Decoder::new(32);
        assert_eq!(d.decode(&head), Ok(None));
        let late = d.overdue(Instant::now(), true);
        let exec = exec_of(late.into_iter().next());
        assert_eq!(exec.cut, Some(Cut { field: CutField::Argv, bytes: 1030, sha256: None, relay: None }));
    }

    #[test]
    fn empty_arguments_stay() {
        let e = ExecEvent { argv_total: 3, argv_len: 3, ..ExecEvent::default() };
        let exec = exec_of(Decoder::new(32).decode(&event(Kind::EXEC, e.as_bytes(), b"a\0\0")).unwrap());
        assert_eq!(exec.argv, [Bytes::from("a"), Bytes::from("")]);
        let none = ExecEvent::default();
        let exec = exec_of(Decoder::new(32).decode(&event(Kind::EXEC, none.as_bytes(), b"")).unwrap());
        assert_eq!(exec.argv, []);
    }

    #[test]
    fn exit_codes_are_taken_apart() {
        assert_eq!(exit(3 << 8), Act::Exit(Exit { code: 3, signal: 0, core: 0 }));
        assert_eq!(exit(9), Act::Exit(Exit { code: 0, signal: 9, core: 0 }));
        assert_eq!(exit(0x8b), Act::Exit(Exit { code: 0, signal: 11, core: 1 }));
    }

    #[test]
    fn rights_and_places_come_as_they_were_sent() {
        use recorder_common::{CapKey, Place as Raw};
        let mut d = Decoder::new(32);
        let key = CapKey { mark: 1, ino: 9, dev: 254 << 20 | 1, number: 13, granted: 0, inner: 1 };
        let e = CapEvent { key, path_len: 9, reserved: 0 };
        let got = d.decode(&event(Kind::CAPABILITY, e.as_bytes(), b"ping\0bin\0")).unwrap().unwrap();
        let Act::Capability(used) = got.act else { panic!("{got:?}") };
        assert_eq!((used.program.escaped(), used.dev, used.ino), ("/bin/ping".to_owned(), (254, 1), 9));
        assert_eq!((used.number, used.granted, used.inner, used.count), (13, 0, 1, 1));
        assert_eq!((used.by.pid, used.first), (7, BootNanos::new(5)));
        for (mode, how) in [
            (0o104_755, Passed::SETUID),
            (0o102_755, Passed::SETGID),
            (0o106_755, Passed::SETUID | Passed::SETGID),
            // Without the group's execute bit it is a lock.
            (0o102_745, Passed::FILE_CAPS),
            (0o100_755, Passed::FILE_CAPS),
        ] {
            let e = PassedEvent { mode, gained: 1, ..PassedEvent::default() };
            let got = d.decode(&event(Kind::PASSED, e.as_bytes(), b"")).unwrap().unwrap();
            assert_eq!(got.act, Act::Passed { dev: (0, 0), ino: 0, how, gained: true }, "{mode:o}");
        }
        let e = CgroupEvent { id: 77, path_len: 4, reserved: 0 };
        let mut raw = event(Kind::CGROUP, e.as_bytes(), b"b\0a\0");
        let place = Raw { cgroup: 77, mnt_ns: 1, pid_ns: 2, user_ns: 3, cgroup_ns: 4 };
        let at = size_of::<EventHeader>() - size_of::<Raw>();
        raw[at..at + size_of::<Raw>()].copy_from_slice(place.as_bytes());
        let got = d.decode(&raw).unwrap().unwrap();
        assert_eq!(got.act, Act::Cgroup { id: 77, path: Bytes::from("/a/b") });
        assert_eq!(got.place, Place { cgroup: 77, mnt_ns: 1, pid_ns: 2, user_ns: 3, cgroup_ns: 4 });
    }
}
