//! `[anchor]`: where signed checkpoints are handed to, and how often.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    every: Option<String>,
    file: Option<PathBuf>,
    syslog: Option<bool>,
    command: Vec<String>,
    witness: Vec<WitnessKeys>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessKeys {
    url: String,
    key: String,
    #[serde(default)]
    plaintext: bool,
}

/// Where signed checkpoints are handed to, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Between two of them, while the log grows.
    pub every: Duration,
    /// The newest one is kept here; `None`: nowhere.
    pub file: Option<PathBuf>,
    /// One line each to syslog; `None`: if there is one.
    pub syslog: Option<bool>,
    /// Gets each on its standard input; empty: none.
    pub command: Vec<String>,
    /// Countersign each.
    pub witnesses: Vec<Witness>,
}

/// Somebody who countersigns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// His submission prefix, without a slash at the end.
    pub url: String,
    /// His verifier key.
    pub key: String,
}

/// `http://` without `plaintext = true`: to this machine only.
fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn check(keys: Keys, journal_dir: &std::path::Path, faults: &mut Vec<String>) -> Anchor {
    let every = match keys.every.as_deref().map(super::duration) {
        None => Duration::from_mins(5),
        Some(Some(every)) if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&every) => every,
        Some(_) => {
            faults.push("anchor.every: no duration from \"1s\" to \"24h\", such as \"5m\"".into());
            Duration::ZERO
        }
    };
    let file = match keys.file {
        None => journal_dir.parent().map(|dir| dir.join("anchors/checkpoint")),
        Some(file) if file.as_os_str().is_empty() => None,
        Some(file) => {
            if !file.is_absolute() {
                faults.push("anchor.file: must be an absolute path, or empty for none".into());
            }
            Some(file)
        }
    };
    if keys.command.first().is_some_and(|program| !program.starts_with('/')) {
        faults.push("anchor.command: must begin with an absolute path".into());
    }
    for witness in &keys.witness {
        let open = witness.url.starts_with("http://") && (witness.plaintext || is_loopback(&witness.url));
        if !open && !witness.url.starts_with("https://") {
            faults.push(format!(
                "anchor.witness: {:?} must be https://, http:// to this machine, or http:// with plaintext = true",
                witness.url
            ));
        }
    }
    let witnesses = keys.witness.into_iter().map(|w| {
        let url = w.url.trim_end_matches('/').to_owned();
        Witness { url, key: w.key }
    });
    Anchor { every, file, syslog: keys.syslog, command: keys.command, witnesses: witnesses.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Anchor, Vec<String>) {
        let mut faults = Vec::new();
        let keys: Keys = toml::from_str(text).unwrap();
        (check(keys, std::path::Path::new("/var/lib/recorder/journal"), &mut faults), faults)
    }

    #[test]
    fn without_keys_a_file_beside_the_journal_is_written() {
        let (anchor, faults) = read("");
        assert_eq!(
            anchor.file.as_deref(),
            Some(std::path::Path::new("/var/lib/recorder/anchors/checkpoint"))
        );
        assert_eq!((anchor.every, anchor.syslog, faults.len()), (Duration::from_mins(5), None, 0));
        assert_eq!(read("file = \"\"").0.file, None);
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let (_, faults) = read(
            "every = \"0s\"\nfile = \"x\"\ncommand = [\"curl\"]\n[[witness]]\nurl = \"http://w.example\"\nkey = \"k\"\n",
        );
        for key in ["anchor.every", "anchor.file", "anchor.command", "anchor.witness"] {
            assert!(faults.iter().any(|f| f.starts_with(key)), "{key}: {faults:?}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_it_is_named() {
        for (url, good) in [
            ("http://127.0.0.1:80/x", true),
            ("http://[::1]:80", true),
            ("http://localhost", true),
            ("https://w.example/", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://user@w.example", false),
            ("ftp://localhost", false),
        ] {
            let (_, faults) = read(&format!("[[witness]]\nurl = \"{url}\"\nkey = \"k\"\n"));
            assert_eq!(faults.is_empty(), good, "{url}");
        }
        let (anchor, faults) =
            read("[[witness]]\nurl = \"http://w.example/a/\"\nkey = \"k\"\nplaintext = true\n");
        assert!(faults.is_empty());
        assert_eq!(anchor.witnesses[0].url, "http://w.example/a");
    }
}
