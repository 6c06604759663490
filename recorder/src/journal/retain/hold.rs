//! Legal holds: what must not be deleted until a release says so.
//!
//! A hold counts whoever signed it, because it only keeps. A release counts only with a good signature of somebody who
//! may; that is for the caller to check, who has the list.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::text::{
    DocumentFault, Head, Maker, Out, digest, fault, finish, head, limited, session, table, take, words,
};
use crate::model::{Digest, SessionId};

/// Most sessions that one hold names.
pub const MAX_SESSIONS: usize = 1000;

/// What a hold is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// One session.
    Session(SessionId),
    /// Everything that was done for an incident, `SYSTEM:ID`.
    Incident(String),
    /// Everything that a person, or an account, did.
    Person(String),
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who and when.
    pub head: Head,
    /// What about.
    pub criterion: Criterion,
    /// The sessions that this was when the hold was made: a host that can't read who did what goes by them.
    pub sessions: Vec<SessionId>,
    /// Why.
    pub reason: String,
}

/// The end of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Who and when.
    pub head: Head,
    /// SHA-256 of the hold's bytes.
    pub hold: Digest,
    /// Why.
    pub reason: String,
}

/// A document of a directory of holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldDocument {
    /// Keeps.
    Hold(Hold),
    /// Keeps no longer.
    Release(Release),
}

impl HoldDocument {
    /// Reads the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentFault> {
        let (mut table, kind) = table(bytes)?;
        let head = head(bytes, &mut table)?;
        let reason = words("reason", take(&mut table, "reason")?)?;
        let document = match kind.as_str() {
            "hold" => {
                let sessions = sessions(&mut table)?;
                let criterion = criterion(&mut table)?;
                Self::Hold(Hold { head, criterion, sessions, reason })
            }
            "release" => {
                Self::Release(Release { head, hold: digest("hold", &take(&mut table, "hold")?)?, reason })
            }
            _ => return fault("kind", "expected hold or release"),
        };
        finish(&table)?;
        Ok(document)
    }

    /// Who and when.
    pub const fn head(&self) -> &Head {
        match self {
            Self::Hold(hold) => &hold.head,
            Self::Release(release) => &release.head,
        }
    }
}

impl Hold {
    /// Writes a hold and reads it back.
    pub fn write(
        maker: &Maker,
        criterion: &Criterion,
        sessions: &[SessionId],
        reason: &str,
    ) -> Result<(Digest, Vec<u8>), DocumentFault> {
        let mut out = Out::begin("hold");
        out.maker(maker);
        match criterion {
            Criterion::Session(id) => out.text("session", &id.to_string()),
            Criterion::Incident(incident) => out.text("incident", incident),
            Criterion::Person(person) => out.text("person", person),
        }
        out.list("sessions", sessions.iter().map(ToString::to_string));
        out.text("reason", reason);
        read_back(out)
    }

    /// True if it keeps this session, by its id.
    pub fn keeps(&self, id: SessionId) -> bool {
        self.criterion == Criterion::Session(id) || self.sessions.contains(&id)
    }
}

impl Release {
    /// Writes a release and reads it back.
    pub fn write(maker: &Maker, hold: Digest, reason: &str) -> Result<(Digest, Vec<u8>), DocumentFault> {
        let mut out = Out::begin("release");
        out.maker(maker);
        out.text("hold", &hold.to_string());
        out.text("reason", reason);
        read_back(out)
    }
}

fn read_back(out: Out) -> Result<(Digest, Vec<u8>), DocumentFault> {
    let bytes = out.0.into_bytes();
    Ok((HoldDocument::parse(&bytes)?.head().id, bytes))
}

fn sessions(table: &mut toml::Table) -> Result<Vec<SessionId>, DocumentFault> {
    let list = match table.remove("sessions") {
        Some(toml::Value::Array(list)) if list.len() <= MAX_SESSIONS => list,
        Some(_) => return fault("sessions", &format!("has to be a list of at most {MAX_SESSIONS} ids")),
        None => return fault("sessions", "is missing"),
    };
    let ids = list.into_iter().map(|value| match value {
        toml::Value::String(text) => session("sessions", &text),
        _ => fault("sessions", "has to be a list of ids"),
    });
    ids.collect()
}

fn criterion(table: &mut toml::Table) -> Result<Criterion, DocumentFault> {
    let mut found = Vec::new();
    for key in ["session", "incident", "person"] {
        if table.contains_key(key) {
            let text = words(key, limited(key, take(table, key)?, 512)?)?;
            found.push(match key {
                "session" => Criterion::Session(session(key, &text)?),
                "incident" if text.split_once(':').is_none_or(|(a, b)| a.is_empty() || b.is_empty()) => {
                    return fault(key, "expected SYSTEM:ID");
                }
                "incident" => Criterion::Incident(text),
                _ => Criterion::Person(text),
            });
        }
    }
    match found.pop() {
        Some(one) if found.is_empty() => Ok(one),
        _ => fault("session", "one of session, incident and person has to be there"),
    }
}

/// The state of the holds: SHA-256 over the digests of the holds in force, by rising value.
pub fn state<'a>(in_force: impl Iterator<Item = &'a Hold>) -> Digest {
    let digests: BTreeSet<Digest> = in_force.map(|hold| hold.head.id).collect();
    let mut sha = Sha256::new();
    for digest in &digests {
        sha.update(digest.as_bytes());
    }
    Digest::new(sha.finalize().into())
}

/// The holds in force among documents of which the releases were checked.
pub fn in_force(documents: impl Iterator<Item = HoldDocument>) -> Vec<Hold> {
    let (mut holds, mut released) = (Vec::new(), BTreeSet::new());
    for document in documents {
        match document {
            HoldDocument::Hold(hold) => holds.push(hold),
            HoldDocument::Release(release) => {
                released.insert(release.hold);
            }
        }
    }
    holds.retain(|hold| !released.contains(&hold.head.id));
    holds.sort_by_key(|hold| hold.head.id);
    holds.dedup_by_key(|hold| hold.head.id);
    holds
}
