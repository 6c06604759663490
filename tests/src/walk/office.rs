//! Elsewhere: the desks of the people who ask, approve and refuse. Their keys never come near the machine; documents do.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::machine::Machine;
use crate::truth::sha256;

/// The person who works as `oncall1` and asks. She signs with the key that she logs in with.
pub const ANNA: &str = "anna@example.com";
/// The person who works as `oncall2` and approves what she asks for. He signs with another key than the one he logs in with.
pub const BERT: &str = "bert@example.com";

/// People with keys, and the lists that the machine decides by.
pub struct Office {
    dir: PathBuf,
    recorder: PathBuf,
    anna: PathBuf,
    bert: PathBuf,
}

/// A signed document, and the grant it is about or makes.
pub struct Document {
    /// Where it lies, its signature beside it.
    pub path: PathBuf,
    /// The SHA-256 of its bytes.
    pub id: String,
}

impl Office {
    /// Makes a key for Bert and the two lists; `recorder` is the binary that runs here.
    pub fn open(dir: &Path, recorder: &Path, machine: &Machine) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let bert = dir.join("bert");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "bert's other key", "-f"])
            .arg(&bert)
            .stdin(Stdio::null())
            .status()
            .context("ssh-keygen")?;
        ensure!(made.success(), "ssh-keygen ended with {made}");
        let office = Self {
            dir: dir.to_path_buf(),
            recorder: recorder.to_path_buf(),
            anna: machine.key("oncall1"),
            bert,
        };
        let mut signers = String::new();
        for (person, key) in [(ANNA, &office.anna), (BERT, &office.bert)] {
            let public = fs::read_to_string(key.with_extension("pub"))?;
            let _ = write!(signers, "{person} namespaces=\"recorder-grant\" {public}");
        }
        fs::write(office.signers(), signers)?;
        office.decide([["oncall1"].as_slice(), &["oncall2"]], "")?;
        Ok(office)
    }

    /// Writes the policy: whose which accounts are, and more lines.
    fn decide(&self, [annas, berts]: [&[&str]; 2], more: &str) -> Result<()> {
        let text = format!(
            "break_glass = [\"{ANNA}\"]\n[people]\n\"{ANNA}\".accounts = {annas:?}\n\"{BERT}\".accounts = {berts:?}\n{more}\
             [[approve]]\napprovers = [\"{ANNA}\", \"{BERT}\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n"
        );
        fs::write(self.policy(), text).context("the policy")
    }

    /// A policy by which both work as this account too, and are told apart by the keys that they log in with.
    pub fn share(&self, account: &str, machine: &Machine) -> Result<()> {
        let [anna, bert] = [("oncall1", ANNA), ("oncall2", BERT)].map(|(login, who)| {
            fingerprint(&machine.key(login)).map(|key| format!("\"{who}\".keys = [\"{key}\"]\n"))
        });
        self.decide([&["oncall1", account], &["oncall2", account]], &(anna? + &bert?))
    }

    /// The list of signers: the machine's, and the investigator's.
    pub fn signers(&self) -> PathBuf {
        self.dir.join("allowed_signers")
    }

    /// The recorder that runs here.
    pub fn recorder(&self) -> &Path {
        &self.recorder
    }

    /// The policy.
    pub fn policy(&self) -> PathBuf {
        self.dir.join("policy.toml")
    }

    /// Somebody writes and signs a document: `recorder grant WORDS`.
    pub fn write(&self, who: &str, words: &[&str]) -> Result<Document> {
        let key = if who == ANNA { &self.anna } else { &self.bert };
        let mut command = Command::new(&self.recorder);
        command
            .arg("grant")
            .args(words)
            .args(["--signer", who, "--key"])
            .arg(key)
            .arg("--out")
            .arg(&self.dir);
        let out = command.stdin(Stdio::null()).output().context("recorder grant")?;
        ensure!(
            out.status.success(),
            "recorder grant {}: {}: {}",
            words.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
        let path = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
        let id = sha256(&fs::read(&path).with_context(|| format!("{words:?} wrote no document"))?);
        Ok(Document { path, id })
    }

    /// The same document with a byte more and the old signature.
    pub fn edited(&self, document: &Document) -> Result<Document> {
        let edited = Document { path: self.dir.join("edited.toml"), id: String::new() };
        let bytes = fs::read_to_string(&document.path)?.replace("version = 1", "version = 1 ");
        fs::copy(document.signature(), edited.signature())?;
        fs::write(&edited.path, &bytes)?;
        Ok(Document { id: sha256(bytes.as_bytes()), ..edited })
    }

    /// Anna asks for root on every machine and Bert approves: both documents, undelivered. `more` are words of the request.
    pub fn grant(&self, window: &str, more: &[&str]) -> Result<[Document; 2]> {
        self.grant_to(ANNA, window, more)
    }

    /// One of the two asks and the other approves.
    pub fn grant_to(&self, who: &str, window: &str, more: &[&str]) -> Result<[Document; 2]> {
        let words = [
            "request",
            "--host",
            "*",
            "--privilege",
            "root",
            "--reason",
            "the disk is full",
            "--for",
            window,
        ];
        let request = self.write(who, &[&words[..], more].concat())?;
        let other = if who == ANNA { BERT } else { ANNA };
        let approval = self.write(other, &["approve", &request.path.display().to_string()])?;
        Ok([request, approval])
    }
}

impl Document {
    /// Its signature, beside it.
    pub fn signature(&self) -> PathBuf {
        self.path.with_extension("toml.sig")
    }
}

/// A key as ssh-keygen names it.
pub fn fingerprint(key: &Path) -> Result<String> {
    let out = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(key.with_extension("pub"))
        .output()
        .context("ssh-keygen")?;
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    told.split(' ').nth(1).map(str::to_owned).with_context(|| format!("ssh-keygen says {told}"))
}
