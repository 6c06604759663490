//! Approvals of other systems: what `recorder grant import` reads out of their JSON (docs/grants-import.md is the law).
//!
//! A system says yes in one way only; whatever else stands there, or is missing, is refused with its place.

mod fields;
mod generic;
mod systems;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

pub use generic::Mapping;

use self::fields::Fields;
use super::document::{Incident, Window};
use super::render::rfc3339;
use crate::model::{Digest, RealNanos};

/// Longest input in bytes. A request with all its reviews has a few kilobytes.
pub const MAX_IMPORT: usize = 1 << 20;

/// Whose JSON it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    /// An access request, `tctl get access_request/ID --format=json`.
    Teleport,
    /// An entry of `GET /oncalls`, or an incident, `GET /incidents/ID`.
    Pagerduty,
    /// An access request of Identity Governance, `GET /governance/api/v2/requests/ID`.
    Okta,
    /// A role assignment schedule request of PIM (Microsoft Graph).
    Entra,
    /// Any other, read by a mapping file.
    Generic(Box<Mapping>),
}

/// What the JSON does not say.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Our names for the system's; a name that is not in it stays.
    pub people: BTreeMap<String, String>,
    /// Which of several assignees.
    pub person: Option<String>,
    /// Nanoseconds from now, where the system gives no end.
    pub length: Option<u64>,
}

impl Hints {
    /// Our name for somebody.
    fn ours(&self, name: &str) -> String {
        self.people.get(name).map_or(name, String::as_str).to_owned()
    }
}

/// What the JSON says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The system's name.
    pub system: String,
    /// The request's name there.
    pub external_id: String,
    /// Whom it is for, by our name.
    pub person: String,
    /// When.
    pub window: Window,
    /// Why, and what was asked for in the system's words.
    pub reason: String,
    /// Who approved it there, by our names.
    pub approvers: Vec<String>,
    /// The incident, if it names one.
    pub incident: Option<Incident>,
    /// SHA-256 of the JSON's bytes.
    pub source: Digest,
}

/// Why it is no approval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Longer than any honest one.
    #[error("an import has at most {MAX_IMPORT} bytes, this has {0}")]
    TooLong(usize),
    /// No JSON.
    #[error("this is no JSON: {0}")]
    Json(String),
    /// The mapping file is none.
    #[error("the mapping: {0}")]
    Mapping(String),
    /// Something has to be there.
    #[error("{at} is missing")]
    Missing {
        /// Where, as a JSON pointer.
        at: String,
    },
    /// Something has to be otherwise.
    #[error("{at}: {why}")]
    Value {
        /// Where, as a JSON pointer.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// It was not approved, or not any more.
    #[error("{at}: the state is {found}, only {wanted} is an approval")]
    State {
        /// Where, as a JSON pointer.
        at: String,
        /// Found.
        found: String,
        /// Needed.
        wanted: &'static str,
    },
    /// It has no end, or none is known.
    #[error("{at} gives no end: --for is needed")]
    NoEnd {
        /// Where, as a JSON pointer.
        at: String,
    },
    /// Its time is over.
    #[error("it ended at {}", rfc3339(*.0))]
    Over(RealNanos),
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Empty,
}

/// Reads what a system gave out.
pub fn read(system: &System, bytes: &[u8], hints: &Hints, now: RealNanos) -> Result<Found, ImportError> {
    if bytes.len() > MAX_IMPORT {
        return Err(ImportError::TooLong(bytes.len()));
    }
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| ImportError::Json(e.to_string()))?;
    let fields = Fields::new(&value);
    let mut found = match system {
        System::Teleport => systems::teleport(&fields),
        System::Pagerduty => systems::pagerduty(&fields, hints, now),
        System::Okta => systems::okta(&fields),
        System::Entra => systems::entra(&fields),
        System::Generic(mapping) => mapping.read(&fields, hints, now),
    }?;
    found.person = hints.ours(&found.person);
    found.approvers = found.approvers.iter().map(|name| hints.ours(name)).collect();
    found.approvers.dedup();
    found.source = Digest::new(Sha256::digest(bytes).into());
    if found.window.until <= now {
        return Err(ImportError::Over(found.window.until));
    }
    if found.window.from >= found.window.until {
        return Err(ImportError::Empty);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
