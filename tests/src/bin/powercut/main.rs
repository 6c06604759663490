//! E8: the power goes while a machine writes a journal, on a disk with a write cache, again and again (docs/testing.md).
//!
//! The disk is ours (`disk`, `nbd`), so a cut takes away what a disk may lose: whatever was not flushed. The next boot says what
//! the verifier finds before it writes on; acknowledged is what the machine said over its serial line.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program talks on standard output")]

mod disk;
mod monitor;
mod nbd;
mod snapshots;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use disk::{CachedDisk, Cut, Dice};

/// Power cuts of an emulated machine under write load, or snapshots of one.
#[derive(Parser)]
struct Args {
    /// What writes in the machine (`recorder-pen`)
    #[arg(long)]
    pen: PathBuf,
    /// A cached kernel, by its whole version
    #[arg(long)]
    kernel: String,
    /// tests/vm/power.sh
    #[arg(long, default_value = "tests/vm/power.sh")]
    script: PathBuf,
    /// Cuts
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// Decides where the power goes and what the disk keeps [default: by the clock; printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Instead: a snapshot of a running machine, a clone of it, and one that is put back (`recorder` verifies)
    #[arg(long, requires = "recorder")]
    snapshots: bool,
    /// The recorder
    #[arg(long)]
    recorder: Option<PathBuf>,
    /// Seconds that a machine may take to its next line
    #[arg(long, default_value_t = 240)]
    patience: u64,
}

/// What a boot found.
#[derive(Debug)]
struct Found {
    exit: u32,
    count: u64,
    crashes: u64,
    codes: String,
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn found(line: &str) -> Option<Found> {
    let rest = line.strip_prefix("@@FOUND ")?;
    Some(Found {
        exit: field(rest, "exit")?.parse().ok()?,
        count: field(rest, "count")?.parse().ok()?,
        crashes: field(rest, "crashes")?.parse().ok()?,
        codes: field(rest, "codes")?.to_owned(),
    })
}

fn acknowledged(line: &str) -> Option<u64> {
    field(line.strip_prefix("@@ACK ")?, "count")?.parse().ok()
}

/// The machine, and what it says.
struct Machine {
    child: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
    server: thread::JoinHandle<()>,
    disk: Arc<Mutex<CachedDisk>>,
}

impl Machine {
    /// `saved`: it does not boot but goes on from that memory, when its monitor is told so.
    fn boot(args: &Args, dir: &Path, what: &str, saved: Option<&Path>) -> Result<Self> {
        let socket = dir.join("disk.sock");
        let _ = fs::remove_file(&socket);
        let image = File::options().read(true).write(true).open(dir.join("image"))?;
        let disk = Arc::new(Mutex::new(CachedDisk::new(image)?));
        let listener = UnixListener::bind(&socket)?;
        let served = Arc::clone(&disk);
        let server = thread::spawn(move || {
            // The emulator comes once; when it is killed the connection breaks, which is no fault.
            if let Ok((stream, _)) = listener.accept() {
                let _ = nbd::serve(stream, &served);
            }
        });
        let mut child = Command::new("bash")
            .arg(&args.script)
            .args([&args.kernel, what])
            .args([&args.pen, &dir.to_path_buf()])
            .args(saved)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the machine")?;
        let stdout = child.stdout.take().context("no pipe")?;
        let orders = child.stdin.take().context("no pipe")?;
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, orders, lines, server, disk })
    }

    fn next(&self, patience: u64) -> Result<String> {
        self.lines.recv_timeout(Duration::from_secs(patience)).context("the machine says nothing")
    }

    /// A line on its serial port.
    fn say(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).context("the machine is gone")
    }

    /// The last lines of its console.
    fn console(dir: &Path) -> String {
        let console = fs::read_to_string(dir.join("console")).unwrap_or_default();
        let tail: Vec<&str> = console.lines().rev().take(15).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Everything that it wrote is in the image; it must stand still.
    fn settle(&self) -> Result<()> {
        ensure!(self.disk.lock().unwrap_or_else(PoisonError::into_inner).flush()?, "no power");
        Ok(())
    }

    /// Gone, with what it has not flushed.
    fn end(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The first thing that it says of the journal.
    fn found(&self, patience: u64, dir: &Path) -> Result<Found> {
        loop {
            let line = self.next(patience).with_context(|| Self::console(dir))?;
            if let Some(found) = found(&line) {
                return Ok(found);
            }
            if line.starts_with("@@DIED") {
                bail!("{line}");
            }
        }
    }

    /// Takes the power away: the disk first, then the machine. The last count that was acknowledged.
    fn cut(mut self, dice: &mut Dice) -> Result<(Cut, Option<u64>)> {
        let cut = self.disk.lock().unwrap_or_else(PoisonError::into_inner).cut(dice)?;
        self.child.kill()?;
        self.child.wait()?;
        // What it said before is said.
        let last = self.lines.iter().filter_map(|line| acknowledged(&line)).last();
        // A machine that never asked for its disk leaves the server waiting; it goes with this process.
        if self.server.is_finished() {
            let _ = self.server.join();
        }
        Ok((cut, last))
    }
}

/// Boots until a machine comes as far as the journal: on a busy host an emulated one may not, and then it has written nothing.
fn boot(args: &Args, dir: &Path, what: &str) -> Result<(Machine, Found)> {
    let mut tries = 0;
    loop {
        let machine = Machine::boot(args, dir, what, None)?;
        tries += 1;
        match machine.found(args.patience, dir) {
            Ok(found) => return Ok((machine, found)),
            Err(error) => {
                let is_last = tries == 3 || error.to_string().starts_with("@@DIED");
                machine.cut(&mut Dice(tries))?;
                if is_last {
                    return Err(error);
                }
                println!("power-cuts: a machine did not come up: {}", error.root_cause());
            }
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let name = if args.snapshots { "snapshots" } else { "power-cuts" };
    match run(&args, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED {name}: {error:#}");
            println!("0 passed, 1 failed, 0 skipped");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, name: &str) -> Result<()> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = args.seed.unwrap_or(clock.as_secs());
    let scratch = std::env::temp_dir().join(format!("recorder-{name}-{}", std::process::id()));
    fs::create_dir(&scratch)?;
    let result = if args.snapshots {
        println!("{name}: kernel {}", args.kernel);
        snapshots::run(args, &scratch)
    } else {
        println!("{name}: seed {seed}, {} rounds, kernel {}", args.rounds, args.kernel);
        rounds(args, &scratch, &mut Dice(seed))
    };
    if result.is_ok() {
        fs::remove_dir_all(&scratch)?;
    } else {
        println!("{name}: the disks are kept in {}", scratch.display());
    }
    result
}

/// An empty file system.
fn new_image(image: &Path, bytes: u64) -> Result<()> {
    File::create(image)?.set_len(bytes)?;
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
        .arg(image)
        .status();
    ensure!(made.context("mkfs.ext4")?.success(), "mkfs.ext4 failed");
    Ok(())
}

fn rounds(args: &Args, dir: &Path, dice: &mut Dice) -> Result<()> {
    new_image(&dir.join("image"), 256 << 20)?;
    let start = Instant::now();
    let (mut acked, mut commits, mut total) = (0, 0u64, Cut::default());
    let mut crashes = 0;
    for round in 1..=args.rounds {
        let (machine, found) = boot(args, dir, "write").with_context(|| format!("round {round}"))?;
        held(&found, acked, crashes, round)?;
        acked = found.count;
        let wanted = 5 + dice.roll(60);
        let mut told = 0;
        while told < wanted {
            let line = machine.next(args.patience)?;
            ensure!(!line.starts_with("@@DIED"), "round {round}: {line}");
            if let Some(count) = acknowledged(&line) {
                (acked, told) = (count, told + 1);
            }
        }
        // Somewhere in one of the next commits, or in the making of a segment.
        machine.disk.lock().unwrap_or_else(PoisonError::into_inner).cut_after(dice.roll(24));
        while !machine.disk.lock().unwrap_or_else(PoisonError::into_inner).is_dead {
            match machine.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => {
                    if let Some(count) = acknowledged(&line) {
                        (acked, told) = (count, told + 1);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("round {round}: the machine ended"),
            }
        }
        let (cut, last) = machine.cut(dice)?;
        acked = last.unwrap_or(acked);
        (commits, total.kept, total.dropped) =
            (commits + told, total.kept + cut.kept, total.dropped + cut.dropped);
        crashes += 1;
        println!(
            "power-cuts: round {round}: {told} commits, {acked} records acknowledged; of the cache {} sectors kept, {} lost",
            cut.kept, cut.dropped
        );
    }
    let (machine, found) = boot(args, dir, "check")?;
    held(&found, acked, crashes, args.rounds + 1)?;
    machine.cut(dice)?;
    println!(
        "ok power-cuts ({:.1} s): {} cuts, {commits} acknowledged commits, {} records; {} unflushed sectors kept, {} lost; findings {}",
        start.elapsed().as_secs_f64(),
        args.rounds,
        found.count,
        total.kept,
        total.dropped,
        found.codes
    );
    println!("1 passed, 0 failed, 0 skipped");
    Ok(())
}

/// What must hold after each cut: whole, nothing acknowledged is gone, and each restart is declared.
fn held(found: &Found, acked: u64, crashes: u64, round: u32) -> Result<()> {
    ensure!(found.exit <= 1, "round {round}: verify ends with {}: {}", found.exit, found.codes);
    ensure!(
        found.count >= acked,
        "round {round}: {acked} records were acknowledged, {} are sealed",
        found.count
    );
    // The first run enrols, each later one declares a restart when it begins.
    let declared = crashes.saturating_sub(1);
    ensure!(
        found.crashes == declared,
        "round {round}: {} restarts are declared, {declared} were",
        found.crashes
    );
    Ok(())
}
