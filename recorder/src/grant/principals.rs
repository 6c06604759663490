//! Lists of patterns as OpenSSH has them (match.c, V_9_2_P1): separated by commas, `!` takes out for good, case counts.

use super::pattern::{Case, matches};

/// Longest pattern in a list that OpenSSH looks at; a longer one makes the whole list match nothing.
const MAX_IN_LIST: usize = 1022;

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
        if matches(pattern, text, Case::Exact) {
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

    proptest! {
        #[test]
        fn a_list_of_anything_is_answered(text in any::<Vec<u8>>(), list in any::<Vec<u8>>()) {
            in_list(&text, &list);
        }
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
