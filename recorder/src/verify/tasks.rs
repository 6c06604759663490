//! The files of one log as work: which of them count, and all processors walking them.

use std::num::NonZero;

use super::VerifyError;
use super::files;
use super::queue;
use super::segment::{Outcome, Task, peek, walk};
use crate::journal::Identities;
use crate::journal::segment::Reason;

/// A log of fewer bytes is walked by one thread.
const SMALL: u64 = 4 << 20;
/// Most threads. Each has about 1 MiB, and a few segments' notes.
const WIDEST: usize = 32;

/// The file's name, for findings.
pub(super) fn name_of(task: &Task) -> String {
    task.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A storage fault can strike after a new segment got its name and before that was acknowledged: then it holds a header
/// and one seal, and the restart elsewhere begins at the same leaf. Such a segment is void. One that holds more is a
/// fork, and stays to be found as one.
pub(super) fn drop_void(tasks: &mut Vec<Task>) -> Result<(), VerifyError> {
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

/// Walks segments on all processors and hands them over in order; `tell` gets the bytes as they are done.
pub(super) fn walk_all(
    tasks: &[Task],
    identities: &Identities,
    tell: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(&Task, Outcome) -> Result<bool, VerifyError>,
) -> Result<(), VerifyError> {
    // Threads cost more than small files do.
    let small = tasks.iter().map(|t| files::len(&t.path)).fold(0, u64::saturating_add) < SMALL;
    let width =
        if small { 1 } else { std::thread::available_parallelism().map_or(1, NonZero::get).min(WIDEST) };
    let mut failed = None;
    let work = |item: usize, tell: &dyn Fn(u64)| tasks.get(item).map(|task| walk(task, identities, tell));
    queue::in_order(tasks.len(), width, work, tell, &mut |item, outcome| {
        let (Some(task), Some(outcome)) = (tasks.get(item), outcome) else { return false };
        outcome.and_then(|outcome| each(task, outcome)).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    });
    failed.map_or(Ok(()), Err)
}
