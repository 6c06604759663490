//! One line of a timeline in words.

use std::fmt::Write as _;

use super::super::{brief, contents, files, table};
use crate::model::{Bytes, Exec};
use crate::replay::timeline::{Acts, Ended, Item, Told, What};

/// Directories of a line, and names of each.
const PLACES: usize = 4;
const NAMES: usize = 6;

/// Kind and text of a line.
pub(super) fn words(told: &Told<'_>) -> (String, String) {
    let own = |kind: &str, text: String| (kind.to_owned(), text);
    match told {
        Told::Item { item: Item { place, what, .. }, program, times } => {
            let (kind, mut text) = match what {
                What::Exec { exec, euid, ended } => {
                    let by = program.map(|item| &item.what);
                    own("exec", self::program(exec, *euid, *ended, by, *times))
                }
                what => of(what),
            };
            if let (Some(place), false) = (place, matches!(what, What::Context(_))) {
                let _ = write!(text, "  {{{}}}", brief::place(place));
            }
            (kind, text)
        }
        Told::Runs { path, count, below } => {
            let below = if *below > 0 { format!(", with {below} programs of theirs") } else { String::new() };
            own("exec", format!("{} {count} times more, all exit 0{below}", path.escaped()))
        }
        Told::Acts(acts) => own("files", self::acts(acts)),
        Told::Cred(cred, steps) => own("cred", format!("{} in {steps} steps", brief::cred(cred))),
        Told::Files(places) => own("changed", left(places)),
    }
}

/// `create 3, rename 3 in /var/lib/dpkg (4), /usr/bin (2)`.
fn acts(acts: &Acts) -> String {
    let kinds: Vec<String> = acts.kinds.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let place = |(path, count): &(Bytes, u64)| format!("{} ({count})", path.escaped());
    let mut places: Vec<String> = acts.places.iter().take(PLACES).map(place).collect();
    if let Some(more) = acts.places.len().checked_sub(PLACES).filter(|more| *more > 0) {
        places.push(format!("{more} more {}", if more == 1 { "directory" } else { "directories" }));
    }
    format!("{} in {}", kinds.join(", "), places.join(", "))
}

/// `9 files: /usr/bin: gmake, make; /var/lib/dpkg: status`.
fn left(places: &[(Bytes, Vec<Bytes>)]) -> String {
    let place = |(path, names): &(Bytes, Vec<Bytes>)| {
        let mut shown: Vec<String> = names.iter().take(NAMES).map(Bytes::escaped).collect();
        if let Some(more) = names.len().checked_sub(NAMES).filter(|more| *more > 0) {
            shown.push(format!("{more} more"));
        }
        format!("{}: {}", path.escaped(), shown.join(", "))
    };
    let files: usize = places.iter().map(|(_, names)| names.len()).sum();
    let places: Vec<String> = places.iter().map(place).collect();
    format!("{files} files: {}", places.join("; "))
}

/// A program with what is not as it is with the one that started it.
fn program(exec: &Exec, euid: u32, ended: Option<Ended>, by: Option<&What>, times: u64) -> String {
    let (mut uid, mut cwd) = (true, true);
    if let Some(What::Exec { exec: by, euid: as_uid, .. }) = by {
        (uid, cwd) = (*as_uid != euid, by.cwd != exec.cwd);
    }
    let mut facts = Vec::new();
    if uid {
        facts.push(format!("uid {euid}"));
    }
    if cwd {
        facts.push(format!("in {}", exec.cwd.escaped()));
    }
    if let Some(ended) = ended {
        facts.push(format!("{} after {}", brief::status(ended.exit), table::duration(ended.after)));
    }
    let facts = if facts.is_empty() { String::new() } else { format!("  [{}]", facts.join(", ")) };
    format!("{}{}{facts}", brief::command(exec), brief::times(times))
}

/// Kind and text of an item. What the screen showed stands behind a bar, so that it can't pass for our own words.
fn of(what: &What) -> (String, String) {
    let screen = |tty: u32| if tty == 1 { "screen".to_owned() } else { format!("screen#{tty}") };
    let own = |kind: &str, text: String| (kind.to_owned(), text);
    match what {
        What::Start(start) => {
            let login = &start.login;
            let from = if login.remote.is_empty() {
                String::new()
            } else {
                format!(" from {}", login.remote.escaped())
            };
            let tty = if login.tty.is_empty() { "no terminal".to_owned() } else { login.tty.escaped() };
            let (old, new) = (start.elevation.from.euid, start.elevation.to.euid);
            let (via, path) = (start.elevation.via.name(), start.elevation.path.escaped());
            let seeded = if start.seeded == 0 { "" } else { ", found running" };
            own(
                "start",
                format!("{}{from} on {tty}, uid {old} > {new} by {via} {path}{seeded}", login.user.escaped()),
            )
        }
        What::Delegation(delegation) => own("handed over", brief::delegation(delegation)),
        What::Participant(participant) => own("company", brief::participant(participant)),
        What::Digest(digest) => own("digest", contents::digest(digest)),
        What::Changed(changed) => own("changed", contents::changed(changed)),
        What::Redacted(redacted) => own("redacted", brief::redacted(redacted)),
        What::Overdue(overdue) => own("OVERDUE", brief::overdue(overdue)),
        What::Enforcement(done) => {
            own(if done.act.is_force() { "ENFORCED" } else { "notice" }, brief::enforcement(done))
        }
        What::Coverage(coverage) => own("coverage", brief::coverage(coverage)),
        What::Context(context) => own("context", brief::context(context)),
        What::Capability(used) => {
            own(if used.granted == 0 { "REFUSED" } else { "capability" }, brief::capability(used))
        }
        What::Used(uses) => own("used", brief::uses(uses)),
        What::Permissions(permissions) => own("users", brief::permissions(permissions)),
        What::End(end) => own("end", end.reason.name().replace('_', " ")),
        What::Exec { exec, euid, ended } => own("exec", program(exec, *euid, *ended, None, 1)),
        What::Exit(exit) => own("exit", brief::status(*exit)),
        What::Fork(child) => own("fork", format!("child {child}")),
        What::Cred(cred) => own("cred", brief::cred(cred)),
        What::File(op, file) => {
            let kind = crate::model::Body::File(*op, crate::model::File::default()).kind().name();
            own(kind, files::act(*op, file))
        }
        What::Act(body) => own(body.kind().name(), brief::of(body)),
        What::Line { tty, text } => (screen(*tty), format!("| {text}")),
        What::FullScreen { tty, nanos, bytes } => {
            let (time, bytes) = (table::duration(*nanos), table::bytes(*bytes));
            (screen(*tty), format!("a full-screen program for {time}, {bytes}"))
        }
        What::Folded { tty, lines } => (screen(*tty), format!("... {lines} lines")),
        What::Terminal { tty, name, cols, rows } => {
            (screen(*tty), format!("terminal {} {cols}x{rows}", name.escaped()))
        }
        What::Typed { tty, data, hidden } => {
            own("typed", format!("#{tty} \"{}\", {hidden} bytes not kept", data.escaped()))
        }
        What::Loss(loss) => own("LOSS", brief::loss(loss)),
        What::Cut { tty, bytes } => own(
            "CUT",
            format!("terminal {tty} flooded: {bytes} bytes are folded here, only their hash is kept"),
        ),
        What::Relayed { tty, to, .. } => (
            screen(*tty),
            format!("terminal {tty} was copied to terminal {to} and is shown there; its hash is kept"),
        ),
        What::Jump(jump) => own("JUMP", brief::jump(jump)),
        What::Gap(why) => own("GAP", (*why).to_owned()),
        What::Unknown(code) => own("unknown", format!("kind {code}")),
    }
}
