//! `cargo xtask build`: the self-contained release binary; `--static` also builds what virtual machines boot.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    build_ebpf,
    setup::{self, Route},
    sh,
};

/// What login programs load; shared libraries, so not for machines without a C library.
const LOGIN: &[&str] = &["recorder-pam", "recorder-sudo"];
/// Their files, and as what they are installed (docs/operations.md).
const LIBRARIES: &[(&str, &str)] = &[
    ("libpam_recorder.so", "pam_recorder.so among the PAM modules"),
    ("librecorder_approval.so", "recorder_approval.so among sudo's plugins"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Link the C library in, for machines without one: target/static/…/release/recorder
    #[arg(long = "static")]
    is_static: bool,
    /// Take this way to a BPF compiler instead of the one that fits
    #[arg(long, value_enum)]
    route: Option<Route>,
}

/// The programs a suite runs.
#[derive(Clone)]
pub(crate) struct Binaries {
    pub(crate) recorder: PathBuf,
    pub(crate) e2e: PathBuf,
    pub(crate) workload: PathBuf,
    pub(crate) walk: PathBuf,
    pub(crate) powercut: PathBuf,
    /// What writes in the machine whose power goes; only beside static programs.
    pub(crate) pen: PathBuf,
}

impl Binaries {
    fn in_dir(dir: &std::path::Path) -> Self {
        Self {
            recorder: dir.join("recorder"),
            e2e: dir.join("recorder-e2e"),
            workload: dir.join("recorder-workload"),
            walk: dir.join("recorder-walk"),
            powercut: dir.join("recorder-powercut"),
            pen: dir.join("examples/journal_pen"),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    build_ebpf::build(args.route)?;
    if args.is_static {
        println!("build: {}", statics()?.recorder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let binaries = release(&[&["recorder"], LOGIN].concat())?;
    println!("build: {}", binaries.recorder.display());
    for (file, place) in LIBRARIES {
        println!("build: {} (optional, {place})", binaries.recorder.with_file_name(file).display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The libraries that login programs load, for this machine's C library.
pub(crate) fn login() -> Result<Vec<PathBuf>> {
    let beside = release(LOGIN)?.recorder;
    Ok(LIBRARIES.iter().map(|(file, _)| beside.with_file_name(file)).collect())
}

/// Release binaries of these packages for this machine; the BPF object must have been built.
pub(crate) fn release(packages: &[&str]) -> Result<Binaries> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "--locked"]);
    for package in packages {
        cargo.args(["-p", package]);
    }
    sh::run(&mut cargo)?;
    Ok(Binaries::in_dir(&sh::root().join("target/release")))
}

/// The recorder and the suites as static programs, in a target directory of their own so that flags don't fight.
pub(crate) fn statics() -> Result<Binaries> {
    let target = sh::root().join("target/static");
    // An explicit --target keeps the flags off build scripts and procedural macros. Without relocations an emulated start
    // takes a third of the time.
    sh::run(
        sh::cargo()
            .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--release", "--locked", "--target", "x86_64-unknown-linux-gnu"])
            .args(["-p", "recorder", "-p", "recorder-tests", "--bins", "--example", "journal_pen"]),
    )?;
    Ok(Binaries::in_dir(&target.join("x86_64-unknown-linux-gnu/release")))
}

/// Everything a suite on this machine needs.
pub(crate) fn everything() -> Result<Binaries> {
    setup::for_test()?;
    build_ebpf::build(None)?;
    release(&[&["recorder", "recorder-tests"], LOGIN].concat())
}
