//! `recorder verify`: the verdict, all findings, and what was not checked. The exit code is the verdict's.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::args::{Format, FormatArgs, JournalArgs};
use super::grant::recheck::{self, Recheck};
use super::journal::verdict_words;
use super::retention::Listed;
use super::{Failure, Io, table};
use crate::export::{write_line, write_pretty};
use crate::model::RealNanos;
use crate::verify::{AnchorState, Finding, Options, PermitSigners, Progress, Report, Severity};

/// Arguments of `recorder verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the journal
    #[arg(value_name = "DIR", conflicts_with = "journal")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    journal: JournalArgs,
    /// The origin note, kept elsewhere, that the journal must come from
    #[arg(long, value_name = "FILE")]
    origin: Option<PathBuf>,
    /// A checkpoint kept elsewhere: a file with signed notes or lines of syslog, or a directory of such files (repeat)
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// Whose cosignatures the checkpoints must have: a C2SP policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Check retention permits, and the stored grant documents again, against this list of signers (ssh-keygen's ALLOWED
    /// SIGNERS)
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgs,
}

/// The report, and what the second look at grants came to if one was asked for.
#[derive(Serialize)]
struct Whole<'a> {
    /// The shape's version (docs/verify.schema.json).
    v: u8,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<&'a Recheck>,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.journal.dir());
    let permits: Option<Arc<dyn PermitSigners>> = match &args.allowed_signers {
        Some(list) => Some(Arc::new(Listed::read(list, io)?)),
        None => None,
    };
    let mut bar = Bar { shown: None, on: io.err_terminal };
    let verified = crate::verify::read_with(
        &dir,
        &Options {
            origin: args.origin.clone(),
            identities: args.journal.identity.read()?,
            anchors: args.anchor.clone(),
            policy: args.policy.clone(),
            permits,
            ..Options::default()
        },
        &mut |p| bar.show(p, io.err),
    );
    bar.clear(io.err);
    let (report, entries) = verified?;
    let grants = match &args.allowed_signers {
        Some(list) => Some(recheck::run(entries, list, io)?),
        None => None,
    };
    print(&report, grants.as_ref(), args.format.format, io)
}

pub(super) fn print(
    report: &Report,
    grants: Option<&Recheck>,
    format: Format,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    match format {
        Format::Json => write_pretty(io.out, &Whole { v: 1, report, grants })?,
        Format::Ndjson => write_line(io.out, &Whole { v: 1, report, grants })?,
        Format::Table => {
            print_table(report, io)?;
            if let Some(grants) = grants {
                print_grants(grants, io)?;
            }
        }
    }
    // The evidence is what it is; a document that the list does not confirm is a finding about people.
    Ok(report.exit.max(u8::from(grants.is_some_and(|grants| !grants.bad.is_empty()))))
}

fn print_grants(grants: &Recheck, io: &mut Io<'_>) -> Result<(), Failure> {
    writeln!(
        io.out,
        "grant documents: {} of {} confirmed by the list of signers",
        grants.good, grants.checked
    )?;
    for bad in &grants.bad {
        writeln!(io.out, "  NOT CONFIRMED {} by {}: {}", bad.document.0, bad.signer, escape(&bad.why))?;
    }
    Ok(())
}

fn print_table(report: &Report, io: &mut Io<'_>) -> Result<(), Failure> {
    writeln!(io.out, "verdict: {}", verdict_words(report.verdict))?;
    let mut modes: Vec<&str> = report.logs.iter().map(|log| log.encryption.as_str()).collect();
    modes.sort_unstable();
    modes.dedup();
    writeln!(
        io.out,
        "encryption: {}",
        if modes.is_empty() { "unknown".to_owned() } else { escape(&modes.join(", ")) }
    )?;
    for log in &report.logs {
        writeln!(
            io.out,
            "log {}: leaves {} to {}, {} seals, {}, root {}",
            log.id,
            log.first,
            log.last,
            log.seals,
            table::bytes(log.bytes),
            log.root
        )?;
    }
    let (sessions, losses) = (report.sessions.len(), report.sessions.iter().map(|s| s.losses).sum::<u64>());
    writeln!(io.out, "sessions: {sessions}, declared losses: {losses}")?;
    for session in report.sessions.iter().filter(|s| s.completeness != "complete") {
        writeln!(
            io.out,
            "  {} {}, {} losses",
            session.id,
            session.completeness.replace('_', " "),
            session.losses
        )?;
    }
    print_anchors(report, io)?;
    if !report.intervals.is_empty() {
        writeln!(io.out, "time without a recorder that saw everything: {}", report.intervals.len())?;
    }
    for interval in &report.intervals {
        writeln!(
            io.out,
            "  {} to {} ({} s) {}: {}",
            seconds(interval.from),
            seconds(interval.to),
            interval.seconds,
            interval.kind.name().replace('_', " "),
            escape(&interval.text)
        )?;
    }
    writeln!(
        io.out,
        "findings: {}",
        if report.findings.is_empty() { "none".into() } else { report.findings.len().to_string() }
    )?;
    for finding in &report.findings {
        writeln!(
            io.out,
            "  {} {}: {}{}",
            severity(finding.severity),
            finding.code,
            escape(&finding.text),
            place(finding)
        )?;
    }
    writeln!(io.out, "not checked:{}", if report.not_checked.is_empty() { " nothing" } else { "" })?;
    for text in &report.not_checked {
        writeln!(io.out, "  {}", escape(text))?;
    }
    Ok(())
}

fn print_anchors(report: &Report, io: &mut Io<'_>) -> Result<(), Failure> {
    for log in &report.logs {
        let of_log = || report.anchors.iter().filter(|a| a.log == log.id);
        let fit = || of_log().filter(|a| a.state == AnchorState::Matches);
        if of_log().next().is_some() {
            let up_to = fit().map(|a| a.size).max().unwrap_or(0);
            let (all, good) = (of_log().count(), fit().count());
            writeln!(io.out, "anchors: {good} of {all} fit log {}, up to leaf {up_to}", log.id)?;
        }
        if let Some(seen) = report.witnessed.iter().rfind(|w| w.log == log.id) {
            let by: Vec<String> = seen.by.iter().map(|name| escape(name)).collect();
            let at = Timestamp::from_second(i64::try_from(seen.not_after).unwrap_or(i64::MAX));
            let at = at.map(|at| at.to_string()).unwrap_or_default();
            writeln!(io.out, "witnessed: {} leaves were there at {at}, by {}", seen.leaves, by.join(", "))?;
        }
    }
    Ok(())
}

/// `2026-11-21 02:31:00 UTC`.
fn seconds(time: RealNanos) -> String {
    let text = time.rfc3339();
    let text = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    format!("{} UTC", text.replacen('T', " ", 1))
}

fn place(finding: &Finding) -> String {
    let mut parts = Vec::new();
    parts.extend(finding.log.map(|log| format!("log {log}")));
    parts.extend(finding.segment.as_deref().map(|s| format!("segment {}", escape(s))));
    parts.extend(finding.leaf.map(|leaf| format!("leaf {leaf}")));
    if parts.is_empty() { String::new() } else { format!(" [{}]", parts.join(", ")) }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Gap => "GAP",
        Severity::Undecryptable => "DECRYPT",
        Severity::Unsupported => "UNSUPPORTED",
        Severity::Untrusted => "UNTRUSTED",
        Severity::Missing => "MISSING",
        Severity::Tampered => "TAMPERED",
    }
}

/// Texts of findings may quote what somebody put into the journal's directory.
fn escape(text: &str) -> String {
    super::io::one_line(text)
}

/// Progress on a terminal, redrawn when the percentage changes.
struct Bar {
    shown: Option<u64>,
    on: bool,
}

impl Bar {
    fn show(&mut self, progress: Progress, err: &mut dyn std::io::Write) {
        let percent = progress.done.saturating_mul(100).checked_div(progress.total).unwrap_or(0).min(100);
        if self.on && self.shown != Some(percent) {
            self.shown = Some(percent);
            let _ = write!(err, "\rverifying {percent:3} % of {}\x1b[K", table::bytes(progress.total));
            let _ = err.flush();
        }
    }

    fn clear(&mut self, err: &mut dyn std::io::Write) {
        if self.shown.take().is_some() {
            let _ = write!(err, "\r\x1b[K");
        }
    }
}
