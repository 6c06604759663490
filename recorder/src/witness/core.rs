//! What a request is, and whether it may be signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::store::{Store, StoreError};
use crate::{
    journal::{
        checkpoint::{Checkpoint, Head},
        key::SecretKey,
        note::{Note, Signed, Verifier, cosign},
        proof,
    },
    model::Digest,
};

/// Longest request in bytes.
pub const MAX_REQUEST: usize = 64 << 10;
/// Most lines of a proof that C2SP allows.
const MAX_PROOF: usize = 63;

/// Why nothing is signed; each is a status of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: that is no request, or it goes back.
    #[error("{0}")]
    Bad(&'static str),
    /// 403: nobody who is trusted for that log signed the checkpoint.
    #[error("the checkpoint is not signed by the log's key")]
    Unsigned,
    /// 404: the log is not one of ours.
    #[error("this log is not known here")]
    Unknown,
    /// 409: another size was signed last; it is the answer's text.
    #[error("{0}")]
    Conflict(u64),
    /// 422: the proof does not show that the log only grew.
    #[error("the log does not continue what was signed last")]
    Proof,
    /// 500: what was to be signed could not be made durable.
    #[error("the state can't be kept")]
    Store(#[from] StoreError),
}

impl Refusal {
    /// HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Bad(_) => 400,
            Self::Unsigned => 403,
            Self::Unknown => 404,
            Self::Conflict(_) => 409,
            Self::Proof => 422,
            Self::Store(_) => 500,
        }
    }
}

/// Who signs, for which logs.
#[derive(Debug)]
pub struct Witness {
    name: String,
    secret: SecretKey,
    logs: Vec<Verifier>,
    store: Store,
}

struct Request<'a> {
    old: u64,
    proof: Vec<Digest>,
    note: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut rest = raw;
        let mut line = || {
            let end = rest.iter().position(|b| *b == b'\n')?;
            let (line, behind) = rest.split_at_checked(end)?;
            rest = behind.get(1..)?;
            std::str::from_utf8(line).ok()
        };
        let digits = line()?.strip_prefix("old ")?;
        let old = digits.parse().ok().filter(|n: &u64| n.to_string() == digits)?;
        let mut proof = Vec::new();
        loop {
            match line()? {
                "" => break,
                _ if proof.len() == MAX_PROOF => return None,
                hash => proof.push(Digest::new(STANDARD.decode(hash).ok()?.try_into().ok()?)),
            }
        }
        Some(Self { old, proof, note: rest })
    }
}

impl Witness {
    /// A witness of that name and key for these logs. A log without a plain Ed25519 key is never signed for.
    pub fn new(name: &str, secret: SecretKey, logs: Vec<Verifier>, store: Store) -> Self {
        Self { name: name.to_owned(), secret, logs, store }
    }

    /// One request: the signature line, once what it stands for is durable. One at a time, or two of them could make the
    /// log go back.
    pub fn add_checkpoint(&mut self, raw: &[u8], seconds: u64) -> Result<String, Refusal> {
        let request = Request::parse(raw).ok_or(Refusal::Bad("that is no add-checkpoint request"))?;
        let note = Note::parse(request.note).map_err(|_| Refusal::Bad("that is no signed note"))?;
        let checkpoint = Checkpoint::parse(&note.text).ok_or(Refusal::Bad("that is no checkpoint"))?;
        let mut keys = self.logs.iter().filter(|log| log.name() == checkpoint.origin).peekable();
        if keys.peek().is_none() {
            return Err(Refusal::Unknown);
        }
        if !keys.any(|log| matches!(note.signed_by(log), Signed::At(_))) {
            return Err(Refusal::Unsigned);
        }
        let Head { size, root } = checkpoint.head;
        if request.old > size {
            return Err(Refusal::Bad("the old size is beyond the checkpoint's"));
        }
        let held = self.store.head(&checkpoint.origin)?;
        let known = held.map_or(0, |head| head.size);
        let another_root = held.is_some_and(|held| held.size == size && held.root != root);
        if request.old != known || another_root {
            return Err(Refusal::Conflict(known));
        }
        let held_root = held.map(|head| head.root).unwrap_or_default();
        if !proof::verifies(known, &held_root, size, &root, &request.proof) {
            return Err(Refusal::Proof);
        }
        self.store.keep(&checkpoint)?;
        Ok(cosign(&self.name, &self.secret, &note.text, seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::note::Algorithm, sys::secret::Secret};

    fn secret(n: u8) -> SecretKey {
        let mut page = Secret::new().unwrap();
        page.expose_mut().copy_from_slice(&[n; 32]);
        SecretKey::from_secret(page)
    }

    fn witness(dir: &std::path::Path, logs: Vec<Verifier>) -> Witness {
        Witness::new("w.example/1", secret(9), logs, Store::open(dir).unwrap())
    }

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        let byte = |n: usize| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    /// The log of litewitness's published test (FiloSottile/litetlog, cmd/litewitness/testdata/litewitness.txt).
    const ORIGIN: &str =
        "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    const KEY: &str = "ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f";
    const ROOTS: [(u64, &str, &str); 3] = [
        (
            1,
            "2a00000000000000000000000000000000000000000000000000000000000000",
            "b7cf653aa9c565a1ca359db81bd3bc656ab2890c6ea4c0aec42295e80aa05049423505026434f987923ccdf07d440c152cd59e736e5914d8ada8d7a4d51b2106",
        ),
        (
            3,
            "45c088d4d939e9971298811f227d1295eaad57bbafae55cd71c171e7de48c25d",
            "655bb4871d15bc05032d67eece88900c4863a27f190393b99176391577f5def971b023d9a418c3226b7b7ea47b33686d9b3849451dadc6b07c007c595af1ea0a",
        ),
        (
            5,
            "42bb57ad06420afa4882c4a63ac6a1ec77480b330b2f20dfc53a0caa5f564e36",
            "0fc43899968b48b5150b0e8fe7ad07b17c21c7056a6fe381deb0cd19ece103d59b2119b5dbe5d54d8a1262ce67f01245c5898b4b56f747495804a17a2eec0f0c",
        ),
    ];

    fn log() -> Verifier {
        Verifier::new(ORIGIN, Algorithm::Ed25519, crate::journal::key::PublicKey(unhex(KEY))).unwrap()
    }

    fn published(n: usize, old: u64, proof: &[&str], origin: &str, signature: Option<&str>) -> String {
        let (size, root, signed) = ROOTS[n];
        let head = Head { size, root: Digest::new(unhex(root)) };
        let text = Checkpoint { origin: origin.to_owned(), head }.text();
        let id = u32::from_str_radix(log().to_string().split('+').nth(1).unwrap(), 16).unwrap();
        let mut raw = id.to_be_bytes().to_vec();
        raw.extend(unhex::<64>(signature.unwrap_or(signed)));
        let proof: String =
            proof.iter().flat_map(|hash| [STANDARD.encode(unhex::<32>(hash)), "\n".to_owned()]).collect();
        format!("old {old}\n{proof}\n{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(raw))
    }

    const ONE: &str = "2a01000000000000000000000000000000000000000000000000000000000000";
    const TWO: &str = "2a02000000000000000000000000000000000000000000000000000000000000";
    const FIVE: [&str; 4] = [
        TWO,
        "2a03000000000000000000000000000000000000000000000000000000000000",
        "c2088815d65f60dbfa594d4e96504ab169cb6084bf0c132ab7c521fd2e0eba41",
        "2a04000000000000000000000000000000000000000000000000000000000000",
    ];

    /// The published sequence of requests, with the published outcomes in the words of tlog-witness.
    #[test]
    fn the_published_log_is_witnessed_step_by_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = witness(dir.path(), vec![log()]);
        let mut status = |request: String| match w.add_checkpoint(request.as_bytes(), 7) {
            Ok(_) => 200,
            Err(refusal) => refusal.status(),
        };
        assert_eq!(status(published(0, 0, &[], ORIGIN, None)), 200);
        let forged = ROOTS[1].2.replace("ea0a", "ea0b");
        assert_eq!(status(published(1, 1, &[ONE, TWO], ORIGIN, Some(&forged))), 403);
        let other = ORIGIN.replace("e562", "e561");
        assert_eq!(status(published(1, 1, &[ONE, TWO], &other, None)), 404);
        assert_eq!(status(published(1, 1, &[], ORIGIN, None)), 422);
        let wrong = TWO.replace("2a02000000", "2a02000001");
        assert_eq!(status(published(1, 1, &[ONE, &wrong], ORIGIN, None)), 422);
        assert_eq!(status(published(1, 1, &[ONE, TWO], ORIGIN, None)), 200);
        assert_eq!(status(published(2, 1, &FIVE[..3], ORIGIN, None)), 409);
        assert_eq!(status(published(2, 6, &FIVE, ORIGIN, None)), 400);
        assert_eq!(status(published(2, 3, &FIVE, ORIGIN, None)), 200);
        assert_eq!(status(published(2, 5, &[], ORIGIN, None)), 200, "the same again");
        // What was signed is remembered by the next process, too.
        drop(w);
        let mut next = witness(dir.path(), vec![log()]);
        let back = next.add_checkpoint(published(1, 1, &[ONE, TWO], ORIGIN, None).as_bytes(), 8);
        assert!(matches!(back, Err(Refusal::Conflict(5))), "{back:?}");
    }

    #[test]
    fn what_it_signs_is_a_cosignature_of_that_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = witness(dir.path(), vec![log()]);
        let request = published(0, 0, &[], ORIGIN, None);
        let line = w.add_checkpoint(request.as_bytes(), 1_795_228_260).unwrap();
        let note = request.split_once("\n\n").unwrap().1;
        let whole = Note::parse(format!("{note}{line}").as_bytes()).unwrap();
        let by = Verifier::new("w.example/1", Algorithm::Cosignature, secret(9).public()).unwrap();
        assert_eq!(whole.signed_by(&by), Signed::At(1_795_228_260));
    }

    #[test]
    fn another_root_at_the_size_that_was_signed_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let key = secret(3);
        let log = Verifier::new("log", Algorithm::Ed25519, key.public()).unwrap();
        let mut w = witness(dir.path(), vec![log]);
        let mut ask = |old: u64, size: u64, root: u8| {
            let text =
                Checkpoint { origin: "log".into(), head: Head { size, root: Digest::new([root; 32]) } }
                    .text();
            let note = format!("{text}\n{}", crate::journal::note::sign("log", &key, &text));
            w.add_checkpoint(format!("old {old}\n\n{note}").as_bytes(), 1)
        };
        assert!(ask(0, 4, 1).is_ok());
        assert!(matches!(ask(4, 4, 2), Err(Refusal::Conflict(4))));
        assert!(matches!(ask(0, 4, 2), Err(Refusal::Conflict(4))));
        assert!(matches!(ask(4, 3, 1), Err(Refusal::Bad(_))));
        assert!(ask(4, 4, 1).is_ok());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = witness(dir.path(), vec![log()]);
        let good = published(0, 0, &[], ORIGIN, None);
        let long = format!("old 0\n{}{}", "AAAA\n".repeat(64), good.split_once('\n').unwrap().1);
        for bad in [
            "",
            "old",
            "old 0",
            "old 0\n",
            "old 0\n\n",
            &good.replace("old 0", "old 00"),
            &good.replace("old 0", "old -1"),
            &good.replace("old 0\n", "old 0\nAAAA\n"),
            &long,
        ] {
            assert!(matches!(w.add_checkpoint(bad.as_bytes(), 1), Err(Refusal::Bad(_))), "{bad:?}");
        }
    }
}
