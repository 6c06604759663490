//! Documents of retention as text: TOML with known keys only, limits for every value, one form for one meaning.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::super::key::sha256;
use crate::model::{Digest, LogId, RealNanos, SessionId, quoted};

/// Longest document in bytes.
pub const MAX_DOCUMENT: usize = 64 << 10;
/// Longest name of a person or a tracker, in bytes.
const MAX_NAME: usize = 256;
/// Longest free text, in bytes.
const MAX_TEXT: usize = 4096;

/// Why bytes are no document of retention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// Longer than any honest one.
    #[error("a document has at most {MAX_DOCUMENT} bytes, this has {bytes}")]
    TooLong {
        /// Found.
        bytes: usize,
    },
    /// Not TOML, or with keys that a document doesn't have.
    #[error("{0}")]
    Syntax(String),
    /// A value that makes no sense.
    #[error("{key}: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// Why.
        why: String,
    },
}

/// What every signed document of retention says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// SHA-256 of the document's bytes: its name.
    pub id: Digest,
    /// Who says it, as the list of signers calls him.
    pub signer: String,
    /// When he says he made it.
    pub made: RealNanos,
}

/// Who is about to sign a document, and what makes it different from all others.
#[derive(Clone, Debug)]
pub struct Maker {
    /// His name in the list of signers.
    pub signer: String,
    /// Now.
    pub made: RealNanos,
    /// Random bytes.
    pub nonce: [u8; 16],
}

pub(super) fn fault<T>(key: &'static str, why: &str) -> Result<T, DocumentFault> {
    Err(DocumentFault::Value { key, why: why.to_owned() })
}

/// Reads the text and takes off version and kind.
pub(super) fn table(bytes: &[u8]) -> Result<(toml::Table, String), DocumentFault> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(DocumentFault::TooLong { bytes: bytes.len() });
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| DocumentFault::Syntax("the text is not UTF-8".to_owned()))?;
    let mut table: toml::Table = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
        DocumentFault::Syntax(format!("line {line}: {}", e.message()))
    })?;
    match table.remove("version") {
        Some(toml::Value::Integer(1)) => {}
        Some(_) => return fault("version", "only 1 exists"),
        None => return fault("version", "is missing"),
    }
    let kind = take(&mut table, "kind")?;
    Ok((table, kind))
}

/// Takes off signer, time and nonce.
pub(super) fn head(bytes: &[u8], table: &mut toml::Table) -> Result<Head, DocumentFault> {
    let signer = name("signer", take(table, "signer")?)?;
    let made = time("made", &take(table, "made")?)?;
    let nonce = take(table, "nonce")?;
    if nonce.len() != 32 || !lower_hex(&nonce) {
        return fault("nonce", "expected 32 lower-case hex digits");
    }
    Ok(Head { id: sha256(bytes), signer, made })
}

/// Nothing may be left.
pub(super) fn finish(table: &toml::Table) -> Result<(), DocumentFault> {
    match table.keys().next() {
        None => Ok(()),
        Some(key) => Err(DocumentFault::Syntax(format!("{key:?} is no key of this document"))),
    }
}

pub(super) fn take(table: &mut toml::Table, key: &'static str) -> Result<String, DocumentFault> {
    match table.remove(key) {
        Some(toml::Value::String(text)) => Ok(text),
        Some(_) => fault(key, "has to be a text in quotes"),
        None => fault(key, "is missing"),
    }
}

pub(super) fn number(table: &mut toml::Table, key: &'static str) -> Result<u64, DocumentFault> {
    match table.remove(key) {
        Some(toml::Value::Integer(n)) => u64::try_from(n).or_else(|_| fault(key, "is negative")),
        Some(_) => fault(key, "has to be a number"),
        None => fault(key, "is missing"),
    }
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

pub(super) fn digest(key: &'static str, text: &str) -> Result<Digest, DocumentFault> {
    let digest = Digest::from_hex(text).filter(|d| d.to_string() == text);
    digest.map_or_else(|| fault(key, "expected 64 lower-case hex digits"), Ok)
}

pub(super) fn log(text: &str) -> Result<LogId, DocumentFault> {
    let log = LogId::from_hex(text).filter(|l| l.to_string() == text);
    log.map_or_else(|| fault("log", "expected 32 lower-case hex digits"), Ok)
}

pub(super) fn session(key: &'static str, text: &str) -> Result<SessionId, DocumentFault> {
    let id = SessionId::from_hex(text).filter(|id| id.to_string() == text);
    id.map_or_else(|| fault(key, "expected a session's whole id"), Ok)
}

/// A name as a list of signers has it: no character that has a meaning there.
pub(super) fn name(key: &'static str, raw: String) -> Result<String, DocumentFault> {
    let raw = limited(key, raw, MAX_NAME)?;
    let odd = raw.trim() != raw || raw.starts_with(['!', '#']) || raw.contains(['*', '?', ',', '"']);
    if raw.is_empty() || odd {
        return fault(key, "has to be a name without `*`, `?`, `,`, `\"` and blanks around it");
    }
    Ok(raw)
}

/// Words that have to be there.
pub(super) fn words(key: &'static str, raw: String) -> Result<String, DocumentFault> {
    let raw = limited(key, raw, MAX_TEXT)?;
    if raw.trim().is_empty() { fault(key, "is empty") } else { Ok(raw) }
}

pub(super) fn limited(key: &'static str, raw: String, most: usize) -> Result<String, DocumentFault> {
    if raw.len() > most {
        return fault(key, &format!("has {} bytes, at most {most} are allowed", raw.len()));
    }
    if raw.chars().any(char::is_control) {
        return fault(key, "holds a control character");
    }
    Ok(raw)
}

/// Whole seconds in UTC, in one form: `2026-11-21T02:31:00Z`.
pub(super) fn time(key: &'static str, text: &str) -> Result<RealNanos, DocumentFault> {
    let parsed = || {
        let time: Timestamp = text.parse().ok()?;
        let nanos = u64::try_from(time.as_nanosecond()).ok().map(RealNanos::new)?;
        (rfc3339(nanos) == text && text.len() == 20).then_some(nanos)
    };
    parsed().map_or_else(|| fault(key, "expected a time in UTC such as \"2026-11-21T02:31:00Z\""), Ok)
}

/// `2026-11-21T02:31:00Z`.
pub fn rfc3339(time: RealNanos) -> String {
    Timestamp::from_nanosecond(i128::from(time.get())).unwrap_or(Timestamp::MAX).to_string()
}

/// A document that is being written.
pub(super) struct Out(pub(super) String);

impl Out {
    pub(super) fn begin(kind: &str) -> Self {
        let mut out = Self(String::with_capacity(1024));
        out.raw("version", "1");
        out.text("kind", kind);
        out
    }

    pub(super) fn maker(&mut self, maker: &Maker) {
        self.text("signer", &maker.signer);
        self.text("made", &rfc3339(maker.made));
        self.text("nonce", &format!("{:032x}", u128::from_be_bytes(maker.nonce)));
    }

    pub(super) fn raw(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    pub(super) fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let list: Vec<String> = values.map(|v| quoted(&v)).collect();
        self.raw(key, &format!("[{}]", list.join(", ")));
    }
}
