//! What people sign: a request, and what others say about it. A document is its bytes; its name is their SHA-256.

use std::fmt;

use super::certificate::Certificate;
use crate::model::{Digest, RealNanos};

/// The SSHSIG namespace that every document is signed in.
pub const NAMESPACE: &str = "recorder-grant";

/// Longest document in bytes. An honest one has less than a hundredth of it; a signed one is stored for ever.
pub const MAX_DOCUMENT: usize = 64 << 10;

/// Random bytes that make two equal wishes two documents, so that an answer to one is no answer to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// Wraps the raw bytes; whoever makes a document takes them from the kernel.
    pub const fn new(raw: [u8; 16]) -> Self {
        Self(raw)
    }

    /// Reads 32 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(lower) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|n| Self(n.to_be_bytes()))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A stretch of wall-clock time: from the first moment to the one before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: RealNanos,
    /// The first moment behind it.
    pub until: RealNanos,
}

/// What a grant allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// `root`: anything, as any user.
    Root,
    /// `user:NAME`: anything as this account.
    User(String),
    /// `command:GLOB`: as root, only command lines (arguments joined by blanks) that match.
    Command(String),
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Command(glob) => write!(f, "command:{glob}"),
        }
    }
}

/// The incident that work belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Where it is tracked, such as `pagerduty`.
    pub system: String,
    /// Its id there.
    pub id: String,
    /// Its address, if any.
    pub url: Option<String>,
}

/// A wish to be allowed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The person, as the list of signers calls him.
    pub person: String,
    /// Patterns of host names (`*`, `?`; `!` in front takes out what an earlier one took in).
    pub hosts: Vec<String>,
    /// When.
    pub window: Window,
    /// What, at least one.
    pub privileges: Vec<Privilege>,
    /// Why.
    pub reason: String,
    /// For which incident.
    pub incident: Option<Incident>,
    /// Each use takes a token, even if no rule asks for one.
    pub token: bool,
}

/// An SSH user certificate that somebody brings in as a wish. Its window is the certificate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// What is wished.
    pub request: Request,
    /// The certificate.
    pub certificate: Certificate,
}

/// What another system allowed, as whoever brings it in says. The approvers signed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What is wished.
    pub request: Request,
    /// Which system, such as `teleport`.
    pub system: String,
    /// Its name there.
    pub external_id: String,
    /// Who approved it there.
    pub approvers: Vec<String>,
    /// SHA-256 of what the system gave out.
    pub source: Digest,
}

/// A permission to use a grant once, on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The grant: SHA-256 of the request's bytes.
    pub request: Digest,
    /// Who may use it.
    pub person: String,
    /// The host's exact name.
    pub host: String,
    /// When.
    pub window: Window,
}

/// What somebody says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of the request's bytes.
    pub request: Digest,
    /// Why; may be empty for an approval.
    pub reason: String,
}

/// More time for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// SHA-256 of the request's bytes.
    pub request: Digest,
    /// The new first moment behind the window.
    pub until: RealNanos,
    /// Why.
    pub reason: String,
}

/// Ties running work to an incident without allowing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose work.
    pub person: String,
    /// Which incident.
    pub incident: Incident,
    /// In his words.
    pub text: String,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Somebody wants to be allowed something.
    Request(Request),
    /// Somebody else allows it.
    Approval(Answer),
    /// Somebody else does not.
    Rejection(Answer),
    /// It holds no longer.
    Revocation(Answer),
    /// It holds longer.
    Extension(Extension),
    /// Self-signed, at once, with a reason; flagged for ever.
    BreakGlass(Request),
    /// Work belongs to an incident.
    Note(Note),
    /// A certificate authority said who may log in.
    Certificate(Box<Certified>),
    /// Another system allowed it.
    Import(Box<Import>),
    /// One use of a grant.
    Token(Token),
}

impl Statement {
    /// The word in the document's `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Approval(_) => "approval",
            Self::Rejection(_) => "rejection",
            Self::Revocation(_) => "revocation",
            Self::Extension(_) => "extension",
            Self::BreakGlass(_) => "break_glass",
            Self::Note(_) => "note",
            Self::Certificate(_) => "certificate",
            Self::Import(_) => "import",
            Self::Token(_) => "token",
        }
    }

    /// What is wished, if this can become a grant.
    pub const fn request(&self) -> Option<&Request> {
        match self {
            Self::Request(request) | Self::BreakGlass(request) => Some(request),
            Self::Certificate(certified) => Some(&certified.request),
            Self::Import(import) => Some(&import.request),
            _ => None,
        }
    }

    /// The request that this is about, if it is about another document.
    pub const fn about(&self) -> Option<Digest> {
        match self {
            Self::Approval(a) | Self::Rejection(a) | Self::Revocation(a) => Some(a.request),
            Self::Extension(extension) => Some(extension.request),
            Self::Token(token) => Some(token.request),
            _ => None,
        }
    }

    /// What its signer says in his own words; perhaps nothing.
    pub fn words(&self) -> &str {
        match self {
            Self::Approval(a) | Self::Rejection(a) | Self::Revocation(a) => &a.reason,
            Self::Extension(extension) => &extension.reason,
            Self::Note(note) => &note.text,
            _ => self.request().map_or("", |request| &request.reason),
        }
    }
}

/// A parsed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of the bytes: its name.
    pub id: Digest,
    /// Who says it, as the list of signers calls him; the signature has to be his.
    pub signer: String,
    /// When he says he made it; no evidence.
    pub made: RealNanos,
    /// Tells two equal statements apart.
    pub nonce: Nonce,
    /// What.
    pub statement: Statement,
}

/// Why bytes are no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than any honest one.
    #[error("a document has at most {most} bytes, this has {bytes}")]
    TooLong {
        /// Found.
        bytes: usize,
        /// Allowed.
        most: usize,
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
