//! `recorder grant list`, and `recorder grant show ID`: grants as a journal has them, and what was done under them.

use std::io::Write;

use serde_json::{Value, json};

use super::{Failure, Io, show};
use crate::{
    cli::{
        args::{Format, FormatArgs, JournalArgs},
        brief, journal, table,
    },
    export::{json::rfc3339, write_line, write_pretty},
    grant::{Document, Request, Statement},
    index::{GrantInfo, Grants},
    model::{Bytes, Digest, Grant, GrantAct, RealNanos},
    verify::Report,
};

/// Digits that tell an id from a mistyped file name.
const LEAST_DIGITS: usize = 6;
/// Behind documents and states of the same moment.
const COVERS: u8 = 3;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Arguments of `recorder grant list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (report, grants) = read(&args.journal, io)?;
    match args.format.format {
        Format::Table => {
            let header =
                ["GRANT", "STATE", "PERSON", "PRIVILEGES", "FROM (UTC)", "UNTIL", "INCIDENT", "SESSIONS"];
            table::print(io.out, &header, &grants.iter().map(row).collect::<Vec<_>>())?;
        }
        Format::Json => write_pretty(io.out, &grants.iter().map(json).collect::<Vec<_>>())?,
        Format::Ndjson => grants.iter().try_for_each(|grant| write_line(io.out, &json(grant)))?,
    }
    Ok(journal::exit(&report, u8::from(grants.is_empty())))
}

/// True if this is the beginning of an id and no file.
pub(super) fn is_id(text: &str) -> bool {
    text.len() >= LEAST_DIGITS && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One grant from the request to the last thing that was done under it.
pub(super) fn story(args: &JournalArgs, id: &str, format: Format, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (report, grants) = read(args, io)?;
    let id = id.to_ascii_lowercase();
    let mut found = grants.iter().filter(|grant| grant.id.to_string().starts_with(&id));
    let (Some(grant), None) = (found.next(), found.next()) else {
        let several = grants.iter().any(|grant| grant.id.to_string().starts_with(&id));
        return Err(if several {
            Failure::Usage("several grants begin like that: give more digits".to_owned())
        } else {
            Failure::Nothing("the journal has no grant with that id".to_owned())
        });
    };
    match format {
        Format::Table => tell(grant, io.out)?,
        Format::Json => write_pretty(io.out, &json(grant))?,
        Format::Ndjson => write_line(io.out, &json(grant))?,
    }
    Ok(journal::exit(&report, 0))
}

fn read(args: &JournalArgs, io: &mut Io<'_>) -> Result<(Report, Vec<GrantInfo>), Failure> {
    let source = journal::open_content(args)?;
    journal::warn(&source.report, io);
    let mut grants = Grants::default();
    for entry in source.entries {
        grants.see(&entry?);
    }
    Ok((source.report, grants.finish()))
}

/// What was said first; `None` if it is not in the journal.
fn first(grant: &GrantInfo) -> Option<Statement> {
    let document = Document::parse(grant.request.as_ref()?.bytes.as_slice()).ok()?;
    Some(document.statement)
}

/// What was asked for; `None` if the request itself is not in the journal.
fn asked(grant: &GrantInfo) -> Option<Request> {
    first(grant)?.request().cloned()
}

fn row(grant: &GrantInfo) -> Vec<String> {
    let asked = asked(grant);
    let text = |f: &dyn Fn(&Request) -> String| asked.as_ref().map_or_else(|| "-".to_owned(), f);
    let mut sessions: Vec<_> = grant.stretches.iter().map(|stretch| stretch.session).collect();
    sessions.dedup();
    vec![
        brief::digest(grant.id),
        grant.state.escaped(),
        text(&|r| show::safe(&r.person)),
        text(&|r| show::safe(&r.privileges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        text(&|r| table::time(r.window.from)),
        text(&|r| table::time(r.window.until)),
        text(&|r| {
            r.incident.as_ref().map_or("-".to_owned(), |i| show::safe(&format!("{}:{}", i.system, i.id)))
        }),
        sessions.len().to_string(),
    ]
}

fn tell(grant: &GrantInfo, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "grant {}, {}", grant.id, grant.state.escaped())?;
    if let Some(statement) = first(grant) {
        for (key, value) in show::statement_lines(&statement).iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(out, "  {key:<11} {value}")?;
        }
    }
    // Documents and what was done under them, on one clock.
    let mut lines: Vec<(RealNanos, u8, String)> =
        grant.told.iter().map(|(time, told)| (*time, rank(told), act(told))).collect();
    lines.extend(grant.tokens.iter().map(|(time, token)| (*time, COVERS, brief::token(token))));
    for stretch in &grant.stretches {
        let session = stretch.session;
        lines.push((stretch.from, COVERS, format!("covers session {session}")));
        if let Some(until) = stretch.until {
            lines.push((
                until,
                COVERS,
                format!("covers session {session} no longer; {} programs started", stretch.execs),
            ));
        }
    }
    // What comes in one round bears one time; then the cause stands before what it caused.
    lines.sort_by_key(|(time, rank, _)| (time.get() / NANOS_PER_MILLI, *rank));
    for (time, _, line) in lines {
        writeln!(out, "{}  {line}", table::time(time))?;
    }
    Ok(())
}

/// The request, what was said about it, what that made of it.
fn rank(told: &Grant) -> u8 {
    match told.act {
        GrantAct::State => 2,
        _ if told.document == told.request => 0,
        _ => 1,
    }
}

/// What a document or state says, its signer's own words behind it.
fn act(told: &Grant) -> String {
    let document = Document::parse(told.bytes.as_slice()).ok();
    let words = document.as_ref().map(|document| document.statement.words());
    match (told.act, words.filter(|words| !words.is_empty())) {
        (GrantAct::State, _) => format!("is {}", told.text.escaped()),
        (_, Some(words)) => format!("{} (\"{}\")", brief::grant(told), show::safe(words)),
        _ => brief::grant(told),
    }
}

fn json(grant: &GrantInfo) -> Value {
    let text = |bytes: &Bytes| bytes.as_utf8().map_or_else(|| bytes.escaped(), str::to_owned);
    let first = first(grant);
    let request = first.as_ref().and_then(Statement::request);
    json!({
        "v": 1,
        "id": grant.id.to_string(),
        "state": text(&grant.state),
        "person": request.map(|r| &r.person),
        "hosts": request.map(|r| &r.hosts),
        "from": request.map(|r| rfc3339(r.window.from)),
        "until": request.map(|r| rfc3339(r.window.until)),
        "privileges": request.map(|r| r.privileges.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "reason": request.map(|r| &r.reason),
        "token": request.map(|r| r.token),
        "certificate": first.as_ref().and_then(|statement| match statement {
            Statement::Certificate(certified) => Some(show::certificate_json(&certified.certificate)),
            _ => None,
        }),
        "import": first.as_ref().and_then(|statement| match statement {
            Statement::Import(import) => Some(show::import_json(import)),
            _ => None,
        }),
        "incident": request.and_then(|r| r.incident.as_ref()).map(show::incident_json),
        "documents": grant.told.iter().filter(|(_, told)| told.act != GrantAct::State).map(|(time, told)| json!({
            "time": rfc3339(*time),
            "act": told.act.name(),
            "kind": text(&told.kind),
            "id": shown(told.document),
            "signer": text(&told.signer),
            "key": text(&told.key),
            "received": rfc3339(told.received),
            "text": text(&told.text),
        })).collect::<Vec<_>>(),
        "states": grant.told.iter().filter(|(_, told)| told.act == GrantAct::State).map(|(time, told)| json!({
            "time": rfc3339(*time),
            "state": text(&told.text),
        })).collect::<Vec<_>>(),
        "tokens": grant.tokens.iter().map(|(time, token)| json!({
            "time": rfc3339(*time),
            "act": token.act.name(),
            "id": token.token.to_string(),
            "person": text(&token.person),
            "signer": text(&token.signer),
            "text": text(&token.text),
        })).collect::<Vec<_>>(),
        "stretches": grant.stretches.iter().map(|stretch| json!({
            "session": stretch.session.to_string(),
            "from": rfc3339(stretch.from),
            "until": stretch.until.map(rfc3339),
            "execs": stretch.execs,
        })).collect::<Vec<_>>(),
    })
}

fn shown(digest: Digest) -> Option<String> {
    (digest != Digest::default()).then(|| digest.to_string())
}
