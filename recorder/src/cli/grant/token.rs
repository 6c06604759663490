//! `recorder grant issue-token`: one use of a grant, as one line.

use std::path::PathBuf;

use super::{
    Failure, Io, answer,
    issue::{self, MakerArgs},
    read,
};
use crate::{
    cli::args::parse_span,
    grant::{Statement, Token, TokenParts, Window},
    model::RealNanos,
};

/// A token is for what somebody does now; the policy's default has the same length.
const LENGTH: u64 = 15 * 60 * 1_000_000_000;

/// Arguments of `recorder grant issue-token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The grant: its request's file, or its id (64 hex digits)
    #[arg(value_name = "GRANT")]
    grant: PathBuf,
    /// Who may use it [default: the request's person]
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// The host's exact name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// How long from now [default: 15m]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_span)]
    length: Option<u64>,
    /// Your name as the list of signers has it [default: $RECORDER_SIGNER]
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,
    /// Your SSH key; its .pub if an agent or a security key holds it [default: $RECORDER_KEY]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (request, asked) = if let Some(id) = answer::as_id(&args.grant) {
        (id, None)
    } else {
        let document = read::check_one(&args.grant, None)?.document;
        let person = document.statement.request().map(|request| request.person.clone());
        let no = || Failure::Usage(format!("{} asks for nothing", args.grant.display()));
        (document.id, Some(person.ok_or_else(no)?))
    };
    let person = args.person.clone().or(asked);
    let mut missing = Vec::new();
    for (flag, no) in [("--person", person.is_none()), ("--host", args.host.is_none())] {
        missing.extend(no.then_some(flag));
    }
    let given = MakerArgs { signer: args.signer.clone(), key: args.key.clone(), out: PathBuf::new() };
    let maker = given.maker(missing)?;
    let from = issue::now();
    let until = RealNanos::new(from.get().saturating_add(args.length.unwrap_or(LENGTH)));
    let token = Token {
        request,
        person: person.unwrap_or_default(),
        host: args.host.clone().unwrap_or_default(),
        window: Window { from, until },
    };
    if token.person == maker.signer {
        return Err(Failure::Usage(format!("{} can't issue tokens to himself", maker.signer)));
    }
    let made = issue::make(&maker, &Statement::Token(token))?;
    let parts = TokenParts::new(&made.bytes, &made.signature).map_err(|e| Failure::Io(e.to_string()))?;
    writeln!(io.out, "{}", parts.text())?;
    Ok(0)
}
