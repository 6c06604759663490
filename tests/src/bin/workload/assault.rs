//! Tries what is done to blind or end a recorder, each way once and one of them often; writes down what came of each.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{Mode, XattrFlags},
    process::{Pid, Resource, Signal, getrlimit, kill_process, prlimit},
};
use serde_json::{Map, Value};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The recorder's process
    #[arg(long)]
    pid: u32,
    /// A segment of its journal
    #[arg(long)]
    segment: PathBuf,
    /// A directory of one's own on the same file system
    #[arg(long)]
    scratch: PathBuf,
    /// How often its nice value is set
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Also what would end the recorder or tear its journal if nobody refused it
    #[arg(long)]
    whole: bool,
    /// Where to write the truth
    #[arg(long)]
    truth: PathBuf,
}

/// 0, or the error's number.
fn came(result: io::Result<()>) -> Value {
    Value::from(result.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)))
}

fn write_to(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(bytes)
}

/// Opened for writing, and nothing written.
fn open_to_write(path: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(args.pid)?).context("no pid")?;
    let raw = pid.as_raw_nonzero().get();
    let dir = args.segment.parent().context("a segment without a directory")?;
    let mut out = Map::new();
    let mut tell = |name: &str, result: io::Result<()>| drop(out.insert(name.to_owned(), came(result)));
    tell("stop", kill_process(pid, Signal::STOP).map_err(Into::into));
    tell("cont", kill_process(pid, Signal::CONT).map_err(Into::into));
    tell(
        "limit",
        prlimit(Some(pid), Resource::Core, getrlimit(Resource::Core)).map(drop).map_err(Into::into),
    );
    let mut set = Ok(());
    for _ in 0..args.times {
        set = nice(raw);
    }
    tell("nice", set);
    tell("trace", seize(raw));
    tell("async", by_descriptor(pid));
    tell("mem", open_to_write(&format!("/proc/{raw}/mem")));
    tell("thread-oom", open_to_write(&format!("/proc/{}/oom_score_adj", thread(raw)?)));
    tell("map", map(raw));
    tell("link", fs::hard_link(&args.segment, args.scratch.join("link")));
    tell("create", File::create_new(dir.join("planted")).map(drop));
    tell("mkdir", fs::create_dir(dir.join("planted.d")));
    tell("flags", flags(&args.segment));
    tell("lock", lock(&args.segment));
    tell("watch", watch(&args.segment));
    let name = "trusted.assault";
    tell("xattr", rustix::fs::setxattr(&args.segment, name, b"x", XattrFlags::empty()).map_err(Into::into));
    if args.whole {
        tell("kill", kill_process(pid, Signal::KILL).map_err(Into::into));
        tell("term", kill_process(pid, Signal::TERM).map_err(Into::into));
        tell("ftrace", write_to(Path::new("/proc/sys/kernel/ftrace_enabled"), b"0\n"));
        tell("append", write_to(&args.segment, b"x"));
        tell("truncate", truncate(&args.segment));
        tell("chmod", rustix::fs::chmod(&args.segment, Mode::empty()).map_err(Into::into));
        tell("move", fs::rename(&args.segment, args.scratch.join("moved")));
        tell("remove", fs::remove_file(&args.segment));
        let above = dir.parent().and_then(Path::parent).context("a journal without a directory above")?;
        tell("above", fs::rename(above, above.with_extension("moved")));
        tell("lease", lease(&args.segment));
        tell("cover", cover(dir));
        tell("cover-by-handle", cover_by_handle(&args.scratch, dir));
        tell("pivot", rustix::process::pivot_root(&args.scratch, dir).map_err(Into::into));
    } else {
        tell("ftrace", open_to_write("/proc/sys/kernel/ftrace_enabled"));
        tell("append", write_to(&args.segment, b""));
        let planted = dir.join("planted");
        tell("truncate", truncate(&planted));
        tell("chmod", rustix::fs::chmod(&planted, Mode::RUSR).map_err(Into::into));
        tell("move", fs::rename(&planted, dir.join("moved")));
        tell("remove", fs::remove_file(dir.join("moved")));
        fs::remove_dir(dir.join("planted.d"))?;
        fs::remove_file(args.scratch.join("link"))?;
        rustix::fs::removexattr(&args.segment, name)?;
    }
    super::tell(&Value::Object(out), Some(&args.truth))?;
    Ok(())
}

/// Another thread than the first one.
fn thread(pid: i32) -> Result<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let mut names = tasks.map(|task| task.file_name().to_string_lossy().into_owned());
    names.find(|name| *name != pid.to_string()).context("no second thread")
}

fn last() -> io::Error {
    io::Error::last_os_error()
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(last()) }
}

fn nice(pid: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: numbers only.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid.cast_unsigned(), 0) })
}

fn seize(pid: i32) -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: no memory of this process is involved.
    done(i32::try_from(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) }).unwrap_or(-1))
}

/// Something comes, of which a descriptor's owner is told by a signal: he is not the one who made him that.
fn by_descriptor(pid: Pid) -> io::Result<()> {
    let (mut from, to) = std::os::unix::net::UnixStream::pair()?;
    let set = |command: libc::c_int, value: libc::c_int| {
        #[expect(unsafe_code, reason = "no safe interface")]
        // SAFETY: numbers only.
        done(unsafe { libc::fcntl(to.as_raw_fd(), command, value) })
    };
    set(libc::F_SETOWN, pid.as_raw_nonzero().get())?;
    // F_SETSIG, which libc has no name for.
    set(10, libc::SIGWINCH)?;
    set(libc::F_SETFL, libc::O_ASYNC)?;
    from.write_all(b"x")
}

fn truncate(path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: a string with its end.
    done(unsafe { libc::truncate(path.as_ptr(), 0) })
}

/// `chattr +i` where the file system has it.
fn flags(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let none: libc::c_int = 0;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: FS_IOC_SETFLAGS reads one number.
    done(unsafe { libc::ioctl(file.as_raw_fd(), 0x4008_6602, &raw const none) })
}

fn cover(dir: &Path) -> io::Result<()> {
    let flags = rustix::mount::MountFlags::empty();
    Ok(rustix::mount::mount("none", dir, "tmpfs", flags, None::<&std::ffi::CStr>)?)
}

/// Nothing but that lock keeps two recorders apart; it is let go at once.
fn lock(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    Ok(rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared)?)
}

fn lease(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: numbers only.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })
}

/// Who opens it would wait for this process to agree; it goes at once.
fn watch(path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: numbers only; the descriptor is this function's.
    let group = unsafe { libc::fanotify_init(libc::FAN_CLASS_CONTENT, 0) };
    done(group.min(0))?;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: a string with its end.
    let marked = done(unsafe {
        libc::fanotify_mark(group, libc::FAN_MARK_ADD, libc::FAN_OPEN_PERM, libc::AT_FDCWD, path.as_ptr())
    });
    #[expect(unsafe_code, reason = "it was opened above")]
    // SAFETY: nobody else has it.
    let _ = unsafe { libc::close(group) };
    marked
}

/// The same by the newer calls.
fn cover_by_handle(with: &Path, dir: &Path) -> io::Result<()> {
    use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
    let tree = open_tree(rustix::fs::CWD, with, OpenTreeFlags::OPEN_TREE_CLONE)?;
    Ok(move_mount(&tree, "", rustix::fs::CWD, dir, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// A descriptor for writing of a map that the recorder has.
fn map(pid: i32) -> io::Result<()> {
    let mut id = None;
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        id = id.or(text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse::<u32>().ok()));
    }
    let id = id.ok_or_else(|| io::Error::other("it has no map"))?;
    // union bpf_attr: map_id, next_id, open_flags.
    let attr = [id, 0, 0];
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: BPF_MAP_GET_FD_BY_ID reads twelve bytes.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 14, attr.as_ptr(), size_of_val(&attr)) };
    if fd < 0 { Err(last()) } else { Ok(()) }
}
