//! `recorder status`: am I recorded, since when, under which grant, how much time is left.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{
    Failure, Io,
    args::{Format, FormatArgs},
    control::{self, SocketArgs},
    table,
};
use crate::{
    export::{write_line, write_pretty},
    model::Bytes,
};

/// A prompt must not wait; whoever asks by hand may.
const AT_A_PROMPT: Duration = Duration::from_millis(200);
const BY_HAND: Duration = Duration::from_secs(5);
/// Longest incident in a prompt.
const TOKEN: usize = 24;

/// Arguments of `recorder status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// All open sessions; root only
    #[arg(long, conflicts_with = "prompt")]
    all: bool,
    /// One short word for a shell's prompt, nothing if not recorded: PS1='$(recorder status --prompt) \w \$ '
    #[arg(long, conflicts_with = "format")]
    prompt: bool,
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Missing recorder at a prompt: said by the exit code alone.
const MISSING: u8 = 69;

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let path = args.socket.path();
    if args.prompt {
        let Ok(answer) = control::ask(&path, &json!({"v": 1, "op": "status"}), AT_A_PROMPT) else {
            return Ok(MISSING);
        };
        let token = prompt(at(&answer, "session"));
        if !token.is_empty() {
            writeln!(io.out, "{token}")?;
        }
        return Ok(0);
    }
    if args.all && !rustix::process::geteuid().is_root() {
        return Err(Failure::Missing("only root may see all sessions".to_owned()));
    }
    let question = json!({"v": 1, "op": "status", "all": args.all});
    let answer = control::ask(&path, &question, BY_HAND).map_err(|none| none.failure(&path))?;
    match args.format.format {
        Format::Json => write_pretty(io.out, &answer)?,
        Format::Ndjson => write_line(io.out, &answer)?,
        Format::Table if args.all => list(&answer, io)?,
        Format::Table => io.out.write_all(tell(&answer).as_bytes())?,
    }
    let nothing =
        if args.all { list_of(&answer, "sessions").is_empty() } else { at(&answer, "session").is_null() };
    Ok(u8::from(nothing))
}

/// `rec:PD-4711:1h58m`, `rec:glass:58m`, `rec:!no_grant`; `rec` where no grants are watched.
fn prompt(session: &Value) -> String {
    if session.is_null() {
        return String::new();
    }
    let left = || at(session, "left_s").as_u64().map(|left| format!(":{}", short(left))).unwrap_or_default();
    match at(session, "coverage").as_str() {
        None => "rec".to_owned(),
        Some("uncovered") => format!("rec:!{}", token(at(session, "reason").as_str().unwrap_or("uncovered"))),
        Some("break_glass") => format!("rec:glass{}", left()),
        Some(_) => {
            let incident = at(session, "incident").as_str().unwrap_or_default();
            let id = token(incident.split_once(':').map_or(incident, |(_, id)| id));
            let colon = if id.is_empty() { "" } else { ":" };
            format!("rec{colon}{id}{}", left())
        }
    }
}

/// Nothing that a shell could take for something else when it shows its prompt.
fn token(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    text.chars().take(TOKEN).map(plain).collect()
}

/// `1h58m`, `58m`, `45s`.
fn short(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A field, null if it is not there.
fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn list_of<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A field's text, made safe to print; `None` if it is null or empty.
fn field(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str().filter(|text| !text.is_empty())?;
    Some(Bytes::from(text).escaped())
}

/// `2026-11-21 09:29:23`, as other commands print it.
fn time(value: &Value, key: &str) -> String {
    let text = field(value, key).unwrap_or_default();
    text.split_once('.')
        .map_or(text.as_str(), |(seconds, _)| seconds)
        .trim_end_matches('Z')
        .replacen('T', " ", 1)
}

fn first_digits(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn words(list: &[Value]) -> String {
    let words: Vec<String> =
        list.iter().filter_map(Value::as_str).map(|w| Bytes::from(w).escaped()).collect();
    words.join("; ")
}

/// What a person reads.
fn tell(answer: &Value) -> String {
    let mut out = String::new();
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{name:<13}{text}");
        }
    };
    let session = at(answer, "session");
    let grants = list_of(answer, "grants");
    match field(session, "id") {
        None => row("not recorded", "this process belongs to no recorded session"),
        Some(id) => {
            let tty = field(session, "tty").map(|tty| format!(", on {tty}")).unwrap_or_default();
            row("recorded", &format!("session {id}, since {} UTC{tty}", time(session, "since")));
            let account = field(session, "account").unwrap_or_default();
            let person = field(session, "person").map_or_else(
                || format!("unknown, account {account}"),
                |person| format!("{person}, account {account}"),
            );
            row("person", &person);
            row("grant", &covered(session, grants));
            row("incident", &field(session, "incident").unwrap_or_default());
        }
    }
    let covering = at(session, "grant").as_str();
    for grant in grants.iter().filter(|grant| at(grant, "id").as_str() != covering || covering.is_none()) {
        row("other grant", &granted(grant));
    }
    row("it records", &words(list_of(answer, "records")));
    row("but not", &words(list_of(answer, "records_not")));
    let recorder = at(answer, "recorder");
    let backend = field(recorder, "backend").unwrap_or_default();
    let version = field(recorder, "version").unwrap_or_default();
    row("recorder", &format!("{version}, {backend}, since {} UTC", time(recorder, "since")));
    out
}

fn covered(session: &Value, grants: &[Value]) -> String {
    let Some(coverage) = field(session, "coverage") else {
        return "no grants are watched on this host".to_owned();
    };
    let Some(id) = field(session, "grant") else {
        let reason = field(session, "reason").unwrap_or_default();
        return format!("NONE covers this: {}", reason.replace('_', " "));
    };
    let left = at(session, "left_s").as_u64().map(short).unwrap_or_default();
    let glass = if coverage == "break_glass" { ", broken glass" } else { "" };
    let mut text = format!("{}, {left} left, until {} UTC{glass}", first_digits(&id), time(session, "until"));
    if let Some(grant) = grants.iter().find(|grant| at(grant, "id").as_str() == Some(id.as_str())) {
        let _ = write!(text, ": {}", words(list_of(grant, "privileges")));
        let _ = field(grant, "reason").map(|reason| write!(text, ", \"{reason}\""));
    }
    text
}

fn granted(grant: &Value) -> String {
    let here = if at(grant, "here").as_bool() == Some(true) { "" } else { ", for other hosts" };
    format!(
        "{} {}{here}, {} to {} UTC: {}",
        first_digits(&field(grant, "id").unwrap_or_default()),
        field(grant, "state").unwrap_or_default(),
        time(grant, "from"),
        time(grant, "until"),
        words(list_of(grant, "privileges")),
    )
}

/// Root's list.
fn list(answer: &Value, io: &mut Io<'_>) -> Result<(), Failure> {
    let header =
        ["SESSION", "ACCOUNT", "PERSON", "TTY", "SINCE (UTC)", "COVERAGE", "GRANT", "LEFT", "INCIDENT"];
    let row = |session: &Value| {
        let cell = |key| field(session, key).unwrap_or_else(|| "-".to_owned());
        let state = match field(session, "reason") {
            Some(reason) => format!("{}, {}", cell("coverage"), reason.replace('_', " ")),
            None => cell("coverage").replace('_', " "),
        };
        vec![
            cell("id").chars().take(13).collect(),
            cell("account"),
            cell("person"),
            cell("tty"),
            time(session, "since"),
            state,
            first_digits(&cell("grant")).to_owned(),
            at(session, "left_s").as_u64().map_or_else(|| "-".to_owned(), short),
            cell("incident"),
        ]
    };
    let silent = words(list_of(answer, "hooks_silent"));
    if !silent.is_empty() {
        writeln!(io.out, "THE RECORDER DOES NOT SEE: {silent}")?;
    }
    let storage = at(answer, "storage");
    let how = match at(storage, "state").as_str() {
        Some("hanging") => "HANGS: a write does not come back",
        Some("failing") => "TAKES NO WRITES",
        Some("reserve") => "IS FULL: only what is essential is recorded",
        _ => "",
    };
    if !how.is_empty() {
        writeln!(io.out, "THE JOURNAL {how}, since {} UTC", time(storage, "since"))?;
    }
    let rows: Vec<Vec<String>> = list_of(answer, "sessions").iter().map(row).collect();
    table::print(io.out, &header, &rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::cli::tests::run as captured;

    fn covered() -> Value {
        json!({
            "id": "01930203-0405-7607-8809-0a0b0c0d0eff", "since": "2026-11-21T09:29:23.123456789Z",
            "account": "alice", "person": "alice@example.com", "tty": "pts/3", "remote": null,
            "coverage": "covered", "reason": null, "grant": "af387873285d10291370912b76ad97a2df1552e91d44120305df2b7d0481cf8a",
            "incident": "pagerduty:PD-4711", "until": "2026-11-21T11:29:23.000000000Z", "left_s": 7081,
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut session = covered();
        session[key] = value;
        session
    }

    fn uncovered() -> Value {
        let mut session = with("coverage", "uncovered".into());
        for (key, value) in [("reason", json!("no_grant")), ("grant", Value::Null), ("left_s", Value::Null)] {
            session[key] = value;
        }
        session["tty"] = json!("\u{1b}[2J\n");
        session
    }

    fn answer(session: &Value) -> Value {
        json!({
            "v": 1, "ok": true,
            "recorder": {"version": "0.1.0", "since": "2026-11-20T08:00:00.000000000Z", "backend": "trampoline"},
            "session": session,
            "grants": [
                {"id": covered()["grant"], "state": "active", "here": true, "from": "2026-11-21T09:29:23.000000000Z",
                 "until": "2026-11-21T11:29:23.000000000Z", "privileges": ["root"], "reason": "disk full on web-1"},
                {"id": "00112233445566778899", "state": "requested", "here": false, "from": "2026-11-22T09:00:00.000000000Z",
                 "until": "2026-11-22T10:00:00.000000000Z", "privileges": ["user:postgres", "command:rm \u{202e}*"], "reason": "x"},
            ],
            "records": ["programs", "files"], "records_not": ["what is in files"],
        })
    }

    #[test]
    fn people_read_it() {
        assert_snapshot!(tell(&answer(&covered())));
        assert_snapshot!(tell(&answer(&uncovered())));
        assert_snapshot!(tell(&answer(&Value::Null)));
    }

    #[test]
    fn root_sees_a_table() {
        let answer = json!({"sessions": [covered(), uncovered()]});
        let ran = captured(|io| list(&answer, io).map(|()| 0));
        assert_snapshot!(ran.out);
    }

    #[test]
    fn where_no_recorder_answers_it_is_said_and_a_prompt_stays_silent() {
        let line = |args: &str| {
            let args: Vec<std::ffi::OsString> = args.split(' ').map(Into::into).collect();
            captured(|io| Ok(crate::cli::execute(args, io)))
        };
        let ran = line("recorder status --socket /no/such");
        assert_eq!((ran.code, ran.out.as_str()), (69, ""));
        assert!(ran.err.starts_with("recorder: no recorder answers at /no/such: "), "{}", ran.err);
        let ran = line("recorder status --prompt --socket /no/such");
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (69, "", ""));
        assert_eq!(line("recorder status --prompt --all").code, 64);
        assert_eq!(line("recorder grant add /no/such --socket /no/such").code, 74);
    }

    #[test]
    fn a_prompt_has_one_word() {
        assert_eq!(prompt(&covered()), "rec:PD-4711:1h58m");
        assert_eq!(prompt(&with("left_s", 59.into())), "rec:PD-4711:59s");
        assert_eq!(prompt(&with("incident", Value::Null)), "rec:1h58m");
        assert_eq!(prompt(&with("coverage", "break_glass".into())), "rec:glass:1h58m");
        assert_eq!(prompt(&with("coverage", Value::Null)), "rec");
        assert_eq!(prompt(&uncovered()), "rec:!no_grant");
        assert_eq!(prompt(&Value::Null), "");
        // What a shell expands in its prompt stays a word.
        assert_eq!(prompt(&with("incident", "x:$(id)%n\\u`!\u{1b}".into())), "rec:__id__n_u___:1h58m");
        assert_eq!(prompt(&with("incident", "y".repeat(99).into())).len(), "rec::1h58m".len() + TOKEN);
    }

    #[test]
    fn root_is_told_which_hooks_do_not_see() {
        let said = |silent: Value| {
            captured(|io| list(&json!({"sessions": [], "hooks_silent": silent}), io).map(|()| 0)).out
        };
        assert!(
            said(json!(["open", "rename\u{1b}[2J"])).starts_with("THE RECORDER DOES NOT SEE: open; rename")
        );
        assert!(!said(json!(["open\u{1b}[2J"])).contains('\u{1b}'));
        assert!(!said(json!([])).contains("SEE"));
    }

    #[test]
    fn f3_root_is_told_that_the_journal_hangs_and_since_when() {
        let said = |storage: Value| {
            captured(|io| list(&json!({"sessions": [], "storage": storage}), io).map(|()| 0)).out
        };
        let hanging = said(json!({"state": "hanging", "since": "2026-11-21T09:29:23.123456789Z"}));
        assert!(
            hanging.starts_with(
                "THE JOURNAL HANGS: a write does not come back, since 2026-11-21 09:29:23 UTC\n"
            ),
            "{hanging}"
        );
        assert!(said(json!({"state": "failing", "since": "\u{1b}[2J"})).starts_with("THE JOURNAL TAKES NO"));
        assert!(!said(json!({"state": "failing", "since": "\u{1b}[2J"})).contains('\u{1b}'));
        assert!(!said(json!({"state": "sound", "since": null})).contains("JOURNAL"));
    }

    #[test]
    fn answers_of_any_shape_are_told() {
        for text in
            ["{}", "[]", "null", "{\"session\":7,\"grants\":{},\"records\":[1]}", "{\"session\":{\"id\":1}}"]
        {
            let answer: Value = serde_json::from_str(text).unwrap();
            tell(&answer);
            assert!(captured(|io| list(&answer, io).map(|()| 0)).code == 0);
        }
    }
}
