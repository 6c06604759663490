//! `recorder retention plan`: which segments may go under a policy, and why the others stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{Failure, Io, signers::HoldsArgs};
use crate::{
    cli::{
        args::{JournalArgs, parse_span},
        grant::issue,
        journal::verdict_words,
        table,
    },
    index::{SessionInfo, Sessions},
    journal::retain::{
        Criterion, Examined, Hold, Item, Plan, examine::examine, hold, permit::MAX_SEGMENTS, shelf,
    },
    model::{Body, LogId, SessionId},
    verify::{self, Options},
};

/// Arguments of `recorder retention plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArgs,
    /// How long segments are kept, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = keep)]
    keep: Keep,
    /// The log, if the journal holds several
    #[arg(long, value_name = "LOG", value_parser = log)]
    log: Option<LogId>,
    #[command(flatten)]
    holds: HoldsArgs,
    /// The origin note, kept elsewhere, that the journal must come from
    #[arg(long, value_name = "FILE")]
    origin: Option<PathBuf>,
    /// Where the plan goes; never over a file that is there
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// A length of time and the words for it.
#[derive(Clone, Debug)]
struct Keep {
    nanos: u64,
    words: String,
}

fn keep(text: &str) -> Result<Keep, String> {
    Ok(Keep { nanos: parse_span(text)?, words: format!("keep {text}") })
}

fn log(text: &str) -> Result<LogId, String> {
    LogId::from_hex(text).ok_or_else(|| "expected the 32 hex digits of a log".to_owned())
}

/// What a journal tells of its sessions: who, which incident, open or not.
pub(super) struct Known {
    pub(super) sessions: BTreeMap<SessionId, Of>,
    pub(super) report: verify::Report,
}

/// One session.
#[derive(Clone, Debug, Default)]
pub(super) struct Of {
    open: bool,
    /// Everybody whose work it was: person and account.
    people: BTreeSet<Vec<u8>>,
    incidents: BTreeSet<Vec<u8>>,
}

/// Verifies and reads a journal; damaged evidence is nothing that anybody deletes of.
pub(super) fn know(dir: &Path, origin: Option<&Path>) -> Result<Result<Known, u8>, Failure> {
    let options = Options { origin: origin.map(Path::to_owned), ..Options::default() };
    let (report, entries) = verify::read(dir, &options)?;
    if report.exit >= 2 {
        return Ok(Err(report.exit));
    }
    let mut sessions: BTreeMap<SessionId, Of> = BTreeMap::new();
    let mut list = Sessions::default();
    for entry in entries {
        let entry = entry?;
        list.see(&entry);
        if let (Some(id), Body::Coverage(change)) = (entry.session, &entry.record.body) {
            let of = sessions.entry(id).or_default();
            of.people.insert(change.person.as_slice().to_vec());
            of.incidents.insert(change.incident.as_slice().to_vec());
        }
    }
    for SessionInfo { id, login, person, completeness, .. } in list.finish(&report) {
        let of = sessions.entry(id).or_default();
        of.open = completeness == "open";
        of.people.extend(person.map(|p| p.as_slice().to_vec()));
        of.people.extend(login.map(|l| l.user.as_slice().to_vec()));
    }
    Ok(Ok(Known { sessions, report }))
}

impl Of {
    /// True if it is what that hold is about.
    pub(super) fn fits(&self, id: SessionId, criterion: &Criterion) -> bool {
        match criterion {
            Criterion::Session(wanted) => id == *wanted,
            Criterion::Person(name) => self.people.contains(name.as_bytes()),
            Criterion::Incident(incident) => self.incidents.contains(incident.as_bytes()),
        }
    }
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let dir = args.journal.dir();
    let holds = args.holds.in_force(io)?;
    let known = match know(&dir, args.origin.as_deref())? {
        Ok(known) => known,
        Err(exit) => {
            io.warn("damaged evidence is not planned away: see `recorder verify`");
            return Ok(exit);
        }
    };
    let log = which(args.log, &known)?;
    let path = dir.join(log.to_string());
    let dirs = vec![if path.is_dir() { path } else { dir }];
    let now = issue::now().get();
    let look = Look { known: &known, holds: &holds, before: now.saturating_sub(args.keep.nanos) };
    let mut segments = Vec::new();
    let mut rows = Vec::new();
    let files = shelf::segments(&dirs).map_err(|e| Failure::Io(format!("cannot read the log: {e}")))?;
    let leaves = shelf::leaves(&dirs).map_err(|e| Failure::Io(format!("cannot read the log: {e}")))?;
    let newest = files.last().map(|(leaf, _)| *leaf);
    for (first, path) in &files {
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        let judged = if newest == Some(*first) {
            Err("is being written".to_owned())
        } else if segments.len() >= MAX_SEGMENTS {
            Err(format!("a permit has at most {MAX_SEGMENTS} segments: plan again behind this one"))
        } else {
            let examined = examine(&dirs, path, *first, &leaves).map_err(|fault| fault.to_string());
            examined.and_then(|examined| look.may_go(&examined).map(|()| examined))
        };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match judged {
            Ok(examined) => {
                let last = first.saturating_add(examined.stub.leaves()).saturating_sub(1);
                segments.push(Item { first: *first, last, stub: examined.stub.digest });
                let until = table::time(examined.stub.seal.seal.clock.real);
                rows.push(vec![name, table::bytes(size), "goes".to_owned(), format!("ends {until}")]);
            }
            Err(why) => rows.push(vec![name, table::bytes(size), "stays".to_owned(), why]),
        }
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| crate::cli::io::one_line(cell)).collect()).collect();
    table::print(io.out, &["SEGMENT", "SIZE", "PLAN", "WHY"], &rows)?;
    if segments.is_empty() {
        return Err(Failure::Nothing(format!("no segment of log {log} may go; no plan was written")));
    }
    let plan = Plan { log, policy: args.keep.words.clone(), holds: hold::state(holds.iter()), segments };
    let bytes = plan.write().map_err(|fault| Failure::Io(format!("the plan can't be written: {fault}")))?;
    put(&args.out, &bytes)?;
    writeln!(
        io.err,
        "recorder: journal {}; {} holds in force; the plan is in {}",
        verdict_words(known.report.verdict),
        holds.len(),
        crate::cli::io::one_line(&args.out.display().to_string())
    )?;
    Ok(0)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display())))
}

/// The log that is planned for: the only one, or the one that was named. Older incarnations can't be written any more, so
/// nobody could put a tombstone into them.
fn which(named: Option<LogId>, known: &Known) -> Result<LogId, Failure> {
    let logs = &known.report.logs;
    let newest = logs.last().map(|log| log.id);
    match named {
        Some(id) if Some(id) == newest => Ok(id),
        Some(id) if logs.iter().any(|log| log.id == id) => Err(Failure::Usage(format!(
            "log {id} is no longer written: no tombstone can stand behind its segments, so they stay"
        ))),
        Some(id) => Err(Failure::Usage(format!("log {id} is not in this journal"))),
        None => newest.ok_or_else(|| Failure::Nothing("the journal holds no log".to_owned())),
    }
}

/// What decides about a segment.
struct Look<'a> {
    known: &'a Known,
    holds: &'a [Hold],
    /// Nanoseconds since 1970: what ends later stays.
    before: u64,
}

impl Look<'_> {
    fn may_go(&self, examined: &Examined) -> Result<(), String> {
        let ends = examined.stub.seal.seal.clock.real;
        if ends.get() >= self.before {
            return Err(format!("ends {}, later than the policy lets go", table::time(ends)));
        }
        for id in &examined.sessions {
            let of = self.known.sessions.get(id).cloned().unwrap_or_default();
            if of.open {
                return Err(format!("holds session {id}, which is open"));
            }
            let keeps = |hold: &&Hold| hold.keeps(*id) || of.fits(*id, &hold.criterion);
            if let Some(hold) = self.holds.iter().find(keeps) {
                let digits: String = hold.head.id.to_string().chars().take(12).collect();
                return Err(format!("holds session {id}, which hold {digits} of {} keeps", hold.head.signer));
            }
        }
        Ok(())
    }
}
