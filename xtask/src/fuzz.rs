//! `cargo xtask fuzz`: the parsers of grants against mutated input, for as long as it is asked to.
//!
//! cargo-fuzz needs a nightly compiler; this is a mutation fuzzer on the project's own (recorder/tests/fuzz.rs), without
//! coverage. It runs the suite's build, so overflows and debug assertions count.

use std::process::ExitCode;

use crate::{
    outcome::{self, Ending, Totals},
    sh,
};

/// In the order of recorder/tests/fuzz/targets.rs, which refuses any other name.
const TARGETS: [&str; 7] =
    ["documents", "policy", "allowed-signers", "certificates", "signatures", "import", "tokens"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One of the targets [default: each of them]
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// For how long, each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut totals = Totals::default();
    for target in TARGETS.iter().filter(|name| args.target.as_deref().is_none_or(|asked| asked == **name)) {
        let ending = match sh::run(
            sh::cargo()
                .args(["test", "--quiet", "--locked", "-p", "recorder", "--test", "fuzz"])
                .args(["no_input_breaks_a_parser", "--", "--nocapture"])
                .env("RECORDER_FUZZ", format!("{target}:{}", args.seconds)),
        ) {
            Ok(()) => Ending::Passed,
            Err(error) => {
                Ending::Failed(format!("{error:#}; the input is in recorder/tests/corpus/{target}"))
            }
        };
        outcome::tell(target, &ending);
        totals.count(&ending);
    }
    println!("{}", totals.line());
    if totals.is_good(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
