//! Grants that nobody here approved by a signature: by a certificate authority, by another system.

use super::*;
use crate::grant::{Certificate, Certified, Import, State, Verdict, Voucher, book::Refusal};

/// By `ssh-keygen -s ca -I anna@ca -n anna,anna2 -z 7 -V 20261121000000:20261121080000 -O extension:grant-id@recorder=CHG-1`.
const CERTIFICATE: &str = include_str!("anna-cert.pub");
/// 2026-11-21T00:00:00Z.
const MIDNIGHT: u64 = 1_795_219_200_000_000_000;

fn certificate() -> Certificate {
    Certificate::from_openssh(CERTIFICATE).unwrap()
}

fn certified(person: &str) -> Statement {
    let request = Request {
        window: Window { from: real(MIDNIGHT), until: real(MIDNIGHT + 8 * HOUR) },
        ..request(person, 0, 0)
    };
    Statement::Certificate(Box::new(Certified { request, certificate: certificate() }))
}

const HOUR: u64 = 3600 * 1_000_000_000;

fn imported(person: &str, approvers: &[&str]) -> Statement {
    Statement::Import(Box::new(Import {
        request: request(person, 0, 60),
        system: "teleport".into(),
        external_id: "0b3c".into(),
        approvers: approvers.iter().map(|a| (*a).to_owned()).collect(),
        source: Digest::new([9; 32]),
    }))
}

fn book(policy: &str, documents: impl IntoIterator<Item = Verified>) -> Book {
    let mut book = Book::new(Policy::parse(policy).unwrap(), "web-1");
    documents.into_iter().for_each(|document| _ = book.insert(document));
    book
}

fn authority(rule: &str) -> String {
    format!(
        "[[certificate]]\nauthorities = [\"{}\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n{rule}",
        certificate().authority().fingerprint()
    )
}

fn verdict(policy: &str, one: Verified) -> (Verdict, Option<Voucher>, Option<State>) {
    let (id, now) = (one.document.id, one.received);
    let book = book(policy, [one]);
    let grant = book.grant(&id);
    (book.verdict(&id), grant.and_then(|g| g.voucher.clone()), grant.map(|g| g.state(now)))
}

#[test]
fn a_certificate_is_read_as_it_was_made() {
    let found = certificate();
    assert_eq!((found.key_id(), found.serial(), found.is_for_user()), ("anna@ca", 7, true));
    assert_eq!(found.principals(), ["anna", "anna2"]);
    assert_eq!(
        (found.valid_after(), found.valid_before()),
        (MIDNIGHT / 1_000_000_000, MIDNIGHT / 1_000_000_000 + 8 * 3600)
    );
    assert_eq!(found.extension("grant-id@recorder"), Some("CHG-1"));
    assert_eq!(found.extension("permit-pty"), None);
    let (document, bytes) = Document::write("imp", real(0), Nonce::new([1; 16]), &certified("anna")).unwrap();
    assert_eq!(document.statement, certified("anna"));
    // The window is the certificate's, so nobody writes another.
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        ("reason =", "until = \"2027-01-01T00:00:00Z\"\nreason ="),
        ("-cert-v01@openssh.com AAAA", "-cert-v01@openssh.com  AAAA"),
        ("cert-v01@openssh.com AAAAI", "cert-v01@openssh.com AAAAJ"),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(Document::parse(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn h11_an_authority_of_the_policy_approves_and_another_one_asks() {
    let one = || signed(1, "imp", MIDNIGHT + 1, certified("anna"));
    let voucher = Voucher::Authority(certificate().authority().fingerprint());
    assert_eq!(verdict(&authority(""), one()), (Verdict::Counts, Some(voucher), Some(State::Active)));
    let nobody = "[[certificate]]\nauthorities = [\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";
    let refused = Some(State::Refused(Refusal::NoRule));
    for policy in [
        nobody.to_owned(),
        authority("hosts = [\"db-*\"]\n"),
        authority("incidents = [\"jira\"]\n"),
        authority("").replace("[\"root\"]", "[\"user:*\"]"),
        authority("").replace("persons = [\"*\"]", "persons = [\"bert\"]"),
    ] {
        assert_eq!(verdict(&policy, one()), (Verdict::Refused(Refusal::NoRule), None, refused), "{policy}");
    }
    // As a request it waits for people.
    let both =
        format!("{nobody}[[approve]]\napprovers = [\"lead\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n");
    assert_eq!(verdict(&both, one()), (Verdict::Counts, None, Some(State::Requested)));
    // Nothing before its receipt, nothing behind its end.
    let book = book(&authority(""), [one()]);
    let grant = book.grant(&Digest::new([1; 32])).unwrap();
    assert_eq!(
        grant.effective(),
        Some(Window { from: real(MIDNIGHT + 1), until: real(MIDNIGHT + 8 * HOUR) })
    );
}

#[test]
fn h11_a_certificate_is_for_its_own_person() {
    let refused = |policy: &str, person| {
        matches!(
            verdict(policy, signed(1, "imp", MIDNIGHT, certified(person))).0,
            Verdict::Refused(Refusal::OtherPerson)
        )
    };
    let plain = authority("");
    assert!(!refused(&plain, "anna") && !refused(&plain, "anna2"));
    assert!(refused(&plain, "bert") && refused(&plain, "anna@ca"));
    // Where the key id is somebody's, that is who it is for.
    let known = format!("{plain}[people.bert]\ncertificate_ids = [\"anna@ca\"]\n");
    assert!(!refused(&known, "bert") && refused(&known, "anna"));
}

const IMPORT: &str =
    "[[import]]\nimporters = [\"imp\"]\nsystems = [\"tele*\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";

#[test]
fn h12_what_an_importer_may_bring_in_is_approved_and_nothing_else() {
    let of = |rule: &str, importer: &str, person: &str, approvers: &[&str]| {
        verdict(
            &format!("max_window = \"1m\"\n{IMPORT}{rule}"),
            signed(1, importer, 5, imported(person, approvers)),
        )
    };
    let voucher = Voucher::System {
        system: "teleport".into(),
        external_id: "0b3c".into(),
        approvers: vec!["bert".into()],
        importer: "imp".into(),
    };
    assert_eq!(of("", "imp", "anna", &["bert"]), (Verdict::Counts, Some(voucher), Some(State::Active)));
    let refused = |(verdict, ..): (Verdict, Option<Voucher>, Option<State>)| {
        verdict == Verdict::Refused(Refusal::NoRule)
    };
    assert!(refused(of("", "eve", "anna", &["bert"])), "no importer");
    assert!(refused(of("", "imp", "imp", &["bert"])), "for himself");
    assert!(refused(of("", "imp", "anna", &[])), "nobody approved");
    assert!(refused(of("", "imp", "anna", &["anna"])), "his own approval");
    assert!(refused(of("count = 2\n", "imp", "anna", &["bert", "bert"])), "one approver twice");
    assert!(refused(of("hosts = [\"db-*\"]\n", "imp", "anna", &["bert"])), "another host");
    assert!(!refused(of("count = 2\n", "imp", "anna", &["bert", "carl"])));
    assert!(!refused(of("count = 0\n", "imp", "anna", &[])));
}

#[test]
fn a_voucher_and_people_and_a_no_meet() {
    let approve = "[[approve]]\napprovers = [\"lead\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";
    let policy = format!("{IMPORT}token = true\n{approve}");
    // The import comes behind the approval.
    let brought = signed(1, "imp", 3, imported("anna", &["bert"]));
    let all = [
        Verified { key: "SHA256:second".into(), received: real(20), ..brought.clone() },
        approval(2, 1, "lead", 7),
    ];
    let book = book(&policy, all.clone());
    let grant = book.grant(&Digest::new([1; 32])).unwrap();
    assert_eq!((grant.opened, grant.token), (Some(real(20)), false));
    let grade = |documents: Vec<Verified>| {
        let book = super::vouchers::book(&policy, documents);
        book.grant(&Digest::new([1; 32])).unwrap().clone()
    };
    // An approval behind the import opens nothing that is open, but under its rule no token is needed.
    let grant = grade(vec![brought.clone(), approval(2, 1, "lead", 7)]);
    assert_eq!((grant.opened, grant.token, grant.approvals.len()), (Some(real(3)), false, 0));
    assert!(grade(vec![brought.clone()]).token);
    // The person ends it; so may the lead.
    for by in ["anna", "imp", "lead"] {
        let grant = grade(vec![brought.clone(), revocation(2, 1, by, 9)]);
        assert_eq!(grant.state(real(10)), State::Revoked, "{by}");
    }
    let grant = grade(vec![brought, revocation(2, 1, "eve", 9)]);
    assert_eq!(grant.state(real(10)), State::Active);
}

#[test]
fn a_token_is_needed_if_the_request_or_every_rule_that_holds_asks_for_it() {
    let rule = |token: &str| {
        format!("[[approve]]\napprovers = [\"lead\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n{token}")
    };
    let (plain, strict) = (rule(""), rule("token = true\n"));
    for (policy, wished, needed) in [
        (plain.clone(), false, false),
        (plain.clone(), true, true),
        (strict.clone(), false, true),
        (format!("{strict}{plain}"), false, false),
        (format!("{strict}{plain}"), true, true),
    ] {
        let asked =
            signed(1, "anna", 1, Statement::Request(Request { token: wished, ..request("anna", 0, 60) }));
        let book = book(&policy, [asked, approval(2, 1, "lead", 3)]);
        assert_eq!(book.grant(&Digest::new([1; 32])).unwrap().token, needed, "{policy}");
    }
}
