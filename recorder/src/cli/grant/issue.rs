//! Makes a document: writes it, has ssh-keygen sign it, checks the signature, leaves both files.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Failure, Io};
use crate::{
    grant::{Document, Incident, NAMESPACE, Nonce, Statement, verify_signature},
    model::RealNanos,
    sys::clock,
};

/// Who signs, with what, and where the files go.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct MakerArgs {
    /// Your name as the list of signers has it [default: $RECORDER_SIGNER]
    #[arg(long, value_name = "NAME")]
    pub(super) signer: Option<String>,
    /// Your SSH key; its .pub if an agent or a security key holds it [default: $RECORDER_KEY]
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Directory for the document and its signature
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
}

/// [`MakerArgs`] with nothing missing.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Maker {
    pub(in crate::cli) signer: String,
    pub(in crate::cli) key: PathBuf,
    pub(in crate::cli) out: PathBuf,
}

impl MakerArgs {
    pub(super) fn signer(&self) -> Option<String> {
        let environment = || std::env::var("RECORDER_SIGNER").ok().filter(|name| !name.is_empty());
        self.signer.clone().or_else(environment)
    }

    pub(super) fn key(&self) -> Option<PathBuf> {
        let environment = || std::env::var_os("RECORDER_KEY").filter(|key| !key.is_empty()).map(Into::into);
        self.key.clone().or_else(environment)
    }

    /// Everything that is missing is told at once, together with what the command itself misses.
    pub(in crate::cli) fn maker(&self, mut missing: Vec<&'static str>) -> Result<Maker, Failure> {
        let (signer, key) = (self.signer(), self.key());
        if signer.is_none() {
            missing.push("--signer");
        }
        if key.is_none() {
            missing.push("--key");
        }
        match (signer, key) {
            (Some(signer), Some(key)) if missing.is_empty() => {
                Ok(Maker { signer, key, out: self.out.clone() })
            }
            _ => Err(Failure::Usage(format!("{} missing; see --help", missing.join(", ")))),
        }
    }
}

/// The incident that something belongs to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct IncidentArgs {
    /// The incident: where it is tracked and its id there, such as pagerduty:PD-4711
    #[arg(long, value_name = "SYSTEM:ID", value_parser = parse_incident)]
    pub(super) incident: Option<(String, String)>,
    /// Its address
    #[arg(long, value_name = "URL", requires = "incident")]
    pub(super) incident_url: Option<String>,
}

impl IncidentArgs {
    pub(super) fn incident(&self) -> Option<Incident> {
        let (system, id) = self.incident.clone()?;
        Some(Incident { system, id, url: self.incident_url.clone() })
    }
}

pub(in crate::cli) fn parse_incident(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':').filter(|(system, id)| !system.is_empty() && !id.is_empty());
    parts
        .map(|(system, id)| (system.to_owned(), id.to_owned()))
        .ok_or_else(|| "expected SYSTEM:ID such as pagerduty:PD-4711".to_owned())
}

/// This second. Fractions would only make the documents harder to read.
pub(in crate::cli) fn now() -> RealNanos {
    let nanos = clock::pair().real.get();
    RealNanos::new(nanos - nanos % 1_000_000_000)
}

/// A document that was written, signed and checked.
pub(super) struct Made {
    pub(super) document: Document,
    pub(super) bytes: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The key, for people.
    by: String,
}

/// Writes, signs and checks.
pub(super) fn make(maker: &Maker, statement: &Statement) -> Result<Made, Failure> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| Failure::Missing(format!("no random bytes: {e}")))?;
    let (document, bytes) = Document::write(&maker.signer, now(), Nonce::new(nonce), statement)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let signature = sign(&maker.key, NAMESPACE, &bytes)?;
    match verify_signature(&bytes, &signature) {
        Ok(signed) => {
            let by = format!("{} {}", signed.key.kind(), signed.key.fingerprint());
            Ok(Made { document, bytes, signature, by })
        }
        Err(error) => Err(Failure::Io(format!("{} can't sign grants: {error}", maker.key.display()))),
    }
}

/// Makes and stores; prints the document's path, and on a terminal what to do with it.
pub(super) fn issue(maker: &Maker, statement: &Statement, io: &mut Io<'_>) -> Result<u8, Failure> {
    let Made { document, bytes, signature, by } = make(maker, statement)?;
    let digits = document.id.to_string();
    let name = format!("{}-{}.toml", document.statement.kind(), digits.get(..12).unwrap_or_default());
    let path = store(&maker.out, &name, &bytes, &signature)?;
    writeln!(io.out, "{}", super::super::io::one_line(&path.display().to_string()))?;
    if io.err_terminal {
        let kind = document.statement.kind();
        writeln!(io.err, "{kind} {digits}\nsigned by {by}\nhand on both files, {name} and {name}.sig")?;
    }
    Ok(0)
}

/// The real ssh-keygen signs, so agents, security keys and passphrases work as everywhere else.
pub(in crate::cli) fn sign(key: &Path, namespace: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key);
    // Standard error stays the person's: "Confirm user presence" has to be seen while it waits.
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| Failure::Missing(format!("cannot run ssh-keygen: {e}")))?;
    if let Some(mut input) = child.stdin.take() {
        // If it gave up before reading, its exit code tells.
        let _ = input.write_all(bytes);
    }
    let output = child.wait_with_output().map_err(|e| Failure::Io(format!("ssh-keygen: {e}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Io(format!("ssh-keygen did not sign with {}; nothing was written", key.display())))
    }
}

/// The signature first: whoever waits for documents finds it there when the document appears.
pub(in crate::cli) fn store(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    signature: &[u8],
) -> Result<PathBuf, Failure> {
    let path = dir.join(name);
    let beside = signature_path(&path);
    put(&beside, signature)?;
    put(&path, bytes).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    Ok(path)
}

/// Never over a file that is there.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display())))
}

/// Where the signature of a document lies.
pub(in crate::cli) fn signature_path(document: &Path) -> PathBuf {
    let mut name = OsString::from(document.as_os_str());
    name.push(".sig");
    name.into()
}
