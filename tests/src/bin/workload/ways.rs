//! Files reached, written and copied in other ways than open and write by a name.

use std::{
    ffi::{CString, c_void},
    fs::{self, File},
    io::{Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, copy_file_range, ioctl_ficlone, linkat, makedev, mknodat,
        openat, sendfile,
    },
    mm::{MapFlags, ProtFlags, mmap},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketType,
        connect, recvmsg, socket,
    },
    pipe::{SpliceFlags, pipe, splice},
};
use serde_json::{Value, json};

use crate::uring::Ring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// Write to a mapping of a closed file for a second time when this file is there
    #[arg(long)]
    gate: PathBuf,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Older {
    /// Somebody hands a descriptor over here
    #[arg(long)]
    socket: PathBuf,
    /// A file of one's own
    #[arg(long)]
    own: PathBuf,
}

/// What was done: the kinds of records that stand for it.
#[derive(Default)]
struct Acts(Vec<Value>);

impl Acts {
    fn did(&mut self, way: &str, kind: &str, path: &Path, more: Value) {
        let mut file = json!({ "path": path.to_string_lossy(), "result": 0 });
        if let (Some(file), Value::Object(more)) = (file.as_object_mut(), more) {
            file.extend(more);
        }
        self.0.push(json!({ "way": way, "kind": kind, "file": file }));
    }
}

fn text(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    let mut acts = Acts::default();
    ring(&dir, &mut acts)?;
    handle(&dir, &mut acts).context("a handle")?;
    again(&dir, &mut acts)?;
    nameless(&dir, &mut acts).context("a file without a name")?;
    copies(&dir, &mut acts)?;
    device(&dir, &mut acts)?;
    let mapped = dir.join("mapped");
    let mapping = map(&mapped, &mut acts)?;
    put(mapping, b"first");
    super::tell(&json!({ "dir": dir.to_string_lossy(), "acts": acts.0 }), Some(&args.truth))?;
    super::contents::hold(&args.gate)?;
    put(mapping, b"again");
    Ok(())
}

/// D1.
fn ring(dir: &Path, acts: &mut Acts) -> Result<()> {
    let ring = Ring::new()?;
    let [made, moved, gone] = ["ring-made", "ring-moved", "ring-gone"].map(|name| dir.join(name));
    fs::write(&gone, "x")?;
    let fd = ring.open(&text(&made)?, libc::O_CREAT | libc::O_WRONLY)?;
    ensure!(fd >= 0, "open through a ring: {fd}");
    acts.did("ring", "create", &made, json!({}));
    ensure!(ring.write(fd, b"through a ring")? == 14, "write through a ring");
    ensure!(ring.rename(&text(&made)?, &text(&moved)?)? == 0, "rename through a ring");
    acts.did("ring", "rename", &made, json!({ "to": moved.to_string_lossy() }));
    ensure!(ring.unlink(&text(&gone)?)? == 0, "unlink through a ring");
    acts.did("ring", "unlink", &gone, json!({}));
    let read = ring.open(&text(&moved)?, libc::O_RDONLY)?;
    ensure!(read >= 0, "open for reading through a ring: {read}");
    acts.did("ring", "open", &moved, json!({ "ino": fs::metadata(&moved)?.ino() }));
    Ok(())
}

/// `struct file_handle` with all the room that there may be.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    content: [u8; 128],
}

/// D2: by a handle, which is no name.
fn handle(dir: &Path, acts: &mut Acts) -> Result<()> {
    let path = dir.join("handle");
    fs::write(&path, "found by a number")?;
    let mut handle = Handle { bytes: 128, kind: 0, content: [0; 128] };
    let (name, mut mount): (_, libc::c_int) = (text(&path)?, 0);
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: a name that ends, and room for all that is said to be there.
    let got = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            name.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    let ino = fs::metadata(&path)?.ino();
    if got != 0 {
        let error = std::io::Error::last_os_error();
        // The first file system of a machine without disks has no handles.
        ensure!(error.raw_os_error() == Some(libc::EOPNOTSUPP), "name_to_handle_at: {error}");
        return Ok(());
    }
    let root = File::open(dir)?;
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: the handle that the kernel gave.
    let fd = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, root.as_raw_fd(), &raw mut handle, libc::O_RDWR)
    };
    ensure!(fd >= 0, "open_by_handle_at: {}", std::io::Error::last_os_error());
    acts.did("handle", "open", &path, json!({ "ino": ino, "flags": ["O_RDWR", "O_LARGEFILE"] }));
    own(fd)?.write_all(b"FOUND")?;
    // One that leads nowhere.
    handle.content = [0xff; 128];
    #[expect(unsafe_code, reason = "no safe interface")]
    // SAFETY: as above.
    let fd = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, root.as_raw_fd(), &raw mut handle, libc::O_RDWR)
    };
    ensure!(fd < 0, "a handle of nothing leads somewhere");
    let result = -std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    acts.did("stale", "open", dir, json!({ "result": result }));
    Ok(())
}

fn own(fd: libc::c_long) -> Result<File> {
    #[expect(unsafe_code, reason = "the descriptor was just made")]
    // SAFETY: nobody else has it.
    Ok(unsafe { File::from_raw_fd(RawFd::try_from(fd)?) })
}

/// D2, D5: what a descriptor leads to, opened anew.
fn again(dir: &Path, acts: &mut Acts) -> Result<()> {
    let path = dir.join("again");
    fs::write(&path, "x")?;
    let there = openat(CWD, &path, OFlags::PATH, Mode::empty())?;
    let mut file = File::options().write(true).open(format!("/proc/self/fd/{}", there.as_raw_fd()))?;
    file.write_all(b"by its descriptor")?;
    acts.did("descriptor", "open", &path, json!({ "ino": file.metadata()?.ino() }));
    Ok(())
}

/// D2: made without a name, and given one later.
fn nameless(dir: &Path, acts: &mut Acts) -> Result<()> {
    let path = dir.join("named");
    let file = openat(CWD, dir, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(file);
    file.write_all(b"had no name")?;
    let through = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, &through, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
    acts.0.push(json!({ "way": "named", "kind": "link", "ino": file.metadata()?.ino(), "file": { "to": path.to_string_lossy(), "result": 0 } }));
    Ok(())
}

/// D3: a shared mapping that outlives its descriptor.
fn map(path: &Path, acts: &mut Acts) -> Result<*mut c_void> {
    fs::write(path, [0; 4096])?;
    let file = File::options().read(true).write(true).open(path)?;
    acts.did("mapped", "open", path, json!({ "ino": file.metadata()?.ino() }));
    #[expect(unsafe_code, reason = "memory that is a file")]
    // SAFETY: a new mapping, wherever there is room.
    let at = unsafe {
        mmap(std::ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
    };
    Ok(at?)
}

fn put(mapping: *mut c_void, bytes: &[u8; 5]) {
    #[expect(unsafe_code, reason = "memory that is a file")]
    // SAFETY: a page that was mapped for writing and is never given back.
    unsafe {
        mapping.cast::<[u8; 5]>().write_volatile(*bytes);
    };
}

/// D4: content that the kernel moves from file to file.
fn copies(dir: &Path, acts: &mut Acts) -> Result<()> {
    let from = dir.join("source");
    fs::write(&from, b"what is copied".repeat(100))?;
    let mut source = File::open(&from)?;
    acts.did("copied", "open", &from, json!({ "ino": source.metadata()?.ino() }));
    for way in ["ranged", "sent", "spliced", "cloned"] {
        let path = dir.join(way);
        let to = File::create_new(&path)?;
        source.rewind()?;
        match way {
            "ranged" => ensure!(copy_file_range(&source, None, &to, None, 1400)? == 1400, "copy_file_range"),
            "sent" => ensure!(sendfile(&to, &source, None, 1400)? == 1400, "sendfile"),
            "spliced" => {
                let (out, into) = pipe()?;
                ensure!(splice(&source, None, &into, None, 1400, SpliceFlags::empty())? == 1400, "splice");
                ensure!(splice(&out, None, &to, None, 1400, SpliceFlags::empty())? == 1400, "splice out");
            }
            // Few file systems can; it is asked for all the same.
            _ => match ioctl_ficlone(&to, &source) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::XDEV) => {}
                Err(error) => return Err(error).context("FICLONE"),
            },
        }
        acts.did("copied", "create", &path, json!({ "ino": to.metadata()?.ino() }));
    }
    Ok(())
}

/// D8: a block device by a node of one's own.
fn device(dir: &Path, acts: &mut Acts) -> Result<()> {
    let node = dir.join("node");
    mknodat(CWD, &node, FileType::BlockDevice, Mode::from_raw_mode(0o600), makedev(7, 0))?;
    acts.did("node", "mknod", &node, json!({ "device": "7:0" }));
    // What it stands for may not be there; that it was asked for counts.
    let result = match File::open(&node) {
        Ok(_) => 0,
        Err(error) => -error.raw_os_error().unwrap_or(0),
    };
    acts.did("node", "open", &node, json!({ "result": result }));
    Ok(())
}

/// D10: writes to descriptors that others opened: the standard output that it was started with, and one that is handed over.
pub(crate) fn older(args: &Older) -> Result<()> {
    let handed = receive(&args.socket)?;
    let mut own = File::create(&args.own)?;
    let (mut out, mut handed) = (std::io::stdout(), File::from(handed));
    for n in 0..3 {
        let all: [&mut dyn Write; 3] = [&mut out, &mut handed, &mut own];
        for file in all {
            writeln!(file, "line {n}")?;
            file.flush()?;
        }
    }
    Ok(())
}

fn receive(path: &Path) -> Result<OwnedFd> {
    let from = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    connect(&from, &SocketAddrUnix::new(path)?)?;
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0u8; 1];
    recvmsg(
        from.as_fd(),
        &mut [std::io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let handed = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    handed.context("no descriptor came")
}
