//! Command lines that make no sense, the dialogue, and what people and programs read; real keys are in
//! recorder/tests/grants.rs.

use std::{ffi::OsString, fs, io::Cursor, path::Path};

use insta::assert_snapshot;

use super::super::tests::{Ran, run as captured};
use super::*;
use crate::{
    grant::{Document, Nonce, Privilege, Request, Statement, Window},
    model::RealNanos,
};

const MADE: RealNanos = RealNanos::new(1_795_228_260_000_000_000);

fn line(args: &[&str]) -> Ran {
    let args: Vec<OsString> = ["recorder", "grant"].iter().chain(args).map(Into::into).collect();
    captured(|io| Ok(super::super::execute(args, io)))
}

/// A request that tries to fool whoever looks at it, without a signature.
fn hostile(dir: &Path) -> std::path::PathBuf {
    let request = Request {
        person: "eve \u{202e}ecila".into(),
        hosts: vec!["*".into()],
        window: Window { from: MADE, until: RealNanos::new(MADE.get() + 5_400_000_000_000) },
        privileges: vec![Privilege::User("postgres".into()), Privilege::Command("rm \u{200b}*".into())],
        reason: "look\\n  signature   good".into(),
        incident: None,
        token: false,
    };
    let (_, bytes) = Document::write("eve", MADE, Nonce::new([7; 16]), &Statement::Request(request)).unwrap();
    let path = dir.join("request.toml");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_is_missing_is_told_at_once() {
    let ran = line(&["request", "--reason", "x"]);
    assert_eq!(ran.code, 64);
    for flag in ["--host", "--until or --for", "--privilege", "--signer", "--key"] {
        assert!(ran.err.contains(flag), "{}", ran.err);
    }
    assert!(!ran.err.contains("--reason"), "{}", ran.err);
    for (args, told) in [
        (&["request", "--for", "2x"][..], "length of time"),
        (&["request", "--until", "2h"], "2026-11-21T02:31:00Z"),
        (&["request", "--until", "now", "--for", "2h"], "cannot be used with"),
        (&["request", "--privilege", "admin"], "root, user:NAME or command:GLOB"),
        (&["request", "--incident", "PD-1"], "SYSTEM:ID"),
        (&["request", "--incident-url", "https://x"], "--incident"),
        (&["reject", "x"], "--reason, --signer, --key missing"),
        (&["extend", "x"], "--until or --for, --signer, --key missing"),
        (&["note"], "--incident, --signer, --key missing"),
        (&["break-glass"], "--reason, --signer, --key missing"),
        (&["check", "x"], "--allowed-signers missing"),
        (&["check"], "FILE"),
        (&["show"], "FILE"),
    ] {
        let ran = line(args);
        assert_eq!(ran.code, 64, "{args:?} {}", ran.err);
        assert!(ran.err.contains(told), "{args:?} {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}

#[test]
fn a_file_that_is_not_there_is_74_and_one_that_is_no_document_is_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.toml");
    assert_eq!(line(&["show", path.to_str().unwrap()]).code, 74);
    fs::write(&path, "version = 2\n").unwrap();
    let ran = line(&["show", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no grant document: version: only 1 exists"), "{}", ran.err);
    assert_eq!(line(&["show", path.to_str().unwrap(), "--allowed-signers", "/no/such/list"]).code, 74);
}

#[test]
fn a_hostile_document_is_shown_and_fools_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = hostile(dir.path());
    let ran = line(&["show", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no signature"), "{}", ran.err);
    assert_snapshot!("shown", ran.out);
    let ran = line(&["show", "--format", "json", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert_snapshot!("json", ran.out.replace(&dir.path().display().to_string(), "DIR"));
    fs::write(dir.path().join("request.toml.sig"), "-----BEGIN SSH SIGNATURE-----\n\u{1b}[2J\n").unwrap();
    let list = dir.path().join("allowed");
    fs::write(&list, "eve ssh-ed25519 AAAA\n").unwrap();
    let ran = line(&["check", path.to_str().unwrap(), "--allowed-signers", list.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("line 1 is left out: no key"), "{}", ran.err);
    assert!(ran.out.contains("REFUSED") && ran.out.contains("bad signature"), "{}", ran.out);
    for text in [ran.out, ran.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{text:?}");
    }
}

#[test]
fn nobody_answers_what_is_no_believable_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = hostile(dir.path());
    let path = path.to_str().unwrap();
    let maker = ["--signer", "bob", "--key", "/no/such/key"];
    let ran = line(&[&["approve", path], &maker[..]].concat());
    assert_eq!((ran.code, ran.err.contains("no signature")), (1, true), "{}", ran.err);
    // What ssh-keygen can't sign leaves nothing behind. A rejection needs no good signature under the request.
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let rejection = ["reject", path, "--reason", "who?", "--out", out.to_str().unwrap()];
    let ran = line(&[&rejection[..], &maker].concat());
    assert_eq!(ran.code, 74, "{}", ran.err);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

fn asked(answers: &str, signer: Option<&str>) -> (Result<(issue::Maker, Request), Failure>, String) {
    let given = issue::MakerArgs {
        signer: signer.map(str::to_owned),
        key: signer.map(|_| "key".into()),
        out: ".".into(),
    };
    let mut out = Vec::new();
    let made = ask::request(&given, &mut Cursor::new(answers.as_bytes()), &mut out);
    (made, String::from_utf8(out).unwrap())
}

#[test]
fn the_dialogue_takes_defaults_and_asks_again() {
    let (made, shown) =
        asked("\nweb-1, db-*\n\nsoon\n30m\n\ndisk full\nPD-1\npagerduty:PD-1\n\n", Some("alice"));
    let (maker, request) = made.unwrap();
    assert_eq!((maker.signer.as_str(), request.person.as_str()), ("alice", "alice"));
    assert_eq!(request.hosts, ["web-1", "db-*"]);
    assert_eq!(request.privileges, [Privilege::Root]);
    assert_eq!(request.window.until.get() - request.window.from.get(), 1_800_000_000_000);
    assert_eq!(request.reason, "disk full");
    let incident = request.incident.unwrap();
    assert_eq!((incident.system.as_str(), incident.id.as_str(), incident.url), ("pagerduty", "PD-1", None));
    let host = wish::host_name().unwrap_or_default();
    assert_snapshot!("dialogue", shown.replace(&host, "HOST"));
}

#[test]
fn a_dialogue_that_ends_early_makes_nothing() {
    let (made, _) = asked("bob\n", Some("alice"));
    assert!(matches!(made, Err(Failure::Usage(_))));
}
