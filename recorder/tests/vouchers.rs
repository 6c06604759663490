//! Certificates and other systems' approvals with the real binary and real keys: made, shown, checked, judged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod ssh;

use std::{fs, path::Path, process::Output};

use jiff::tz::TimeZone;
use recorder::{
    grant::{
        AllowedSigners, Book, Document, NAMESPACE, Policy, State, Statement, Verdict, Verified, Voucher,
        verify_signature,
    },
    model::RealNanos,
};
use serde_json::{Value, json};
use ssh::{Desk, grant, made, text};

/// The document as a host takes it: signature, list of signers, book.
fn received(desk: &Desk, path: &Path, policy: &str, at: RealNanos) -> (Book, Verdict) {
    let bytes = fs::read(path).unwrap();
    let armored = fs::read(format!("{}.sig", path.display())).unwrap();
    let document = Document::parse(&bytes).unwrap();
    let signed = verify_signature(&bytes, &armored).unwrap();
    let list = fs::read(desk.path("allowed")).unwrap();
    let signers = AllowedSigners::parse(&list, &TimeZone::UTC).unwrap();
    signers.allows(&document.signer, &signed, NAMESPACE, at).unwrap();
    let mut book = Book::new(Policy::parse(policy).unwrap(), "web-1");
    let verdict = book.insert(Verified::new(document, &signed, at));
    (book, verdict)
}

fn now() -> RealNanos {
    let now = jiff::Timestamp::now().as_nanosecond();
    RealNanos::new(u64::try_from(now).unwrap())
}

fn fails(output: &Output, code: i32, told: &str) {
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.contains(told)), (Some(code), true), "{said}");
}

#[test]
fn h11_a_certificate_becomes_a_grant() {
    let desk = Desk::new();
    for name in ["k", "ca", "imp"] {
        desk.key(name, "ed25519", None);
    }
    desk.put("allowed", format!("imp {}\n", desk.public("imp")));
    ssh::certify(
        &desk,
        "ca",
        "k",
        &["-n", "anna", "-z", "7", "-V", "-1m:+2h", "-O", "extension:grant-id@recorder=CHG-1"],
    );
    let import = ["import-cert", "k-cert.pub", "--host", "web-*", "--privilege", "root"];
    let maker = ["--signer", "imp", "--key", "imp"];
    let path = made(&desk, &[&import[..], &maker].concat());

    let shown = grant(&desk, &["show", "--allowed-signers", "allowed", path.to_str().unwrap()]);
    let said = text(&shown.stdout);
    assert!(shown.status.success(), "{said}");
    for line in ["certified   id (anna) no. 7 by SHA256:", "grant id    CHG-1", "person      anna"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let json = grant(&desk, &["show", "--format", "json", path.to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["kind"], &json["certificate"]["serial"]), (&json!("certificate"), &json!(7)));

    let authority = recorder::grant::PublicKey::from_openssh(&desk.public("ca")).unwrap().fingerprint();
    let policy = format!(
        "[[certificate]]\nauthorities = [\"{authority}\"]\npersons = [\"anna\"]\nprivileges = [\"root\"]\n"
    );
    let (book, verdict) = received(&desk, &path, &policy, now());
    let one = book.grants().next().unwrap();
    assert_eq!((verdict, one.state(now())), (Verdict::Counts, State::Active));
    assert_eq!(one.voucher, Some(Voucher::Authority(authority)));

    // What can't be one is told before anybody signs.
    let own = [&["import-cert", "k.pub", "--host", "*", "--privilege", "root"][..], &maker].concat();
    fails(&grant(&desk, &own), 1, "it is no certificate");
    for (options, code, told) in [
        (&["-n", "anna", "-h"][..], 64, "is a host's"),
        (&["-n", "anna", "-O", "force-command=/bin/true", "-V", "-1m:+1h"], 64, "force-command"),
        (&["-n", "anna"], 64, "has no end"),
        (&["-n", "anna,bert", "-V", "-1m:+1h"], 64, "--person missing: the certificate has 2"),
    ] {
        ssh::certify(&desk, "ca", "k", options);
        fails(&grant(&desk, &[&import[..], &maker].concat()), code, told);
    }
    ssh::certify(&desk, "ca", "k", &["-n", "anna", "-O", "source-address=10.0.0.0/8", "-V", "-1m:+1h"]);
    made(&desk, &[&import[..], &maker].concat());
}

#[test]
fn h12_an_import_is_signed_by_its_importer_and_shown_as_imported() {
    let desk = Desk::new();
    desk.key("imp", "ed25519", None);
    desk.put("allowed", format!("imp {}\n", desk.public("imp")));
    let fixture = include_str!("fixtures/import/teleport.json");
    let ahead = |hours: i64| {
        let time = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
        json!(time.to_string())
    };
    let mut value: Value = serde_json::from_str(fixture).unwrap();
    value[0]["spec"]["created"] = ahead(-1);
    value[0]["spec"]["expires"] = ahead(3);
    value[0]["spec"]["request_reason"] = json!("disk full\n\u{202e}on db-3");
    desk.put("request.json", value.to_string());
    desk.put("people.toml", "\"alice@example.com\" = \"alice\"\n");
    let import =
        ["import", "request.json", "--from", "teleport", "--people", "people.toml", "--host", "web-1"];
    let maker = ["--privilege", "root", "--signer", "imp", "--key", "imp"];
    let path = made(&desk, &[&import[..], &maker].concat());
    let bytes = fs::read(&path).unwrap();
    let Statement::Import(found) = Document::parse(&bytes).unwrap().statement else { panic!("no import") };
    assert_eq!(found.approvers, ["bob@example.com"]);
    assert_eq!(found.request.reason, "disk full / \u{202e}on db-3 (roles db-admin)");

    let shown = grant(&desk, &["show", "--allowed-signers", "allowed", path.to_str().unwrap()]);
    let said = text(&shown.stdout);
    assert!(shown.status.success(), "{said}");
    for line in [
        "imported    from teleport 0190fa2c-7e4d-7b1e-9f0c-5a3f1f0e7c11",
        "approved    there, without a signature, by bob@example.com",
        "person      alice",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains('\u{202e}'), "{said}");
    let policy = "[[import]]\nimporters = [\"imp\"]\nsystems = [\"teleport\"]\npersons = [\"alice\"]\nprivileges = [\"root\"]\n";
    let (book, verdict) = received(&desk, &path, policy, now());
    assert_eq!((verdict, book.grants().next().unwrap().state(now())), (Verdict::Counts, State::Active));

    // Where no rule takes it, it is a request: another person may answer, the importer not.
    desk.key("bob", "ed25519", None);
    made(&desk, &["approve", path.to_str().unwrap(), "--signer", "bob", "--key", "bob"]);
    let own = ["approve", path.to_str().unwrap(), "--signer", "imp", "--key", "imp"];
    fails(&grant(&desk, &own), 64, "another person has to");

    // Nothing is written for what was not approved.
    value[0]["spec"]["state"] = json!(3);
    desk.put("request.json", value.to_string());
    fails(
        &grant(&desk, &[&import[..], &maker].concat()),
        1,
        "request.json: not imported: /0/spec/state: the state is DENIED, only APPROVED is an approval",
    );
    desk.put("old.json", fixture.replace("2026-11-21T06:15:00Z", "2026-01-01T00:00:00Z"));
    let old = ["import", "old.json", "--from", "teleport", "--host", "web-1"];
    fails(&grant(&desk, &[&old[..], &maker].concat()), 1, "not imported: it ended");
    let generic = ["import", "request.json", "--from", "generic", "--host", "*"];
    fails(&grant(&desk, &[&generic[..], &maker].concat()), 64, "--mapping");
    let documents = fs::read_dir(desk.path("")).unwrap();
    let made = documents.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("import-"));
    assert_eq!(made.count(), 2, "one document and its signature");
}

/// An authority that the list trusts with one name must not make its holder somebody else by a key id.
#[test]
fn h11_a_key_id_makes_nobody_another_signer() {
    let desk = Desk::new();
    for name in ["eve", "eves", "anna"] {
        desk.key(name, "ed25519", None);
    }
    desk.put(
        "allowed",
        format!("eve cert-authority {}\nanna {}\n", desk.public("eves"), desk.public("anna")),
    );
    ssh::certify(&desk, "eves", "eve", &["-n", "eve,anna", "-V", "-1m:+1h"]);
    let asked = made(
        &desk,
        &[
            "request",
            "--signer",
            "carl",
            "--key",
            "anna",
            "--host",
            "*",
            "--for",
            "1h",
            "--privilege",
            "root",
            "--reason",
            "x",
        ],
    );
    let yes = made(&desk, &["approve", asked.to_str().unwrap(), "--signer", "eve", "--key", "eve-cert.pub"]);
    let policy = "[people.anna]\ncertificate_ids = [\"id\"]\n\
        [[approve]]\napprovers = [\"anna\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";
    let (mut book, _) = received(&desk, &yes, policy, now());
    let bytes = fs::read(&asked).unwrap();
    let armored = fs::read(format!("{}.sig", asked.display())).unwrap();
    let signed = verify_signature(&bytes, &armored).unwrap();
    book.insert(Verified::new(Document::parse(&bytes).unwrap(), &signed, now()));
    assert_eq!(book.grants().next().unwrap().state(now()), State::Requested);
    // Under the name of anna the list does not take it either.
    let no = made(&desk, &["approve", asked.to_str().unwrap(), "--signer", "anna", "--key", "eve-cert.pub"]);
    let check = grant(&desk, &["check", "--allowed-signers", "allowed", no.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check.stdout));
}
