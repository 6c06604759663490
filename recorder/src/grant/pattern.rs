//! Patterns with `*` and `?` as OpenSSH has them (match.c, V_9_2_P1): over bytes, case counts, a list has commas and `!`.

/// Longest pattern in a list that OpenSSH looks at; a longer one makes the whole list match nothing.
const MAX_IN_LIST: usize = 1022;

/// True if the whole text matches. Time is bounded by the product of the lengths.
pub(super) fn matches(text: &[u8], pattern: &[u8]) -> bool {
    let (mut t, mut p) = (0usize, 0usize);
    // Where the last star stood and how far it has eaten: on a mismatch it eats one byte more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (text.get(t), pattern.get(p)) {
            (_, Some(b'*')) => {
                star = Some((p + 1, t));
                p += 1;
            }
            (Some(c), Some(q)) if *q == b'?' || c == q => {
                t += 1;
                p += 1;
            }
            (None, None) => return true,
            (found, _) => {
                let Some((behind, eaten)) = star else { return false };
                if found.is_none() {
                    return false;
                }
                star = Some((behind, eaten + 1));
                t = eaten + 1;
                p = behind;
            }
        }
    }
}

/// True if a pattern of the list matches and no negated one does.
pub(super) fn in_list(text: &[u8], list: &[u8]) -> bool {
    let mut taken = false;
    let mut rest = list;
    // A comma at the end is followed by nothing, not by an empty pattern.
    while !rest.is_empty() {
        let (negated, body) = rest.strip_prefix(b"!").map_or((false, rest), |body| (true, body));
        let end = body.iter().position(|b| *b == b',').unwrap_or(body.len());
        let (pattern, behind) = body.split_at_checked(end).unwrap_or((body, &[]));
        if pattern.len() > MAX_IN_LIST {
            return false;
        }
        if matches(text, pattern) {
            if negated {
                return false;
            }
            taken = true;
        }
        rest = behind.strip_prefix(b",").unwrap_or(behind);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, without cleverness.
    fn slow(text: &[u8], pattern: &[u8]) -> bool {
        match (text.split_first(), pattern.split_first()) {
            (None, None) => true,
            (_, Some((b'*', rest))) => {
                slow(text, rest) || text.split_first().is_some_and(|(_, t)| slow(t, pattern))
            }
            (Some((c, t)), Some((q, rest))) => (*q == b'?' || c == q) && slow(t, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in "[ab]{0,8}", pattern in "[ab*?]{0,8}") {
            prop_assert_eq!(matches(text.as_bytes(), pattern.as_bytes()), slow(text.as_bytes(), pattern.as_bytes()));
        }

        #[test]
        fn a_list_of_anything_is_answered(text in any::<Vec<u8>>(), list in any::<Vec<u8>>()) {
            in_list(&text, &list);
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(
            &[b'a'; 2000],
            "*a".repeat(500).as_bytes().iter().chain(b"b").copied().collect::<Vec<_>>().as_slice()
        ));
    }

    #[test]
    fn a_negated_pattern_wins_wherever_it_stands() {
        for (list, taken) in [
            ("alice", true),
            ("bob,alice", true),
            ("a*,!alice", false),
            ("!alice,a*", false),
            ("!bob", false),
            ("!bob,*", true),
            ("", false),
            ("ALICE", false),
            ("alice,", true),
            (",", false),
            ("!", false),
        ] {
            assert_eq!(in_list(b"alice", list.as_bytes()), taken, "{list}");
        }
        let long = format!("alice,{}", "x".repeat(MAX_IN_LIST + 1));
        assert!(!in_list(b"alice", long.as_bytes()));
    }
}
