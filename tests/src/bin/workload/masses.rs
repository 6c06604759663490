//! Names of every form, and acts in masses, each counted by itself.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};
use serde_json::{Value, json};

/// Files that are read again and again.
const FILES: u64 = 10;
/// Longer than PATH_MAX in the end.
const DEEP: usize = 5000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// How many opens for reading
    #[arg(long)]
    opens: u64,
    /// How many files are made, changed and removed
    #[arg(long)]
    files: u64,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    // On a file system of its own, seen by nobody else.
    #[expect(unsafe_code, reason = "unsharing descriptors would close some; this unshares mounts alone")]
    // SAFETY: only the mount namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("private mounts")?;
    let inner = dir.join("mounted");
    fs::create_dir(&inner)?;
    mount("masses", &inner, "tmpfs", MountFlags::empty(), None).context("tmpfs")?;

    let mut names = Vec::new();
    for place in [&dir, &inner] {
        for name in [&b"caf\xe9-\xff"[..], b"two\nlines", b"\x1b[2J", &[b'n'; 255]] {
            names.push(make(&place.join(OsStr::from_bytes(name)))?);
        }
        let thirty: PathBuf = (0..30).map(|n| format!("component-{n}")).collect();
        fs::create_dir_all(place.join(&thirty))?;
        names.push(make(&place.join(&thirty).join("thirty"))?);
    }
    let deep = deep(&dir)?;
    nowhere(&dir)?;

    let read = reads(&dir, args.opens)?;
    let (made, removed) = many(&dir, args.files)?;
    let truth = json!({
        "dir": dir.to_string_lossy(), "names": names, "deep": deep, "read": read, "made": made, "removed": removed,
    });
    super::tell(&truth, Some(&args.truth))?;
    Ok(())
}

/// A file, by its exact path.
fn make(path: &Path) -> Result<Value> {
    let file = File::create_new(path).with_context(|| format!("{}", path.display()))?;
    Ok(json!({ "path": STANDARD.encode(path.as_os_str().as_bytes()), "ino": file.metadata()?.ino() }))
}

/// A path that no call takes; the inode number of what lies there.
fn deep(dir: &Path) -> Result<u64> {
    let (part, mut len) = ("d".repeat(200), dir.as_os_str().len());
    env::set_current_dir(dir)?;
    while len < DEEP {
        fs::create_dir(&part)?;
        env::set_current_dir(&part)?;
        len += part.len() + 1;
    }
    let ino = File::create_new("deepest")?.metadata()?.ino();
    env::set_current_dir(dir)?;
    Ok(ino)
}

/// From a working directory that is gone.
fn nowhere(dir: &Path) -> Result<()> {
    let gone = dir.join("gone");
    fs::create_dir(&gone)?;
    env::set_current_dir(&gone)?;
    fs::remove_dir(&gone)?;
    ensure!(File::create("orphan").is_err(), "a file was made in a directory that is gone");
    make(&dir.join("from-nowhere"))?;
    env::set_current_dir(dir)?;
    Ok(())
}

/// So many opens for reading, of few files; how many of each.
fn reads(dir: &Path, opens: u64) -> Result<Vec<Value>> {
    let paths: Vec<_> = (0..FILES).map(|n| dir.join(format!("read-{n}"))).collect();
    for path in &paths {
        fs::write(path, "x")?;
    }
    let mut told: Vec<_> = paths.into_iter().map(|path| (path, 0u64)).collect();
    let mut left = opens;
    while left > 0 {
        for (path, count) in told.iter_mut().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            File::open(path)?;
            *count += 1;
            left -= 1;
        }
    }
    Ok(told.iter().map(|(path, count)| json!({ "path": path.to_string_lossy(), "count": count })).collect())
}

/// As tar does, and then as rm does.
fn many(dir: &Path, files: u64) -> Result<(u64, u64)> {
    let tree = dir.join("tree");
    let mut made = 0;
    for n in 0..files {
        let part = tree.join((n % 10).to_string());
        if n < 10 {
            fs::create_dir_all(&part)?;
        }
        let path = part.join(format!("file-{n}"));
        OpenOptions::new().write(true).create_new(true).open(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
        made += 1;
    }
    let status = Command::new("rm").arg("-rf").arg(&tree).stdin(Stdio::null()).status()?;
    ensure!(status.success() && !tree.exists(), "rm ended with {status}");
    // The directory, its ten parts, and all that was in them.
    Ok((made, made + 11.min(made + 1)))
}
