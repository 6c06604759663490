//! Tokens: one use of a grant, signed by an issuer, small enough for an environment variable (docs/grants.md, "Tokens").
//!
//! A token is a document of kind `token` and its signature in one line. Whether it was used is the journal's to remember;
//! [`Tokens`] is built from its records.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};

use super::reader::{Reader, Short};
use super::{
    AllowedSigners, Book, Document, DocumentError, NAMESPACE, SignatureError, Signed, SignerRefusal, State,
    Statement, Token, document::MAX_DOCUMENT, sshsig,
};
use crate::model::{self, Bytes, Digest, RealNanos, TokenAct};

/// What the text of a token begins with.
pub const TOKEN_PREFIX: &str = "rt1.";
/// Longest text in bytes. One by a certificate over a large RSA key has about half.
pub const MAX_TOKEN: usize = 16 << 10;

/// Why a token allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not the text of a token.
    #[error("this is no token: {0}")]
    Malformed(&'static str),
    /// Its document makes no sense.
    #[error("this is no token: {0}")]
    Document(DocumentError),
    /// Nobody signed it.
    #[error("the token's signature: {0}")]
    Signature(SignatureError),
    /// The list of signers does not know its issuer.
    #[error("the token's issuer is not known: {0}")]
    UnknownIssuer(SignerRefusal),
    /// Neither a rule nor an approval lets him issue it.
    #[error("nobody let this issuer issue tokens for this grant")]
    NotAnIssuer,
    /// Issued by the one who uses it.
    #[error("nobody issues tokens to himself")]
    HisOwn,
    /// For somebody else.
    #[error("the token is for another person")]
    WrongPerson,
    /// For another host.
    #[error("the token is for another host")]
    WrongHost,
    /// Longer than the policy's `token_max`.
    #[error("the token's window is longer than the policy allows")]
    TooLong,
    /// Before its window.
    #[error("the token's window has not begun")]
    Early,
    /// After its window.
    #[error("the token's window is over")]
    Expired,
    /// Its grant is not known here.
    #[error("the token's grant is not known here")]
    NoSuchGrant,
    /// Its grant allows nothing now.
    #[error("the token's grant is {0}")]
    NotActive(State),
    /// It was used.
    #[error("the token was used before")]
    Spent,
}

impl TokenRefusal {
    /// One word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Document(_) => "malformed",
            Self::Signature(_) => "bad_signature",
            Self::UnknownIssuer(_) | Self::NotAnIssuer => "unknown_issuer",
            Self::HisOwn => "his_own",
            Self::WrongPerson => "wrong_person",
            Self::WrongHost => "wrong_host",
            Self::TooLong => "too_long",
            Self::Early => "early",
            Self::Expired => "expired",
            Self::NoSuchGrant => "no_such_grant",
            Self::NotActive(_) => "not_active",
            Self::Spent => "spent",
        }
    }
}

impl From<Short> for TokenRefusal {
    fn from(_: Short) -> Self {
        Self::Malformed("it ends too early")
    }
}

/// The parts of a token's text; nothing is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenParts {
    /// The document's bytes.
    pub document: Vec<u8>,
    /// Its signature without the armor.
    signature: Vec<u8>,
}

impl TokenParts {
    /// Takes a text apart.
    pub fn parse(text: &str) -> Result<Self, TokenRefusal> {
        if text.len() > MAX_TOKEN {
            return Err(TokenRefusal::Malformed("it is too long"));
        }
        let body =
            text.strip_prefix(TOKEN_PREFIX).ok_or(TokenRefusal::Malformed("it does not begin with rt1."))?;
        let raw = BASE64.decode(body).map_err(|_| TokenRefusal::Malformed("it is no base64url"))?;
        let mut reader = Reader::new(&raw);
        let (document, signature) = (reader.string()?.to_vec(), reader.string()?.to_vec());
        if !reader.is_empty() {
            return Err(TokenRefusal::Malformed("bytes behind its end"));
        }
        Ok(Self { document, signature })
    }

    /// Puts a document and its armored signature together.
    pub fn new(document: &[u8], armored: &[u8]) -> Result<Self, SignatureError> {
        Ok(Self { document: document.to_vec(), signature: sshsig::dearmor(armored)? })
    }

    /// The text; [`Self::parse`] takes no other for it.
    pub fn text(&self) -> String {
        let mut raw = Vec::with_capacity(self.document.len() + self.signature.len() + 8);
        for part in [&self.document, &self.signature] {
            raw.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            raw.extend_from_slice(part);
        }
        format!("{TOKEN_PREFIX}{}", BASE64.encode(raw))
    }

    /// The signature as a `.sig` file has it.
    pub fn armored(&self) -> Vec<u8> {
        sshsig::armor(&self.signature)
    }

    /// Checks the signature, not the signer.
    pub fn verify(&self) -> Result<Signed, SignatureError> {
        sshsig::verify_raw(&self.document, &self.signature)
    }

    fn read(&self) -> Result<(Document, Token), TokenRefusal> {
        if self.document.len() > MAX_DOCUMENT {
            return Err(TokenRefusal::Malformed("it is too long"));
        }
        let document = Document::parse(&self.document).map_err(TokenRefusal::Document)?;
        match &document.statement {
            Statement::Token(token) => {
                let token = token.clone();
                Ok((document, token))
            }
            _ => Err(TokenRefusal::Malformed("its document is of another kind")),
        }
    }
}

/// Which tokens were used, and which were seen and are still to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Id and end of each.
    spent: BTreeMap<Digest, RealNanos>,
    waiting: BTreeMap<Digest, model::Token>,
}

impl Tokens {
    /// Takes a record of the journal, so that a restart forgets no use.
    pub fn remember(&mut self, record: &model::Token) {
        match record.act {
            TokenAct::Used | TokenAct::Expired => {
                self.waiting.remove(&record.token);
                self.spent.insert(record.token, record.until);
            }
            TokenAct::Seen if !self.spent.contains_key(&record.token) => {
                self.waiting.insert(record.token, record.clone());
            }
            _ => {}
        }
    }

    /// Forgets uses whose windows are over by trusted time, which never goes back; gives a record for each token that was
    /// seen and never used.
    pub fn expire(&mut self, now: RealNanos) -> Vec<model::Token> {
        self.spent.retain(|_, until| now < *until);
        let (over, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, record)| record.until <= now);
        self.waiting = waiting;
        let over: BTreeMap<_, _> = over;
        over.into_values()
            .map(|record| model::Token { act: TokenAct::Expired, received: now, ..record })
            .collect()
    }
}

/// Uses a token: checks all that it is bound to, and spends it. The record that comes with either outcome belongs into the
/// journal before anything is allowed.
///
/// `person` is who stands there, by his login; the host is the book's; `now` is trusted time.
pub fn use_token(
    book: &Book,
    signers: &AllowedSigners,
    tokens: &mut Tokens,
    text: &str,
    person: &str,
    now: RealNanos,
) -> (Result<Digest, TokenRefusal>, model::Token) {
    let mut record = model::Token {
        act: TokenAct::Refused,
        token: Digest::new(Sha256::digest(text.as_bytes()).into()),
        person: Bytes::from(person),
        host: Bytes::from(book.host()),
        received: now,
        ..model::Token::default()
    };
    let outcome = judge(book, signers, tokens, text, person, now, &mut record);
    match &outcome {
        Ok(_) => {
            record.act = TokenAct::Used;
            tokens.remember(&record);
        }
        Err(why) => record.text = Bytes::from(format!("{}: {why}", why.name()).as_str()),
    }
    (outcome, record)
}

/// A token that somebody handed in before its use: from now on its end is told if it never is. Only what could be used
/// is remembered, so that nobody fills the memory with texts of his own.
pub fn see_token(
    book: &Book,
    signers: &AllowedSigners,
    tokens: &mut Tokens,
    text: &str,
    now: RealNanos,
) -> Result<model::Token, TokenRefusal> {
    let (_, token) = TokenParts::parse(text)?.read()?;
    let mut record = model::Token {
        act: TokenAct::Seen,
        person: Bytes::from(token.person.as_str()),
        host: Bytes::from(book.host()),
        received: now,
        ..model::Token::default()
    };
    let begun = now.max(token.window.from);
    judge(book, signers, tokens, text, &token.person, begun, &mut record)?;
    tokens.remember(&record);
    Ok(record)
}

/// Reads the parts and checks the signature; the record learns what they say on the way.
fn fill(parts: &TokenParts, record: &mut model::Token) -> Result<(Signed, Token), TokenRefusal> {
    record.token = Digest::new(Sha256::digest(&parts.document).into());
    record.bytes = Bytes::from(parts.document.as_slice());
    record.signature = Bytes::from(parts.armored().as_slice());
    let (document, token) = parts.read()?;
    record.grant = token.request;
    record.signer = Bytes::from(document.signer.as_str());
    record.until = token.window.until;
    let signed = parts.verify().map_err(TokenRefusal::Signature)?;
    record.key = Bytes::from(signed.key.fingerprint().as_str());
    Ok((signed, token))
}

fn judge(
    book: &Book,
    signers: &AllowedSigners,
    tokens: &Tokens,
    text: &str,
    person: &str,
    now: RealNanos,
    record: &mut model::Token,
) -> Result<Digest, TokenRefusal> {
    let parts = TokenParts::parse(text)?;
    let (signed, token) = fill(&parts, record)?;
    let signer = record.signer.as_utf8().unwrap_or_default();
    signers.allows(signer, &signed, NAMESPACE, now).map_err(TokenRefusal::UnknownIssuer)?;
    let fingerprint = signed.key.fingerprint();
    let issuer = book.policy().signer(signer, &fingerprint);
    let window = token.window;
    if token.person != person {
        return Err(TokenRefusal::WrongPerson);
    }
    if !token.host.eq_ignore_ascii_case(book.host()) {
        return Err(TokenRefusal::WrongHost);
    }
    if issuer == person {
        return Err(TokenRefusal::HisOwn);
    }
    if window.until.get().saturating_sub(window.from.get()) > book.policy().token_max_ns() {
        return Err(TokenRefusal::TooLong);
    }
    if now < window.from {
        return Err(TokenRefusal::Early);
    }
    if now >= window.until {
        return Err(TokenRefusal::Expired);
    }
    if tokens.spent.contains_key(&record.token) {
        return Err(TokenRefusal::Spent);
    }
    let grant = book.grant(&token.request).ok_or(TokenRefusal::NoSuchGrant)?;
    if grant.request.person != person {
        return Err(TokenRefusal::WrongPerson);
    }
    let approved = grant.approvals.iter().any(|approver| approver == issuer);
    if !approved && !book.policy().may_issue_token(issuer, person, book.host()) {
        return Err(TokenRefusal::NotAnIssuer);
    }
    if !grant.here {
        return Err(TokenRefusal::WrongHost);
    }
    match grant.state(now) {
        State::Active => Ok(grant.id),
        other => Err(TokenRefusal::NotActive(other)),
    }
}
