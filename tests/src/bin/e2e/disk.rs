//! F3: a disk that hangs under a recorder at work: a real file system of its own, frozen and thawed again.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, number, sessions, text, texts},
    proc,
    recorder::Running,
};
use serde_json::Value;

use crate::{
    secrets::leave,
    stage::{Stage, quiet},
};

/// A run without a seal for so long is a GAP.
const GAP: Duration = Duration::from_secs(30);
/// Files of the flood: three records each, several times what waits in memory.
const FLOOD: u32 = 60_000;
/// What the recorder may grow by: what waits, with room for how records lie in memory.
const GROWTH_KB: u64 = 96 << 10;

/// ext4 in a file, gone with the scenario.
struct Disk(String);

/// A disk that hangs until it is thawed or dropped. A recorder that writes to it can't be killed before.
struct Frozen {
    at: String,
    since: Instant,
}

impl Disk {
    /// Mounted, and the journal's place from now on.
    fn under_journal(stage: &mut Stage) -> Result<Self> {
        let (image, at) = (stage.path("image"), stage.path("disk"));
        fs::File::create(&image)?.set_len(512 << 20)?;
        quiet("mkfs.ext4", &["-q", "-F", &image])?;
        fs::create_dir(&at)?;
        stage.janitor.at_end(&format!("fsfreeze -u {at}; umount -l {at}"))?;
        quiet("mount", &["-o", "loop", &image, &at])?;
        let journal = PathBuf::from(&at).join("journal");
        let config = fs::read_to_string(&stage.site.config)?;
        let config = config.replacen(&*stage.site.journal.to_string_lossy(), &journal.to_string_lossy(), 1);
        fs::write(&stage.site.config, config)?;
        stage.site.journal = journal;
        Ok(Self(at))
    }

    fn freeze(&self) -> Result<Frozen> {
        quiet("fsfreeze", &["-f", &self.0])?;
        Ok(Frozen { at: self.0.clone(), since: Instant::now() })
    }
}

impl Frozen {
    /// How long it was frozen.
    fn thaw(self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = quiet("fsfreeze", &["-u", &self.at]);
    }
}

/// Counts what systemd's watchdog would be fed with.
fn watchdog(stage: &mut Stage) -> Result<Arc<AtomicU64>> {
    let path = stage.dir.join("notify");
    let socket = UnixDatagram::bind(&path)?;
    stage.site.notify = Some(path);
    let fed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&fed);
    thread::spawn(move || {
        let mut state = [0; 256];
        while let Ok(n) = socket.recv(&mut state) {
            if state.get(..n) == Some(b"WATCHDOG=1") {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Ok(fed)
}

fn status(stage: &Stage) -> Option<Value> {
    let mut command = Command::new(&stage.site.binary);
    command.args(["status", "--all", "--format", "json", "--socket"]).arg(&stage.site.socket);
    serde_json::from_slice(&command.output().ok()?.stdout).ok()
}

/// Waits until storage is said to be so; since when.
fn storage(stage: &Stage, state: &str) -> Result<String> {
    proc::until(&format!("storage is {state}"), stage.limit(30), || {
        let status = status(stage)?;
        (text(&status, &["storage", "state"]) == state)
            .then(|| text(&status, &["storage", "since"]).to_owned())
    })
}

fn resident_kb(running: &Running) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", running.child().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("VmRSS")
}

/// The findings are these, and GAP if it was frozen for longer than is no gap.
fn findings(stage: &Stage, expected: &[&str], frozen: Duration) -> Result<()> {
    let json = stage.whole()?;
    let mut codes = texts(&json, "findings", "code");
    codes.sort_unstable();
    codes.dedup();
    let gap = codes.contains(&"GAP");
    codes.retain(|code| *code != "GAP");
    ensure!(codes == expected, "{codes:?} instead of {expected:?}: {json}");
    // Between a seal before and one behind there is up to a heartbeat more.
    ensure!(gap || frozen < GAP, "frozen for {frozen:?}, and no GAP");
    ensure!(!gap || frozen > GAP / 2, "frozen for {frozen:?}, and a GAP");
    Ok(())
}

/// Some seconds: everything goes on but the writing, and all of it is written behind them.
pub(crate) fn f3_disk_hangs(stage: &mut Stage) -> Result<()> {
    let (oncall, other) = (stage.account("oncall", Sudo::Free)?, stage.account("other", Sudo::Free)?);
    let disk = Disk::under_journal(stage)?;
    let fed = watchdog(stage)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    ensure!(storage(stage, "sound")?.is_empty(), "sound since something");
    let frozen = disk.freeze()?;
    let before = fed.load(Ordering::Relaxed);
    let load = format!(
        "{} execs --count 400 --prefix {} --truth {}; echo did-$((40+2))",
        stage.workload(),
        stage.mark,
        stage.path("truth")
    );
    terminal.ask(&load, "did-42", stage.limit(60))?;
    let since = storage(stage, "hanging")?;
    ensure!(!since.is_empty(), "hanging since when?");
    // The pump goes round: a session that begins now is known.
    let mut second = stage.shell(&other)?;
    stage.become_root(&mut second)?;
    proc::until("a session that began meanwhile is shown", stage.limit(20), || {
        let status = status(stage)?;
        let list = status.get("sessions").and_then(Value::as_array)?.clone();
        list.iter().any(|session| text(session, &["account"]) == other.name).then_some(())
    })?;
    leave(stage, second, 2)?;
    proc::until("the watchdog is fed", stage.limit(20), || {
        (fed.load(Ordering::Relaxed) >= before + 3).then_some(())
    })?;
    let frozen = frozen.thaw();
    storage(stage, "sound")?;
    leave(stage, terminal, 2)?;
    ensure!(running.said().contains("the journal hangs"), "nobody was told: {}", running.said());
    let events = stage.finish(running)?;
    findings(stage, &["ENCRYPTION_OFF", "END_UNPROVEN", "ORIGIN_UNCHECKED"], frozen)?;

    let args = events.exec_args();
    for n in 0..200 {
        for kind in ["v", "s"] {
            let name = format!("{}-{kind}-{n}", stage.mark);
            ensure!(args.get(name.as_str()) == Some(&1), "{name} is not there once");
        }
    }
    let late = |e: &&Value| text(e, &["storage", "operation"]).starts_with("wait ");
    ensure!(events.of_kind("storage").filter(late).count() == 1, "the wait is not on record");
    let ours = |session: &&Value| [&*oncall.name, &*other.name].contains(&text(session, &["user"]));
    ensure!(sessions(&stage.site)?.iter().filter(ours).count() == 2, "two sessions");
    Ok(())
}

/// For good: what waits is bounded and what is lost is counted; whoever can't be recorded is ended; then it goes on.
pub(crate) fn f3_disk_hangs_for_good(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let disk = Disk::under_journal(stage)?;
    let config = fs::read_to_string(&stage.site.config)?;
    let config = config.replacen("[journal]\n", "[journal]\non_storage_failure = \"end-sessions\"\n", 1);
    // Whoever else is at work on this machine is recorded too, and is not to be ended.
    let passwd = fs::read_to_string("/etc/passwd")?;
    let others: Vec<&str> = passwd
        .lines()
        .filter_map(|line| line.split(':').next())
        .filter(|name| *name != oncall.name)
        .collect();
    fs::write(&stage.site.config, format!("{config}[grants]\nexempt = {others:?}\n"))?;
    let fed = watchdog(stage)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let before = resident_kb(&running)?;
    let frozen = disk.freeze()?;
    // Records wait in memory only once nothing is taken any more.
    storage(stage, "hanging")?;
    let load = format!(
        "{} files --count {FLOOD} --failing 0 --dir {} --truth {}; echo did-$((40+2))",
        stage.workload(),
        stage.path(&stage.mark),
        stage.path("truth")
    );
    terminal.ask(&load, "did-42", stage.limit(50))?;
    let grown = resident_kb(&running)?.saturating_sub(before);
    println!("  the recorder grew by {} MiB", grown >> 10);
    ensure!(grown < GROWTH_KB, "it grew by {grown} kB");
    let fed_before = fed.load(Ordering::Relaxed);
    proc::until("the session is ended", stage.limit(90), || {
        let status = status(stage)?;
        let list = status.get("sessions").and_then(Value::as_array)?;
        list.iter().all(|session| text(session, &["account"]) != oncall.name).then_some(())
    })?;
    ensure!(fed.load(Ordering::Relaxed) > fed_before, "the watchdog was not fed");
    let frozen = frozen.thaw();
    storage(stage, "sound")?;
    // The shell of the login bears no mark.
    leave(stage, terminal, 1)?;
    running.stop(stage.limit(60))?;
    findings(stage, &["ENCRYPTION_OFF", "END_UNPROVEN", "LOSS", "ORIGIN_UNCHECKED"], frozen)?;

    let events = Events::load(&stage.site)?;
    let session = sessions(&stage.site)?.into_iter().find(|session| text(session, &["user"]) == oncall.name);
    let session = session.context("no session")?;
    let hung_up = events.of_kind("enforcement").find(|e| text(e, &["enforcement", "act"]) == "hung_up");
    let hung_up = hung_up.context("that it was ended is not on record")?;
    ensure!(text(hung_up, &["session"]) == text(&session, &["id"]), "of another session: {hung_up}");
    ensure!(
        text(&session, &["completeness"]).starts_with("complete with declared loss")
            || text(&session, &["completeness"]) == "complete_with_loss",
        "{session}"
    );
    let truth = stage.truth("truth")?;
    let dir = format!("{}/", text(&truth, &["dir"]));
    let kinds = ["create", "rename", "unlink"];
    let total: u64 = kinds.iter().filter_map(|kind| number(&truth, &[kind])).sum();
    let ours = |event: &&Value| text(event, &["file", "path"]).starts_with(&dir);
    let kept: usize = kinds.iter().map(|kind| events.of_kind(kind).filter(ours).count()).sum();
    let lost = number(&session, &["loss"]).context("a session without a count")?;
    println!("  {total} records, {kept} kept, {lost} declared as lost, frozen for {frozen:.0?}");
    // What a ring lost is everybody's loss; what found no place in memory is this session's, the shell's own files among it.
    let everybodys = events.of_kind("loss").filter(|e| text(e, &["loss", "ring"]) != "journal");
    let of_rings: u64 = everybodys.filter_map(|e| number(e, &["loss", "count"])).sum();
    let known = u64::try_from(kept)? + lost + of_rings;
    let told = format!("{total} records, {kept} kept, {lost} of the session and {of_rings} of rings lost");
    ensure!(lost > 0 && known >= total, "{told}");
    ensure!(of_rings > 0 || known < total + 500, "{told}");
    Ok(())
}
