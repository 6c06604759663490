//! What lay in programs and files, in words. File names and diffs are a recorded person's: everything is escaped.

use std::fmt::Write as _;

use super::brief;
use crate::model::{Bytes, Changed, Digested, Found, Why, acts};

/// Lines of a diff that a timeline shows, and characters of each.
const HEAD: usize = 12;
const WIDE: usize = 160;

/// A program and what lay in it.
pub(crate) fn digest(d: &Digested) -> String {
    let why = d.why.name().unwrap_or("unknown").replace('_', " ");
    if d.path.is_empty() {
        return format!("{} programs without a digest: {why}", d.count);
    }
    let path = d.path.escaped();
    match d.found.as_ref().and_then(|found| found.sha256.map(|sha256| (found, sha256))) {
        Some((found, sha256)) => format!("{path} {} bytes, sha256 {}", found.size, brief::digest(sha256)),
        None => format!("{path} without a digest: {why}"),
    }
}

/// `/etc/ssh/sshd_config (sshd) 3289 -> 3301 bytes`.
pub(crate) fn changed(c: &Changed) -> String {
    let why = c.why.name().map(|why| why.replace('_', " "));
    if c.path.is_empty() {
        return format!("{} files without a digest: {}", c.count, why.unwrap_or_default());
    }
    let mut text = c.path.escaped();
    if let Some(class) = c.class.name() {
        let _ = write!(text, " ({class})");
    }
    if let Some(other) = &c.other {
        let word = if c.acts & acts::RENAMED != 0 { "moved from" } else { "moved to" };
        let _ = write!(text, " {word} {}", other.escaped());
    }
    match (&c.before, &c.after, &c.link) {
        (_, _, Some(link)) => {
            let _ = write!(text, " is a link to {}", link.escaped());
        }
        (Some(before), Some(after), _) => between(&mut text, before, after),
        (None, Some(after), _) => {
            let _ = write!(text, " {} bytes{}", after.size, attributes(after));
        }
        (before, None, None) => {
            match &why {
                Some(why) if c.why != Why::Gone => {
                    let _ = write!(text, ", no digest: {why}");
                }
                _ if c.acts & acts::MOVED != 0 => {}
                _ => text.push_str(" is gone"),
            }
            if let Some(before) = before {
                let _ = write!(text, ", had {} bytes", before.size);
            }
        }
    }
    if let Some(sha256) = c.after.as_ref().and_then(|found| found.sha256) {
        let _ = write!(text, ", sha256 {}", brief::digest(sha256));
    } else if let (Some(why), Some(_)) = (why, &c.after) {
        let _ = write!(text, ", no digest: {why}");
    }
    if c.untouched != 0 {
        text.push_str(", seems untouched");
    }
    text
}

fn attributes(found: &Found) -> String {
    let special =
        if found.mode & 0o6000 != 0 { format!(" mode {:o}", found.mode & 0o7777) } else { String::new() };
    let caps = if found.caps == 0 { "" } else { " with capabilities" };
    format!("{special}{caps}")
}

fn between(text: &mut String, before: &Found, after: &Found) {
    if before.size == after.size {
        let _ = write!(text, " {} bytes", after.size);
    } else {
        let _ = write!(text, " {} -> {} bytes", before.size, after.size);
    }
    if before.mode != after.mode {
        let _ = write!(text, ", mode {:o} -> {:o}", before.mode & 0o7777, after.mode & 0o7777);
    }
    if (before.uid, before.gid) != (after.uid, after.gid) {
        let _ = write!(text, ", owner {}:{} -> {}:{}", before.uid, before.gid, after.uid, after.gid);
    }
    if before.caps != after.caps {
        text.push_str(if after.caps == 0 {
            ", gives no capabilities now"
        } else {
            ", gives capabilities now"
        });
    }
}

/// Every line of a diff that is there, safe to print.
pub(crate) fn lines(c: &Changed) -> Vec<String> {
    let text = c.diff.as_ref().map(|diff| diff.text.as_slice()).filter(|text| !text.is_empty());
    let Some(text) = text else { return Vec::new() };
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|b| *b == b'\n').map(|line| Bytes::from(line).escaped()).collect()
}

/// The first lines of a diff, each safe to print, and what is not shown.
pub(crate) fn head(c: &Changed) -> Vec<String> {
    let all = lines(c);
    let short = |line: &String| {
        let short: String = line.chars().take(WIDE).collect();
        if short.len() < line.len() { format!("{short}…") } else { short }
    };
    let mut shown: Vec<String> = all.iter().take(HEAD).map(short).collect();
    if all.len() > shown.len() {
        let bytes = c.diff.as_ref().map_or(0, |diff| diff.bytes);
        shown.push(format!("... {} more lines, {bytes} bytes in all", all.len() - shown.len()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::args::Format;
    use super::super::events::Wanted;
    use super::super::tests::{events, timeline};
    use crate::index::fixture::{self as fx, Fixture};
    use crate::model::{Body, Bytes, Changed, Class, Diff, Digest, Digested, Found, RealNanos, Why, acts};

    fn found(size: u64, n: u8) -> Found {
        let time = RealNanos::new(1_700_000_000_000_000_000);
        let sha256 = Some(Digest::new([n; 32]));
        Found { size, mode: 0o100_644, mtime: time, ctime: time, sha256, ..Found::default() }
    }

    fn story() -> Fixture {
        let mut f = Fixture::with_session();
        let changed = |path: &str, acts, before, after| Changed {
            path: Bytes::from(path),
            acts,
            before,
            after,
            count: 1,
            ..Changed::default()
        };
        let programs = [
            Digested {
                path: Bytes::from("/usr/bin/vi"),
                ino: 7,
                found: Some(found(9, 1)),
                count: 1,
                ..Digested::default()
            },
            Digested { path: Bytes::from("/tmp/\u{1b}[2J"), why: Why::Gone, count: 1, ..Digested::default() },
            Digested { why: Why::QueueFull, count: 3, ..Digested::default() },
        ];
        for program in programs {
            f.of(1, Some(fx::task(100, 90, "vi")), Body::Digest(Box::new(program)));
        }
        let lines: String = (0..20)
            .flat_map(|n: u8| ["+line ".to_owned(), n.to_string(), " \u{1b}[31m\u{202e}\n".to_owned()])
            .collect();
        let files = [
            Changed {
                class: Class::Sshd,
                diff: Some(Diff {
                    text: Bytes::from(format!("@@ -1,0 +1,20 @@\n{lines}").as_str()),
                    bytes: 70_000,
                }),
                ..changed("/etc/ssh/sshd_config", acts::WRITTEN, Some(found(3289, 1)), Some(found(3301, 2)))
            },
            Changed {
                class: Class::Setuid,
                ..changed(
                    "/usr/bin/tool",
                    acts::OTHER,
                    Some(found(5, 1)),
                    Some(Found { mode: 0o104_755, uid: 7, caps: 1, ..found(5, 1) }),
                )
            },
            Changed {
                no_diff: Why::Secret,
                class: Class::Passwd,
                other: Some(Bytes::from("/etc/nshadow")),
                ..changed("/etc/shadow", acts::RENAMED, None, Some(found(9, 1)))
            },
            Changed { why: Why::Gone, ..changed("/etc/x", acts::REMOVED, Some(found(3, 1)), None) },
            Changed {
                why: Why::Gone,
                other: Some(Bytes::from("/srv/y")),
                ..changed("/etc/y", acts::MOVED, Some(found(3, 1)), None)
            },
            Changed {
                link: Some(Bytes::from("../\u{9b}z")),
                ..changed("/etc/z", acts::RENAMED, None, Some(found(4, 1)))
            },
            Changed {
                why: Why::TooLarge,
                untouched: 1,
                ..changed("/srv/big", acts::WRITTEN, None, Some(Found { sha256: None, ..found(1 << 40, 1) }))
            },
            Changed { why: Why::Late, ..changed("/srv/late", acts::WRITTEN, None, None) },
            Changed { why: Why::Beyond, count: 12, ..Changed::default() },
        ];
        for file in files {
            f.of(1, Some(fx::task(100, 90, "vi")), Body::Changed(Box::new(file)));
        }
        f
    }

    #[test]
    fn d4_what_changed_is_told_in_plain_words() {
        let f = story();
        assert_snapshot!(timeline(&f, false, Format::Table).out);
        assert_snapshot!(timeline(&f, true, Format::Ndjson).out);
        assert_snapshot!(events(&f, None, &Wanted::default(), Format::Table).out);
        assert_snapshot!(events(&f, None, &Wanted::default(), Format::Ndjson).out);
        let path = Wanted { path: Some("sshd_config".into()), ..Wanted::default() };
        assert_eq!(events(&f, None, &path, Format::Ndjson).out.lines().count(), 1);
    }
}
