//! `recorder key`: the public parts of a journal's keys. It reads what everybody may read and opens no key file.

use std::fs::File;

use serde_json::{Value, json};

use super::args::{Format, FormatArgs, JournalArgs};
use super::{Failure, Io};
use crate::export::{write_line, write_pretty};
use crate::journal::checkpoint::verifier;
use crate::journal::origin::Origin;
use crate::journal::walk::{Event, Walk};
use crate::model::Digest;
use crate::verify::LogFiles;

/// Arguments of `recorder key`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What a log shows of its keys.
struct Keys {
    origin: Origin,
    /// Key of the next seal, recovery key of the last one, seals, recipients of the last segment.
    last: Option<(Digest, Digest, u64, u16)>,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let mut keys = Vec::new();
    for log in crate::verify::log_files(&args.journal.dir())? {
        let Some(origin) = log.origin.clone() else {
            io.warn(&format!("{}: no origin note: `recorder verify` says more", log.path.display()));
            continue;
        };
        keys.push(Keys { origin, last: last(&log) });
    }
    keys.sort_by_key(|keys| keys.origin.incarnation);
    match args.format.format {
        Format::Json => write_pretty(io.out, &keys.iter().map(value).collect::<Vec<_>>())?,
        Format::Ndjson => keys.iter().try_for_each(|keys| write_line(io.out, &value(keys)))?,
        Format::Table => keys.iter().try_for_each(|keys| tell(keys, io))?,
    }
    Ok(u8::from(keys.is_empty()))
}

/// What the last segment says, as far as it can be walked. Whether it may be believed is for `verify` to say.
fn last(log: &LogFiles) -> Option<(Digest, Digest, u64, u16)> {
    let mut walk = Walk::open(File::open(log.segments.last()?).ok()?).ok()?.ok()?;
    while matches!(walk.step(), Ok(Event::Leaf(_) | Event::Sealed(_))) {}
    let seal = walk.committed.seal?.seal;
    Some((
        Digest::new(seal.next_key.0),
        Digest::new(seal.recovery_key.0),
        seal.no.saturating_add(1),
        walk.header.recipients,
    ))
}

fn vkey(origin: &Origin) -> String {
    verifier(origin.identity.log, origin.identity.admission).map(|v| v.to_string()).unwrap_or_default()
}

fn value(keys: &Keys) -> Value {
    let origin = &keys.origin;
    json!({
        "log": origin.identity.log.to_string(),
        "incarnation": origin.incarnation,
        "host": origin.host,
        "host_id": origin.host_id.to_string(),
        "admission": Digest::new(origin.identity.admission.0).to_string(),
        "vkey": vkey(origin),
        "first_seal": Digest::new(origin.first_seal.0).to_string(),
        "next_seal": keys.last.map(|(next, ..)| next.to_string()),
        "recovery": keys.last.map(|(_, recovery, ..)| recovery.to_string()),
        "seals": keys.last.map(|(_, _, seals, _)| seals),
        "recipients": keys.last.map(|(.., recipients)| recipients),
    })
}

fn tell(keys: &Keys, io: &mut Io<'_>) -> Result<(), Failure> {
    let origin = &keys.origin;
    writeln!(
        io.out,
        "log {} (incarnation {}, host {})",
        origin.identity.log, origin.incarnation, origin.host
    )?;
    let mut lines = vec![
        ("admission", Digest::new(origin.identity.admission.0).to_string(), "signs origin and checkpoints"),
        ("vkey", vkey(origin), "the same, as witnesses and policies name it"),
        ("first seal", Digest::new(origin.first_seal.0).to_string(), "named by the origin note"),
    ];
    match keys.last {
        None => lines.push(("seals", "unknown".to_owned(), "the last segment can't be walked")),
        Some((next, recovery, seals, recipients)) => {
            lines.push(("next seal", next.to_string(), "signs once"));
            lines.push((
                "recovery",
                recovery.to_string(),
                "alone may restart the chain behind the last seal",
            ));
            lines.push(("seals", seals.to_string(), "made so far"));
            let recipients = match recipients {
                0 => "none: encryption is off".to_owned(),
                n => n.to_string(),
            };
            lines.push(("recipients", recipients, "of the last segment"));
        }
    }
    for (name, value, what) in lines {
        writeln!(io.out, "  {name:<11} {value}  ({what})")?;
    }
    Ok(())
}
