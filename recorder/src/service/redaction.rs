//! Takes secrets out of records before they are written, and says behind each what is gone (docs/sessions.md, Secrets).
//!
//! It stands last before the writer: whoever has to know what was really asked for (grants, enforcement, what a job came of) has
//! seen it by then. What is a secret is decided by `session::redact`.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{ServiceError, host_error};
use crate::{
    config::Config,
    model::{
        Body, BootNanos, Bytes, Call, CutField, Digest, Flags, Lived, REDACTED, Record, Redacted,
        RedactedField, Redaction, RedactionKey,
    },
    session::{
        Tracked,
        redact::{Rules, Taken},
    },
    sys::secret::Secret,
};

/// What is taken out, and the key of what is left of it.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    rules: Option<Rules>,
    /// `None` where the journal is not encrypted: who reads it could try what he guesses.
    key: Option<Secret>,
}

impl Redactor {
    /// By the configuration; `sealed` if there is somebody who alone can read the key.
    pub(super) fn new(config: &Config, sealed: bool) -> Result<Self, ServiceError> {
        let rules = Rules::new(&config.redaction).map_err(|source| ServiceError::Redaction { source })?;
        let key = (rules.is_some() && sealed).then(new_key).transpose();
        Ok(Self { rules, key: key.map_err(host_error("cannot make the key of redactions"))? })
    }

    /// The record that tells the recipients the key, once, before anything that needs it.
    pub(super) fn told(&self, now: BootNanos) -> Option<Record> {
        let key = Bytes::from(&self.key.as_ref()?.expose()[..]);
        let body = Body::RedactionKey(Box::new(RedactionKey { key }));
        Some(Record { boot_ns: now, cpu: u16::MAX, flags: Flags::default(), task: None, body })
    }

    /// Takes secrets out of what is about to be written.
    pub(super) fn pass(&self, tracked: &mut Vec<Tracked>) {
        let Some(rules) = &self.rules else { return };
        let mut told = Vec::new();
        for (at, item) in tracked.iter_mut().enumerate() {
            let Tracked::Event { mark, record } = item else { continue };
            let places = self.places(rules, &mut record.body);
            if places.is_empty() {
                continue;
            }
            record.flags = record.flags.with(Flags::REDACTED);
            let of = record.body.kind();
            let record = Record {
                boot_ns: record.boot_ns,
                cpu: record.cpu,
                flags: Flags::default(),
                task: record.task.clone(),
                body: Body::Redacted(Box::new(Redacted { of, places })),
            };
            told.push((at, Tracked::Event { mark: *mark, record }));
        }
        behind(tracked, told);
    }

    /// The same for what the next start has to know: nothing is told of it, because it is in no journal.
    pub(super) fn living(&self, sessions: &mut [Lived]) {
        let Some(rules) = &self.rules else { return };
        let line = |text: &Bytes| rules.line(text.as_slice()).map(|(text, _)| Bytes::from(text));
        for session in sessions {
            session.replace(line);
        }
    }

    fn places(&self, rules: &Rules, body: &mut Body) -> Vec<Redaction> {
        let mut places = Vec::new();
        match body {
            Body::Exec(exec) => {
                let Some((argv, taken)) = rules.argv(&exec.argv) else { return places };
                exec.argv = argv;
                // A hash of what a secret was part of would let anybody try what he guesses.
                if let Some(cut) = exec.cut.as_mut().filter(|cut| cut.field == CutField::Argv) {
                    cut.sha256 = None;
                }
                self.add(RedactedField::Argv, taken, &mut places);
            }
            Body::Delegation(d) => {
                let fields = [
                    (RedactedField::To, &mut d.to),
                    (RedactedField::What, &mut d.what),
                    (RedactedField::Evidence, &mut d.evidence),
                ];
                for (field, text) in fields {
                    self.line(rules, field, text, &mut places);
                }
            }
            Body::Enforcement(done) => self.line(rules, RedactedField::Text, &mut done.text, &mut places),
            Body::Changed(changed) => {
                if let Some(diff) = &mut changed.diff
                    && let Some((text, taken)) = diffed(rules, diff.text.as_slice())
                {
                    diff.text = Bytes::from(text);
                    self.add(RedactedField::Diff, taken, &mut places);
                }
            }
            Body::Setting(set) => self.line(rules, RedactedField::Value, &mut set.value, &mut places),
            Body::Call(_, call) => self.call(rules, call, &mut places),
            // Paths, names, counts and what terminals show: no arguments.
            _ => {}
        }
        places
    }

    /// Parameters of modules, another kernel's command line, and what a file system is mounted with: there the key stands beside its value.
    fn call(&self, rules: &Rules, call: &mut Call, places: &mut Vec<Redaction>) {
        let key = call.args.iter().find(|(name, _)| name.as_slice() == b"key").map(|(_, key)| key.clone());
        for (index, (name, value)) in call.args.iter_mut().enumerate() {
            let mut taken = Vec::new();
            let assigned = key.as_ref().filter(|_| name.as_slice() == b"value");
            let assigned = assigned.map(|key| [key.as_slice(), b"=", value.as_slice()].concat());
            if let Some((_, found)) = assigned.and_then(|pair| rules.line(&pair)) {
                let at = |one: Taken| Taken { offset: 0, secret: value.as_slice().to_vec(), ..one };
                taken.extend(found.into_iter().next().map(at));
                *value = Bytes::from(REDACTED);
            } else if let Some((line, found)) = rules.line(value.as_slice()) {
                *value = Bytes::from(line);
                taken = found;
            }
            self.add(
                RedactedField::Args,
                taken.into_iter().map(|one| Taken { index, ..one }).collect(),
                places,
            );
        }
    }

    fn line(&self, rules: &Rules, field: RedactedField, text: &mut Bytes, places: &mut Vec<Redaction>) {
        if let Some((line, taken)) = rules.line(text.as_slice()) {
            *text = Bytes::from(line);
            self.add(field, taken, places);
        }
    }

    fn add(&self, field: RedactedField, taken: Vec<Taken>, places: &mut Vec<Redaction>) {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        places.extend(taken.into_iter().map(|one| Redaction {
            field,
            index: u32::try_from(one.index).unwrap_or(u32::MAX),
            offset: wide(one.offset),
            bytes: wide(one.secret.len()),
            rule: Bytes::from(&*one.rule),
            hash: self.hash(&one.secret),
        }));
    }

    fn hash(&self, secret: &[u8]) -> Option<Digest> {
        // A key of any length is one.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_ref()?.expose()).ok()?;
        mac.update(secret);
        Some(Digest::new(mac.finalize().into_bytes().into()))
    }
}

/// The text of a diff without its secrets. The first byte of each line says what became of it and is none of the file's: it would make an
/// option of a key. Where a secret has several lines it is looked for in the diff as it is.
fn diffed(rules: &Rules, diff: &[u8]) -> Option<(Vec<u8>, Vec<Taken>)> {
    let lines = || diff.split_inclusive(|byte| *byte == b'\n');
    let bare: Vec<u8> = lines().flat_map(|line| line.iter().skip(1)).copied().collect();
    let Some((kept, taken)) = rules.text(&bare) else { return rules.text(diff) };
    let kept: Vec<&[u8]> = kept.split_inclusive(|byte| *byte == b'\n').collect();
    if kept.len() != lines().count() {
        return rules.text(diff);
    }
    let (mut out, mut starts) = (Vec::new(), Vec::new());
    for (mark, line) in lines().filter_map(|line| line.first()).zip(&kept) {
        // Where this line began without the marks, and how many there are up to here.
        starts.push((out.len().saturating_sub(starts.len()), starts.len() + 1));
        out.push(*mark);
        out.extend_from_slice(line);
    }
    let marks = |offset| {
        starts.iter().take_while(|(start, _)| *start <= offset).last().map_or(0, |(_, marks)| *marks)
    };
    let moved = |one: Taken| Taken { offset: one.offset.saturating_add(marks(one.offset)), ..one };
    Some((out, taken.into_iter().map(moved).collect()))
}

fn new_key() -> std::io::Result<Secret> {
    let mut key = Secret::new()?;
    getrandom::fill(key.expose_mut()).map_err(|_| std::io::Error::other("the kernel gives no randomness"))?;
    Ok(key)
}

/// Puts each one behind the item at its place; `added` is in order.
fn behind(tracked: &mut Vec<Tracked>, added: Vec<(usize, Tracked)>) {
    let Some((first, _)) = added.first() else { return };
    let rest = tracked.split_off(*first);
    let mut added = added.into_iter().peekable();
    for (at, item) in (tracked.len()..).zip(rest) {
        tracked.push(item);
        while let Some((_, one)) = added.next_if(|(behind, _)| *behind == at) {
            tracked.push(one);
        }
    }
}

#[cfg(test)]
mod tests;
