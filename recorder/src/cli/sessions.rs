//! `recorder sessions`: who was recorded, how he became privileged, how much there is.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::args::{Format, FormatArgs, JournalArgs};
use super::journal::{self, Source};
use super::{Failure, Io, table};
use crate::export::ElevationJson;
use crate::export::json::{Shown, auid, put_opt, rfc3339};
use crate::export::{write_line, write_pretty};
use crate::index::{SessionInfo, Sessions};
use crate::model::{Bytes, Capability, Coverage, Engine, SessionId, Trigger, Uncovered};
use crate::verify::{Entry, Verified, VerifyError};

/// Arguments of `recorder sessions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let source = journal::open(&args.journal)?;
    list(source, args.format.format, io)
}

pub(super) fn list(
    source: Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>>>,
    format: Format,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let Source { report, entries } = source;
    journal::warn(&report, io);
    let mut sessions = Sessions::default();
    for entry in entries {
        sessions.see(&entry?);
    }
    let sessions = sessions.finish(&report);
    match format {
        Format::Table => print_table(&sessions, io)?,
        Format::Json => write_pretty(io.out, &sessions.iter().map(Json).collect::<Vec<_>>())?,
        Format::Ndjson => sessions.iter().try_for_each(|s| write_line(io.out, &Json(s)))?,
    }
    Ok(journal::exit(&report, u8::from(sessions.is_empty())))
}

fn print_table(sessions: &[SessionInfo], io: &mut Io<'_>) -> Result<(), Failure> {
    if sessions.is_empty() {
        writeln!(io.err, "recorder: the journal holds no session")?;
        return Ok(());
    }
    let header = [
        "SESSION",
        "HOST",
        "USER",
        "COVERAGE",
        "ELEVATION",
        "CAME OF",
        "WITH",
        "ACTED AS",
        "INSIDE",
        "REFUSED",
        "FROM",
        "TTY",
        "START (UTC)",
        "DURATION",
        "EXECS",
        "FILES",
        "SCREEN",
        "LOSS",
        "COMPLETENESS",
    ];
    table::print(io.out, &header, &sessions.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

fn row(s: &SessionInfo) -> Vec<String> {
    let shown =
        |b: Option<&Bytes>| b.filter(|b| !b.is_empty()).map_or_else(|| "-".to_owned(), Bytes::escaped);
    let login = s.login.as_ref();
    let duration = match (s.start, s.end) {
        (Some(start), Some(end)) => table::duration(end.get().saturating_sub(start.get())),
        _ if s.open => "open".to_owned(),
        _ => "unknown".to_owned(),
    };
    let elevation = s.elevation.as_ref();
    vec![
        s.id.to_string(),
        shown(s.host.as_ref()),
        shown(login.map(|l| &l.user)),
        s.coverage.map_or("-", |c| c.reason().map_or(c.name(), Uncovered::name)).to_owned(),
        elevation
            .map_or_else(|| "-".to_owned(), |e| format!("{}>{} {}", e.from.euid, e.to.euid, e.via.name())),
        s.came_of.map_or_else(|| "-".to_owned(), |(from, trigger)| came_of(from, trigger)),
        listed(s.company.iter().map(Bytes::escaped)),
        listed(s.users.iter().map(u32::to_string)),
        inside(s),
        listed(names(&s.refused).into_iter()),
        shown(login.map(|l| &l.remote)),
        shown(login.map(|l| &l.tty)),
        s.start.map_or_else(|| "-".to_owned(), table::time),
        duration,
        s.execs.to_string(),
        s.files.to_string(),
        table::bytes(s.tty_bytes),
        s.loss.to_string(),
        s.completeness.to_owned(),
    ]
}

fn names(numbers: &BTreeSet<u32>) -> Vec<String> {
    numbers.iter().map(|number| Capability { number: *number, ..Capability::default() }.name()).collect()
}

/// The session that it came of, and by which means.
fn came_of(from: SessionId, trigger: Trigger) -> String {
    if from == SessionId::NOBODY {
        return trigger.name().to_owned();
    }
    format!("{from} {}", trigger.name())
}

/// Containers, or that there were namespaces without one.
fn inside(info: &SessionInfo) -> String {
    if info.containers.is_empty() {
        return if info.namespaces { "namespaces" } else { "-" }.to_owned();
    }
    let name = |(engine, id): &(Engine, Bytes)| {
        let id: String = id.escaped().chars().take(12).collect();
        format!("{}:{id}", engine.name().unwrap_or_default())
    };
    listed(info.containers.iter().map(name))
}

/// A short list for a table; the JSON has all.
fn listed(items: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 4;
    let items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(SHOWN);
    let mut text = items.into_iter().take(SHOWN).collect::<Vec<_>>().join(",");
    if more > 0 {
        let _ = write!(text, ",+{more}");
    }
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The shape of docs/cli.md.
struct Json<'a>(&'a SessionInfo);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let login = info.login.as_ref();
        let text = |field: Option<&'_ Bytes>| field.filter(|b| !b.is_empty()).cloned();
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("id", &Shown(info.id))?;
        put_opt(&mut map, "host", "host_b64", info.host.as_ref())?;
        put_opt(&mut map, "user", "user_b64", text(login.map(|l| &l.user)).as_ref())?;
        put_opt(&mut map, "person", "person_b64", info.person.as_ref())?;
        map.serialize_entry("auid", &login.and_then(|l| auid(l.auid)))?;
        map.serialize_entry("elevation", &info.elevation.as_ref().map(ElevationJson))?;
        map.serialize_entry("start", &info.start.map(rfc3339))?;
        map.serialize_entry("end", &info.end.map(rfc3339))?;
        map.serialize_entry("open", &info.open)?;
        map.serialize_entry("grant", &info.grant.map(Shown))?;
        map.serialize_entry("coverage", &info.coverage.map(Coverage::name))?;
        map.serialize_entry(
            "coverage_reason",
            &info.coverage.and_then(Coverage::reason).map(Uncovered::name),
        )?;
        put_opt(&mut map, "tty", "tty_b64", text(login.map(|l| &l.tty)).as_ref())?;
        put_opt(&mut map, "remote", "remote_b64", text(login.map(|l| &l.remote)).as_ref())?;
        map.serialize_entry("users", &info.users)?;
        let containers = info
            .containers
            .iter()
            .map(|(engine, id)| json!({ "engine": engine.name(), "container": id.escaped() }));
        map.serialize_entry("containers", &containers.collect::<Vec<_>>())?;
        map.serialize_entry("other_namespaces", &info.namespaces)?;
        map.serialize_entry("capabilities_used", &names(&info.used))?;
        map.serialize_entry("capabilities_refused", &names(&info.refused))?;
        let came_of = info.came_of.map(|(from, trigger)| {
            let session = (from != SessionId::NOBODY).then(|| from.to_string());
            json!({ "session": session, "trigger": trigger.name() })
        });
        map.serialize_entry("came_of", &came_of)?;
        map.serialize_entry("company", &info.company.iter().map(Bytes::escaped).collect::<Vec<_>>())?;
        map.serialize_entry("handed_over", &info.handed_over)?;
        map.serialize_entry("execs", &info.execs)?;
        map.serialize_entry("files", &info.files)?;
        map.serialize_entry("tty_bytes", &info.tty_bytes)?;
        map.serialize_entry("loss", &info.loss)?;
        map.serialize_entry("completeness", info.completeness)?;
        map.end()
    }
}
