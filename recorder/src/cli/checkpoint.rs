//! `recorder checkpoint`: the signed note of where the log stands now.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    Failure, Io,
    args::JournalArgs,
    control::{self, NoAnswer, SocketArgs},
};
use crate::{
    journal::checkpoint::{Head, Signer, verifier},
    verify::{Options, Verdict},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `recorder checkpoint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the key that signs, as witnesses and policies name it, instead
    #[arg(long)]
    vkey: bool,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Missing("only root may have a checkpoint signed".to_owned()));
    }
    let socket = args.socket.path();
    // A journal that is named is not the running recorder's, unless it says so.
    let answer = if args.journal.is_named() {
        Err(NoAnswer::Silent(std::io::ErrorKind::NotFound.into()))
    } else {
        control::ask(&socket, &json!({"v": 1, "op": "checkpoint"}), PATIENCE)
    };
    let (note, key) = match answer {
        Ok(answer) => {
            let text = |key| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("note"), text("key"))
        }
        Err(NoAnswer::Refused(why)) => return Err(NoAnswer::Refused(why).failure(&socket)),
        Err(NoAnswer::Silent(_)) => from_disk(&args.journal.dir())?,
    };
    if args.vkey {
        writeln!(io.out, "{key}")?;
    } else {
        io.out.write_all(note.as_bytes())?;
    }
    Ok(0)
}

/// Signs what verifies of the newest log, with the key that lies beside it.
fn from_disk(dir: &Path) -> Result<(String, String), Failure> {
    let report = crate::verify::verify(dir, &Options::default(), &mut |_| ())?;
    let log = report.logs.last().ok_or_else(|| Failure::Nothing("the journal holds no log".to_owned()))?;
    if !matches!(report.verdict, Verdict::Verified | Verdict::VerifiedWithGaps) {
        return Err(Failure::Missing(format!(
            "nothing is signed: the journal is {}; see `recorder verify`",
            super::journal::verdict_words(report.verdict)
        )));
    }
    let missing = |why: String| {
        let dir = dir.display();
        Failure::Missing(format!(
            "no recorder answers, and {dir} has no admission key of log {}: {why}",
            log.id
        ))
    };
    let signer = Signer::open(dir, log.id).map_err(|e| missing(e.to_string()))?;
    let signer = signer.ok_or_else(|| missing("the file holds none".to_owned()))?;
    let identity = signer.identity();
    let key = verifier(identity.log, identity.admission).map(|v| v.to_string()).unwrap_or_default();
    Ok((signer.sign(Head { size: log.last, root: log.root }), key))
}
