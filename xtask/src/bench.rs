//! `cargo xtask bench`: the loads of docs/performance.md without a recorder and with ours, run by run in turn; medians and ratios
//! go to docs/benchmarks.md. They are figures in a report, never a pass or a fail.

mod hooks;
mod latency;
mod load;
mod report;
mod soak;
mod stored;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{human, recorder::Site};

use crate::{
    bench::{
        load::{LOADS, Load, Place, Run},
        report::Machine,
        stored::Stored,
    },
    build, build_ebpf,
    missing::Missing,
    setup, sh,
};

/// How long the recorder may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_mins(2);
const REPORT: &str = "docs/benchmarks.md";
/// What nobody measures here, and stays.
const BY_HAND: &str = "## As a service, measured by hand";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each load runs on each side
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The sizes of docs/performance.md instead of short ones
    #[arg(long)]
    full: bool,
    /// Only these loads (W1, W2, W2b, W4, W5); nothing is written then
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only how long an event waits until it is durable; that section of the report is written anew
    #[arg(long, conflicts_with_all = ["only", "full", "recorder"])]
    latency: bool,
    /// Only what each family of kernel programs costs; that section of the report is written anew
    #[arg(long, conflicts_with_all = ["only", "full", "latency"])]
    hooks: bool,
    /// Only three sessions at a time for so many minutes, with the recorder's memory; that section of the report is written anew
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["only", "full", "latency", "hooks"])]
    soak: Option<u64>,
    /// Measure this binary instead of building one
    #[arg(long)]
    recorder: Option<PathBuf>,
    /// Backend to ask for
    #[arg(long, default_value = "auto")]
    backend: String,
}

/// One run without a recorder, one with, and what the recorder did meanwhile.
struct Pair {
    none: Run,
    ours: Run,
    /// Processor seconds of the recorder, from before the load until it was worked off.
    cpu: f64,
    stored: Stored,
}

/// All rounds of one load.
struct Measured {
    load: &'static Load,
    pairs: Vec<Pair>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.latency {
        let section = latency::measure(&Machine::look(None)?)?;
        println!("{section}");
        latency::replace(&sh::root().join(REPORT), latency::TITLE, &section)?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in &args.only {
        ensure!(LOADS.iter().any(|load| load.name == name), "no load is named {name}");
    }
    if !sh::is_root() || !human::can_log_in() {
        return Err(Missing("benchmarks need root and a kernel with loginuid".to_owned()).into());
    }
    let (recorder, workload) = binaries(args)?;
    let machine = Machine::look(Some(&recorder))?;
    let scratch = Scratch::make()?;
    if let Some(minutes) = args.soak {
        let dir = scratch.0.join("soak");
        let section = soak::measure(&recorder, &workload, &dir, &args.backend, minutes, &machine)?;
        println!("\n{section}");
        latency::replace(&sh::root().join(REPORT), soak::TITLE, &section)?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = Place::prepare(&scratch.0.join("load"), &workload)?;
    let hooks = || {
        let section = hooks::measure(&recorder, &place, &scratch.0.join("hooks"), &args.backend, &machine)?;
        println!("\n{section}");
        latency::replace(&sh::root().join(REPORT), hooks::TITLE, &section)
    };
    if args.hooks {
        hooks()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut measured: Vec<_> = LOADS
        .iter()
        .filter(|load| args.only.is_empty() || args.only.iter().any(|name| name == load.name))
        .map(|load| Measured { load, pairs: Vec::new() })
        .collect();
    for round in 0..args.rounds {
        for one in &mut measured {
            println!("bench: round {} of {}: {} ({})", round + 1, args.rounds, one.load.name, one.load.what);
            let dir = scratch.0.join(format!("{}-{round}", one.load.name));
            let pair = pair(&place, one.load, args, &recorder, &dir, round % 2 == 0)
                .with_context(|| format!("{}, round {}", one.load.name, round + 1))?;
            one.pairs.push(pair);
        }
    }
    let flood = measured.iter().find(|one| one.load.is_terminal());
    let gzipped = flood.map(|one| place.gzipped(one.load, one.load.count(args.full))).transpose()?;
    let text = report::write(&measured, &machine, args.rounds, gzipped);
    println!("\n{text}");
    if args.only.is_empty() {
        let report = sh::root().join(REPORT);
        let by_hand = latency::section(&fs::read_to_string(&report).unwrap_or_default(), BY_HAND);
        fs::write(&report, text).context(REPORT)?;
        if let Some(section) = by_hand {
            latency::replace(&report, BY_HAND, &section)?;
        }
        latency::replace(&sh::root().join(REPORT), latency::TITLE, &latency::measure(&machine)?)?;
        hooks()?;
        println!("bench: written to {REPORT}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The recorder to measure and the program that makes the loads.
fn binaries(args: &Args) -> Result<(PathBuf, PathBuf)> {
    // Link-time optimisation changes no ratio that these tell.
    let finish =
        if args.hooks || args.soak.is_some() { build::Finish::Suite } else { build::Finish::Shipped };
    if let Some(path) = &args.recorder {
        let recorder = path.canonicalize().with_context(|| format!("no {}", path.display()))?;
        return Ok((recorder, build::programs(finish)?.workload));
    }
    setup::for_build(None)?;
    build_ebpf::build(None)?;
    let built = build::programs(finish)?;
    Ok((built.recorder, built.workload))
}

/// Both sides of one load; which goes first alternates, so that a drift of the machine favours neither.
fn pair(
    place: &Place,
    load: &Load,
    args: &Args,
    recorder: &Path,
    dir: &Path,
    is_none_first: bool,
) -> Result<Pair> {
    let count = load.count(args.full);
    let before = if is_none_first { Some(place.run(load, count)?) } else { None };
    let site = Site::prepare(recorder, dir, &args.backend)?;
    // What is stored for each byte is measured over all of them, not over what a flood leaves.
    site.set("capture", "terminal_burst = \"1024GiB\"")?;
    let running = site.start(PATIENCE)?;
    let idle = stored::cpu_when_still(running.child())?;
    let ours = place.run(load, count)?;
    let cpu = stored::cpu_when_still(running.child())? - idle;
    running.stop(PATIENCE)?;
    let stored = Stored::load(&site)?;
    fs::remove_dir_all(dir)?;
    let none = match before {
        Some(run) => run,
        None => place.run(load, count)?,
    };
    Ok(Pair { none, ours, cpu, stored })
}

/// A directory that is gone in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let dir = env::temp_dir().join(format!("recorder-bench-{}", process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
