//! The tables: medians, ratios pair by pair, what the recorder spent and stored.

use std::{fmt::Write as _, fs, path::Path, thread};

use anyhow::{Context, Result};

use super::{Measured, Pair, load::Figure};
use crate::sh;

/// Goals of docs/performance.md.
const CPU_PER_MILLION: f64 = 0.5;
const STORED_PER_RAW: f64 = 0.04;
/// Below so many records a price per record tells nothing.
const ENOUGH: u64 = 1000;

/// Where the figures were taken.
pub(super) struct Machine {
    recorder: String,
    kernel: String,
    processor: String,
    cores: usize,
    memory_gib: f64,
    date: String,
    load: String,
}

impl Machine {
    /// This machine, with the version of that recorder if one is measured.
    pub(super) fn look(recorder: Option<&Path>) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo")?, "MemTotal");
        let kib: f64 = memory.trim_end_matches(" kB").parse().context("no MemTotal")?;
        Ok(Self {
            recorder: match recorder {
                Some(recorder) => sh::output(sh::clean(recorder).arg("--version"))?.trim().to_owned(),
                None => String::new(),
            },
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            processor: field(&read("/proc/cpuinfo")?, "model name"),
            cores: thread::available_parallelism()?.get(),
            memory_gib: kib / 1024.0 / 1024.0,
            date: sh::output(sh::clean("date").args(["-u", "+%F"]))?.trim().to_owned(),
            load: load_average()?,
        })
    }

    /// What and when it was, in a sentence.
    pub(super) fn line(&self) -> String {
        format!(
            "{} cores ({}), {:.1} GiB, kernel {}, {}.",
            self.cores, self.processor, self.memory_gib, self.kernel, self.date
        )
    }
}

pub(super) fn load_average() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

pub(super) fn write(measured: &[Measured], machine: &Machine, rounds: u32, gzipped: Option<f64>) -> String {
    let backend = measured.iter().flat_map(|m| &m.pairs).map(|pair| pair.stored.backend.as_str()).next();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# Benchmarks\n\n\
         Written by `cargo xtask bench` (rounds: {rounds}); the loads and goals are those of [performance.md](performance.md).\n\
         `none` is the same load in the same kind of elevated session without a recorder. Both sides run in turn, each load\n\
         with a fresh recorder and journal (signed, encryption off); medians, and the ratio is the median of the pairs' ratios\n\
         with their range. **The machine is shared, noisy and has {cores} cores: differences of some percent mean nothing, and\n\
         ratios of wall time and latency suffer most.** One-minute load average before the first round: {load}, after the last: {after}\n\
         (what else the machine did is in both, the loads themselves add about 1).\n\n\
         - machine: {cores} cores ({processor}), {memory:.1} GiB\n\
         - kernel: {kernel}\n\
         - backend: {backend}\n\
         - recorder: {recorder}\n\
         - date: {date}\n\n\
         ## The price for the session\n\n\
         | load | operations | figure | none | recorded | ratio (range) | goal |\n|---|--:|---|--:|--:|--:|--:|",
        load = machine.load,
        after = load_average().unwrap_or_default(),
        cores = machine.cores,
        processor = machine.processor,
        memory = machine.memory_gib,
        kernel = machine.kernel,
        backend = backend.unwrap_or("unknown"),
        recorder = machine.recorder,
        date = machine.date,
    );
    for one in measured {
        prices(&mut out, one);
    }
    out.push_str(
        "\n## What the recorder spent and stored\n\n\
         CPU is user and system time of the recorder's process from before the load until the load was worked off. Records are all\n\
         in the journal, with the session's edges and the start-up; those of the load are compared with what it did (a fold or a\n\
         declared loss explains a difference). Bytes are journal bytes in use, seals included, over all records.\n\n\
         | load | records | of the load / done | declared lost | recorder CPU, s | CPU s per million (goal 0.5) | journal bytes | bytes per record |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for one in measured {
        spent(&mut out, one);
    }
    out.push_str("\nThe most frequent records of the last round:\n\n");
    for one in measured {
        let mut kinds: Vec<_> = one.pairs.last().into_iter().flat_map(|pair| &pair.stored.kinds).collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let kinds: Vec<_> = kinds.iter().take(6).map(|(kind, count)| format!("{kind} {count}")).collect();
        let _ = writeln!(out, "- {}: {}", one.load.name, kinds.join(", "));
    }
    for one in measured.iter().filter(|one| one.load.is_terminal()) {
        let ratio = stored_per_raw(one);
        let _ = writeln!(out, "\nStored over raw terminal bytes on W4: {ratio:.3} (goal {STORED_PER_RAW}).");
        if let Some(gzipped) = gzipped {
            let _ = writeln!(
                out,
                "`gzip -6` over the same text as one stream, which is what sudo's I/O log stores: {gzipped:.3}. The text of this\n\
                 load is random words; the goal was set with more regular text."
            );
        }
    }
    let _ = writeln!(out, "\n## Short of the goal in this run\n\n{}", short(measured));
    out
}

fn prices(out: &mut String, one: &Measured) {
    for (index, (figure, goal)) in one.load.figures.iter().enumerate() {
        let at = |figures: &[f64]| figures.get(index).copied().unwrap_or(f64::NAN);
        let none = median_of(&one.pairs, |pair| at(&pair.none.figures));
        let ours = median_of(&one.pairs, |pair| at(&pair.ours.figures));
        let ratios = ratios(one, index);
        let (label, unit, digits) = match figure {
            Figure::Wall => ("wall", "s", 2),
            Figure::Cpu => ("cpu", "s", 2),
            Figure::P50 => ("p50", "ms", 3),
            Figure::P99 => ("p99", "ms", 3),
        };
        let _ = writeln!(
            out,
            "| {} {} | {} | {label} | {none:.digits$} {unit} | {ours:.digits$} {unit} | {:.2} ({:.2}–{:.2}) | {} |",
            one.load.name,
            one.load.what,
            one.pairs.first().map_or(0, |pair| pair.none.done),
            median(ratios.clone()),
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            goal.map_or("–".to_owned(), |goal| format!("{goal:.2}")),
        );
    }
}

fn spent(out: &mut String, one: &Measured) {
    let pairs = &one.pairs;
    let records = median_of(pairs, |pair| real(pair.stored.records));
    let of_load = if one.load.kinds.is_empty() {
        "–".to_owned()
    } else {
        let found = median_of(pairs, |pair| real(pair.stored.of_kinds(one.load.kinds)));
        let done = median_of(pairs, |pair| real(one.load.expected(pair.ours.done)));
        format!("{found:.0} / {done:.0}")
    };
    let price = price(one).map_or("–".to_owned(), |price| format!("{price:.2}"));
    let per_record = median_of(pairs, |pair| real(pair.stored.bytes) / real(pair.stored.records.max(1)));
    let _ = writeln!(
        out,
        "| {} | {records:.0} | {of_load} | {} | {:.2} | {price} | {:.0} | {per_record:.1} |",
        one.load.name,
        pairs.iter().map(|pair| pair.stored.lost).sum::<u64>(),
        median_of(pairs, |pair| pair.cpu),
        median_of(pairs, |pair| real(pair.stored.bytes)),
    );
}

/// Processor seconds per million records, where records are what the load is made of.
fn price(one: &Measured) -> Option<f64> {
    let is_bulk = one.pairs.iter().all(|pair| pair.stored.records >= ENOUGH);
    (is_bulk && !one.load.kinds.is_empty())
        .then(|| median_of(&one.pairs, |pair| pair.cpu * 1e6 / real(pair.stored.records)))
}

/// Journal bytes for each byte that the terminal got.
fn stored_per_raw(one: &Measured) -> f64 {
    median_of(&one.pairs, |pair| real(pair.stored.bytes) / real(pair.ours.done.max(1)))
}

/// What to work on next.
fn short(measured: &[Measured]) -> String {
    let mut lines = Vec::new();
    for one in measured {
        for (index, (figure, goal)) in one.load.figures.iter().enumerate() {
            let ratio = median(ratios(one, index));
            if let Some(goal) = goal.filter(|goal| ratio > *goal) {
                lines.push(
                    format!("- {} {figure:?}: {ratio:.2}, goal {goal:.2}", one.load.name).to_lowercase(),
                );
            }
        }
        if one.load.is_terminal() && stored_per_raw(one) > STORED_PER_RAW {
            let ratio = stored_per_raw(one);
            lines.push(format!("- w4 stored over raw: {ratio:.3}, goal {STORED_PER_RAW}"));
        }
        if let Some(price) = price(one).filter(|price| *price > CPU_PER_MILLION) {
            lines.push(format!(
                "- {} recorder cpu per million: {price:.2} s, goal {CPU_PER_MILLION}",
                one.load.name.to_lowercase()
            ));
        }
    }
    if lines.is_empty() { "Nothing.".to_owned() } else { lines.join("\n") }
}

fn ratios(one: &Measured, index: usize) -> Vec<f64> {
    let at = |figures: &[f64]| figures.get(index).copied().unwrap_or(f64::NAN);
    one.pairs.iter().map(|pair| at(&pair.ours.figures) / at(&pair.none.figures)).collect()
}

fn median_of(pairs: &[Pair], figure: impl Fn(&Pair) -> f64) -> f64 {
    median(pairs.iter().map(figure).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

/// Exact below 2^53.
fn real(number: u64) -> f64 {
    let part = |half: u64| u32::try_from(half & u64::from(u32::MAX)).map_or(f64::NAN, f64::from);
    part(number >> 32).mul_add(4_294_967_296.0, part(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(median(vec![3.0, 1.0, 2.0]), 2.0));
        assert!(close(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5));
        assert!(median(Vec::new()).is_nan());
        assert!(close(real(5_000_000_007), 5_000_000_007.0));
    }
}
