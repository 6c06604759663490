//! `recorder grant add`: hands signed documents to the running recorder.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Failure, Io, issue::signature_path, read, show::safe};
use crate::{
    cli::control::{self, NoAnswer, SocketArgs},
    grant::{MAX_DOCUMENT, MAX_SIGNATURE},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `recorder grant add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The documents; the signature of each is FILE.sig
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let socket = args.socket.path();
    let mut refused = false;
    for path in &args.files {
        let document = read::read(path, MAX_DOCUMENT)?;
        let signature = read::read(&signature_path(path), MAX_SIGNATURE)?;
        let question = json!({
            "v": 1, "op": "add", "document": STANDARD.encode(document), "signature": STANDARD.encode(signature),
        });
        let file = safe(&path.to_string_lossy());
        match control::ask(&socket, &question, PATIENCE) {
            Ok(answer) => {
                refused |= !received(&answer);
                writeln!(io.out, "{}", told(&file, &answer))?;
            }
            Err(NoAnswer::Refused(why)) => {
                refused = true;
                writeln!(io.out, "REFUSED  {file}: {}", safe(&why))?;
            }
            Err(silent) => return Err(silent.failure(&socket)),
        }
    }
    Ok(u8::from(refused))
}

fn received(answer: &Value) -> bool {
    answer.get("verdict").and_then(Value::as_str) == Some("received")
}

/// One line for one document.
fn told(file: &str, answer: &Value) -> String {
    let field = |key: &str| answer.get(key).and_then(Value::as_str).map(safe);
    let id: String = field("id").unwrap_or_default().chars().take(12).collect();
    let kind = field("kind").unwrap_or_else(|| "document".to_owned());
    let why = field("text");
    if !received(answer) {
        return format!("REFUSED  {file}: {}", why.unwrap_or_else(|| "no reason is given".to_owned()));
    }
    let state = field("state").map(|state| format!("; the grant is {state}")).unwrap_or_default();
    let ignored = why.map(|why| format!("; not followed: {why}")).unwrap_or_default();
    format!("received {kind} {id}{state}{ignored}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_came_of_it() {
        let answer = json!({"verdict": "received", "id": "00112233445566778899", "kind": "approval", "text": null, "state": "active"});
        assert_eq!(told("a.toml", &answer), "received approval 001122334455; the grant is active");
        let answer = json!({"verdict": "received", "id": "0011", "kind": "note", "text": "nobody\u{1b}", "state": null});
        assert_eq!(told("a.toml", &answer), "received note 0011; not followed: nobody\\x1b");
        let answer = json!({"verdict": "refused", "id": "0011", "kind": null, "text": "why"});
        assert_eq!(told("a.toml", &answer), "REFUSED  a.toml: why");
        assert_eq!(told("a.toml", &json!([])), "REFUSED  a.toml: no reason is given");
    }
}
