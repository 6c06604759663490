//! `cargo xtask test`: the README's test command. Installs, builds, runs every suite, tells each outcome; the last line counts.

use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    build, build_ebpf, check, coverage,
    missing::Missing,
    outcome::{self, Ending, Totals},
    setup, sh, vm,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A suite that can't run here fails
    #[arg(long)]
    strict: bool,
    /// Only these suites
    #[arg(long, value_enum, value_delimiter = ',')]
    suite: Vec<Suite>,
}

/// A suite of docs/testing.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Formatting, lints, layers, licences
    Check,
    /// Unit, property, golden and crash tests of every package
    Unit,
    /// The command line's contract
    Cli,
    /// The real binary on this kernel
    E2e,
    /// The real binary on other kernels
    Vm,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut totals = Totals::default();
    let mut told = Vec::new();
    for suite in Suite::value_variants().iter().filter(|s| args.suite.is_empty() || args.suite.contains(s)) {
        println!("\n== {suite:?}");
        let start = Instant::now();
        let (counted, ending) = match run_suite(*suite) {
            Ok(counted) if counted.failed > 0 => (counted, Ending::Failed(counted.line())),
            Ok(counted) if counted.passed == 0 && counted.skipped > 0 => {
                (counted, Ending::Skipped("nothing of it could run here, see above".to_owned()))
            }
            Ok(counted) if counted.passed == 0 => {
                (one(&Ending::Failed(String::new())), Ending::Failed("ran no test".to_owned()))
            }
            Ok(counted) => (counted, Ending::Passed),
            Err(error) => {
                let why = format!("{error:#}");
                let ending = if error.is::<Missing>() { Ending::Skipped(why) } else { Ending::Failed(why) };
                (one(&ending), ending)
            }
        };
        totals.add(counted);
        told.push((format!("{suite:?} ({}; {} s)", counted.line(), start.elapsed().as_secs()), ending));
    }
    coverage::keep(&outcome::results())?;
    println!("\n== Outcome");
    for (name, ending) in &told {
        outcome::tell(name, ending);
    }
    for failure in outcome::failures() {
        println!("{failure}");
    }
    println!("{}", totals.line());
    Ok(if totals.is_good(args.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(ending: &Ending) -> Totals {
    let mut totals = Totals::default();
    totals.count(ending);
    totals
}

fn run_suite(suite: Suite) -> Result<Totals> {
    match suite {
        Suite::Check => {
            // What is missing is told by the check that needs it.
            if let Err(error) = setup::for_test() {
                println!("{error:#}");
            }
            check::all(false)
        }
        Suite::Unit => {
            // Without it the tests that need it fail and say so.
            if let Err(error) = setup::for_keys() {
                println!("{error:#}");
            }
            build_ebpf::build(None)?;
            let reader = setup::for_reader();
            let mut totals =
                counted(sh::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]), cargo_line)?;
            if let Err(error) = reader {
                // Its test passes without a word where the packages are missing: this is the word.
                let ending = Ending::Skipped(format!("{error:#}"));
                outcome::tell("the second reader of the journal", &ending);
                totals.count(&ending);
            }
            Ok(totals)
        }
        Suite::Cli => native("cli"),
        Suite::E2e => native("e2e"),
        Suite::Vm => {
            setup::for_vm()?;
            build_ebpf::build(None)?;
            vm::matrix(&build::programs(build::Finish::Suite)?)
        }
    }
}

fn native(suite: &str) -> Result<Totals> {
    let binaries = build::everything()?;
    counted(
        Command::new(&binaries.e2e).arg("--recorder").arg(&binaries.recorder).args(["--suite", suite]),
        Totals::parse,
    )
}

/// Runs a suite, shows what it prints, adds up its closing lines. An exit code that the counts don't explain is a failure.
fn counted(command: &mut Command, parse: fn(&str) -> Option<Totals>) -> Result<Totals> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the suite")?;
    let mut totals = Totals::default();
    let stdout = child.stdout.take().context("no pipe")?;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if let Some(more) = parse(line.trim_end()) {
            totals.add(more);
        }
        outcome::heard("", &line);
        println!("{line}");
    }
    if !child.wait()?.success() && totals.failed == 0 {
        totals.failed = 1;
    }
    Ok(totals)
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; …`
fn cargo_line(line: &str) -> Option<Totals> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count =
        |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok());
    Some(Totals { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_results_are_read() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(cargo_line(line), Some(Totals { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(cargo_line("running 3 tests"), None);
    }
}
