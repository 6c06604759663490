//! `status`: what somebody is told about his session, and root about all of them.

use std::time::Instant;

use serde_json::{Value, json};

use super::Facts;
use crate::{
    config::{InputKey, ScopeKey},
    export::json::rfc3339,
    grant::{Grant, State},
    model::{BootNanos, Bytes, ClockPair, Coverage, Mark, RealNanos, Uncovered},
    service::{
        anchor::Told,
        board::{Ledger, Open, Snapshot},
        standing::Standing,
    },
    sys::process,
};

/// Every field of the answer.
pub(super) fn fields(
    facts: &Facts,
    snapshot: &Snapshot,
    pid: Option<u32>,
    mark: Option<Mark>,
    all: bool,
    now: ClockPair,
) -> Value {
    let ledger = snapshot.ledger.as_deref();
    let open = mark.and_then(|mark| snapshot.sessions.get(&mark));
    let (records, records_not) = words(facts);
    let mut fields = json!({
        "recorder": {
            "version": env!("CARGO_PKG_VERSION"),
            "since": rfc3339(facts.since),
            "backend": facts.backend,
        },
        "session": open.map(|open| session(open, ledger, now)),
        "grants": ledger.map(|ledger| grants(ledger, open, pid, now.boot)).unwrap_or_default(),
        "records": records,
        "records_not": records_not,
    });
    if all && let Some(fields) = fields.as_object_mut() {
        let list: Vec<Value> = snapshot.sessions.values().map(|open| session(open, ledger, now)).collect();
        fields.insert("sessions".into(), list.into());
        fields.insert("hooks_silent".into(), snapshot.silent.to_vec().into());
    }
    fields
}

/// What became of the checkpoints: for root.
pub(super) fn anchor(told: &Told) -> Value {
    json!({
        "leaves": told.last.map(|(size, _)| size),
        "time": told.last.map(|(_, time)| rfc3339(time)),
        "witnessed": told.witnessed,
        "failed": told.failed,
        "faults": told.faults,
    })
}

/// How the journal's storage is doing: for root.
pub(super) fn storage(standing: Standing, real: RealNanos, now: Instant) -> Value {
    let ago = u64::try_from(now.saturating_duration_since(standing.since).as_nanos()).unwrap_or(u64::MAX);
    let since = (!standing.is_sound()).then(|| rfc3339(RealNanos::new(real.get().saturating_sub(ago))));
    json!({"state": standing.state.word(), "since": since})
}

fn text(bytes: &Bytes) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes.as_slice()).into_owned())
}

fn session(open: &Open, ledger: Option<&Ledger>, now: ClockPair) -> Value {
    let change = open.coverage.as_ref();
    let coverage = change.map(|change| change.coverage);
    let grant = coverage.and_then(Coverage::grant);
    let until =
        ledger.zip(grant).and_then(|(ledger, id)| ledger.book.grant(&id)?.effective()).map(|w| w.until);
    json!({
        "id": open.id.to_string(),
        "since": rfc3339(RealNanos::new(now.real.get().saturating_sub(now.boot.since(open.since)))),
        "account": text(&open.login.user),
        "person": change.and_then(|change| text(&change.person)),
        "tty": text(&open.login.tty),
        "remote": text(&open.login.remote),
        "coverage": coverage.map(Coverage::name),
        "reason": coverage.and_then(Coverage::reason).map(Uncovered::name),
        "grant": grant.map(|id| id.to_string()),
        "incident": change.and_then(|change| text(&change.incident)),
        "until": until.map(rfc3339),
        "left_s": ledger.zip(until).map(|(ledger, until)| left(ledger, until, now.boot)),
    })
}

/// Seconds of trusted time.
fn left(ledger: &Ledger, until: RealNanos, now: BootNanos) -> u64 {
    until.get().saturating_sub(ledger.clock.real(now).get()) / 1_000_000_000
}

/// What the caller's person has that is not over: by his session, else by his login.
fn grants(ledger: &Ledger, open: Option<&Open>, pid: Option<u32>, now: BootNanos) -> Vec<Value> {
    let of_session = open.and_then(|open| open.coverage.as_ref()).and_then(|change| text(&change.person));
    let of_login = || {
        let process = process::read(pid?)?;
        let account = String::from_utf8(process::user_name(process.loginuid)?).ok()?;
        ledger.person(&account, process.audit_session).map(str::to_owned)
    };
    let Some(person) = of_session.or_else(of_login) else { return Vec::new() };
    let real = ledger.clock.real(now);
    let alive =
        |grant: &&Grant| matches!(grant.state(real), State::Requested | State::Approved | State::Active);
    ledger.book.grants_of(&person).filter(alive).map(|grant| facts_of(grant, ledger, now)).collect()
}

fn facts_of(grant: &Grant, ledger: &Ledger, now: BootNanos) -> Value {
    let request = &grant.request;
    json!({
        "id": grant.id.to_string(),
        "state": grant.state(ledger.clock.real(now)).to_string(),
        "here": grant.here,
        "break_glass": grant.break_glass,
        "person": request.person,
        "from": rfc3339(request.window.from),
        "until": rfc3339(grant.until),
        "left_s": left(ledger, grant.until, now),
        "privileges": request.privileges.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reason": request.reason,
        "incident": request.incident.as_ref().map(|i| format!("{}:{}", i.system, i.id)),
    })
}

/// What is recorded and what is not, in words.
fn words(facts: &Facts) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut records = vec![
        "programs, with arguments and results",
        "files that are opened, made, renamed or removed",
        "changes of users and rights",
        "what terminals show",
    ];
    let mut records_not = vec!["what is in files"];
    if facts.scope == ScopeKey::Elevated {
        records_not.push("logins and work without elevated rights");
    }
    match facts.tty_input {
        InputKey::Off => records_not.push("what is typed (it is counted)"),
        InputKey::Redacted => {
            records.push("what is typed while the terminal shows it");
            records_not.push("passwords and what else is typed unseen");
        }
        InputKey::Full => records.push("everything that is typed, passwords too"),
    }
    if !facts.guarded {
        records_not.push("what is tried with the recorder itself (there is no guard)");
    }
    records_not.extend(facts.blind);
    (records, records_not)
}
