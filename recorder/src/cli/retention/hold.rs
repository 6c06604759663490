//! `recorder retention hold`, `release`, `holds`: what must not be deleted until somebody says so.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    Failure, Io,
    permit::{new_maker, sign_and_store},
    plan,
    signers::{HoldsArgs, good},
};
use crate::{
    cli::{
        args::JournalArgs,
        grant::{
            issue::{MakerArgs, parse_incident},
            read,
        },
        table,
    },
    journal::retain::{
        Criterion, Hold, HoldDocument, Release, hold::MAX_SESSIONS, shelf, text::MAX_DOCUMENT,
    },
    model::{Digest, SessionId},
};

/// Arguments of `recorder retention hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    about: About,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    maker: MakerArgs,
}

/// What is held.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct About {
    /// One session, by its whole id
    #[arg(long, value_name = "ID", value_parser = session)]
    session: Option<SessionId>,
    /// All that was done for an incident, such as pagerduty:PD-4711
    #[arg(long, value_name = "SYSTEM:ID", value_parser = parse_incident)]
    incident: Option<(String, String)>,
    /// All that a person, or an account, did
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::from_hex(text).ok_or_else(|| "expected the whole id of a session".to_owned())
}

/// Arguments of `recorder retention release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The hold
    #[arg(value_name = "HOLD")]
    hold: PathBuf,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    maker: MakerArgs,
}

/// Arguments of `recorder retention holds`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    holds: HoldsArgs,
}

fn reason(given: Option<&String>) -> (Vec<&'static str>, &str) {
    given.map_or_else(|| (vec!["--reason"], ""), |reason| (Vec::new(), reason.as_str()))
}

pub(crate) fn hold(args: &HoldArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (missing, reason) = reason(args.reason.as_ref());
    let maker = args.maker.maker(missing)?;
    let About { session, incident, person } = &args.about;
    let criterion = match (session, incident, person) {
        (Some(id), _, _) => Criterion::Session(*id),
        (_, Some((system, id)), _) => Criterion::Incident(format!("{system}:{id}")),
        (_, _, Some(name)) => Criterion::Person(name.clone()),
        _ => return Err(Failure::Usage("--session, --incident or --person".to_owned())),
    };
    // A host that can't read who did what goes by the sessions that are named here.
    let known = match plan::know(&args.journal.dir(), None) {
        Ok(Ok(known)) => Some(known),
        Ok(Err(_)) | Err(_) => None,
    };
    let sessions: Vec<SessionId> = match &known {
        Some(known) => {
            let fits = known.sessions.iter().filter(|(id, of)| of.fits(**id, &criterion));
            fits.map(|(id, _)| *id).collect()
        }
        None if session.is_some() => session.iter().copied().collect(),
        None => {
            return Err(Failure::Nothing(
                "no whole journal is here to find the sessions in: give --journal, or hold them by --session"
                    .to_owned(),
            ));
        }
    };
    if sessions.len() > MAX_SESSIONS {
        return Err(Failure::Nothing(format!(
            "that is {} sessions, and a hold names at most {MAX_SESSIONS}",
            sessions.len()
        )));
    }
    let (id, bytes) = Hold::write(&new_maker(&maker.signer)?, &criterion, &sessions, reason)
        .map_err(|fault| Failure::Usage(fault.to_string()))?;
    if sessions.is_empty() {
        io.warn("the journal holds no such session yet: a host with encryption will keep none by this hold");
    }
    sign_and_store(&maker, "hold", &id.to_string(), &bytes, io)
}

pub(crate) fn release(args: &ReleaseArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (missing, reason) = reason(args.reason.as_ref());
    let maker = args.maker.maker(missing)?;
    let bytes = read::read(&args.hold, MAX_DOCUMENT)?;
    let path = args.hold.display();
    let hold = match HoldDocument::parse(&bytes) {
        Ok(HoldDocument::Hold(hold)) => hold.head.id,
        Ok(HoldDocument::Release(_)) => return Err(Failure::Nothing(format!("{path} is a release"))),
        Err(fault) => return Err(Failure::Nothing(format!("{path} is no hold: {fault}"))),
    };
    let (id, bytes) = Release::write(&new_maker(&maker.signer)?, hold, reason)
        .map_err(|fault| Failure::Usage(fault.to_string()))?;
    sign_and_store(&maker, "release", &id.to_string(), &bytes, io)
}

pub(crate) fn list(args: &ListArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (filed, signers) = (args.holds.filed()?, args.holds.signers(io)?);
    let force: BTreeSet<Digest> = shelf::in_force(filed.clone(), |filed| good(filed, &signers).is_ok())
        .iter()
        .map(|hold| hold.head.id)
        .collect();
    let rows: Vec<Vec<String>> = filed
        .iter()
        .map(|filed| {
            let head = filed.document.head();
            let signed = good(filed, &signers);
            let (kind, about, state, reason) = match &filed.document {
                HoldDocument::Hold(hold) => {
                    let about = match &hold.criterion {
                        Criterion::Session(id) => format!("session {id}"),
                        Criterion::Incident(incident) => format!("incident {incident}"),
                        Criterion::Person(person) => format!("person {person}"),
                    };
                    let state = if force.contains(&head.id) { "in force" } else { "released" };
                    ("hold", format!("{about} ({} sessions)", hold.sessions.len()), state, &hold.reason)
                }
                HoldDocument::Release(release) => {
                    let state = if signed.is_ok() { "good" } else { "IGNORED" };
                    ("release", format!("hold {}", digits(release.hold)), state, &release.reason)
                }
            };
            let signature = signed.map_or_else(|why| why, |key| format!("by {key}"));
            let cells = [
                kind,
                &digits(head.id),
                &about,
                state,
                &head.signer,
                &table::time(head.made),
                reason,
                &signature,
            ]
            .map(crate::cli::io::one_line);
            cells.to_vec()
        })
        .collect();
    let header = ["KIND", "ID", "ABOUT", "STATE", "SIGNER", "MADE (UTC)", "REASON", "SIGNATURE"];
    if rows.is_empty() {
        writeln!(io.err, "recorder: there are no holds")?;
        return Ok(1);
    }
    table::print(io.out, &header, &rows)?;
    Ok(0)
}

fn digits(id: Digest) -> String {
    id.to_string().chars().take(12).collect()
}
