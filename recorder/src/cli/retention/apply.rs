//! `recorder retention apply`: hands a permit to the running recorder, which alone writes the log.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Failure, Io};
use crate::{
    cli::{
        control::{self, NoAnswer, SocketArgs},
        grant::{issue::signature_path, read},
    },
    grant::MAX_SIGNATURE,
    journal::retain::text::MAX_DOCUMENT,
};

/// Each segment is read once before it goes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Arguments of `recorder retention apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The permit; its signature is PERMIT.sig
    #[arg(value_name = "PERMIT")]
    permit: PathBuf,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let socket = args.socket.path();
    let document = read::read(&args.permit, MAX_DOCUMENT)?;
    let signature = read::read(&signature_path(&args.permit), MAX_SIGNATURE)?;
    let question = json!({
        "v": 1, "op": "expire", "document": STANDARD.encode(document), "signature": STANDARD.encode(signature),
    });
    match control::ask(&socket, &question, PATIENCE) {
        Ok(answer) => {
            let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
            let bytes = crate::cli::table::bytes(number("bytes"));
            let (gone, before) = (number("segments"), number("before"));
            writeln!(io.out, "expired {gone} segments ({bytes}); {before} of the permit had gone before")?;
            Ok(0)
        }
        Err(NoAnswer::Refused(why)) => Err(Failure::Nothing(format!("not applied: {why}"))),
        Err(silent) => Err(silent.failure(&socket)),
    }
}
