//! `recorder verify --allowed-signers`: the documents that a journal stores, checked again against the investigator's own
//! list. What the host believed when it received them is no argument.

use std::path::Path;

use serde::Serialize;

use super::{Failure, Io, read};
use crate::{
    export::json::Shown,
    grant::{AllowedSigners, Document, NAMESPACE, verify_signature},
    model::{Body, Bytes, Digest, GrantAct, RealNanos, TokenAct},
    verify::{Entry, Verified, VerifyError},
};

/// What the second look came to.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Recheck {
    /// Documents that the host took for good.
    pub(in crate::cli) checked: u64,
    /// Of those, the ones that the list confirms.
    pub(in crate::cli) good: u64,
    /// The others.
    pub(in crate::cli) bad: Vec<Bad>,
}

/// A document that the host believed and the investigator's list does not confirm.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Bad {
    pub(in crate::cli) document: Shown<Digest>,
    /// Whom the host took for its signer.
    pub(in crate::cli) signer: String,
    pub(in crate::cli) why: String,
}

/// Checks every received document among the entries.
pub(in crate::cli) fn run(
    entries: impl Iterator<Item = Result<Verified<Entry>, VerifyError>>,
    list: &Path,
    io: &mut Io<'_>,
) -> Result<Recheck, Failure> {
    let signers = read::list(list, io)?;
    let mut found = Recheck::default();
    for entry in entries {
        let entry = entry?;
        let kept = match &entry.record.body {
            Body::Grant(grant) if grant.act == GrantAct::Received => Kept {
                id: grant.document,
                signer: &grant.signer,
                bytes: &grant.bytes,
                signature: &grant.signature,
                received: grant.received,
            },
            Body::Token(token) if token.act == TokenAct::Used => Kept {
                id: token.token,
                signer: &token.signer,
                bytes: &token.bytes,
                signature: &token.signature,
                received: token.received,
            },
            _ => continue,
        };
        found.checked += 1;
        match kept.check(&signers) {
            Ok(()) => found.good += 1,
            Err(why) => {
                found.bad.push(Bad { document: Shown(kept.id), signer: kept.signer.escaped(), why });
            }
        }
    }
    Ok(found)
}

/// A document that the host took for good: a grant's, or a token that was used.
struct Kept<'a> {
    id: Digest,
    signer: &'a Bytes,
    bytes: &'a Bytes,
    signature: &'a Bytes,
    received: RealNanos,
}

impl Kept<'_> {
    /// The same questions as on receipt, at the time of receipt.
    fn check(&self, signers: &AllowedSigners) -> Result<(), String> {
        let document = Document::parse(self.bytes.as_slice()).map_err(|e| e.to_string())?;
        if document.id != self.id || document.signer.as_bytes() != self.signer.as_slice() {
            return Err("the record names another document or signer than the bytes say".to_owned());
        }
        let signed =
            verify_signature(self.bytes.as_slice(), self.signature.as_slice()).map_err(|e| e.to_string())?;
        signers.allows(&document.signer, &signed, NAMESPACE, self.received).map_err(|e| e.to_string())?;
        Ok(())
    }
}
