//! Takes secrets out of what is about to be written: arguments, lines of a shell, text of files.
//!
//! Pure: bytes in, bytes and places out. The rules know names, programs and well-known forms; what a secret that follows none of
//! them is, nobody can know. docs/sessions.md, Secrets.

#[cfg(test)]
mod laws;
mod names;
mod programs;
#[cfg(test)]
mod tests;
mod text;
mod vector;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use text::{Form, Patterns};
use vector::Vector;

use crate::config;
use crate::model::{Bytes, REDACTED};

const MARK: &[u8] = REDACTED.as_bytes();
/// Places of one record. From there on everything is taken out as one more.
const MOST: usize = 1000;
/// Lines of a file that are longer are not read as a shell's.
const LONGEST_LINE: usize = 4096;

/// A secret that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which argument, from 0.
    pub index: usize,
    /// Where [`REDACTED`] stands for it, bytes.
    pub offset: usize,
    /// The secret itself.
    pub secret: Vec<u8>,
    /// Which rule found it.
    pub rule: Cow<'static, str>,
}

/// Where something is, before it is taken out.
#[derive(Clone, Debug)]
struct Found {
    at: Range<usize>,
    secret: Vec<u8>,
    rule: Cow<'static, str>,
}

impl Found {
    /// `None` for nothing, and for what was taken out before.
    fn of(text: &[u8], at: Range<usize>, rule: impl Into<Cow<'static, str>>) -> Option<Self> {
        let secret = text.get(at.clone())?.to_vec();
        Self::new(at, secret, rule)
    }

    fn new(at: Range<usize>, secret: Vec<u8>, rule: impl Into<Cow<'static, str>>) -> Option<Self> {
        (!secret.is_empty() && !secret.starts_with(MARK)).then(|| Self { at, secret, rule: rule.into() })
    }
}

/// What is taken for a secret.
#[derive(Debug)]
pub struct Rules {
    patterns: Patterns,
}

impl Rules {
    /// The recorder's own rules and those of the configuration; `None` if nothing is to be taken out.
    pub fn new(config: &config::Redaction) -> Result<Option<Self>, regex::Error> {
        if config.rules == config::RulesKey::Off {
            return Ok(None);
        }
        let patterns = Patterns::new(&config.names, &config.patterns)?;
        Ok(Some(Self { patterns }))
    }

    /// Arguments of a program, the first of them its name. `None` if they stay as they are.
    pub fn argv(&self, argv: &[Bytes]) -> Option<(Vec<Bytes>, Vec<Taken>)> {
        let words: Vec<&[u8]> = argv.iter().map(Bytes::as_slice).collect();
        let mut found = self.vector(&Vector { words: &words, line: None, depth: 0 });
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|(index, _)| *index);
        let mut found = found.into_iter().peekable();
        let (mut out, mut taken) = (Vec::with_capacity(argv.len()), Vec::new());
        for (index, word) in words.iter().enumerate() {
            let mut of_word = Vec::new();
            while let Some((_, one)) = found.next_if(|(of, _)| *of == index) {
                of_word.push(one);
            }
            if of_word.is_empty() {
                out.push(Bytes::from(*word));
                continue;
            }
            let (bytes, mut places) = apply(word, of_word);
            if taken.len().saturating_add(places.len()) > MOST {
                let secret = words.get(index..).unwrap_or_default().join(&0u8);
                out.push(Bytes::from(REDACTED));
                taken.push(Taken { index, offset: 0, secret, rule: "rest".into() });
                break;
            }
            for place in &mut places {
                place.index = index;
            }
            taken.extend(places);
            out.push(Bytes::from(bytes));
        }
        (!taken.is_empty()).then_some((out, taken))
    }

    /// A command as one line: what a job of cron runs, what sudo was asked for. `None` if it stays as it is.
    pub fn line(&self, line: &[u8]) -> Option<(Vec<u8>, Vec<Taken>)> {
        let mut found = self.patterns.scan(line, Form::Argument);
        found.extend(self.commands(line, 0));
        bounded(line, found)
    }

    /// Text of a file, or of what changed in one. `None` if it stays as it is.
    pub fn text(&self, text: &[u8]) -> Option<(Vec<u8>, Vec<Taken>)> {
        let mut found = self.patterns.scan(text, Form::File);
        let mut start = 0;
        for line in text.split(|b| *b == b'\n') {
            if line.len() <= LONGEST_LINE {
                found.extend(self.commands(line, 2).into_iter().map(|one| Found {
                    at: one.at.start.saturating_add(start)..one.at.end.saturating_add(start),
                    ..one
                }));
            }
            start = start.saturating_add(line.len()).saturating_add(1);
        }
        bounded(text, found)
    }
}

/// As [`apply`], with all behind the last place that a record has room for taken out at once.
fn bounded(text: &[u8], found: Vec<Found>) -> Option<(Vec<u8>, Vec<Taken>)> {
    if found.is_empty() {
        return None;
    }
    let (mut bytes, mut taken) = apply(text, found);
    if let Some(first) = taken.get(MOST).map(|place| place.offset) {
        let secret = bytes.split_off(first.min(bytes.len()));
        bytes.extend_from_slice(MARK);
        taken.truncate(MOST);
        taken.push(Taken { index: 0, offset: first, secret, rule: "rest".into() });
    }
    (!taken.is_empty()).then_some((bytes, taken))
}

/// Puts the mark in the place of all that was found; what overlaps is one.
fn apply(text: &[u8], mut found: Vec<Found>) -> (Vec<u8>, Vec<Taken>) {
    found.sort_by_key(|one| (one.at.start, std::cmp::Reverse(one.at.end)));
    let mut whole: Vec<Found> = Vec::new();
    for one in found {
        match whole.last_mut() {
            Some(last) if one.at.start < last.at.end => {
                if one.at.end > last.at.end {
                    last.at.end = one.at.end;
                    last.secret = text.get(last.at.clone()).unwrap_or_default().to_vec();
                }
            }
            _ => whole.push(one),
        }
    }
    let (mut out, mut taken, mut at) = (Vec::with_capacity(text.len()), Vec::new(), 0);
    for Found { at: place, secret, rule } in whole {
        out.extend_from_slice(text.get(at..place.start).unwrap_or_default());
        taken.push(Taken { index: 0, offset: out.len(), secret, rule });
        out.extend_from_slice(MARK);
        at = place.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    (out, taken)
}
