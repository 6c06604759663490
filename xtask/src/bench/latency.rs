//! How long an event waits until it is sealed and durable: recorder's example `commit_latency` at three rates, as a section of the report.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::Machine;
use crate::sh;

/// Events a second.
const RATES: [&str; 3] = ["1000", "10000", "50000"];
/// Seconds at each rate.
const SECONDS: &str = "20";
/// Goals of docs/performance.md, in milliseconds: p50, p99.
const GOAL: (u32, u32) = (10, 15);
pub(super) const TITLE: &str = "## Event to sealed and durable";

/// Measures, and gives the section.
pub(super) fn measure(machine: &Machine) -> Result<String> {
    sh::run(sh::cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "recorder",
        "--example",
        "commit_latency",
    ]))?;
    // Not in /tmp, which may be memory.
    let dir = sh::root().join("target/bench-latency");
    let mut command = sh::clean(sh::root().join("target/release/examples/commit_latency"));
    let before = super::report::load_average()?;
    let lines = sh::output(command.arg(&dir).arg(SECONDS).args(RATES))?;
    let mut out = format!(
        "{TITLE}\n\n\
         Recorder's example `commit_latency`, {SECONDS} s at each rate: one thread stamps events and hands them over every millisecond, as\n\
         the service's pump does, another commits at the service's pace (every hundredth event is an exec, which starts a commit at once;\n\
         one write with RWF_DSYNC each). From the stamp to the acknowledgement; the way from the kernel to the pump is not in it.\n\
         {where_it_was} One-minute load average before: {before}.\n\n\
         | events/s | events | commits | p50, ms (goal {}) | p99, ms (goal {}) | worst, ms |\n|--:|--:|--:|--:|--:|--:|\n",
        GOAL.0,
        GOAL.1,
        where_it_was = machine.line(),
    );
    for line in lines.lines() {
        let json: Value = serde_json::from_str(line).context("commit_latency")?;
        let number = |name: &str| json.get(name).and_then(Value::as_u64).unwrap_or(0);
        let ms = |name: &str| format!("{}.{:02}", number(name) / 1000, number(name) % 1000 / 10);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            number("rate"),
            number("events"),
            number("commits"),
            ms("p50_us"),
            ms("p99_us"),
            ms("worst_us")
        );
    }
    Ok(out)
}

/// Puts the section of this title into the report in place of the one that is there, or at its end.
pub(super) fn replace(report: &Path, title: &str, section: &str) -> Result<()> {
    let old = fs::read_to_string(report).with_context(|| report.display().to_string())?;
    fs::write(report, spliced(&old, title, section))?;
    Ok(())
}

/// The section of this title, with it.
pub(super) fn section(report: &str, title: &str) -> Option<String> {
    let (_, rest) = report.split_once(title)?;
    let end = rest.find("\n## ").unwrap_or(rest.len());
    Some(format!("{title}{}\n", rest.get(..end)?.trim_end()))
}

fn spliced(old: &str, title: &str, section: &str) -> String {
    let Some((before, rest)) = old.split_once(title) else {
        return format!("{}\n\n{section}", old.trim_end());
    };
    let after = rest.find("\n## ").and_then(|at| rest.get(at..)).unwrap_or_default();
    format!("{before}{}\n{after}", section.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_nothing_else() {
        assert_eq!(section("# A\n", TITLE), None);
        let kept = format!("{TITLE}\n\nold\n");
        assert_eq!(section(&format!("# A\n\n{kept}\n## C\n"), TITLE).as_ref(), Some(&kept));
        assert_eq!(section(&format!("# A\n\n{kept}"), TITLE), Some(kept));
        let section = format!("{TITLE}\n\nnew\n");
        let report = spliced("# A\n\nb\n", TITLE, &section);
        assert_eq!(report, format!("# A\n\nb\n\n{TITLE}\n\nnew\n"));
        let old = format!("# A\n\n{TITLE}\n\nold\n\n## C\n\nd\n");
        assert_eq!(spliced(&old, TITLE, &section), format!("# A\n\n{TITLE}\n\nnew\n\n## C\n\nd\n"));
    }
}
