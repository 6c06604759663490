//! Documents: what is written is read back, what is wrong is refused with its key, and no bytes make a parser panic.

use insta::assert_snapshot;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::*;
use crate::model::{Digest, RealNanos};

const MADE: RealNanos = RealNanos::new(1_795_228_260_000_000_000);
const NONCE: Nonce = Nonce::new([0xab; 16]);

fn sample() -> Request {
    Request {
        person: "alice@example.com".into(),
        hosts: vec!["web-*".into(), "!web-9".into()],
        window: Window { from: MADE, until: RealNanos::new(MADE.get() + 7_200_000_000_000) },
        privileges: vec![Privilege::Root, Privilege::Command("systemctl restart *".into())],
        reason: "disk full on \"web-1\" \\ é".into(),
        incident: Some(Incident {
            system: "pagerduty".into(),
            id: "PD-4711".into(),
            url: Some("https://example.com/i/4711".into()),
        }),
        token: false,
    }
}

fn written(statement: &Statement) -> String {
    let (document, bytes) = Document::write("alice@example.com", MADE, NONCE, statement).unwrap();
    assert_eq!(&document.statement, statement);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn documents_have_one_form() {
    let request = Digest::new([0x5f; 32]);
    let answer = |reason: &str| Answer { request, reason: reason.into() };
    assert_snapshot!("request", written(&Statement::Request(sample())));
    assert_snapshot!("approval", written(&Statement::Approval(answer(""))));
    assert_snapshot!("rejection", written(&Statement::Rejection(answer("not on call"))));
    assert_snapshot!("revocation", written(&Statement::Revocation(answer("done early"))));
    assert_snapshot!(
        "extension",
        written(&Statement::Extension(Extension {
            request,
            until: RealNanos::new(MADE.get() + 1),
            reason: "still copying".into()
        }))
    );
    assert_snapshot!("break_glass", written(&Statement::BreakGlass(Request { incident: None, ..sample() })));
    assert_snapshot!(
        "note",
        written(&Statement::Note(Note {
            person: "bob".into(),
            incident: Incident { system: "jira".into(), id: "OPS-1".into(), url: None },
            text: "looked at the disks".into()
        }))
    );
    assert_snapshot!(
        "import",
        written(&Statement::Import(Box::new(Import {
            request: Request { token: true, ..sample() },
            system: "teleport".into(),
            external_id: "0190fa2c".into(),
            approvers: vec!["bob@example.com".into()],
            source: request,
        })))
    );
    assert_snapshot!(
        "token",
        written(&Statement::Token(Token {
            request,
            person: "alice@example.com".into(),
            host: "web-1".into(),
            window: Window { from: MADE, until: RealNanos::new(MADE.get() + 900_000_000_000) },
        }))
    );
    let certificate = Certificate::from_openssh(include_str!("anna-cert.pub")).unwrap();
    let seconds = |seconds: u64| RealNanos::new(seconds * 1_000_000_000);
    let window =
        Window { from: seconds(certificate.valid_after()), until: seconds(certificate.valid_before()) };
    let request = Request { window, ..sample() };
    assert_snapshot!(
        "certificate",
        written(&Statement::Certificate(Box::new(Certified { request, certificate })))
    );
}

#[test]
fn the_id_is_the_sha256_of_the_bytes() {
    use sha2::{Digest as _, Sha256};
    let text = written(&Statement::Request(sample()));
    let id = Digest::new(Sha256::digest(text.as_bytes()).into());
    assert_eq!(Document::parse(text.as_bytes()).unwrap().id, id);
    // A comment changes no word and makes another document.
    assert_ne!(Document::parse(format!("# x\n{text}").as_bytes()).unwrap().id, id);
}

/// The page is the law, so its example has to be one, byte for byte.
#[test]
fn the_documented_example_is_a_document_with_the_documented_id() {
    let page = include_str!("../../../../docs/grants.md");
    let (_, rest) = page.split_once("$ cat request-f73ccf0cbc19.toml\n").unwrap();
    let (example, _) = rest.split_once("\nAlice sends").unwrap();
    let lines: Vec<&str> = example.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let text = lines.join("\n") + "\n";
    let document = Document::parse(text.as_bytes()).unwrap();
    assert!(page.contains(&document.id.to_string()), "{}", document.id);
}

#[test]
fn what_is_wrong_is_refused_with_its_key() {
    let good = written(&Statement::Request(sample()));
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        Document::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    for (from, to, told) in [
        ("version = 1", "version = 2", "version: only 1"),
        ("version = 1", "version = \"1\"", "version: only 1"),
        ("version = 1\n", "", "version: is missing"),
        ("\"request\"", "\"wish\"", "kind: expected"),
        ("kind = \"request\"\n", "", "kind: is missing"),
        ("kind = \"request\"", "kind = 1", "kind: has to be a text"),
        ("signer = \"alice@example.com\"\n", "", "signer: is missing"),
        ("signer = \"alice@example.com\"", "signer = \"*\"", "signer: a name"),
        ("signer = \"alice@example.com\"", "signer = \"a,b\"", "signer: a name"),
        ("signer = \"alice@example.com\"", "signer = \"\"", "signer: is empty"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = 2026-11-21T02:31:00Z", "made: has to be a text"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"2026-11-21T02:31:00+00:00\"", "made: expected"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"2026-11-21 02:31:00Z\"", "made: expected"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"2026-11-21T02:31:00z\"", "made: expected"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"2026-11-21T02:31:00.Z\"", "made: expected"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"2026-12-31T23:59:60Z\"", "made: expected"),
        ("made = \"2026-11-21T02:31:00Z\"", "made = \"1969-12-31T23:59:59Z\"", "made: expected"),
        ("abababab", "ABabABab", "nonce: expected"),
        ("abababab", "abab", "nonce: expected"),
        ("until = \"2026-11-21T04:31:00Z\"", "until = \"2026-11-21T02:31:00Z\"", "until: has to be later"),
        ("[\"web-*\", \"!web-9\"]", "[]", "hosts: takes no host in"),
        ("[\"web-*\", \"!web-9\"]", "[\"!web-9\"]", "hosts: takes no host in"),
        ("[\"web-*\", \"!web-9\"]", "[\"a b\"]", "hosts: a pattern"),
        ("[\"web-*\", \"!web-9\"]", "\"web\"", "expected a sequence"),
        ("[\"root\", \"command:systemctl restart *\"]", "[]", "privileges: is empty"),
        ("\"root\"", "\"Root\"", "privileges: expected"),
        ("\"root\"", "\"user:\"", "privileges: user:"),
        ("\"root\"", "\"command: \"", "privileges: command:"),
        ("reason = \"", "reason = \"\\u001B", "reason: holds a control character"),
        ("reason = \"disk full on \\\"web-1\\\" \\\\ é\"", "reason = \" \"", "reason: is empty"),
        ("reason = \"disk full on \\\"web-1\\\" \\\\ é\"\n", "", "missing field `reason`"),
        ("reason = ", "raeson = \"x\"\nreason = ", "unknown field `raeson`"),
        ("reason = ", "kind = \"note\"\nreason = ", "line"),
        ("id = ", "url = \"ftp://x\"\nid = ", "line"),
        ("https://", "ftp://", "incident.url: has to begin"),
        ("\"pagerduty\"", "\"a:b\"", "incident.system: has to be one word"),
        ("\"PD-4711\"", "\"\"", "incident.id: is empty"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(told), "{to}: {error}");
    }
    let glass =
        good.replacen("\"request\"", "\"break_glass\"", 1).replacen("signer = \"alice", "signer = \"eve", 1);
    assert!(Document::parse(glass.as_bytes()).unwrap_err().to_string().contains("himself"));
    let rejection =
        written(&Statement::Revocation(Answer { request: Digest::new([1; 32]), reason: "x".into() }));
    let bare = rejection.replace("reason = \"x\"\n", "");
    assert!(Document::parse(bare.as_bytes()).unwrap_err().to_string().contains("reason: is empty"));
    assert!(Document::parse(rejection.replace("0101", "01-01").as_bytes()).is_err());
    assert_eq!(
        Document::parse(&vec![b'#'; MAX_DOCUMENT + 1]).unwrap_err(),
        DocumentError::TooLong { bytes: MAX_DOCUMENT + 1, most: MAX_DOCUMENT }
    );
    assert!(Document::parse(b"\xff").unwrap_err().to_string().contains("UTF-8"));
}

fn time() -> impl Strategy<Value = RealNanos> {
    prop_oneof![any::<u64>(), (0u64..18_000_000_000).prop_map(|s| s * 1_000_000_000)].prop_map(RealNanos::new)
}

fn free() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn needed() -> impl Strategy<Value = String> {
    free().prop_map(|text| format!("x{text}"))
}

fn person() -> impl Strategy<Value = String> {
    "[a-zé][a-z .@+'\\\\-]{0,20}[a-z]"
}

fn incident() -> impl Strategy<Value = Incident> {
    ("[a-z]{1,9}", needed(), proptest::option::of("https://[a-z./?=&#]{0,30}"))
        .prop_map(|(system, id, url)| Incident { system, id, url })
}

fn request() -> impl Strategy<Value = Request> {
    let privilege = prop_oneof![
        Just(Privilege::Root),
        "[a-z][a-z0-9$-]{0,9}".prop_map(Privilege::User),
        needed().prop_map(Privilege::Command)
    ];
    (
        person(),
        ("[a-z*?.-]{1,9}", proptest::collection::vec("!?[a-zA-Z0-9_*?.-]{1,9}", 0..4)),
        time(),
        1u64..1 << 60,
        proptest::collection::vec(privilege, 1..4),
        needed(),
        proptest::option::of(incident()),
    )
        .prop_map(|(person, (first, mut hosts), from, length, privileges, reason, incident)| {
            hosts.push(first);
            let from = from.get().min(u64::MAX - length);
            let window = Window { from: RealNanos::new(from), until: RealNanos::new(from + length) };
            Request { person, hosts, window, privileges, reason, incident, token: false }
        })
}

fn statement() -> impl Strategy<Value = (String, Statement)> {
    let digest = any::<[u8; 32]>().prop_map(Digest::new);
    let answer = (digest.clone(), needed()).prop_map(|(request, reason)| Answer { request, reason }).boxed();
    let made = prop_oneof![
        request().prop_map(Statement::Request),
        answer.clone().prop_map(Statement::Rejection),
        answer.prop_map(Statement::Revocation),
        (digest.clone(), free())
            .prop_map(|(request, reason)| Statement::Approval(Answer { request, reason })),
        (digest, time(), free()).prop_map(|(request, until, reason)| Statement::Extension(Extension {
            request,
            until,
            reason
        })),
        (person(), incident(), free()).prop_map(|(person, incident, text)| Statement::Note(Note {
            person,
            incident,
            text
        })),
    ];
    prop_oneof![
        (person(), made),
        request().prop_map(|request| (request.person.clone(), Statement::BreakGlass(request)))
    ]
}

/// Bytes that are nearly a document, a list or a signature.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        any::<Vec<u8>>(),
        "(version = 1\n)?kind = \"(request|note|approval)\"\n([a-z]{1,9} = [\"\\[][\\PC\n]{0,20}\n){0,6}"
            .prop_map(String::into_bytes),
        "[a-z*!\", ]{0,9} (cert-authority|namespaces=|valid-(after|before)=|[\"\\\\ ,]){0,4} ?ssh-ed25519 [A-Za-z0-9+/=]{0,80}\n?"
            .prop_map(String::into_bytes),
        "-----BEGIN SSH SIGNATURE-----\n(U1NIU0lHAAAAAQAAA)?[A-Za-z0-9+/=\n]{0,200}\n-----END SSH SIGNATURE-----\n?"
            .prop_map(String::into_bytes),
    ];
    proptest::collection::vec(pieces, 0..3).prop_map(|pieces| pieces.concat())
}

/// The wire form of a signature with strange fields, armored.
fn strange_signature() -> impl Strategy<Value = Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let field = prop_oneof![
        any::<Vec<u8>>(),
        Just(NAMESPACE.as_bytes().to_vec()),
        Just(b"sha512".to_vec()),
        Just(Vec::new()),
        ("(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256|ssh-dss|sk-ssh-ed25519@openssh.com)", any::<Vec<u8>>())
            .prop_map(|(kind, rest)| [&11u32.to_be_bytes(), kind.as_bytes(), &rest].concat()),
    ];
    (proptest::collection::vec(field, 0..7), 0u32..3, any::<bool>()).prop_map(|(fields, version, damage)| {
        let mut raw = [b"SSHSIG".as_slice(), &version.to_be_bytes()].concat();
        for field in fields {
            let len = u32::try_from(field.len()).unwrap() + u32::from(damage);
            raw.extend(len.to_be_bytes());
            raw.extend(field);
        }
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", STANDARD.encode(raw))
            .into_bytes()
    })
}

proptest! {
    #[test]
    fn a_written_document_reads_back_as_itself(
        (signer, statement) in statement(), made in time(), nonce in any::<[u8; 16]>()
    ) {
        let nonce = Nonce::new(nonce);
        let (document, bytes) = Document::write(&signer, made, nonce, &statement).unwrap();
        prop_assert_eq!(&document, &Document::parse(&bytes).unwrap());
        prop_assert_eq!((document.signer, document.made, document.nonce), (signer, made, nonce));
        prop_assert_eq!(document.statement, statement);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in nearly()) {
        let _ = Document::parse(&bytes);
        let _ = verify_signature(b"", &bytes);
        let list = AllowedSigners::parse(&bytes, &TimeZone::UTC).unwrap();
        prop_assert!(list.faults().iter().all(|fault| fault.line > 0));
    }

    #[test]
    fn no_strange_signature_is_good(armored in strange_signature()) {
        prop_assert!(verify_signature(b"", &armored).is_err());
    }
}
