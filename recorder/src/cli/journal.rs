//! Opening a journal for a reading command: report first, then entries, with one warning where the evidence is damaged.

use super::args::{JournalArgs, SessionName};
use super::{Failure, Io};
use crate::model::SessionId;
use crate::verify::{Entry, Options, Report, Verdict, Verified, VerifyError};

/// A verified journal: what verification says, and the entries that it vouches for.
pub(crate) struct Source<I> {
    pub(crate) report: Report,
    pub(crate) entries: I,
}

/// Verifies and opens, for a command that says something also of what it can't read.
pub(crate) fn open(
    args: &JournalArgs,
) -> Result<Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>> + use<>>, Failure> {
    let options = Options { identities: args.identity.read()?, ..Options::default() };
    let (report, entries) = crate::verify::read(&args.dir(), &options)?;
    Ok(Source { report, entries })
}

/// As [`open`], for a command that has nothing to say without the content.
pub(crate) fn open_content(
    args: &JournalArgs,
) -> Result<Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>> + use<>>, Failure> {
    let source = open(args)?;
    let sealed: u64 = source.report.logs.iter().map(|log| log.encrypted).sum();
    let opened: u64 = source.report.logs.iter().map(|log| log.opened).sum();
    if sealed > 0 && opened == 0 && source.report.exit != 2 {
        return Err(Failure::Sealed(
            "this journal is sealed to its recipients, and no identity that was given opens it (--identity FILE)"
                .to_owned(),
        ));
    }
    Ok(source)
}

/// The exit code of a reading command: the evidence's own if it is damaged, else what the command says.
pub(crate) fn exit(report: &Report, code: u8) -> u8 {
    if report.exit >= 2 { report.exit } else { code }
}

/// One line on standard error if the evidence is damaged.
pub(crate) fn warn(report: &Report, io: &mut Io<'_>) {
    let expired = report.findings.iter().filter(|f| f.code == "EXPIRED");
    for finding in expired {
        io.warn(&format!("not shown: {}", finding.text));
    }
    if report.exit < 2 {
        return;
    }
    let worst = report.findings.iter().max_by_key(|f| f.severity);
    let why = worst.map_or_else(String::new, |f| format!(" ({}: {})", f.code, f.text));
    io.warn(&format!("this journal is {}{why}; only what verifies is shown", verdict_words(report.verdict)));
}

/// A verdict as people read it.
pub(crate) const fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Verified => "VERIFIED",
        Verdict::VerifiedWithGaps => "VERIFIED WITH GAPS",
        Verdict::Tampered => "TAMPERED",
        Verdict::Incomplete => "INCOMPLETE",
        Verdict::Untrusted => "UNTRUSTED",
        Verdict::Unsupported => "UNSUPPORTED",
        Verdict::Decrypt => "DECRYPT",
    }
}

/// Like [`resolve`], but where the evidence is damaged and the session not there, the damage is the answer: `Err` is
/// the exit code.
pub(crate) fn find(
    report: &Report,
    name: &SessionName,
    io: &mut Io<'_>,
) -> Result<Result<SessionId, u8>, Failure> {
    match resolve(report, name) {
        Err(Failure::Nothing(text)) if report.exit >= 2 => {
            io.warn(&text);
            Ok(Err(report.exit))
        }
        other => other.map(Ok),
    }
}

/// The session that is meant. Ids are UUIDv7, so the greatest is the newest.
pub(crate) fn resolve(report: &Report, name: &SessionName) -> Result<SessionId, Failure> {
    if *name == SessionName::Last {
        let newest = report.sessions.iter().map(|s| s.id).max();
        return newest.ok_or_else(|| Failure::Nothing("the journal holds no session".to_owned()));
    }
    let mut matching: Vec<_> = report.sessions.iter().map(|s| s.id).filter(|id| name.names(*id)).collect();
    matching.sort_unstable();
    matching.dedup();
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::Nothing("no session has that id".to_owned())),
        [first, second, ..] => Err(Failure::Usage(format!(
            "{} sessions begin like that, such as {first} and {second}: give more digits",
            matching.len()
        ))),
    }
}
