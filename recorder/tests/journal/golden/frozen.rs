//! What is said of the fixtures, by this reader and by the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixtures;
use super::told::{home, options, told, write_events};
use recorder::journal::key::sha256;
use recorder::verify;
use serde_json::Value;

fn expected(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap()
}

fn dirs() -> Vec<PathBuf> {
    let all = std::fs::read_dir(home()).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<_> = all.filter(|p| p.is_dir()).collect();
    list.sort();
    list
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

#[test]
fn f1_f5_every_fixture_is_judged_as_it_was() {
    let mut wrong = Vec::new();
    for dir in dirs() {
        let expected = expected(&dir);
        let stopped = expected["end"] == "stopped";
        let report = verify::verify(&dir.join("journal"), &options(&dir, stopped), &mut |_| ()).unwrap();
        let told = told(&report);
        for key in ["verdict", "exit", "findings", "sessions", "logs"] {
            if told[key] != expected[key] {
                wrong.push(format!("{}: {key}: {} for {}", dir.display(), told[key], expected[key]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_has_its_fixture_and_no_fixture_changed() {
    let sums = std::fs::read_to_string(home().join("SHA256SUMS")).unwrap();
    let mut all = Vec::new();
    for dir in dirs() {
        files(&dir, &mut all);
    }
    let mut lines: Vec<String> = all
        .iter()
        .map(|path| {
            let name = path.strip_prefix(home()).unwrap().display();
            format!("{}  {name}", sha256(&std::fs::read(path).unwrap()))
        })
        .collect();
    lines.sort_by(|a, b| a[66..].cmp(&b[66..]));
    let there: Vec<_> = sums.lines().collect();
    let changed: Vec<_> = lines.iter().filter(|l| !there.contains(&l.as_str())).collect();
    assert!(changed.is_empty(), "frozen, and yet changed: {changed:#?}");
    assert_eq!(lines.len(), there.len(), "a file is gone");
    for fixture in fixtures() {
        let expected = expected(&home().join(fixture.name));
        assert_eq!(expected["rule"], fixture.rule, "{}", fixture.name);
    }
}

#[test]
fn what_is_written_today_is_judged_as_what_was_frozen() {
    for fixture in fixtures() {
        let made = tempfile::tempdir().unwrap();
        (fixture.make)(made.path());
        let options = options(made.path(), fixture.stopped);
        let report = verify::verify(&made.path().join("journal"), &options, &mut |_| ()).unwrap();
        let expected = expected(&home().join(fixture.name));
        assert_eq!(told(&report)["verdict"], expected["verdict"], "{}: {:#?}", fixture.name, report.findings);
    }
}

#[test]
fn the_python_reader_agrees() {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reader/agree.py");
    let events = tempfile::tempdir().unwrap();
    for dir in dirs() {
        let stopped = expected(&dir)["end"] == "stopped";
        write_events(&dir, stopped, &events.path().join(dir.file_name().unwrap()).with_extension("ndjson"));
    }
    let out = Command::new(python()).arg(reader).arg(home()).arg("--events").arg(events.path()).output();
    let out = out.expect("python3 is there");
    let told = String::from_utf8_lossy(&out.stdout);
    if out.status.code() == Some(69) {
        // A package is missing; `cargo xtask test` looks for that itself, tells it, and fails when strict.
        eprintln!("{told}");
        return;
    }
    assert!(out.status.success(), "{told}{}", String::from_utf8_lossy(&out.stderr));
    assert!(told.contains(&format!("{} fixtures", dirs().len())), "{told}");
}

/// Debian's own: the packages that the reader needs are its.
fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}
