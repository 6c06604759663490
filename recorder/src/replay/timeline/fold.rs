//! The story as a person reads it: what one program did to many files is one line, what ran again and again is told once with its
//! number, and so is what is left in files that mean nothing by themselves.
//!
//! Nothing is folded that was refused, gives rights, or is about the system (`alone`). The items themselves stay as they are.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::alone::{Act, act, is_plain};
use super::{Ended, Item, Story, What};
use crate::model::{Bytes, Cred, Exec, Exit, RealNanos};

/// So many acts of one program are a line.
const ACTS: usize = 4;
/// Acts of one program that are further apart than this are two lines: a shell that a person types into lives for hours.
const APART_NS: u64 = 2_000_000_000;
/// Of a program that runs again and again so many are shown, if there are more than twice as many.
const RUNS: usize = 3;
/// So many files that were left in a row are a line.
const FILES: usize = 3;
/// Programs that people type into.
const SHELLS: &[&[u8]] = &[b"bash", b"sh", b"dash", b"zsh", b"ksh", b"fish", b"ash", b"busybox"];

/// A line of the story.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// When it began.
    pub time: RealNanos,
    /// As the item's.
    pub depth: u16,
    /// What it tells.
    pub told: Told<'a>,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told<'a> {
    /// One item.
    Item {
        /// Which.
        item: &'a Item,
        /// The program that it belongs to.
        program: Option<&'a Item>,
        /// As a program with these arguments it ran so often.
        times: u64,
    },
    /// A program ran more often, each time with success.
    Runs {
        /// Which.
        path: &'a Bytes,
        /// How often.
        count: u64,
        /// Programs that it started.
        below: u64,
    },
    /// What one program did to files.
    Acts(Acts),
    /// Its credentials from first to last, over so many steps.
    Cred(Box<Cred>, usize),
    /// What was left in files, by directory.
    Files(Vec<(Bytes, Vec<Bytes>)>),
}

/// Acts of one program on files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acts {
    /// How many of which kind, in the order in which they came.
    pub kinds: Vec<(&'static str, u64)>,
    /// In which directories, most acts first.
    pub places: Vec<(Bytes, u64)>,
}

/// The lines, and how many items they stand for beside themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold<'a> {
    /// In order.
    pub lines: Vec<Line<'a>>,
    /// Items that have no line of their own.
    pub folded: u64,
}

/// Folds a story.
pub fn fold(story: &Story) -> Fold<'_> {
    let mut folder = Folder {
        story,
        gone: vec![false; story.items.len()],
        instead: BTreeMap::new(),
        times: HashMap::new(),
    };
    folder.acts();
    folder.creds();
    folder.again();
    folder.runs();
    folder.files();
    folder.lines()
}

/// A program, and all that stands below it.
type Run = (usize, Vec<usize>);

struct Folder<'a> {
    story: &'a Story,
    gone: Vec<bool>,
    instead: BTreeMap<usize, Told<'a>>,
    times: HashMap<usize, u64>,
}

impl<'a> Folder<'a> {
    /// What still has a line, in order.
    fn left(&self) -> impl Iterator<Item = (usize, &'a Item)> + '_ {
        let items = self.story.items.iter().enumerate();
        items.filter(|(n, _)| !self.gone.get(*n).copied().unwrap_or(true) && !self.instead.contains_key(n))
    }

    fn drop_all(&mut self, all: &[usize]) {
        for n in all {
            if let Some(gone) = self.gone.get_mut(*n) {
                *gone = true;
            }
            self.instead.remove(n);
        }
    }

    /// One line in the first one's place for all of them.
    fn replace(&mut self, all: &[usize], told: Told<'a>) {
        let Some((first, rest)) = all.split_first() else { return };
        self.drop_all(rest);
        self.instead.insert(*first, told);
    }

    fn program(&self, n: usize) -> Option<(usize, &'a Item)> {
        let program = *self.story.under.get(&n)?;
        Some((program, self.story.items.get(program)?))
    }

    /// Acts on files, by the program that did them.
    fn acts(&mut self) {
        let owned: Vec<(usize, usize, Act<'a>, RealNanos)> = self
            .left()
            .filter_map(|(n, item)| Some((n, self.program(n)?.0, act(&item.what)?, item.time)))
            .collect();
        let passing = passing(owned.iter().map(|(_, program, act, _)| (*program, *act)));
        let mut groups: Vec<Vec<(usize, Act<'a>)>> = Vec::new();
        let mut open: HashMap<usize, (usize, RealNanos)> = HashMap::new();
        for (n, program, act, time) in owned {
            if act.stands_alone(|path| passing.contains(&(program, path))) {
                continue;
            }
            let group = match open.get(&program) {
                Some((group, last)) if time.get().saturating_sub(last.get()) < APART_NS => *group,
                _ => {
                    groups.push(Vec::new());
                    groups.len() - 1
                }
            };
            open.insert(program, (group, time));
            if let Some(group) = groups.get_mut(group) {
                group.push((n, act));
            }
        }
        for group in groups.iter().filter(|group| group.len() >= ACTS) {
            let all: Vec<usize> = group.iter().map(|(n, _)| *n).collect();
            self.replace(&all, Told::Acts(summed(group.iter().map(|(_, act)| act))));
        }
    }

    /// Steps of one process's credentials that nothing of it stands between.
    fn creds(&mut self) {
        let mut runs: HashMap<u32, Vec<(usize, &Cred)>> = HashMap::new();
        let mut done: Vec<Vec<(usize, &Cred)>> = Vec::new();
        for (n, item) in self.left() {
            let Some(pid) = item.pid else { continue };
            match &item.what {
                What::Cred(cred) => runs.entry(pid).or_default().push((n, cred)),
                _ => done.extend(runs.remove(&pid)),
            }
        }
        done.extend(runs.into_values());
        for run in done.iter().filter(|run| run.len() > 1) {
            let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else { continue };
            let all: Vec<usize> = run.iter().map(|(n, _)| *n).collect();
            let whole =
                Cred { old: first.old, new: last.new, old_caps: first.old_caps, new_caps: last.new_caps };
            // Who was root already and is again gained nothing on the way.
            let nothing = whole.old == whole.new && whole.old_caps == whole.new_caps;
            if nothing && first.old.euid == 0 {
                self.drop_all(&all);
            } else {
                self.replace(&all, Told::Cred(Box::new(whole), run.len()));
            }
        }
    }

    /// What runs with the same arguments again and leaves nothing behind.
    fn again(&mut self) {
        let busy: HashSet<usize> = self.shown().filter_map(|n| Some(self.program(n)?.0)).collect();
        let mut same: BTreeMap<(usize, &[Bytes], &Bytes, u32), Vec<usize>> = BTreeMap::new();
        for (n, item) in self.left() {
            let (What::Exec { exec, euid, ended }, Some((program, by))) = (&item.what, self.program(n))
            else {
                continue;
            };
            if is_well(*ended) && !busy.contains(&n) && !is_typed_into(by) {
                same.entry((program, &*exec.argv, &exec.path, *euid)).or_default().push(n);
            }
        }
        for all in same.into_values().filter(|all| all.len() > 1) {
            let Some((first, rest)) = all.split_first() else { continue };
            self.drop_all(rest);
            self.times.insert(*first, u64::try_from(all.len()).unwrap_or(u64::MAX));
        }
    }

    /// Everything that has a line, also one that stands for others.
    fn shown(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.story.items.len()).filter(|n| !self.gone.get(*n).copied().unwrap_or(true))
    }

    /// A program that another one runs again and again, with all that it starts, where nothing of it stands out.
    fn runs(&mut self) {
        let mut kids: HashMap<usize, Vec<usize>> = HashMap::new();
        for n in self.shown() {
            if let Some((program, _)) = self.program(n) {
                kids.entry(program).or_default().push(n);
            }
        }
        let mut same: BTreeMap<(usize, &'a Bytes), Vec<Run>> = BTreeMap::new();
        for (n, item) in self.left() {
            let (What::Exec { exec, .. }, Some((program, by))) = (&item.what, self.program(n)) else {
                continue;
            };
            if let Some(all) = self.quiet(n, &kids).filter(|_| !is_typed_into(by)) {
                same.entry((program, &exec.path)).or_default().push((n, all));
            }
        }
        for ((_, path), all) in same.into_iter().filter(|(_, all)| all.len() > 2 * RUNS) {
            // What stands below one that was folded before is told with it.
            let more: Vec<&Run> = all
                .iter()
                .skip(RUNS)
                .filter(|(n, _)| !self.gone.get(*n).copied().unwrap_or(true) && !self.instead.contains_key(n))
                .collect();
            let Some((first, _)) = more.first() else { continue };
            let below = more.iter().flat_map(|(_, below)| below).filter(|n| self.is_exec(**n)).count();
            let count = u64::try_from(more.len()).unwrap_or(u64::MAX);
            let below = u64::try_from(below).unwrap_or(u64::MAX);
            let first = *first;
            let gone: Vec<usize> =
                more.iter().flat_map(|(n, below)| std::iter::once(n).chain(below)).copied().collect();
            self.drop_all(&gone);
            if let Some(gone) = self.gone.get_mut(first) {
                *gone = false;
            }
            self.instead.insert(first, Told::Runs { path, count, below });
        }
    }

    fn is_exec(&self, n: usize) -> bool {
        self.story.items.get(n).is_some_and(|item| matches!(item.what, What::Exec { .. }))
    }

    /// All that stands below a program, if it ended well and nothing of that stands out.
    fn quiet(&self, program: usize, kids: &HashMap<usize, Vec<usize>>) -> Option<Vec<usize>> {
        let (mut all, mut wait) = (Vec::new(), vec![program]);
        while let Some(n) = wait.pop() {
            let item = self.story.items.get(n)?;
            let is_quiet = match (&item.what, self.instead.get(&n)) {
                (_, Some(Told::Acts(_))) => true,
                (_, Some(_)) => false,
                (What::Exec { ended, .. }, None) => is_well(*ended),
                (what, None) => act(what).is_some_and(|act| !act.stands_alone(|_| false)),
            };
            if !is_quiet {
                return None;
            }
            if n != program {
                all.push(n);
            }
            wait.extend(kids.get(&n).into_iter().flatten());
        }
        Some(all)
    }

    /// What was left in files, where many stand in a row.
    fn files(&mut self) {
        let mut runs: Vec<Vec<usize>> = Vec::new();
        let mut before = false;
        for n in self.shown().collect::<Vec<_>>() {
            let item = self.story.items.get(n);
            let plain = item.is_some_and(|item| matches!(&item.what, What::Changed(c) if is_plain(c)));
            match runs.last_mut() {
                Some(run) if plain && before => run.push(n),
                _ if plain => runs.push(vec![n]),
                _ => {}
            }
            before = plain;
        }
        for run in runs.iter().filter(|run| run.len() >= FILES) {
            let mut places: Vec<(Bytes, Vec<Bytes>)> = Vec::new();
            for item in run.iter().filter_map(|n| self.story.items.get(*n)) {
                let What::Changed(changed) = &item.what else { continue };
                let (directory, name) = taken_apart(&changed.path);
                match places.iter_mut().find(|(known, _)| *known == directory) {
                    Some((_, names)) => names.push(name),
                    None => places.push((directory, vec![name])),
                }
            }
            self.replace(run, Told::Files(places));
        }
    }

    fn lines(mut self) -> Fold<'a> {
        let mut fold = Fold::default();
        for (n, item) in self.story.items.iter().enumerate() {
            if self.gone.get(n).copied().unwrap_or(false) {
                fold.folded += 1;
                continue;
            }
            let told = self.instead.remove(&n).unwrap_or(Told::Item {
                item,
                program: self.program(n).map(|(_, program)| program),
                times: self.times.get(&n).copied().unwrap_or(1),
            });
            fold.lines.push(Line { time: item.time, depth: item.depth, told });
        }
        fold
    }
}

/// Files that a program made and took away again, or gave another name.
fn passing<'a>(acts: impl Iterator<Item = (usize, Act<'a>)>) -> HashSet<(usize, &'a Bytes)> {
    let (mut made, mut passing) = (HashSet::new(), HashSet::new());
    for (program, act) in acts.filter(|(_, act)| act.is_done()) {
        match act.name {
            "create" | "mkdir" => {
                made.insert((program, act.path));
            }
            "unlink" | "rename" if made.contains(&(program, act.path)) => {
                passing.insert((program, act.path));
            }
            _ => {}
        }
    }
    passing
}

fn summed<'a>(acts: impl Iterator<Item = &'a Act<'a>>) -> Acts {
    let mut sum = Acts::default();
    for act in acts {
        match sum.kinds.iter_mut().find(|(name, _)| *name == act.name) {
            Some((_, count)) => *count += act.count,
            None => sum.kinds.push((act.name, act.count)),
        }
        let (directory, _) = taken_apart(act.to.unwrap_or(act.path));
        match sum.places.iter_mut().find(|(known, _)| *known == directory) {
            Some((_, count)) => *count += act.count,
            None => sum.places.push((directory, act.count)),
        }
    }
    sum.places.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sum
}

/// Directory and name of a path.
fn taken_apart(path: &Bytes) -> (Bytes, Bytes) {
    match path.as_slice().iter().rposition(|byte| *byte == b'/') {
        Some(0) => (Bytes::from("/"), Bytes::from(path.as_slice().get(1..).unwrap_or_default())),
        Some(at) => {
            let (directory, name) = path.as_slice().split_at(at);
            (Bytes::from(directory), Bytes::from(name.get(1..).unwrap_or_default()))
        }
        None => (Bytes::default(), path.clone()),
    }
}

fn is_well(ended: Option<Ended>) -> bool {
    matches!(ended, Some(Ended { exit: Exit { code: 0, signal: 0, .. }, .. }))
}

/// A shell without a script: what it runs was typed by somebody, and each line counts.
fn is_typed_into(item: &Item) -> bool {
    let What::Exec { exec: Exec { path, argv, .. }, .. } = &item.what else { return false };
    let (_, name) = taken_apart(path);
    let options =
        argv.iter().skip(1).all(|word| word.as_slice().starts_with(b"-") && word.as_slice() != b"-c");
    SHELLS.contains(&name.as_slice()) && options
}
