//! `recorder grant import-cert`: an SSH user certificate as a grant.

use std::path::PathBuf;

use super::{
    Failure, Io,
    issue::{self, IncidentArgs, MakerArgs},
    read,
    wish::parse_privilege,
};
use crate::grant::{Certificate, Certified, GRANT_ID, Privilege, Request, Statement, Window};
use crate::model::RealNanos;

/// Longest certificate file in bytes.
const MAX_FILE: usize = 64 << 10;

/// Arguments of `recorder grant import-cert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The certificate, as ssh-keygen -s leaves it (NAME-cert.pub)
    #[arg(value_name = "CERT")]
    certificate: PathBuf,
    /// Whom it is for [default: its principal, if it has one]
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// A host name or a pattern with * and ?; `!` in front takes out [several: repeat or separate by commas]
    #[arg(long = "host", value_name = "PATTERN", value_delimiter = ',')]
    hosts: Vec<String>,
    /// root, user:NAME or command:GLOB [several: repeat]
    #[arg(long = "privilege", value_name = "PRIVILEGE", value_parser = parse_privilege)]
    privileges: Vec<Privilege>,
    /// Why [default: what the certificate says about itself]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Each use takes a token
    #[arg(long)]
    token: bool,
    #[command(flatten)]
    incident: IncidentArgs,
    #[command(flatten)]
    maker: MakerArgs,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let missing = [("--host", args.hosts.is_empty()), ("--privilege", args.privileges.is_empty())];
    let maker =
        args.maker.maker(missing.into_iter().filter(|(_, no)| *no).map(|(flag, _)| flag).collect())?;
    let bytes = read::read(&args.certificate, MAX_FILE)?;
    let found = std::str::from_utf8(&bytes).map_err(|_| "it is no text".to_owned());
    let certificate = found
        .and_then(|line| Certificate::from_openssh(line).map_err(|e| e.to_string()))
        .map_err(|why| Failure::Nothing(format!("{}: {why}", args.certificate.display())))?;
    let person = match (&args.person, certificate.principals()) {
        (Some(person), _) => person.clone(),
        (None, [principal]) => principal.clone(),
        (None, several) => {
            return Err(Failure::Usage(format!(
                "--person missing: the certificate has {} principals",
                several.len()
            )));
        }
    };
    let reason = args.reason.clone().unwrap_or_else(|| {
        let id = certificate.extension(GRANT_ID).map(|id| format!(", grant {id}")).unwrap_or_default();
        format!("certificate {} no. {}{id}", certificate.key_id(), certificate.serial())
    });
    // The window is the certificate's; the document doesn't repeat it.
    let window = Window { from: RealNanos::new(0), until: RealNanos::new(0) };
    let request = Request {
        person,
        hosts: args.hosts.clone(),
        window,
        privileges: args.privileges.clone(),
        reason,
        incident: args.incident.incident(),
        token: args.token,
    };
    issue::issue(&maker, &Statement::Certificate(Box::new(Certified { request, certificate })), io)
}
