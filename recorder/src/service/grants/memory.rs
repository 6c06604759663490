//! The journal is the memory: which documents were received, and which time was trusted last. Deleting a revocation and
//! starting again revives nothing, and a clock that was moved while nobody looked opens no window.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use crate::{
    model::{Body, BootId, ClockPair, Digest, Grant, GrantAct, Login, RealNanos, Token},
    service::kept::{Kept, kept_of},
    verify::{self, Options, VerifyError},
};

/// What the journal remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Documents that were received, as they were recorded.
    pub(super) documents: Vec<Grant>,
    /// The last state of each grant, in words.
    pub(super) states: BTreeMap<Digest, String>,
    /// What became of tokens.
    pub(super) tokens: Vec<Token>,
    /// Logins of this boot: their sessions may go on.
    pub(super) logins: Vec<Login>,
    /// First trusted pair of this boot, if the recorder ran in it already.
    pub(super) anchor: Option<ClockPair>,
    /// The latest time that any record bears.
    pub(super) latest: RealNanos,
}

/// Reads what verifies. A journal that can't be read is reported by who opens it for writing; here it is empty.
/// Of what is sealed to others, the content is what the host kept of it, if that is what the journal says it was.
pub(super) fn recall(dir: &Path, kept: &Kept, boot: BootId) -> Result<Memory, VerifyError> {
    let mut memory = Memory::default();
    let (mut named, mut needed, mut missing) = (HashSet::new(), HashSet::new(), 0u32);
    let entries = match verify::read(dir, &Options::default()) {
        Ok((_, entries)) => entries.of_logs(),
        // Nothing was written yet.
        Err(VerifyError::NotFound { .. } | VerifyError::NotAJournal { .. }) => return Ok(memory),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        memory.latest = memory.latest.max(entry.time);
        let mut body = &entry.record.body;
        let other_boot = matches!(body, Body::Login(_)) && entry.boot != boot;
        let state = matches!(body, Body::Grant(grant) if grant.act != GrantAct::Received);
        let digest = kept_of(&entry.record);
        named.extend(digest);
        let whole;
        if let Some(digest) = digest.filter(|_| !other_boot && !state) {
            whole = kept.recall(body.kind(), digest);
            match &whole {
                Some(whole) => {
                    needed.insert(digest);
                    body = whole;
                }
                None => missing += 1,
            }
        }
        match body {
            Body::Boot(body) if body.boot_id == boot => {
                memory.anchor.get_or_insert(body.clock);
            }
            Body::Grant(grant) if grant.act == GrantAct::Received => {
                memory.documents.push(Grant::clone(grant));
            }
            Body::Grant(grant) if grant.act == GrantAct::State => {
                let state = grant.text.as_utf8().unwrap_or_default().to_owned();
                memory.states.insert(grant.document, state);
            }
            Body::Token(token) => memory.tokens.push(Token::clone(token)),
            Body::Login(login) if entry.boot == boot => memory.logins.push(Login::clone(login)),
            _ => {}
        }
    }
    if missing > 0 {
        tracing::error!(
            missing,
            "grants, tokens or logins of the journal were not kept on this host: they are not followed"
        );
    }
    kept.forget(named.difference(&needed).copied());
    Ok(memory)
}
