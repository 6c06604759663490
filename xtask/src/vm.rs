//! `cargo xtask vm`: the suites on stock Debian kernels under emulation (docs/testing.md, VM recipe). The shell parts are tests/vm/.

mod host;
mod kernels;
mod power;
mod snapshots;

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{
    build::{self, Binaries},
    build_ebpf,
    outcome::{self, Ending, Totals},
    setup, sh,
};
use kernels::{Kernel, Support};

/// All is emulated: deadlines of the suites are stretched by this.
const PATIENCE: &str = "10";
/// What the `tracepoint` backend proves on kernels that have the other one too: what it reads there. All else it proves natively, where
/// it is the one that runs; `--whole` runs all.
const OF_TRACEPOINTS: &str = "doctor-tells-the-backend,execs-all-there,files-all-there,d9-names-and-attributes,d6-system-and-sockets,\
    terminal-byte-exact,e6-acts-in-a-flood,secret-at-hidden-prompt,two-people-two-sessions,permissions-used,namespaces-entered,\
    a1-no-terminal,a1-what-pipes-show,c1-digests-of-programs,c4-c7-c9-beyond-the-exec,c2-c3-c5-c6-c8-c10-what-the-kernel-used,\
    d1-d2-d3-d4-d8-other-ways,d10-descriptors-from-elsewhere,d11-d12-names-and-masses,resize-is-recorded,b1-asked-for-a-unit,\
    b4-planted-script,missing-links,canaries-come-back,restart-in-the-middle";
/// Walks that every kernel has; of the others each is walked on one kernel in turn, `--whole` on all.
const EVERYWHERE: [&str; 3] = ["service-lifecycle", "grants-enforced", "package-life"];
/// What a host without the bpf LSM does otherwise: there is no guard, and what is not refused is ended by a signal.
const OF_NO_LSM: &str =
    "doctor-tells-the-backend,elevation-is-refused,e1-e4-e5-f2-attempts-on-record,e1-held-from-before";
/// Such a host.
const WITHOUT_LSM: &str = "lsm=lockdown,yama";
/// What one systemd machine takes about five minutes for.
const WALKS_A_MACHINE: usize = 2;
/// Seconds for one machine, as a last resort behind the suites' own deadlines.
const MACHINE_LIMIT: &str = "2100";
/// So many lines of a machine that ended without a closing line are told again at the end.
const LAST_WORDS: usize = 30;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the suites on every kernel of the matrix and on every backend
    Matrix(Matrix),
    /// Run one suite on one kernel, or any command
    Run(Run),
    /// The systemd machine: the walks on it, any command, or a machine to log in to
    Host(host::Args),
    /// Power cuts under write load, on a disk with a write cache
    Power(power::Args),
    /// A snapshot of a running machine: a clone, and one that is put back, against checkpoints kept outside
    Snapshot(snapshots::Args),
}

#[derive(clap::Args)]
pub(crate) struct Matrix {
    /// Only kernels whose version starts so, such as 6.1
    #[arg(long, value_delimiter = ',')]
    kernels: Vec<String>,
    /// Also the optional kernels (newest suites)
    #[arg(long)]
    all: bool,
    /// Machines at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only these scenarios
    #[arg(long)]
    only: Option<String>,
    /// Every scenario with both backends and every walk, on every kernel
    #[arg(long)]
    whole: bool,
    /// A kernel that can't be had fails
    #[arg(long)]
    strict: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Start of the kernel's version, such as 6.12
    kernel: String,
    /// What to run in the machine [default: the suite]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::for_vm()?;
    build_ebpf::build(None)?;
    let binaries = build::programs(build::Finish::Suite)?;
    match &args.command {
        Action::Matrix(matrix) => {
            let totals = run_matrix(matrix, &binaries)?;
            println!("{}", totals.line());
            Ok(if totals.is_good(matrix.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Run(run) => {
            let kernel = kernels::find(&run.kernel)?;
            let words: Vec<String> =
                if run.command.is_empty() { suite("auto", "e2e", None) } else { run.command.clone() };
            let machine = Machine::prepare(&binaries)?;
            let job = Job { name: String::new(), kernel, work: Work::Suite(words), append: "" };
            let (code, _) = machine.run(&job, "")?;
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Action::Host(args) => host::run(args, &binaries),
        Action::Power(args) => power::run(args, &binaries),
        Action::Snapshot(args) => snapshots::run(args, &binaries),
    }
}

/// The matrix as the test command runs it.
pub(crate) fn matrix(binaries: &Binaries) -> Result<Totals> {
    run_matrix(
        &Matrix { kernels: Vec::new(), all: false, jobs: 2, only: None, whole: false, strict: false },
        binaries,
    )
}

/// One machine's worth of work.
struct Job {
    name: String,
    kernel: Kernel,
    work: Work,
    /// More words for its kernel's command line.
    append: &'static str,
}

enum Work {
    /// This command on a machine that has a kernel, busybox and the suites.
    Suite(Vec<String>),
    /// These walks on the systemd machine, with that backend.
    Walks(&'static str, Vec<String>),
    /// So many power cuts.
    Power(u32),
    /// A snapshot, a clone, a machine that is put back.
    Snapshots,
}

fn run_matrix(args: &Matrix, binaries: &Binaries) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut jobs = Vec::new();
    let walks = host::walks(binaries)?;
    let mut kernels = Vec::new();
    for wanted in kernels::WANTED.iter().filter(|wanted| args.all || !wanted.optional) {
        match wanted.get() {
            Ok(kernel) if args.kernels.is_empty() || args.kernels.iter().any(|k| kernel.is(k)) => {
                kernels.push((wanted.support, kernel));
            }
            Ok(_) => {}
            Err(why) => {
                let ending = Ending::Skipped(format!("{why:#}"));
                outcome::tell(&format!("vm {}", wanted.suite), &ending);
                totals.count(&ending);
            }
        }
    }
    let full: Vec<_> = kernels.iter().filter(|(support, _)| *support == Support::Full).collect();
    for (support, kernel) in &kernels {
        let turn = full.iter().position(|(_, other)| other.version == kernel.version).unwrap_or(0);
        jobs.extend(jobs_for(*support, kernel, args, (turn, full.len()), &walks));
    }
    // The longest first, so that no machine is left to run alone at the end.
    jobs.sort_by_key(|job| !matches!(job.work, Work::Suite(_)));
    let machine = Machine::prepare(binaries)?;
    let queue = Mutex::new(jobs.into_iter());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                // The lock ends with the condition, so machines run side by side.
                let next = || queue.lock().ok().and_then(|mut queue| queue.next());
                while let Some(job) = next() {
                    let result = machine.run(&job, &format!("[{}] ", job.name));
                    if let Ok(mut results) = results.lock() {
                        results.push((job.name, result));
                    }
                }
            });
        }
    });
    for (name, result) in results.into_inner().unwrap_or_default() {
        let ending = match result {
            Ok((code, counted)) => {
                totals.add(counted);
                match code {
                    0 if counted.passed > 0 => Ending::Passed,
                    0 if counted.skipped > 0 => Ending::Skipped(counted.line()),
                    0 => Ending::Failed("the machine ran no test".to_owned()),
                    code => Ending::Failed(format!("ended with {code}; {}", counted.line())),
                }
            }
            Err(error) => Ending::Failed(format!("{error:#}")),
        };
        outcome::tell(&format!("vm {name}"), &ending);
        let of_it = format!("[{name}] ");
        outcome::failures()
            .iter()
            .filter(|line| line.starts_with(&of_it))
            .for_each(|line| println!("        {line}"));
        // The scenarios are counted; a machine counts only when it failed without one of them failing.
        if matches!(ending, Ending::Failed(_)) && totals.failed == 0 {
            totals.count(&ending);
        }
    }
    Ok(totals)
}

/// `turn` of so many kernels with full support this one is.
fn jobs_for(
    support: Support,
    kernel: &Kernel,
    args: &Matrix,
    (turn, kernels): (usize, usize),
    walks: &[String],
) -> Vec<Job> {
    let job = |name: &str, work| {
        let name = format!("{} {name}", kernel.version);
        Job { name, kernel: kernel.clone(), work, append: "" }
    };
    let only = args.only.as_deref();
    let is_first = turn == 0;
    match support {
        Support::Full => {
            let mut jobs = Vec::from(["trampoline", "tracepoint"].map(|backend| {
                let part = (backend == "tracepoint" && !args.whole).then_some(OF_TRACEPOINTS);
                let mut words = suite(backend, "e2e", only.or(part));
                // Where the suites run natively they prove the whole counts for one backend at least; emulated, the other one
                // gets them on the oldest kernel, whose verifier and per-cpu code are the strictest.
                let share = match (backend, is_first) {
                    ("tracepoint", _) => "8",
                    (_, true) => "2",
                    (_, false) => "4",
                };
                words.extend(["--share", share].map(str::to_owned));
                // What is the same on every kernel runs on one of them, and kills are most on it.
                if backend == "trampoline" && is_first || only.is_some() {
                    words.push("--whole".to_owned());
                } else {
                    words.extend(["--crashes", "2"].map(str::to_owned));
                }
                job(backend, Work::Suite(words))
            }));
            // `--only` names scenarios, and no walk is one.
            if only.is_none() {
                let is_here = |(n, walk): &(usize, &String)| {
                    args.whole || n % kernels == turn || EVERYWHERE.contains(&walk.as_str())
                };
                let here: Vec<_> = walks.iter().enumerate().filter(is_here).map(|(_, w)| w.clone()).collect();
                for (n, walks) in here.chunks(WALKS_A_MACHINE).enumerate() {
                    jobs.push(job(&format!("host {}", n + 1), Work::Walks("trampoline", walks.to_vec())));
                }
                // Hosts without the bpf LSM: the suite's part on one kernel, and on another the service, with the other backend.
                let work = if is_first {
                    Work::Walks("tracepoint", vec!["unguarded".to_owned()])
                } else {
                    Work::Suite(suite("trampoline", "e2e", Some(OF_NO_LSM)))
                };
                jobs.push(Job { append: WITHOUT_LSM, ..job("without bpf LSM", work) });
                // What the disk keeps is the same on every kernel.
                if is_first {
                    jobs.push(job("power", Work::Power(power::ROUNDS)));
                    jobs.push(job("snapshots", Work::Snapshots));
                }
            }
            jobs
        }
        Support::Refused => vec![job("refusal", Work::Suite(suite("auto", "refused", None)))],
    }
}

fn suite(backend: &str, suite: &str, only: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = [
        "/recorder-e2e",
        "--recorder",
        "/recorder",
        "--patience",
        PATIENCE,
        "--suite",
        suite,
        "--backend",
        backend,
    ]
    .map(str::to_owned)
    .into();
    words.extend(only.into_iter().flat_map(|names| ["--only".to_owned(), names.to_owned()]));
    words
}

/// The files that every machine gets.
struct Machine {
    binaries: Binaries,
    files: PathBuf,
    host: PathBuf,
}

impl Machine {
    fn prepare(binaries: &Binaries) -> Result<Self> {
        let files = sh::root().join("target/vm/kernel");
        fs::create_dir_all(&files)?;
        for path in [&binaries.recorder, &binaries.e2e, &binaries.workload] {
            let to = files.join(path.file_name().context("a binary without a name")?);
            fs::copy(path, &to).with_context(|| format!("no static binary at {}", path.display()))?;
            // Symbols would triple the memory that the initramfs takes.
            let _ = sh::succeeds(Command::new("strip").arg(&to));
        }
        Ok(Self { binaries: binaries.clone(), files, host: host::files(binaries)? })
    }

    /// Boots, shows every line behind `prefix`, gives the exit code and what the closing line counted.
    fn run(&self, job: &Job, prefix: &str) -> Result<(i32, Totals)> {
        let kernel = &job.kernel.version;
        let limit = std::env::var("VM_TIMEOUT").unwrap_or_else(|_| MACHINE_LIMIT.to_owned());
        let mut command = match &job.work {
            Work::Suite(words) => {
                let mut boot = script("boot.sh");
                boot.arg(kernel).arg(&self.files).args(words).env("VM_TIMEOUT", limit);
                boot
            }
            Work::Power(rounds) => power::cuts(&self.binaries, kernel, *rounds),
            Work::Snapshots => snapshots::taken(&self.binaries, kernel),
            Work::Walks(backend, walks) => host::walk(&self.binaries, &self.host, kernel, backend, walks),
        };
        if !job.append.is_empty() {
            command.env("VM_APPEND", job.append);
        }
        follow(&mut command, prefix)
    }
}

/// Runs a suite, shows every line behind `prefix`, gives the exit code and what the closing line counted.
fn follow(command: &mut Command, prefix: &str) -> Result<(i32, Totals)> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the machine")?;
    let (mut counted, mut told, mut last) = (Totals::default(), false, VecDeque::new());
    let stdout = child.stdout.take().context("no pipe")?;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if let Some(totals) = Totals::parse(line) {
            (counted, told) = (totals, true);
        }
        outcome::heard(prefix, line);
        println!("{prefix}{line}");
        last.push_back(line.to_owned());
        if last.len() > LAST_WORDS {
            last.pop_front();
        }
    }
    if !told {
        outcome::last_words(prefix, last.iter().map(String::as_str));
    }
    let status = child.wait()?;
    Ok((status.code().unwrap_or(125), counted))
}

fn script(name: &str) -> Command {
    let mut command = sh::clean("bash");
    command.arg(Path::new("tests/vm").join(name));
    command
}
