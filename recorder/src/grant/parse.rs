//! Reads a document. docs/grants.md is the law; whatever it doesn't allow is refused with the key that it lies in.

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::certificate::{Certificate, FOREVER};
use super::document::{
    Answer, Certified, Document, DocumentError, Extension, Import, Incident, MAX_DOCUMENT, Nonce, Note,
    Privilege, Request, Statement, Token, Window,
};
use crate::model::{Digest, RealNanos};

/// The only version there is.
const VERSION: i64 = 1;
/// Longest name of a person or a tracker, in bytes.
const MAX_NAME: usize = 256;
/// Longest free text, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest address, in bytes.
const MAX_URL: usize = 2048;
/// Longest host name (RFC 1035), in bytes; a pattern has no reason to be longer.
const MAX_HOST: usize = 255;
/// Most hosts and most privileges of one request.
const MAX_LIST: usize = 64;

impl Document {
    /// Reads the bytes; they are what was signed, so they are never written again to be checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong { bytes: bytes.len(), most: MAX_DOCUMENT });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| DocumentError::Syntax("the text is not UTF-8".to_owned()))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|e| syntax(text, &e))?;
        match table.remove("version") {
            Some(toml::Value::Integer(VERSION)) => {}
            Some(_) => return fault("version", "only 1 exists"),
            None => return fault("version", "is missing"),
        }
        let kind = take(&mut table, "kind")?;
        let signer = name("signer", take(&mut table, "signer")?)?;
        let made = time("made", &take(&mut table, "made")?)?;
        let nonce = nonce(&take(&mut table, "nonce")?)?;
        let statement = statement(&kind, &signer, table)?;
        Ok(Self { id: Digest::new(Sha256::digest(bytes).into()), signer, made, nonce, statement })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    person: String,
    hosts: Vec<String>,
    from: String,
    until: String,
    privileges: Vec<String>,
    reason: String,
    incident: Option<RawIncident>,
    #[serde(default)]
    token: bool,
}

/// No window: it is the certificate's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    person: String,
    hosts: Vec<String>,
    privileges: Vec<String>,
    reason: String,
    incident: Option<RawIncident>,
    #[serde(default)]
    token: bool,
    certificate: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    request: String,
    person: String,
    host: String,
    from: String,
    until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIncident {
    system: String,
    id: String,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    request: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtension {
    request: String,
    until: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNote {
    person: String,
    incident: RawIncident,
    #[serde(default)]
    text: String,
}

fn statement(kind: &str, signer: &str, table: toml::Table) -> Result<Statement, DocumentError> {
    Ok(match kind {
        "request" => Statement::Request(request(body(table)?)?),
        "approval" => Statement::Approval(answer(body(table)?, false)?),
        "rejection" => Statement::Rejection(answer(body(table)?, true)?),
        "revocation" => Statement::Revocation(answer(body(table)?, true)?),
        "extension" => Statement::Extension(extension(body(table)?)?),
        "break_glass" => {
            let request = request(body(table)?)?;
            if request.person != signer {
                return fault("person", "breaks glass for himself only: it has to be the signer");
            }
            Statement::BreakGlass(request)
        }
        "note" => Statement::Note(note(body(table)?)?),
        "certificate" => Statement::Certificate(Box::new(certified(body(table)?)?)),
        "import" => Statement::Import(Box::new(import(table)?)),
        "token" => Statement::Token(token(body(table)?)?),
        _ => {
            return fault(
                "kind",
                "expected request, approval, rejection, revocation, extension, break_glass, note, certificate, \
                 import or token",
            );
        }
    })
}

fn request(raw: RawRequest) -> Result<Request, DocumentError> {
    let window = window(&raw.from, &raw.until)?;
    Ok(Request {
        person: name("person", raw.person)?,
        hosts: hosts(raw.hosts)?,
        window,
        privileges: privileges(&raw.privileges)?,
        reason: needed("reason", raw.reason)?,
        incident: raw.incident.map(incident).transpose()?,
        token: raw.token,
    })
}

fn window(from: &str, until: &str) -> Result<Window, DocumentError> {
    let window = Window { from: time("from", from)?, until: time("until", until)? };
    if window.from < window.until { Ok(window) } else { fault("until", "has to be later than from") }
}

fn certified(raw: RawCertificate) -> Result<Certified, DocumentError> {
    // The form that is written, and no other: no comment, no other blanks.
    let certificate = Certificate::from_openssh(&raw.certificate)
        .map_err(|e| DocumentError::Value { key: "certificate", why: e.to_string() })?;
    if certificate.to_string() != raw.certificate {
        return fault("certificate", "has to be TYPE, a blank and base64");
    }
    if !certificate.is_for_user() {
        return fault("certificate", "is a host's");
    }
    // These say how one logs in, which sshd has seen to; others may say what one may do there.
    let login = ["source-address", "verify-required"];
    if let Some(name) = certificate.critical_options().find(|name| !login.contains(name)) {
        return fault("certificate", &format!("its critical option {name:?} is more than a grant can keep"));
    }
    let seconds = |seconds: u64| RealNanos::new(seconds.saturating_mul(1_000_000_000));
    let window =
        Window { from: seconds(certificate.valid_after()), until: seconds(certificate.valid_before()) };
    if certificate.valid_before() == FOREVER || window.from >= window.until {
        return fault("certificate", "has no end, or ends before it begins");
    }
    let request = Request {
        person: name("person", raw.person)?,
        hosts: hosts(raw.hosts)?,
        window,
        privileges: privileges(&raw.privileges)?,
        reason: needed("reason", raw.reason)?,
        incident: raw.incident.map(incident).transpose()?,
        token: raw.token,
    };
    Ok(Certified { request, certificate })
}

fn import(mut table: toml::Table) -> Result<Import, DocumentError> {
    let system = word("system", take(&mut table, "system")?)?;
    let external_id = limited("external_id", take(&mut table, "external_id")?, MAX_NAME)?;
    if external_id.trim().is_empty() {
        return fault("external_id", "is empty");
    }
    let source = digest("source", &take(&mut table, "source")?)?;
    let approvers = match table.remove("approvers") {
        Some(toml::Value::Array(names)) if names.len() <= MAX_LIST => names,
        Some(_) => return fault("approvers", &format!("has to be a list of at most {MAX_LIST} names")),
        None => return fault("approvers", "is missing"),
    };
    let approvers = approvers.into_iter().map(|value| match value {
        toml::Value::String(text) => name("approvers", text),
        _ => fault("approvers", "has to be a list of names"),
    });
    let approvers = approvers.collect::<Result<_, _>>()?;
    Ok(Import { request: request(body(table)?)?, system, external_id, approvers, source })
}

fn token(raw: RawToken) -> Result<Token, DocumentError> {
    let known = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if raw.host.is_empty() || raw.host.len() > MAX_HOST || !raw.host.chars().all(known) {
        return fault("host", "has to be the name of one host: letters, digits, `.`, `-`, `_`");
    }
    Ok(Token {
        request: digest("request", &raw.request)?,
        person: name("person", raw.person)?,
        host: raw.host,
        window: window(&raw.from, &raw.until)?,
    })
}

fn answer(raw: RawAnswer, needs_reason: bool) -> Result<Answer, DocumentError> {
    let reason = if needs_reason { needed("reason", raw.reason) } else { text("reason", raw.reason) }?;
    Ok(Answer { request: digest("request", &raw.request)?, reason })
}

fn extension(raw: RawExtension) -> Result<Extension, DocumentError> {
    Ok(Extension {
        request: digest("request", &raw.request)?,
        until: time("until", &raw.until)?,
        reason: text("reason", raw.reason)?,
    })
}

fn note(raw: RawNote) -> Result<Note, DocumentError> {
    Ok(Note {
        person: name("person", raw.person)?,
        incident: incident(raw.incident)?,
        text: text("text", raw.text)?,
    })
}

fn incident(raw: RawIncident) -> Result<Incident, DocumentError> {
    let system = word("incident.system", raw.system)?;
    let id = limited("incident.id", raw.id, MAX_NAME)?;
    if id.trim().is_empty() {
        return fault("incident.id", "is empty");
    }
    let url = raw.url.map(|url| limited("incident.url", url, MAX_URL)).transpose()?;
    if url.as_deref().is_some_and(|url| {
        !(url.starts_with("https://") || url.starts_with("http://")) || url.contains(char::is_whitespace)
    }) {
        return fault("incident.url", "has to begin with https:// or http:// and hold no blank");
    }
    Ok(Incident { system, id, url })
}

/// The name of a system.
fn word(key: &'static str, text: String) -> Result<String, DocumentError> {
    let text = limited(key, text, MAX_NAME)?;
    if text.is_empty() || text.contains(':') || text.contains(char::is_whitespace) {
        return fault(key, "has to be one word without a colon");
    }
    Ok(text)
}

fn hosts(patterns: Vec<String>) -> Result<Vec<String>, DocumentError> {
    if patterns.len() > MAX_LIST {
        return fault("hosts", &format!("more than {MAX_LIST}"));
    }
    for pattern in &patterns {
        let rest = pattern.strip_prefix('!').unwrap_or(pattern);
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_*?".contains(c);
        if rest.is_empty() || rest.len() > MAX_HOST || !rest.chars().all(known) {
            return fault(
                "hosts",
                "a pattern has letters, digits, `.`, `-`, `_`, `*`, `?`, and one `!` in front",
            );
        }
    }
    // A list that only takes out allows nothing, which nobody means.
    if patterns.iter().all(|pattern| pattern.starts_with('!')) {
        return fault("hosts", "takes no host in");
    }
    Ok(patterns)
}

fn privileges(words: &[String]) -> Result<Vec<Privilege>, DocumentError> {
    if words.is_empty() {
        return fault("privileges", "is empty");
    }
    if words.len() > MAX_LIST {
        return fault("privileges", &format!("more than {MAX_LIST}"));
    }
    words.iter().map(|word| word.parse()).collect()
}

impl std::str::FromStr for Privilege {
    type Err = DocumentError;

    fn from_str(word: &str) -> Result<Self, DocumentError> {
        if word == "root" {
            return Ok(Self::Root);
        }
        if let Some(name) = word.strip_prefix("user:") {
            let name = limited("privileges", name.to_owned(), MAX_NAME)?;
            let known = |c: char| !c.is_whitespace() && !matches!(c, ':' | '/' | ',');
            if name.is_empty() || !name.chars().all(known) {
                return fault("privileges", "user: needs the name of an account");
            }
            return Ok(Self::User(name));
        }
        if let Some(glob) = word.strip_prefix("command:") {
            let glob = limited("privileges", glob.to_owned(), MAX_TEXT)?;
            if glob.trim().is_empty() {
                return fault("privileges", "command: needs a pattern");
            }
            return Ok(Self::Command(glob));
        }
        fault("privileges", "expected root, user:NAME or command:GLOB")
    }
}

/// Somebody's name in a list of signers. Characters that have a meaning there would let one name stand for others.
fn name(key: &'static str, text: String) -> Result<String, DocumentError> {
    let text = limited(key, text, MAX_NAME)?;
    if text.is_empty() {
        return fault(key, "is empty");
    }
    if text.trim() != text || text.starts_with(['!', '#']) || text.contains(['*', '?', ',', '"']) {
        return fault(
            key,
            "a name holds none of `*`, `?`, `,`, `\"`, begins with no `!`, `#`, blank and ends with no blank",
        );
    }
    Ok(text)
}

fn needed(key: &'static str, raw: String) -> Result<String, DocumentError> {
    let raw = text(key, raw)?;
    if raw.trim().is_empty() { fault(key, "is empty") } else { Ok(raw) }
}

fn text(key: &'static str, raw: String) -> Result<String, DocumentError> {
    limited(key, raw, MAX_TEXT)
}

fn limited(key: &'static str, raw: String, most: usize) -> Result<String, DocumentError> {
    if raw.len() > most {
        return fault(key, &format!("has {} bytes, at most {most} are allowed", raw.len()));
    }
    if raw.chars().any(char::is_control) {
        return fault(key, "holds a control character");
    }
    Ok(raw)
}

/// RFC 3339 in UTC, `T` and `Z` in upper case, up to nine digits of a second; 1970 to 2554.
fn time(key: &'static str, text: &str) -> Result<RealNanos, DocumentError> {
    let parsed = || {
        let (whole, rest) = text.split_at_checked(19)?;
        let fraction = rest.strip_suffix('Z')?;
        let digits = fraction.strip_prefix('.').unwrap_or("0");
        if (!fraction.is_empty() && !fraction.starts_with('.'))
            || !(1..=9).contains(&digits.len())
            || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let time: Timestamp = text.parse().ok()?;
        // What would be another moment when written again (a leap second, another calendar form) is no moment here.
        let again = time.to_string();
        if again.get(..19)? != whole {
            return None;
        }
        u64::try_from(time.as_nanosecond()).ok().map(RealNanos::new)
    };
    parsed().map_or_else(|| fault(key, "expected a time in UTC such as \"2026-11-21T02:31:00Z\""), Ok)
}

fn digest(key: &'static str, text: &str) -> Result<Digest, DocumentError> {
    Digest::from_hex(text).filter(|digest| digest.to_string() == text).map_or_else(
        || fault(key, "expected 64 lower-case hex digits, the SHA-256 of the request's bytes"),
        Ok,
    )
}

fn nonce(text: &str) -> Result<Nonce, DocumentError> {
    Nonce::from_hex(text).map_or_else(|| fault("nonce", "expected 32 lower-case hex digits"), Ok)
}

fn take(table: &mut toml::Table, key: &'static str) -> Result<String, DocumentError> {
    match table.remove(key) {
        Some(toml::Value::String(text)) => Ok(text),
        Some(_) => fault(key, "has to be a text in quotes"),
        None => fault(key, "is missing"),
    }
}

fn body<T: serde::de::DeserializeOwned>(table: toml::Table) -> Result<T, DocumentError> {
    table.try_into().map_err(|e: toml::de::Error| {
        DocumentError::Syntax(e.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> DocumentError {
    let line = error.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
    DocumentError::Syntax(format!("line {line}: {}", error.message()))
}

fn fault<T>(key: &'static str, why: &str) -> Result<T, DocumentError> {
    Err(DocumentError::Value { key, why: why.to_owned() })
}
