//! Our signatures against the real ssh-keygen's verdict and the other way round, with every kind of key and through an
//! agent; then the whole way request, approve, show, check with the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod ssh;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use recorder::grant::{Document, KeyError, NAMESPACE, SignatureError, verify_signature};
use ssh::{Desk, grant, made, text};

const KINDS: [(&str, &str, Option<u32>); 5] = [
    ("ed", "ed25519", None),
    ("p256", "ecdsa", Some(256)),
    ("p384", "ecdsa", Some(384)),
    ("p521", "ecdsa", Some(521)),
    ("rsa", "rsa", Some(3072)),
];

fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sig", path.display()))
}

fn request(desk: &Desk, signer: &str, key: &str) -> PathBuf {
    let args =
        ["request", "--signer", signer, "--host", "web-*,!web-9", "--for", "2h", "--privilege", "root"];
    made(desk, &[&args[..], &["--reason", "disk full", "--key", key]].concat())
}

#[test]
fn ssh_keygen_believes_what_we_sign_with_every_kind_of_key() {
    let desk = Desk::new();
    for (name, kind, bits) in KINDS {
        desk.key(name, kind, bits);
        let path = request(&desk, "alice", name);
        let list = desk.put("allowed", format!("alice namespaces=\"{NAMESPACE}\" {}\n", desk.public(name)));
        let bytes = fs::read(&path).unwrap();
        let (good, said) = ssh::verify(&list, "alice", &beside(&path), "20261121Z", "UTC", &bytes);
        assert!(good, "{kind}: {said}");
        assert_eq!(
            verify_signature(&bytes, &fs::read(beside(&path)).unwrap()).unwrap().key.to_string(),
            desk.public(name)
        );
        let id = Document::parse(&bytes).unwrap().id.to_string();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("request-{}.toml", &id[..12]));
    }
}

#[test]
fn h6_we_believe_what_ssh_keygen_signs_and_nothing_that_was_changed() {
    let desk = Desk::new();
    let document = b"some bytes\n";
    for (name, kind, bits) in KINDS {
        let key = desk.key(name, kind, bits);
        let fingerprint = Command::new("ssh-keygen").args(["-l", "-f"]).arg(&key).output().unwrap();
        for hash in ["sha256", "sha512"] {
            let signature = ssh::sign(&key, NAMESPACE, &[&format!("hashalg={hash}")], document);
            let signed = verify_signature(document, &signature).unwrap();
            assert_eq!((signed.key.to_string(), signed.hash), (desk.public(name), hash));
            assert!(text(&fingerprint.stdout).contains(&signed.key.fingerprint()));
            assert_eq!(verify_signature(b"some bytes", &signature), Err(SignatureError::Mismatch));
            assert_eq!(verify_signature(b"Some bytes\n", &signature), Err(SignatureError::Mismatch));
        }
        let signature = ssh::sign(&key, NAMESPACE, &[], document);
        for at in 0..signature.len() {
            let mut edited = signature.clone();
            edited[at] ^= 1;
            // Blanks carry nothing; everything else does.
            let blank = signature[at].is_ascii_whitespace() && edited[at].is_ascii_whitespace();
            assert!(blank || verify_signature(document, &edited).is_err(), "{kind} byte {at}");
            assert!(
                verify_signature(document, &signature[..at.saturating_sub(1)]).is_err(),
                "{kind} cut at {at}"
            );
        }
        assert!(verify_signature(document, &[&signature[..], b"x"].concat()).is_err());
    }
}

#[test]
fn other_namespaces_and_weak_keys_have_their_own_refusals_and_certificates_their_authority() {
    let desk = Desk::new();
    let key = desk.key("k", "ed25519", None);
    let other = ssh::sign(&key, "file", &[], b"x");
    assert_eq!(verify_signature(b"x", &other), Err(SignatureError::Namespace { found: "file".into() }));

    let short = desk.key("short", "rsa", Some(1024));
    let weak = verify_signature(b"x", &ssh::sign(&short, NAMESPACE, &[], b"x"));
    assert!(matches!(weak, Err(SignatureError::Key(KeyError::Weak { .. }))), "{weak:?}");

    let authority = desk.key("ca", "ed25519", None);
    let mut certify = Command::new("ssh-keygen");
    certify.args(["-q", "-I", "id", "-n", "alice", "-s"]).arg(authority).arg(desk.path("k.pub"));
    assert!(certify.status().unwrap().success());
    let signed = ssh::sign(&desk.path("k-cert.pub"), NAMESPACE, &[], b"x");
    let good = verify_signature(b"x", &signed).unwrap();
    assert_eq!(
        (good.key.to_string(), good.certificate.unwrap().authority().to_string()),
        (desk.public("k"), desk.public("ca"))
    );

    // A line with the plain key is not for the certificate, one with its authority is.
    let args = ["note", "--signer", "alice", "--incident", "jira:OPS-1", "--key", "k-cert.pub"];
    let path = made(&desk, &args);
    for (line, code, told) in [
        (format!("alice {}\n", desk.public("k")), 1, "no line for this signer with this key"),
        (format!("alice cert-authority {}\n", desk.public("ca")), 0, "id (alice) no. 0 by SHA256:"),
    ] {
        desk.put("allowed", line);
        let shown = grant(&desk, &["show", "--allowed-signers", "allowed", path.to_str().unwrap()]);
        let said = text(&shown.stdout);
        assert_eq!((shown.status.code(), said.contains(told)), (Some(code), true), "{said}");
    }
}

/// A real ssh-agent that ends with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(desk: &Desk) -> Self {
        let socket = desk.path("agent");
        let child =
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { child, socket };
        let end = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&agent.socket).is_err() {
            assert!(Instant::now() < end, "the agent does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_agent_signs_when_the_key_is_nowhere_else() {
    let desk = Desk::new();
    let agent = Agent::start(&desk);
    for (name, kind, bits) in KINDS {
        let key = desk.key(name, kind, bits);
        let added = Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket).status();
        assert!(added.unwrap().success());
        fs::remove_file(&key).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_recorder"));
        command.args(["grant", "note", "--signer", "alice", "--incident", "jira:OPS-1", "--key"]);
        command.arg(format!("{name}.pub")).current_dir(desk.path(""));
        let output = command.env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        let path = desk.path(text(&output.stdout).trim());
        let signed = verify_signature(&fs::read(&path).unwrap(), &fs::read(beside(&path)).unwrap()).unwrap();
        assert_eq!(signed.key.to_string(), desk.public(name));
    }
}

#[test]
fn request_approve_show_check() {
    let desk = Desk::new();
    for name in ["a", "b", "c"] {
        desk.key(name, "ed25519", None);
    }
    let list = format!("alice {}\nbob {}\n", desk.public("a"), desk.public("b"));
    desk.put("allowed", list);
    let asked = request(&desk, "alice", "a");
    let asked_name = asked.file_name().unwrap().to_str().unwrap().to_owned();
    let maker = ["--signer", "bob", "--key", "b"];

    // The same window again is another request.
    assert_ne!(request(&desk, "alice", "a"), asked);

    // Nobody approves his own; an unknown key's request is not approved.
    let own = grant(&desk, &["approve", &asked_name, "--signer", "alice", "--key", "a"]);
    assert_eq!((own.status.code(), text(&own.stderr).contains("another person")), (Some(64), true));
    let strange = request(&desk, "alice", "c");
    let strange = strange.file_name().unwrap().to_str().unwrap();
    let refused = grant(&desk, &[&["approve", strange, "--allowed-signers", "allowed"], &maker[..]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("no line for this signer with this key"),
        "{}",
        text(&refused.stderr)
    );

    let approval =
        made(&desk, &[&["approve", &asked_name, "--allowed-signers", "allowed"], &maker[..]].concat());
    let id = Document::parse(&fs::read(&asked).unwrap()).unwrap().id.to_string();
    let by_id = made(&desk, &[&["revoke", &id, "--reason", "done"], &maker[..]].concat());
    let more = made(&desk, &[&["extend", &asked_name, "--for", "3h"], &maker[..]].concat());
    let early = grant(&desk, &[&["extend", &asked_name, "--for", "1h"], &maker[..]].concat());
    assert_eq!(early.status.code(), Some(64), "{}", text(&early.stderr));
    let glass = made(
        &desk,
        &["break-glass", "--reason", "pager", "--host", "web-1", "--signer", "alice", "--key", "a"],
    );
    let no = made(&desk, &[&["reject", &asked_name, "--reason", "no"], &maker[..]].concat());
    let wrong = grant(&desk, &[&["approve", glass.to_str().unwrap()], &maker[..]].concat());
    assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong.stderr));

    let shown = grant(
        &desk,
        &["show", "--format", "json", "--allowed-signers", "allowed", approval.to_str().unwrap()],
    );
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((json["kind"].as_str(), json["request"].as_str()), (Some("approval"), Some(id.as_str())));
    assert_eq!(
        (json["signature"]["state"].as_str(), json["allowed"]["line"].as_u64()),
        (Some("good"), Some(2))
    );
    assert_eq!(json["signature"]["key"].as_str(), Some(desk.public("b").as_str()));
    assert!(json["good"].as_bool().unwrap());

    let paths = [&asked, &approval, &by_id, &more, &glass, &no].map(|path| path.to_str().unwrap());
    let all = grant(&desk, &[&["check", "--allowed-signers", "allowed"], &paths[..]].concat());
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stdout));
    assert_eq!(text(&all.stdout).matches("good ").count(), 6, "{}", text(&all.stdout));

    // One byte more, and the line says so.
    fs::write(&asked, [&fs::read(&asked).unwrap()[..], b"\n"].concat()).unwrap();
    let all = grant(&desk, &[&["check", "--allowed-signers", "allowed"], &paths[..]].concat());
    assert_eq!(all.status.code(), Some(1));
    assert!(
        text(&all.stdout).contains("bad signature: the signature does not match"),
        "{}",
        text(&all.stdout)
    );
    let shown = grant(&desk, &["show", &asked_name]);
    assert_eq!((shown.status.code(), text(&shown.stdout).contains("BAD")), (Some(1), true));

    // bob's key left the list before: his approval is judged at the moment that is asked for.
    desk.put("allowed", format!("bob valid-before=\"20200101Z\" {}\n", desk.public("b")));
    let late = grant(&desk, &["show", "--allowed-signers", "allowed", approval.to_str().unwrap()]);
    assert_eq!((late.status.code(), text(&late.stderr).contains("until 2020-01-01")), (Some(1), true));
    let then = ["show", "--allowed-signers", "allowed", "--at", "2019-12-31", approval.to_str().unwrap()];
    assert!(grant(&desk, &then).status.success());
}
