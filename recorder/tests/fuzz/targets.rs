//! What is fuzzed: seeds, and what has to hold for every input.

use crate::{handover, journal, retain, seeds};
use jiff::tz::TimeZone;
use recorder::{
    grant::{
        AllowedSigners, Certificate, Document, NAMESPACE, Policy, PublicKey, Request, Signed, TokenParts,
        import, verify_signature,
    },
    model::RealNanos,
};

/// A parser and its properties.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Inputs that every run of the suite tries.
    pub(crate) share: u64,
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    pub(crate) run: fn(&[u8]) -> Result<(), String>,
}

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "documents", share: 1500, seeds: document_seeds, run: documents },
    Target { name: "policy", share: 1000, seeds: policy_seeds, run: policy },
    Target { name: "allowed-signers", share: 1500, seeds: signer_seeds, run: allowed_signers },
    Target { name: "certificates", share: 1500, seeds: certificate_seeds, run: certificates },
    Target { name: "signatures", share: 1500, seeds: signature_seeds, run: signatures },
    Target { name: "import", share: 1500, seeds: import_seeds, run: imports },
    Target { name: "tokens", share: 1500, seeds: token_seeds, run: tokens },
    Target { name: "frame", share: 500, seeds: no_seeds, run: journal::frame },
    Target { name: "record", share: 500, seeds: no_seeds, run: journal::record },
    Target { name: "seal", share: 500, seeds: no_seeds, run: journal::seal },
    Target { name: "segment", share: 100, seeds: no_seeds, run: journal::segment },
    Target { name: "note", share: 500, seeds: no_seeds, run: journal::note },
    Target { name: "stub", share: 500, seeds: seeds::stub, run: retain::stub },
    Target { name: "permit", share: 500, seeds: seeds::permit, run: retain::permit },
    Target { name: "requests", share: 1500, seeds: handover::seeds, run: handover::requests },
    Target { name: "engines", share: 1500, seeds: handover::engine_seeds, run: handover::engines },
];

/// The journal's targets have a corpus that coverage chose; it is all they begin with.
fn no_seeds() -> Vec<Vec<u8>> {
    Vec::new()
}

const CERTIFICATE: &str = include_str!("../../src/grant/tests/anna-cert.pub");
const MESSAGE: &[u8] = b"message";
const NOW: RealNanos = RealNanos::new(1_795_228_200_000_000_000);

macro_rules! files {
    ($($path:literal),* $(,)?) => { vec![$(include_bytes!($path).to_vec()),*] };
}

/// The golden documents, without what insta puts in front.
fn document_seeds() -> Vec<Vec<u8>> {
    macro_rules! golden {
        ($($kind:literal),*) => { vec![$(include_str!(
            concat!("../../src/grant/tests/snapshots/recorder__grant__tests__documents__", $kind, ".snap")
        )),*] };
    }
    let all = golden![
        "request",
        "approval",
        "rejection",
        "revocation",
        "extension",
        "break_glass",
        "note",
        "certificate",
        "import",
        "token"
    ];
    all.into_iter()
        .map(|text| format!("{}\n", text.splitn(3, "---\n").nth(2).unwrap()).into_bytes())
        .collect()
}

fn documents(input: &[u8]) -> Result<(), String> {
    let Ok(document) = Document::parse(input) else { return Ok(()) };
    // What was read can be written, and is the same when it is read again; the form that is written is its own.
    let again = Document::write(&document.signer, document.made, document.nonce, &document.statement);
    let (again, bytes) = again.map_err(|e| format!("what was read is not written: {e}"))?;
    if again.statement != document.statement || again.signer != document.signer || again.made != document.made
    {
        return Err("it reads as another document when it is written again".to_owned());
    }
    let (twice, same) = Document::write(&again.signer, again.made, again.nonce, &again.statement)
        .map_err(|e| e.to_string())?;
    if same != bytes || twice.id != again.id {
        return Err("it is written in two forms".to_owned());
    }
    Ok(())
}

fn policy_seeds() -> Vec<Vec<u8>> {
    let page = include_str!("../../../docs/grants.md");
    let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    vec![example.as_bytes().to_vec(), b"break_glass = [\"*\"]\n".to_vec()]
}

fn policy(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let Ok(policy) = Policy::parse(text) else { return Ok(()) };
    if Policy::parse(text).as_ref() != Ok(&policy) {
        return Err("it reads as another policy the second time".to_owned());
    }
    if Policy::parse(&format!("# x\n{text}")).as_ref() != Ok(&policy) {
        return Err("a comment changes it".to_owned());
    }
    // The longest window is never more than the page says.
    if policy.max_window_ns() > 31 * 86400 * 1_000_000_000 || policy.token_max_ns() > 86400 * 1_000_000_000 {
        return Err("a window without end".to_owned());
    }
    for asked in requests() {
        let rules = policy.rules_for("db-1", asked).count();
        if rules > 0 && policy == Policy::default() {
            return Err("the empty policy has rules".to_owned());
        }
        policy.may_break_glass(&asked.person);
        policy.person_of(&asked.person, None, Some(&asked.person));
    }
    Ok(())
}

fn requests() -> &'static [Request] {
    static ALL: std::sync::OnceLock<Vec<Request>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let all = document_seeds();
        let asked =
            all.iter().filter_map(|bytes| Document::parse(bytes).unwrap().statement.request().cloned());
        asked.collect()
    })
}

/// A list, its lines in all forms.
fn signer_seeds() -> Vec<Vec<u8>> {
    let certificate = certificate();
    let (key, authority) = (certificate.key(), certificate.authority());
    vec![
        format!("alice {key}\nbob namespaces=\"recorder-grant\",valid-after=\"20260101Z\" {key} comment\n")
            .into_bytes(),
        format!("*@x,!b cert-authority,valid-before=\"202711210231\" {authority}\n# x\n\n").into_bytes(),
        format!("\"anna smith\",an* {certificate}\n\"a\\\"b\" namespaces=\"a,*\" {key}\n").into_bytes(),
    ]
}

fn certificate() -> Certificate {
    Certificate::from_openssh(CERTIFICATE).unwrap()
}

fn allowed_signers(input: &[u8]) -> Result<(), String> {
    static SIGNED: std::sync::OnceLock<[Signed; 2]> = std::sync::OnceLock::new();
    let signed = SIGNED.get_or_init(|| {
        let certificate = certificate();
        let plain = Signed { key: certificate.key().clone(), certificate: None, hash: "sha512" };
        let by = Signed { certificate: Some(certificate), ..plain.clone() };
        [plain, by]
    });
    let Ok(list) = AllowedSigners::parse(input, &TimeZone::UTC) else { return Ok(()) };
    if list.faults().iter().any(|fault| fault.line == 0) {
        return Err("a fault without a line".to_owned());
    }
    for signed in signed {
        for name in ["alice", "anna", "anna smith", "", "*"] {
            let verdict = list.allows(name, signed, NAMESPACE, NOW);
            // Only the lines up to the one that allows matter; those in front allow nothing.
            let Ok(line) = verdict else { continue };
            let lines: Vec<&[u8]> = input.split_inclusive(|b| *b == b'\n').collect();
            let alone = AllowedSigners::parse(lines[line - 1], &TimeZone::UTC).unwrap();
            if alone.allows(name, signed, NAMESPACE, NOW) != Ok(1) {
                return Err(format!("line {line} allows {name:?} in the list and not alone"));
            }
            let before = AllowedSigners::parse(&lines[..line - 1].concat(), &TimeZone::UTC).unwrap();
            if before.allows(name, signed, NAMESPACE, NOW).is_ok() {
                return Err("an earlier line allows it too".to_owned());
            }
        }
    }
    Ok(())
}

fn certificate_seeds() -> Vec<Vec<u8>> {
    files![
        "../corpus/seeds/ed25519-cert.pub",
        "../corpus/seeds/ecdsa-cert.pub",
        "../corpus/seeds/rsa-cert.pub"
    ]
}

fn certificates(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let Ok(found) = Certificate::from_openssh(text) else { return Ok(()) };
    // Everything in it is signed, so what is read is one that was made, to the byte.
    let made = certificate_seeds();
    let known = |seed: &Vec<u8>| {
        Certificate::from_openssh(std::str::from_utf8(seed).unwrap()).unwrap().blob() == found.blob()
    };
    if !made.iter().any(known) {
        return Err("a certificate that nobody made".to_owned());
    }
    let again = Certificate::from_openssh(&found.to_string());
    if again.as_ref() != Ok(&found) {
        return Err("it reads as another one when it is written again".to_owned());
    }
    let key = found.key().to_string();
    if PublicKey::from_openssh(&key).as_ref() != Ok(found.key()) {
        return Err("its key has two forms".to_owned());
    }
    Ok(())
}

fn signature_seeds() -> Vec<Vec<u8>> {
    files![
        "../corpus/seeds/ed25519.sig",
        "../corpus/seeds/ecdsa.sig",
        "../corpus/seeds/rsa.sig",
        "../corpus/seeds/ed25519-cert.sig",
        "../corpus/seeds/rsa-cert.sig",
    ]
}

fn signatures(input: &[u8]) -> Result<(), String> {
    let Ok(signed) = verify_signature(MESSAGE, input) else { return Ok(()) };
    let known = |seed: &Vec<u8>| verify_signature(MESSAGE, seed).is_ok_and(|made| made == signed);
    if !signature_seeds().iter().any(known) {
        return Err("a good signature by a key that signed nothing".to_owned());
    }
    if verify_signature(b"massage", input).is_ok() {
        return Err("it is good for another message".to_owned());
    }
    Ok(())
}

/// First byte: which system. The rest: its JSON.
fn import_seeds() -> Vec<Vec<u8>> {
    let all = files![
        "../fixtures/import/teleport.json",
        "../fixtures/import/pagerduty-oncall.json",
        "../fixtures/import/pagerduty-incident.json",
        "../fixtures/import/okta.json",
        "../fixtures/import/entra.json",
        "../fixtures/import/generic.json",
    ];
    all.into_iter().zip(b"011234").map(|(json, system)| [&[*system][..], &json].concat()).collect()
}

fn imports(input: &[u8]) -> Result<(), String> {
    let Some((system, json)) = input.split_first() else { return Ok(()) };
    let system = match system % 6 {
        0 => import::System::Teleport,
        1 => import::System::Pagerduty,
        2 => import::System::Okta,
        3 => import::System::Entra,
        4 => {
            let mapping = import::Mapping::parse(include_str!("../fixtures/import/generic.toml"));
            import::System::Generic(Box::new(mapping.unwrap()))
        }
        _ => {
            // The mapping is input as well.
            let text = String::from_utf8_lossy(json);
            let Ok(mapping) = import::Mapping::parse(&text) else { return Ok(()) };
            import::System::Generic(Box::new(mapping))
        }
    };
    let hints = import::Hints { length: Some(3_600_000_000_000), ..import::Hints::default() };
    let Ok(found) = import::read(&system, json, &hints, NOW) else { return Ok(()) };
    if found.window.from >= found.window.until || found.window.until <= NOW {
        return Err("a window that is empty or over".to_owned());
    }
    if import::read(&system, json, &hints, NOW).as_ref() != Ok(&found) {
        return Err("it reads as another one the second time".to_owned());
    }
    // What is over is over at its end, for every system.
    let shift = matches!(system, import::System::Pagerduty);
    if !shift && import::read(&system, json, &import::Hints::default(), found.window.until).is_ok() {
        return Err("it is taken when it is over".to_owned());
    }
    Ok(())
}

fn token_seeds() -> Vec<Vec<u8>> {
    let tokens = include_str!("../corpus/seeds/tokens");
    tokens.lines().map(|line| line.as_bytes().to_vec()).collect()
}

fn tokens(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let Ok(parts) = TokenParts::parse(text) else { return Ok(()) };
    if parts.text() != text {
        return Err("a token with two texts".to_owned());
    }
    let Ok(signed) = parts.verify() else { return Ok(()) };
    let known = |seed: &Vec<u8>| {
        let made = TokenParts::parse(std::str::from_utf8(seed).unwrap()).unwrap();
        made.document == parts.document && made.verify().is_ok_and(|by| by == signed)
    };
    if !token_seeds().iter().any(known) {
        return Err("a signed token that nobody made".to_owned());
    }
    // The armor is what ssh-keygen would read.
    if verify_signature(&parts.document, &parts.armored()).is_err() {
        return Err("its armored signature is another one".to_owned());
    }
    Ok(())
}

type Long = (&'static str, Box<dyn Fn(usize) -> Vec<u8>>);

/// Inputs of any length, each of a form that could be read again and again.
pub(crate) fn long() -> Vec<Long> {
    let repeated =
        |head: &'static str, part: &'static str, tail: &'static str| -> Box<dyn Fn(usize) -> Vec<u8>> {
            Box::new(move |n| format!("{head}{}{tail}", part.repeat(n.div_ceil(part.len()))).into_bytes())
        };
    vec![
        ("documents", repeated("version = 1\nhosts = [", "\"*\",", "]\n")),
        ("documents", repeated("reason = \"", "\\\\", "\"\n")),
        ("documents", repeated("", "[a]\n", "")),
        ("documents", repeated("", "a.", "b = 1\n")),
        ("policy", repeated("break_glass = [", "\"!*a*\",", "]\n")),
        ("policy", repeated("", "[[approve]]\n", "")),
        ("allowed-signers", repeated("", "*a,!b,", " ssh-ed25519 AAAA\n")),
        ("allowed-signers", repeated("alice ", "namespaces=\"x\",", " ssh-ed25519 AAAA\n")),
        ("allowed-signers", repeated("", "a b\n", "")),
        ("certificates", repeated("ssh-ed25519-cert-v01@openssh.com ", "AAAA", "\n")),
        ("signatures", repeated("-----BEGIN SSH SIGNATURE-----\n", "-----END ", "\n")),
        ("import", repeated("0", "[", "")),
        ("import", repeated("0[", "{},", "{}]")),
        ("tokens", repeated("rt1.", "AAAA", "")),
    ]
}
