//! `cargo xtask setup`: makes this machine able to build, test or emulate. Idempotent; says what it does.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    missing::Missing,
    packages::{self, Need},
    sh,
};

/// Pinned: the linker and the compiler must agree on LLVM's version.
const BPF_LINKER: &str = "0.13.0";
/// Where Debian's compiler lies, beside rustup's.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_BPF_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";

const CARGO_FUZZ: &str = "0.13.2";

const C_COMPILER: &[Need] =
    &[Need::program("gcc", &["cc", "gcc"]), Need::path("libc6-dev", "/usr/include/stdio.h")];
const DEBIAN_ROUTE: &[Need] = &[
    Need::path("rustc-web", DEBIAN_RUSTC),
    Need::path("libstd-rust-web-dev-bpf", DEBIAN_BPF_CORE),
    Need::path("llvm-22-dev", "/usr/lib/llvm-22/lib/libLLVM.so"),
    Need::path("llvm-22", "/usr/lib/llvm-22/bin/llvm-strip"),
    Need::program("g++", &["c++", "g++"]),
];
const NIGHTLY_ROUTE: &[Need] = &[Need::program("llvm", &["llvm-strip"])];
/// What a recorded person needs: an editor that fills the screen, sudo, accounts, a controlling terminal.
pub(crate) const SESSION: &[Need] = &[
    Need::program("sudo", &["sudo"]),
    Need::program("vim-tiny", &["vi"]),
    Need::program("passwd", &["useradd"]),
    Need::program("login", &["su"]),
    Need::program("util-linux", &["setsid"]),
    Need::program("procps", &["ps"]),
    Need::program("tmux", &["tmux"]),
    Need::program("less", &["less"]),
];
const TEST: &[Need] = &[
    Need::program("openssh-server", &["sshd"]),
    Need::program("openssh-client", &["ssh", "ssh-keygen"]),
    Need::path("openssh-sftp-server", "/usr/lib/openssh/sftp-server"),
    Need::program("rsync", &["rsync"]),
    Need::program("age", &["age", "age-keygen"]),
];
const VM: &[Need] = &[
    Need::program("qemu-system-x86", &["qemu-system-x86_64"]),
    Need::program("busybox-static", &["busybox"]),
    Need::program("cpio", &["cpio"]),
    Need::program("dpkg", &["dpkg-deb"]),
    // The systemd machine: its root, the stock kernels' modules, and who drives it.
    Need::program("mmdebstrap", &["mmdebstrap"]),
    Need::program("e2fsprogs", &["mkfs.ext4", "e2fsck", "debugfs"]),
    Need::program("kmod", &["depmod"]),
    Need::program("xz-utils", &["xz"]),
    Need::program("zstd", &["zstd"]),
    Need::program("openssh-client", &["ssh", "ssh-keygen"]),
];

const CXX_COMPILER: &[Need] = &[Need::program("g++", &["c++", "g++"])];
/// Where Debian puts its own Python's modules.
const READER: &[Need] = &[
    Need::program("python3", &["python3"]),
    Need::path("python3-cryptography", "/usr/lib/python3/dist-packages/cryptography/__init__.py"),
    Need::path("python3-zstandard", "/usr/lib/python3/dist-packages/zstandard/__init__.py"),
];

/// What the machine shall be able to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// Build the recorder
    Build,
    /// Build and run the suites on this kernel
    Test,
    /// Build and boot other kernels
    Vm,
}

/// How BPF code is compiled here.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Route {
    /// Debian's rustc-web with its precompiled `core` for BPF
    Debian,
    /// rustup's nightly with rust-src
    Nightly,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What for
    #[arg(long = "for", value_enum, default_value = "build")]
    goal: Goal,
    /// Take this way to a BPF compiler instead of the one that fits
    #[arg(long, value_enum)]
    route: Option<Route>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    for_build(args.route)?;
    match args.goal {
        Goal::Build => {}
        Goal::Test => for_test()?,
        Goal::Vm => for_vm()?,
    }
    println!("setup: done");
    Ok(ExitCode::SUCCESS)
}

/// A C compiler (zstd is built from source) and a BPF compiler; gives the route that was taken.
pub(crate) fn for_build(wanted: Option<Route>) -> Result<Route> {
    packages::ensure("C compiler", C_COMPILER)?;
    let route = choose(wanted)?;
    match route {
        Route::Debian => {
            packages::ensure("BPF compiler from Debian packages", DEBIAN_ROUTE)?;
            linker(Some(DEBIAN_LLVM))?;
            println!("setup: BPF compiler: Debian's rustc-web with LLVM 22");
        }
        Route::Nightly => {
            if !has_nightly() {
                println!("setup: installing rustup's nightly with rust-src");
                sh::run(sh::clean("rustup").args([
                    "toolchain",
                    "install",
                    "nightly",
                    "--profile",
                    "minimal",
                    "--component",
                    "rust-src",
                ]))?;
            }
            packages::ensure("llvm-strip", NIGHTLY_ROUTE)?;
            linker(None)?;
            println!("setup: BPF compiler: rustup's nightly with rust-src");
        }
    }
    Ok(route)
}

/// What the suites on this kernel need beyond a build.
pub(crate) fn for_test() -> Result<()> {
    packages::ensure("suites", SESSION)?;
    for_reader()?;
    packages::ensure("suites", TEST)?;
    for component in ["rustfmt", "clippy"] {
        if !sh::succeeds(
            sh::clean("cargo").args([if component == "rustfmt" { "fmt" } else { component }, "--version"]),
        ) {
            sh::run(sh::clean("rustup").args(["component", "add", component]))?;
        }
    }
    cargo_deny()
}

/// libFuzzer is C++, and cargo-fuzz drives it.
pub(crate) fn for_fuzz() -> Result<()> {
    packages::ensure("fuzzing", CXX_COMPILER)?;
    if sh::succeeds(sh::clean("cargo").args(["fuzz", "--version"])) {
        return Ok(());
    }
    println!("setup: installing cargo-fuzz (compiles for some minutes, once)");
    sh::run(sh::clean("cargo").args(["install", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ]))
}

/// The second reader of the journal is Python, with one crypto package and zstd.
pub(crate) fn for_reader() -> Result<()> {
    packages::ensure("second reader", READER)
}

/// The real ssh-keygen and ssh-agent, which signatures and lists of signers are compared with.
pub(crate) fn for_keys() -> Result<()> {
    packages::ensure("suites", TEST)
}

/// What booting other kernels needs beyond a build.
pub(crate) fn for_vm() -> Result<()> {
    packages::ensure("virtual machines", VM)
}

/// Licence and source checks; compiled from source, so only once per machine.
pub(crate) fn cargo_deny() -> Result<()> {
    if has_cargo_deny() {
        return Ok(());
    }
    println!("setup: installing cargo-deny (compiles for some minutes, once)");
    sh::run(sh::clean("cargo").args(["install", "--locked", "cargo-deny"]))
}

pub(crate) fn has_cargo_deny() -> bool {
    sh::succeeds(sh::clean("cargo").args(["deny", "--version"]))
}

fn choose(wanted: Option<Route>) -> Result<Route> {
    if let Some(route) = wanted {
        return Ok(route);
    }
    if Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_BPF_CORE).exists() {
        return Ok(Route::Debian);
    }
    if has_nightly() {
        return Ok(Route::Nightly);
    }
    if sh::is_root() && sh::which("apt-get").is_some() {
        packages::update_once()?;
        if packages::available("libstd-rust-web-dev-bpf") && packages::available("llvm-22-dev") {
            return Ok(Route::Debian);
        }
    }
    if sh::which("rustup").is_some() {
        return Ok(Route::Nightly);
    }
    Err(Missing(
        "no BPF compiler: install the Debian packages rustc-web libstd-rust-web-dev-bpf llvm-22-dev, \
         or rustup's nightly toolchain with the component rust-src"
            .to_owned(),
    )
    .into())
}

fn has_nightly() -> bool {
    sh::output(sh::clean("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"])).is_ok_and(
        |sysroot| Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists(),
    )
}

fn linker(llvm: Option<&str>) -> Result<()> {
    let found = sh::output(sh::clean("bpf-linker").arg("--version")).unwrap_or_default();
    if found.trim().ends_with(BPF_LINKER) {
        return Ok(());
    }
    println!("setup: installing bpf-linker {BPF_LINKER}");
    let mut command = sh::clean("cargo");
    command.args(["install", "--locked", "bpf-linker", "--version", BPF_LINKER]);
    if let Some(prefix) = llvm {
        command.env("LLVM_PREFIX", prefix).args(["--no-default-features", "--features", "llvm-22"]);
    }
    sh::run(&mut command)
}
