//! The policy file's shape: closed TOML, every fault told with its key.

use std::{collections::BTreeMap, time::Duration};

use toml::{Table, Value};

use super::{DEFAULT_MAX_WINDOW, People, Policy, PolicyError, Rule};
use crate::{
    config,
    grant::{Privilege, pattern::MAX_PATTERN},
};

/// A grant of more than a month is a standing right: that belongs into sudoers.
const LONGEST_WINDOW: Duration = Duration::from_hours(31 * 24);
const MAX_COUNT: i64 = 16;

pub(super) fn parse(text: &str) -> Result<Policy, PolicyError> {
    let table: Table = toml::from_str(text).map_err(|e| PolicyError::Syntax {
        line: e.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1),
        text: e.message().to_owned(),
    })?;
    let mut reader = Reader { faults: Vec::new() };
    let policy = reader.policy(&table);
    if reader.faults.is_empty() { Ok(policy) } else { Err(PolicyError::Faults { faults: reader.faults }) }
}

struct Reader {
    faults: Vec<String>,
}

impl Reader {
    fn fault(&mut self, at: &str, why: impl AsRef<str>) {
        self.faults.push(format!("{at}: {}", why.as_ref()));
    }

    fn closed(&mut self, at: &str, table: &Table, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.fault(&format!("{at}{key}"), "no such key");
        }
    }

    fn policy(&mut self, table: &Table) -> Policy {
        self.closed("", table, &["people", "approve", "max_window", "break_glass"]);
        let people = self.people(table.get("people"));
        let rules = match table.get("approve") {
            None => Vec::new(),
            Some(Value::Array(rules)) => {
                rules.iter().enumerate().map(|(n, rule)| self.rule(&format!("approve[{n}]"), rule)).collect()
            }
            Some(_) => {
                self.fault("approve", "must be tables, [[approve]]");
                Vec::new()
            }
        };
        Policy {
            people,
            rules,
            max_window: self.max_window(table.get("max_window")),
            break_glass: self.patterns("break_glass", table.get("break_glass")).unwrap_or_default(),
        }
    }

    fn max_window(&mut self, value: Option<&Value>) -> Duration {
        let Some(value) = value else { return DEFAULT_MAX_WINDOW };
        let found = value.as_str().and_then(config::duration);
        found.filter(|d| (Duration::from_mins(1)..=LONGEST_WINDOW).contains(d)).unwrap_or_else(|| {
            self.fault("max_window", "no duration between \"1m\" and \"31d\", such as \"8h\"");
            DEFAULT_MAX_WINDOW
        })
    }

    fn people(&mut self, value: Option<&Value>) -> People {
        let mut people = People::default();
        let Some(value) = value else { return people };
        let Value::Table(persons) = value else {
            self.fault("people", "must be tables, [people.NAME]");
            return people;
        };
        for (name, value) in persons {
            let at = format!("people.{name}");
            let Value::Table(person) = value else {
                self.fault(&at, "must be a table");
                continue;
            };
            if name.is_empty() {
                self.fault(&at, "a person needs a name");
            }
            self.closed(&format!("{at}."), person, &["accounts", "keys", "certificate_ids"]);
            for account in self.texts(&format!("{at}.accounts"), person.get("accounts")).unwrap_or_default() {
                people.accounts.entry(account).or_default().insert(name.clone());
            }
            let keys_at = format!("{at}.keys");
            for key in self.texts(&keys_at, person.get("keys")).unwrap_or_default() {
                if !is_fingerprint(&key) {
                    self.fault(
                        &keys_at,
                        format!("{key:?} is no fingerprint such as ssh-keygen -l prints, \"SHA256:…\""),
                    );
                }
                self.own(&keys_at, &mut people.keys, key, name);
            }
            let ids_at = format!("{at}.certificate_ids");
            for id in self.texts(&ids_at, person.get("certificate_ids")).unwrap_or_default() {
                self.own(&ids_at, &mut people.certificate_ids, id, name);
            }
        }
        people
    }

    fn own(&mut self, at: &str, owners: &mut BTreeMap<String, String>, what: String, name: &str) {
        if let Some(other) = owners.get(&what).filter(|other| *other != name) {
            self.fault(at, format!("{what:?} belongs to {other:?} already"));
        } else {
            owners.insert(what, name.to_owned());
        }
    }

    fn rule(&mut self, at: &str, value: &Value) -> Rule {
        let empty = Table::new();
        let table = value.as_table().unwrap_or_else(|| {
            self.fault(at, "must be a table");
            &empty
        });
        let known = ["approvers", "persons", "hosts", "incidents", "privileges", "count"];
        self.closed(&format!("{at}."), table, &known);
        let mut list = |key: &str, default: Option<&[&str]>| {
            let at = format!("{at}.{key}");
            self.patterns(&at, table.get(key)).unwrap_or_else(|| {
                let Some(default) = default else {
                    self.fault(&at, "is missing");
                    return Vec::new();
                };
                default.iter().map(|p| (*p).to_owned()).collect()
            })
        };
        let (approvers, persons) = (list("approvers", None), list("persons", None));
        let (hosts, incidents) = (list("hosts", Some(&["*"])), list("incidents", Some(&[])));
        let privileges = self.privileges(&format!("{at}.privileges"), table.get("privileges"));
        let count = match table.get("count").map(Value::as_integer) {
            None => 1,
            Some(Some(n)) if (1..=MAX_COUNT).contains(&n) => usize::try_from(n).unwrap_or(1),
            Some(_) => {
                self.fault(&format!("{at}.count"), format!("no number from 1 to {MAX_COUNT}"));
                1
            }
        };
        Rule { approvers, persons, hosts, incidents, privileges, count }
    }

    fn privileges(&mut self, at: &str, value: Option<&Value>) -> Vec<Privilege> {
        let Some(texts) = self.texts(at, value) else {
            self.fault(at, "is missing");
            return Vec::new();
        };
        let mut found = Vec::new();
        for text in texts {
            match text.split_once(':') {
                None if text == "root" => found.push(Privilege::Root),
                Some(("user", name)) if !name.is_empty() => found.push(Privilege::User(name.to_owned())),
                Some(("command", glob)) if !glob.is_empty() => {
                    found.push(Privilege::Command(glob.to_owned()));
                }
                _ => self.fault(at, format!("{text:?} is none of \"root\", \"user:GLOB\", \"command:GLOB\"")),
            }
        }
        found
    }

    /// A list of patterns; one that takes nothing in is a slip.
    fn patterns(&mut self, at: &str, value: Option<&Value>) -> Option<Vec<String>> {
        let texts = self.texts(at, value)?;
        if texts.iter().any(|p| p == "!") {
            self.fault(at, "\"!\" needs a pattern behind it");
        }
        if !texts.is_empty() && texts.iter().all(|p| p.starts_with('!')) {
            self.fault(at, "takes out only, so it takes in nothing");
        }
        Some(texts)
    }

    fn texts(&mut self, at: &str, value: Option<&Value>) -> Option<Vec<String>> {
        let value = value?;
        let Value::Array(items) = value else {
            self.fault(at, "must be a list of texts");
            return Some(Vec::new());
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) if (1..=MAX_PATTERN).contains(&text.len()) => texts.push(text.to_owned()),
                Some(_) => self.fault(at, format!("a text has 1 to {MAX_PATTERN} bytes")),
                None => self.fault(at, "must be a list of texts"),
            }
        }
        Some(texts)
    }
}

/// `SHA256:` and 43 digits of unpadded base64, as `ssh-keygen -l` prints it.
fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|digits| {
        digits.len() == 43 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_page_is_valid() {
        let page = include_str!("../../../../docs/grants.md");
        let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let policy = parse(example).unwrap();
        assert_eq!(policy.rules.len(), 2);
        assert_eq!(policy.max_window, Duration::from_hours(8));
        assert_eq!(policy.person_of("oncall", None, None), None);
        assert!(policy.may_break_glass("anna") && !policy.may_break_glass("intern.carl"));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let text = "max_window = \"0s\"\nbreak_glas = []\nbreak_glass = [\"!x\"]\n\
            [people.anna]\nkeys = [\"SHA256:short\"]\naccount = [\"a\"]\ncertificate_ids = [\"c\"]\n\
            [people.bert]\ncertificate_ids = [\"c\"]\n\
            [[approve]]\napprovers = [1]\nhosts = [\"\"]\nprivileges = [\"wheel\"]\ncount = 0\n";
        let PolicyError::Faults { faults } = parse(text).unwrap_err() else { panic!("no faults") };
        for key in [
            "max_window: no duration",
            "break_glas: no such key",
            "break_glass: takes out only",
            "people.anna.keys: \"SHA256:short\"",
            "people.anna.account: no such key",
            "people.bert.certificate_ids: \"c\" belongs to \"anna\"",
            "approve[0].approvers: must be a list of texts",
            "approve[0].persons: is missing",
            "approve[0].hosts: a text has",
            "approve[0].privileges: \"wheel\"",
            "approve[0].count: no number",
        ] {
            assert!(faults.iter().any(|f| f.starts_with(key)), "{key} is not in {faults:#?}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let error = parse("max_window = \"8h\"\nbreak_glass = [\n").unwrap_err();
        assert!(error.to_string().starts_with("line "), "{error}");
        assert!(parse("people = 1\napprove = 2\n").unwrap_err().to_string().contains("approve"));
    }
}
