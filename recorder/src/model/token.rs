//! Tokens in the journal: each use, each refusal.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, Digest, RealNanos};

codes! {
    /// What happened to a token.
    #[derive(Default)]
    TokenAct {
        /// Handed in before its use.
        Seen = 1, "seen";
        /// Used; it is spent.
        #[default]
        Used = 2, "used";
        /// It allowed nothing; `text` says why.
        Refused = 3, "refused";
        /// It was seen, and its window went by.
        Expired = 4, "expired";
    }
}

/// A record of the log: what happened to a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What happened.
    pub act: TokenAct,
    /// SHA-256 of the token's document; of the text where there was none.
    pub token: Digest,
    /// The grant that it is for.
    pub grant: Digest,
    /// Who used it, by his login; for one that was only seen, whom it is for.
    pub person: Bytes,
    /// This host.
    pub host: Bytes,
    /// Who issued it, as the list of signers calls him.
    pub signer: Bytes,
    /// Fingerprint of the issuer's key, `SHA256:…`.
    pub key: Bytes,
    /// When, by trusted time.
    pub received: RealNanos,
    /// The end of its window.
    pub until: RealNanos,
    /// Why it was refused: a word, a colon, more words.
    pub text: Bytes,
    /// Its document.
    pub bytes: Bytes,
    /// The document's signature, as a `.sig` file has it.
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
            assert_eq!(TokenAct::from_code(code).code(), code);
        }
    }
}
