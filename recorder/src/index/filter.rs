//! Which records somebody wants to see. All conditions that are given must hold.

use super::Known;
use crate::model::{Body, RealNanos, SessionId};
use crate::verify::Entry;

/// Conditions on a record; an empty filter lets everything through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these kinds, by name.
    pub kinds: Vec<&'static str>,
    /// A path of the record contains this, or matches it as a whole if it has `*` or `?`.
    pub path: Option<String>,
    /// Login name, or a number that is the login, real or effective uid.
    pub user: Option<String>,
    /// Not before.
    pub since: Option<RealNanos>,
    /// Before.
    pub until: Option<RealNanos>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Done under a grant whose id begins like this, or about it.
    pub grant: Option<String>,
}

impl Filter {
    /// True if the entry is wanted. `known` must have seen it.
    pub fn matches(&self, entry: &Entry, known: &Known) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&entry.record.body.kind().name()))
            && self.session.is_none_or(|id| entry.session == Some(id))
            && self.since.is_none_or(|t| entry.time >= t)
            && self.until.is_none_or(|t| entry.time < t)
            && self.user.as_deref().is_none_or(|user| is_user(entry, known, user))
            && self.grant.as_deref().is_none_or(|grant| is_of_grant(entry, known, grant))
            && self.path.as_deref().is_none_or(|path| has_path(entry, path))
    }
}

fn is_user(entry: &Entry, known: &Known, user: &str) -> bool {
    if known.user(entry).is_some_and(|name| name.as_slice() == user.as_bytes()) {
        return true;
    }
    let Ok(uid) = user.parse::<u32>() else { return false };
    let login = known.login(entry).is_some_and(|login| login.auid == uid);
    let task = entry.record.task.as_deref();
    login || task.is_some_and(|task| [task.auid, task.uid, task.euid].contains(&uid))
}

fn is_of_grant(entry: &Entry, known: &Known, wanted: &str) -> bool {
    let covering = known.coverage(entry).and_then(|change| change.coverage.grant());
    let about = match &entry.record.body {
        Body::Grant(grant) => Some(grant.request),
        Body::Token(token) => Some(token.grant),
        _ => None,
    };
    covering.into_iter().chain(about).any(|id| id.to_string().starts_with(wanted))
}

fn has_path(entry: &Entry, wanted: &str) -> bool {
    let matches = |raw: &[u8]| {
        let wanted = wanted.as_bytes();
        if wanted.iter().any(|b| matches!(b, b'*' | b'?')) {
            glob(wanted, raw)
        } else {
            wanted.is_empty() || raw.windows(wanted.len()).any(|w| w == wanted)
        }
    };
    match &entry.record.body {
        Body::Exec(exec) => matches(exec.path.as_slice()),
        Body::Digest(digest) => matches(digest.path.as_slice()),
        Body::Changed(changed) => {
            matches(changed.path.as_slice())
                || changed.other.as_ref().is_some_and(|other| matches(other.as_slice()))
        }
        Body::File(_, file) => {
            matches(file.path.as_slice()) || file.to.as_ref().is_some_and(|to| matches(to.as_slice()))
        }
        Body::Reads(reads) => matches(reads.path.as_slice()),
        Body::Setting(set) => matches(set.path.as_slice()),
        Body::Setattr(_, set) => matches(set.path.as_slice()),
        Body::Xattr(set) => matches(set.path.as_slice()),
        Body::Allocate(done) => matches(done.path.as_slice()),
        _ => false,
    }
}

/// `*` stands for any bytes, also `/`; `?` for one byte. Linear: goes back to the last star only.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(want) if *want == b'?' || want == byte => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    p = back + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs_match_as_a_whole() {
        for (pattern, text, want) in [
            ("/etc/*", "/etc/ssh/sshd_config", true),
            ("*.conf", "/etc/a.conf", true),
            ("*.conf", "/etc/a.conf.bak", false),
            ("/etc/?osts", "/etc/hosts", true),
            ("/etc/?osts", "/etc/osts", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbx", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }
}
