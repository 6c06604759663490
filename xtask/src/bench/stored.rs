//! What a recorder spent and what its journal holds after one load.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{journal, recorder::Site};
use serde_json::Value;

/// The recorder counts as done with a load when its processor time has stood still for so long.
const STILL: Duration = Duration::from_millis(600);
/// How long it may work on after a load.
const DRAIN_LIMIT: Duration = Duration::from_mins(2);

/// The journal's records, by kind, without keeping them.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) records: u64,
    pub(super) kinds: BTreeMap<String, u64>,
    /// The sum of all declared losses of events.
    pub(super) lost: u64,
    /// Files that sessions wrote and that are no longer known as theirs: of the class `plant`, declared too, and no events.
    pub(super) forgotten: u64,
    /// Bytes of journal in use; segments are preallocated, so file sizes would not tell.
    pub(super) bytes: u64,
    pub(super) backend: String,
}

impl Stored {
    /// Reads a stopped recorder's journal; it must verify.
    pub(super) fn load(site: &Site) -> Result<Self> {
        let (code, verdict) = site.verify()?;
        ensure!(code <= 1, "verify ended with {code}: {verdict}");
        let logs = verdict.get("logs").and_then(Value::as_array).context("verify names no logs")?;
        let bytes = logs.iter().map(|log| journal::number(log, &["bytes"])).sum::<Option<u64>>();
        let mut stored = Self { bytes: bytes.context("verify tells no bytes")?, ..Self::default() };
        let mut child = Command::new(&site.binary)
            .args(["events", "--format", "ndjson", "--journal"])
            .arg(&site.journal)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start recorder events")?;
        let lines = BufReader::new(child.stdout.take().context("no pipe")?);
        for line in lines.lines() {
            stored.count(&line?)?;
        }
        let status = child.wait()?;
        ensure!(matches!(status.code(), Some(0 | 1)), "recorder events ended with {status}");
        Ok(stored)
    }

    /// A quotation mark inside a JSON string is escaped, so the first plain match is the record's own field.
    fn count(&mut self, line: &str) -> Result<()> {
        let kind = line.split_once("\"kind\":\"").and_then(|(_, rest)| rest.split_once('"'));
        let (kind, _) = kind.context("a record without a kind")?;
        self.records += 1;
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        if matches!(kind, "loss" | "boot") {
            let event: Value = serde_json::from_str(line).context("a record is no JSON")?;
            if kind == "loss" {
                let of = if journal::text(&event, &["loss", "class"]) == "plant" {
                    &mut self.forgotten
                } else {
                    &mut self.lost
                };
                *of += journal::number(&event, &["loss", "count"]).unwrap_or(1);
            } else {
                journal::text(&event, &["boot", "backend"]).clone_into(&mut self.backend);
            }
        }
        Ok(())
    }

    /// Records of these kinds.
    pub(super) fn of_kinds(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.kinds.get(*kind)).sum()
    }
}

/// Processor seconds of a living process.
pub(super) fn cpu(child: &Child) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).context("the recorder is gone")?;
    ticks(&stat).context("a process without times")
}

/// Fields 14 and 15 behind the parenthesised name, in ticks of 1/100 s on every Linux architecture.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// Waits until the recorder has worked off the load; gives its processor seconds then.
pub(super) fn cpu_when_still(child: &Child) -> Result<f64> {
    let end = Instant::now() + DRAIN_LIMIT;
    let mut before = cpu(child)?;
    loop {
        thread::sleep(STILL);
        let now = cpu(child)?;
        // Being idle costs a tick now and then.
        if now - before < 0.015 || Instant::now() >= end {
            return Ok(now);
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 8 9 20 0";
        assert_eq!(ticks(stat), Some(3.0));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn losses_are_summed_and_text_does_not_pose_as_a_kind() {
        let mut stored = Stored::default();
        stored.count(r#"{"kind":"loss","loss":{"count":8}}"#).unwrap();
        stored.count(r#"{"kind":"exec","exec":{"argv":["\"kind\":\"loss\""]}}"#).unwrap();
        stored.count(r#"{"kind":"boot","boot":{"backend":"lsm"}}"#).unwrap();
        assert_eq!((stored.records, stored.lost, stored.of_kinds(&["exec", "open"])), (3, 8, 1));
        assert_eq!(stored.backend, "lsm");
        assert!(stored.count("{}").is_err());
    }
}
