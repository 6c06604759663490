//! Files looked at from beside: never followed at the end of a path, never waited for, never opened for reading if they are no regular
//! files of a file system that stores them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::model::RealNanos;

/// File systems that make up what is read, or wait for it (magic.h): proc, sysfs, debugfs, tracefs, cgroup, cgroup2, bpf, securityfs,
/// pstore, efivarfs, devpts, mqueue, selinuxfs, fuse control, autofs.
const MADE_UP: &[i64] = &[
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x7363_6673,
    0x6165_676c,
    0xde5e_81e4,
    0x1cd1,
    0x1980_0202,
    0xf97c_ff8c,
    0x6573_5543,
    0x0187,
];

/// A process's root, the host's root or any other directory, to resolve paths in.
pub fn root(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What lies at a path below that root, links within it resolved there, the last one not followed. Nothing is read or waited for.
pub fn at(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The kernel's own links (/proc/self/fd/3, /proc/self/root) would lead to what is this process's.
    let ways = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), ways)?)
}

/// What a process executes, whatever its name is by now.
pub fn image(pid: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/exe"), flags, Mode::empty())?)
}

/// What it is.
pub fn stat(file: impl AsFd) -> io::Result<Stat> {
    Ok(rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?)
}

/// A device number as major and minor.
pub fn device(dev: u64) -> (u32, u32) {
    (rustix::fs::major(dev), rustix::fs::minor(dev))
}

/// A point of time of a file system; before 1970: 1970.
pub fn time(seconds: i64, nanos: u64) -> RealNanos {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    RealNanos::new(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// True for a regular file of a file system that stores what is read from it.
pub fn is_stored(file: impl AsFd, stat: &Stat) -> bool {
    let kind = FileType::from_raw_mode(stat.st_mode);
    kind == FileType::RegularFile && rustix::fs::fstatfs(file).is_ok_and(|of| !MADE_UP.contains(&of.f_type))
}

/// True if it is a link of a file system that makes its links up: where they lead depends on who asks, and that is this process.
pub fn is_made_up(link: impl AsFd) -> bool {
    rustix::fs::fstatfs(link).map_or(true, |of| MADE_UP.contains(&of.f_type))
}

/// A link's target.
pub fn target(link: impl AsFd) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes())
}

/// The same file, for reading.
pub fn reopened(file: &OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    // Without a trace in the file's times, where the file system lets us.
    rustix::fs::openat(CWD, path.as_str(), flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| rustix::fs::openat(CWD, path.as_str(), flags, Mode::empty()))
        .map_err(Into::into)
}

/// Reads at a place.
pub fn read_at(file: impl AsFd, at: u64, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::pread(file, into, at)?)
}

/// True if the file gives capabilities to who executes it.
pub fn gives_capabilities(file: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    let mut value = [0u8; 64];
    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    rustix::fs::getxattr(path.as_str(), "security.capability", &mut value[..]).is_ok_and(|len| len > 0)
}

/// From here on the calling thread has descriptors of its own, and none of the process's but the standard three: where it waits for a
/// file system for ever, also when the process is ended, it keeps nothing else open.
///
/// # Errors
/// The kernel's; the thread then shares them as before.
pub fn own_descriptors() -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: only this thread's table changes, and no pointer is passed.
    let own = unsafe { libc::unshare(libc::CLONE_FILES) };
    if own != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "no safe interface: copies of what others of this process own are closed")]
    // SAFETY: the table is this thread's alone, the thread owns nothing in it yet, and no pointer is passed.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
    }
    Ok(())
}

/// A thread that gives way to all others.
pub fn give_way() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_descriptors_of_its_own_closes_nobody_elses() {
        use std::os::fd::AsRawFd;
        let kept = std::fs::File::open("/").unwrap();
        let no = kept.as_raw_fd();
        let there = move || rustix::fs::readlink(format!("/proc/thread-self/fd/{no}"), Vec::new()).is_ok();
        let seen = std::thread::spawn(move || {
            own_descriptors().unwrap();
            there()
        });
        assert!(!seen.join().unwrap());
        assert!(there());
    }

    #[test]
    fn the_end_of_a_path_is_not_followed_and_the_rest_stays_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("in/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/in", dir.path().join("way")).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("in/link")).unwrap();
        let root = root(dir.path().to_str().unwrap()).unwrap();
        let link = at(&root, b"/way/link").unwrap();
        assert_eq!(target(&link).unwrap(), b"file");
        let file = at(&root, b"/../way/file").unwrap();
        let stat = stat(&file).unwrap();
        assert!(is_stored(&file, &stat));
        let mut into = [0; 4];
        assert_eq!(read_at(reopened(&file).unwrap(), 0, &mut into).unwrap(), 1);
        std::os::unix::fs::symlink("/proc/self/fd", dir.path().join("own")).unwrap();
        let own = format!("{}/own/{}", dir.path().display(), std::os::fd::AsRawFd::as_raw_fd(&file));
        assert!(
            is_made_up(at(super::root("/").unwrap(), own.as_bytes()).unwrap()),
            "descriptors of this process"
        );
        assert!(at(super::root("/").unwrap(), b"/proc/self/root/etc").is_err(), "nor through its links");
        assert!(!is_made_up(&link));
        let proc = at(super::root("/").unwrap(), b"/proc/self/status").unwrap();
        assert!(!is_stored(&proc, &super::stat(&proc).unwrap()), "procfs makes its content up");
    }
}
