//! The policy file's shape: closed TOML, every fault told with its key.

use std::{collections::BTreeMap, time::Duration};

use toml::{Table, Value};

use super::{
    CertificateRule, DEFAULT_MAX_WINDOW, DEFAULT_TOKEN_MAX, ImportRule, People, Policy, PolicyError, Rule,
    TokenRule,
};
use crate::{
    config,
    grant::{Privilege, pattern::MAX_PATTERN},
};

/// A grant of more than a month is a standing right: that belongs into sudoers.
const LONGEST_WINDOW: Duration = Duration::from_hours(31 * 24);
const MAX_COUNT: i64 = 16;
/// A token is for what somebody does now.
const LONGEST_TOKEN: Duration = Duration::from_hours(24);

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
        self.closed(
            "",
            table,
            &[
                "people",
                "approve",
                "certificate",
                "import",
                "token",
                "max_window",
                "token_max",
                "break_glass",
            ],
        );
        let people = self.people(table.get("people"));
        Policy {
            people,
            rules: self.tables(table, "approve", |r, at, table| r.rule(at, table, Some("approvers"), &[], 1)),
            certificates: self.tables(table, "certificate", Self::certificate),
            imports: self.tables(table, "import", |r, at, table| ImportRule {
                systems: r.needed(at, "systems", table),
                rule: r.rule(at, table, Some("importers"), &["systems"], 0),
            }),
            tokens: self.tables(table, "token", Self::token),
            max_window: self.span(
                table,
                "max_window",
                Duration::from_mins(1)..=LONGEST_WINDOW,
                DEFAULT_MAX_WINDOW,
            ),
            token_max: self.span(
                table,
                "token_max",
                Duration::from_secs(1)..=LONGEST_TOKEN,
                DEFAULT_TOKEN_MAX,
            ),
            break_glass: self.patterns("break_glass", table.get("break_glass")).unwrap_or_default(),
        }
    }

    fn span(
        &mut self,
        table: &Table,
        key: &str,
        range: std::ops::RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(value) = table.get(key) else { return default };
        let found = value.as_str().and_then(config::duration);
        found.filter(|d| range.contains(d)).unwrap_or_else(|| {
            let (least, most) = (range.start().as_secs(), range.end().as_secs());
            self.fault(key, format!("no duration between \"{least}s\" and \"{most}s\", such as \"15m\""));
            default
        })
    }

    /// `[[KEY]]`, each read by `read`.
    fn tables<T>(
        &mut self,
        table: &Table,
        key: &str,
        mut read: impl FnMut(&mut Self, &str, &Table) -> T,
    ) -> Vec<T> {
        let empty = Table::new();
        match table.get(key) {
            None => Vec::new(),
            Some(Value::Array(rules)) => rules
                .iter()
                .enumerate()
                .map(|(n, rule)| {
                    let at = format!("{key}[{n}]");
                    let rule = rule.as_table().unwrap_or_else(|| {
                        self.fault(&at, "must be a table");
                        &empty
                    });
                    read(self, &at, rule)
                })
                .collect(),
            Some(_) => {
                self.fault(key, format!("must be tables, [[{key}]]"));
                Vec::new()
            }
        }
    }

    fn certificate(&mut self, at: &str, table: &Table) -> CertificateRule {
        let authorities_at = format!("{at}.authorities");
        let authorities = self.texts(&authorities_at, table.get("authorities")).unwrap_or_else(|| {
            self.fault(&authorities_at, "is missing");
            Vec::new()
        });
        for key in authorities.iter().filter(|key| !is_fingerprint(key)) {
            self.no_fingerprint(&authorities_at, key);
        }
        CertificateRule { authorities, rule: self.rule(at, table, None, &["authorities"], 1) }
    }

    fn token(&mut self, at: &str, table: &Table) -> TokenRule {
        self.closed(&format!("{at}."), table, &["issuers", "persons", "hosts"]);
        let hosts_at = format!("{at}.hosts");
        TokenRule {
            issuers: self.needed(at, "issuers", table),
            persons: self.needed(at, "persons", table),
            hosts: self.patterns(&hosts_at, table.get("hosts")).unwrap_or_else(|| vec!["*".to_owned()]),
        }
    }

    /// A list of patterns that has to be there.
    fn needed(&mut self, at: &str, key: &str, table: &Table) -> Vec<String> {
        let at = format!("{at}.{key}");
        self.patterns(&at, table.get(key)).unwrap_or_else(|| {
            self.fault(&at, "is missing");
            Vec::new()
        })
    }

    fn no_fingerprint(&mut self, at: &str, key: &str) {
        self.fault(at, format!("{key:?} is no fingerprint such as ssh-keygen -l prints, \"SHA256:…\""));
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
                    self.no_fingerprint(&keys_at, &key);
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

    /// A rule. `who` is the key of those who may say so, `more` are keys that others read, `least` is the smallest count.
    fn rule(&mut self, at: &str, table: &Table, who: Option<&str>, more: &[&str], least: i64) -> Rule {
        let mut known = vec!["persons", "hosts", "incidents", "privileges", "token"];
        known.extend(who.iter().chain(who.map(|_| &"count")).chain(more));
        self.closed(&format!("{at}."), table, &known);
        let approvers = who.map(|who| self.needed(at, who, table)).unwrap_or_default();
        let persons = self.needed(at, "persons", table);
        let mut list = |key: &str| self.patterns(&format!("{at}.{key}"), table.get(key));
        let hosts = list("hosts").unwrap_or_else(|| vec!["*".to_owned()]);
        let incidents = list("incidents").unwrap_or_default();
        let privileges = self.privileges(&format!("{at}.privileges"), table.get("privileges"));
        let count = match table.get("count").filter(|_| who.is_some()).map(Value::as_integer) {
            None => 1,
            Some(Some(n)) if (least..=MAX_COUNT).contains(&n) => usize::try_from(n).unwrap_or(1),
            Some(_) => {
                self.fault(&format!("{at}.count"), format!("no number from {least} to {MAX_COUNT}"));
                1
            }
        };
        let token = table.get("token").is_some_and(|value| {
            value.as_bool().unwrap_or_else(|| {
                self.fault(&format!("{at}.token"), "is true or false");
                false
            })
        });
        Rule { approvers, persons, hosts, incidents, privileges, count, token }
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
        assert_eq!((policy.certificates.len(), policy.imports.len(), policy.tokens.len()), (1, 1, 1));
        assert_eq!(policy.max_window, Duration::from_hours(8));
        assert_eq!(policy.person_of("oncall", None, None), None);
        assert!(policy.may_break_glass("anna") && !policy.may_break_glass("intern.carl"));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let text = "max_window = \"0s\"\nbreak_glas = []\nbreak_glass = [\"!x\"]\n\
            [people.anna]\nkeys = [\"SHA256:short\"]\naccount = [\"a\"]\ncertificate_ids = [\"c\"]\n\
            [people.bert]\ncertificate_ids = [\"c\"]\n\
            [[approve]]\napprovers = [1]\nhosts = [\"\"]\nprivileges = [\"wheel\"]\ncount = 0\n\
            [[certificate]]\nauthorities = [\"SHA256:no\"]\napprovers = [\"a\"]\npersons = [\"*\"]\ncount = 2\n\
            [[import]]\nimporters = [\"i\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\ncount = -1\ntoken = 1\n\
            [[token]]\nissuers = [\"i\"]\nprivileges = []\n";
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
            "certificate[0].authorities: \"SHA256:no\"",
            "certificate[0].approvers: no such key",
            "certificate[0].count: no such key",
            "certificate[0].privileges: is missing",
            "import[0].systems: is missing",
            "import[0].count: no number from 0",
            "import[0].token: is true or false",
            "token[0].persons: is missing",
            "token[0].privileges: no such key",
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
