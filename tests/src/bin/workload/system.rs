//! Mounts, namespaces and names of its own, a module that there is not, and sockets: each act told with what came of it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount,
        unmount,
    },
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
    system(&dir, &mut acts)?;
    super::tell(&json!({ "dir": dir.to_string_lossy(), "acts": acts }), args.truth.as_ref())?;
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

fn system(dir: &Path, acts: &mut Vec<Value>) -> Result<()> {
    #[expect(
        unsafe_code,
        reason = "unsharing descriptors would close some; this unshares mounts and names alone"
    )]
    // SAFETY: only the namespaces of mounts and of names.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS) }.context("unshare")?;
    acts.push(call("namespace", "unshare", 0, &[("flags", "CLONE_NEWNS|CLONE_NEWUTS")]));
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
