//! Secrets in arguments as programs get them, and in the shell's lines that stand in one of them.

use std::ops::Range;

use super::names::{self, Kind};
use super::programs::{self, Bare, Program, Stands, Takes};
use super::text::Form;
use super::words::{self, Word};
use super::{Found, Rules};

/// A line in an argument in a line: `sh -c "ssh x 'mysql -p…'"`.
const DEEPEST: u8 = 4;
/// Shorter options are letters, not names.
const SHORTEST_NAME: usize = 3;

/// A vector that is looked through.
pub(super) struct Vector<'a> {
    /// What programs get.
    pub(super) words: &'a [&'a [u8]],
    /// Whence they come, if a shell made them of a line.
    pub(super) line: Option<(&'a [u8], &'a [Word])>,
    pub(super) depth: u8,
}

/// What the next word is.
#[derive(Clone, Copy)]
struct Next {
    takes: Takes,
    /// What the option's name says; a program's own option says it for sure.
    kind: Kind,
    rule: &'static str,
    /// It may have stood alone.
    doubtful: bool,
}

/// A program's name without the directory, and without what a shell puts before it.
pub(super) fn base(word: &[u8]) -> &[u8] {
    let name = word.rsplit(|b| *b == b'/').next().unwrap_or_default();
    name.strip_prefix(b"-").unwrap_or(name)
}

impl Rules {
    /// Everything that is found in the words, with the index of each.
    pub(super) fn vector(&self, vector: &Vector<'_>) -> Vec<(usize, Found)> {
        let mut found = Vec::new();
        let quiet = vector.words.first().is_some_and(|first| programs::runs_nothing(base(first)));
        let mut known: Vec<(&'static Program, usize)> = Vec::new();
        let mut next: Option<Next> = None;
        let mut setting = false;
        for (index, word) in vector.words.iter().enumerate() {
            if let Some(next) = next.take()
                && let Some(range) = next.of(word)
            {
                vector.push(index, range, next.kind, next.rule, &mut found);
            } else if !word.starts_with(b"-") {
                known.retain(|(program, _)| !program.leads);
            }
            if index == 0 || (!quiet && !word.starts_with(b"-")) {
                let mut programs = programs::of_name(base(word)).peekable();
                if programs.peek().is_some() {
                    known = programs.map(|program| (program, index)).collect();
                }
            }
            for (program, since) in &known {
                if is_on(program, vector.words, *since, index) {
                    next = next.or(option(program, vector, index, &mut found));
                }
            }
            next = next.or(self.named(vector, index, &mut found));
            // `aws configure set aws_secret_access_key X`, `redis-cli config set requirepass X`
            if setting && next.is_none() && self.patterns.kind(word) != Kind::Plain && !word.contains(&b'=') {
                let (takes, kind) = (Takes::Secret, self.patterns.kind(word));
                next = Some(Next { takes, kind, rule: "set", doubtful: false });
            }
            setting = [&b"set"[..], b"SET", b"config"].contains(word) || (setting && word.starts_with(b"-"));
            for inner in self.value(word, vector.depth) {
                found.push((index, inner));
            }
        }
        for (program, since) in known {
            bare(program, vector, since, &mut found);
        }
        found
    }

    /// `--name=value`, `--name value`, `NAME=value`.
    fn named(&self, vector: &Vector<'_>, index: usize, found: &mut Vec<(usize, Found)>) -> Option<Next> {
        let word = *vector.words.get(index)?;
        let dashes = word.iter().take_while(|b| **b == b'-').count();
        let name_len = word.iter().take(MOST_NAME).position(|b| *b == b'=').unwrap_or(word.len());
        let name = word.get(dashes..name_len).unwrap_or_default();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        if name.is_empty() || name.len() > MOST_NAME || !name.iter().all(plain) {
            return None;
        }
        let rule = if dashes == 0 { "assignment" } else { "option" };
        let kind = self.patterns.kind(name);
        if name_len < word.len() {
            let range = name_len.saturating_add(1)..word.len();
            // `--from-literal=password=x`
            if name.ends_with(b"from-literal") {
                let value = word.get(range.clone()).unwrap_or_default();
                let inner = value.iter().position(|b| *b == b'=').map_or(0, |at| at.saturating_add(1));
                vector.push(index, range.start.saturating_add(inner)..range.end, Kind::Secret, rule, found);
            } else if kind != Kind::Plain {
                vector.push(index, range, kind, rule, found);
            }
            return None;
        }
        let is_option = (dashes == 2 && !name.is_empty()) || (dashes == 1 && name.len() >= SHORTEST_NAME);
        (is_option && kind != Kind::Plain).then_some(Next {
            takes: Takes::Secret,
            kind,
            rule,
            doubtful: true,
        })
    }

    /// What stands within a word.
    pub(super) fn value(&self, word: &[u8], depth: u8) -> Vec<Found> {
        let mut found = self.patterns.scan(word, Form::Argument);
        if depth < DEEPEST && word.iter().any(u8::is_ascii_whitespace) {
            found.extend(self.commands(word, depth.saturating_add(1)));
        }
        found
    }

    /// What stands in a shell's line.
    pub(super) fn commands(&self, line: &[u8], depth: u8) -> Vec<Found> {
        let mut out = Vec::new();
        let mut before: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        for command in words::commands(line) {
            let words: Vec<&[u8]> = command.words.iter().map(|word| word.bytes.as_slice()).collect();
            let vector = Vector { words: &words, line: Some((line, &command.words)), depth };
            for (index, found) in self.vector(&vector) {
                let place = command.words.get(index).map(|word| word.locate(&found.at, line));
                out.extend(place.map(|at| Found { at, ..found }));
            }
            if let Some(takes) = programs::drinks(&words) {
                let here = command.here.and_then(|at| command.words.get(at));
                let here = here.map(|word| (word.locate(&(0..word.bytes.len()), line), word.bytes.clone()));
                let fed = if command.is_fed { std::mem::take(&mut before) } else { Vec::new() };
                for (at, bytes) in fed.into_iter().chain(here) {
                    let next = Next { takes, kind: Kind::Secret, rule: "fed", doubtful: false };
                    let secret = next.of(&bytes).and_then(|range| bytes.get(range)).map(<[u8]>::to_vec);
                    // Of a pair, the name before it stays where no quote stands between.
                    let secret = secret.filter(|secret| names::fits(Kind::Secret, secret));
                    if let Some(secret) = secret
                        && !words::is_reference(&bytes)
                    {
                        let tail = at.end.saturating_sub(secret.len());
                        let whole = line.get(tail..at.end) == Some(secret.as_slice());
                        let at = if whole { tail..at.end } else { at };
                        out.extend(Found::new(at, secret, "fed"));
                    }
                }
            }
            before = printed(&words, &command.words, line);
        }
        out
    }
}

/// The word that a program's options need stands among the first.
const MOST_BEFORE: usize = 16;
const MOST_NAME: usize = 128;

/// What stands without an option.
fn bare(program: &Program, vector: &Vector<'_>, since: usize, found: &mut Vec<(usize, Found)>) {
    let words = vector.words.get(since..).unwrap_or_default();
    if !is_on(program, vector.words, since, vector.words.len()) {
        return;
    }
    let whole = |word: &[u8]| 0..word.len();
    match program.bare {
        Bare::None => {}
        Bare::Behind(name) => {
            let at = words.iter().position(|word| *word == name.as_bytes()).map(|at| at.saturating_add(1));
            if let Some(word) = at.and_then(|at| words.get(at))
                && let (Some(at), false) = (at, word.starts_with(b"-") || word.contains(&b'='))
            {
                vector.push(since.saturating_add(at), whole(word), Kind::Secret, "argument", found);
            }
        }
        Bare::Last(least) => {
            if let (true, Some(word)) = (words.len() >= least, words.last())
                && !word.starts_with(b"-")
            {
                let index = since.saturating_add(words.len()).saturating_sub(1);
                vector.push(index, whole(word), Kind::Secret, "argument", found);
            }
        }
        Bare::Slash => {
            let logon =
                |word: &&[u8]| !word.starts_with(b"/") && !word.starts_with(b"@") && word.contains(&b'/');
            if let Some((at, word)) = words.iter().enumerate().skip(1).find(|(_, word)| logon(word)) {
                let start = word.iter().position(|b| *b == b'/').map_or(0, |at| at.saturating_add(1));
                let end =
                    word.iter().rposition(|b| *b == b'@').filter(|at| *at > start).unwrap_or(word.len());
                vector.push(since.saturating_add(at), start..end, Kind::Secret, "argument", found);
            }
        }
    }
}

/// Whether what is known of a program holds: the word that it needs was there.
fn is_on(program: &Program, words: &[&[u8]], since: usize, index: usize) -> bool {
    let seen = words.get(since..index).unwrap_or_default();
    program.when.is_none_or(|when| seen.iter().take(MOST_BEFORE).any(|word| *word == when.as_bytes()))
}

/// What echo and printf print, if it is one of them.
fn printed(words: &[&[u8]], from: &[Word], line: &[u8]) -> Vec<(Range<usize>, Vec<u8>)> {
    let Some(first) = words.first().map(|first| base(first)) else { return Vec::new() };
    if first != b"echo" && first != b"printf" {
        return Vec::new();
    }
    let is_value = |word: &&Word| {
        let bytes = word.bytes.as_slice();
        let format = first == b"printf" && bytes.contains(&b'%');
        let option = first == b"echo" && [&b"-n"[..], b"-e", b"-ne", b"-en"].contains(&bytes);
        !format && !option
    };
    let values = from.iter().skip(1).filter(is_value);
    values.map(|word| (word.locate(&(0..word.bytes.len()), line), word.bytes.clone())).collect()
}

/// A program's own options.
fn option(
    program: &Program,
    vector: &Vector<'_>,
    index: usize,
    found: &mut Vec<(usize, Found)>,
) -> Option<Next> {
    let word = *vector.words.get(index)?;
    for (flag, takes, stands) in program.options {
        let Some(rest) = word.strip_prefix(flag.as_bytes()) else { continue };
        let next = Next { takes: *takes, kind: Kind::Secret, rule: "option", doubtful: false };
        if rest.is_empty() {
            if *stands != Stands::Attached {
                return Some(next);
            }
            continue;
        }
        let long = flag.starts_with("--");
        let from = if long { rest.strip_prefix(b"=") } else { Some(rest) };
        if let (Some(value), true) = (from, *stands != Stands::Apart)
            && let Some(range) = next.of(value)
        {
            let start = word.len().saturating_sub(value.len());
            let range = start.saturating_add(range.start)..start.saturating_add(range.end);
            vector.push(index, range, Kind::Secret, "option", found);
        }
    }
    None
}

impl Next {
    /// What of the word is secret.
    fn of(&self, word: &[u8]) -> Option<Range<usize>> {
        // Another option: the one before it had no value. `-x` and `--xyz` are; `-s3cret` may be a value.
        let is_option = word.starts_with(b"--") || (word.starts_with(b"-") && word.len() <= 2);
        if self.doubtful && is_option {
            return None;
        }
        let all = word.len();
        match self.takes {
            Takes::Secret => Some(0..all),
            Takes::Pair(sign) => {
                let at = word.iter().position(|b| *b == sign)?;
                Some(at.saturating_add(1)..all)
            }
            Takes::Pass => word.starts_with(b"pass:").then_some(5..all),
            Takes::Jar => word.contains(&b'=').then_some(0..all),
        }
    }
}

impl Vector<'_> {
    fn push(
        &self,
        index: usize,
        range: Range<usize>,
        kind: Kind,
        rule: &'static str,
        found: &mut Vec<(usize, Found)>,
    ) {
        let Some(word) = self.words.get(index) else { return };
        let value = word.get(range.clone()).unwrap_or_default();
        let refers = self.line.is_some_and(|(line, words)| {
            words.get(index).is_some_and(|word| word.is_reference(&range, line))
        });
        if !refers && names::fits(kind, value) {
            found.extend(Found::of(word, range, rule).map(|found| (index, found)));
        }
    }
}
