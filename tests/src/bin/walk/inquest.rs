//! What an investigator asks of a copied journal, whichever walk it is of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{Events, argv, number, text},
    recorder::Site,
};
use serde_json::Value;

use crate::Walk;

/// True of every journal that nobody encrypts or compares with a copy of its end.
const ALWAYS: [&str; 2] = ["ENCRYPTION_OFF", "END_UNPROVEN"];

/// The copied journal is whole but for what these findings say, and the investigator's own list confirms every document.
pub(crate) fn whole(
    walk: &Walk,
    site: &Site,
    origin: &Path,
    documents: u64,
    findings: &[&str],
) -> Result<()> {
    let (signers, origin) = (walk.office.signers().display().to_string(), origin.display().to_string());
    let out =
        site.read(&["verify", "--format", "json", "--allowed-signers", &signers, "--origin", &origin])?;
    let verdict: Value = serde_json::from_slice(&out.stdout).context("verify printed no JSON")?;
    let found = verdict.pointer("/findings").and_then(Value::as_array).context("no findings")?;
    let codes: BTreeSet<_> = found.iter().map(|f| text(f, &["code"])).collect();
    let expected: BTreeSet<_> = ALWAYS.iter().chain(findings).copied().collect();
    ensure!(out.status.code() == Some(1) && codes == expected, "verify ended with {}: {verdict}", out.status);
    let checked = (number(&verdict, &["grants", "checked"]), number(&verdict, &["grants", "good"]));
    ensure!(checked == (Some(documents), Some(documents)), "verify confirms {verdict}");
    Ok(())
}

/// What `recorder grant show` says became of each.
pub(crate) fn verdicts_of_grants(site: &Site, grants: &[(&str, &str)]) -> Result<()> {
    for (id, state) in grants {
        let shown = site.read_ok(&["grant", "show", id, "--format", "json"])?;
        let shown: Value = serde_json::from_slice(&shown).context("grant show printed no JSON")?;
        ensure!(text(&shown, &["state"]) == *state, "grant {id} is {shown}");
    }
    Ok(())
}

/// How many processes are overdue under the grant, by the name that their program was started by.
pub(crate) fn named_overdue(events: &Events, grant: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for late in events.of_kind("overdue").filter(|e| text(e, &["overdue", "grant"]) == grant) {
        let name = number(late, &["overdue", "pid"]).and_then(|pid| program(events, pid));
        *found.entry(name.unwrap_or("?").to_owned()).or_insert(0) += 1;
    }
    found
}

/// The first argument of what the process runs; if it runs no program of its own (tmux's server, forked twice), of its
/// nearest ancestor that does.
pub(crate) fn program(events: &Events, mut pid: u64) -> Option<&str> {
    for _ in 0..4 {
        let own = events.of_kind("exec").filter(|e| number(e, &["task", "pid"]) == Some(pid)).last();
        if let Some(name) = own.and_then(|e| argv(e).next()) {
            return Some(name);
        }
        let fork = events.of_kind("fork").find(|e| number(e, &["fork", "pid"]) == Some(pid))?;
        pid = number(fork, &["task", "pid"])?;
    }
    None
}
