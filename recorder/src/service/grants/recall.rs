//! The journal is the memory: which documents were received, and which time was trusted last. Deleting a revocation and
//! starting again revives nothing, and a clock that was moved while nobody looked opens no window.

use std::{collections::HashSet, path::Path};

use super::memory::Memory;
use crate::{
    model::{Body, BootId, Digest, GrantAct, LogId},
    service::kept::{Kept, kept_of},
    sys::notify::Patience,
    verify::{self, Entry, Options, VerifyError},
};

/// How many of the newest segments are read for the last that was remembered, one number after the other; then all.
const NEWEST: [usize; 4] = [1, 4, 16, 64];

/// Where a journal lies.
pub(super) struct Place<'a> {
    pub(super) dir: &'a Path,
    /// Where segments go that find no room there.
    pub(super) spare: Option<&'a Path>,
}

/// Reads what verifies, from the last that was remembered on. A journal that can't be read is reported by who opens it
/// for writing; here it is empty. Of what is sealed to others, the content is what the host kept of it, if that is what
/// the journal says it was.
pub(super) fn recall(place: &Place<'_>, kept: &mut Kept, boot: BootId) -> Result<Memory, VerifyError> {
    let mut patience = Patience::new("reading what the journal remembers of grants");
    let longest = match verify::log_files(place.dir) {
        Ok(logs) => logs.iter().map(|log| log.segments.len()).max().unwrap_or_default(),
        // Nothing was written yet.
        Err(VerifyError::NotFound { .. } | VerifyError::NotAJournal { .. }) => return Ok(Memory::new(boot)),
        Err(error) => return Err(error),
    };
    // Also one that takes all of them: who took the first ones away does not make it forget.
    let some = NEWEST.into_iter().zip([0].into_iter().chain(NEWEST)).filter(|(_, less)| *less < longest);
    for newest in some.map(|(newest, _)| Some(newest)).chain([None]) {
        let options = Options { newest, spare: place.spare.map(Path::to_path_buf), ..Options::default() };
        let (_, entries) = verify::read_with(place.dir, &options, &mut |_| patience.ask())?;
        let mut reading = Reading::new(boot, kept);
        for entry in entries.of_logs() {
            patience.ask();
            reading.take(&*entry?);
        }
        if reading.is_whole || newest.is_none() {
            return Ok(reading.end());
        }
    }
    Ok(Memory::new(boot))
}

struct Reading<'a> {
    memory: Memory,
    boot: BootId,
    kept: &'a mut Kept,
    log: LogId,
    /// What was remembered in the log that is read: nothing before it is needed.
    is_whole: bool,
    /// What twins name, what of it was used, and how many were not kept.
    named: HashSet<Digest>,
    needed: HashSet<Digest>,
    missing: u32,
}

impl<'a> Reading<'a> {
    fn new(boot: BootId, kept: &'a mut Kept) -> Self {
        Self {
            memory: Memory::new(boot),
            boot,
            kept,
            log: LogId::default(),
            is_whole: false,
            named: HashSet::new(),
            needed: HashSet::new(),
            missing: 0,
        }
    }

    fn take(&mut self, entry: &Entry) {
        if entry.log != self.log {
            // What an earlier log remembers is not what this one received.
            (self.log, self.is_whole) = (entry.log, false);
        }
        self.memory.latest = self.memory.latest.max(entry.time);
        let body = &entry.record.body;
        let act = if let Body::Grant(grant) = body { Some(grant.act) } else { None };
        let other_boot = matches!(body, Body::Login(_)) && entry.boot != self.boot;
        let digest = kept_of(&entry.record);
        self.named.extend(digest);
        let has_content = !matches!(act, Some(act) if !matches!(act, GrantAct::Received | GrantAct::Memory));
        let wanted = digest.filter(|_| !other_boot && has_content);
        let whole = wanted.map(|digest| self.kept.recall(body.kind(), digest));
        let body = match &whole {
            Some(Some(whole)) => whole,
            Some(None) => {
                self.missing += 1;
                // That a token is spent stands in the twin as well.
                if !matches!(body, Body::Token(_)) {
                    return;
                }
                body
            }
            None => body,
        };
        match body {
            Body::Boot(body) if body.boot_id == self.boot => {
                self.memory.anchor.get_or_insert(body.clock);
            }
            Body::Grant(grant) if grant.act == GrantAct::Memory => {
                if self.memory.take_packed(grant.bytes.as_slice()) {
                    (self.is_whole, self.missing) = (true, 0);
                    self.needed.clear();
                }
            }
            Body::Login(_) if other_boot => {}
            body => self.memory.take(body),
        }
        self.needed.extend(wanted);
    }

    fn end(self) -> Memory {
        if self.missing > 0 {
            tracing::error!(
                missing = self.missing,
                "grants, tokens or logins of the journal were not kept on this host: they are not followed"
            );
        }
        self.kept.forget(self.named.difference(&self.needed).copied());
        self.kept.holds(self.needed);
        self.memory
    }
}

#[cfg(test)]
mod tests;
