//! Secrets in free text: well-known forms, headers, addresses, and `name = value` in the ways that files write it.

use std::borrow::Cow;
use std::ops::Range;

use regex::bytes::Regex;

use super::names::{self, Kind};
use super::words::is_reference;
use super::{Found, MARK};
use crate::config;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An argument: a value ends at a blank, unless it is quoted.
    Argument,
    /// Lines of a file: a value may go to the end of its line.
    File,
}

/// Characters of a name before a value; longer ones are none.
const LONGEST_NAME: usize = 128;
/// Longer values are not taken for a path or for a reference, nor for something that only looks random.
const MOST_DOUBTFUL: usize = 512;
/// Blanks beside `=` and `:`.
const BLANKS: usize = 16;

/// Keys of people and machines, as they are published: by their own beginnings.
const TOKENS: &str = concat!(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}\b|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    r"|xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*",
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}|AIza[0-9A-Za-z_-]{35}|ya29\.[A-Za-z0-9_-]{20,}",
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{16,}|hv[sbr]\.[A-Za-z0-9_-]{20,}|dop_v1_[a-f0-9]{40,}|shpat_[a-f0-9]{20,}",
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}|tskey-[a-z]+-[A-Za-z0-9-]{10,})",
    r"|hooks\.slack\.com/services/([A-Za-z0-9/_-]{10,})",
);
/// crypt(5): what can be tried offline is as good as a secret.
const CRYPT: &str = r"\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|argon2(?:i|d|id))\$[A-Za-z0-9./$=,+-]{16,}";
/// RFC 3986: user information. Without a user name, too.
const ADDRESS: &str = r#"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/?#'"<>:@]*:([^\s/?#'"<>]+)@"#;
const HEADER: &str = concat!(
    r#"(?i)authorization["']?[ \t]*[:=][ \t]*\\?["']?(?:(?:bearer|basic|token|negotiate|apikey)[ \t]+([^\s"'\\]+)"#,
    r#"|(?:digest|hawk|signature|aws4-hmac-sha256)[ \t]+([^\r\n]+)|([^\s"'\\]+))"#,
);
const BEARER: &str = r"(?i)\bbearer[ \t]+([A-Za-z0-9._~+/=-]{8,})";
const COOKIE: &str = r#"(?i)\b(?:set-)?cookie2?["']?[ \t]*:[ \t]*["']?([^"'\r\n]+)"#;
const SQL: &str = concat!(
    r#"(?is)\b(?:identified[ \t\r\n]+(?:with[ \t\r\n]+\S+[ \t\r\n]+)?(?:by|as)[ \t\r\n]+(?:password[ \t\r\n]+)?"#,
    r#"|password(?:[ \t\r\n]*[=(][ \t\r\n]*\(?|[ \t\r\n]+(?:to[ \t\r\n]+)?)|secret[ \t\r\n]+)(?:'([^']+)|\\?"([^"\\]+))"#,
);
const PEM: &str = concat!(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----((?s-u:.*?))(?:-----END|\z)",
    r"|Private-Lines: [0-9]+((?s-u:.*?))(?:Private-MAC|\z)",
);

/// What free text is searched for.
#[derive(Debug)]
pub(super) struct Patterns {
    known: Vec<(&'static str, &'static [u8], Regex)>,
    own: Vec<Regex>,
    names: Vec<Vec<String>>,
}

impl Patterns {
    pub(super) fn new(names: &[String], patterns: &[String]) -> Result<Self, regex::Error> {
        // Rule, what must be there for the pattern to be tried at all, pattern.
        let known: [(&str, &[u8], &str); 8] = [
            ("private-key", b"", PEM),
            ("token", b"", TOKENS),
            ("crypt", b"$", CRYPT),
            ("address", b"://", ADDRESS),
            ("header", b"", HEADER),
            ("header", b"", BEARER),
            ("header", b"", COOKIE),
            ("sql", b"", SQL),
        ];
        let compiled = known.into_iter().map(|(rule, needs, text)| Ok((rule, needs, config::compile(text)?)));
        Ok(Self {
            known: compiled.collect::<Result<_, regex::Error>>()?,
            own: patterns.iter().map(|text| config::compile(text)).collect::<Result<_, _>>()?,
            names: names.iter().map(|name| names::words(name.as_bytes())).collect(),
        })
    }

    /// What a name says about its value.
    pub(super) fn kind(&self, name: &[u8]) -> Kind {
        names::kind(name, &self.names)
    }

    /// Everything that is found.
    pub(super) fn scan(&self, text: &[u8], form: Form) -> Vec<Found> {
        let mut found = Vec::new();
        for (rule, needs, pattern) in &self.known {
            if needs.is_empty() || text.windows(needs.len()).any(|part| part == *needs) {
                matches(pattern, &|| Cow::Borrowed(rule), text, &mut found);
            }
        }
        for (no, pattern) in (1..).zip(&self.own) {
            matches(pattern, &|| Cow::Owned(format!("pattern-{no}")), text, &mut found);
        }
        let mut at = 0;
        while let Some(next) = text.get(at..).and_then(|rest| rest.iter().position(|b| b"=:>".contains(b))) {
            let sign = at.saturating_add(next);
            if let Some((value, rule)) = self.pair(text, sign, form) {
                // What stands in a value is part of it.
                at = value.end.max(sign.saturating_add(1));
                found.extend(Found::of(text, value, rule));
            } else {
                at = sign.saturating_add(1);
            }
        }
        if form == Form::File {
            self.directives(text, &mut found);
        }
        found
    }

    /// The value behind the sign at that place, if the name before it says that it is a secret.
    fn pair(&self, text: &[u8], sign: usize, form: Form) -> Option<(Range<usize>, &'static str)> {
        let (name, spaced) = name_before(text, sign)?;
        let kind = self.kind(text.get(name.clone())?);
        if kind == Kind::Plain {
            return None;
        }
        let mark = *text.get(sign)?;
        let before = name.start.checked_sub(1).and_then(|at| text.get(at)).copied();
        let mut from = sign.saturating_add(1);
        let follows = text.get(from).copied();
        match (mark, follows) {
            // `==`, `::`, `://` and `=~` set nothing.
            (b'=', Some(b'=' | b'~')) | (b':', Some(b':' | b'/')) => return None,
            (b':', Some(b'=' | b'-' | b'?')) | (b'=', Some(b'>')) => from = from.saturating_add(1),
            // <password>x</password>
            (b'>', _) if before != Some(b'<') => return None,
            _ => {}
        }
        // `$X = y` compares; `${X:-y}` says what stands for it.
        if before == Some(b'$') || (before == Some(b'{') && mark == b'=') {
            return None;
        }
        if mark == b'='
            && !spaced
            && text.get(from).is_some_and(|b| b" \t".contains(b))
            && form == Form::Argument
        {
            return None;
        }
        let blanks = text.get(from..)?.iter().take(BLANKS).take_while(|b| b" \t".contains(b)).count();
        from = from.saturating_add(blanks);
        let line_starts = text
            .get(..name.start)?
            .iter()
            .rev()
            .take_while(|b| **b != b'\n')
            .all(|b| b"+- \t\"'".contains(b));
        let upper = text.get(name)?.iter().any(u8::is_ascii_uppercase) && mark == b'=' && !spaced;
        let to_end = form == Form::File && (mark == b':' || spaced || (line_starts && !upper));
        // What may be a secret and is not would be looked through for each name in it.
        let text = match kind {
            Kind::Perhaps => text.get(..from.saturating_add(MOST_DOUBTFUL).min(text.len()))?,
            _ => text,
        };
        let value = match mark {
            b'>' => until(text, from, |rest| rest.starts_with(b"<")),
            _ => value_at(text, from, to_end, before == Some(b'{')),
        };
        let bytes = text.get(value.clone())?;
        if form == Form::File && block_scalar(bytes) {
            return Some((indented(text, sign, value.end), "name"));
        }
        let literal = value.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'\'');
        let doubtful = bytes.len() < MOST_DOUBTFUL;
        let fits = !doubtful || (names::fits(kind, bytes) && (literal || !is_reference(bytes)));
        (fits && (doubtful || kind != Kind::Perhaps)).then_some((value, "name"))
    }

    /// `requirepass x`, and `password x` beside a login, as netrc, redis and LDAP write it.
    fn directives(&self, text: &[u8], found: &mut Vec<Found>) {
        const PAM: [&[u8]; 6] =
            [b"required", b"requisite", b"sufficient", b"optional", b"include", b"substack"];
        let mut start = 0;
        for line in text.split(|b| *b == b'\n') {
            let words = line.split(|b| b" \t\r".contains(b)).filter(|w| !w.is_empty()).take(3).count();
            let said = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
            let sets = words == 2 || said(b"login ") || said(b"machine ");
            let mut before: Option<&[u8]> = None;
            let mut at = 0;
            for word in line.split(|b| b" \t\r".contains(b)) {
                let here = start + at;
                at += word.len() + 1;
                if word.is_empty() {
                    continue;
                }
                let named = before.is_some_and(|name| {
                    let plain = name.iter().all(|b| b.is_ascii_alphanumeric() || b"+-_.".contains(b));
                    plain && matches!(self.kind(name), Kind::Secret)
                });
                let value = !PAM.contains(&word) && word.first().is_some_and(|b| !b"=:[({".contains(b));
                if named && sets && value && names::fits(Kind::Secret, word) {
                    let quotes = |b: &u8| b"\"'".contains(b);
                    let open = word.iter().take_while(|b| quotes(b)).count();
                    let shut = word.iter().rev().take_while(|b| quotes(b)).count();
                    let end = (here + word.len()).saturating_sub(shut).max(here + open);
                    found.extend(Found::of(text, here + open..end, "directive"));
                }
                before = Some(word);
            }
            start += line.len() + 1;
        }
    }
}

fn matches(pattern: &Regex, rule: &dyn Fn() -> Cow<'static, str>, text: &[u8], found: &mut Vec<Found>) {
    for all in pattern.captures_iter(text) {
        let group = all.iter().skip(1).flatten().next().or_else(|| all.get(0));
        let Some(part) = group else { continue };
        let range = part.range();
        // What was taken out already is no secret, nor is a word of it.
        let from = range.start.saturating_sub(MARK.len());
        let around = text.get(from..range.end.saturating_add(MARK.len()).min(text.len())).unwrap_or_default();
        let inside = around.windows(MARK.len()).position(|w| w == MARK).is_some_and(|at| {
            let mark = from + at..from + at + MARK.len();
            mark.start <= range.start && range.end <= mark.end
        });
        if !inside && !is_reference(part.as_bytes()) {
            found.extend(Found::of(text, range, rule()));
        }
    }
}

/// The name that ends before `sign`, and whether a blank stands between. A closing quote belongs to neither.
fn name_before(text: &[u8], sign: usize) -> Option<(Range<usize>, bool)> {
    let head = text.get(..sign)?;
    let blanks = head.iter().rev().take(BLANKS).take_while(|b| b" \t".contains(b)).count();
    let mut end = sign.saturating_sub(blanks);
    let quotes = text.get(..end)?.iter().rev().take(2).take_while(|b| b"\"'\\]".contains(b)).count();
    end = end.saturating_sub(quotes);
    let of_name = |b: &&u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let len = text.get(..end)?.iter().rev().take(LONGEST_NAME + 1).take_while(of_name).count();
    // `+=` and the like.
    (len > 0 && len <= LONGEST_NAME).then(|| (end.saturating_sub(len)..end, blanks > 0))
}

/// The value that begins at `from`.
fn value_at(text: &[u8], from: usize, to_end: bool, braced: bool) -> Range<usize> {
    let rest = text.get(from..).unwrap_or_default();
    for quote in [&b"\"\"\""[..], b"'''", b"\\\"", b"\"", b"'", b"`"] {
        if rest.starts_with(quote) {
            let start = from.saturating_add(quote.len());
            return closed(text, start, quote);
        }
    }
    if braced {
        return until(text, from, |rest| rest.starts_with(b"}"));
    }
    if to_end {
        let mut line =
            until(text, from, |rest| rest.starts_with(b"\n") || rest.starts_with(b" #") || next_pair(rest));
        while line.end > line.start && text.get(line.end - 1).is_some_and(|b| b" \t\r,;".contains(b)) {
            line.end -= 1;
        }
        return line;
    }
    until(text, from, |rest| {
        let stops = |b: &u8| b.is_ascii_whitespace() || b"\"'`<".contains(b);
        rest.first().is_some_and(stops) || next_pair(rest) || next_command(rest)
    })
}

/// Up to the quote; without one, to the end.
fn closed(text: &[u8], start: usize, quote: &[u8]) -> Range<usize> {
    let mut at = start;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return start..at;
        }
        let escapes = quote == b"\"" && rest.first() == Some(&b'\\');
        at = at.saturating_add(if escapes { 2 } else { 1 }).min(text.len());
    }
    start..text.len()
}

fn until(text: &[u8], from: usize, ends: impl Fn(&[u8]) -> bool) -> Range<usize> {
    let mut at = from.min(text.len());
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if ends(rest) {
            break;
        }
        at = at.saturating_add(1);
    }
    from.min(text.len())..at
}

/// True where a separator stands and behind it the next `name=`, or nothing more.
fn next_pair(rest: &[u8]) -> bool {
    let [b'&' | b';' | b',', rest @ ..] = rest else { return false };
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    let of_name = |b: &&u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let name = rest.iter().take(LONGEST_NAME).take_while(of_name).count();
    let behind = rest.get(name..).unwrap_or_default();
    let behind = behind.strip_prefix(b"\"").unwrap_or(behind);
    rest.is_empty() || (name > 0 && behind.first().is_some_and(|b| b"=:".contains(b)))
}

/// True where a sign stands that ends a shell's command, and nothing that could be a secret's own goes on behind it.
fn next_command(rest: &[u8]) -> bool {
    match rest {
        [b';' | b')' | b'|' | b'&'] => true,
        [b';' | b')' | b'|' | b'&', next, ..] => next.is_ascii_whitespace() || b";)|&".contains(next),
        _ => false,
    }
}

/// `|`, `>-` and the like: the value stands in the lines that follow.
fn block_scalar(value: &[u8]) -> bool {
    matches!(value, [b'|' | b'>'] | [b'|' | b'>', b'+' | b'-'])
}

/// The lines from `end` on that stand deeper than the one of `sign`.
fn indented(text: &[u8], sign: usize, end: usize) -> Range<usize> {
    let depth = |line: &[u8]| line.iter().take_while(|b| b"+- \t".contains(b)).count();
    let head = text.get(..sign).unwrap_or_default();
    let line = head.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let own = depth(head.get(line..).unwrap_or_default());
    let start = end.saturating_add(1).min(text.len());
    let mut at = start;
    for line in text.get(start..).unwrap_or_default().split_inclusive(|b| *b == b'\n') {
        if !line.trim_ascii().is_empty() && depth(line) <= own {
            break;
        }
        at += line.len();
    }
    let mut first = start;
    while first < at && text.get(first).is_some_and(|b| b" \t".contains(b)) {
        first += 1;
    }
    while at > first && text.get(at - 1).is_some_and(u8::is_ascii_whitespace) {
        at -= 1;
    }
    first..at
}
