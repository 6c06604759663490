//! Developer commands, one file each. `cargo xtask help` lists them.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program talks on standard output")]

mod bench;
mod build;
mod build_ebpf;
mod build_verify;
mod check;
mod coverage;
mod demo;
mod fuzz;
mod missing;
mod outcome;
mod package;
mod packages;
mod setup;
mod sh;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::missing::Missing;

/// Something the machine lacks: privilege, a package, a kernel feature (docs/cli.md).
const EXIT_MISSING: u8 = 69;

/// Developer commands of the recorder.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing on this machine
    Setup(setup::Args),
    /// Build the kernel programs into target/bpf/recorder.bpf.o
    BuildEbpf(build_ebpf::Args),
    /// Set up and build what is installed, into target/dist
    Build(build::Args),
    /// Build the reader alone, as one static file: recorder-verify
    BuildVerify(build_verify::Args),
    /// Build the Debian package
    Package(package::Args),
    /// Install on this machine, as the package does
    Install(package::Install),
    /// Record a real elevated session and show it
    Demo(demo::Args),
    /// Become the person of the demonstration
    #[command(hide = true)]
    LogIn(demo::LogIn),
    /// Formatting, lints, layers, file lengths, licences
    Check(check::Args),
    /// Run the suites
    Test(test::Args),
    /// Write docs/coverage.md from what the last run of the suites came to
    Coverage,
    /// Mutated input for the parsers of grants
    Fuzz(fuzz::Args),
    /// Stock kernels under emulation
    Vm(vm::Args),
    /// Measure and write docs/benchmarks.md
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::BuildEbpf(args) => build_ebpf::run(&args),
        Command::Build(args) => build::run(&args),
        Command::BuildVerify(args) => build_verify::run(&args),
        Command::Package(args) => package::run(&args),
        Command::Install(args) => package::install(&args),
        Command::Demo(args) => demo::run(&args),
        Command::LogIn(args) => demo::log_in(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Coverage => coverage::run(),
        Command::Fuzz(args) => Ok(fuzz::run(&args)),
        Command::Vm(args) => vm::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.downcast_ref::<Missing>().is_some() {
                ExitCode::from(EXIT_MISSING)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
