//! Tokens: issued by the real binary with real keys, used once, by one person, on one host, in time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod ssh;

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::tz::TimeZone;
use recorder::{
    grant::{
        AllowedSigners, Book, Document, MAX_TOKEN, NAMESPACE, Policy, Statement, TokenParts, TokenRefusal,
        Tokens, Verified, see_token, use_token, verify_signature,
    },
    model::{RealNanos, TokenAct},
};
use ssh::{Desk, grant, made, text};

const SECOND: u64 = 1_000_000_000;
const POLICY: &str = "[[approve]]\napprovers = [\"bob\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\ntoken = true\n\
    [[token]]\nissuers = [\"desk\"]\npersons = [\"alice\"]\n";

struct Scene {
    desk: Desk,
    signers: AllowedSigners,
    book: Book,
    request: String,
    now: RealNanos,
}

fn verified(desk: &Desk, path: &Path, signers: &AllowedSigners, at: RealNanos) -> Verified {
    let bytes = fs::read(desk.path("").join(path)).unwrap();
    let armored = fs::read(format!("{}.sig", path.display())).unwrap();
    let document = Document::parse(&bytes).unwrap();
    let signed = verify_signature(&bytes, &armored).unwrap();
    signers.allows(&document.signer, &signed, NAMESPACE, at).unwrap();
    Verified::new(document, &signed, at)
}

impl Scene {
    /// Alice's request, approved by Bob, on web-1.
    fn new() -> Self {
        let desk = Desk::new();
        for name in ["alice", "bob", "desk", "eve"] {
            desk.key(name, "ed25519", None);
        }
        let list: Vec<_> =
            ["alice", "bob", "desk", "eve"].iter().map(|n| format!("{n} {}\n", desk.public(n))).collect();
        let path = desk.put("allowed", list.concat());
        let signers = AllowedSigners::parse(&fs::read(path).unwrap(), &TimeZone::UTC).unwrap();
        let asked = made(
            &desk,
            &[
                "request",
                "--signer",
                "alice",
                "--key",
                "alice",
                "--host",
                "web-*",
                "--for",
                "2h",
                "--privilege",
                "root",
                "--reason",
                "disk full",
            ],
        );
        let name = asked.to_str().unwrap();
        let yes = made(&desk, &["approve", name, "--signer", "bob", "--key", "bob"]);
        let now = jiff::Timestamp::now().as_nanosecond();
        let now = RealNanos::new(u64::try_from(now).unwrap());
        let mut book = Book::new(Policy::parse(POLICY).unwrap(), "web-1");
        book.insert(verified(&desk, &asked, &signers, now));
        book.insert(verified(&desk, &yes, &signers, now));
        let one = book.grants().next().unwrap();
        assert!(one.token && one.approvals == ["bob"]);
        let request = one.id.to_string();
        // Tokens are issued by the clock; half a minute later all of them have begun.
        let now = RealNanos::new(now.get() + 30 * SECOND);
        Self { desk, signers, book, request, now }
    }

    fn issue(&self, by: &str, more: &[&str]) -> String {
        let mut args = vec!["issue-token", &self.request, "--signer", by, "--key", by];
        for (flag, default) in [("--person", "alice"), ("--host", "web-1")] {
            if !more.contains(&flag) {
                args.extend([flag, default]);
            }
        }
        let output = grant(&self.desk, &[&args[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let line = text(&output.stdout);
        assert_eq!(line.lines().count(), 1);
        line.trim().to_owned()
    }

    fn used(
        &self,
        tokens: &mut Tokens,
        token: &str,
        person: &str,
        seconds: i64,
    ) -> Result<String, &'static str> {
        let now = RealNanos::new(self.now.get().saturating_add_signed(seconds * 1_000_000_000));
        let (outcome, record) = use_token(&self.book, &self.signers, tokens, token, person, now);
        assert_eq!(record.received, now);
        assert_eq!(record.act, if outcome.is_ok() { TokenAct::Used } else { TokenAct::Refused });
        if let Err(why) = &outcome {
            assert!(record.text.escaped().starts_with(why.name()));
        }
        outcome.map(|id| id.to_string()).map_err(|why| why.name())
    }
}

#[test]
fn h13_a_token_is_used_once_and_a_restart_remembers() {
    let scene = Scene::new();
    let token = scene.issue("bob", &[]);
    assert!(token.starts_with("rt1.") && token.len() < 1200, "{} bytes", token.len());
    let mut tokens = Tokens::default();
    let (outcome, record) = use_token(&scene.book, &scene.signers, &mut tokens, &token, "alice", scene.now);
    assert_eq!(outcome.unwrap().to_string(), scene.request);
    assert_eq!(scene.used(&mut tokens, &token, "alice", 1), Err("spent"));
    // What the record keeps is enough for anybody to check it again.
    let signed = verify_signature(record.bytes.as_slice(), record.signature.as_slice()).unwrap();
    assert_eq!(signed.key.fingerprint().as_bytes(), record.key.as_slice());
    let path = scene.desk.put("t.sig", record.signature.as_slice());
    let (good, said) =
        ssh::verify(&scene.desk.path("allowed"), "bob", &path, "20261121Z", "UTC", record.bytes.as_slice());
    assert!(good, "{said}");
    // After a restart there are only records.
    let mut again = Tokens::default();
    again.remember(&record);
    assert_eq!(scene.used(&mut again, &token, "alice", 1), Err("spent"));
    // A second one is another one, also by who may issue without having approved.
    assert!(scene.used(&mut again, &scene.issue("bob", &[]), "alice", 1).is_ok());
    assert!(scene.used(&mut again, &scene.issue("desk", &[]), "alice", 1).is_ok());
    // What is over is forgotten, and no token comes back by that.
    assert!(again.expire(RealNanos::new(scene.now.get() + 3600 * SECOND)).is_empty());
    assert_eq!(again, Tokens::default());
    assert_eq!(scene.used(&mut again, &token, "alice", 3600), Err("expired"));
}

#[test]
fn h13_a_token_is_bound_to_all_that_it_names() {
    let scene = Scene::new();
    let mut tokens = Tokens::default();
    let mut of = |by: &str, more: &[&str], person: &str, seconds: i64| {
        scene.used(&mut tokens, &scene.issue(by, more), person, seconds).unwrap_err()
    };
    assert_eq!(of("bob", &[], "carl", 0), "wrong_person");
    assert_eq!(of("bob", &["--person", "carl"], "alice", 0), "wrong_person");
    assert_eq!(of("bob", &["--person", "carl"], "carl", 0), "wrong_person");
    assert_eq!(of("bob", &["--host", "web-2"], "alice", 0), "wrong_host");
    assert_eq!(of("bob", &["--for", "16m"], "alice", 0), "too_long");
    assert_eq!(of("bob", &[], "alice", -60), "early");
    assert_eq!(of("bob", &[], "alice", 16 * 60), "expired");
    assert_eq!(of("eve", &[], "alice", 0), "unknown_issuer");
    let other = Scene { request: "0".repeat(64), ..Scene::new() };
    assert_eq!(
        other.used(&mut Tokens::default(), &other.issue("bob", &[]), "alice", 0),
        Err("no_such_grant")
    );

    // The host ignores case, as everywhere.
    assert!(
        scene.used(&mut Tokens::default(), &scene.issue("bob", &["--host", "WEB-1"]), "alice", 0).is_ok()
    );
    // Whose key left the list can't issue any more.
    let gone = Scene { signers: AllowedSigners::default(), ..Scene::new() };
    assert_eq!(gone.used(&mut Tokens::default(), &gone.issue("bob", &[]), "alice", 0), Err("unknown_issuer"));
    // A grant that is over gives nothing.
    let revoked = Scene::new();
    let no = made(
        &revoked.desk,
        &["revoke", &revoked.request, "--reason", "done", "--signer", "bob", "--key", "bob"],
    );
    let mut book = revoked.book.clone();
    let later = RealNanos::new(revoked.now.get() + SECOND);
    book.insert(verified(&revoked.desk, &no, &revoked.signers, later));
    let revoked = Scene { book, ..revoked };
    let token = revoked.issue("bob", &[]);
    let refused = revoked.used(&mut Tokens::default(), &token, "alice", 2);
    assert_eq!(refused, Err("not_active"));
    // Nobody issues to himself, by the command or by hand.
    let own = grant(
        &scene.desk,
        &[
            "issue-token",
            &scene.request,
            "--person",
            "alice",
            "--host",
            "web-1",
            "--signer",
            "alice",
            "--key",
            "alice",
        ],
    );
    assert_eq!(own.status.code(), Some(64), "{}", text(&own.stderr));
    let by_bob = TokenParts::parse(&scene.issue("bob", &[])).unwrap();
    let by_hand =
        String::from_utf8(by_bob.document).unwrap().replace("signer = \"bob\"", "signer = \"alice\"");
    let armored = ssh::sign(&scene.desk.path("alice"), NAMESPACE, &[], by_hand.as_bytes());
    let token = TokenParts::new(by_hand.as_bytes(), &armored).unwrap().text();
    assert_eq!(scene.used(&mut Tokens::default(), &token, "alice", 0), Err("his_own"));
}

#[test]
fn h13_what_is_no_token_or_was_changed_is_refused() {
    let scene = Scene::new();
    let token = scene.issue("bob", &[]);
    let mut tokens = Tokens::default();
    for wrong in [
        "",
        "rt1.",
        "rt1.AAAA",
        "rt2.AAAA",
        "rt1.!",
        &format!("{token}="),
        &format!(" {token}"),
        &"r".repeat(MAX_TOKEN + 1),
    ] {
        assert_eq!(scene.used(&mut tokens, wrong, "alice", 0), Err("malformed"), "{wrong}");
    }
    let raw = URL_SAFE_NO_PAD.decode(token.strip_prefix("rt1.").unwrap()).unwrap();
    for at in 0..raw.len() {
        let mut edited = raw.clone();
        edited[at] ^= 1;
        let text = format!("rt1.{}", URL_SAFE_NO_PAD.encode(edited));
        let refused = scene.used(&mut tokens, &text, "alice", 0).unwrap_err();
        assert!(matches!(refused, "malformed" | "bad_signature"), "byte {at}: {refused}");
    }
    assert_eq!(tokens, Tokens::default());
    // The text has one form.
    assert_eq!(TokenParts::parse(&token).unwrap().text(), token);
    // A signed document of another kind is none, and a token is no document to be filed.
    let note = made(&scene.desk, &["note", "--incident", "jira:1", "--signer", "bob", "--key", "bob"]);
    let armored = fs::read(format!("{}.sig", note.display())).unwrap();
    let other = TokenParts::new(&fs::read(&note).unwrap(), &armored).unwrap().text();
    assert_eq!(scene.used(&mut tokens, &other, "alice", 0), Err("malformed"));
    let parts = TokenParts::parse(&token).unwrap();
    let document = Document::parse(&parts.document).unwrap();
    assert!(matches!(document.statement, Statement::Token(_)));
    let mut book = scene.book.clone();
    let verdict = book.insert(Verified::new(document, &parts.verify().unwrap(), scene.now));
    assert!(format!("{verdict:?}").contains("Misplaced"), "{verdict:?}");
    assert_eq!(book.grants().next(), scene.book.grants().next());
}

#[test]
fn a_token_that_was_seen_and_never_used_expires() {
    let scene = Scene::new();
    let mut tokens = Tokens::default();
    let (first, second) = (scene.issue("bob", &[]), scene.issue("bob", &[]));
    for token in [&first, &second] {
        assert_eq!(
            see_token(&scene.book, &scene.signers, &mut tokens, token, scene.now).unwrap().act,
            TokenAct::Seen
        );
    }
    assert!(matches!(
        see_token(&scene.book, &scene.signers, &mut tokens, "rt1.", scene.now),
        Err(TokenRefusal::Malformed(_))
    ));
    for (by, why) in [("eve", "unknown_issuer"), ("alice", "his_own")] {
        let parts = TokenParts::parse(&first).unwrap();
        let text = String::from_utf8(parts.document).unwrap();
        let text = text.replace("signer = \"bob\"", &format!("signer = \"{by}\""));
        let armored = ssh::sign(&scene.desk.path(by), NAMESPACE, &[], text.as_bytes());
        let token = TokenParts::new(text.as_bytes(), &armored).unwrap().text();
        let refused = see_token(&scene.book, &scene.signers, &mut tokens, &token, scene.now).unwrap_err();
        assert_eq!(refused.name(), why);
    }
    scene.used(&mut tokens, &first, "alice", 1).unwrap();
    assert!(tokens.expire(scene.now).is_empty());
    let over = tokens.expire(RealNanos::new(scene.now.get() + 3600 * SECOND));
    assert_eq!(over.len(), 1);
    assert_eq!((over[0].act, over[0].person.escaped().as_str()), (TokenAct::Expired, "alice"));
    assert!(tokens.expire(RealNanos::new(scene.now.get() + 7200 * SECOND)).is_empty());
}

#[test]
fn check_and_show_take_a_token_as_it_is() {
    let scene = Scene::new();
    let token = scene.issue("bob", &[]);
    let check = grant(&scene.desk, &["check", &token, "--allowed-signers", "allowed"]);
    let said = text(&check.stdout);
    assert_eq!((check.status.code(), said.contains("good     token")), (Some(0), true), "{said}");
    let shown = grant(&scene.desk, &["show", &token, "--allowed-signers", "allowed"]);
    let said = text(&shown.stdout);
    assert!(shown.status.success() && said.contains("host        web-1"), "{said}");
    let check = grant(&scene.desk, &["check", "rt1.AAAA", "--allowed-signers", "allowed"]);
    assert_eq!((check.status.code(), text(&check.stdout).contains("REFUSED")), (Some(1), true));
    // From the request's file the person is known.
    let path = fs::read_dir(scene.desk.path("")).unwrap().map(|e| e.unwrap().path());
    let file = path.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    let file = file.into_iter().find(|p| p.to_str().unwrap().contains("request-")).unwrap();
    let args = ["issue-token", file.to_str().unwrap(), "--host", "web-1", "--signer", "bob", "--key", "bob"];
    let output = grant(&scene.desk, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(scene.used(&mut Tokens::default(), text(&output.stdout).trim(), "alice", 1).is_ok());
    let missing = grant(&scene.desk, &["issue-token", &scene.request]);
    assert!(
        text(&missing.stderr).contains("--person, --host, --signer, --key missing"),
        "{}",
        text(&missing.stderr)
    );
}
