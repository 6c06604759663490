//! Reads a document with its signature, and says what the signature is worth.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::{
    Failure, Io,
    issue::{self, signature_path},
};
use crate::{
    cli::args::parse_moment,
    grant::{
        AllowedSigners, Document, DocumentError, MAX_ALLOWED_SIGNERS, MAX_DOCUMENT, MAX_SIGNATURE, NAMESPACE,
        SignatureError, Signed, SignerRefusal, TOKEN_PREFIX, TokenParts, verify_signature,
    },
    model::RealNanos,
};

/// A document that was read, and what is known about its signature.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) path: PathBuf,
    pub(super) document: Document,
    pub(super) signature: Signature,
    /// None if there was no list, or no good signature to look up.
    pub(super) allowed: Option<Result<usize, SignerRefusal>>,
}

/// What lies beside the document.
#[derive(Debug)]
pub(super) enum Signature {
    /// Made over exactly these bytes.
    Good(Box<Signed>),
    /// There is none.
    Missing,
    /// It proves nothing.
    Bad(SignatureError),
}

impl Checked {
    fn new(path: PathBuf, document: Document, signature: Signature, signers: Option<&Signers>) -> Self {
        let allowed = match (&signature, signers) {
            (Signature::Good(signed), Some(signers)) => {
                Some(signers.list.allows(&document.signer, signed, NAMESPACE, signers.at))
            }
            _ => None,
        };
        Self { path, document, signature, allowed }
    }

    /// Why it must not be believed. Without a list of signers a good signature is all that is asked for.
    pub(super) fn fault(&self) -> Option<String> {
        match (&self.signature, &self.allowed) {
            (Signature::Missing, _) => {
                Some(format!("no signature: {} is not there", signature_path(&self.path).display()))
            }
            (Signature::Bad(error), _) => Some(format!("bad signature: {error}")),
            (Signature::Good(_), Some(Err(refusal))) => {
                Some(format!("not allowed to sign as {}: {refusal}", self.document.signer))
            }
            (Signature::Good(_), _) => None,
        }
    }
}

/// A list of signers and the moment at which it is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SignersArgs {
    /// Who may sign: a file in the format of ssh-keygen's ALLOWED SIGNERS
    #[arg(long, value_name = "FILE")]
    pub(super) allowed_signers: Option<PathBuf>,
    /// The moment at which the signer's key has to be valid [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_moment, requires = "allowed_signers")]
    pub(super) at: Option<RealNanos>,
}

/// A list that was read.
pub(super) struct Signers {
    pub(super) path: PathBuf,
    pub(super) at: RealNanos,
    list: AllowedSigners,
}

impl SignersArgs {
    /// Reads the list if there is one; lines that mean nothing are warnings.
    pub(super) fn read(&self, io: &mut Io<'_>) -> Result<Option<Signers>, Failure> {
        let Some(path) = &self.allowed_signers else { return Ok(None) };
        let list = list(path, io)?;
        Ok(Some(Signers { path: path.clone(), at: self.at.unwrap_or_else(issue::now), list }))
    }
}

/// Reads a list of signers; lines that mean nothing are warnings.
pub(in crate::cli) fn list(path: &Path, io: &mut Io<'_>) -> Result<AllowedSigners, Failure> {
    let bytes = read(path, MAX_ALLOWED_SIGNERS)?;
    let list = AllowedSigners::parse(&bytes, &TimeZone::system())
        .map_err(|e| Failure::Io(format!("{}: {e}", path.display())))?;
    for fault in list.faults() {
        io.warn(&format!("{} line {} is left out: {}", path.display(), fault.line, fault.why));
    }
    Ok(list)
}

/// Why there is nothing to check.
pub(super) enum Unreadable {
    /// The file.
    Io(Failure),
    /// What it holds.
    Document(DocumentError),
}

/// Reads the document at `path` and the signature beside it.
pub(super) fn check(path: &Path, signers: Option<&Signers>) -> Result<Checked, Unreadable> {
    if let Some(text) = path.to_str().filter(|text| text.starts_with(TOKEN_PREFIX))
        && !path.exists()
    {
        return check_token(text, signers);
    }
    let bytes = read(path, MAX_DOCUMENT).map_err(Unreadable::Io)?;
    let document = Document::parse(&bytes).map_err(Unreadable::Document)?;
    let beside = signature_path(path);
    let signature = match open(&beside, MAX_SIGNATURE) {
        Ok(armored) => verify_signature(&bytes, &armored)
            .map_or_else(Signature::Bad, |signed| Signature::Good(Box::new(signed))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Signature::Missing,
        Err(error) => return Err(Unreadable::Io(cannot_read(&beside, &error))),
    };
    Ok(Checked::new(path.to_owned(), document, signature, signers))
}

/// A token is its document and signature in one.
fn check_token(text: &str, signers: Option<&Signers>) -> Result<Checked, Unreadable> {
    let parts =
        TokenParts::parse(text).map_err(|e| Unreadable::Document(DocumentError::Syntax(e.to_string())))?;
    let document = Document::parse(&parts.document).map_err(Unreadable::Document)?;
    let signature = parts.verify().map_or_else(Signature::Bad, |signed| Signature::Good(Box::new(signed)));
    // The whole text would fill the line.
    Ok(Checked::new(PathBuf::from(TOKEN_PREFIX), document, signature, signers))
}

/// As [`check`]; a document that makes no sense ends the command with exit code 1.
pub(super) fn check_one(path: &Path, signers: Option<&Signers>) -> Result<Checked, Failure> {
    check(path, signers).map_err(|unreadable| match unreadable {
        Unreadable::Io(failure) => failure,
        Unreadable::Document(error) => {
            Failure::Nothing(format!("{}: no grant document: {error}", path.display()))
        }
    })
}

pub(in crate::cli) fn read(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    open(path, most).map_err(|e| cannot_read(path, &e))
}

/// One byte more than allowed is read, so that whoever has the limit can tell that it was passed.
fn open(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::Io(format!("cannot read {}: {error}", path.display()))
}
