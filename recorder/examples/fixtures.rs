//! `cargo run -p recorder --example fixtures`: makes those frozen journals that are not there yet, in
//! recorder/tests/fixtures/v1. What is there is never written again: a fixture that has to change gets another name, or a
//! new version's directory.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::wildcard_imports,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

#[path = "../tests/journal/common.rs"]
mod common;
#[path = "../tests/journal/fake.rs"]
mod fake;
#[path = "../tests/journal/golden/mod.rs"]
mod golden;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use golden::fixtures;
use golden::told::{home, options, told};

fn main() {
    let home = home();
    for fixture in fixtures() {
        let target = home.join(fixture.name);
        if target.exists() {
            continue;
        }
        let made = tempfile::tempdir().unwrap();
        (fixture.make)(made.path());
        for part in ["journal", "spare"].map(|part| made.path().join(part)) {
            if part.exists() {
                keep(&part, &target.join(part.file_name().unwrap()));
            }
        }
        let anchors = made.path().join("anchors");
        if anchors.exists() {
            common::copy(&anchors, &target.join("anchors"));
        }
        for kept in
            ["origin.note", "identity", "policy", "allowed_signers"].map(|name| made.path().join(name))
        {
            if kept.exists() {
                std::fs::copy(&kept, target.join(kept.file_name().unwrap())).unwrap();
            }
        }
        let report = recorder::verify::verify(
            &target.join("journal"),
            &options(&target, fixture.stopped),
            &mut |_| (),
        );
        let mut expected = told(&report.unwrap());
        expected["rule"] = fixture.rule.into();
        expected["end"] = if fixture.stopped { "stopped" } else { "anchored" }.into();
        let text = serde_json::to_string_pretty(&expected).unwrap();
        std::fs::write(target.join("expected.json"), text + "\n").unwrap();
        let codes: Vec<String> = expected["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| format!("{} {}", f["code"].as_str().unwrap(), f["leaf"]))
            .collect();
        println!("{}: {}: {}", fixture.name, expected["verdict"], codes.join(", "));
    }
    sums(&home);
}

/// Copies what a reader reads: no keys.
fn keep(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            keep(&path, &to.join(name));
        } else if name == "origin.note" || name.starts_with("seg-") || name.starts_with("permit-") {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn sums(home: &Path) {
    let mut all = Vec::new();
    walk(home, &mut all);
    all.sort();
    let list = all.iter().fold(String::new(), |mut list, path| {
        let name = path.strip_prefix(home).unwrap().display();
        let digest = recorder::journal::key::sha256(&std::fs::read(path).unwrap());
        let _ = writeln!(list, "{digest}  {name}");
        list
    });
    std::fs::write(home.join("SHA256SUMS"), list).unwrap();
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, out);
        } else if path.file_name().is_some_and(|name| name != "SHA256SUMS") {
            out.push(path);
        }
    }
}
