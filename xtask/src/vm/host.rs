//! `cargo xtask vm host`: the systemd machine (tests/vm/host.sh): the walks on it, a command, or a machine for a person.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};

use super::{PATIENCE, follow, kernels, script};
use crate::{
    build::{self, Binaries},
    package::{self, Built},
    sh,
};

/// An emulated machine that boots beside others takes minutes for what takes a second elsewhere.
const SLOW: &str = "usr/lib/systemd/system/recorder.service.d/emulated.conf";
/// The walk that installs packages.
const INSTALLS: &str = "package-life";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Start of the kernel's version
    #[arg(default_value = "6.12")]
    kernel: String,
    /// Leave the machine running for a person, its sshd at this port of 127.0.0.1
    #[arg(long, value_name = "PORT", conflicts_with_all = ["only", "command"])]
    ssh: Option<u16>,
    /// Only these walks
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What root runs in the machine [default: the walks, from outside]
    #[arg(last = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args, binaries: &Binaries) -> Result<ExitCode> {
    let kernel = kernels::find(&args.kernel)?.version;
    let files = files(binaries)?;
    if let Some(port) = args.ssh {
        return for_a_person(&kernel, &files, port);
    }
    let mut command = if args.command.is_empty() {
        walk(binaries, &files, &kernel, "auto", &args.only)
    } else {
        boot(&kernel, &files, super::MACHINE_LIMIT, &args.command)
    };
    let (code, _) = follow(&mut command, "")?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The names of all walks, in their order.
pub(super) fn walks(binaries: &Binaries) -> Result<Vec<String>> {
    let listed =
        sh::output(sh::clean(&binaries.walk).arg("--list").arg("--recorder").arg(&binaries.recorder))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// These walks, or all, on a machine with this kernel.
pub(super) fn walk(
    binaries: &Binaries,
    files: &Path,
    kernel: &str,
    backend: &str,
    only: &[String],
) -> Command {
    let mut command = sh::clean(&binaries.walk);
    // Packages are large, and all that is laid over has to be unpacked at an emulated speed.
    let installs = only.is_empty() || only.iter().any(|walk| walk == INSTALLS);
    let files = if installs { with_packages(files) } else { files.to_owned() };
    command.arg("--recorder").arg(&binaries.recorder).arg("--files").arg(files);
    command.args(["--kernel", kernel, "--backend", backend, "--patience", PATIENCE]);
    if !only.is_empty() {
        command.arg("--only").arg(only.join(","));
    }
    command
}

/// What is laid over the machine's root: the recorder where its package would put it, what
/// PAM and sudo may load, and the suites.
pub(super) fn files(binaries: &Binaries) -> Result<PathBuf> {
    let root = sh::root().join("target/vm/host");
    let dist = sh::root().join("recorder/dist");
    let put = |from: &Path, to: &str| -> Result<PathBuf> {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap_or(&root))?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    };
    for (from, to) in [
        (&binaries.recorder, "usr/bin/recorder"),
        (&binaries.e2e, "usr/lib/recorder/recorder-e2e"),
        (&binaries.workload, "usr/lib/recorder/recorder-workload"),
    ] {
        let _ = sh::succeeds(Command::new("strip").arg(put(from, to)?));
    }
    // Who wants them asked installs them there.
    let libraries = build::login(build::Finish::Suite)?;
    for library in &libraries {
        let name = library.file_name().context("a library without a name")?;
        put(library, &format!("usr/lib/recorder/{}", name.display()))?;
    }
    put(&dist.join("recorder.service"), "etc/systemd/system/recorder.service")?;
    put(&dist.join("recorder.toml"), "etc/recorder/recorder.toml")?;
    let patience = root.join(SLOW);
    fs::create_dir_all(patience.parent().unwrap_or(&root))?;
    fs::write(&patience, "[Service]\nTimeoutStartSec=300\nTimeoutStopSec=120\n")?;
    let more = with_packages(&root);
    let _ = fs::remove_dir_all(&more);
    sh::run(Command::new("cp").arg("-a").args([&root, &more]))?;
    packages(binaries, libraries, &more)?;
    Ok(root)
}

/// The same files and the packages beside them.
fn with_packages(files: &Path) -> PathBuf {
    files.with_file_name("host-and-packages")
}

/// The package of these programs, and the same as a later version, for the walk that installs them.
fn packages(binaries: &Binaries, libraries: Vec<PathBuf>, root: &Path) -> Result<()> {
    let to = root.join("usr/lib/recorder");
    let built = Built { recorder: binaries.recorder.clone(), verify: binaries.verify.clone(), libraries };
    for (version, name) in [("0.1.0-1", "first.deb"), ("0.1.0-2", "second.deb")] {
        // Not packed: it is unpacked at an emulated speed.
        let package = package::archive(&built, version, &to, "none")?;
        fs::rename(&package, to.join(name))?;
    }
    Ok(())
}

fn for_a_person(kernel: &str, files: &Path, port: u16) -> Result<ExitCode> {
    let root = sh::output(&mut script("host-root.sh"))?;
    println!("vm: kernel {kernel}; people: root, oncall1, oncall2; when it is up,");
    println!(
        "    ssh -F none -i {0}/keys/oncall1 -o UserKnownHostsFile={0}/known_hosts -o HostKeyAlias=recorder-machine -p {port} oncall1@127.0.0.1",
        root.trim()
    );
    println!(
        "vm: root starts the recorder with `systemctl start recorder`; ctrl-c or `systemctl poweroff` ends the machine"
    );
    let status = boot(kernel, files, "86400", &[])
        .env("VM_SSH", port.to_string())
        .stdin(Stdio::null())
        .status()
        .context("tests/vm/host.sh")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn boot(kernel: &str, files: &Path, limit: &str, command: &[String]) -> Command {
    let mut host = script("host.sh");
    host.arg(kernel).arg(files).args(command);
    host.env("VM_TIMEOUT", std::env::var("VM_TIMEOUT").unwrap_or_else(|_| limit.to_owned()));
    host
}
