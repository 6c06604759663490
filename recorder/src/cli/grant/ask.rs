//! The dialogue of `recorder grant request`: plain questions, an empty line takes the default.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
};

use super::{
    Failure,
    issue::{self, Maker, MakerArgs, parse_incident},
    wish::{host_name, parse_privilege},
};
use crate::{
    cli::args::parse_span,
    cli::io::one_line,
    grant::{Incident, Privilege, Request, Window},
    model::RealNanos,
};

/// Names of keys in ~/.ssh; the first that exists is the default.
const KEYS: [&str; 5] = ["id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa"];

/// Asks for everything that a request needs.
pub(super) fn request(
    given: &MakerArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<(Maker, Request), Failure> {
    let mut dialogue = Dialogue { input, out };
    let signer = match &given.signer {
        Some(signer) => signer.clone(),
        None => dialogue.ask("Your name in the list of signers", given.signer().as_deref(), text)?,
    };
    let person = dialogue.ask("Who needs access", Some(&signer), text)?;
    let hosts = dialogue.ask("Hosts (patterns, commas)", host_name().as_deref(), list)?;
    let privileges =
        dialogue.ask("Privileges (root, user:NAME, command:GLOB; `;` between)", Some("root"), privileges)?;
    let length = dialogue.ask("For how long from now", Some("2h"), parse_span)?;
    let reason = dialogue.ask("Reason", None, text)?;
    let incident = dialogue.ask("Incident (SYSTEM:ID, - for none)", Some("-"), incident)?;
    let incident = match incident {
        None => None,
        Some((system, id)) => {
            let url = dialogue.ask("Its address (- for none)", Some("-"), text)?;
            Some(Incident { system, id, url: Some(url).filter(|url| url != "-") })
        }
    };
    let key = if let Some(key) = &given.key {
        key.clone()
    } else {
        let default = given.key().or_else(first_key).map(|key| key.display().to_string());
        dialogue.ask("Your SSH key", default.as_deref(), |answer| text(answer).map(from_home))?
    };
    let from = issue::now();
    let window = Window { from, until: RealNanos::new(from.get().saturating_add(length)) };
    let request = Request { person, hosts, window, privileges, reason, incident, token: false };
    Ok((Maker { signer, key, out: given.out.clone() }, request))
}

struct Dialogue<'a> {
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
}

impl Dialogue<'_> {
    /// Asks until the answer makes sense.
    fn ask<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        loop {
            match default {
                Some(default) => write!(self.out, "{question} [{}]: ", one_line(default))?,
                None => write!(self.out, "{question}: ")?,
            }
            self.out.flush()?;
            let mut line = String::new();
            let read_bytes = self
                .input
                .read_line(&mut line)
                .map_err(|e| Failure::Io(format!("cannot read the answer: {e}")))?;
            if read_bytes == 0 {
                return Err(Failure::Usage("the dialogue ended before everything was answered".to_owned()));
            }
            let answer = match line.trim() {
                "" => default.unwrap_or_default(),
                answer => answer,
            };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(why) => writeln!(self.out, "  {}", one_line(&why))?,
            }
        }
    }
}

fn text(answer: &str) -> Result<String, String> {
    if answer.is_empty() { Err("an answer is needed".to_owned()) } else { Ok(answer.to_owned()) }
}

fn list(answer: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> =
        answer.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if words.is_empty() { Err("at least one is needed".to_owned()) } else { Ok(words) }
}

fn privileges(answer: &str) -> Result<Vec<Privilege>, String> {
    answer.split(';').map(|word| parse_privilege(word.trim())).collect()
}

fn incident(answer: &str) -> Result<Option<(String, String)>, String> {
    if answer == "-" { Ok(None) } else { parse_incident(answer).map(Some) }
}

/// `~/` is the shell's; nobody expands it in an answer.
fn from_home(answer: String) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let inside = answer.strip_prefix("~/").and_then(|rest| Some(home()?.join(rest)));
    inside.unwrap_or_else(|| answer.into())
}

fn first_key() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("HOME")?).join(".ssh");
    KEYS.iter().map(|name| dir.join(name)).find(|path| path.is_file())
}
