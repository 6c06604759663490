//! `recorder events`: the records, in journal order.

use super::args::{Format, FormatArgs, JournalArgs, SessionName, parse_time};
use super::journal::{self, Source};
use super::{Failure, Io, brief, contents, table};
use crate::export::json::{Context, event};
use crate::export::{to_string, write_line};
use crate::index::{Filter, Known};
use crate::model::{Body, Kind, RealNanos};
use crate::verify::{Entry, Verified, VerifyError};

/// Arguments of `recorder events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this session: an id, its first digits, or `last`
    #[arg(value_name = "SESSION", conflicts_with = "session")]
    name: Option<SessionName>,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct Wanted {
    /// Only these kinds, such as `exec,open`
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = parse_kind)]
    pub(super) kind: Vec<&'static str>,
    /// Only records with a path that contains this (with `*` or `?`: that matches as a whole)
    #[arg(long, value_name = "PATH")]
    pub(super) path: Option<String>,
    /// Only this login name, or uid
    #[arg(long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Not before this time: RFC 3339, UTC date or time, @seconds, or an age such as 15m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) since: Option<RealNanos>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) until: Option<RealNanos>,
    /// Only this session: an id, its first digits, or `last`
    #[arg(long, value_name = "SESSION")]
    pub(super) session: Option<SessionName>,
    /// Only what was done under this grant, and what was said about it: its id or its first digits
    #[arg(long, value_name = "ID")]
    pub(super) grant: Option<String>,
}

/// Kinds of docs/cli.md that later versions write: a script may ask for them today and finds none.
const LATER: &[&str] =
    &["exec_failed", "rmdir", "ptrace", "signal", "delegation", "alert", "access", "unknown"];

fn parse_kind(text: &str) -> Result<&'static str, String> {
    let now = Kind::ALL.iter().map(|kind| kind.name());
    now.clone()
        .chain(LATER.iter().copied())
        .find(|name| *name == text)
        .ok_or_else(|| format!("known kinds: {}", now.collect::<Vec<_>>().join(" ")))
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let source = journal::open(&args.journal)?;
    list(source, args.name.as_ref(), &args.wanted, args.format.format, io)
}

pub(super) fn list(
    source: Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>>>,
    name: Option<&SessionName>,
    wanted: &Wanted,
    format: Format,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let Source { report, entries } = source;
    journal::warn(&report, io);
    let name = name.or(wanted.session.as_ref());
    let session = match name.map(|name| journal::find(&report, name, io)).transpose()? {
        Some(Err(code)) => return Ok(code),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter = Filter {
        kinds: wanted.kind.clone(),
        path: wanted.path.clone(),
        user: wanted.user.clone(),
        since: wanted.since,
        until: wanted.until,
        session,
        grant: wanted.grant.as_ref().map(|grant| grant.to_ascii_lowercase()),
    };
    let mut known = Known::default();
    let mut shown = 0u64;
    for entry in entries {
        let entry = entry?;
        known.see(&entry);
        if filter.matches(&entry, &known) {
            print(&entry, &known, format, shown == 0, io)?;
            shown += 1;
        }
    }
    match (format, shown) {
        (Format::Json, 0) => writeln!(io.out, "[]")?,
        (Format::Json, _) => writeln!(io.out, "\n]")?,
        (Format::Table, 0) => writeln!(io.err, "recorder: no record matches")?,
        _ => {}
    }
    Ok(journal::exit(&report, u8::from(shown == 0)))
}

fn print(
    entry: &Verified<Entry>,
    known: &Known,
    format: Format,
    first: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let json = || {
        event(
            entry,
            Context {
                host: known.host(entry),
                user: known.user(entry),
                coverage: known.coverage(entry),
                place: known.place(entry),
            },
        )
    };
    match format {
        Format::Ndjson => write_line(io.out, &json())?,
        Format::Json => write!(io.out, "{}{}", if first { "[\n" } else { ",\n" }, to_string(&json())?)?,
        Format::Table => {
            if first {
                let (time, session, pid, kind) = ("TIME (UTC)", "SESSION", "PID", "KIND");
                writeln!(io.out, "{time:<19}  {session:<13}  {pid:<7}  {kind:<14}  WHAT")?;
            }
            let session = entry.session.map_or_else(|| "-".to_owned(), brief::short);
            let pid = entry.record.task.as_ref().map_or_else(|| "-".to_owned(), |t| t.id.pid.to_string());
            writeln!(
                io.out,
                "{}  {session:<13}  {pid:<7}  {:<14}  {}{}",
                table::time(entry.time),
                entry.record.body.kind().name(),
                brief::body(&entry.record),
                if entry.sealed { "" } else { " [unsealed]" }
            )?;
            if let Body::Changed(changed) = &entry.record.body {
                // Behind a bar, so that it can't pass for our own words.
                contents::lines(changed).iter().try_for_each(|line| writeln!(io.out, "    | {line}"))?;
            }
        }
    }
    Ok(())
}
