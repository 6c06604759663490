//! Segments that were deleted by permission: their stubs, and whether tombstone and permit say that it was allowed.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::VerifyError;
use super::anchor::Mark;
use super::files::{io_error, open_file};
use super::finding::{self as f, Code};
use super::opener::Access;
use super::report::Severity;
use super::segment::{Run, Tail, Task, Walked};
use crate::journal::disk::ReadAt;
use crate::journal::key::sha256;
use crate::journal::retain::text::{MAX_DOCUMENT, rfc3339};
use crate::journal::retain::{Ending, MAX_STUB, Permit, Stub, StubFault, permit, shelf};
use crate::journal::segment::{self, Footer};
use crate::journal::walk::State;
use crate::model::{ClockPair, Digest, LogId, RealNanos, Tombstone};

/// Decides whose signature makes a permit good; an argument, because lists of signers are no matter of the journal.
pub trait PermitSigners: Debug + Send + Sync {
    /// Checks that `signature` was made over `document` by `signer` with a key that may sign permits at that time. Gives
    /// the key's fingerprint, or the reason.
    fn check(&self, document: &[u8], signature: &[u8], signer: &str, at: RealNanos)
    -> Result<String, String>;
}

/// Reads at most `most` bytes; `None` if the file is longer.
fn bounded(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = open_file(path)?;
    let size = usize::try_from(ReadAt::size(&file)?).unwrap_or(usize::MAX);
    if size > most {
        return Ok(None);
    }
    let (mut raw, mut have) = (vec![0u8; size], 0usize);
    while have < size {
        match file.read_at(crate::journal::wide(have), raw.get_mut(have..).unwrap_or_default())? {
            0 => break,
            n => have = have.saturating_add(n),
        }
    }
    raw.truncate(have);
    Ok(Some(raw))
}

/// Reads a stub.
pub(super) fn read(path: &Path) -> Result<Result<Stub, StubFault>, VerifyError> {
    let raw = bounded(path, MAX_STUB).map_err(io_error(path))?;
    Ok(raw.map_or(Err(StubFault::Damaged("it is longer than any stub")), |raw| Stub::parse(&raw)))
}

/// A stub in the place of the walk that can't be made any more.
pub(super) fn walked(stub: Stub, wanted: &[u64]) -> Walked {
    let (facts, seal) = (stub.facts, stub.seal);
    let footer = (facts.ending != Ending::Open).then(|| Footer {
        first_leaf: stub.first.header.leaf,
        leaves: stub.leaves(),
        records: facts.record.saturating_sub(stub.first.header.record),
        seals: facts.seals.saturating_sub(1),
        bytes: 0,
        stopped: u64::from(facts.ending == Ending::Stopped),
    });
    let end = State {
        leaf: seal.seal.tree_size,
        record: facts.record,
        control: facts.control,
        next_stream: facts.next_stream,
        prev: seal.hash,
        tree: stub.tree.clone(),
        next_seal: seal.seal.no.saturating_add(1),
        next_key: seal.seal.next_key,
        seal: Some(seal),
        footer,
        seals: facts.seals,
        end: facts.sealed_end,
    };
    let tail = Tail {
        len: facts.len,
        used: facts.sealed_end.saturating_add(facts.aside),
        sha256: facts.aside_sha256,
        seals: 0,
        later_seal: false,
        readable: facts.sealed_end,
        record: facts.readable_record,
        next_stream: facts.readable_stream,
    };
    // Of the roots inside it only the last one is left.
    let size = seal.seal.tree_size;
    let known = wanted.contains(&size);
    let mark = Mark { size, root: stub.tree.root(), sealed: Some(seal.seal.clock.real) };
    let marks = known.then_some(mark).into_iter().collect();
    Walked {
        header: stub.header.clone(),
        signed: stub.signed.clone(),
        signature: stub.signature,
        first: stub.first,
        end,
        reached: true,
        fault: None,
        unsupported: None,
        notes: Some(Vec::new()),
        last_clock: seal.seal.clock,
        first_clock: stub.header.clock,
        run: Run::default(),
        tail,
        access: Access::Clear,
        marks,
        recorded: Vec::new(),
        stub: Some(Box::new(stub)),
    }
}

/// A stub that was linked, waiting for the tombstone that stands behind it.
#[derive(Clone, Debug)]
pub(super) struct Expired {
    /// Its place among the segments of the log.
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) first: u64,
    pub(super) leaves: u64,
    digest: Digest,
    times: (ClockPair, ClockPair),
}

impl Expired {
    pub(super) fn new(place: usize, name: &str, stub: &Stub) -> Self {
        Self {
            place,
            name: name.to_owned(),
            first: stub.first.header.leaf,
            leaves: stub.leaves(),
            digest: stub.digest,
            times: (stub.header.clock, stub.seal.seal.clock),
        }
    }
}

/// What the log shows of one stub.
#[derive(Clone, Debug)]
pub(super) enum Judgement {
    /// Deleted by a permit, as this says in words; checked or not, with the reason why not.
    Allowed { permit: Digest, words: String, unchecked: bool },
    /// As above, but the permit is not one.
    Invalid { permit: Digest, why: String },
    /// Nothing shows that it might be deleted, or something else was.
    Refused(Code, String),
}

/// Judges one stub by the tombstones behind it.
fn judge(
    expired: &Expired,
    tombstones: &[(usize, Tombstone)],
    dirs: &[PathBuf],
    log: LogId,
    signers: Option<&dyn PermitSigners>,
) -> Result<Judgement, VerifyError> {
    let mut of_place = tombstones
        .iter()
        .filter(|(place, t)| *place > expired.place && t.first == expired.first)
        .map(|(_, t)| *t)
        .peekable();
    if of_place.peek().is_none() {
        let text = "the segment is gone, and no tombstone in the log says that it was deleted by a permit";
        return Ok(Judgement::Refused(f::SEGMENT_MISSING, text.to_owned()));
    }
    let mut fits = of_place.filter(|t| t.stub == expired.digest && t.leaves == expired.leaves).peekable();
    if fits.peek().is_none() {
        let text = "the stub is not the one that the log's tombstone names";
        return Ok(Judgement::Refused(f::STUB_INVALID, text.to_owned()));
    }
    // A permit may be applied again after a crash, another may name the same stub: the best of them counts.
    let mut best: Option<Judgement> = None;
    for tombstone in fits {
        let found = by_permit(expired, tombstone, dirs, log, signers)?;
        let rank = |j: &Judgement| match j {
            Judgement::Allowed { .. } => 2,
            Judgement::Invalid { .. } => 1,
            Judgement::Refused(..) => 0,
        };
        if best.as_ref().is_none_or(|b| rank(b) < rank(&found)) {
            best = Some(found);
        }
    }
    let nothing = || Judgement::Refused(f::SEGMENT_MISSING, "nothing names this stub".to_owned());
    Ok(best.unwrap_or_else(nothing))
}

/// A stub that nothing allows: behind it nothing is read.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) place: usize,
    pub(super) code: Code,
    pub(super) text: String,
}

/// The first stub that nothing allows, and how many were judged before it.
pub(super) fn hole(judged: &[(Expired, Judgement)]) -> Option<(usize, Refused)> {
    judged.iter().enumerate().find_map(|(n, (expired, found))| match found {
        Judgement::Refused(code, text) => {
            Some((n, Refused { place: expired.place, code: *code, text: text.clone() }))
        }
        _ => None,
    })
}

/// Judges the stubs of a log, given in its order, by the tombstones found in it.
pub(super) fn judge_all(
    stubs: Vec<Expired>,
    mut tombstones: Vec<(usize, Tombstone)>,
    dirs: &[PathBuf],
    log: LogId,
    signers: Option<&dyn PermitSigners>,
) -> Result<Vec<(Expired, Judgement)>, VerifyError> {
    let mut judged = Vec::with_capacity(stubs.len());
    // From the end: tombstones that a stub keeps count if it does.
    for expired in stubs.into_iter().rev() {
        let found = judge(&expired, &tombstones, dirs, log, signers)?;
        if let Judgement::Refused(..) = found {
            tombstones.retain(|(place, _)| *place != expired.place);
        }
        judged.push((expired, found));
    }
    judged.reverse();
    Ok(judged)
}

/// Adds the stubs of segments that are not there any more. One that lies beside its segment is nobody's yet: a deletion
/// that did not come to its end.
pub(super) fn add_stubs(
    tasks: &mut Vec<Task>,
    dirs: &[PathBuf],
    wanted: &Arc<[u64]>,
) -> Result<(), VerifyError> {
    let leaf_of = |task: &Task| {
        let name = task.path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        segment::leaf_of(name).or_else(|| shelf::stub_leaf(name))
    };
    let there: BTreeSet<Option<u64>> = tasks.iter().map(leaf_of).collect();
    for (leaf, path) in super::files::stubs(dirs)? {
        if !there.contains(&Some(leaf)) {
            tasks.push(Task { path, limit: None, repeated: false, stub: true, wanted: Arc::clone(wanted) });
        }
    }
    tasks.sort_by_key(leaf_of);
    Ok(())
}

/// Where a stub and its neighbour don't fit, the stub is what anybody could have made.
pub(super) fn blame(out: &mut f::Findings, known: usize) {
    for finding in out.list.iter_mut().skip(known) {
        if finding.severity == Severity::Tampered {
            finding.code = f::STUB_INVALID.0;
            finding.text = format!("a stub does not fit: {}", finding.text);
        }
    }
}

/// Reads a file from whichever directory has it.
fn find(dirs: &[PathBuf], name: &str, most: usize) -> Result<Option<Vec<u8>>, VerifyError> {
    for dir in dirs {
        let path = dir.join(name);
        match bounded(&path, most) {
            Ok(Some(raw)) => return Ok(Some(raw)),
            Ok(None) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error(&path)(e)),
        }
    }
    Ok(None)
}

fn by_permit(
    expired: &Expired,
    tombstone: Tombstone,
    dirs: &[PathBuf],
    log: LogId,
    signers: Option<&dyn PermitSigners>,
) -> Result<Judgement, VerifyError> {
    let id = tombstone.permit;
    let name = permit::file_name(id);
    let Some(document) = find(dirs, &name, MAX_DOCUMENT)? else {
        let text = format!("the segment is gone, and so is the permit that its tombstone names ({name})");
        return Ok(Judgement::Refused(f::SEGMENT_MISSING, text));
    };
    let signature = find(dirs, &format!("{name}.sig"), shelf::MAX_SIGNATURE)?.unwrap_or_default();
    let invalid = |why: String| Ok(Judgement::Invalid { permit: id, why });
    if sha256(&document) != id {
        return invalid("it was changed: its digest is not the one that the tombstone names".to_owned());
    }
    let permit = match Permit::parse(&document) {
        Ok(permit) => permit,
        Err(fault) => return invalid(fault.to_string()),
    };
    let last = expired.first.saturating_add(expired.leaves).saturating_sub(1);
    let named = permit.plan.item(expired.first).is_some_and(|i| i.last == last && i.stub == expired.digest);
    if permit.plan.log != log {
        return invalid(format!("it is for log {}", permit.plan.log));
    }
    if !named {
        return invalid(format!("it does not name the stub of leaves {} to {last}", expired.first));
    }
    if tombstone.applied >= permit.until {
        return invalid(format!(
            "it was applied at {}, and could be until {}",
            rfc3339(tombstone.applied),
            rfc3339(permit.until)
        ));
    }
    let words = format!(
        "by permit {} of {} (policy: {}; reason: {}), applied {}",
        id.to_string().get(..12).unwrap_or_default(),
        permit.head.signer,
        permit.plan.policy,
        permit.reason,
        rfc3339(tombstone.applied)
    );
    match signers.map(|s| s.check(&document, &signature, &permit.head.signer, tombstone.applied)) {
        None => Ok(Judgement::Allowed { permit: id, words, unchecked: true }),
        Some(Ok(key)) => {
            Ok(Judgement::Allowed { permit: id, words: format!("{words}, key {key}"), unchecked: false })
        }
        Some(Err(why)) => invalid(why),
    }
}

/// The findings of stubs that were judged, neighbours under one permit together.
pub(super) fn report(judged: Vec<(Expired, Judgement)>, out: &mut f::Findings) {
    let mut unchecked: Vec<(Digest, String)> = Vec::new();
    let mut invalid: Vec<(Digest, String)> = Vec::new();
    let mut runs: Vec<(Expired, usize, u64, ClockPair, String)> = Vec::new();
    for (expired, judgement) in judged {
        let words = match judgement {
            Judgement::Allowed { permit, words, unchecked: open } => {
                if open && unchecked.iter().all(|(known, _)| *known != permit) {
                    unchecked.push((permit, expired.name.clone()));
                }
                words
            }
            Judgement::Invalid { permit, why } => {
                let text = format!("permit {} is not good: {why}", short(permit));
                if invalid.iter().all(|(_, known)| *known != text) {
                    out.add(f::PERMIT_INVALID, Some(&expired.name), Some(expired.first), text.clone());
                    invalid.push((permit, text));
                }
                format!("by permit {}, which is not good", short(permit))
            }
            Judgement::Refused(code, text) => {
                out.add(code, Some(&expired.name), Some(expired.first), text);
                continue;
            }
        };
        let end = expired.first.saturating_add(expired.leaves);
        match runs.last_mut() {
            Some((_, n, until, to, known)) if *until == expired.first && *known == words => {
                (*n, *until, *to) = (n.saturating_add(1), end, expired.times.1);
            }
            _ => runs.push((expired.clone(), 1, end, expired.times.1, words)),
        }
    }
    for (first, n, end, to, words) in runs {
        let (from, to) = (second(first.times.0), second(to));
        let segments = if n == 1 { "1 segment".to_owned() } else { format!("{n} segments") };
        let last = end.saturating_sub(1);
        let text = format!("{segments}, leaves {} to {last} ({from} to {to}), expired {words}", first.first);
        out.add(f::EXPIRED, Some(&first.name), Some(first.first), text);
    }
    for (permit, name) in unchecked {
        let text = format!(
            "no list of signers was given: that permit {} was signed by somebody who may was not checked",
            short(permit)
        );
        out.add(f::PERMIT_UNCHECKED, Some(&name), None, text);
    }
}

fn second(clock: ClockPair) -> String {
    let nanos = clock.real.get();
    rfc3339(RealNanos::new(nanos - nanos % 1_000_000_000))
}

fn short(id: Digest) -> String {
    id.to_string().get(..12).unwrap_or_default().to_owned()
}
