//! `cargo xtask vm snapshot`: a snapshot of a running machine, a clone that goes on beside it, and one that is put in its place
//! (tests/src/bin/powercut/snapshots.rs, tests/vm/power.sh).

use std::process::{Command, ExitCode};

use anyhow::Result;

use super::{follow, kernels, power};
use crate::build::Binaries;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Start of the kernel's version
    #[arg(default_value = "6.12")]
    kernel: String,
}

pub(super) fn run(args: &Args, binaries: &Binaries) -> Result<ExitCode> {
    let (code, _) = follow(&mut taken(binaries, &kernels::find(&args.kernel)?.version), "")?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// On machines with this kernel.
pub(super) fn taken(binaries: &Binaries, kernel: &str) -> Command {
    let mut command = power::machine(binaries, kernel);
    command.args(["--snapshots", "--recorder"]).arg(&binaries.recorder);
    command
}
