//! What a reader says of a fixture, in the form of its `expected.json`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recorder::export::{self, json::Context};
use recorder::verify::{self, EndPolicy, Identities, Options, PermitSigners, Report};
use serde_json::{Value, json};

use super::sign::Listed;

/// Where the fixtures lie.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// How a fixture wants to be verified.
#[allow(clippy::needless_update, reason = "of what else may be asked, a fixture asks nothing")]
pub(crate) fn options(dir: &Path, stopped: bool) -> Options {
    let there = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
    let mut identities = Identities::default();
    if let Some(identity) = there("identity") {
        identities.add(&std::fs::read(identity).unwrap(), &mut || None).unwrap();
    }
    Options {
        identities,
        origin: there("origin.note"),
        spare: there("spare"),
        anchors: there("anchors").into_iter().collect(),
        policy: there("policy"),
        permits: there("allowed_signers").map(|list| Arc::new(Listed::read(&list)) as Arc<dyn PermitSigners>),
        end: if stopped { EndPolicy::Stopped } else { EndPolicy::Anchored },
        ..Options::default()
    }
}

/// Verdict, findings by code, log and leaf, sessions, logs.
pub(crate) fn told(report: &Report) -> Value {
    let all = serde_json::to_value(report).unwrap();
    let part = |list: &str, keys: &[&str]| -> Value {
        let items = all[list].as_array().unwrap();
        let pick =
            |item: &Value| -> Value { keys.iter().map(|k| ((*k).to_owned(), item[*k].clone())).collect() };
        items.iter().map(pick).collect()
    };
    let mut findings = part("findings", &["code", "log", "leaf"]);
    let list = findings.as_array_mut().unwrap();
    list.sort_by_key(ToString::to_string);
    list.dedup();
    json!({
        "verdict": all["verdict"],
        "exit": all["exit"],
        "findings": findings,
        "sessions": part("sessions", &["id", "completeness"]),
        "logs": part("logs", &["id", "first", "last", "root"]),
    })
}

/// Every record as an event, one a line.
pub(crate) fn write_events(dir: &Path, stopped: bool, to: &Path) {
    let (_, entries) = verify::read(&dir.join("journal"), &options(dir, stopped)).unwrap();
    let mut out = Vec::new();
    // A frame that can't be decoded is no record: both readers pass over it.
    for entry in entries.flatten() {
        export::write_line(&mut out, &export::json::event(&entry, Context::default())).unwrap();
    }
    std::fs::File::create(to).unwrap().write_all(&out).unwrap();
}
