//! `cargo xtask vm power`: the power goes while a machine writes a journal (tests/src/bin/powercut, tests/vm/power.sh).

use std::process::{Command, ExitCode};

use anyhow::Result;

use super::{follow, kernels};
use crate::{build::Binaries, sh};

/// Cuts in a run of the matrix, and unless it is said how many.
pub(super) const ROUNDS: u32 = 4;
/// Seconds from one line of a machine to its next, where everything else is emulated beside it.
const PATIENCE: &str = "600";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Start of the kernel's version
    #[arg(default_value = "6.12")]
    kernel: String,
    /// Power cuts
    #[arg(long, default_value_t = ROUNDS)]
    rounds: u32,
    /// Decides where the power goes and what the disk keeps [default: another each time; printed]
    #[arg(long)]
    seed: Option<u64>,
}

pub(super) fn run(args: &Args, binaries: &Binaries) -> Result<ExitCode> {
    let mut command = cuts(binaries, &kernels::find(&args.kernel)?.version, args.rounds);
    if let Some(seed) = args.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let (code, _) = follow(&mut command, "")?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// So many cuts on a machine with this kernel.
pub(super) fn cuts(binaries: &Binaries, kernel: &str, rounds: u32) -> Command {
    let mut command = machine(binaries, kernel);
    command.args(["--rounds", &rounds.to_string()]);
    command
}

/// Machines with this kernel, and what writes in them.
pub(super) fn machine(binaries: &Binaries, kernel: &str) -> Command {
    let mut command = sh::clean(&binaries.powercut);
    command.arg("--pen").arg(&binaries.pen).args(["--kernel", kernel, "--patience", PATIENCE]);
    command
}
