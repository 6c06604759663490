//! The client's side of C2SP tlog-witness: shows a witness that the log only grew, and gets its signature.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

use crate::{
    journal::{
        checkpoint::Head,
        leaves::ProveError,
        note::{Algorithm, Note, NoteError, Signed, Verifier},
    },
    model::Digest,
};

/// Longest answer that is read.
const MAX_ANSWER: u64 = 64 << 10;
/// A witness that says each time that it knows another size is asked no more than this.
const TRIES: usize = 3;
/// A time limit of nothing would be none.
const LEAST: Duration = Duration::from_millis(1);

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum WitnessError {
    /// It could not be asked.
    #[error("{0}")]
    Http(Box<ureq::Error>),
    /// It refused.
    #[error("it answers {status}: {text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The first line of what it says.
        text: String,
    },
    /// It has seen more of this log than there is.
    #[error(
        "it has signed {seen} leaves of this log, which has {here}: the journal was rolled back, or another host writes it too"
    )]
    Ahead {
        /// Leaves that it has seen.
        seen: u64,
        /// Leaves that there are.
        here: u64,
    },
    /// It has seen another log.
    #[error(
        "it has signed another root for {0} leaves of this log: another host writes it too, or it was rewritten"
    )]
    Fork(u64),
    /// What it sends is not its signature.
    #[error("it sends no signature by the key that is configured")]
    NoSignature,
    /// What it knows can't be continued.
    #[error(transparent)]
    Prove(#[from] ProveError),
}

/// One witness.
#[derive(Debug)]
pub(super) struct Client {
    url: String,
    verifier: Verifier,
    agent: Agent,
    /// Leaves that it has seen, as far as is known.
    seen: u64,
}

fn agent(plain: bool) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .https_only(!plain)
        .user_agent(concat!("recorder/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    // Nobody else is asked for what stays in the house.
    let config = if plain { config.proxy(None) } else { config };
    config.build().new_agent()
}

impl Client {
    /// A witness at its submission prefix, with its verifier key.
    pub(super) fn new(url: &str, key: &str) -> Result<Self, NoteError> {
        let verifier = Verifier::parse(key)?;
        if verifier.algorithm() != Algorithm::Cosignature {
            return Err(NoteError::Algorithm(1));
        }
        let agent = agent(url.starts_with("http://"));
        Ok(Self { url: url.to_owned(), verifier, agent, seen: 0 })
    }

    /// Its key's name.
    pub(super) fn name(&self) -> &str {
        self.verifier.name()
    }

    /// Its signature lines under the checkpoint `note`, which says what `head` does.
    pub(super) fn cosign(
        &mut self,
        note: &str,
        head: Head,
        prove: &dyn Fn(u64) -> Result<Vec<Digest>, ProveError>,
        patience: Duration,
    ) -> Result<String, WitnessError> {
        let until = Instant::now() + patience;
        for _ in 0..TRIES {
            let old = self.seen;
            if old > head.size {
                return Err(WitnessError::Ahead { seen: old, here: head.size });
            }
            let proof = if old == 0 || old == head.size { Vec::new() } else { prove(old)? };
            let left = until.saturating_duration_since(Instant::now()).max(LEAST);
            let (status, text) = self.post(&body(old, &proof, note), left)?;
            match status {
                200 => {
                    let lines = self.take(note, &text)?;
                    self.seen = head.size;
                    return Ok(lines);
                }
                409 => match text.trim_end().parse::<u64>() {
                    Ok(seen) if seen != old => self.seen = seen,
                    Ok(_) => return Err(WitnessError::Fork(old)),
                    Err(_) => return Err(refused(status, &text)),
                },
                // What it holds is no beginning of this log.
                422 => return Err(WitnessError::Fork(old)),
                _ => return Err(refused(status, &text)),
            }
        }
        Err(refused(409, "it knows another size each time"))
    }

    fn post(&self, body: &str, patience: Duration) -> Result<(u16, String), WitnessError> {
        let http = |e| WitnessError::Http(Box::new(e));
        let request = self.agent.post(format!("{}/add-checkpoint", self.url));
        let request = request.config().timeout_global(Some(patience)).build();
        let mut answer = request.content_type("text/plain").send(body).map_err(http)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(http)?;
        Ok((status, text))
    }

    /// The lines by the configured key; others' are left out.
    fn take(&self, note: &str, lines: &str) -> Result<String, WitnessError> {
        let whole =
            Note::parse(format!("{note}{lines}").as_bytes()).map_err(|_| WitnessError::NoSignature)?;
        match whole.signed_by(&self.verifier) {
            Signed::At(_) => {
                let ours = whole.signatures.iter().filter(|s| s.is_of(&self.verifier));
                Ok(ours.map(ToString::to_string).collect())
            }
            Signed::Not | Signed::Badly => Err(WitnessError::NoSignature),
        }
    }
}

fn refused(status: u16, text: &str) -> WitnessError {
    let line = text.lines().next().unwrap_or_default();
    let text = line.chars().filter(|c| !c.is_control()).take(200).collect();
    WitnessError::Refused { status, text }
}

fn body(old: u64, proof: &[Digest], note: &str) -> String {
    let mut body = format!("old {old}\n");
    for hash in proof {
        let _ = writeln!(body, "{}", STANDARD.encode(hash.as_bytes()));
    }
    let _ = write!(body, "\n{note}");
    body
}
