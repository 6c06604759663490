//! One look at one file, and the walk that keeps the baseline.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::baseline::{Baseline, Text, Version};
use super::cache::{self, Cache};
use super::words::{Aim, Entry, Files, Kind, Look, Seen, Stat, Way};
use super::{class, diff, hash, rules::Rules, rules::holds_a_key};
use crate::model::{Bytes, Changed, Digest, Digested, Found, RealNanos, TaskId, Why};

/// Digests that are remembered.
const DIGESTS: usize = 16 * 1024;
/// Texts of which the content is kept.
const TEXT: usize = 256 * 1024;
/// A file that was written to so lately is not quiet.
const QUIET_NS: u64 = 2_000_000_000;
/// Links that are followed to a script; the kernel follows as many.
const LINKS: usize = 40;
/// Clocks of file systems are as coarse as a timer's tick.
const TICK_NS: u64 = 20_000_000;
/// Between two walks through the trees.
const AGAIN_NS: u64 = 60_000_000_000;
/// Entries of one directory that are looked at; directories and files that wait.
const ENTRIES: usize = 16 * 1024;
const WAITING: usize = 16 * 1024;

/// Looks at files; knows digests and what lay in the watched trees.
#[derive(Debug)]
pub struct Examiner {
    rules: Rules,
    cache: Cache,
    baseline: Baseline,
    walk: Walk,
    /// When the last walk ended.
    walked: Option<RealNanos>,
}

#[derive(Debug)]
enum Walk {
    /// Files and directories that are still to be looked at; `true`: a directory.
    Down(Vec<(Bytes, bool)>),
    /// What is known and was not found is looked for, from this path on.
    Known(Option<Bytes>),
    /// Until it is time again.
    Rest,
}

/// A file and what is in it.
struct Content {
    found: Found,
    text: Text,
    why: Why,
}

/// Where a link leads to.
fn beside(link: &Bytes, target: &Bytes) -> Bytes {
    if target.as_slice().starts_with(b"/") {
        return target.clone();
    }
    let directory = link.as_slice().rsplitn(2, |b| *b == b'/').nth(1).unwrap_or_default();
    Bytes::from([directory, b"/", target.as_slice()].concat())
}

impl Examiner {
    /// With an empty baseline.
    pub fn new(rules: Rules) -> Self {
        let walk = Walk::Down(rules.trees.iter().map(|tree| (tree.clone(), true)).collect());
        Self { rules, cache: Cache::new(DIGESTS), baseline: Baseline::default(), walk, walked: None }
    }

    /// True once all trees were walked through.
    pub const fn has_walked(&self) -> bool {
        self.walked.is_some()
    }

    /// Answers a look.
    pub fn look<F: Files>(&mut self, look: &Look, files: &mut F) -> Seen {
        match look.aim {
            Aim::Program => Seen::Program(Box::new(self.program(look, files))),
            Aim::Script => Seen::Program(Box::new(self.script(look, files))),
            Aim::File { quiet, anew } => self
                .file(look, (quiet, anew), files)
                .map_or(Seen::Busy, |changed| Seen::File(Box::new(changed))),
        }
    }

    fn program<F: Files>(&mut self, look: &Look, files: &mut F) -> Digested {
        let mut digested = Digested {
            path: look.path.clone(),
            dev: look.dev,
            ino: look.ino,
            why: Why::Gone,
            count: 1,
            ..Digested::default()
        };
        for way in [Way::Image, Way::Process, Way::Host] {
            if way == Way::Image && look.aim == Aim::Script {
                continue;
            }
            // What a process runs by now may be something else: without a number nothing tells.
            if way != Way::Process && look.ino == 0 && (way == Way::Image || look.foreign) {
                continue;
            }
            let mut open = match files.open(&look.path, look.task, way) {
                Ok(open) => open,
                Err(Why::Gone) => continue,
                Err(why) => {
                    digested.why = why;
                    continue;
                }
            };
            let Ok(stat) = files.stat(&open) else {
                digested.why = Why::Unreadable;
                continue;
            };
            if stat.kind != Kind::Regular || (look.ino != 0 && stat.ino != look.ino) {
                digested.why = Why::Replaced;
                continue;
            }
            // What is running can't be written to; what has ended may have been since.
            if way != Way::Image && stat.mtime.get() > look.since.get().saturating_add(TICK_NS) {
                digested.why = Why::Changing;
                digested.found = Some(stat.found());
                return digested;
            }
            if look.ino == 0 {
                (digested.dev, digested.ino) = (stat.dev, stat.ino);
            }
            digested.device = u8::from(look.dev != (0, 0) && stat.dev != look.dev);
            let content = self.read(files, &mut open, stat, 0);
            (digested.why, digested.found) = (content.why, Some(content.found));
            return digested;
        }
        digested
    }

    /// As the kernel looked for it: through all links. The answer is about the path that was asked for.
    fn script<F: Files>(&mut self, look: &Look, files: &mut F) -> Digested {
        let mut at = look.clone();
        for _ in 0..LINKS {
            // A descriptor of its process: here it would be another one's.
            if at.ino == 0
                && [&b"/proc/"[..], b"/dev/fd/"].iter().any(|own| at.path.as_slice().starts_with(own))
            {
                return Digested { path: look.path.clone(), why: Why::Gone, count: 1, ..Digested::default() };
            }
            let target = [Way::Process, Way::Host].into_iter().find_map(|way| {
                if way == Way::Host && at.foreign {
                    return None;
                }
                let open = files.open(&at.path, at.task, way).ok()?;
                Some(files.stat(&open).ok()?.kind)
            });
            let Some(Kind::Link(target)) = target else { break };
            at.path = beside(&at.path, &target);
        }
        Digested { path: look.path.clone(), ..self.program(&at, files) }
    }

    /// `None`: it is being written.
    fn file<F: Files>(&mut self, look: &Look, (quiet, anew): (bool, bool), files: &mut F) -> Option<Changed> {
        let path = look.path.as_slice();
        let mut changed = Changed { path: look.path.clone(), count: 1, ..Changed::default() };
        let (there, is_host) = reach(look, files);
        let watched = is_host && self.rules.is_watched(path);
        let before = watched.then(|| self.baseline.before(&look.path, look.since).cloned()).flatten();
        let mut now = None;
        match there {
            Err(why) => changed.why = why,
            Ok(mut open) => {
                let Ok(stat) = files.stat(&open) else {
                    changed.why = Why::Unreadable;
                    return Some(changed);
                };
                if quiet && is_fresh(&stat, files.now()) {
                    return None;
                }
                (changed.dev, changed.ino) = (stat.dev, stat.ino);
                changed.untouched =
                    u8::from(before.is_none() && stat.ctime.get().saturating_add(TICK_NS) < look.since.get());
                if look.ino != 0 && stat.ino != look.ino {
                    (changed.why, changed.after) = (Why::Replaced, Some(stat.found()));
                    return Some(changed);
                }
                let content = match &stat.kind {
                    Kind::Regular => {
                        if anew {
                            self.cache.forget(cache::Version::of(&stat));
                        }
                        self.read(files, &mut open, stat, self.kept(watched, path))
                    }
                    Kind::Link(target) => {
                        changed.link = Some(target.clone());
                        link(&stat, target)
                    }
                    Kind::Directory | Kind::Other => {
                        Content { found: stat.found(), text: Err(Why::Special), why: Why::Special }
                    }
                };
                changed.why = content.why;
                changed.after = (content.why != Why::Special).then(|| content.found.clone());
                now = Some(content);
            }
        }
        if watched && (now.is_some() || changed.why == Why::Gone) && changed.why != Why::Special {
            let at = now.as_ref().map_or_else(|| files.now(), |content| content.found.ctime);
            let found = now.as_ref().map(|content| content.found.clone());
            let text = now.as_ref().map_or(Err(Why::Gone), |content| content.text.clone());
            self.baseline.learn(&look.path, Version { found, text, at });
            match self.diff(look, before.as_ref(), now.as_ref()) {
                Ok(diff) => changed.diff = diff,
                Err(why) => changed.no_diff = why,
            }
        }
        changed.before = before.and_then(|version| version.found);
        changed.class = class::class(path, changed.before.as_ref(), changed.after.as_ref(), &self.rules);
        Some(changed)
    }

    /// Bytes of it that are kept, if it is text.
    fn kept(&self, watched: bool, path: &[u8]) -> usize {
        if watched && !self.rules.is_secret(path) { TEXT } else { 0 }
    }

    fn read<F: Files>(&mut self, files: &mut F, open: &mut F::Open, stat: Stat, keep: usize) -> Content {
        let keeps = usize::try_from(stat.size).is_ok_and(|size| size <= keep);
        if !keeps && let Some(sha256) = self.cache.get(cache::Version::of(&stat)) {
            let found = Found { sha256: Some(sha256), ..stat.found() };
            return Content { found, text: Err(Why::TooLarge), why: Why::None };
        }
        match hash::read(files, open, stat, self.rules.max_file, keep) {
            Ok(whole) => {
                self.cache.put(cache::Version::of(&whole.stat), whole.sha256);
                let found = Found { sha256: Some(whole.sha256), ..whole.stat.found() };
                let text = match whole.bytes {
                    Some(bytes) if holds_a_key(&bytes) => Err(Why::Secret),
                    Some(bytes) if diff::is_text(&bytes) => Ok(Arc::from(bytes)),
                    Some(_) => Err(Why::Binary),
                    None => Err(Why::TooLarge),
                };
                Content { found, text, why: Why::None }
            }
            Err((stat, why)) => Content { found: stat.found(), text: Err(why), why },
        }
    }

    /// `Ok(None)`: both are the same.
    fn diff(
        &self,
        look: &Look,
        before: Option<&Version>,
        now: Option<&Content>,
    ) -> Result<Option<crate::model::Diff>, Why> {
        if self.rules.is_secret(look.path.as_slice()) {
            return Err(Why::Secret);
        }
        let none: Arc<[u8]> = Arc::from(&[][..]);
        let was = match before {
            Some(Version { found: Some(_), text, .. }) => text.clone()?,
            Some(Version { found: None, .. }) => Arc::clone(&none),
            None if look.fresh => Arc::clone(&none),
            None => return Err(Why::NoBaseline),
        };
        let is = now.map_or(Ok(none), |content| content.text.clone())?;
        if was == is {
            return Ok(None);
        }
        diff::unified(&was, &is).map(Some)
    }

    /// Looks at one more directory of the trees, or at a file that is new in it. False: there is nothing to do for now.
    pub fn walk<F: Files>(&mut self, files: &mut F) -> bool {
        match &mut self.walk {
            Walk::Down(waiting) => match waiting.pop() {
                Some((path, true)) => {
                    for Entry { path, found } in files.list(&path, ENTRIES) {
                        let known =
                            found.as_ref().is_some_and(|found| self.baseline.is_current(&path, found));
                        if !known && waiting.len() < WAITING {
                            waiting.push((path, found.is_none()));
                        }
                    }
                }
                Some((path, false)) => self.refresh(&path, files),
                None => self.walk = Walk::Known(None),
            },
            Walk::Known(last) => {
                let Some(path) = self.baseline.missing(last.as_ref()) else {
                    self.walk = Walk::Rest;
                    self.walked = Some(files.now());
                    return true;
                };
                self.walk = Walk::Known(Some(path.clone()));
                if let Err(Why::Gone) = files.open(&path, TaskId::default(), Way::Host) {
                    let now = files.now();
                    let gone = Version { found: None, text: Err(Why::Gone), at: now };
                    self.baseline.learn(&path, gone);
                    self.baseline.forget(&path, now);
                }
            }
            Walk::Rest => {
                let now = files.now().get();
                // A clock that was set back ends the rest.
                let rested = self.walked.is_none_or(|at| now.abs_diff(at.get()) >= AGAIN_NS);
                if !rested || self.rules.trees.is_empty() {
                    return false;
                }
                self.baseline.begin();
                self.walk = Walk::Down(self.rules.trees.iter().map(|tree| (tree.clone(), true)).collect());
            }
        }
        true
    }

    fn refresh<F: Files>(&mut self, path: &Bytes, files: &mut F) {
        let Ok(mut open) = files.open(path, TaskId::default(), Way::Host) else { return };
        let Ok(stat) = files.stat(&open) else { return };
        if self.baseline.is_current(path, &stat.found()) {
            return;
        }
        let content = match &stat.kind {
            Kind::Regular => {
                let keep = self.kept(true, path.as_slice());
                self.read(files, &mut open, stat, keep)
            }
            Kind::Link(target) => link(&stat, target),
            Kind::Directory | Kind::Other => return,
        };
        let at = content.found.ctime;
        self.baseline.learn(path, Version { found: Some(content.found), text: content.text, at });
    }
}

/// The way to a file, and whether it is the host's: the trees are, and what has the same path elsewhere is another file.
fn reach<F: Files>(look: &Look, files: &mut F) -> (Result<F::Open, Why>, bool) {
    let host = files.open(&look.path, look.task, Way::Host);
    let own = match files.open(&look.path, look.task, Way::Process) {
        // The task is gone, or has no root of its own.
        Err(Why::Gone) if !look.foreign => return (host, true),
        Err(Why::Gone) => {
            let is_it = |open: &F::Open, files: &mut F| {
                look.ino != 0
                    && files.stat(open).is_ok_and(|stat| (stat.dev, stat.ino) == (look.dev, look.ino))
            };
            return match host {
                Ok(open) if is_it(&open, files) => (Ok(open), true),
                _ => (Err(Why::Gone), false),
            };
        }
        own => own,
    };
    let identity = |open: &Result<F::Open, Why>, files: &mut F| {
        open.as_ref().ok().and_then(|open| files.stat(open).ok()).map(|stat| (stat.dev, stat.ino))
    };
    let is_host = identity(&own, files).is_some_and(|own| identity(&host, files) == Some(own));
    (own, is_host)
}

/// A link's target is its content.
fn link(stat: &Stat, target: &Bytes) -> Content {
    let sha256 = Some(Digest::new(Sha256::digest(target.as_slice()).into()));
    Content {
        found: Found { sha256, ..stat.found() },
        text: Ok(Arc::from(target.as_slice())),
        why: Why::None,
    }
}

fn is_fresh(stat: &Stat, now: RealNanos) -> bool {
    now.get().checked_sub(stat.mtime.get()).is_some_and(|age| age < QUIET_NS) && stat.kind == Kind::Regular
}
