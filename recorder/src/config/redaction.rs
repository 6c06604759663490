//! `[redaction]`: which secrets are taken out of arguments before they are written (docs/sessions.md, Secrets).

use serde::Deserialize;

/// Names and patterns of one's own, at most.
const MOST: usize = 64;
/// The longest of them, bytes.
const LONGEST: usize = 1024;
/// What a pattern may take in memory, bytes: a bound on its time for each byte as well.
const PATTERN_BYTES: usize = 1 << 20;
/// ... and what it may remember while it matches.
const CACHE_BYTES: usize = 1 << 18;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) rules: RulesKey,
    pub(super) names: Vec<String>,
    pub(super) patterns: Vec<String>,
}

/// `redaction.rules`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RulesKey {
    /// The recorder's own, and those that are named besides.
    #[default]
    Default,
    /// None at all.
    Off,
}

/// What is taken out of arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// Whether anything is.
    pub rules: RulesKey,
    /// Names of options, variables and keys whose values are secrets, besides those that are known.
    pub names: Vec<String>,
    /// Patterns of secrets: the first group of each is taken out, the whole match where it has none.
    pub patterns: Vec<String>,
}

/// A pattern as it is matched: bytes, in time that is linear in them.
pub fn compile(pattern: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(CACHE_BYTES)
        .nest_limit(50)
        .build()
}

pub(super) fn check(raw: Keys, faults: &mut Vec<String>) -> Redaction {
    let Keys { rules, names, patterns } = raw;
    for (key, list) in [("names", &names), ("patterns", &patterns)] {
        if list.len() > MOST {
            faults.push(format!("redaction.{key}: at most {MOST}"));
        }
        if rules == RulesKey::Off && !list.is_empty() {
            faults.push(format!("redaction.{key}: rules = \"off\" and {key} contradict each other"));
        }
    }
    for (no, name) in (1..).zip(&names) {
        let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(of_name) {
            faults.push(format!("redaction.names: number {no}: letters, digits, '-', '_' and '.' only"));
        }
    }
    for (no, pattern) in (1..).zip(&patterns) {
        match compile(pattern) {
            _ if pattern.len() > LONGEST => {
                faults.push(format!("redaction.patterns: number {no}: longer than {LONGEST} bytes"));
            }
            Ok(regex) if regex.is_match(b"") => {
                faults
                    .push(format!("redaction.patterns: number {no}: matches nothing at all, so everywhere"));
            }
            Ok(_) => {}
            Err(error) => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                faults.push(format!("redaction.patterns: number {no}: {why}"));
            }
        }
    }
    Redaction { rules, names, patterns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: RulesKey, names: &[&str], patterns: &[&str]) -> Vec<String> {
        let list = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect();
        let mut faults = Vec::new();
        check(Keys { rules, names: list(names), patterns: list(patterns) }, &mut faults);
        faults
    }

    #[test]
    fn names_and_patterns_are_checked_and_every_fault_is_told() {
        assert_eq!(faults(RulesKey::Default, &["x-corp-key", "CORP.PIN"], &["corp-[0-9]{8}"]), [""; 0]);
        let told =
            faults(RulesKey::Default, &["", "a b"], &["(", "x*", "(a{1000}){1000}", &"x".repeat(2000)]);
        for (n, part) in
            ["number 1", "number 2", "number 1", "number 2", "number 3", "number 4"].iter().enumerate()
        {
            assert!(told[n].contains(part), "{told:?}");
        }
        assert_eq!(told.len(), 6);
        assert_eq!(faults(RulesKey::Off, &["x"], &["y"]).len(), 2);
        assert_eq!(faults(RulesKey::Default, &[], &vec!["x"; 300]).len(), 1);
    }
}
