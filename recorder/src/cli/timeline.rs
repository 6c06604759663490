//! `recorder timeline`: one session as a story that a person reads from top to bottom.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::args::{Format, FormatArgs, JournalArgs, SessionName};
use super::journal::{self, Source};
use super::{Failure, Io, contents};
use crate::export::json::{Shown, put_bytes, rfc3339};
use crate::export::{Obj, Objs, put_body, write_line, write_pretty};
use crate::model::{Kind, SessionId};
use crate::replay::timeline::{Builder, Fold, Hidden, Item, Line, Story, Told, What, fold};
use crate::verify::{Entry, Verified, VerifyError};

mod lines;

/// Arguments of `recorder timeline`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session: an id, its first digits, or `last`
    #[arg(value_name = "SESSION")]
    name: SessionName,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Leave nothing out: reads, lookups, forks, every line of the screen
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let source = journal::open_content(&args.journal)?;
    tell(source, &args.name, args.all, args.format.format, io)
}

pub(super) fn tell(
    source: Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>>>,
    name: &SessionName,
    all: bool,
    format: Format,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let Source { report, entries } = source;
    journal::warn(&report, io);
    let id = match journal::find(&report, name, io)? {
        Ok(id) => id,
        Err(code) => return Ok(code),
    };
    let mut builder = Builder::new(id, all);
    for entry in entries {
        builder.see(&entry?);
    }
    let story = builder.finish();
    match format {
        Format::Table => print(id, &story, all, io)?,
        Format::Json => write_pretty(io.out, &StoryJson { id, story: &story })?,
        Format::Ndjson => {
            story.items.iter().try_for_each(|item| write_line(io.out, &ItemJson { id, item }))?;
            write_line(io.out, &HiddenLine { id, hidden: story.hidden })?;
        }
    }
    let empty = story.items.is_empty() && story.hidden == Hidden::default();
    Ok(journal::exit(&report, u8::from(empty)))
}

fn print(id: SessionId, story: &Story, all: bool, io: &mut Io<'_>) -> Result<(), Failure> {
    writeln!(io.out, "session {id}, times in UTC")?;
    let fold = if all { whole(story) } else { fold(story) };
    let mut day = String::new();
    for line in &fold.lines {
        let time = rfc3339(line.time);
        let (date, clock) = time.split_once('T').unwrap_or(("", &time));
        if date != day {
            date.clone_into(&mut day);
            writeln!(io.out, "{date}")?;
        }
        let clock: String = clock.chars().take(12).collect();
        let indent = "  ".repeat(usize::from(line.depth.min(20)));
        let (kind, text) = lines::words(&line.told);
        writeln!(io.out, "{clock}  {kind:<10}  {indent}{text}")?;
        if let Told::Item { item: Item { what: What::Changed(changed), .. }, .. } = &line.told {
            let lines = contents::head(changed);
            lines.iter().try_for_each(|line| writeln!(io.out, "{:24}{indent}| {line}", ""))?;
        }
    }
    if fold.folded > 0 {
        writeln!(io.out, "{} acts and programs are told together (--all tells each)", fold.folded)?;
    }
    let Hidden {
        reads,
        lookups,
        devices,
        processes,
        terminal,
        lines,
        capabilities,
        sockets,
        digests,
        mapped,
    } = story.hidden;
    let counts = [
        (reads, "opens for reading"),
        (lookups, "lookups of missing files"),
        (devices, "opens of null and terminal devices"),
        (processes, "forks and exits"),
        (terminal, "terminal sizes and typing"),
        (lines, "screen lines"),
        (capabilities, "first uses of capabilities"),
        (sockets, "sockets within the host"),
        (digests, "digests of programs"),
        (mapped, "files mapped to be executed"),
    ];
    let left: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !left.is_empty() {
        writeln!(io.out, "left out (--all shows them): {}", left.join(", "))?;
    }
    Ok(())
}

/// Every item is a line.
fn whole(story: &Story) -> Fold<'_> {
    let lines = story.items.iter().map(|item| Line {
        time: item.time,
        depth: item.depth,
        told: Told::Item { item, program: None, times: 1 },
    });
    Fold { lines: lines.collect(), folded: 0 }
}

struct StoryJson<'a> {
    id: SessionId,
    story: &'a Story,
}

impl Serialize for StoryJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("session", &Shown(self.id))?;
        let items: Vec<_> = self.story.items.iter().map(|item| ItemJson { id: self.id, item }).collect();
        map.serialize_entry("items", &items)?;
        map.serialize_entry("hidden", &HiddenJson(self.story.hidden))?;
        map.end()
    }
}

struct HiddenLine {
    id: SessionId,
    hidden: Hidden,
}

impl Serialize for HiddenLine {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("v", &1)?;
        map.serialize_entry("session", &Shown(self.id))?;
        map.serialize_entry("type", "hidden")?;
        map.serialize_entry("hidden", &HiddenJson(self.hidden))?;
        map.end()
    }
}

struct HiddenJson(Hidden);

impl Serialize for HiddenJson {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Hidden {
            reads,
            lookups,
            devices,
            processes,
            terminal,
            lines,
            capabilities,
            sockets,
            digests,
            mapped,
        } = self.0;
        let mut map = s.serialize_map(None)?;
        for (key, value) in [
            ("reads", reads),
            ("lookups", lookups),
            ("devices", devices),
            ("processes", processes),
            ("terminal", terminal),
            ("lines", lines),
            ("capabilities", capabilities),
            ("sockets", sockets),
            ("digests", digests),
            ("mapped", mapped),
        ] {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

struct ItemJson<'a> {
    id: SessionId,
    item: &'a Item,
}

impl Serialize for ItemJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Item { time, pid, depth, place, what } = self.item;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("v", &1)?;
        map.serialize_entry("session", &Shown(self.id))?;
        map.serialize_entry("time", &rfc3339(*time))?;
        map.serialize_entry("type", kind(what))?;
        map.serialize_entry("pid", pid)?;
        map.serialize_entry("depth", depth)?;
        map.serialize_entry("context", &place.as_deref().map(Obj))?;
        put(&mut map, what)?;
        map.end()
    }
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Start(_) => Kind::SESSION_START.name(),
        What::End(_) => Kind::SESSION_END.name(),
        What::Delegation(_) => Kind::DELEGATION.name(),
        What::Participant(_) => Kind::PARTICIPANT.name(),
        What::Digest(_) => Kind::DIGEST.name(),
        What::Changed(_) => Kind::CHANGED.name(),
        What::Redacted(_) => Kind::REDACTED.name(),
        What::Overdue(_) => Kind::OVERDUE.name(),
        What::Enforcement(_) => Kind::ENFORCEMENT.name(),
        What::Context(_) => Kind::CONTEXT.name(),
        What::Capability(_) => Kind::CAPABILITY.name(),
        What::Used(_) => "used",
        What::Permissions(_) => Kind::PERMISSIONS.name(),
        What::Coverage(_) => Kind::COVERAGE.name(),
        What::Exec { .. } => Kind::EXEC.name(),
        What::Exit(_) => Kind::EXIT.name(),
        What::Fork(_) => Kind::FORK.name(),
        What::Cred(_) => Kind::CRED.name(),
        What::File(op, _) => crate::model::Body::File(*op, crate::model::File::default()).kind().name(),
        What::Act(body) => body.kind().name(),
        What::Line { .. } => "screen",
        What::FullScreen { .. } => "full_screen",
        What::Folded { .. } => "folded",
        What::Terminal { .. } => "terminal",
        What::Typed { .. } => "typed",
        What::Loss(_) => Kind::LOSS.name(),
        What::Cut { .. } => "cut",
        What::Relayed { .. } => "relayed",
        What::Jump(_) => Kind::JUMP.name(),
        What::Gap(_) => "gap",
        What::Unknown(_) => "unknown",
    }
}

fn put<M: SerializeMap>(map: &mut M, what: &What) -> Result<(), M::Error> {
    match what {
        What::Start(b) => map.serialize_entry("session_start", &Obj(&**b)),
        What::Delegation(b) => map.serialize_entry("delegation", &Obj(&**b)),
        What::Participant(b) => map.serialize_entry("participant", &Obj(&**b)),
        What::Digest(b) => map.serialize_entry("digest", &Obj(&**b)),
        What::Changed(b) => map.serialize_entry("changed", &Obj(&**b)),
        What::Redacted(b) => map.serialize_entry("redacted", &Obj(&**b)),
        What::Overdue(b) => map.serialize_entry("overdue", &Obj(b)),
        What::Enforcement(b) => map.serialize_entry("enforcement", &Obj(&**b)),
        What::Coverage(b) => map.serialize_entry("coverage_change", &Obj(&**b)),
        What::Context(b) => map.serialize_entry("context_change", &Obj(&**b)),
        What::Capability(b) => map.serialize_entry("capability", &Obj(&**b)),
        What::Used(uses) => map.serialize_entry("capabilities", &Objs(uses)),
        What::Permissions(b) => map.serialize_entry("permissions", &Obj(&**b)),
        What::End(b) => map.serialize_entry("session_end", &Obj(b)),
        What::Exec { exec, euid, ended } => {
            map.serialize_entry("exec", &Obj(exec))?;
            map.serialize_entry("euid", euid)?;
            map.serialize_entry("exit", &ended.as_ref().map(|e| Obj(&e.exit)))?;
            map.serialize_entry("duration_ns", &ended.map(|e| e.after))
        }
        What::Exit(b) => map.serialize_entry("exit", &Obj(b)),
        What::Fork(child) => map.serialize_entry("child", child),
        What::Cred(b) => map.serialize_entry("cred", &Obj(&**b)),
        What::File(op, b) => map.serialize_entry("file", &Obj(&(*op, b))),
        What::Act(body) => put_body(map, body),
        What::Line { tty, text } => {
            map.serialize_entry("tty", tty)?;
            map.serialize_entry("text", text)
        }
        What::FullScreen { tty, nanos, bytes } => {
            map.serialize_entry("tty", tty)?;
            map.serialize_entry("duration_ns", nanos)?;
            map.serialize_entry("bytes", bytes)
        }
        What::Folded { tty, lines } => {
            map.serialize_entry("tty", tty)?;
            map.serialize_entry("lines", lines)
        }
        What::Terminal { tty, name, cols, rows } => {
            map.serialize_entry("tty", tty)?;
            put_bytes(map, "name", "name_b64", name)?;
            map.serialize_entry("cols", cols)?;
            map.serialize_entry("rows", rows)
        }
        What::Typed { tty, data, hidden } => {
            map.serialize_entry("tty", tty)?;
            put_bytes(map, "text", "text_b64", data)?;
            map.serialize_entry("hidden", hidden)
        }
        What::Loss(b) => map.serialize_entry("loss", &Obj(b)),
        What::Cut { tty, bytes } => {
            map.serialize_entry("tty", tty)?;
            map.serialize_entry("bytes", bytes)
        }
        What::Relayed { tty, to, bytes } => {
            map.serialize_entry("tty", tty)?;
            map.serialize_entry("to", to)?;
            map.serialize_entry("bytes", bytes)
        }
        What::Jump(b) => map.serialize_entry("jump", &Obj(b)),
        What::Gap(why) => map.serialize_entry("reason", why),
        What::Unknown(code) => map.serialize_entry("code", code),
    }
}
