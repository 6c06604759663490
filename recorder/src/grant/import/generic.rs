//! Any other system: a mapping file says where its JSON has what.

use serde::Deserialize;

use super::{Found, Hints, ImportError, fields::Fields};
use crate::grant::document::{Incident, Window};
use crate::model::{Digest, RealNanos};

/// Where a system's JSON has what we need: JSON pointers (RFC 6901), `""` for the whole, `/*` for every element of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The system's name.
    system: String,
    external_id: String,
    person: String,
    from: String,
    until: Option<String>,
    reason: String,
    state: String,
    /// States that are an approval, exactly.
    approved: Vec<String>,
    #[serde(default)]
    approvers: String,
    incident_system: Option<String>,
    #[serde(default)]
    incident_id: String,
}

impl Mapping {
    /// Reads a mapping file: TOML, and no key that does not exist.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let one: Self = toml::from_str(text).map_err(|e| ImportError::Mapping(e.message().to_owned()))?;
        let optional = [&one.approvers, &one.incident_id].into_iter().filter(|pointer| !pointer.is_empty());
        let needed = [&one.external_id, &one.person, &one.from, &one.reason, &one.state];
        for pointer in needed.into_iter().chain(&one.until).chain(optional) {
            if !pointer.starts_with('/') {
                return Err(ImportError::Mapping(format!(
                    "{pointer:?} is no JSON pointer: it begins with /"
                )));
            }
        }
        Ok(one)
    }

    pub(super) fn read(&self, all: &Fields<'_>, hints: &Hints, now: RealNanos) -> Result<Found, ImportError> {
        let state = all.word(&self.state)?;
        if !self.approved.contains(&state) {
            return Err(all.state(&self.state, state, "what the mapping names"));
        }
        let from = all.time(&self.from)?;
        let end = || hints.length.map(|length| RealNanos::new(now.get().saturating_add(length)));
        let until = match &self.until {
            Some(until) => all.time(until)?,
            None => end().ok_or_else(|| all.no_end(&self.from))?,
        };
        let incident = match &self.incident_system {
            Some(system) if all.has(&self.incident_id) => {
                Some(Incident { system: system.clone(), id: all.word(&self.incident_id)?, url: None })
            }
            _ => None,
        };
        let approvers = if self.approvers.is_empty() { Vec::new() } else { all.texts(&self.approvers)? };
        Ok(Found {
            system: self.system.clone(),
            external_id: all.word(&self.external_id)?,
            person: all.text(&self.person)?,
            window: Window { from, until },
            reason: all.text(&self.reason)?,
            approvers,
            incident,
            source: Digest::default(),
        })
    }
}
