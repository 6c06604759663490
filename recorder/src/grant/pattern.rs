//! Patterns of hosts, persons and command lines: `*` is any run of bytes, `?` is one byte, nothing else is special.
//!
//! There is no escape: a `*` in the text is matched by `*` or `?`. A match costs at most [`MAX_PATTERN`] steps a byte of
//! the text: only the last `*` is ever gone back to, so a hostile pattern can't blow it up.

/// Longest pattern in bytes; a longer one matches nothing.
pub const MAX_PATTERN: usize = 1024;

/// Whether ASCII letters differ by their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They do: persons, accounts, command lines.
    Exact,
    /// They don't: host names.
    Ignore,
}

/// True if the pattern matches the whole text.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    run(pattern, text, |want, got| {
        want == b'?'
            || match case {
                Case::Exact => want == got,
                Case::Ignore => want.eq_ignore_ascii_case(&got),
            }
    })
}

/// True if everything that `inner` matches is surely matched by `outer` too; exact case.
///
/// Sound and not complete: `outer` is matched against the text of `inner`, where a `?` may not stand for a `*`.
pub fn contains(outer: &[u8], inner: &[u8]) -> bool {
    run(outer, inner, |want, got| if want == b'?' { got != b'*' } else { want == got })
}

/// True if a list of patterns takes the text in: each one that matches takes it in, or out if it begins with `!`; the
/// last one that matches decides. An empty list takes in nothing.
pub fn listed(patterns: &[String], text: &str, case: Case) -> bool {
    let mut taken = false;
    for pattern in patterns {
        let (pattern, verdict) = pattern.strip_prefix('!').map_or((pattern.as_str(), true), |p| (p, false));
        if taken != verdict && matches(pattern.as_bytes(), text.as_bytes(), case) {
            taken = verdict;
        }
    }
    taken
}

fn run(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    if pattern.len() > MAX_PATTERN {
        return false;
    }
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last `*`, and the text it was tried on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', [])), _) | (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((want, pattern_rest)), Some((got, text_rest))) if same(*want, *got) => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            // More text behind a `*` does not help a pattern that already ran out of it.
            (Some(_), None) => return false,
            _ => {
                let Some((after, tried)) = retry else { return false };
                let Some((_, next)) = tried.split_first() else { return false };
                retry = Some((after, next));
                (pattern, text) = (after, next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            ([b'?', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([want, rest @ ..], [got, text @ ..]) if want == got => naive(rest, text),
            _ => false,
        }
    }

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn hosts_ignore_case_and_commands_do_not() {
        assert!(matches(b"DB-*.example.com", b"db-7.Example.COM", Case::Ignore));
        assert!(!matches(b"DB-*", b"db-7", Case::Exact));
        assert!(matches(b"db-?", b"db-7", Case::Exact));
        assert!(!matches(b"db-?", b"db-17", Case::Exact));
        assert!(matches(b"", b"", Case::Exact));
        assert!(!matches(b"", b"x", Case::Exact));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let hosts = list(&["db-*", "!db-9", "db-9*"]);
        assert!(listed(&hosts, "db-1", Case::Ignore));
        assert!(listed(&hosts, "db-9", Case::Ignore));
        assert!(!listed(&hosts[..2], "DB-9", Case::Ignore));
        assert!(!listed(&list(&["!db-9"]), "db-1", Case::Ignore));
        assert!(!listed(&[], "db-1", Case::Ignore));
    }

    #[test]
    fn a_hostile_pattern_is_cheap() {
        let pattern = "*a".repeat(300) + "b";
        let text = "a".repeat(100_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes(), Case::Exact));
        assert!(!matches("a".repeat(MAX_PATTERN + 1).as_bytes(), text.as_bytes(), Case::Exact));
    }

    #[test]
    fn a_question_mark_holds_no_star() {
        assert!(contains(b"systemctl *", b"systemctl restart *"));
        assert!(!contains(b"systemctl ?", b"systemctl *"));
        assert!(!contains(b"systemctl restart x", b"systemctl *"));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_naive_matcher(pattern in "[ab*?]{0,9}", text in "[abc]{0,12}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), Case::Exact),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn containment_is_sound(outer in "[ab*?]{0,6}", inner in "[ab*?]{0,6}", text in "[ab]{0,8}") {
            if contains(outer.as_bytes(), inner.as_bytes()) && naive(inner.as_bytes(), text.as_bytes()) {
                prop_assert!(naive(outer.as_bytes(), text.as_bytes()));
            }
        }

        #[test]
        fn bytes_of_any_kind_never_panic(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text, Case::Ignore);
        }
    }
}
