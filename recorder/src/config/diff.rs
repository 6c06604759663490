//! What two configurations differ in, by key, as they are written.

use std::collections::BTreeMap;

use super::Config;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// With its table: `journal.segment`.
    pub key: String,
    /// As it was written; `None`: it was not, the default held.
    pub before: Option<String>,
    /// As it is written now.
    pub after: Option<String>,
    /// A running recorder takes it; else it needs a new start.
    pub live: bool,
}

/// Whom the journal is sealed to may change while it is written; what a file names is among them.
const RECIPIENTS: &str = "encryption.recipients";
const RECIPIENTS_FILE: &str = "encryption.recipients_file";

/// What differs, in the order of the keys.
pub fn difference(before: &Config, after: &Config) -> Vec<Difference> {
    let (old, new) = (written(before), written(after));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| Difference {
            key: key.clone(),
            before: old.get(key).cloned(),
            after: new.get(key).cloned(),
            live: [RECIPIENTS, RECIPIENTS_FILE].contains(&key.as_str()),
        })
        .collect()
}

/// Every key that is written, by its whole name. Instead of the recipients that stand in the file, all of them.
fn written(config: &Config) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(table) = config.text.parse::<toml::Table>() {
        flatten("", &table, &mut found);
    }
    found.remove(RECIPIENTS);
    if !config.recipients.is_empty() {
        found.insert(RECIPIENTS.to_owned(), config.recipients.join(", "));
    }
    found
}

fn flatten(prefix: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, found),
            other => {
                found.insert(name, other.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_key_that_differs_is_told_and_when_it_takes_effect() {
        let read = |text: &str| super::super::parse(Path::new("t.toml"), text).unwrap();
        let before = read("[encryption]\nrecipients = [\"age1a\"]\n[journal]\nsegment = \"1MiB\"\n");
        let same =
            read("# another text\n[journal]\nsegment = \"1MiB\"\n[encryption]\nrecipients = [\"age1a\"]\n");
        assert_eq!(difference(&before, &same), []);
        let after = read("[encryption]\nrecipients = [\"age1a\", \"age1b\"]\n[scope]\njobs = false\n");
        let told: Vec<_> = difference(&before, &after)
            .into_iter()
            .map(|d| (d.key, d.before.unwrap_or_default(), d.after.unwrap_or_default(), d.live))
            .collect();
        let row = |key: &str, before: &str, after: &str, live| {
            (key.to_owned(), before.to_owned(), after.to_owned(), live)
        };
        assert_eq!(
            told,
            [
                row("encryption.recipients", "age1a", "age1a, age1b", true),
                row("journal.segment", "\"1MiB\"", "", false),
                row("scope.jobs", "", "false", false),
            ]
        );
    }
}
