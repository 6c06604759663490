//! `cargo xtask fuzz`: hostile input for every parser, for as long as it is asked to.
//!
//! The journal's parsers are steered by coverage: cargo-fuzz and libFuzzer, in fuzz/. cargo-fuzz asks for a nightly compiler
//! because of a few flags; RUSTC_BOOTSTRAP=1 gives them to the stable one. Without the address sanitizer: the parsers are safe
//! code, and its runtime is nightly's. The parsers of grants have a mutation fuzzer that knows their forms
//! (recorder/tests/fuzz.rs). Overflows and debug assertions count in both.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    outcome::{self, Ending, Totals},
    setup, sh,
};

/// Steered by coverage: the binaries of fuzz/Cargo.toml.
const STEERED: [&str; 9] =
    ["frame", "record", "seal", "segment", "note", "stub", "permit", "requests", "engines"];
/// All of them, in the order of recorder/tests/fuzz/targets.rs, which refuses any other name.
const TARGETS: [&str; 16] = [
    "documents",
    "policy",
    "allowed-signers",
    "certificates",
    "signatures",
    "import",
    "tokens",
    "frame",
    "record",
    "seal",
    "segment",
    "note",
    "stub",
    "permit",
    "requests",
    "engines",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One of the targets [default: each of them]
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// For how long, each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Leave in the corpus what covers something of its own, and nothing else (the steered targets)
    #[arg(long)]
    minimise: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut totals = Totals::default();
    for target in TARGETS.iter().filter(|name| args.target.as_deref().is_none_or(|asked| asked == **name)) {
        let steered = STEERED.contains(target);
        let (ran, kept) = match (steered, args.minimise) {
            (true, true) => (minimise(target), "fuzz/corpus"),
            (true, false) => (steer(target, args.seconds), "fuzz/artifacts"),
            (false, true) => continue,
            (false, false) => (mutate(target, args.seconds), "recorder/tests/corpus"),
        };
        let ending = match ran {
            Ok(()) => Ending::Passed,
            Err(error) => Ending::Failed(format!("{error:#}; the input is in {kept}/{target}")),
        };
        outcome::tell(target, &ending);
        totals.count(&ending);
    }
    println!("{}", totals.line());
    if totals.is_good(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn mutate(target: &str, seconds: u64) -> Result<()> {
    sh::run(
        sh::cargo()
            .args(["test", "--quiet", "--locked", "-p", "recorder", "--test", "fuzz"])
            .args(["no_input_breaks_a_parser", "--", "--nocapture"])
            .env("RECORDER_FUZZ", format!("{target}:{seconds}")),
    )
}

/// An input that is found is kept in fuzz/artifacts; with its cause mended it belongs into fuzz/corpus.
fn steer(target: &str, seconds: u64) -> Result<()> {
    setup::for_fuzz()?;
    let time = format!("-max_total_time={seconds}");
    let limits = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"];
    sh::run(fuzz("run", target).arg("--").arg(time).args(limits))
}

fn minimise(target: &str) -> Result<()> {
    setup::for_fuzz()?;
    sh::run(&mut fuzz("cmin", target))
}

fn fuzz(what: &str, target: &str) -> std::process::Command {
    let mut command = sh::clean("cargo");
    command.args(["fuzz", what, "--sanitizer", "none", target]);
    command.current_dir(sh::root()).env("RUSTC_BOOTSTRAP", "1");
    command
}
