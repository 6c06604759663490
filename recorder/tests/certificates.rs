//! Signatures by certificates: our verdict against that of the real `ssh-keygen -Y verify`, case by case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod ssh;

use std::fs;

use jiff::tz::TimeZone;
use recorder::{
    grant::{
        AllowedSigners, Certificate, CertificateError, CertificateRefusal, NAMESPACE, SignatureError,
        SignerRefusal, verify_signature,
    },
    model::RealNanos,
};
use ssh::Desk;

const NOW: &str = "20261121023100Z";
const DAY: &str = "20261121000000:20261122000000";

fn moment(time: &str) -> RealNanos {
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", time.strip_suffix('Z').unwrap()).unwrap();
    let nanos = civil.to_zoned(TimeZone::UTC).unwrap().timestamp().as_nanosecond();
    RealNanos::new(u64::try_from(nanos).unwrap())
}

struct Bench(Desk);

impl Bench {
    /// Keys `k` (certified), `ca` and `other` (authorities).
    fn new(kind: &str, bits: Option<u32>) -> Self {
        let desk = Desk::new();
        desk.key("k", kind, bits);
        desk.key("ca", "ed25519", None);
        desk.key("other", "ed25519", None);
        Self(desk)
    }

    /// Certifies `k`; the certificate's line.
    fn certify(&self, options: &[&str]) -> String {
        ssh::certify(&self.0, "ca", "k", options)
    }

    /// Our verdict and theirs on a message that was signed with the certificate.
    fn judge(&self, list: &str, principal: &str, time: &str) -> (Result<usize, SignerRefusal>, bool, String) {
        let certificate = self.0.path("k-cert.pub");
        let armored = ssh::sign(&certificate, NAMESPACE, &[], b"message");
        let signed = verify_signature(b"message", &armored).unwrap();
        let list = list
            .replace("{ca}", &self.0.public("ca"))
            .replace("{other}", &self.0.public("other"))
            .replace("{k}", &self.0.public("k"))
            .replace("{cert}", fs::read_to_string(&certificate).unwrap().trim());
        let path = self.0.put("allowed", &list);
        let signature = self.0.put("m.sig", armored);
        let (theirs, said) = ssh::verify(&path, principal, &signature, time, "UTC", b"message");
        let signers = AllowedSigners::parse(list.as_bytes(), &TimeZone::UTC).unwrap();
        (signers.allows(principal, &signed, NAMESPACE, moment(time)), theirs, said)
    }
}

fn word(verdict: &Result<usize, SignerRefusal>) -> String {
    match verdict {
        Ok(line) => format!("line {line}"),
        Err(SignerRefusal::Certificate { why, .. }) => match why {
            CertificateRefusal::CriticalOption(name) => format!("critical {name}"),
            CertificateRefusal::Host => "host".into(),
            CertificateRefusal::NoPrincipal => "no principal".into(),
            CertificateRefusal::OtherPrincipal => "other principal".into(),
            CertificateRefusal::Early(_) => "certificate early".into(),
            CertificateRefusal::Late(_) => "certificate late".into(),
        },
        Err(SignerRefusal::UnknownSigner) => "signer".into(),
        Err(SignerRefusal::UnknownKey) => "key".into(),
        Err(SignerRefusal::Authority { .. }) => "authority".into(),
        Err(SignerRefusal::Namespace { .. }) => "namespace".into(),
        Err(SignerRefusal::Early { .. }) => "early".into(),
        Err(SignerRefusal::Late { .. }) => "late".into(),
    }
}

const USER: &[&str] = &["-n", "alice", "-V", DAY];

/// How it was certified; list, principal, time, our verdict.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str, &'static str, &'static str)]);

const CASES: &[Case] = &[
    (
        USER,
        &[
            ("alice cert-authority {ca}\n", "alice", NOW, "line 1"),
            ("* cert-authority {ca}\n", "alice", NOW, "line 1"),
            ("# none\nbob {k}\nalice cert-authority {ca}\n", "alice", NOW, "line 3"),
            ("* cert-authority {ca}\n", "bob", NOW, "other principal"),
            ("bob cert-authority {ca}\n", "alice", NOW, "signer"),
            ("bob cert-authority {ca}\n", "bob", NOW, "other principal"),
            // The authority's own key is not an authority unless the line says so.
            ("alice {ca}\n", "alice", NOW, "key"),
            ("alice cert-authority {other}\n", "alice", NOW, "key"),
            ("alice cert-authority {other}\nalice cert-authority {ca}\n", "alice", NOW, "line 2"),
            // Neither is the plain key a line for its certificate.
            ("alice {k}\n", "alice", NOW, "key"),
            ("alice cert-authority {k}\n", "alice", NOW, "key"),
            // Who lists the certificate itself gets it at any time, under any name.
            ("alice {cert}\n", "alice", NOW, "line 1"),
            ("bob {cert}\n", "bob", "20200101000000Z", "line 1"),
            ("alice cert-authority {cert}\n", "alice", NOW, "key"),
            // Options of the line.
            ("alice cert-authority,namespaces=\"recorder-grant\" {ca}\n", "alice", NOW, "line 1"),
            ("alice cert-authority,namespaces=\"file\" {ca}\n", "alice", NOW, "namespace"),
            ("alice cert-authority,valid-after=\"20270101Z\" {ca}\n", "alice", NOW, "early"),
            ("alice cert-authority,valid-before=\"20260101Z\" {ca}\n", "alice", NOW, "late"),
            ("alice cert-authority,valid-before=\"20260101Z\" {ca}\n", "bob", NOW, "signer"),
            // The certificate's own time, to the second.
            ("alice cert-authority {ca}\n", "alice", "20261120235959Z", "certificate early"),
            ("alice cert-authority {ca}\n", "alice", "20261121000000Z", "line 1"),
            ("alice cert-authority {ca}\n", "alice", "20261121235959Z", "line 1"),
            ("alice cert-authority {ca}\n", "alice", "20261122000000Z", "certificate late"),
        ],
    ),
    (
        &["-n", "bob,alice,al*"],
        &[
            ("* cert-authority {ca}\n", "alice", NOW, "line 1"),
            ("* cert-authority {ca}\n", "alan", NOW, "other principal"),
            ("* cert-authority {ca}\n", "Alice", NOW, "other principal"),
        ],
    ),
    (&["-V", DAY], &[("alice cert-authority {ca}\n", "alice", NOW, "no principal")]),
    (
        &["-h", "-n", "alice", "-V", DAY],
        &[
            ("alice cert-authority {ca}\n", "alice", NOW, "host"),
            ("alice cert-authority {ca}\n", "alice", "20300101000000Z", "host"),
            ("alice {cert}\n", "alice", NOW, "line 1"),
        ],
    ),
    (
        &["-n", "alice", "-V", "always:forever"],
        &[
            ("alice cert-authority {ca}\n", "alice", "19800101000000Z", "line 1"),
            ("alice cert-authority {ca}\n", "alice", "21050101000000Z", "line 1"),
        ],
    ),
    (
        &["-n", "alice", "-O", "clear", "-O", "extension:grant-id@recorder=CHG-1"],
        &[("alice cert-authority {ca}\n", "alice", NOW, "line 1")],
    ),
];

#[test]
fn every_verdict_on_a_certificate_is_ssh_keygens() {
    let bench = Bench::new("ed25519", None);
    for (options, cases) in CASES {
        bench.certify(options);
        for (list, principal, time, expected) in *cases {
            let (ours, theirs, said) = bench.judge(list, principal, time);
            assert_eq!(ours.is_ok(), theirs, "{options:?} {list:?} {principal} {time}: {ours:?}, {said}");
            assert_eq!(word(&ours), *expected, "{options:?} {list:?} {principal} {time}");
        }
    }
}

/// The one place where we say no and ssh-keygen says yes.
#[test]
fn a_critical_option_is_refused_though_ssh_keygen_does_not_look() {
    let bench = Bench::new("ed25519", None);
    for option in ["force-command=/bin/true", "source-address=10.0.0.0/8", "critical:x@example.com=y"] {
        bench.certify(&["-n", "alice", "-O", option]);
        for list in ["alice cert-authority {ca}\n", "alice {cert}\n"] {
            let (ours, theirs, said) = bench.judge(list, "alice", NOW);
            assert!(theirs, "{said}");
            assert!(word(&ours).starts_with("critical "), "{ours:?}");
        }
    }
}

#[test]
fn every_kind_of_key_and_authority() {
    for (kind, bits) in [
        ("ed25519", None),
        ("ecdsa", Some(256)),
        ("ecdsa", Some(384)),
        ("ecdsa", Some(521)),
        ("rsa", Some(2048)),
    ] {
        let bench = Bench::new(kind, bits);
        fs::remove_file(bench.0.path("ca")).unwrap();
        fs::remove_file(bench.0.path("ca.pub")).unwrap();
        bench.0.key("ca", kind, bits);
        let line = bench.certify(USER);
        let (ours, theirs, said) = bench.judge("alice cert-authority {ca}\n", "alice", NOW);
        assert_eq!((ours, theirs), (Ok(1), true), "{kind} {said}");
        let read = Certificate::from_openssh(&line).unwrap();
        assert!(line.starts_with(&read.to_string()));
        assert_eq!(
            (read.key().to_string(), read.authority().to_string()),
            (bench.0.public("k"), bench.0.public("ca"))
        );
        // Nothing in it can be changed.
        for at in 0..read.blob().len() {
            let mut edited = read.blob().to_vec();
            edited[at] ^= 1;
            assert!(Certificate::from_blob(&edited).is_err(), "{kind} byte {at}");
            assert!(Certificate::from_blob(&read.blob()[..at]).is_err(), "{kind} cut at {at}");
        }
        assert!(Certificate::from_blob(&[read.blob(), b"x"].concat()).is_err());
    }
}

#[test]
fn sha1_of_an_rsa_authority_and_another_keys_signature_prove_nothing() {
    let bench = Bench::new("ed25519", None);
    bench.0.key("rsa", "rsa", Some(2048));
    ssh::certify(&bench.0, "rsa", "k", &["-n", "alice", "-t", "ssh-rsa"]);
    let line = fs::read_to_string(bench.0.path("k-cert.pub")).unwrap();
    assert_eq!(Certificate::from_openssh(&line), Err(CertificateError::Unsigned));

    // The certificate of one key in front of the signature of another.
    bench.certify(USER);
    let armored = ssh::sign(&bench.0.path("k-cert.pub"), NAMESPACE, &[], b"message");
    assert_eq!(verify_signature(b"massage", &armored), Err(SignatureError::Mismatch));
    for at in 0..armored.len() {
        let mut edited = armored.clone();
        edited[at] ^= 1;
        let blank = armored[at].is_ascii_whitespace() && edited[at].is_ascii_whitespace();
        assert!(blank || verify_signature(b"message", &edited).is_err(), "byte {at}");
    }
}
