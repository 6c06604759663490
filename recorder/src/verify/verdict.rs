//! All logs of a journal together: who follows whom, and the verdict.

use std::collections::BTreeMap;
use std::path::Path;

use super::anchor::Given;
use super::files;
use super::finding::{self as f, Findings};
use super::interval;
use super::log::{self, LogResult, Plan};
use super::report::{Finding, Report, Severity, Verdict};
use super::{Options, Progress, VerifyError};
use crate::journal::Abandoned;

/// Verifies everything at `dir`.
pub(super) fn run(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Vec<Plan>), VerifyError> {
    let given = match &options.origin {
        None => None,
        Some(path) => match files::note(path)? {
            files::Note::Origin(origin) => Some(*origin),
            files::Note::Invalid => return Err(VerifyError::BadOrigin { path: path.clone() }),
            files::Note::Missing => return Err(VerifyError::NotFound { path: path.clone() }),
        },
    };
    let kept = Given::load(options)?;
    let dirs = files::logs(dir)?;
    let mut total = 0u64;
    for log in &dirs {
        for (_, path) in files::segments(std::slice::from_ref(&log.path))? {
            total = total.saturating_add(files::len(&path));
        }
    }
    let mut done = 0u64;
    let mut results = Vec::with_capacity(dirs.len());
    for log in &dirs {
        results.push(log::verify(log, options, (given.as_ref(), &kept), &mut |bytes| {
            done = done.saturating_add(bytes);
            progress(Progress { done, total });
        })?);
    }
    results.sort_by_key(|r| (r.incarnation, r.summary.id));
    let mut across = Findings::new(None);
    if let Some(given) = &given
        && !results.iter().any(|r| r.summary.id == given.identity.log)
    {
        let text = format!("log {}, whose origin was given, is not here", given.identity.log);
        across.add(f::ORIGIN_MISMATCH, None, None, text);
    }
    incarnations(&mut results, dirs.len() > 1);
    let logs: Vec<_> = results.iter().map(|r| r.summary.id).collect();
    let mut not_checked = Vec::new();
    kept.foreign(&logs, &mut across, &mut not_checked);
    Ok(assemble(results, across, not_checked))
}

/// Logs of one journal are incarnations of one host's, each named by the next.
fn incarnations(results: &mut [LogResult], whole_journal: bool) {
    let index: BTreeMap<_, _> = results.iter().enumerate().map(|(n, r)| (r.summary.id, n)).collect();
    let host = results.iter().find_map(|r| r.origin.as_ref()).map(|o| o.host_id);
    let mut found: Vec<(usize, Findings)> = Vec::new();
    let mut between = Vec::new();
    let mut numbers = BTreeMap::new();
    for (n, r) in results.iter().enumerate() {
        let mut own = Findings::new(Some(r.summary.id));
        let Some(origin) = &r.origin else { continue };
        if Some(origin.host_id) != host {
            own.add(f::FOREIGN_LOG, None, None, "the log belongs to another host's journal");
        } else if let Some(other) = numbers.insert(origin.incarnation, r.summary.id) {
            own.add(f::FORK, None, None, format!("log {other} has the same incarnation number"));
        }
        if let Some((previous, why)) = origin.previous {
            if let Some(before) = index.get(&previous) {
                let end = results.get(*before).and_then(|r| r.edges.1);
                if let (Some(end), Some(next)) = (end, r.edges.0) {
                    between.push((n, interval::between(r.summary.id, end, next)));
                }
                let mut theirs = Findings::new(Some(previous));
                abandoned(&mut theirs, why, &r.summary.id.to_string());
                found.push((*before, theirs));
            } else if whole_journal {
                own.add(
                    f::LOG_MISSING,
                    None,
                    None,
                    format!("log {previous}, which this one follows, is missing"),
                );
            } else {
                own.add(
                    f::LOG_MISSING,
                    None,
                    None,
                    format!("this log follows log {previous}, which is not here"),
                );
            }
        }
        found.push((n, own));
    }
    for (n, interval) in between {
        if let Some(r) = results.get_mut(n) {
            r.intervals.insert(0, interval);
        }
    }
    for (n, findings) in found {
        if let Some(r) = results.get_mut(n) {
            r.findings.extend(findings.list);
        }
    }
}

fn abandoned(out: &mut Findings, why: Abandoned, by: &str) {
    match why {
        Abandoned::KeyMismatch => {
            let text = format!(
                "the recovery key on disk was newer than the one that the last seal names: seals were cut off before \
                 the recorder started again (it began log {by})"
            );
            out.add(f::RESTART_UNAUTHORISED, None, None, text);
        }
        Abandoned::KeyMissing => {
            let text =
                format!("the recovery key was gone, so the recorder began log {by}: this log's end is open");
            out.add(f::RECOVERY_KEY_MISSING, None, None, text);
        }
        Abandoned::Damaged => {
            let text =
                format!("the recorder found this log damaged as no crash leaves it, and began log {by}");
            out.add(f::LOG_ABANDONED, None, None, text);
        }
    }
}

fn judge(findings: &[Finding]) -> Verdict {
    let order = [
        (Severity::Tampered, Verdict::Tampered),
        (Severity::Missing, Verdict::Incomplete),
        (Severity::Untrusted, Verdict::Untrusted),
        (Severity::Unsupported, Verdict::Unsupported),
        (Severity::Undecryptable, Verdict::Decrypt),
        (Severity::Gap, Verdict::VerifiedWithGaps),
    ];
    let heaviest = order.into_iter().find(|(severity, _)| findings.iter().any(|f| f.severity == *severity));
    heaviest.map_or(Verdict::Verified, |(_, verdict)| verdict)
}

fn assemble(results: Vec<LogResult>, across: Findings, mut not_checked: Vec<String>) -> (Report, Vec<Plan>) {
    not_checked.push(
        "bodies of session records: their bytes are vouched for, their meaning is decoded by readers"
            .to_owned(),
    );
    let mut report = Report {
        verdict: Verdict::Verified,
        exit: 0,
        findings: across.list,
        sessions: Vec::new(),
        logs: Vec::new(),
        anchors: Vec::new(),
        witnessed: Vec::new(),
        intervals: Vec::new(),
        not_checked,
    };
    let mut plans = Vec::new();
    for result in results {
        report.findings.extend(result.findings);
        report.sessions.extend(result.sessions);
        report.logs.push(result.summary);
        report.intervals.extend(result.intervals);
        report.not_checked.extend(result.not_checked);
        report.anchors.extend(result.anchors);
        report.witnessed.extend(result.witnessed);
        plans.push(result.plan);
    }
    report.verdict = judge(&report.findings);
    report.exit = report.verdict.exit();
    (report, plans)
}
