//! Our verdicts on lists of signers against those of the real `ssh-keygen -Y verify`, case by case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod ssh;

use jiff::tz::TimeZone;
use recorder::{
    grant::{AllowedSigners, NAMESPACE, Signed, SignerRefusal, verify_signature},
    model::RealNanos,
};

use ssh::Desk;

/// `YYYYMMDDHHMMSSZ` for us and for ssh-keygen.
fn moment(time: &str) -> RealNanos {
    let digits = time.strip_suffix('Z').unwrap();
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits).unwrap();
    let nanos = civil.to_zoned(TimeZone::UTC).unwrap().timestamp().as_nanosecond();
    RealNanos::new(u64::try_from(nanos).unwrap())
}

const NOW: &str = "20261121023100Z";

struct Bench {
    desk: Desk,
    signature: std::path::PathBuf,
    signed: Signed,
}

impl Bench {
    /// Four keys; the message is signed with the first.
    fn new() -> Self {
        Self::signed_by("k")
    }

    fn signed_by(name: &str) -> Self {
        let desk = Desk::new();
        desk.key("k", "ed25519", None);
        desk.key("o", "ed25519", None);
        desk.key("e", "ecdsa", Some(384));
        desk.key("r", "rsa", Some(2048));
        let signature = desk.put("m.sig", ssh::sign(&desk.path(name), NAMESPACE, &[], b"message"));
        let signed = verify_signature(b"message", &std::fs::read(&signature).unwrap()).unwrap();
        Self { desk, signature, signed }
    }

    fn fill(&self, list: &str) -> String {
        let mut list = list.to_owned();
        for name in ["k", "o", "e", "r"] {
            list = list.replace(&format!("{{{name}}}"), &self.desk.public(name));
        }
        list
    }

    /// Our verdict, after ssh-keygen's was found to be the same.
    fn judge(&self, list: &str, principal: &str, time: &str, zone: &str) -> Result<usize, SignerRefusal> {
        let text = self.fill(list);
        let path = self.desk.put("allowed", &text);
        let (theirs, said) = ssh::verify(&path, principal, &self.signature, time, zone, b"message");
        let signers = AllowedSigners::parse(text.as_bytes(), &TimeZone::get(zone).unwrap()).unwrap();
        let ours = signers.allows(principal, &self.signed, NAMESPACE, moment(time));
        assert_eq!(
            ours.is_ok(),
            theirs,
            "{list:?} for {principal:?} at {time} in {zone}: ours {ours:?} {:?}, theirs: {said}",
            signers.faults()
        );
        ours
    }
}

fn word(verdict: &Result<usize, SignerRefusal>) -> String {
    match verdict {
        Ok(line) => format!("line {line}"),
        Err(SignerRefusal::UnknownSigner) => "signer".into(),
        Err(SignerRefusal::UnknownKey) => "key".into(),
        Err(SignerRefusal::Authority { .. }) => "authority".into(),
        Err(SignerRefusal::Certificate { .. }) => "certificate".into(),
        Err(SignerRefusal::Namespace { .. }) => "namespace".into(),
        Err(SignerRefusal::Early { .. }) => "early".into(),
        Err(SignerRefusal::Late { .. }) => "late".into(),
    }
}

/// List, principal, our verdict.
const CASES: &[(&str, &str, &str)] = &[
    ("alice {k}", "alice", "line 1"),
    ("alice {k}\n", "alice", "line 1"),
    ("alice {k}\r\n", "alice", "line 1"),
    ("alice {k} comment with blanks\n", "alice", "line 1"),
    ("  \talice\t {k}\n", "alice", "line 1"),
    ("alice {o}\n", "alice", "key"),
    ("bob {k}\n", "alice", "signer"),
    ("", "alice", "signer"),
    ("\n\n# alice {k}\n  # x\n", "alice", "signer"),
    ("#\nalice {k}\n", "alice", "line 2"),
    // Case counts in names, not in options.
    ("Alice {k}\n", "alice", "signer"),
    ("alice CERT-Authority {k}\n", "alice", "authority"),
    ("alice NameSpaces=\"recorder-grant\" {k}\n", "alice", "line 1"),
    // Lists, wildcards, negation.
    ("bob,alice {k}\n", "alice", "line 1"),
    ("bob,alice, {k}\n", "alice", "line 1"),
    ("*@example.com {k}\n", "alice@example.com", "line 1"),
    ("*@example.com {k}\n", "alice@example.org", "signer"),
    ("al?ce {k}\n", "alice", "line 1"),
    ("?lice {k}\n", "lice", "signer"),
    ("* {k}\n", "alice", "line 1"),
    ("!alice,* {k}\n", "alice", "signer"),
    ("*,!alice {k}\n", "alice", "signer"),
    ("!bob,* {k}\n", "alice", "line 1"),
    ("!bob {k}\n", "alice", "signer"),
    ("!!alice,* {k}\n", "alice", "line 1"),
    ("*,!alice {k}\nalice {k}\n", "alice", "line 2"),
    ("[a-z]lice {k}\n", "alice", "signer"),
    // Quotes.
    ("\"alice smith\" {k}\n", "alice smith", "line 1"),
    ("\"alice smith,bob\" {k}\n", "bob", "line 1"),
    ("\"alice smith {k}\n", "alice smith", "signer"),
    ("ali\"ce\" {k}\n", "alice", "line 1"),
    ("\"alice\"{k}\n", "alice", "line 1"),
    ("\"\" {k}\n", "alice", "signer"),
    // Namespaces.
    ("alice namespaces=\"recorder-grant\" {k}\n", "alice", "line 1"),
    ("alice namespaces=\"file,recorder-grant\" {k}\n", "alice", "line 1"),
    ("alice namespaces=\"recorder-*\" {k}\n", "alice", "line 1"),
    ("alice namespaces=\"file\" {k}\n", "alice", "namespace"),
    ("alice namespaces=\"*,!recorder-grant\" {k}\n", "alice", "namespace"),
    ("alice namespaces=\"\" {k}\n", "alice", "namespace"),
    ("alice namespaces=\"RECORDER-GRANT\" {k}\n", "alice", "namespace"),
    ("alice namespaces=\"file, recorder-grant\" {k}\n", "alice", "namespace"),
    ("alice namespaces=\"a \\\"b\\\",recorder-grant\" {k}\n", "alice", "line 1"),
    ("alice namespaces=\"file\" {k}\nalice {k}\n", "alice", "line 2"),
    ("alice namespaces=\"file\",namespaces=\"recorder-grant\" {k}\n", "alice", "signer"),
    ("alice namespaces=recorder-grant {k}\n", "alice", "signer"),
    ("alice namespaces=\"recorder-grant {k}\n", "alice", "signer"),
    ("alice namespaces= \"recorder-grant\" {k}\n", "alice", "signer"),
    ("alice namespaces {k}\n", "alice", "signer"),
    // Certificate authorities.
    ("alice cert-authority {k}\n", "alice", "authority"),
    ("alice cert-authority,namespaces=\"recorder-grant\" {k}\n", "alice", "authority"),
    ("alice cert-authority {k}\nalice {k}\n", "alice", "line 2"),
    ("alice cert-authority {o}\n", "alice", "key"),
    ("alice no-cert-authority {k}\n", "alice", "signer"),
    ("alice cert-authorityx {k}\n", "alice", "signer"),
    // Options that make no sense spoil their line only.
    ("alice restrict {k}\n", "alice", "signer"),
    ("alice namespaces=\"recorder-grant\",x {k}\n", "alice", "signer"),
    ("alice namespaces=\"recorder-grant\", {k}\n", "alice", "signer"),
    ("alice ,namespaces=\"recorder-grant\" {k}\n", "alice", "line 1"),
    ("alice ,,cert-authority {k}\n", "alice", "authority"),
    ("alice namespaces=\"recorder-grant\"namespaces=\"x\" {k}\n", "alice", "signer"),
    ("alice restrict {k}\nalice {k}\n", "alice", "line 2"),
    // Keys.
    ("alice\n", "alice", "signer"),
    ("alice \n", "alice", "signer"),
    ("alice ssh-ed25519\n", "alice", "signer"),
    ("alice ssh-ed25519 AAAA\nalice {k}\n", "alice", "line 2"),
    ("alice ssh-ed25519 !!!! {k}\nalice {o}\n", "alice", "key"),
    ("alice ssh-rsa {k}\n", "alice", "signer"),
    ("alice {o}\nalice {e}\nalice {r}\nalice {k}\n", "alice", "line 4"),
    ("alice {o} {k}\n", "alice", "key"),
    ("alice {k} {o}\n", "alice", "line 1"),
    // A NUL ends the line.
    ("alice {k}\0 x\n", "alice", "line 1"),
    ("alice\0 {k}\nalice {k}\n", "alice", "line 2"),
    // Times in options.
    ("alice valid-after=\"20260101Z\",valid-before=\"20270101Z\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"20270101Z\" {k}\n", "alice", "early"),
    ("alice valid-before=\"20260101Z\" {k}\n", "alice", "late"),
    ("alice valid-before=\"20260101Z\" {k}\nalice valid-after=\"20260101Z\" {k}\n", "alice", "line 2"),
    ("alice valid-after=\"20270101Z\",valid-before=\"20260101Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"20260101Z\",valid-before=\"20260101Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"20260101Z\",valid-after=\"20260101Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"soon\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"\" {k}\n", "alice", "signer"),
    ("alice valid-after=20260101Z {k}\n", "alice", "signer"),
    ("alice valid-after=\"2026-01-01\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"19700101Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"20260231Z\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"20260132Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"2026 1 1Z\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"202601012360Z\" {k}\n", "alice", "signer"),
    ("alice valid-after=\"20260101235961Z\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"20260101z\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"20260101utc\" {k}\n", "alice", "line 1"),
    ("alice valid-after=\"20260101 Z\" {k}\n", "alice", "signer"),
];

#[test]
fn every_verdict_is_ssh_keygens() {
    let bench = Bench::new();
    for (list, principal, expected) in CASES {
        assert_eq!(word(&bench.judge(list, principal, NOW, "UTC")), *expected, "{list:?} for {principal}");
    }
}

#[test]
fn other_kinds_of_keys_are_found_under_their_names() {
    let bench = Bench::signed_by("e");
    let blob = bench.desk.public("e").split_once(' ').unwrap().1.to_owned();
    assert_eq!(word(&bench.judge("alice {e}\n", "alice", NOW, "UTC")), "line 1");
    assert!(bench.judge(&format!("alice ecdsa-sha2-nistp256 {blob}\n"), "alice", NOW, "UTC").is_err());
    assert!(bench.judge(&format!("alice ssh-ed25519 {blob}\n"), "alice", NOW, "UTC").is_err());

    let bench = Bench::signed_by("r");
    let blob = bench.desk.public("r").split_once(' ').unwrap().1.to_owned();
    for (kind, expected) in
        [("ssh-rsa", true), ("rsa-sha2-256", true), ("rsa-sha2-512", true), ("rsa", false)]
    {
        let verdict = bench.judge(&format!("alice {kind} {blob}\n"), "alice", NOW, "UTC");
        assert_eq!(verdict.is_ok(), expected, "{kind}");
    }
}

#[test]
fn borders_are_ssh_keygens_to_the_second() {
    let bench = Bench::new();
    let list = "alice valid-after=\"20261121023100Z\",valid-before=\"202611210432Z\" {k}\n";
    for (time, expected) in [
        ("20261121023059Z", "early"),
        ("20261121023100Z", "line 1"),
        ("20261121023101Z", "line 1"),
        ("20261121043159Z", "line 1"),
        ("20261121043200Z", "line 1"),
        ("20261121043201Z", "late"),
    ] {
        assert_eq!(word(&bench.judge(list, "alice", time, "UTC")), expected, "{time}");
    }
}

#[test]
fn times_without_z_are_local_as_ssh_keygen_has_it() {
    let bench = Bench::new();
    for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
        for local in
            ["202601150000", "202607150000", "202603290230", "202610250230", "20260401", "20261004013000"]
        {
            let list = format!("alice valid-after=\"{local}\" {{k}}\n");
            let signers =
                AllowedSigners::parse(bench.fill(&list).as_bytes(), &TimeZone::get(zone).unwrap()).unwrap();
            let long_ago = RealNanos::new(1);
            let refusal = signers.allows("alice", &bench.signed, NAMESPACE, long_ago);
            let Err(SignerRefusal::Early { from, .. }) = refusal else {
                panic!("{list} {zone}: {refusal:?}")
            };
            for (shift, allowed) in [(-1i64, false), (0, true)] {
                let second = i64::try_from(from.get() / 1_000_000_000).unwrap() + shift;
                let time =
                    jiff::Timestamp::from_second(second).unwrap().strftime("%Y%m%d%H%M%SZ").to_string();
                assert_eq!(bench.judge(&list, "alice", &time, zone).is_ok(), allowed, "{list} {zone} {time}");
            }
        }
    }
}

/// Lines put together at random, so that the table's author isn't the only one with ideas.
#[test]
fn random_lines_get_ssh_keygens_verdict() {
    const WHO: &[&str] =
        &["alice", "al*", "!alice", "*", "?????", "\"alice\"", "a\"lice", "bob", "", "#alice", "!b*"];
    const OPTIONS: &[&str] = &[
        "cert-authority",
        "namespaces=\"recorder-grant\"",
        "namespaces=\"*\"",
        "namespaces=\"!x,*\"",
        "namespaces=\"y\"",
        "valid-after=\"20260101\"",
        "valid-after=\"209901010000Z\"",
        "valid-before=\"20990101Z\"",
        "valid-before=\"2020\"",
        "verbose",
        "\"",
        "\\\"",
        "a b",
        "=",
    ];
    const KEYS: &[&str] =
        &["{k}", "{k}", "{k}", "{k}", "{o}", "{e}", "ssh-ed25519", "AAAA", "{k} {o}", "rsa-sha2-512 x"];
    const BLANKS: &[&str] = &[" ", " ", " ", "\t", "  ", " \t ", ""];
    let bench = Bench::new();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % n
    };
    let mut allowed = 0;
    for _ in 0..600 {
        let mut list = String::new();
        for _ in 0..=next(2) {
            let who: Vec<_> = (0..=next(2)).map(|_| WHO[next(WHO.len())]).collect();
            list += &who.join(",");
            list += BLANKS[next(BLANKS.len())];
            let options: Vec<_> = (0..next(4)).map(|_| OPTIONS[next(OPTIONS.len())]).collect();
            list += &options.join(",");
            if !options.is_empty() {
                list += BLANKS[next(BLANKS.len())];
            }
            list += KEYS[next(KEYS.len())];
            list += ["\n", "\n", " c\n", "\r\n"][next(4)];
        }
        allowed += usize::from(bench.judge(&list, "alice", NOW, "UTC").is_ok());
    }
    assert!((60..540).contains(&allowed), "{allowed} of 600 are allowed: the pieces are badly chosen");
}
