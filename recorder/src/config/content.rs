//! `[content]`: what is kept of the content of programs and files.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    digests: Option<bool>,
    trees: Option<Vec<PathBuf>>,
    max_file: Option<String>,
    rate: Option<String>,
    files: Option<u64>,
    secret: Option<Vec<String>>,
}

/// What is kept of the content of programs and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Programs and changed files have digests.
    pub digests: bool,
    /// Trees of which a baseline is kept.
    pub trees: Vec<PathBuf>,
    /// Longer files are not read.
    pub max_file: u64,
    /// Bytes read in a second.
    pub rate: u64,
    /// Files of a session that wait for their digests.
    pub files: u64,
    /// Patterns of files whose content is not kept.
    pub secret: Vec<String>,
}

/// Files whose content is not kept and of which no diff is made, unless others are named. A pattern with a slash is of the whole path,
/// else of the name; `*` stands for any bytes.
pub const SECRET: &[&str] = &[
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "opasswd",
    "*.key",
    "*.pem",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keytab",
    "ssh_host_*_key",
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pgpass",
    "chap-secrets",
    "pap-secrets",
    "/etc/wireguard/*",
    "/etc/NetworkManager/system-connections/*",
];

pub(super) fn check(keys: Keys, faults: &mut Vec<String>) -> Content {
    let mut size =
        |key: &str, text: Option<String>, default: u64, least: u64| match text.as_deref().map(super::size) {
            None => default,
            Some(Some(n)) if (least..=1 << 40).contains(&n) => n,
            Some(_) => {
                faults.push(format!("content.{key}: no size of at least {least} bytes such as \"64MiB\""));
                default
            }
        };
    let max_file = size("max_file", keys.max_file, 256 << 20, 1);
    let rate = size("rate", keys.rate, 64 << 20, 1 << 20);
    let trees = keys.trees.unwrap_or_else(|| vec![PathBuf::from("/etc")]);
    if let Some(tree) = trees.iter().find(|tree| !tree.is_absolute() || tree.parent().is_none()) {
        faults.push(format!("content.trees: {}: must be an absolute path, and not \"/\"", tree.display()));
    }
    let files = keys.files.unwrap_or(10_000);
    if !(1..=1_000_000).contains(&files) {
        faults.push("content.files: is between 1 and 1000000".into());
    }
    Content {
        digests: keys.digests.unwrap_or(true),
        trees,
        max_file,
        rate,
        files,
        secret: keys.secret.unwrap_or_else(|| SECRET.iter().map(|pattern| (*pattern).to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_faults() {
        let content = check(Keys::default(), &mut Vec::new());
        assert!(content.digests);
        assert_eq!((content.max_file, content.rate, content.files), (256 << 20, 64 << 20, 10_000));
        assert_eq!(content.trees, [PathBuf::from("/etc")]);
        let keys: Keys =
            toml::from_str("trees = [\"/\"]\nrate = \"1KiB\"\nfiles = 0\nmax_file = \"x\"").unwrap();
        let mut faults = Vec::new();
        check(keys, &mut faults);
        assert_eq!(faults.len(), 4, "{faults:?}");
    }
}
