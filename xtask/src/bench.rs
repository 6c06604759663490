//! `cargo xtask bench`: the loads of docs/performance.md with and without the recorder, in turns; figures, never a verdict.

mod load;
mod table;

use std::{env, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{build, missing::Missing, outcome, setup, sh};
use load::{LOADS, Measured, Place};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each load with and without the recorder
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these loads, such as W1,W4
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the table goes
    #[arg(long, default_value = "docs/benchmarks.md")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !sh::is_root() {
        return Err(Missing("bench records elevated sessions, so it needs root".to_owned()).into());
    }
    packages()?;
    let binaries = build::everything()?;
    let dir = env::temp_dir().join(format!("recorder-bench-{}", std::process::id()));
    let place = Place::set(&binaries, dir)?;
    let mut rows = Vec::new();
    for load in LOADS.iter().filter(|load| args.only.is_empty() || args.only.iter().any(|id| id == load.id)) {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            println!("bench: {} round {round} of {}", load.id, args.rounds);
            // In turns, so that whatever else the machine does meets both alike.
            without.push(place.measure(load, false)?);
            with.push(place.measure(load, true)?);
        }
        rows.push((load, without, with));
    }
    let text = table::render(&rows, args.rounds)?;
    print!("\n{text}");
    let output = sh::root().join(&args.output);
    fs::write(&output, text).with_context(|| output.display().to_string())?;
    println!("\nbench: written to {}", output.display());
    outcome::tell("bench", &outcome::Ending::Passed);
    Ok(ExitCode::SUCCESS)
}

fn packages() -> Result<()> {
    crate::packages::ensure("benchmarks", setup::SESSION)
}

/// The middle of the values; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The median of one figure over runs.
fn middle(runs: &[Measured], figure: impl Fn(&Measured) -> f64) -> f64 {
    median(runs.iter().map(figure))
}
