//! Which files are secrets, which trees are watched, and what is the recorder's own.

use crate::model::Bytes;

/// What looks go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Trees of which a baseline is kept.
    pub trees: Vec<Bytes>,
    /// Patterns of files whose content is not kept: with a slash of the whole path, else of the name; `*` stands for any bytes.
    pub secret: Vec<Bytes>,
    /// What belongs to the recorder: files, or directories with all that is below.
    pub own: Vec<Bytes>,
    /// Longer files have no digest.
    pub max_file: u64,
}

impl Rules {
    pub(super) fn is_watched(&self, path: &[u8]) -> bool {
        self.trees.iter().any(|tree| is_below(path, tree.as_slice()))
    }

    pub(super) fn is_own(&self, path: &[u8]) -> bool {
        self.own.iter().any(|own| is_below(path, own.as_slice()))
    }

    pub(super) fn is_secret(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        self.secret.iter().map(Bytes::as_slice).any(|pattern| {
            let subject = if pattern.contains(&b'/') { path } else { name };
            matches(pattern, subject)
        })
    }
}

/// The path itself or something below it.
fn is_below(path: &[u8], tree: &[u8]) -> bool {
    let tree = tree.strip_suffix(b"/").unwrap_or(tree);
    path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// True of text that holds a private key, whatever its file is called.
pub(super) fn holds_a_key(text: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    text.windows(MARK.len()).any(|window| window == MARK)
}

/// `*` stands for any bytes; the pattern matches as a whole.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|b| *b == b'*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&[u8]> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    let mut rest = rest;
    for part in parts {
        if part.is_empty() {
            continue;
        }
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_or_path() {
        let secret = crate::config::SECRET.iter().map(|pattern| Bytes::from(*pattern)).collect();
        let rules = Rules { secret, trees: vec![Bytes::from("/etc/")], ..Rules::default() };
        for (path, want) in [
            ("/etc/shadow", true),
            ("/etc/shadow.bak", false),
            ("/etc/ssl/private/web.key", true),
            ("/etc/ssh/ssh_host_ed25519_key", true),
            ("/etc/ssh/ssh_host_ed25519_key.pub", false),
            ("/etc/wireguard/wg0.conf", true),
            ("/srv/etc/wireguard/wg0.conf", false),
            ("/etc/sudoers", false),
            ("/root/.ssh/id_ed25519", true),
        ] {
            assert_eq!(rules.is_secret(path.as_bytes()), want, "{path}");
        }
        for (path, want) in
            [("/etc/hosts", true), ("/etc", true), ("/etcetera", false), ("/usr/etc/x", false)]
        {
            assert_eq!(rules.is_watched(path.as_bytes()), want, "{path}");
        }
        assert!(holds_a_key(b"x\n-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    }

    #[test]
    fn patterns_match_as_a_whole() {
        for (pattern, text, want) in [
            ("a*b*c", "axxbyyc", true),
            ("a*b", "ab", true),
            ("a*", "a", true),
            ("*ab", "aab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }
}
