//! One log: which files are its segments, what each says of the one before it, and what the fold over them came to.

use std::path::PathBuf;
use std::sync::Arc;

use super::anchor::Given;
use super::expired::{self, Refused};
use super::files::{self, LogDir};
use super::finding as f;
use super::fold::Fold;
use super::interval::{Edge, Interval};
use super::report::{AnchorVerdict, Finding, LogSummary, SessionVerdict, Witnessed};
use super::segment::{Task, peek, walk};
use super::{Options, VerifyError};
use crate::journal::Identities;
use crate::journal::origin::Origin;
use crate::journal::segment::Reason;
use crate::model::{LogId, SessionId};

/// A range of a segment that verification vouches for.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) path: PathBuf,
    /// End of the last seal.
    pub(super) sealed: u64,
    /// End of the readable frames behind it.
    pub(super) readable: u64,
    /// A new process of the recorder begins with this segment.
    pub(super) fresh: bool,
    /// Streams that expired segments before it opened.
    pub(super) opened: Vec<(u64, SessionId)>,
}

/// What a reader may read of a log.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) log: LogId,
    pub(super) ranges: Vec<Range>,
}

/// Everything about one log.
pub(super) struct LogResult {
    pub(super) origin: Option<Origin>,
    pub(super) incarnation: u32,
    pub(super) findings: Vec<Finding>,
    pub(super) sessions: Vec<SessionVerdict>,
    pub(super) summary: LogSummary,
    pub(super) plan: Plan,
    pub(super) not_checked: Vec<String>,
    pub(super) anchors: Vec<AnchorVerdict>,
    pub(super) witnessed: Vec<Witnessed>,
    pub(super) intervals: Vec<Interval>,
    /// Where the first run began and the last one ended, as far as it is sealed.
    pub(super) edges: (Option<Edge>, Option<Edge>),
}

/// Verifies one log.
pub(super) fn verify(
    dir: &LogDir,
    options: &Options,
    (given, kept): (Option<&Origin>, &Given),
    progress: &mut dyn FnMut(u64),
) -> Result<LogResult, VerifyError> {
    let note = files::note_in(&dir.path)?;
    let origin = match &note {
        files::Note::Origin(origin) => Some(Origin::clone(origin)),
        _ => None,
    };
    let mut dirs = vec![dir.path.clone()];
    let id = origin.as_ref().map(|o| o.identity.log).or(dir.named);
    if let (Some(spare), Some(id)) = (&options.spare, id) {
        let spare = spare.join(id.to_string());
        if spare.is_dir() {
            dirs.push(spare);
        }
    }
    let wanted = id.map(|id| kept.sizes(id)).unwrap_or_default();
    let mut tasks: Vec<Task> = files::segments(&dirs)?
        .into_iter()
        .map(|(_, path)| Task {
            path,
            limit: None,
            repeated: false,
            stub: false,
            wanted: Arc::clone(&wanted),
        })
        .collect();
    drop_void(&mut tasks)?;
    expired::add_stubs(&mut tasks, &dirs, &wanted)?;
    let left_out = options.newest.map_or(0, |newest| tasks.len().saturating_sub(newest));
    tasks.drain(..left_out);
    let mut first_id = None;
    let mut number_after: Option<(u64, Option<u64>, bool)> = None;
    for task in tasks.iter_mut().rev() {
        let head = peek(&task.path)?;
        // Only the direct successor can say where a segment ended.
        if let (Some((_, number)), Some((next, limit, repeated))) = (&head, number_after)
            && number.saturating_add(1) == next
        {
            (task.limit, task.repeated) = (limit, repeated);
        }
        first_id = head.as_ref().map(|(h, _)| h.log).or(first_id);
        number_after = head.map(|(h, number)| {
            let limit = h.last_seal.filter(|_| h.reason.is_restart()).map(|s| s.no);
            (number, limit, h.reason == Reason::Fault)
        });
    }
    let id = id.or(first_id).unwrap_or_default();
    let folded = |refused: Option<Refused>, progress: &mut dyn FnMut(u64)| {
        let mut fold = Fold::new(id, given, kept);
        fold.begins_late = options.newest.is_some();
        fold.refused = refused;
        match &note {
            files::Note::Missing => fold.out.add(f::ORIGIN_MISSING, None, None, "origin.note is missing"),
            files::Note::Invalid => {
                fold.out.add(f::ORIGIN_INVALID, None, None, "origin.note is not as it was signed");
            }
            files::Note::Origin(_) => {}
        }
        if dir.named.is_some_and(|named| named != id) {
            fold.out.add(f::FOREIGN_LOG, None, None, "the directory has the name of another log");
        }
        fold.run(&tasks, id, origin.as_ref(), options, progress)?;
        Ok::<_, VerifyError>(fold)
    };
    let mut fold = folded(None, progress)?;
    let mut judged = expired::judge_all(
        std::mem::take(&mut fold.expired),
        std::mem::take(&mut fold.tombstones),
        &dirs,
        id,
        options.permits.as_deref(),
    )?;
    // What lies behind a hole that nothing allows is not vouched for: all is folded again, up to there.
    if let Some((n, refused)) = expired::hole(&judged).filter(|_| !fold.broken) {
        fold = folded(Some(refused), &mut |_| ())?;
        judged.truncate(n);
    }
    expired::report(judged, &mut fold.out);
    if left_out > 0 {
        let text = format!("log {id}: its first {left_out} segments, which nobody asked for");
        fold.not_checked.push(text);
    }
    let incarnation = origin.as_ref().map_or(0, |o| o.incarnation);
    fold.report_losses();
    fold.secrecy.report(&mut fold.summary, &mut fold.out, &mut fold.not_checked);
    let edges = (fold.intervals.began, fold.intervals.ended);
    let intervals = fold.intervals.finish(&mut fold.out);
    let sessions = fold.sessions.verdicts(fold.whole);
    Ok(LogResult {
        origin,
        incarnation,
        findings: fold.out.list,
        sessions,
        summary: fold.summary,
        plan: Plan { log: id, ranges: fold.ranges },
        not_checked: fold.not_checked,
        anchors: fold.judged.anchors,
        witnessed: fold.judged.witnessed,
        intervals,
        edges,
    })
}

/// A storage fault can strike after a new segment got its name and before that was acknowledged: then it holds a header
/// and one seal, and the restart elsewhere begins at the same leaf. Such a segment is void. One that holds more is a
/// fork, and stays to be found as one.
fn drop_void(tasks: &mut Vec<Task>) -> Result<(), VerifyError> {
    let mut void = Vec::new();
    for pair in tasks.windows(2) {
        let [a, b] = pair else { continue };
        if a.path.file_name() != b.path.file_name() {
            continue;
        }
        for (candidate, other) in [(a, b), (b, a)] {
            let (Some((mine, _)), Some((theirs, _))) = (peek(&candidate.path)?, peek(&other.path)?) else {
                continue;
            };
            let replaced = mine.reason == Reason::Rotate
                && theirs.reason == Reason::Fault
                && mine.last_seal == theirs.last_seal;
            if replaced
                && walk(candidate, &Identities::default(), &|_| ())?
                    .is_ok_and(|w| w.end.seals == 1 && !w.tail.later_seal)
            {
                void.push(candidate.path.clone());
            }
        }
    }
    tasks.retain(|t| !void.contains(&t.path));
    Ok(())
}
