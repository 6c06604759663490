//! `cargo xtask coverage`: docs/coverage.md from what the scenarios came to, kernel by kernel and backend by backend.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};

use crate::sh;

/// Where a run of the suites leaves its results.
fn results() -> PathBuf {
    sh::root().join("target/results.txt")
}

/// Keeps the results of a run; those of places that it did not come to stay.
pub(crate) fn keep(lines: &[String]) -> Result<()> {
    let fresh: BTreeSet<&str> = lines.iter().map(|line| place(line).0).collect();
    let old = fs::read_to_string(results()).unwrap_or_default();
    let mut text = String::new();
    for line in old.lines().filter(|line| !fresh.contains(place(line).0)) {
        let _ = writeln!(text, "{line}");
    }
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    fs::create_dir_all(sh::root().join("target"))?;
    fs::write(results(), text).context("cannot keep the results")
}

/// `[6.1.0-56-cloud-amd64 trampoline] ok name (1.0 s)`: the machine, and what it said. Without a machine it was this one.
fn place(line: &str) -> (&str, &str) {
    line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).unwrap_or(("", line))
}

/// What was seen of one machine and backend.
#[derive(Default)]
struct Place {
    /// Scenario, and whether it held.
    held: BTreeMap<String, bool>,
    blind: BTreeSet<String>,
}

pub(crate) fn run() -> Result<ExitCode> {
    let text = fs::read_to_string(results()).context("no results; `cargo xtask test` leaves them")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("no kernel release")?;
    let page = page(&text, kernel.trim());
    ensure!(page.contains("| held |"), "the results hold no scenario");
    let path = sh::root().join("docs/coverage.md");
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    println!("coverage: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn parse<'t>(text: &'t str, kernel: &str) -> BTreeMap<String, Place> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for line in text.lines() {
        let (machine, said): (&'t str, &'t str) = place(line);
        // Walks have a machine each: they are one place for a kernel.
        let name = match machine.split_once(" host ") {
            _ if machine.is_empty() => format!("{kernel} here"),
            Some((version, _)) => format!("{version} systemd"),
            None => machine.to_owned(),
        };
        let Some((word, rest)) = said.split_once(' ') else { continue };
        let known = places.entry(name).or_default();
        match word {
            "ok" | "FAILED" => {
                let scenario = rest.split([' ', ':']).next().unwrap_or(rest);
                known.held.insert(scenario.to_owned(), word == "ok");
            }
            "blind" => {
                known.blind.insert(rest.split_once(": ").map_or(rest, |(_, spot)| spot).to_owned());
            }
            _ => {}
        }
    }
    places.retain(|_, place| !place.held.is_empty());
    places
}

fn page(text: &str, kernel: &str) -> String {
    let places = parse(text, kernel);
    let mut page = "# Coverage: what was seen to hold, and where\n\n\
        Written by `cargo xtask coverage` from the results of `cargo xtask test`; not by hand. A scenario whose name begins with a letter and a number is the \
        line of attacks.md with that id. `here` is the kernel that the suites ran on without emulation, `systemd` a whole machine with \
        real daemons. An empty field: the scenario needs what that place lacks (accounts, sshd, disks, a machine of its own, systemd) or is \
        proved elsewhere.\n\n"
        .to_owned();
    let _ = writeln!(page, "| scenario | {} |", places.keys().cloned().collect::<Vec<_>>().join(" | "));
    let _ = writeln!(page, "|---|{}", "---|".repeat(places.len()));
    let all: BTreeSet<&String> = places.values().flat_map(|place| place.held.keys()).collect();
    for scenario in all {
        let fields = places.values().map(|place| match place.held.get(scenario) {
            Some(true) => "held",
            Some(false) => "**failed**",
            None => "",
        });
        let _ = writeln!(page, "| {scenario} | {} |", fields.collect::<Vec<_>>().join(" | "));
    }
    page.push_str("\n## Blind spots\n\nAs the boot record of each place says them.\n\n");
    let mut spots: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
    for (name, place) in &places {
        for spot in &place.blind {
            spots.entry(spot).or_default().push(name);
        }
    }
    page.push_str("| not seen | where |\n|---|---|\n");
    for (spot, names) in spots {
        let _ = writeln!(page, "| {spot} | {} |", names.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_column_for_each_place() {
        let text = "ok b6-x (1.0 s)\nelsewhere b10-y: alone\n[6.1.0-5 trampoline] ok b6-x (2.0 s)\n\
            [6.1.0-5 trampoline] FAILED b10-y (3.0 s): why\n[6.1.0-5 trampoline] blind trampoline: serial lines\n\
            [6.1.0-5 host 1] ok walk (9 s)\n[6.1.0-5 host 2] ok other (9 s)\n";
        let page = page(text, "7.0");
        for line in [
            "| scenario | 6.1.0-5 systemd | 6.1.0-5 trampoline | 7.0 here |",
            "| b10-y |  | **failed** |  |",
            "| b6-x |  | held | held |",
            "| walk | held |  |  |",
            "| serial lines | 6.1.0-5 trampoline |",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
    }
}
