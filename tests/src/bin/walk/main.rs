//! Walks: people at work on a systemd machine, driven from outside through the real ssh, and what the copied journal says of it.
//!
//! One machine is booted for all walks; each of them starts the service with a new journal.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program talks on standard output")]

mod asked;
mod beside;
mod besieged;
mod company;
mod containers;
mod elevations;
mod enforced;
mod handed;
mod inquest;
mod lifecycle;
mod observed;
mod package;
mod reboot;
mod relayed;
mod rescue;
mod soak;
mod terminals;
mod unguarded;
mod ways;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use recorder_tests::{
    account::random_word,
    journal::Events,
    recorder::Site,
    walk::{
        machine::{self, Machine, Unavailable},
        office::Office,
        service::{self, Service},
    },
};

/// Walks on a systemd machine.
#[derive(Parser)]
struct Args {
    /// The recorder for the people elsewhere and for the investigator
    #[arg(long)]
    recorder: PathBuf,
    /// Version of the cached kernel to boot
    #[arg(long, required_unless_present_any = ["port", "list"])]
    kernel: Option<String>,
    /// What is laid over the machine's root: the recorder with its unit
    #[arg(long, required_unless_present_any = ["port", "list"])]
    files: Option<PathBuf>,
    /// Take the machine whose sshd is at this port of 127.0.0.1
    #[arg(long, conflicts_with_all = ["kernel", "files"])]
    port: Option<u16>,
    /// Backend to ask for
    #[arg(long, default_value = "auto")]
    backend: String,
    /// Run only these walks
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Factor on every deadline, for slow machines
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// Keep the documents and journals of failed walks
    #[arg(long)]
    keep: bool,
    /// List the walks and end
    #[arg(long)]
    list: bool,
}

type Run = fn(&Walk) -> Result<()>;

/// A new walk is a file beside this one and a line here; what it is made of is in `recorder_tests::walk`.
const WALKS: &[(&str, Run)] = &[
    ("service-lifecycle", lifecycle::service_lifecycle),
    ("grants-observed", observed::grants_observed),
    ("grants-enforced", enforced::grants_enforced),
    ("handed-over", handed::handed_over),
    ("b1-more-ways", ways::more_ways),
    ("a10-elevations", elevations::elevations),
    ("a7-company", company::company),
    ("terminals", terminals::terminals),
    ("idle-beside-work", beside::idle_beside_work),
    ("b3-containers", containers::b3_containers),
    ("package-life", package::package_life),
    ("reboot", reboot::reboot),
    ("rescue", rescue::rescue),
    ("besieged", besieged::besieged),
    ("relays-folded", relayed::relays_folded),
    // The last: where it fails it may leave PAM and sudo changed.
    ("logins-asked", asked::logins_asked),
];

/// Walks that take an hour, or as long as is wanted, and on a machine that is another one: only by their names.
const BY_NAME: &[(&str, Run)] = &[("soak", soak::soak), ("unguarded", unguarded::unguarded)];

/// What a walk goes on.
pub(crate) struct Walk<'m> {
    pub(crate) machine: &'m Machine,
    pub(crate) office: Office,
    /// The walk's own directory here.
    pub(crate) dir: PathBuf,
    /// The recorder that runs here.
    recorder: &'m Path,
    backend: &'m str,
    mark: String,
    began: Instant,
}

impl<'m> Walk<'m> {
    fn set_out(machine: &'m Machine, args: &'m Args, dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        let office = Office::open(&dir.join("office"), &args.recorder, machine)?;
        let mark = format!("w{}", random_word()?);
        Ok(Self {
            machine,
            office,
            dir,
            recorder: &args.recorder,
            backend: &args.backend,
            mark,
            began: Instant::now(),
        })
    }

    /// The recorder as a service with an empty journal; `grants` are more lines for its `[grants]`.
    pub(crate) fn service(&self, grants: &str) -> Result<Service<'m>> {
        Service::install(self.machine, &self.office, &self.dir, self.backend, grants)
    }

    /// The journal as the investigator gets it, copied by scp from a recorder that has stopped.
    pub(crate) fn take_journal(&self) -> Result<Site> {
        let journal = self.dir.join("taken");
        self.machine.get(service::JOURNAL, &journal)?;
        let nowhere = PathBuf::from("/dev/null");
        let binary = self.recorder.to_path_buf();
        Ok(Site {
            binary,
            config: nowhere.clone(),
            journal,
            socket: nowhere,
            identity: None,
            notify: None,
            log: None,
        })
    }

    /// The same, of which nothing is missing and nothing worse than a gap is to be said; and what is in it.
    pub(crate) fn sound_journal(&self) -> Result<(Site, Events)> {
        let site = self.take_journal()?;
        self.step("stopped, and the journal is here");
        let (code, verdict) = site.verify()?;
        ensure!(code <= 1, "verify ended with {code}: {verdict}");
        let events = Events::load(&site)?;
        events.nothing_lost()?;
        Ok((site, events))
    }

    /// An argument that occurs nowhere else.
    pub(crate) fn tag(&self, tag: &str) -> String {
        format!("{}-{tag}", self.mark)
    }

    /// Tells where the walk is: it is minutes long, and a failure is read from here.
    pub(crate) fn step(&self, what: &str) {
        println!("  {:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("recorder-walk: {error:#}");
            ExitCode::from(64)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    for name in &args.only {
        let known = WALKS.iter().chain(BY_NAME).any(|(known, _)| known == name);
        ensure!(known, "no walk is named {name}");
    }
    let is_wanted = |(name, _): &&(&str, Run)| args.only.iter().any(|wanted| wanted == name);
    let chosen: Vec<_> = if args.only.is_empty() {
        WALKS.iter().collect()
    } else {
        WALKS.iter().chain(BY_NAME).filter(is_wanted).collect()
    };
    if args.list {
        for (name, _) in chosen {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dir = machine::scratch("walk")?;
    let (mut passed, mut failed, mut skipped) = (0u32, 0u32, 0u32);
    match boot(args, &dir) {
        Ok(machine) => {
            for (name, walk) in chosen {
                let start = Instant::now();
                let result = Walk::set_out(&machine, args, dir.join(name)).and_then(|set| walk(&set));
                let seconds = start.elapsed().as_secs_f64();
                match result {
                    Ok(()) => {
                        println!("ok {name} ({seconds:.1} s)");
                        passed += 1;
                    }
                    Err(error) => {
                        println!("FAILED {name} ({seconds:.1} s): {error:#}");
                        failed += 1;
                    }
                }
            }
        }
        Err(error) if error.is::<Unavailable>() => {
            for (name, _) in chosen {
                println!("SKIPPED {name}: {error:#}");
                skipped += 1;
            }
        }
        Err(error) => {
            println!("FAILED the machine: {error:#}");
            failed += 1;
        }
    }
    if args.keep && failed > 0 {
        println!("  kept: {}", dir.display());
    } else {
        let _ = fs::remove_dir_all(&dir);
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn boot(args: &Args, dir: &Path) -> Result<Machine> {
    if let Some(port) = args.port {
        return Machine::at(port, dir, args.patience);
    }
    let kernel = args.kernel.as_deref().context("no kernel")?;
    let files = args.files.as_deref().context("no files")?;
    let machine = Machine::boot(kernel, files, dir, args.patience)?;
    println!("  the machine was up after {:.1} s", machine.start().as_secs_f64());
    Ok(machine)
}
