//! `cargo xtask build-ebpf`: compiles recorder-ebpf (docs/kernel.md, Toolchain) and leaves target/bpf/recorder.bpf.o.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use crate::{
    missing::Missing,
    setup::{self, Route},
    sh,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take this way to a BPF compiler instead of the one that fits
    #[arg(long, value_enum)]
    route: Option<Route>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    build(args.route)?;
    Ok(ExitCode::SUCCESS)
}

/// Sets up, compiles, strips; gives the object's path.
pub(crate) fn build(route: Option<Route>) -> Result<PathBuf> {
    let route = setup::for_build(route)?;
    let source = sh::root().join("recorder-ebpf");
    let target = source.join("target");
    // rustup's own cargo in both cases; only the compiler differs.
    let mut cargo = match route {
        Route::Debian => {
            let mut cargo = sh::clean("cargo");
            cargo.env("RUSTC", setup::DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "aya_ebpf").arg("build");
            cargo
        }
        Route::Nightly => {
            let mut cargo = sh::clean("rustup");
            cargo.args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]);
            cargo
        }
    };
    sh::run(cargo.current_dir(&source).args(["--release", "--target-dir"]).arg(&target))?;

    let built = target.join("bpfel-unknown-none/release/recorder");
    let dir = sh::root().join("target/bpf");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let object = dir.join("recorder.bpf.o");
    let fresh = dir.join("recorder.bpf.o.new");
    fs::copy(&built, &fresh).with_context(|| format!("no object at {}", built.display()))?;
    // Debug sections are two thirds of the file; the loader needs .BTF and .BTF.ext only, which -g keeps.
    sh::run(sh::clean(strip()?).arg("-g").arg(&fresh))?;
    install(&fresh, &object)?;
    println!("build-ebpf: {} ({} bytes)", object.display(), fs::metadata(&object)?.len());
    Ok(object)
}

/// An unchanged object keeps its time stamp, so that the recorder is not compiled again.
fn install(fresh: &Path, object: &Path) -> Result<()> {
    if fs::read(object).is_ok_and(|old| fs::read(fresh).is_ok_and(|new| new == old)) {
        fs::remove_file(fresh)?;
    } else {
        fs::rename(fresh, object)?;
    }
    Ok(())
}

fn strip() -> Result<PathBuf> {
    let beside = Path::new("/usr/lib/llvm-22/bin/llvm-strip");
    if beside.exists() {
        return Ok(beside.to_path_buf());
    }
    sh::which("llvm-strip").ok_or_else(|| Missing("llvm-strip (Debian package llvm)".to_owned()).into())
}
