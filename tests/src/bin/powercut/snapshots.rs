//! F6: a snapshot of a running machine, disk and memory, from which others go on: a clone beside it, and one that is put in its place
//! (docs/testing.md). Each recorder goes on as if nothing had happened; checkpoints kept outside tell.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::journal::texts;
use serde_json::{Value, json};

use crate::{Args, Machine, monitor::Monitor, new_image};

const WHOLE: &[&str] = &["ENCRYPTION_OFF", "ORIGIN_UNCHECKED"];
const UNPROVEN: &[&str] = &["ENCRYPTION_OFF", "END_UNPROVEN", "ORIGIN_UNCHECKED"];

const FORK: &[&str] = &["ENCRYPTION_OFF", "END_UNPROVEN", "FORK", "ORIGIN_UNCHECKED"];
/// Against one that has also grown further.
const FORK_AND_SHORTER: &[&str] =
    &["ENCRYPTION_OFF", "END_UNPROVEN", "FORK", "ORIGIN_UNCHECKED", "ROLLED_BACK"];

/// A machine that does as it is told, and the checkpoints that it handed out.
struct Host {
    machine: Machine,
    monitor: Monitor,
    dir: PathBuf,
    notes: PathBuf,
}

impl Host {
    /// A new one, or one that goes on from a saved memory.
    fn start(args: &Args, dir: PathBuf, saved: Option<&Path>) -> Result<Self> {
        let machine = Machine::boot(args, &dir, "hand", saved)?;
        let limit = Duration::from_secs(args.patience);
        let mut monitor = Monitor::connect(&dir.join("monitor"), limit)?;
        if saved.is_some() {
            recorder_tests::proc::until("the memory is there", limit, || {
                monitor.state().is_ok_and(|state| state == "paused").then_some(())
            })?;
            monitor.order("cont", &json!({}))?;
        }
        let notes = dir.join("notes");
        Ok(Self { machine, monitor, dir, notes })
    }

    /// What it hands out until it waits for its next order, kept as anchors.
    fn until_it_waits(&self, args: &Args) -> Result<()> {
        loop {
            let line = self.machine.next(args.patience).with_context(|| Machine::console(&self.dir))?;
            if line.starts_with("@@NOTE ") {
                writeln!(fs::File::options().create(true).append(true).open(&self.notes)?, "{line}")?;
            }
            if line.starts_with("@@WAIT") {
                return Ok(());
            }
            if line.starts_with("@@DIED") {
                bail!("{line}");
            }
        }
    }

    /// So many commits by this name, then a checkpoint.
    fn write(&mut self, args: &Args, name: &str, commits: u32) -> Result<()> {
        self.machine.say(&format!("{name} {commits}"))?;
        self.until_it_waits(args)
    }

    /// The log is stopped, the machine ended; the journal as it lies on its disk.
    fn stop(mut self, args: &Args) -> Result<PathBuf> {
        self.machine.say("stop 0")?;
        self.until_it_waits(args)?;
        self.monitor.order("stop", &json!({}))?;
        self.machine.settle()?;
        self.machine.end()?;
        journal(&self.dir)
    }
}

/// What lies on the disk of a machine that is gone.
fn journal(dir: &Path) -> Result<PathBuf> {
    let image = dir.join("image");
    // The file system's own journal; 1: something was put right.
    let checked = Command::new("e2fsck").args(["-p", "-f"]).arg(&image).output().context("e2fsck")?;
    ensure!(
        matches!(checked.status.code(), Some(0 | 1)),
        "e2fsck: {}",
        String::from_utf8_lossy(&checked.stdout)
    );
    let order = format!("rdump /journal {}", dir.display());
    let copied = Command::new("debugfs").args(["-R", &order]).arg(&image).output().context("debugfs")?;
    ensure!(copied.status.success() && dir.join("journal").is_dir(), "debugfs copied no journal");
    Ok(dir.join("journal"))
}

/// The verdict with these anchors, and without any.
fn judged(args: &Args, journal: &Path, anchors: &[&Path], exit: i32, expected: &[&str]) -> Result<()> {
    let mut command = Command::new(args.recorder.as_deref().context("--recorder is needed")?);
    command.args(["verify", "--format", "json"]).arg(journal);
    for anchor in anchors {
        command.arg("--anchor").arg(anchor);
    }
    let out = command.output().context("the verifier")?;
    let said = String::from_utf8_lossy(&out.stdout);
    let json: Value = serde_json::from_str(&said)
        .with_context(|| format!("verify: {}: {}", out.status, String::from_utf8_lossy(&out.stderr)))?;
    let mut codes = texts(&json, "findings", "code");
    codes.sort_unstable();
    codes.dedup();
    ensure!(
        out.status.code() == Some(exit) && codes == expected,
        "{codes:?} instead of {expected:?}: {said}"
    );
    Ok(())
}

fn place(parent: &Path, name: &str, like: &Path) -> Result<PathBuf> {
    let dir = parent.join(name);
    fs::create_dir(&dir)?;
    for file in ["initramfs", "image"] {
        fs::copy(like.join(file), dir.join(file))?;
    }
    Ok(dir)
}

pub(crate) fn run(args: &Args, scratch: &Path) -> Result<()> {
    let start = Instant::now();
    let limit = Duration::from_secs(args.patience);
    let first = scratch.join("first");
    fs::create_dir(&first)?;
    new_image(&first.join("image"), 64 << 20)?;
    let mut host = Host::start(args, first.clone(), None)?;
    host.until_it_waits(args)?;
    host.write(args, "before", 6)?;
    println!("snapshots: a machine writes ({:.0} s)", start.elapsed().as_secs_f64());

    // The snapshot: memory and disk at one moment. What was handed out before it is no news to anybody.
    host.monitor.order("stop", &json!({}))?;
    let memory = scratch.join("memory");
    host.monitor.save(&memory, limit)?;
    host.machine.settle()?;
    let [clone, restored, unused] = ["clone", "restored", "unused"].map(|name| place(scratch, name, &first));
    let (clone, restored, unused) = (clone?, restored?, unused?);
    let notes_before = scratch.join("before");
    fs::copy(&host.notes, &notes_before)?;
    host.monitor.order("cont", &json!({}))?;
    println!("snapshots: saved ({:.0} s)", start.elapsed().as_secs_f64());

    // A clone beside it: two machines, one memory, each with work of its own.
    let mut twin = Host::start(args, clone, Some(&memory))?;
    host.write(args, "first", 5)?;
    twin.write(args, "clone", 7)?;
    host.write(args, "first", 5)?;
    twin.write(args, "clone", 7)?;
    let (first_notes, clone_notes) = (host.notes.clone(), twin.notes.clone());
    let first = host.stop(args)?;
    let clone = twin.stop(args)?;
    println!("snapshots: both stopped ({:.0} s)", start.elapsed().as_secs_f64());

    // Each alone is whole, by what it says itself and by its own checkpoints; the other's are of another log.
    for (whose, journal, own, others, found) in [
        ("the first", &first, &first_notes, &clone_notes, FORK_AND_SHORTER),
        ("the clone", &clone, &clone_notes, &first_notes, FORK),
    ] {
        judged(args, journal, &[], 1, UNPROVEN).with_context(|| format!("{whose}, alone"))?;
        judged(args, journal, &[own, &notes_before], 1, WHOLE)
            .with_context(|| format!("{whose}, its own anchors"))?;
        judged(args, journal, &[others], 2, found)
            .with_context(|| format!("{whose}, the other's anchors"))?;
    }

    // The snapshot put back. Before it goes on it is only shorter; what it admits alone is the end that nothing proves.
    let unused = journal(&unused)?;
    let cut = ["ENCRYPTION_OFF", "END_UNPROVEN", "ORIGIN_UNCHECKED", "UNCLEAN_END"];
    judged(args, &unused, &[], 1, &cut).context("the snapshot, alone")?;
    // Its end is proven by the checkpoint before it; that it is not the log's, by those behind.
    let rolled = ["ENCRYPTION_OFF", "ORIGIN_UNCHECKED", "ROLLED_BACK", "UNCLEAN_END"];
    judged(args, &unused, &[&first_notes], 3, &rolled).context("the snapshot, not gone on")?;
    let mut host = Host::start(args, restored, Some(&memory))?;
    host.write(args, "restored", 20)?;
    let own = host.notes.clone();
    let restored = host.stop(args)?;
    judged(args, &restored, &[], 1, UNPROVEN).context("restored, alone")?;
    judged(args, &restored, &[&own, &notes_before], 1, WHOLE).context("restored, its own anchors")?;
    let forked = ["ENCRYPTION_OFF", "END_UNPROVEN", "FORK", "ORIGIN_UNCHECKED"];
    judged(args, &restored, &[&first_notes], 2, &forked)
        .context("restored, the anchors of what it took the place of")?;
    println!(
        "ok snapshots ({:.1} s): a clone and a restored machine, each whole alone, each a fork against the other's checkpoints",
        start.elapsed().as_secs_f64()
    );
    println!("1 passed, 0 failed, 0 skipped");
    Ok(())
}
