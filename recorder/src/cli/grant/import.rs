//! `recorder grant import`: what another system approved, signed by whoever brings it in (docs/grants-import.md).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Failure, Io,
    issue::{self, MakerArgs},
    read,
    wish::parse_privilege,
};
use crate::{
    cli::args::parse_span,
    grant::{Import, Privilege, Request, Statement, import},
};

/// Longest mapping file and list of people in bytes.
const MAX_FILE: usize = 1 << 20;

/// Arguments of `recorder grant import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The system's JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which system's
    #[arg(long = "from", value_name = "SYSTEM")]
    system: Origin,
    /// Where the JSON has what, for `--from generic`
    #[arg(long, value_name = "FILE", required_if_eq("system", "generic"))]
    mapping: Option<PathBuf>,
    /// Our names for the system's: TOML, `"their name" = "our name"`
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Which of several assignees of an incident
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// A host name or a pattern with * and ?; `!` in front takes out [several: repeat or separate by commas]
    #[arg(long = "host", value_name = "PATTERN", value_delimiter = ',')]
    hosts: Vec<String>,
    /// root, user:NAME or command:GLOB [several: repeat]
    #[arg(long = "privilege", value_name = "PRIVILEGE", value_parser = parse_privilege)]
    privileges: Vec<Privilege>,
    /// How long from now, where the system gives no end; a part of a shift
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_span)]
    length: Option<u64>,
    /// Each use takes a token
    #[arg(long)]
    token: bool,
    #[command(flatten)]
    maker: MakerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Origin {
    /// An access request: tctl get access_request/ID --format=json
    Teleport,
    /// An entry of GET /oncalls, or GET /incidents/ID
    Pagerduty,
    /// GET /governance/api/v2/requests/ID
    Okta,
    /// A roleAssignmentScheduleRequest of Microsoft Graph
    Entra,
    /// Any other, with --mapping
    Generic,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let missing = [("--host", args.hosts.is_empty()), ("--privilege", args.privileges.is_empty())];
    let maker =
        args.maker.maker(missing.into_iter().filter(|(_, no)| *no).map(|(flag, _)| flag).collect())?;
    let system = args.system()?;
    let hints = import::Hints { people: args.people()?, person: args.person.clone(), length: args.length };
    let bytes = read::read(&args.file, import::MAX_IMPORT)?;
    let found = import::read(&system, &bytes, &hints, issue::now())
        .map_err(|e| Failure::Nothing(format!("{}: not imported: {e}", args.file.display())))?;
    let request = Request {
        person: found.person,
        hosts: args.hosts.clone(),
        window: found.window,
        privileges: args.privileges.clone(),
        reason: one_line(&found.reason),
        incident: found.incident,
        token: args.token,
    };
    let import::Found { system, external_id, approvers, source, .. } = found;
    let import = Import { request, system, external_id, approvers, source };
    issue::issue(&maker, &Statement::Import(Box::new(import)), io)
}

impl Args {
    fn system(&self) -> Result<import::System, Failure> {
        Ok(match (self.system, &self.mapping) {
            (Origin::Teleport, _) => import::System::Teleport,
            (Origin::Pagerduty, _) => import::System::Pagerduty,
            (Origin::Okta, _) => import::System::Okta,
            (Origin::Entra, _) => import::System::Entra,
            (Origin::Generic, None) => return Err(Failure::Usage("--mapping missing".to_owned())),
            (Origin::Generic, Some(path)) => {
                let mapping = import::Mapping::parse(&text(path)?);
                let mapping = mapping.map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
                import::System::Generic(Box::new(mapping))
            }
        })
    }

    fn people(&self) -> Result<BTreeMap<String, String>, Failure> {
        let Some(path) = &self.people else { return Ok(BTreeMap::new()) };
        toml::from_str(&text(path)?)
            .map_err(|e| Failure::Usage(format!("{}: no list of names: {}", path.display(), e.message())))
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = read::read(path, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{}: the text is not UTF-8", path.display())))
}

/// A document holds no line breaks; other systems' reasons do.
fn one_line(text: &str) -> String {
    text.split(char::is_control)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" / ")
}
