//! What four systems call what we need. docs/grants-import.md has the table.

use super::{Found, Hints, ImportError, fields::Fields};
use crate::grant::document::{Incident, Window};
use crate::model::{Digest, RealNanos};

/// Without its source, which belongs to the bytes.
fn found(system: &str, external_id: String, person: String, window: Window, reason: String) -> Found {
    Found {
        system: system.to_owned(),
        external_id,
        person,
        window,
        reason,
        approvers: Vec::new(),
        incident: None,
        source: Digest::default(),
    }
}

/// The reason, and what was asked for in the system's own words.
fn with(reason: Option<String>, what: &str, names: &[String]) -> String {
    let names = if names.is_empty() { String::new() } else { format!("{what} {}", names.join(", ")) };
    match reason {
        Some(reason) if names.is_empty() => reason,
        Some(reason) => format!("{reason} ({names})"),
        None => names,
    }
}

pub(super) fn teleport(all: &Fields<'_>) -> Result<Found, ImportError> {
    let request = all.only("", "access requests")?;
    let kind = request.text("/kind")?;
    if kind != "access_request" {
        return Err(request.wrong("/kind", format!("{kind:?} is no access_request")));
    }
    let version = request.text("/version")?;
    if version != "v3" {
        return Err(request.wrong("/version", format!("only v3 is known, not {version:?}")));
    }
    let state = request.word("/spec/state")?;
    if !matches!(state.as_str(), "2" | "APPROVED") {
        let name = match state.as_str() {
            "0" => "NONE",
            "1" => "PENDING",
            "3" => "DENIED",
            "4" => "PROMOTED",
            other => other,
        };
        return Err(request.state("/spec/state", name, "APPROVED"));
    }
    let from = match request.time_if("/spec/assume_start_time")? {
        Some(from) => from,
        None => request.time("/spec/created")?,
    };
    // Whichever comes first: the end of the access, or of what was asked for at most.
    let expires = request.time("/spec/expires")?;
    let until = request.time_if("/spec/max_duration")?.map_or(expires, |most| most.min(expires));
    let roles = with(request.optional("/spec/request_reason")?, "roles", &request.texts("/spec/roles")?);
    let mut one = found(
        "teleport",
        request.text("/metadata/name")?,
        request.text("/spec/user")?,
        Window { from, until },
        roles,
    );
    for review in request.each("/spec/reviews")? {
        if matches!(review.word("/proposed_state")?.as_str(), "2" | "APPROVED") {
            one.approvers.push(review.text("/author")?);
        }
    }
    Ok(one)
}

pub(super) fn pagerduty(all: &Fields<'_>, hints: &Hints, now: RealNanos) -> Result<Found, ImportError> {
    if let Some(incident) = all.inside("/incident") {
        return pagerduty_incident(&incident, hints, now);
    }
    let entry = if all.has("/oncalls") { all.only("/oncalls", "entries")? } else { all.only("", "entries")? };
    let from = entry.time_if("/start")?.ok_or_else(|| entry.no_end("/start"))?;
    let until = entry.time_if("/end")?.ok_or_else(|| entry.no_end("/end"))?;
    let schedule = entry.first(&["/schedule/id", "/escalation_policy/id"])?;
    let user = entry.text("/user/id")?;
    let name = entry.optional("/schedule/summary")?.unwrap_or_else(|| schedule.clone());
    let mut one = found(
        "pagerduty",
        // An entry has no name of its own.
        format!("{schedule}/{user}/{}", entry.text("/start")?),
        entry.first(&["/user/email", "/user/id"])?,
        Window { from, until },
        format!("on call: {name}, level {}", entry.word("/escalation_level")?),
    );
    // The window of a shift may be longer than what is needed of it.
    if let Some(length) = hints.length {
        one.window = Window {
            from: one.window.from.max(now),
            until: one.window.until.min(RealNanos::new(now.get().saturating_add(length))),
        };
    }
    Ok(one)
}

fn pagerduty_incident(incident: &Fields<'_>, hints: &Hints, now: RealNanos) -> Result<Found, ImportError> {
    let state = incident.text("/status")?;
    if !matches!(state.as_str(), "triggered" | "acknowledged") {
        return Err(incident.state("/status", state, "triggered or acknowledged"));
    }
    let length = hints.length.ok_or_else(|| incident.no_end("/status"))?;
    let mut assigned = Vec::new();
    for assignment in incident.each("/assignments")? {
        assigned.push(assignment.first(&["/assignee/email", "/assignee/id"])?);
    }
    let asked = |name: &&String| hints.person.as_ref().is_none_or(|person| *person == hints.ours(name));
    let mut chosen = assigned.iter().filter(asked);
    let (Some(person), None) = (chosen.next(), chosen.next()) else {
        return Err(
            incident.wrong("/assignments", format!("assigned to {assigned:?}: --person names one of them"))
        );
    };
    let (id, until) = (incident.text("/id")?, RealNanos::new(now.get().saturating_add(length)));
    let from = incident.time("/created_at")?.max(now);
    let mut one =
        found("pagerduty", id.clone(), person.clone(), Window { from, until }, incident.text("/title")?);
    one.incident =
        Some(Incident { system: "pagerduty".to_owned(), id, url: incident.optional("/html_url")? });
    Ok(one)
}

pub(super) fn okta(all: &Fields<'_>) -> Result<Found, ImportError> {
    let request = all.only("", "requests")?;
    let state = request.text("/status")?;
    if state != "APPROVED" {
        return Err(request.state("/status", state, "APPROVED"));
    }
    if let Some(state) = request.optional("/grantStatus")?.filter(|state| state != "GRANTED") {
        return Err(request.state("/grantStatus", state, "GRANTED"));
    }
    if let Some(state) = request.optional("/revocationStatus")?.filter(|state| state == "REVOKED") {
        return Err(request.state("/revocationStatus", state, "none"));
    }
    let from = request.time("/granted")?;
    let until = match (request.time_if("/revocationScheduled")?, request.span_if("/accessDuration")?) {
        (Some(until), _) => until,
        (None, Some(length)) => RealNanos::new(from.get().saturating_add(length)),
        (None, None) => return Err(request.no_end("/accessDuration")),
    };
    let mut answers = Vec::new();
    for field in request.each("/requesterFieldValues")? {
        answers.extend(field.optional("/value")?);
    }
    let what = request.first(&["/requested/resourceId", "/requested/entryId", "/requested/accessScopeId"])?;
    Ok(found(
        "okta",
        request.text("/id")?,
        request.first(&["/requestedFor/email", "/requestedFor/externalId"])?,
        Window { from, until },
        with(Some(answers.join("; ")).filter(|text| !text.is_empty()), "resource", &[what]),
    ))
}

pub(super) fn entra(all: &Fields<'_>) -> Result<Found, ImportError> {
    let request = if all.has("/value") { all.only("/value", "requests")? } else { all.only("", "requests")? };
    let action = request.text("/action")?;
    if !matches!(action.as_str(), "selfActivate" | "adminAssign") {
        return Err(request.state("/action", action, "selfActivate or adminAssign"));
    }
    let state = request.text("/status")?;
    if !matches!(state.as_str(), "Provisioned" | "Granted") {
        return Err(request.state("/status", state, "Provisioned or Granted"));
    }
    let from = request.time("/scheduleInfo/startDateTime")?;
    let until = match request.text("/scheduleInfo/expiration/type")?.as_str() {
        "afterDateTime" => request.time("/scheduleInfo/expiration/endDateTime")?,
        "afterDuration" => {
            let length = request.span_if("/scheduleInfo/expiration/duration")?;
            let length = length.ok_or_else(|| request.no_end("/scheduleInfo/expiration/duration"))?;
            RealNanos::new(from.get().saturating_add(length))
        }
        _ => return Err(request.no_end("/scheduleInfo/expiration/type")),
    };
    let role = request.first(&["/roleDefinition/displayName", "/roleDefinitionId"])?;
    let mut one = found(
        "entra",
        request.text("/id")?,
        request.first(&["/principal/userPrincipalName", "/principalId"])?,
        Window { from, until },
        with(request.optional("/justification")?, "role", &[role]),
    );
    let ticket =
        (request.optional("/ticketInfo/ticketSystem")?, request.optional("/ticketInfo/ticketNumber")?);
    if let (Some(system), Some(id)) = ticket {
        one.incident = Some(Incident { system: system.to_ascii_lowercase(), id, url: None });
    }
    // The approval is another resource; whoever fetches both puts it beside.
    for step in request.each("/approval/stages")?.into_iter().chain(request.each("/approval/steps")?) {
        if step.optional("/reviewResult")?.as_deref() == Some("Approve") {
            one.approvers.push(step.first(&["/reviewedBy/userPrincipalName", "/reviewedBy/id"])?);
        }
    }
    Ok(one)
}
