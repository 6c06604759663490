//! The page: machine, table, and how it was measured.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::Result;

use super::{
    load::{Kind, Load, Measured},
    middle,
};
use crate::sh;

type Row<'a> = (&'a Load, Vec<Measured>, Vec<Measured>);

pub(super) fn render(rows: &[Row<'_>], rounds: u32) -> Result<String> {
    let mut page = String::from("# Benchmarks\n\n");
    let backend =
        rows.iter().flat_map(|(_, _, with)| with).map(|run| run.backend.as_str()).next().unwrap_or("-");
    writeln!(
        page,
        "Written by `cargo xtask bench`: {rounds} runs of each load with and without the recorder, in turns; medians. Figures, not\n\
         verdicts: the goals are in [performance](performance.md).\n"
    )?;
    writeln!(page, "- machine: {}, {} processors, {}", processor(), processors(), memory())?;
    writeln!(page, "- kernel: {}; backend: {backend}", read("/proc/sys/kernel/osrelease"))?;
    writeln!(page, "- source: {}\n", commit())?;
    writeln!(
        page,
        "| load | without | with | wall | cpu | p50 | p99 | done | recorded | declared lost | recorder CPU | per million | stored | goal |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (load, without, with) in rows {
        row(&mut page, load, without, with)?;
    }
    writeln!(
        page,
        "\nwall, cpu, p50, p99: ratio with / without. per million: recorder CPU seconds per million records (W4: per 100 MB of\n\
         terminal output). stored: bytes on disk per record (W4, W5: per terminal byte); sealed and chained, encryption off.\n\
         done and recorded count what the load must leave: execs, opens, changes, terminal bytes."
    )?;
    Ok(page)
}

fn row(page: &mut String, load: &Load, without: &[Measured], with: &[Measured]) -> Result<()> {
    let ratio = |figure: fn(&Measured) -> f64| -> String {
        let base = middle(without, figure);
        if base > 0.0 { format!("{:.2}", middle(with, figure) / base) } else { "-".to_owned() }
    };
    let keys = load.kind() == Kind::Keys;
    let time = |runs: &[Measured]| {
        if keys {
            format!("{:.0} us", middle(runs, |run| run.p50) * 1e6)
        } else {
            format!("{:.2} s", middle(runs, |run| run.wall))
        }
    };
    let unit = if matches!(load.kind(), Kind::Bytes | Kind::Keys) { "B" } else { "" };
    let (done, recorded) = (middle(with, |run| run.truth), middle(with, |run| run.recorded));
    let cpu = middle(with, |run| run.recorder_cpu);
    let per_million = match load.kind() {
        Kind::Bytes => format!("{:.2} s/100 MB", cpu * 1e8 / done.max(1.0)),
        Kind::Keys => "-".to_owned(),
        _ => format!("{:.2} s", cpu * 1e6 / middle(with, |run| run.records).max(1.0)),
    };
    let stored = match load.kind() {
        Kind::Bytes => format!("{:.3}", middle(with, |run| run.stored) / done.max(1.0)),
        Kind::Keys => "-".to_owned(),
        _ => format!("{:.0} B", middle(with, |run| run.stored / run.records.max(1.0))),
    };
    let (p50, p99) =
        if keys { (ratio(|run| run.p50), ratio(|run| run.p99)) } else { ("-".into(), "-".into()) };
    writeln!(
        page,
        "| {} {} | {} | {} | {} | {} | {p50} | {p99} | {done:.0}{unit} | {recorded:.0}{unit} | {:.0} | {cpu:.2} s | {per_million} | {stored} | {} |",
        load.id,
        load.what,
        time(without),
        time(with),
        if keys { "-".to_owned() } else { ratio(|run| run.wall) },
        if keys { "-".to_owned() } else { ratio(|run| run.cpu) },
        middle(with, |run| run.lost),
        load.goal,
    )?;
    Ok(())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let name =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    name.unwrap_or("unknown processor").to_owned()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory() -> String {
    let info = read("/proc/meminfo");
    let kib = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    format!("{} GiB", kib.unwrap_or(0) / (1 << 20))
}

fn commit() -> String {
    let mut git = Command::new("git");
    git.current_dir(sh::root()).args(["describe", "--always", "--dirty"]);
    sh::output(&mut git).unwrap_or_default().trim().to_owned()
}
