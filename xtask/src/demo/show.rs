//! What was recorded, by the commands that an investigator uses.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use recorder_tests::{
    journal::{Events, files_containing},
    pty::find,
    recorder::Site,
};

/// The reading commands, in the order in which questions come.
const READERS: &[(&str, &[&str])] = &[
    ("Who was recorded?", &["sessions"]),
    ("What did he do?", &["timeline", "last"]),
    ("What did his screen show at the end?", &["replay", "last", "--final"]),
    ("Is the record whole?", &["verify"]),
];

pub(super) fn journal(recorder: &Path, journal: &Path) -> Result<()> {
    for (question, words) in READERS {
        println!("\n== {question}  recorder {}", words.join(" "));
        let status = Command::new(recorder).args(*words).arg("--journal").arg(journal).status()?;
        // 1: whole, with findings; there is no anchor outside this directory, and verify says so.
        ensure!(matches!(status.code(), Some(0 | 1)), "recorder {} ended with {status}", words.join(" "));
    }
    Ok(())
}

/// Looks for what must not be there: in the files as they lie, and in everything that the readers decode.
pub(super) fn secrets(site: &Site, secrets: &[(&str, String)]) -> Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    println!("\n== Are the secrets in it?");
    let events = Events::load(site)?;
    ensure!(events.lost() == 0, "{} events were lost", events.lost());
    let mut screens = Vec::new();
    for bytes in events.shown()?.into_values().chain([events.typed()?]) {
        screens.push(bytes);
    }
    for (what, secret) in secrets {
        let files = files_containing(&site.journal, secret.as_bytes())?;
        let decoded = events.0.iter().any(|event| event.to_string().contains(secret.as_str()));
        let shown = screens.iter().any(|bytes| find(bytes, secret.as_bytes()).is_some());
        ensure!(files.is_empty() && !decoded && !shown, "{what} is in the journal: {files:?}");
        println!("{what}: in no file and in no record ({} records looked at)", events.0.len());
    }
    Ok(())
}
