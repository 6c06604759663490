//! `recorder grant note`: ties running work to an incident.

use super::{
    Failure, Io,
    issue::{self, IncidentArgs, MakerArgs},
};
use crate::grant::{Note, Statement};

/// Arguments of `recorder grant note`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose work it is [default: the signer]
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    #[command(flatten)]
    incident: IncidentArgs,
    /// What was done, in your words
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    maker: MakerArgs,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let incident = args.incident.incident();
    let maker = args.maker.maker(if incident.is_none() { vec!["--incident"] } else { Vec::new() })?;
    let Some(incident) = incident else { return Err(Failure::Usage("--incident missing".to_owned())) };
    let person = args.person.clone().unwrap_or_else(|| maker.signer.clone());
    issue::issue(&maker, &Statement::Note(Note { person, incident, text: args.reason.clone() }), io)
}
