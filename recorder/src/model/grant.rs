//! Grants in the journal: documents as they came, and what became of them.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, Digest, RealNanos};

codes! {
    /// What happened to a document, or to what decides about documents.
    #[derive(Default)]
    GrantAct {
        /// A document came whose signature is good and whose signer may sign. `text` says why the book does not follow it, if
        /// it does not.
        #[default]
        Received = 1, "received";
        /// A document came that is none, or that nobody who may has signed; `text` says why.
        Refused = 2, "refused";
        /// A request's state changed; `text` is the new one.
        State = 3, "state";
        /// The policy was read or changed; `document` is the SHA-256 of its bytes.
        Policy = 4, "policy";
        /// The list of signers was read or changed; `document` is the SHA-256 of its bytes.
        Signers = 5, "signers";
        /// What the recorder remembers of all that was received: `bytes` is its own form of it, for its next start.
        Memory = 6, "memory";
    }
}

/// A record of the log: a document, a state, or a list that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What happened.
    pub act: GrantAct,
    /// SHA-256 of the document's bytes.
    pub document: Digest,
    /// SHA-256 of the request that it is about; the same as `document` for a request.
    pub request: Digest,
    /// The document's own word for what it is: `request`, `approval`, …; empty where it could not be read.
    pub kind: Bytes,
    /// Who signed, as the list of signers calls him.
    pub signer: Bytes,
    /// The person whom the request is for.
    pub person: Bytes,
    /// Fingerprint of the key that signed, `SHA256:…`.
    pub key: Bytes,
    /// When it was received, by the last trusted clock.
    pub received: RealNanos,
    /// The reason of a refusal, or the name of a state.
    pub text: Bytes,
    /// The document as it came, or what is remembered; empty for states and lists.
    pub bytes: Bytes,
    /// Its signature as it came.
    pub signature: Bytes,
    /// In a clear twin: SHA-256 of what the host kept of the whole record for itself; else zero.
    pub kept: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..9 {
            assert_eq!(GrantAct::from_code(code).code(), code);
        }
    }
}
