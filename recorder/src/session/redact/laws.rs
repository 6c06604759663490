//! What holds for any bytes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::rules;
use super::*;

/// A secret that no rule's own words can be mistaken for.
const SECRET: &str = "Zq7Zq7Zq7";

/// Words as people write them, joined in ways that they do not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "mysql",
            "-p",
            "-pX1",
            "curl",
            "-u",
            "me:pw1",
            "--password",
            "--password=pw2",
            "PASSWORD=pw3",
            "sh",
            "-c",
            "'",
            "\"",
            "\\",
            "$",
            "(",
            ")",
            "`",
            "|",
            ";",
            "&",
            "\n",
            " ",
            "\t",
            "=",
            ":",
            "://",
            "@",
            "token",
            "[redacted]",
            "Authorization: Bearer ",
            "https://a:b@c/",
            "echo",
            "chpasswd",
            "<<<",
            "-----BEGIN PRIVATE KEY-----",
            "password: |\n  x",
            "{\"secret\":\"x\"}",
            "<password>",
            ",",
            "$6$",
            "ghp_abcdefghijklmnopqrstuvwx",
            "#",
            "{",
            "}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

/// Nothing but the secrets is gone: the rest stands where the marks are put back.
fn is_told(before: &[u8], after: &[u8], taken: &[Taken]) -> bool {
    let mut at = 0;
    let mut rest = Vec::new();
    for place in taken {
        if after.get(place.offset..place.offset + MARK.len()) != Some(MARK)
            || place.offset < at
            || place.secret.is_empty()
        {
            return false;
        }
        rest.push(&after[at..place.offset]);
        at = place.offset + MARK.len();
    }
    rest.push(&after[at..]);
    // All pieces stand in the original, in this order.
    let mut from = 0;
    before.starts_with(rest[0])
        && before.ends_with(rest[rest.len() - 1])
        && rest.iter().all(|piece| {
            let found = piece.is_empty() || before[from..].windows(piece.len()).any(|w| w == *piece);
            from += before[from..]
                .windows(piece.len().max(1))
                .position(|w| w == *piece)
                .map_or(0, |p| p + piece.len());
            found
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn g7_any_bytes_are_looked_through_and_told_truly(argv in prop::collection::vec(bytes(), 0..8), text in bytes()) {
        let rules = rules();
        let argv: Vec<Bytes> = argv.into_iter().map(Bytes::from).collect();
        if let Some((out, taken)) = rules.argv(&argv) {
            prop_assert_eq!(out.len(), argv.len());
            for (index, (before, after)) in argv.iter().zip(&out).enumerate() {
                let of: Vec<Taken> = taken.iter().filter(|place| place.index == index).cloned().collect();
                prop_assert!(is_told(before.as_slice(), after.as_slice(), &of), "{:?} {:?} {:?}", before, after, of);
            }
        }
        for taken in [rules.line(&text), rules.text(&text)].into_iter().flatten() {
            prop_assert!(is_told(&text, &taken.0, &taken.1), "{:?} {:?}", text, taken);
        }
    }

    #[test]
    fn g7_what_was_taken_out_once_is_not_taken_out_again(words in prop::collection::vec(prop::sample::select(vec![
        "mysql", "-pX1", "curl", "-u", "me:pw1", "--password", "--password=pw2", "PASSWORD=pw3", "'x y'", "\"-p a\"",
        "Authorization: Bearer x1", "https://a:b@c/", "token=a&b=c", "{\"secret\":\"x\"}", "sh -c 'mysql -px'", "plain",
        "echo x | chpasswd", "ghp_abcdefghijklmnopqrstuvwx", "password: two words", "-i", "--from-literal=k=v",
    ]), 0..8)) {
        let rules = rules();
        let argv: Vec<Bytes> = words.iter().map(|word| Bytes::from(*word)).collect();
        if let Some((out, _)) = rules.argv(&argv) {
            prop_assert_eq!(rules.argv(&out), None, "{:?}", out);
        }
        for (separator, is_file) in [(" ", false), ("\n", true)] {
            let text = words.join(separator);
            let once = |text: &[u8]| if is_file { rules.text(text) } else { rules.line(text) };
            if let Some((out, _)) = once(text.as_bytes()) {
                prop_assert_eq!(once(&out), None, "{:?} {:?}", text, String::from_utf8_lossy(&out));
            }
        }
    }

    #[test]
    fn g7_a_secret_where_a_rule_finds_it_is_nowhere_else(
        before in prop::collection::vec(prop::sample::select(vec!["sudo", "-n", "env", "A=1", "nice", "x y", "\u{fe}"]), 0..4),
        form in prop::sample::select(vec![
            ("mysql", "-p#"), ("x", "--password=#"), ("x", "PASSWORD=#"), ("curl", "-ume:#"), ("x", "https://u:#@h/"),
            ("x", "Authorization: Bearer #"), ("x", "{\"token\": \"#\"}"), ("sh", "mysql -p'#' -e x"),
            ("sh", "A=1 DB_PASS=\"#\" run"), ("sh", "ssh h \"sh -c 'mysql -p#'\""), ("x", "a=b&secret=#&c=d"),
        ]),
        after in prop::collection::vec(prop::sample::select(vec!["db", "-v", "--all", "x=y"]), 0..3),
    ) {
        let with = form.1.replace('#', SECRET);
        let words: Vec<Bytes> =
            before.iter().copied().chain([form.0, with.as_str()]).chain(after.iter().copied()).map(Bytes::from).collect();
        let (out, taken) = rules().argv(&words).ok_or_else(|| TestCaseError::fail(format!("{words:?}")))?;
        prop_assert!(!out.iter().any(|word| word.escaped().contains(SECRET)), "{:?}", out);
        prop_assert!(taken.iter().any(|place| place.secret == SECRET.as_bytes()), "{:?}", taken);
    }
}

#[test]
fn g7_the_longest_vectors_take_bounded_time() {
    const LEN: usize = 132 << 10;
    let rules = rules();
    for unit in [
        "x_key=",
        "token=id=",
        "apikey=/",
        "a ",
        "pw=x",
        "'",
        "\"\\",
        "$(",
        "-p",
        "--password ",
        "a=\n",
        ",",
        "password ",
        "mysql -p",
        "echo x|chpasswd;",
        "eyJaaaaa.",
        "-----BEGIN PRIVATE KEY-----",
        "{{",
        "a:",
        "https://a:",
        "[redacted]",
        "authorization=",
        "key=$(key=",
    ] {
        let text = unit.repeat(LEN / unit.len());
        let pieces: Vec<Bytes> = text.as_bytes().chunks(unit.len().max(2)).map(Bytes::from).collect();
        let began = Instant::now();
        let _ = rules.argv(&[Bytes::from("mysql"), Bytes::from(text.as_str())]);
        let _ = rules.argv(&pieces);
        let _ = rules.line(text.as_bytes());
        let _ = rules.text(text.as_bytes());
        let took = began.elapsed();
        // What grows with the square takes minutes here.
        assert!(took < Duration::from_secs(20), "{unit:?} took {took:?}");
    }
}
