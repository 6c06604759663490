//! docs/verify.schema.json against what `verify --format json` really prints. The keywords that the schema uses are checked
//! here, and one that is not known here is an error: nothing in it is decoration.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::tests::run;
use crate::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
use crate::model::{
    Body, BootId, BootNanos, Bytes, ClockPair, EndReason, Flags, Loss, LossReason, RealNanos, Record,
    SessionId, Stop, StreamNo, Tty, TtyOp,
};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/verify.schema.json")).unwrap()
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        _ => panic!("type {kind} is not known here"),
    }
}

/// The patterns of the schema: anchored, of classes with an optional `{n}` or `*`, and literal dashes.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap();
    let mut text = text;
    while !pattern.is_empty() {
        let (class, rest) = match pattern.strip_prefix('[') {
            Some(rest) => rest.split_once(']').unwrap(),
            None => pattern.split_at(1),
        };
        let (times, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((n, rest)) => (Some(n.parse().unwrap()), rest),
            None => rest.strip_prefix('*').map_or((Some(1), rest), |rest| (None, rest)),
        };
        let c: Vec<char> = class.chars().collect();
        let fits = |x: char| {
            (0..c.len()).any(|i| {
                c[i] == x || (i > 0 && i + 1 < c.len() && c[i] == '-' && (c[i - 1]..=c[i + 1]).contains(&x))
            })
        };
        let have = text.chars().take_while(|x| fits(*x)).take(times.unwrap_or(usize::MAX)).count();
        if times.is_some_and(|n| n != have) {
            return false;
        }
        (text, pattern) = (&text[have..], rest);
    }
    text.is_empty()
}

fn faults(root: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let texts = || rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
        let good = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "const" => value == rule,
            "enum" => texts().contains(value),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            "type" => texts().iter().any(|kind| is(kind.as_str().unwrap(), value)),
            "required" => texts().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        faults(root, rule, value, &format!("{at}/{name}"), out);
                    }
                }
                true
            }
            "items" => {
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    faults(root, rule, value, &format!("{at}/{n}"), out);
                }
                true
            }
            "$ref" => {
                let to =
                    root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).expect("a definition");
                faults(root, to, value, at, out);
                true
            }
            other => panic!("keyword {other} is not known here"),
        };
        if !good {
            out.push(format!("{at}: {keyword} {rule}"));
        }
    }
}

fn judged(value: &Value) -> Vec<String> {
    let (schema, mut out) = (schema(), Vec::new());
    faults(&schema, &schema, value, "", &mut out);
    out
}

fn at(seconds: u64) -> ClockPair {
    let ns = seconds * 1_000_000_000;
    ClockPair { boot: BootNanos::new(ns), real: RealNanos::new(1_700_000_000_000_000_000 + ns) }
}

/// A journal with a closed session, a lossy one and an open one.
fn journal(dir: &Path) {
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 1 << 16,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    };
    let (mut w, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), at(0)).unwrap();
    let record = |body| Record { boot_ns: at(1).boot, cpu: 0, flags: Flags::default(), task: None, body };
    for n in 1..=3u8 {
        let s = w.open_session(SessionId::new([n; 16]), at(1).boot);
        let tty = Tty { name: Bytes::from("pts/1"), data: Bytes::from("x"), ..Tty::default() };
        w.append(s, record(Body::Tty(TtyOp::Output, tty)));
        if n < 3 {
            w.close_session(s, EndReason::LastTask, u64::from(n - 1), at(2).boot);
        }
    }
    let reason = LossReason::Undecodable;
    let (class, ring) = (Bytes::from("\u{1b}[2Jfile"), Bytes::from("bulk"));
    w.append(
        StreamNo::LOG,
        record(Body::Loss(Loss { class, ring, cpu: 0, from: 1, to: 2, count: 2, reason })),
    );
    w.commit(at(2)).unwrap();
    w.stop(Stop { clock: at(3), signal: 15, open_sessions: 1 }).unwrap();
}

/// The report as printed, with its exit code.
fn printed(args: &[&str]) -> (u8, Value) {
    let args = ["recorder", "verify"].iter().chain(args).map(std::ffi::OsString::from);
    let ran = run(|io| Ok(super::execute(args.collect::<Vec<_>>(), io)));
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err)))
}

fn first_segment(dir: &Path) -> PathBuf {
    let log = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    log.join("seg-0000000000000000.rj")
}

#[test]
fn what_verify_prints_keeps_to_the_schema() {
    let dir = tempfile::tempdir().unwrap();
    journal(dir.path());
    let place = dir.path().to_str().unwrap();
    let (code, whole) = printed(&[place, "--format", "json"]);
    assert_eq!((code, judged(&whole)), (1, vec![]), "{whole:#}");
    assert_eq!((whole["v"].clone(), whole["sessions"].as_array().unwrap().len()), (json!(1), 3));
    // One line, and the second look at grants.
    let signers = dir.path().join("signers");
    fs::write(&signers, "").unwrap();
    let (_, line) = printed(&[place, "--format", "ndjson", "--allowed-signers", signers.to_str().unwrap()]);
    assert_eq!((judged(&line), line["grants"]["checked"].clone()), (vec![], json!(0)));
    let segment = first_segment(dir.path());
    let healthy = fs::read(&segment).unwrap();
    let mut changed = healthy.clone();
    changed[600] ^= 1;
    fs::write(&segment, &changed).unwrap();
    let (code, tampered) = printed(&[place, "--format", "json"]);
    assert_eq!((code, judged(&tampered)), (2, vec![]));
    fs::remove_file(&segment).unwrap();
    let (code, missing) = printed(&[place, "--format", "json"]);
    assert_eq!((code, judged(&missing)), (3, vec![]));
}

#[test]
fn the_schema_refuses_what_is_none_and_lets_new_fields_pass() {
    let finding =
        json!({"code": "FORK", "severity": "tampered", "log": null, "segment": null, "leaf": 3, "text": ""});
    let good = json!({"v": 1, "verdict": "verified", "exit": 0, "findings": [finding], "sessions": [],
        "logs": [], "anchors": [], "witnessed": [], "intervals": [], "not_checked": [], "later": [{"new": true}]});
    assert_eq!(judged(&good), Vec::<String>::new());
    let with = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        judged(&bad).len()
    };
    assert_eq!(with("/v", json!(2)), 1);
    assert_eq!(with("/verdict", json!("fine")), 1);
    assert_eq!(with("/exit", json!(7)), 1);
    assert_eq!(with("/exit", json!("0")), 1);
    assert_eq!(with("/logs", json!([{}])), 1);
    assert_eq!(with("/findings/0/severity", json!("bad")), 1);
    assert_eq!(with("/findings/0/code", json!("end of it")), 1);
    assert_eq!(with("/findings/0/log", json!("xyz")), 1);
    assert_eq!(with("/findings/0/leaf", json!(-1)), 1);
    assert_eq!(with("/findings/0", json!({"code": "FORK"})), 1);
}
