//! Names made other than by open, and changes of what a file is, each told with what came of it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::{chown, lchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{
        AtFlags, CWD, FallocateFlags, FileType, Mode, Timespec, Timestamps, XattrFlags, chmod, chmodat,
        fallocate, fchmod, fchown, fsetxattr, ftruncate, linkat, makedev, mknodat, removexattr, setxattr,
        utimensat,
    },
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{Gid, Uid},
    thread::{UnshareFlags, unshare_unsafe},
};
use serde_json::{Value, json};

/// A list with an entry for another user: version, then tag, rights and id of each (include/uapi/linux/posix_acl_xattr.h).
const ACL: &[u8] = b"\x02\0\0\0\
    \x01\0\x07\0\xff\xff\xff\xff\
    \x02\0\x04\0\x01\0\0\0\
    \x04\0\x05\0\xff\xff\xff\xff\
    \x10\0\x05\0\xff\xff\xff\xff\
    \x20\0\x05\0\xff\xff\xff\xff";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

/// What was done, in order.
#[derive(Default)]
struct Acts(Vec<Value>);

impl Acts {
    /// One act and its outcome as the kernel tells it: 0 or the negated errno.
    fn did(&mut self, kind: &str, path: &Path, done: rustix::io::Result<()>, more: impl Into<Value>) {
        let result = done.map_or_else(|errno: Errno| -errno.raw_os_error(), |()| 0);
        self.0.push(
            json!({ "kind": kind, "path": path.to_string_lossy(), "result": result, "more": more.into() }),
        );
    }
}

fn io(done: std::io::Result<()>) -> rustix::io::Result<()> {
    done.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    let mut acts = Acts::default();
    everywhere(&dir, &mut acts)?;
    // On a file system of its own, seen by nobody else: the mount point is a part of the path.
    #[expect(unsafe_code, reason = "unsharing descriptors would close some; this unshares mounts alone")]
    // SAFETY: only the mount namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("private mounts")?;
    let inner = dir.join("mounted");
    fs::create_dir(&inner)?;
    mount("walk", &inner, "tmpfs", MountFlags::empty(), None).context("tmpfs")?;
    everywhere(&inner, &mut acts)?;
    let has_overlay = overlay(&inner, &mut acts)?;
    let truth = json!({ "dir": dir.to_string_lossy(), "acts": acts.0, "overlay": has_overlay });
    super::tell(&truth, args.truth.as_ref())?;
    Ok(())
}

/// A file system on another one: what it does below is its own work.
fn overlay(dir: &Path, acts: &mut Acts) -> Result<bool> {
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| dir.join(name));
    for part in [&lower, &upper, &work, &merged] {
        fs::create_dir(part)?;
    }
    fs::write(lower.join("below"), "of the lower layer")?;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options = std::ffi::CString::new(options)?;
    if let Err(error) = mount("overlay", &merged, "overlay", MountFlags::empty(), Some(options.as_c_str())) {
        // Not every kernel has it.
        return if error == Errno::NODEV { Ok(false) } else { Err(error).context("overlay") };
    }
    everywhere(&merged, acts)?;
    let below = merged.join("below");
    acts.did("chmod", &below, chmod(&below, Mode::from_raw_mode(0o640)), json!({ "set": { "mode": 0o640 } }));
    Ok(true)
}

/// Each kind of change once, by path and where there is a way by descriptor.
fn everywhere(dir: &Path, acts: &mut Acts) -> Result<()> {
    let at = |name: &str| dir.join(name);
    let made = at("made");
    acts.did("mkdir", &made, io(fs::create_dir(&made)), json!({}));
    let file = at("file");
    fs::write(&file, [b'x'; 8192])?;
    let open = File::options().write(true).read(true).open(&file)?;

    let hard = at("hard");
    let linked = linkat(CWD, &file, CWD, &hard, AtFlags::empty());
    acts.did("link", &file, linked, json!({ "to": hard.to_string_lossy() }));
    let soft = at("soft");
    acts.did("symlink", &soft, io(symlink("../no/where", &soft)), json!({ "to": "../no/where" }));
    let (fifo, null) = (at("fifo"), at("null"));
    let rights = Mode::from_raw_mode(0o600);
    acts.did("mknod", &fifo, mknodat(CWD, &fifo, FileType::Fifo, rights, 0), json!({ "device": "0:0" }));
    let node = mknodat(CWD, &null, FileType::CharacterDevice, rights, makedev(1, 3));
    acts.did("mknod", &null, node, json!({ "device": "1:3" }));

    let mode = |bits| Mode::from_raw_mode(bits);
    acts.did("chmod", &file, chmod(&file, mode(0o4755)), json!({ "set": { "mode": 0o4755 } }));
    acts.did("chmod", &file, fchmod(&open, mode(0o600)), json!({ "set": { "mode": 0o600 } }));
    acts.did(
        "chmod",
        &hard,
        chmodat(CWD, &hard, mode(0o644), AtFlags::empty()),
        json!({ "set": { "mode": 0o644 } }),
    );
    acts.did("chown", &file, io(chown(&file, Some(1), Some(2))), json!({ "set": { "uid": 1, "gid": 2 } }));
    acts.did("chown", &soft, io(lchown(&soft, Some(3), None)), json!({ "set": { "uid": 3, "gid": null } }));
    let owner = fchown(&open, None::<Uid>, Some(Gid::from_raw(4)));
    acts.did("chown", &file, owner, json!({ "set": { "uid": null, "gid": 4 } }));
    let time = |tv_sec| Timespec { tv_sec, tv_nsec: 5 };
    let times = Timestamps { last_access: time(1_000_000_000), last_modification: time(1_100_000_000) };
    let set = utimensat(CWD, &file, &times, AtFlags::empty());
    let told = json!({ "set": { "atime": "2001-09-09T01:46:40.000000005Z", "mtime": "2004-11-09T11:33:20.000000005Z" } });
    acts.did("utimes", &file, set, told);
    acts.did("truncate", &file, ftruncate(&open, 4096), json!({ "set": { "size": 4096 } }));
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let more =
        json!({ "flags": ["FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE"], "offset": 1024, "len": 2048 });
    acts.did("fallocate", &file, fallocate(&open, punch, 1024, 2048), more);

    // "aGVsbG8=" is "hello".
    let value = json!({ "name": "trusted.walk", "value": "aGVsbG8=" });
    let set = setxattr(&file, "trusted.walk", b"hello", XattrFlags::empty());
    acts.did("xattr", &file, set, value.clone());
    acts.did("xattr", &file, fsetxattr(&open, "trusted.walk", b"hello", XattrFlags::empty()), value);
    let gone = removexattr(&file, OsStr::new("trusted.walk"));
    acts.did("xattr", &file, gone, json!({ "name": "trusted.walk", "value": null }));
    let list = setxattr(&file, "system.posix_acl_access", ACL, XattrFlags::empty());
    let told = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, ACL);
    acts.did("xattr", &file, list, json!({ "name": "system.posix_acl_access", "value": told }));
    acts.did("unlink", &hard, io(fs::remove_file(&hard)), json!({}));
    acts.did("unlink", &made, io(fs::remove_dir(&made)), json!({}));
    Ok(())
}
