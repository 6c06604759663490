//! `--identity`: the keys of whoever reads, with a question for the passphrase where one protects them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroize;

use super::Failure;
use crate::journal::Identities;
use crate::journal::identity::MAX_LEN;

/// Who reads.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IdentityArgs {
    /// age identity or SSH private key that opens the journal, may be repeated [default: $RECORDER_IDENTITY]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

impl IdentityArgs {
    /// Reads the files; asks on the terminal where one needs a passphrase.
    pub(crate) fn read(&self) -> Result<Identities, Failure> {
        let environment = std::env::var_os("RECORDER_IDENTITY").filter(|name| !name.is_empty());
        let files = match environment {
            Some(name) if self.identity.is_empty() => vec![PathBuf::from(name)],
            _ => self.identity.clone(),
        };
        let mut identities = Identities::default();
        for path in &files {
            let fault = |why: &dyn std::fmt::Display| format!("identity {}: {why}", path.display());
            let raw = read_file(path).map_err(|e| Failure::Io(fault(&e)))?;
            let name = path.display().to_string();
            identities.add(&raw, &mut || ask(&name)).map_err(|e| Failure::Usage(fault(&e)))?;
        }
        Ok(identities)
    }
}

fn read_file(path: &Path) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut raw = zeroize::Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_LEN).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut raw)?;
    Ok(raw)
}

/// Switches the terminal's echo on again, whatever happens.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks on the terminal itself, so that pipes carry no secrets.
fn ask(name: &str) -> Option<SecretString> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    write!(terminal, "Passphrase of {}: ", super::io::one_line(name)).ok()?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).ok()?;
    let mut line = String::new();
    let quiet = Quiet { terminal: &terminal, before };
    let read = BufReader::new(&terminal).read_line(&mut line);
    drop(quiet);
    let _ = writeln!(terminal);
    let secret = SecretString::from(line.trim_end_matches(['\n', '\r']));
    line.zeroize();
    read.ok().map(|_| secret)
}
