//! The sample journal of the repository, which `cargo xtask demo` shows where nothing can be recorded, was written by an
//! earlier build on a real host: every later build has to read it.
#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Runs a reading command on the sample; gives its exit code and standard output.
fn read(words: &[&str]) -> (Option<i32>, String) {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sample-journal");
    let mut command = Command::new(env!("CARGO_BIN_EXE_recorder"));
    match command.args(words).arg("--journal").arg(sample).stdin(Stdio::null()).output() {
        Ok(out) => (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned()),
        Err(error) => (None, error.to_string()),
    }
}

#[test]
fn the_sample_verifies() {
    let (code, verdict) = read(&["verify", "--format", "json"]);
    let verdict: serde_json::Value = serde_json::from_str(&verdict).expect("JSON");
    assert_eq!(
        code,
        Some(1),
        "whole, with the findings of a journal that nobody compared with anything: {verdict}"
    );
    let codes: Vec<_> =
        verdict["findings"].as_array().expect("findings").iter().map(|f| &f["code"]).collect();
    assert_eq!(codes, ["ENCRYPTION_OFF", "ORIGIN_UNCHECKED", "END_UNPROVEN"]);
}

#[test]
fn the_sample_tells_its_story() {
    let (code, sessions) = read(&["sessions", "--format", "json"]);
    let sessions: serde_json::Value = serde_json::from_str(&sessions).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!(sessions.as_array().expect("a list").len(), 1);
    assert_eq!(sessions[0]["elevation"]["path"], "/usr/bin/sudo");

    let (code, timeline) = read(&["timeline", "last"]);
    assert_eq!(code, Some(0));
    for line in
        ["exec            vi app.conf", "create          /tmp/", "No such file or directory", "12 characters"]
    {
        assert!(timeline.contains(line), "{line:?} is not in the timeline:\n{timeline}");
    }
    let (code, screen) = read(&["replay", "last", "--final"]);
    assert_eq!(code, Some(0));
    assert!(screen.contains("max_connections = 200"), "the last screen is:\n{screen}");
}
