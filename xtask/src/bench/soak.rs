//! `--soak MINUTES`: three sessions at a time over a long while, with counted work in each, and what the recorder's memory does meanwhile.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::recorder::{Running, Site};

use super::{
    PATIENCE,
    load::{LOADS, Load, Place},
    report::Machine,
    stored::{self, Stored},
};

pub(super) const TITLE: &str = "## A soak";

/// One session after the other does so much of a load, then nobody does anything for a moment.
const WORK: [(&str, u64); 3] = [("W1", 60), ("W2", 3000), ("W2b", 500)];
const BETWEEN: Duration = Duration::from_secs(2);
/// Between looks at the recorder.
const LOOK: Duration = Duration::from_secs(30);

/// What the recorder takes at one moment.
struct Sample {
    after: Duration,
    resident: u64,
    descriptors: usize,
    cpu: f64,
}

pub(super) fn measure(
    recorder: &Path,
    workload: &Path,
    dir: &Path,
    backend: &str,
    minutes: u64,
    machine: &Machine,
) -> Result<String> {
    let site = Site::prepare(recorder, &dir.join("site"), backend)?;
    site.set("journal", "segment = \"16MiB\"")?;
    let running = site.start(PATIENCE)?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(minutes * 60);
    let (samples, done) = thread::scope(|scope| -> Result<_> {
        let mut people = Vec::new();
        for (name, count) in WORK {
            let load = LOADS.iter().find(|load| load.name == name).context("no such load")?;
            let place = Place::prepare(&dir.join(name), workload)?;
            people.push(scope.spawn(move || work(&place, load, count, end)));
        }
        let mut samples = Vec::new();
        while Instant::now() < end {
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            samples.push(look(&running, begin)?);
            if let Some(now) = samples.last() {
                println!(
                    "bench: after {:4} s {} KiB, {} descriptors",
                    now.after.as_secs(),
                    now.resident,
                    now.descriptors
                );
            }
        }
        let mut done = Vec::new();
        for one in people {
            done.push(one.join().map_err(|_| anyhow::anyhow!("a session's thread"))??);
        }
        Ok((samples, done))
    })?;
    stored::cpu_when_still(running.child())?;
    running.stop(PATIENCE)?;
    let stored = Stored::load(&site)?;
    report(machine, minutes, &samples, &done, &stored)
}

/// Sessions one after the other; gives the load, how many there were, and what they did.
fn work(place: &Place, load: &'static Load, count: u64, end: Instant) -> Result<(&'static Load, u64, u64)> {
    let (mut sessions, mut done) = (0, 0);
    while Instant::now() < end {
        done += place.run(load, count)?.done;
        sessions += 1;
        thread::sleep(BETWEEN);
    }
    Ok((load, sessions, done))
}

fn look(running: &Running, begin: Instant) -> Result<Sample> {
    let proc = format!("/proc/{}", running.child().id());
    let status = fs::read_to_string(format!("{proc}/status")).context("the recorder is gone")?;
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    Ok(Sample {
        after: begin.elapsed(),
        resident: resident.context("no VmRSS")?,
        descriptors: fs::read_dir(format!("{proc}/fd"))?.count(),
        cpu: stored::cpu(running.child())?,
    })
}

fn report(
    machine: &Machine,
    minutes: u64,
    samples: &[Sample],
    done: &[(&Load, u64, u64)],
    stored: &Stored,
) -> Result<String> {
    let mut text = format!("{TITLE}\n\n{}\n\n", machine.line());
    let sessions: u64 = done.iter().map(|(_, sessions, _)| sessions).sum();
    writeln!(
        text,
        "{minutes} minutes, three sessions at a time, {sessions} in all; {} records, {} bytes of journal, {} events declared as lost; {} written files forgotten (class `plant`).\n",
        stored.records, stored.bytes, stored.lost, stored.forgotten
    )?;
    writeln!(text, "| load | sessions | done | on record |\n|---|---|---|---|")?;
    for (load, sessions, count) in done {
        let seen = stored.of_kinds(load.kinds);
        writeln!(text, "| {} {} | {sessions} | {} | {seen} |", load.name, load.what, load.expected(*count))?;
        // Sessions do more than their load, so there may be more; never less than what is told and declared.
        ensure!(
            seen + stored.lost >= load.expected(*count),
            "{}: {seen} on record and {} lost of {}",
            load.name,
            stored.lost,
            load.expected(*count)
        );
    }
    writeln!(text, "\n| after | resident, KiB | descriptors | processor, s |\n|---|---|---|---|")?;
    let each = samples.len().div_ceil(12).max(1);
    for sample in samples.iter().step_by(each).chain(samples.last()) {
        let Sample { after, resident, descriptors, cpu } = sample;
        writeln!(text, "| {} min | {resident} | {descriptors} | {cpu:.1} |", after.as_secs() / 60)?;
    }
    Ok(text)
}
