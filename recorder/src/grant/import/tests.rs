//! The inputs of docs/grants-import.md, and what is wrong with them when one thing is changed.

use serde_json::{Value, json};

use super::*;

const TELEPORT: &str = include_str!("../../../tests/fixtures/import/teleport.json");
const ONCALL: &str = include_str!("../../../tests/fixtures/import/pagerduty-oncall.json");
const INCIDENT: &str = include_str!("../../../tests/fixtures/import/pagerduty-incident.json");
const OKTA: &str = include_str!("../../../tests/fixtures/import/okta.json");
const ENTRA: &str = include_str!("../../../tests/fixtures/import/entra.json");
const GENERIC: &str = include_str!("../../../tests/fixtures/import/generic.json");
const MAPPING: &str = include_str!("../../../tests/fixtures/import/generic.toml");

/// 2026-11-21T02:30:00Z.
const NOW: u64 = 1_795_228_200;

fn seconds(n: u64) -> RealNanos {
    RealNanos::new(n * 1_000_000_000)
}

fn hints() -> Hints {
    let alice = "alice@example.com".to_owned();
    let people = [("PT23IWX", &alice), ("00u1alice000000000h7", &alice)];
    Hints {
        people: people.into_iter().map(|(theirs, ours)| (theirs.to_owned(), ours.clone())).collect(),
        person: None,
        length: Some(3600 * 1_000_000_000),
    }
}

fn reading(system: &System, text: &str) -> Result<Found, ImportError> {
    read(system, text.as_bytes(), &hints(), seconds(NOW))
}

fn generic() -> System {
    System::Generic(Box::new(Mapping::parse(MAPPING).unwrap()))
}

/// From and until as text, to the second.
fn window(found: &Found) -> (String, String) {
    let second = |time: RealNanos| rfc3339(seconds(time.get() / 1_000_000_000));
    (second(found.window.from), second(found.window.until))
}

fn summary(found: &Found) -> (String, String, String, (String, String), String) {
    let one = found.clone();
    (
        one.system,
        one.external_id,
        one.person,
        window(found),
        format!("{}; {}", one.reason, one.approvers.join(",")),
    )
}

#[test]
fn every_system_is_read() {
    for (system, text, id, from, until, said) in [
        (
            System::Teleport,
            TELEPORT,
            "0190fa2c-7e4d-7b1e-9f0c-5a3f1f0e7c11",
            "2026-11-21T02:15:00Z",
            "2026-11-21T06:15:00Z",
            "PD-4711 disk full on db-3 (roles db-admin); bob@example.com",
        ),
        (
            System::Pagerduty,
            ONCALL,
            "PI7DH85/PT23IWX/2026-11-20T17:00:00Z",
            "2026-11-21T02:30:00Z",
            "2026-11-21T03:30:00Z",
            "on call: Databases, primary, level 1; ",
        ),
        (
            System::Pagerduty,
            INCIDENT,
            "Q1B2C3D4E5F6G7",
            "2026-11-21T02:30:00Z",
            "2026-11-21T03:30:00Z",
            "disk full on db-3; ",
        ),
        (
            System::Okta,
            OKTA,
            "reqABCDEFG0123456789",
            "2026-11-21T02:16:00Z",
            "2026-11-21T06:16:00Z",
            "disk full on db-3 (resource 0oa1servers0000000h7); ",
        ),
        (
            System::Entra,
            ENTRA,
            "911bab8a-6912-4de2-9dc0-2648ede7dd6d",
            "2026-11-21T02:16:00Z",
            "2026-11-21T06:16:00Z",
            "disk full on db-3 (role Database operators); bob@example.com",
        ),
        (
            generic(),
            GENERIC,
            "ACC-17",
            "2026-11-21T02:15:00Z",
            "2026-11-21T06:15:00Z",
            "disk full on db-3; bob@example.com,carl@example.com",
        ),
    ] {
        let found = reading(&system, text).unwrap();
        let (_, external_id, person, window, words) = summary(&found);
        assert_eq!((external_id.as_str(), person.as_str()), (id, "alice@example.com"));
        assert_eq!((window.0.as_str(), window.1.as_str()), (from, until), "{id}");
        assert_eq!(words, said);
    }
    let incident =
        |system, text| reading(&system, text).unwrap().incident.map(|i| format!("{} {}", i.system, i.id));
    assert_eq!(incident(System::Pagerduty, INCIDENT).as_deref(), Some("pagerduty Q1B2C3D4E5F6G7"));
    assert_eq!(incident(System::Entra, ENTRA).as_deref(), Some("pagerduty PD-4711"));
    assert_eq!(incident(generic(), GENERIC).as_deref(), Some("pagerduty 4711"));
    assert_eq!(incident(System::Teleport, TELEPORT), None);
}

#[test]
fn h12_whatever_is_no_approval_is_refused_with_its_place() {
    let (array, all) = (System::Teleport, System::Entra);
    let cases: &[(&System, &str, &str, Value, &str)] = &[
        (&array, TELEPORT, "/0/spec/state", json!(1), "/spec/state: the state is PENDING, only APPROVED"),
        (&array, TELEPORT, "/0/spec/state", json!(3), "the state is DENIED"),
        (&array, TELEPORT, "/0/spec/state", json!("PENDING"), "the state is PENDING"),
        (&array, TELEPORT, "/0/spec/state", json!(9), "the state is 9"),
        (&array, TELEPORT, "/0/spec/state", json!(2.0), "the state is 2.0"),
        (&array, TELEPORT, "/0/spec/state", Value::Null, "/spec/state is missing"),
        (&array, TELEPORT, "/0/kind", json!("role"), "no access_request"),
        (&array, TELEPORT, "/0/version", json!("v4"), "only v3"),
        (&array, TELEPORT, "/0/spec/user", json!(7), "/spec/user: expected a text"),
        (&array, TELEPORT, "/0/spec/user", json!(""), "/0/spec/user is missing"),
        (
            &array,
            TELEPORT,
            "/0/spec/expires",
            json!("2026-11-21T02:30:00Z"),
            "it ended at 2026-11-21T02:30:00Z",
        ),
        (&array, TELEPORT, "/0/spec/expires", json!("2026-11-21 06:15"), "is no time"),
        (&array, TELEPORT, "/0/spec/expires", json!("0001-01-01T00:00:00Z"), "/spec/expires is missing"),
        (
            &array,
            TELEPORT,
            "/0/spec/max_duration",
            json!("2026-11-21T02:20:00Z"),
            "it ended at 2026-11-21T02:20:00Z",
        ),
        (
            &array,
            TELEPORT,
            "/0/spec/assume_start_time",
            json!("2026-11-22T02:20:00Z"),
            "ends before it begins",
        ),
        (&System::Pagerduty, ONCALL, "/oncalls/0/end", Value::Null, "/oncalls/0/end gives no end"),
        (&System::Pagerduty, ONCALL, "/oncalls", json!([]), "/oncalls: 0 entries, expected one"),
        (&System::Pagerduty, INCIDENT, "/incident/status", json!("resolved"), "the state is resolved"),
        (&System::Pagerduty, INCIDENT, "/incident/assignments", json!([]), "--person names one"),
        (&System::Okta, OKTA, "/status", json!("PENDING"), "the state is PENDING"),
        (&System::Okta, OKTA, "/grantStatus", json!("DENIED"), "the state is DENIED"),
        (&System::Okta, OKTA, "/revocationStatus", json!("REVOKED"), "the state is REVOKED"),
        (&System::Okta, OKTA, "/accessDuration", Value::Null, "/accessDuration gives no end"),
        (&System::Okta, OKTA, "/accessDuration", json!("P1M"), "no duration such as PT4H"),
        (&System::Okta, OKTA, "/granted", Value::Null, "/granted is missing"),
        (&all, ENTRA, "/status", json!("PendingApproval"), "the state is PendingApproval"),
        (&all, ENTRA, "/status", json!("Revoked"), "the state is Revoked"),
        (&all, ENTRA, "/action", json!("selfDeactivate"), "the state is selfDeactivate"),
        (&all, ENTRA, "/scheduleInfo/expiration/type", json!("noExpiration"), "gives no end"),
        (&all, ENTRA, "/scheduleInfo/expiration/duration", json!("PT5M"), "it ended at 2026-11-21T02:21:00"),
    ];
    for (system, text, pointer, to, told) in cases {
        let mut value: Value = serde_json::from_str(text).unwrap();
        if let Some(slot) = value.pointer_mut(pointer) {
            *slot = to.clone();
        } else {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.insert(key.to_owned(), to.clone());
        }
        let error = reading(system, &value.to_string()).unwrap_err().to_string();
        assert!(error.contains(told), "{pointer} = {to}: {error}");
    }
    let two = format!("[{0},{0}]", &TELEPORT.trim()[1..TELEPORT.trim().len() - 1]);
    assert!(
        reading(&System::Teleport, &two).unwrap_err().to_string().contains("2 access requests, expected one")
    );
    assert!(matches!(reading(&System::Okta, "{"), Err(ImportError::Json(_))));
    assert!(matches!(reading(&System::Okta, &" ".repeat(MAX_IMPORT + 1)), Err(ImportError::TooLong(_))));
    let rejected = GENERIC.replace("Approved", "Rejected");
    assert!(reading(&generic(), &rejected).unwrap_err().to_string().contains("the state is Rejected"));
}

#[test]
fn a_mapping_is_closed() {
    let page = include_str!("../../../../docs/grants-import.md");
    let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(Mapping::parse(example), Mapping::parse(MAPPING));
    for (from, to, told) in [
        ("system", "systems", "unknown field"),
        ("\"/key\"", "\"key\"", "is no JSON pointer"),
        ("approved = [\"Approved\"]", "", "missing field"),
    ] {
        let error = Mapping::parse(&MAPPING.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let no_end = Mapping::parse(&MAPPING.replace("until = \"/fields/end\"\n", "")).unwrap();
    assert_eq!(
        window(&reading(&System::Generic(Box::new(no_end.clone())), GENERIC).unwrap()).1,
        "2026-11-21T03:30:00Z"
    );
    let none = Hints { length: None, ..hints() };
    let refused = read(&System::Generic(Box::new(no_end)), GENERIC.as_bytes(), &none, seconds(NOW));
    assert!(matches!(refused, Err(ImportError::NoEnd { .. })));
}

#[test]
fn one_of_several_assignees_is_named() {
    let mut value: Value = serde_json::from_str(INCIDENT).unwrap();
    let list = value.pointer_mut("/incident/assignments").unwrap().as_array_mut().unwrap();
    list.push(json!({"assignee": {"id": "PBOB", "email": "bob@example.com"}}));
    let text = value.to_string();
    assert!(reading(&System::Pagerduty, &text).is_err());
    let of = |person: &str| {
        let hints = Hints { person: Some(person.to_owned()), ..hints() };
        read(&System::Pagerduty, text.as_bytes(), &hints, seconds(NOW)).map(|found| found.person)
    };
    assert_eq!(of("alice@example.com").as_deref(), Ok("alice@example.com"));
    assert_eq!(of("bob@example.com").as_deref(), Ok("bob@example.com"));
    assert!(of("carl@example.com").is_err());
}
