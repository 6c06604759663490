//! Programs without a name, and files changed in every way, for what is told of their content.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

/// Longer than any scenario: whoever forgets the gate leaves no process behind.
const LONGEST: Duration = Duration::from_mins(10);

#[derive(clap::Args)]
pub(crate) struct Hold {
    /// Stay until this file is there
    pub(crate) gate: PathBuf,
    /// Make this file first
    #[arg(long)]
    pub(crate) there: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Memfd {
    /// The program stays until this file is there
    #[arg(long)]
    gate: PathBuf,
    /// Bytes behind the program, so that no other one is like it
    #[arg(long)]
    tail: String,
}

#[derive(clap::Args)]
pub(crate) struct Edits {
    /// Directory to work in, with the files that the scenario made
    #[arg(long)]
    dir: PathBuf,
    /// A job of cron that does nothing
    #[arg(long)]
    cron: PathBuf,
    /// How many more files
    #[arg(long, default_value_t = 2000)]
    count: u32,
    /// Stay at the end until this file is there
    #[arg(long)]
    gate: PathBuf,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

pub(crate) fn wait(args: &Hold) -> Result<()> {
    if let Some(there) = &args.there {
        fs::write(there, "")?;
    }
    hold(&args.gate)
}

pub(crate) fn hold(gate: &Path) -> Result<()> {
    let end = Instant::now() + LONGEST;
    while !gate.exists() {
        ensure!(Instant::now() < end, "nobody opened {}", gate.display());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A program that never had a name.
pub(crate) fn memfd(args: &Memfd) -> Result<()> {
    let file = rustix::fs::memfd_create("nameless", rustix::fs::MemfdFlags::empty())?;
    let mut file = fs::File::from(file);
    file.write_all(&fs::read(std::env::current_exe()?)?)?;
    file.write_all(args.tail.as_bytes())?;
    // A descriptor for reading only: what is open for writing is not executed.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reader = fs::File::open(&path)?;
    let inherited = rustix::io::fcntl_dupfd_cloexec(&reader, 100)?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())?;
    drop((file, reader));
    let program = format!("/proc/self/fd/{}", inherited.as_raw_fd());
    let status = Command::new(program).arg("hold").arg(&args.gate).stdin(Stdio::null()).status();
    ensure!(status.context("the program in memory")?.success(), "the program in memory failed");
    Ok(())
}

/// Changes of every kind. What must be told and what must not is the scenario's to know.
pub(crate) fn edits(args: &Edits) -> Result<()> {
    let at = |name: &str| args.dir.join(name);
    let text = fs::read_to_string(at("etc/text.conf"))?;
    fs::write(at("etc/text.conf"), text.replace("line 50\n", "line fifty\n"))?;
    fs::write(at("etc/binary.dat"), [0u8, 1, 2, 3, 4])?;
    fs::write(at("etc/private.key"), "another secret\n")?;
    fs::write(at("etc/.new"), "over it\n")?;
    fs::rename(at("etc/.new"), at("etc/old.conf"))?;
    fs::remove_file(at("etc/gone.conf"))?;
    fs::rename(at("etc/moved.conf"), at("etc/moved-here.conf"))?;
    fs::write(at("etc/fresh.conf"), "nothing was here\n")?;
    drop(OpenOptions::new().write(true).open(at("etc/same.conf"))?);
    fs::write(at("passing"), "gone at once\n")?;
    fs::remove_file(at("passing"))?;
    fs::write(at("tool"), "#!/bin/sh\n")?;
    fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o4755))?;
    for (name, text) in [
        ("home/.ssh/authorized_keys", "ssh-ed25519 AAAA somebody\n"),
        ("home/.config/systemd/user/x.service", "[Service]\nExecStart=/bin/true\n"),
    ] {
        fs::create_dir_all(at(name).parent().context("no parent")?)?;
        fs::write(at(name), text)?;
    }
    fs::write(&args.cron, "# nothing\n")?;
    fs::create_dir(at("many"))?;
    for number in 0..args.count {
        fs::write(at(&format!("many/{number}")), format!("content of {number}\n"))?;
    }
    if !at("etc/same.conf").exists() {
        bail!("the scenario's files are gone");
    }
    super::tell(&json!({ "count": args.count }), Some(&args.truth))?;
    hold(&args.gate)
}
