//! Holds a log against checkpoints that were kept elsewhere, and against what witnesses signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::finding::{self as f, Findings};
use super::policy::{self, Policy};
use super::report::{AnchorState, AnchorVerdict, Cosignature, Witnessed};
use super::{Options, VerifyError, files};
use crate::journal::checkpoint::{Checkpoint, Head, Piece, find_all, log_of, verifier};
use crate::journal::key::PublicKey;
use crate::journal::note::{Note, Signed, Verifier};
use crate::model::{Cosigned, Digest, LogId, RealNanos};

/// A longer file is not read.
const MAX_FILE: usize = 256 << 20;

/// A checkpoint that was kept elsewhere.
#[derive(Debug)]
struct Anchor {
    source: String,
    log: LogId,
    head: Head,
    note: Note,
}

/// Everything that was given to compare with.
#[derive(Debug)]
pub(super) struct Given {
    anchors: Vec<Anchor>,
    policy: Option<Policy>,
    /// What was given and could not be used, and why.
    unused: Vec<String>,
    asked: bool,
}

/// What a log shows at a size that an anchor names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) size: u64,
    pub(super) root: Digest,
    /// When it was sealed, if a seal stands there.
    pub(super) sealed: Option<RealNanos>,
}

/// A CHECKPOINT record of the log.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) leaf: u64,
    pub(super) cosigned: Cosigned,
    /// Whether the log has that root at that size; `None`: too far back to be known.
    pub(super) fits: Option<bool>,
}

/// What was found of a log.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) log: LogId,
    pub(super) admission: PublicKey,
    /// By size, rising.
    pub(super) marks: &'a [Mark],
    pub(super) recorded: &'a [Recorded],
    /// Leaves that are sealed and follow.
    pub(super) last: u64,
    /// Nothing is wrong up to there: what lies beyond is not there, rather than not checked.
    pub(super) whole: bool,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The largest size that an anchor shows, and when it was sealed.
    pub(super) proven: Option<(u64, Option<RealNanos>)>,
    pub(super) anchors: Vec<AnchorVerdict>,
    pub(super) witnessed: Vec<Witnessed>,
    pub(super) not_checked: Vec<String>,
}

impl Given {
    /// Reads everything that the options name.
    pub(super) fn load(options: &Options) -> Result<Self, VerifyError> {
        let mut given = Self {
            anchors: Vec::new(),
            policy: None,
            unused: Vec::new(),
            asked: !options.anchors.is_empty(),
        };
        for path in &options.anchors {
            if path.is_dir() {
                for path in files::regular(path)? {
                    given.take(&path)?;
                }
            } else if given.take(path)? == 0 {
                return Err(VerifyError::NoAnchor { path: path.clone() });
            }
        }
        if let Some(path) = &options.policy {
            let raw = files::read(path, policy::MAX_LEN)?;
            let parsed = Policy::parse(&raw);
            let policy =
                parsed.map_err(|(line, text)| VerifyError::BadPolicy { path: path.clone(), line, text })?;
            if policy.unsupported() > 0 {
                let text = format!(
                    "cosignatures of {} witnesses of the policy: their keys are of a kind that is not supported",
                    policy.unsupported()
                );
                given.unused.push(text);
            }
            given.policy = Some(policy);
        }
        Ok(given)
    }

    /// How many anchors the file holds, broken ones among them.
    fn take(&mut self, path: &Path) -> Result<usize, VerifyError> {
        let source = path.display().to_string();
        let pieces = find_all(&files::read(path, MAX_FILE)?);
        let mut seen: BTreeSet<(LogId, u64, Digest)> = BTreeSet::new();
        for piece in &pieces {
            match piece {
                Piece::Broken(line) => {
                    self.unused
                        .push(format!("anchor {source}: line {line} begins a checkpoint and holds none"));
                }
                Piece::Anchor(Checkpoint { origin, head }, note) => match log_of(origin) {
                    Some(log) => {
                        // One with more signatures is another one.
                        if seen.insert((log, head.size, head.root)) || note.signatures.len() > 1 {
                            let (source, head, note) = (source.clone(), *head, note.clone());
                            self.anchors.push(Anchor { source, log, head, note });
                        }
                    }
                    None => self.unused.push(format!("anchor {source}: of another kind of log ({origin})")),
                },
            }
        }
        Ok(pieces.len())
    }

    /// Sizes whose roots the walk has to keep.
    pub(super) fn sizes(&self, log: LogId) -> Arc<[u64]> {
        let sizes: BTreeSet<u64> =
            self.anchors.iter().filter(|a| a.log == log).map(|a| a.head.size).collect();
        sizes.into_iter().collect()
    }

    /// True if witnesses' signatures are asked for.
    pub(super) const fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// What was given and belongs to none of these logs.
    pub(super) fn foreign(&self, logs: &[LogId], across: &mut Findings, not_checked: &mut Vec<String>) {
        if !self.asked {
            not_checked.push("anchors: no checkpoint kept elsewhere was given (--anchor FILE)".to_owned());
        }
        not_checked.extend(self.unused.iter().cloned());
        let mut others: BTreeMap<LogId, usize> = BTreeMap::new();
        for anchor in self.anchors.iter().filter(|a| !logs.contains(&a.log)) {
            let count = others.entry(anchor.log).or_default();
            *count = count.saturating_add(1);
        }
        for (log, count) in &others {
            not_checked.push(format!("{count} anchors of log {log}, which is not here"));
        }
        if self.asked && !self.anchors.iter().any(|a| logs.contains(&a.log)) {
            across.add(f::ANCHOR_INVALID, None, None, "none of the anchors is one of a log that is here");
        }
    }

    /// Holds one log against everything that was given of it.
    pub(super) fn judge(&self, subject: &Subject<'_>, out: &mut Findings) -> Judged {
        let mut judged = Judged::default();
        let Some(by) = verifier(subject.log, subject.admission) else { return judged };
        let mut forks: Vec<&Anchor> = Vec::new();
        let mut beyond: Vec<&Anchor> = Vec::new();
        let mut invalid: Vec<&Anchor> = Vec::new();
        for anchor in self.anchors.iter().filter(|a| a.log == subject.log) {
            let mark = subject.marks.binary_search_by_key(&anchor.head.size, |m| m.size);
            let mark = mark.ok().and_then(|n| subject.marks.get(n));
            let state = match (anchor.note.signed_by(&by), mark) {
                (Signed::Not | Signed::Badly, _) => {
                    invalid.push(anchor);
                    AnchorState::Invalid
                }
                (Signed::At(_), Some(mark)) if mark.root == anchor.head.root => {
                    if judged.proven.is_none_or(|(size, _)| size < mark.size) {
                        judged.proven = Some((mark.size, mark.sealed));
                    }
                    self.witness(&by, anchor, None, &mut judged);
                    AnchorState::Matches
                }
                (Signed::At(_), Some(_)) => {
                    forks.push(anchor);
                    AnchorState::Fork
                }
                (Signed::At(_), None) if subject.whole && anchor.head.size > subject.last => {
                    beyond.push(anchor);
                    AnchorState::RolledBack
                }
                (Signed::At(_), None) => AnchorState::NotChecked,
            };
            judged.anchors.push(self.verdict(anchor, state));
        }
        for recorded in subject.recorded {
            self.record(&by, recorded, out, &mut judged);
        }
        say(subject, (&forks, &beyond, &invalid), out);
        let unchecked = judged.anchors.iter().filter(|a| a.state == AnchorState::NotChecked).count();
        if unchecked > 0 {
            let text = format!(
                "{unchecked} anchors of log {}: the log verifies up to leaf {} only",
                subject.log, subject.last
            );
            judged.not_checked.push(text);
        }
        self.short(&by, subject, out, &mut judged);
        judged
    }

    fn verdict(&self, anchor: &Anchor, state: AnchorState) -> AnchorVerdict {
        let cosigners = self.policy.as_ref().map(|p| p.cosigners(&anchor.note)).unwrap_or_default();
        AnchorVerdict {
            source: anchor.source.clone(),
            log: anchor.log,
            size: anchor.head.size,
            root: anchor.head.root,
            state,
            cosigned: cosigners.into_iter().map(|c| Cosignature { name: c.name, time: c.time }).collect(),
        }
    }

    /// A checkpoint that fits the log: what the policy's witnesses make of it.
    fn witness(&self, by: &Verifier, anchor: &Anchor, recorded_at: Option<u64>, judged: &mut Judged) {
        let Some(policy) = self.policy.as_ref().filter(|p| p.knows(by)) else { return };
        let cosigners = policy.cosigners(&anchor.note);
        let Some(first) = cosigners.first().map(|c| c.time) else { return };
        // Where no quorum is asked for, the first one says as much as all.
        let Some(time) = policy.reached(&cosigners).map(|t| if t == u64::MAX { first } else { t }) else {
            return;
        };
        let seen = Witnessed {
            log: anchor.log,
            leaves: anchor.head.size,
            not_after: time,
            recorded_at,
            by: cosigners.into_iter().map(|c| c.name).collect(),
        };
        judged.witnessed.push(seen);
    }

    /// A CHECKPOINT record bounds the time of what stands before and behind it; it does not show where the log ends.
    fn record(&self, by: &Verifier, recorded: &Recorded, out: &mut Findings, judged: &mut Judged) {
        let Recorded { leaf, cosigned, fits } = recorded;
        let note = Note::parse(cosigned.note.as_slice()).ok();
        let read = note.as_ref().and_then(|note| Checkpoint::parse(&note.text));
        let (Some(note), Some(checkpoint)) = (note, read) else {
            out.add(f::CONTROL_UNREADABLE, None, Some(*leaf), "a checkpoint record holds no checkpoint");
            return;
        };
        let said = Head { size: cosigned.size, root: cosigned.root };
        let ours = log_of(&checkpoint.origin).is_some_and(|log| verifier(log, by.key()).as_ref() == Some(by))
            && checkpoint.head == said
            && matches!(note.signed_by(by), Signed::At(_));
        if !ours {
            let text = "a checkpoint record holds a checkpoint that this log did not sign";
            out.add(f::CONTROL_UNREADABLE, None, Some(*leaf), text);
            return;
        }
        match fits {
            Some(false) => {
                let text = format!("the log signed another root at leaf {} than it has", said.size);
                out.add(f::FORK, None, Some(*leaf), text);
            }
            Some(true) => {
                let log = log_of(&checkpoint.origin).unwrap_or_default();
                let anchor = Anchor { source: String::new(), log, head: said, note };
                self.witness(by, &anchor, Some(*leaf), judged);
            }
            None => {}
        }
    }

    /// Whether enough witnesses stand behind the whole log.
    fn short(&self, by: &Verifier, subject: &Subject<'_>, out: &mut Findings, judged: &mut Judged) {
        let Some(policy) = &self.policy else { return };
        judged.witnessed.sort_by_key(|w| (w.leaves, w.not_after, w.recorded_at));
        judged.witnessed.dedup();
        if !policy.knows(by) {
            out.add(f::WITNESSES_SHORT, None, None, "the policy does not list this log's key");
        } else if policy.reached(&[]).is_none() {
            let up_to = judged.witnessed.last().map_or(0, |w| w.leaves);
            if up_to < subject.last {
                let text = format!(
                    "the policy's quorum has signed the log's first {up_to} leaves and not all of its {}",
                    subject.last
                );
                out.add(f::WITNESSES_SHORT, None, Some(up_to), text);
            }
        }
    }
}

/// One finding of each kind, the most telling, with how many there are.
fn say(
    subject: &Subject<'_>,
    (forks, beyond, invalid): (&[&Anchor], &[&Anchor], &[&Anchor]),
    out: &mut Findings,
) {
    let more = |list: &[&Anchor]| match list.len() {
        0 | 1 => String::new(),
        n => format!("; {n} anchors say so"),
    };
    if let Some(first) = forks.iter().min_by_key(|a| a.head.size) {
        let text = format!(
            "another log was signed: anchor {} has another root at leaf {}{}",
            first.source,
            first.head.size,
            more(forks)
        );
        out.add(f::FORK, None, Some(first.head.size), text);
    }
    if let Some(last) = beyond.iter().max_by_key(|a| a.head.size) {
        let text = format!(
            "anchor {} shows that the log had {} leaves: the {} that are here are a cut or an older copy{}",
            last.source,
            last.head.size,
            subject.last,
            more(beyond)
        );
        out.add(f::ROLLED_BACK, None, Some(subject.last), text);
    }
    if let Some(first) = invalid.first() {
        let text =
            format!("anchor {} is not signed by this log's admission key{}", first.source, more(invalid));
        out.add(f::ANCHOR_INVALID, None, None, text);
    }
}
