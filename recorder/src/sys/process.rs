//! What /proc says about processes, and about this host.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

use crate::model::{BootId, BootNanos, TaskId};

/// One process as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Identity. The start is rounded down to a clock tick (10 ms): /proc has no more.
    pub id: TaskId,
    /// Parent.
    pub ppid: u32,
    /// Audit login uid; `u32::MAX` if unset.
    pub loginuid: u32,
    /// Audit session id.
    pub audit_session: u32,
    /// Real, effective, saved, file-system user id.
    pub uids: [u32; 4],
    /// Real, effective, saved, file-system group id.
    pub gids: [u32; 4],
    /// Effective capabilities.
    pub cap_effective: u64,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Name.
    pub comm: Vec<u8>,
    /// File name of the program, without its directories; empty for kernel threads.
    pub program: Vec<u8>,
    /// Controlling terminal as the kernel encodes it; 0 for none.
    pub tty: u32,
    /// True if it leads a session (setsid), or runs what was started as a login shell (`-bash`).
    pub leads: bool,
}

/// Ticks of /proc's start times: USER_HZ is 100 on every architecture that has BPF.
const NANOS_PER_TICK: u64 = 10_000_000;

/// What was read to begin with and is not needed any more goes back to the system.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: it takes no pointer and may be called at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// All process ids.
pub fn pids() -> io::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Audit's ids of sessions that a process is in.
pub fn audit_sessions() -> HashSet<u32> {
    let of = |pid| fs::read_to_string(format!("/proc/{pid}/sessionid")).ok()?.trim().parse().ok();
    pids().unwrap_or_default().into_iter().filter_map(of).filter(|session| *session != u32::MAX).collect()
}

/// Reads one process; `None` if it is gone or unreadable.
pub fn read(pid: u32) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read(dir.join("stat")).ok()?;
    let status = fs::read_to_string(dir.join("status")).ok()?;
    let number = |name: &str| fs::read_to_string(dir.join(name)).ok().and_then(|t| t.trim().parse().ok());
    let Stat { comm, start, tty, sid, .. } = parse_stat(&stat)?;
    let mut process = Process {
        id: TaskId { pid, start: BootNanos::new(start.saturating_mul(NANOS_PER_TICK)) },
        ppid: 0,
        loginuid: number("loginuid").unwrap_or(u32::MAX),
        audit_session: number("sessionid").unwrap_or(u32::MAX),
        uids: [0; 4],
        gids: [0; 4],
        cap_effective: 0,
        cap_permitted: 0,
        comm,
        program: program(pid),
        tty,
        leads: sid == pid || fs::read(dir.join("cmdline")).is_ok_and(|words| words.starts_with(b"-")),
    };
    for line in status.lines() {
        let (key, value) = line.split_once(':')?;
        match key {
            "PPid" => process.ppid = value.trim().parse().ok()?,
            "Uid" => process.uids = four(value)?,
            "Gid" => process.gids = four(value)?,
            "CapEff" => process.cap_effective = u64::from_str_radix(value.trim(), 16).ok()?,
            "CapPrm" => process.cap_permitted = u64::from_str_radix(value.trim(), 16).ok()?,
            _ => {}
        }
    }
    Some(process)
}

/// The last part of what /proc/PID/exe names; a removed file is called by its old name.
fn program(pid: u32) -> Vec<u8> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    name.strip_suffix(b" (deleted)").map(<[u8]>::to_vec).unwrap_or(name)
}

fn four(value: &str) -> Option<[u32; 4]> {
    let numbers: Vec<u32> = value.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    numbers.try_into().ok()
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: Vec<u8>,
    ppid: u32,
    /// In ticks since boot.
    start: u64,
    tty: u32,
    sid: u32,
}

/// The name may hold spaces and parentheses: the last one ends it.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let open = stat.iter().position(|b| *b == b'(')?;
    let close = stat.iter().rposition(|b| *b == b')')?;
    let comm = stat.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(stat.get(close + 2..)?).ok()?;
    let mut fields = rest.split(' ');
    // Counted from 0 behind the name: 1 = ppid, 3 = session, 4 = tty_nr, 19 = starttime (proc(5) fields 4, 6, 7 and 22).
    let ppid = fields.nth(1)?.parse().ok()?;
    let sid = fields.nth(1)?.parse().ok()?;
    let tty: i32 = fields.next()?.parse().ok()?;
    let start = fields.nth(14)?.parse().ok()?;
    Some(Stat { comm, ppid, start, tty: tty.cast_unsigned(), sid })
}

/// Inode number of a process's namespace (`mnt`, `pid`, `user`, …).
pub fn namespace(pid: u32, name: &str) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    u32::try_from(fs::metadata(format!("/proc/{pid}/ns/{name}")).ok()?.ino()).ok()
}

/// The path of a process's cgroup in the default hierarchy.
pub fn cgroup(pid: u32) -> Option<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    text.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"0::")).map(<[u8]>::to_vec)
}

/// True if the process with that identity still runs (zombies do not); start times compare at tick precision.
pub fn is_alive(id: TaskId) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{}/stat", id.pid)) else { return false };
    let Some(Stat { start, .. }) = parse_stat(&stat) else { return false };
    start == id.start.get() / NANOS_PER_TICK && !is_zombie(&stat)
}

/// The same task with its start as [`read`] tells it.
pub const fn in_ticks(id: TaskId) -> TaskId {
    TaskId { pid: id.pid, start: BootNanos::new(id.start.get() / NANOS_PER_TICK * NANOS_PER_TICK) }
}

/// That process, its parent, the parent's parent and so on, with starts rounded to ticks; empty if it is gone. A start of 0 stands
/// for whoever has the number now.
pub fn above(task: TaskId) -> Vec<TaskId> {
    // Deeper ones are none that people make.
    const DEEPEST: usize = 1024;
    let mut above = Vec::new();
    let mut pid = task.pid;
    while pid != 0 && above.len() < DEEPEST {
        let Some(stat) = fs::read(format!("/proc/{pid}/stat")).ok().filter(|stat| !is_zombie(stat)) else {
            break;
        };
        let Some(Stat { ppid, start, .. }) = parse_stat(&stat) else { break };
        if above.is_empty() && task.start.get() != 0 && start != task.start.get() / NANOS_PER_TICK {
            break;
        }
        above.push(TaskId { pid, start: BootNanos::new(start.saturating_mul(NANOS_PER_TICK)) });
        pid = ppid;
    }
    above
}

/// Where a process stands in job control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Itself, with its start rounded down to a tick.
    pub id: TaskId,
    /// Who waits for it.
    pub parent: u32,
    /// Its session of job control (setsid(2)).
    pub sid: u32,
    /// Audit login uid.
    pub loginuid: u32,
    /// Stopped by a signal.
    pub is_stopped: bool,
}

impl Job {
    /// Whose job control it is under.
    pub const fn owner(&self) -> (u32, u32) {
        (self.sid, self.loginuid)
    }

    /// Somebody logged in stands behind it.
    pub const fn is_of_a_person(&self) -> bool {
        self.loginuid != u32::MAX
    }
}

/// Of a process that runs.
pub fn job(pid: u32) -> Option<Job> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // A kernel without audit knows nobody's; so does one where the file was never set.
    let loginuid = fs::read_to_string(format!("/proc/{pid}/loginuid"));
    let loginuid = loginuid.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u32::MAX);
    let Stat { ppid: parent, start, sid, .. } = parse_stat(&stat).filter(|_| !is_zombie(&stat))?;
    let id = TaskId { pid, start: BootNanos::new(start.saturating_mul(NANOS_PER_TICK)) };
    Some(Job { id, parent, sid, loginuid, is_stopped: state_of(&stat) == Some(b'T') })
}

/// Somebody traces it: a debugger is told of each of its signals.
pub fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// True if a process of that number exists and is no zombie.
pub fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| !is_zombie(&stat))
}

fn state_of(stat: &[u8]) -> Option<u8> {
    let close = stat.iter().rposition(|b| *b == b')')?;
    stat.get(close + 2).copied()
}

fn is_zombie(stat: &[u8]) -> bool {
    state_of(stat).is_some_and(|state| matches!(state, b'Z' | b'X'))
}

/// Whether this thread of ours waits in the kernel for something that is not ours: a device, a file system, whoever reads a socket. Not
/// so a lock, a channel, a nap, its own work; `None` where the kernel does not tell.
pub fn waits_elsewhere(thread: u32) -> Option<bool> {
    let told = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    // `running`; -1: in a page fault, which waits for a device; else the number of the call that it is in.
    let call: i64 = match told.split_whitespace().next()? {
        "running" => return Some(false),
        number => number.parse().ok()?,
    };
    let own = [libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_restart_syscall];
    Some(!own.contains(&call))
}

/// The value of a variable in a process's initial environment, at most 256 bytes of it.
pub fn environment(pid: u32, name: &str) -> Option<Vec<u8>> {
    let all = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{name}=");
    all.split(|b| *b == 0)
        .find_map(|v| v.strip_prefix(prefix.as_bytes()))
        .map(|v| v.get(..256).unwrap_or(v).to_vec())
}

/// The name of a user id in /etc/passwd (no name service: the daemon must not block on a network).
pub fn user_name(uid: u32) -> Option<Vec<u8>> {
    let table = fs::read("/etc/passwd").ok()?;
    let wanted = uid.to_string();
    table.split(|b| *b == b'\n').find_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted.as_bytes()).then(|| name.to_vec())
    })
}

/// The id of a user in /etc/passwd.
pub fn user_id(name: &str) -> Option<u32> {
    users().get(name.as_bytes()).copied()
}

/// The users of /etc/passwd; of two lines with one name the first counts.
pub fn users() -> HashMap<Vec<u8>, u32> {
    let table = fs::read("/etc/passwd").unwrap_or_default();
    let mut users = HashMap::new();
    for line in table.split(|b| *b == b'\n') {
        let mut fields = line.split(|b| *b == b':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1))
            && let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok())
        {
            users.entry(name.to_vec()).or_insert(id);
        }
    }
    users
}

/// This boot's id.
pub fn boot_id() -> io::Result<BootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    BootId::from_hex(text.trim())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "boot_id is no UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_for_others_is_told_from_one_that_waits_for_itself() {
        use std::{
            io::Read as _,
            sync::{
                atomic::{AtomicBool, Ordering},
                mpsc,
            },
            thread,
            time::{Duration, Instant},
        };
        static ENDS: AtomicBool = AtomicBool::new(false);
        // Each tells its number, then does the same for ever, until what it was given goes.
        let of = |work: Box<dyn FnOnce() + Send>| {
            let (tell, told) = mpsc::channel();
            let thread = thread::spawn(move || {
                tell.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
                work();
            });
            (thread, told.recv().unwrap())
        };
        let becomes = |thread: u32, wanted: bool| {
            let end = Instant::now() + Duration::from_secs(20);
            while waits_elsewhere(thread) != Some(wanted) {
                assert!(Instant::now() < end, "{:?}", waits_elsewhere(thread));
                thread::yield_now();
            }
        };
        let (reader, writer) = io::pipe().unwrap();
        let (kept, channel) = mpsc::channel::<()>();
        let threads = [
            (of(Box::new(move || drop({ reader }.read(&mut [0])))), true),
            (
                of(Box::new(move || {
                    let _ = channel.recv();
                })),
                false,
            ),
            (
                of(Box::new(|| {
                    while !ENDS.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })),
                false,
            ),
        ];
        for ((_, thread), wanted) in &threads {
            becomes(*thread, *wanted);
        }
        drop((writer, kept));
        ENDS.store(true, Ordering::Relaxed);
        for ((thread, _), _) in threads {
            thread.join().unwrap();
        }
        assert_eq!(waits_elsewhere(0), None);
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = b"12 (a) b (c) S 1 12 12 34816 12 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 1 1";
        assert_eq!(
            parse_stat(stat),
            Some(Stat { comm: b"a) b (c".to_vec(), ppid: 1, start: 777, tty: 34816, sid: 12 })
        );
        assert_eq!(parse_stat(b"12 (a"), None);
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!((user_id("root"), user_name(0).as_deref()), (Some(0), Some(b"root".as_slice())));
        assert_eq!(user_id("roo"), None);
    }

    #[test]
    fn the_test_itself_is_found() {
        let me = read(std::process::id()).unwrap();
        assert_eq!(me.id.pid, std::process::id());
        assert!(is_alive(me.id));
        let above = above(me.id);
        assert_eq!((above[0], above[1].pid), (me.id, me.ppid));
        assert_eq!(super::above(TaskId { start: BootNanos::default(), ..me.id }), above);
        assert_eq!(
            super::above(TaskId { start: BootNanos::new(NANOS_PER_TICK), ..me.id }),
            [],
            "another one"
        );
        assert!(pids().unwrap().contains(&me.id.pid));
    }

    #[test]
    fn users_have_names_and_ids() {
        assert_eq!((user_id("root"), user_name(0).as_deref()), (Some(0), Some(b"root".as_slice())));
        assert_eq!((user_id(""), user_id("ro")), (None, None));
    }
}
