//! `cargo xtask check`: what a machine can hold against the pages in docs/ without running the recorder.

mod layers;
mod tree;

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    build_verify,
    outcome::{self, Ending, Totals},
    setup, sh,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A check that can't run here fails
    #[arg(long)]
    strict: bool,
    /// Leave out what compiles (clippy)
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let totals = all(args.quick)?;
    println!("{}", totals.line());
    Ok(if totals.is_good(args.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every check and tells each outcome.
pub(crate) fn all(quick: bool) -> Result<Totals> {
    let mut checks = vec![("rustfmt", formatted()), ("layers", listed(&layers::violations()?))];
    checks.push(("file length", listed(&tree::too_long()?)));
    checks.push(("machine paths", listed(&tree::machine_paths()?)));
    if !quick {
        checks.push(("clippy", clippy()));
        checks.push(("clippy recorder-verify", clippy_reader()));
        checks.push(("dependencies of recorder-verify", listed(&build_verify::foreign()?)));
        if sh::root().join("recorder-ebpf/Cargo.toml").exists() {
            checks.push(("rustfmt recorder-ebpf", formatted_ebpf()));
        }
        checks.push(("cargo-deny", denied()));
    }
    let mut totals = Totals::default();
    for (name, ending) in &checks {
        outcome::tell(name, ending);
        totals.count(ending);
    }
    Ok(totals)
}

/// No line is good news; otherwise each line is one violation.
fn listed(lines: &[String]) -> Ending {
    if lines.is_empty() { Ending::Passed } else { Ending::Failed(format!("\n    {}", lines.join("\n    "))) }
}

fn ran(command: &mut std::process::Command) -> Ending {
    match sh::run(command) {
        Ok(()) => Ending::Passed,
        Err(error) => Ending::Failed(format!("{error:#}")),
    }
}

fn formatted() -> Ending {
    ran(sh::cargo().args(["fmt", "--all", "--check", "--", "-l"]))
}

fn formatted_ebpf() -> Ending {
    ran(sh::cargo().current_dir(sh::root().join("recorder-ebpf")).args(["fmt", "--check", "--", "-l"]))
}

fn clippy() -> Ending {
    ran(sh::cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The reader's half of the package, as `build-verify` compiles it.
fn clippy_reader() -> Ending {
    ran(sh::cargo()
        .args([
            "clippy",
            "--quiet",
            "-p",
            "recorder",
            "--no-default-features",
            "--lib",
            "--bin",
            "recorder-verify",
        ])
        .args(["--locked", "--", "-D", "warnings"]))
}

/// Advisories need a database from the network, so they are not part of this; `cargo deny check` fetches it.
fn denied() -> Ending {
    if !setup::has_cargo_deny() {
        return Ending::Skipped(
            "cargo-deny is not installed; `cargo xtask setup --for test` installs it".to_owned(),
        );
    }
    ran(sh::cargo()
        .args(["deny", "--workspace", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"]))
}
