//! `cargo xtask build`: what is installed, in target/dist. The suites, here and in machines, run the same code, linked faster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    build_ebpf,
    setup::{self, Route},
    sh,
};

/// What login programs load; shared libraries, so not for machines without a C library.
const LOGIN: &[&str] = &["recorder-pam", "recorder-sudo"];
/// Their files, under which name and where they are installed (docs/operations.md).
pub(crate) const LIBRARIES: &[(&str, &str, &str)] = &[
    ("libpam_recorder.so", "pam_recorder.so", "among the PAM modules"),
    ("librecorder_approval.so", "recorder_approval.so", "among sudo's plugins"),
];
/// All but the reader alone, which nothing here runs: each is linked as a whole, which takes a minute.
const PROGRAMS: &[&str] =
    &["recorder", "recorder-e2e", "recorder-pen", "recorder-powercut", "recorder-walk", "recorder-workload"];
/// Programs bring their C library along and are one file, for any machine of this architecture.
const SHIPPED: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
/// Those of the suites lie at a fixed place besides: an emulated start spends two thirds of its time on relocations.
const SUITE: &str = "-C target-feature=+crt-static -C relocation-model=static";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take this way to a BPF compiler instead of the one that fits
    #[arg(long, value_enum)]
    route: Option<Route>,
}

/// How programs are linked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// As whole programs: smaller and faster, and minutes of work for each.
    Shipped,
    /// For the suites: each part is compiled once.
    Suite,
}

/// The programs a suite runs.
#[derive(Clone)]
pub(crate) struct Binaries {
    pub(crate) recorder: PathBuf,
    /// The reader alone; only among the programs of the suites (`build_verify` makes the shipped one).
    pub(crate) verify: PathBuf,
    pub(crate) e2e: PathBuf,
    pub(crate) workload: PathBuf,
    pub(crate) walk: PathBuf,
    pub(crate) powercut: PathBuf,
    /// What writes in the machine whose power goes.
    pub(crate) pen: PathBuf,
}

impl Binaries {
    fn in_dir(dir: &std::path::Path) -> Self {
        Self {
            recorder: dir.join("recorder"),
            verify: dir.join("recorder-verify"),
            e2e: dir.join("recorder-e2e"),
            workload: dir.join("recorder-workload"),
            walk: dir.join("recorder-walk"),
            powercut: dir.join("recorder-powercut"),
            pen: dir.join("recorder-pen"),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    build_ebpf::build(args.route)?;
    let dist = sh::root().join("target/dist");
    fs::create_dir_all(&dist)?;
    let put = |from: &Path, name: &str| {
        let to = dist.join(name);
        // A running program can't be written over, but it can be replaced.
        let _ = fs::remove_file(&to);
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display())).map(|_| to)
    };
    println!("build: {}", put(&programs(Finish::Shipped)?.recorder, "recorder")?.display());
    for (library, (_, name, place)) in login(Finish::Shipped)?.iter().zip(LIBRARIES) {
        println!("build: {} (optional, {place})", put(library, name)?.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The libraries that login programs load, for this machine's C library, in the order of their table; beside the programs.
pub(crate) fn login(finish: Finish) -> Result<Vec<PathBuf>> {
    let (mut cargo, dir) = build(finish);
    for package in LOGIN {
        cargo.args(["-p", package]);
    }
    sh::run(&mut cargo)?;
    Ok(LIBRARIES.iter().map(|(file, ..)| dir.join(file)).collect())
}

/// A build that is to be told what, and where it puts that. An explicit target keeps flags off build scripts and procedural
/// macros.
fn build(finish: Finish) -> (Command, PathBuf) {
    let profile = match finish {
        Finish::Shipped => "release",
        Finish::Suite => "suite",
    };
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = sh::cargo();
    cargo.args(["build", "--profile", profile, "--locked", "--target", &target]);
    (cargo, sh::root().join("target").join(target).join(profile))
}

/// The same for static programs.
pub(crate) fn static_build(finish: Finish) -> (Command, PathBuf) {
    let (mut cargo, dir) = build(finish);
    cargo.env(
        "RUSTFLAGS",
        match finish {
            Finish::Shipped => SHIPPED,
            Finish::Suite => SUITE,
        },
    );
    (cargo, dir)
}

/// The recorder and the suites; the BPF object must have been built. Always all of them: cargo builds the recorder anew for every
/// other choice of packages.
pub(crate) fn programs(finish: Finish) -> Result<Binaries> {
    let (mut cargo, dir) = static_build(finish);
    cargo.args(["-p", "recorder", "-p", "recorder-tests", "-p", "recorder-pen"]);
    for program in PROGRAMS {
        cargo.args(["--bin", program]);
    }
    if finish == Finish::Suite {
        cargo.args(["--bin", "recorder-verify"]);
    }
    sh::run(&mut cargo)?;
    Ok(Binaries::in_dir(&dir))
}

/// Everything a suite on this machine needs.
pub(crate) fn everything() -> Result<Binaries> {
    setup::for_test()?;
    build_ebpf::build(None)?;
    login(Finish::Suite)?;
    programs(Finish::Suite)
}
