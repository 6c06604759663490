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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::cli::tests::run as capture;
    use crate::journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig};
    use crate::model::{BootId, BootNanos, Bytes, ClockPair, RealNanos, Stop};

    fn journal(dir: &Path) {
        let clock = ClockPair { boot: BootNanos::new(5), real: RealNanos::new(1_700_000_000_000_000_000) };
        let reader = age::x25519::Identity::generate().to_public().to_string();
        let config = WriterConfig {
            dir: dir.to_owned(),
            spare_dir: None,
            segment_bytes: 1 << 16,
            segment_age: Duration::from_hours(24),
            reserve: 0,
            encryption: Encryption::To(vec![reader.parse().unwrap()]),
            host: Bytes::from("web-1"),
        };
        let (w, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), clock).unwrap();
        w.stop(Stop { clock, signal: 15, open_sessions: 0 }).unwrap();
    }

    #[test]
    fn public_parts_are_shown_and_no_secret_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        journal(dir.path());
        // A copy as investigators have it: no key files.
        for log in std::fs::read_dir(dir.path()).unwrap() {
            for name in ["admission.key", "recovery.key"] {
                std::fs::remove_file(log.as_ref().unwrap().path().join(name)).unwrap();
            }
        }
        let told = shown(dir.path(), "json");
        assert_eq!(told.code, 0, "{}", told.err);
        let all: Value = serde_json::from_str(&told.out).unwrap();
        let keys = &all[0];
        let verifier = crate::journal::note::Verifier::parse(keys["vkey"].as_str().unwrap()).unwrap();
        assert_eq!(verifier.name(), format!("recorder-journal/v1/{}", keys["log"].as_str().unwrap()));
        assert_eq!((keys["seals"].as_u64(), keys["recipients"].as_u64()), (Some(2), Some(1)));
        assert_ne!(keys["next_seal"], keys["first_seal"]);
        let told = shown(dir.path(), "table");
        assert!(
            told.out.contains(keys["admission"].as_str().unwrap()) && told.out.contains("recovery"),
            "{}",
            told.out
        );
    }

    fn shown(dir: &Path, format: &str) -> crate::cli::tests::Ran {
        let place = dir.to_str().unwrap();
        let words = ["recorder", "key", "--journal", place, "--format", format].map(std::ffi::OsString::from);
        capture(|io| Ok(crate::cli::execute(words, io)))
    }

    #[test]
    fn it_is_what_the_origin_and_the_last_seal_say() {
        let dir = tempfile::tempdir().unwrap();
        journal(dir.path());
        let log = crate::verify::log_files(dir.path()).unwrap().remove(0);
        let origin = log.origin.clone().unwrap();
        let mut walk = Walk::open(File::open(&log.segments[0]).unwrap()).unwrap().unwrap();
        let mut seals = Vec::new();
        loop {
            match walk.step().unwrap() {
                Event::Sealed(point) => seals.push(point.seal),
                Event::Leaf(_) => {}
                _ => break,
            }
        }
        let told = shown(dir.path(), "ndjson");
        let keys: Value = serde_json::from_str(&told.out).unwrap();
        let last = seals.last().unwrap();
        for (name, key) in [
            ("admission", origin.identity.admission),
            ("first_seal", origin.first_seal),
            ("next_seal", last.next_key),
            ("recovery", last.recovery_key),
        ] {
            assert_eq!(keys[name], Digest::new(key.0).to_string(), "{name}");
        }
        assert_eq!(keys["seals"].as_u64(), u64::try_from(seals.len()).ok());
        assert_eq!((keys["host"].as_str(), keys["incarnation"].as_u64()), (Some("web-1"), Some(1)));
        assert_eq!(keys["host_id"], origin.host_id.to_string());
    }

    #[test]
    fn what_can_not_be_read_is_said_and_no_key_is_made_up() {
        let dir = tempfile::tempdir().unwrap();
        journal(dir.path());
        let log = crate::verify::log_files(dir.path()).unwrap().remove(0);
        std::fs::write(&log.segments[0], b"nothing").unwrap();
        let told = shown(dir.path(), "ndjson");
        let keys: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(told.code, 0);
        assert!(keys["seals"].is_null() && keys["next_seal"].is_null() && keys["vkey"].is_string());
        assert!(shown(dir.path(), "table").out.contains("can't be walked"));
        std::fs::remove_file(log.path.join("origin.note")).unwrap();
        let told = shown(dir.path(), "ndjson");
        assert_eq!((told.code, told.out.as_str()), (1, ""));
        assert!(told.err.contains("no origin note"), "{}", told.err);
    }
}
