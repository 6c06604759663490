//! An hour of three people at work, with restarts and rotations and the guard in force: memory, descriptors, and every act accounted for.

use std::{
    collections::HashSet,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{Events, argv, files, number, text},
    proc,
};

use crate::Walk;

/// Minutes, unless `WALK_MINUTES` says otherwise; `VM_TIMEOUT` has to be as long.
const MINUTES: u64 = 10;
const RESTARTS: u32 = 5;
/// Between looks at the recorder, and a wait for its processor time when nobody does anything.
const LOOK: Duration = Duration::from_secs(30);
const STILL: &str = "60";
const PEOPLE: [&str; 2] = ["oncall1", "oncall2"];
/// What one root shell does again and again: a program with its number, a file and, now and then, a screen of text. When it was done is
/// written down, in seconds of the boot.
const WORK: &str = r#"
n=0
while [ ! -e /run/soak/end ]; do
  n=$((n + 1))
  read from _ </proc/uptime
  /bin/true "$1-$n"
  read to _ </proc/uptime
  echo "$n $from $to" >>/run/soak/did-$1
  echo "$n" >/root/soak-$1; mv /root/soak-$1 /root/soak-$1.old; rm /root/soak-$1.old
  [ $((n % 20)) = 0 ] && ls -l /usr/bin | head -n 200
  sleep 0.3
done
"#;
/// Process, resident KiB, descriptors, and what systemd keeps.
const TAKES: &str = r"p=$(systemctl show recorder -P MainPID); echo $p $(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$p/status) $(ls /proc/$p/fd | wc -l) $(systemctl show recorder -P NFileDescriptorStore)";
/// Ticks of a hundredth of a second, of that process.
const TICKS: &str = "p=$(systemctl show recorder -P MainPID); set -- $(sed 's/.*) //' /proc/$p/stat); echo $((${12} + ${13}))";

/// What it takes at one moment.
struct Sample {
    pid: u64,
    resident: u64,
}

pub(crate) fn soak(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let minutes = match env::var("WALK_MINUTES") {
        Ok(told) => told.parse().with_context(|| format!("WALK_MINUTES is {told}"))?,
        Err(_) => MINUTES,
    };
    let service = walk.service("[guard]\nmode = \"enforce\"\n")?;
    machine
        .ok("root", &format!("rm -rf /run/soak; mkdir /run/soak; cat >/run/soak/work <<'EOW'{WORK}EOW"))?;
    let idle = idle(walk)?;
    // Three: the first has two terminals.
    let names = ["first", "second", "third"].map(|name| walk.tag(name));
    for (name, who) in names.iter().zip(PEOPLE.iter().cycle()) {
        machine.ok(who, &format!("tmux new -d -s {name} 'sudo -n sh /run/soak/work {name}'"))?;
    }
    walk.step(&format!("three people are at work; idle it took {idle} ms of processor a minute"));
    let began = Instant::now();
    let whole = Duration::from_secs(minutes * 60);
    let each = whole / (RESTARTS + 1);
    let mut samples = vec![sample(walk)?];
    let mut restarts = 0;
    while began.elapsed() < whole {
        std::thread::sleep(LOOK.min(whole.saturating_sub(began.elapsed())));
        samples.push(sample(walk)?);
        if restarts < RESTARTS && began.elapsed() >= each * (restarts + 1) {
            service.systemctl("restart")?;
            restarts += 1;
            walk.step("restarted");
        }
    }
    machine.ok("root", "touch /run/soak/end")?;
    proc::until("they are gone", machine.limit(60), || {
        std::thread::sleep(Duration::from_secs(2));
        machine.ok("root", "! pgrep -f [/]run/soak/work").ok()
    })?;
    let after = idle_after(walk)?;
    walk.step(&format!("they left; idle it took {after} ms a minute"));
    service.systemctl("stop")?;
    let did = machine.ok("root", "cd /run/soak; grep . did-*")?;
    let (site, events) = walk.sound_journal()?;

    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(
        ends.len() == usize::try_from(restarts)? + 1,
        "it was started {} times, and restarted {restarts} times",
        ends.len()
    );
    ensure!(ends.iter().skip(1).all(|end| *end == "stop"), "the starts follow on {ends:?}");
    let segments = files(&site.journal)?.len();
    let (seen, unseen) = judge(&events, &did)?;
    walk.step(&format!(
        "{seen} acts on record, {unseen} while it was restarted; {segments} files of journal"
    ));
    memory(&samples)
}

/// Processor time of a minute in which nobody does anything, in milliseconds.
fn idle(walk: &Walk) -> Result<u64> {
    let line = format!("{TICKS}; sleep {STILL}; {TICKS}");
    let told = walk.machine.ok("root", &line)?;
    let ticks: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [before, after] = ticks[..] else { anyhow::bail!("not the time of a process: {told}") };
    Ok((after - before) * 10)
}

/// The same, once what was left to do is done.
fn idle_after(walk: &Walk) -> Result<u64> {
    std::thread::sleep(LOOK);
    idle(walk)
}

fn sample(walk: &Walk) -> Result<Sample> {
    let told = walk.machine.ok("root", TAKES)?;
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [pid, resident, descriptors, kept] = numbers[..] else { anyhow::bail!("it takes {told}") };
    walk.step(&format!("{pid}: {resident} KiB, {descriptors} descriptors, systemd keeps {kept}"));
    Ok(Sample { pid, resident })
}

/// Each act is on record, or lies in a time in which the journal says that nobody recorded. How many of both.
fn judge(events: &Events, did: &str) -> Result<(usize, usize)> {
    let at = |event: &_| number(event, &["boot_ns"]);
    let starts: Vec<u64> = events.of_kind("boot").skip(1).filter_map(at).collect();
    let stops: Vec<u64> = events.of_kind("stop").filter_map(at).collect();
    let down: Vec<(u64, u64)> = stops.into_iter().zip(starts).collect();
    let recorded: HashSet<&str> = events.of_kind("exec").flat_map(argv).collect();
    let (mut seen, mut unseen) = (0, 0);
    for line in did.lines() {
        let (file, rest) = line.split_once(':').context("no name")?;
        let who = file.strip_prefix("did-").context("no name")?;
        let [n, from, to] = rest.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{line}") };
        if recorded.contains(format!("{who}-{n}").as_str()) {
            seen += 1;
            continue;
        }
        let seconds =
            |text: &str| text.parse::<f64>().map(|s| Duration::from_secs_f64(s.max(0.0)).as_nanos());
        // The clock of /proc/uptime has hundredths.
        let (from, to) = (seconds(from)?, seconds(to)? + 10_000_000);
        let declared = down.iter().any(|(stop, start)| from <= u128::from(*start) && to >= u128::from(*stop));
        ensure!(declared, "{who}-{n} is not on record, from {from} to {to}; nobody recorded in {down:?}");
        unseen += 1;
    }
    ensure!(seen > 0, "nothing is on record");
    Ok((seen, unseen))
}

/// What it has at its end is not more than what the first one had: a process that grows does so in each of its lives.
fn memory(samples: &[Sample]) -> Result<()> {
    let lives: Vec<u64> =
        samples.chunk_by(|a, b| a.pid == b.pid).filter_map(|life| Some(life.last()?.resident)).collect();
    let (Some(first), Some(most)) = (lives.first(), lives.iter().max()) else { return Ok(()) };
    ensure!(*most <= first * 5 / 4, "its memory grows from life to life: {lives:?}");
    Ok(())
}
