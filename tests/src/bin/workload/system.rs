//! Mounts, namespaces and names of its own, a module that there is not, and sockets: each act told with what came of it.

use std::{
    fs,
    io::{IoSlice, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount,
        unmount,
    },
    net::{SendAncillaryBuffer, SendFlags, sendmsg_addr},
    process::chroot,
    system::sethostname,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    let mut acts = Vec::new();
    sockets(&dir, &mut acts)?;
    let sends = datagrams()?;
    system(&dir, &mut acts)?;
    super::tell(&json!({ "dir": dir.to_string_lossy(), "acts": acts, "sends": sends }), args.truth.as_ref())?;
    Ok(())
}

fn call(kind: &str, name: &str, result: i64, args: &[(&str, &str)]) -> Value {
    let args: Vec<_> = args.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "kind": kind, "call": { "name": name, "args": args, "result": result } })
}

fn socket(kind: &str, family: &str, local: Option<&str>, remote: Option<&str>, result: i32) -> Value {
    let told =
        json!({ "family": family, "type": "stream", "local": local, "remote": remote, "result": result });
    json!({ "kind": kind, "socket": told })
}

fn sockets(dir: &Path, acts: &mut Vec<Value>) -> Result<()> {
    for (family, any) in [("inet", "127.0.0.1:0"), ("inet6", "[::1]:0")] {
        let Ok(listener) = TcpListener::bind(any) else { continue };
        let here = listener.local_addr()?.to_string();
        acts.push(socket("bind", family, Some(&here), None, 0));
        acts.push(socket("listen", family, Some(&here), None, 0));
        let stream = TcpStream::connect(&here)?;
        let there = stream.local_addr()?.to_string();
        acts.push(socket("connect", family, Some(&there), Some(&here), 0));
        let (accepted, _) = listener.accept()?;
        acts.push(socket("accept", family, Some(&here), Some(&there), 0));
        drop((stream, accepted, listener));
        let refused = TcpStream::connect(&here).err().and_then(|error| error.raw_os_error());
        let refused = refused.context("nobody listens there any more")?;
        acts.push(
            json!({ "kind": "connect", "socket": { "family": family, "remote": here, "result": -refused } }),
        );
    }
    let path = dir.join("socket");
    let named = path.to_string_lossy();
    let listener = UnixListener::bind(&path)?;
    acts.push(socket("bind", "unix", Some(&named), None, 0));
    drop(UnixStream::connect(&path)?);
    acts.push(socket("connect", "unix", None, Some(&named), 0));
    drop(listener);
    let name = format!("walk-{}", std::process::id());
    let abstracted = SocketAddr::from_abstract_name(&name)?;
    let listener = UnixListener::bind_addr(&abstracted)?;
    acts.push(socket("bind", "unix", Some(&format!("@{name}")), None, 0));
    drop(listener);
    Ok(())
}

/// What is sent to whom without a connection, and how often.
fn datagrams() -> Result<Vec<Value>> {
    let mut sends = Vec::new();
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(from) = UdpSocket::bind(any) else { continue };
        let (one, other, friend) = (UdpSocket::bind(any)?, UdpSocket::bind(any)?, UdpSocket::bind(any)?);
        let mut told = |to: &UdpSocket, count: u32, bytes: u32| -> Result<()> {
            let (local, remote) = (from.local_addr()?.to_string(), to.local_addr()?.to_string());
            sends.push(json!({ "local": local, "remote": remote, "count": count, "bytes": bytes }));
            Ok(())
        };
        let (to_one, to_other) = (one.local_addr()?, other.local_addr()?);
        for _ in 0..200 {
            from.send_to(&[b'x'; 10], to_one)?;
        }
        told(&one, 200, 2000)?;
        for _ in 0..3 {
            sendmsg_addr(
                &from,
                &to_other,
                &[IoSlice::new(b"ab"), IoSlice::new(b"c")],
                &mut SendAncillaryBuffer::default(),
                SendFlags::empty(),
            )?;
        }
        told(&other, 3, 9)?;
        // To whom this goes the connection says.
        from.connect(friend.local_addr()?)?;
        from.send(b"connected")?;
    }
    Ok(sends)
}

fn system(dir: &Path, acts: &mut Vec<Value>) -> Result<()> {
    #[expect(
        unsafe_code,
        reason = "unsharing descriptors would close some; this unshares mounts and names alone"
    )]
    // SAFETY: only the namespaces of mounts and of names.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS) }.context("unshare")?;
    acts.push(call("namespace", "unshare", 0, &[("flags", "CLONE_NEWNS|CLONE_NEWUTS")]));
    // A name of its own namespace.
    let setting = "/proc/sys/kernel/domainname";
    fs::write(setting, "walk.example\n").context("a setting")?;
    let set = |value: &str, bytes: usize| json!({ "kind": "setting", "setting": { "path": setting, "value": value, "bytes": bytes } });
    acts.push(set("walk.example\n", 13));
    // As the stdio of another library writes: in two parts. And more than is kept.
    let parts = [IoSlice::new(b"talk."), IoSlice::new(b"example\n")];
    let mut file = fs::OpenOptions::new().write(true).open(setting)?;
    ensure!(file.write_vectored(&parts)? == 13, "a setting in two parts");
    drop(file);
    acts.push(set("talk.example\n", 13));
    let long = format!("x.{}", " ".repeat(298));
    fs::write(setting, &long).context("a long setting")?;
    acts.push(set(long.get(..255).context("it is long")?, 300));
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("private mounts")?;
    acts.push(call("mount", "mount", 0, &[("target", "/"), ("flags", "MS_REC|MS_PRIVATE")]));
    sethostname(b"walk").context("sethostname")?;
    acts.push(call("kernel", "sethostname", 0, &[("name", "walk")]));

    let (old, new) = (dir.join("old way"), dir.join("new way"));
    for at in [&old, &new] {
        fs::create_dir_all(at)?;
    }
    mount("walk", &old, "tmpfs", MountFlags::NOEXEC | MountFlags::NODEV, None).context("mount")?;
    let target = old.to_string_lossy();
    let args = [("source", "walk"), ("target", &*target), ("type", "tmpfs"), ("flags", "MS_NODEV|MS_NOEXEC")];
    acts.push(call("mount", "mount", 0, &args));
    unmount(&old, UnmountFlags::DETACH).context("umount")?;
    acts.push(call("umount", "umount", 0, &[("target", &*target), ("flags", "MNT_DETACH")]));
    let again = unmount(&old, UnmountFlags::empty()).err().context("it is mounted no more")?;
    let result = -i64::from(again.raw_os_error());
    acts.push(call("umount", "umount", result, &[("target", &*target), ("flags", "0x0")]));

    let context = fsopen("tmpfs", FsOpenFlags::empty()).context("fsopen")?;
    acts.push(json!({ "kind": "mount", "call": { "name": "fsopen", "args": [{ "name": "type", "value": "tmpfs" }] } }));
    fsconfig_set_string(context.as_fd(), "source", "walk2").context("fsconfig")?;
    let set = [("command", "SET_STRING"), ("key", "source"), ("value", "walk2")];
    acts.push(call("mount", "fsconfig", 0, &set));
    fsconfig_create(context.as_fd()).context("fsconfig")?;
    acts.push(call("mount", "fsconfig", 0, &[("command", "CMD_CREATE")]));
    let tree = fsmount(context.as_fd(), FsMountFlags::empty(), MountAttrFlags::empty()).context("fsmount")?;
    acts.push(json!({ "kind": "mount", "call": { "name": "fsmount", "args": [] } }));
    move_mount(tree.as_fd(), "", CWD, &new, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context("move_mount")?;
    let target = new.to_string_lossy();
    acts.push(json!({ "kind": "mount", "call": { "name": "move_mount", "result": 0 }, "target": target }));

    let own = fs::File::open("/proc/self/ns/uts")?;
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::HostNameAndNISDomainName))
        .context("setns")?;
    acts.push(json!({ "kind": "namespace", "call": { "name": "setns", "result": 0 } }));
    chroot("/").context("chroot")?;
    acts.push(call("mount", "chroot", 0, &[("root", "/")]));
    Ok(())
}
