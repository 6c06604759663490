//! Every command over made-up journals: tables, JSON, errors, exit codes.

use insta::assert_snapshot;
use serde_json::Value;

use super::args::{Format, SessionName};
use super::events::Wanted;
use super::journal::Source;
use super::*;
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{
    Body, BootNanos, Bytes, ClockChange, ClockEvent, ClockPair, Exit, FileOp, Flags, HookChange, HookState,
    RealNanos, SessionClosed, StreamNo, TtyOp,
};
use crate::verify::{
    Entry, Finding, Interval, IntervalKind, Report, Severity, Verdict, Verified, VerifyError,
};

pub(super) struct Ran {
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs with captured streams.
pub(super) fn run(f: impl FnOnce(&mut Io<'_>) -> Result<u8, Failure>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io { out: &mut out, err: &mut err, out_terminal: false, err_terminal: false };
    let code = f(&mut io).unwrap_or_else(|failure| failure.report(&mut io));
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn command_line(args: &str) -> Ran {
    let args = std::iter::once("recorder").chain(args.split_whitespace()).map(Into::into);
    let args: Vec<std::ffi::OsString> = args.collect();
    run(|io| Ok(execute(args, io)))
}

pub(super) fn source(
    f: &Fixture,
) -> Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>> + use<>> {
    Source { report: f.report(), entries: f.entries.clone().into_iter().map(Ok) }
}

/// What an engineer did, with names that try to fool the reader.
pub(super) fn story() -> Fixture {
    let mut f = Fixture::with_session();
    let (sudo, bash, vi) = (fx::task(100, 90, "sudo"), fx::task(101, 100, "bash"), fx::task(102, 101, "vi"));
    f.of(1, Some(sudo), fx::exec("/usr/bin/sudo", &["sudo", "-i"]));
    f.of(1, Some(bash.clone()), fx::exec("/usr/bin/bash", &["-bash"]));
    f.of(1, Some(bash.clone()), fx::tty(TtyOp::Resize, 1, b"", (80, 24)));
    f.show("root@web-1:~# vi /etc/hosts\r\n");
    f.wait_ms(250).of(
        1,
        Some(vi.clone()),
        fx::exec("/usr/bin/vim.basic", &["vi", "/etc/hosts", "a b", "", "\u{1b}[8m\u{202e}"]),
    );
    f.of(1, Some(vi.clone()), fx::file(FileOp::Open, "/etc/hosts", 0o2, 0));
    f.of(1, Some(vi.clone()), fx::file(FileOp::Open, "/lib/libc.so.6", 0o2_000_000, 0));
    f.of(1, Some(vi.clone()), fx::file(FileOp::Create, "/tmp/\u{1b}[2J\u{202e}cod.exe\n", 0o1101, -13));
    f.control(fx::loss("file", 8));
    f.wait_ms(1500).of(1, Some(vi), Body::Exit(Exit { code: 1, signal: 0, core: 0 }));
    f.of(1, Some(bash), Body::Exit(Exit { code: 0, signal: 9, core: 0 }));
    f.of(1, None, fx::end());
    f.control(Body::SessionClosed(SessionClosed {
        stream: StreamNo::new(1),
        id: fx::session_id(1),
        reason: crate::model::EndReason::LastTask,
        frames: 3,
        records: 12,
        losses: 1,
    }));
    f
}

pub(super) fn events(f: &Fixture, name: Option<&str>, wanted: &Wanted, format: Format) -> Ran {
    let name = name.map(|n| n.parse::<SessionName>().unwrap());
    run(|io| super::events::list(source(f), name.as_ref(), wanted, format, io))
}

fn ndjson(f: &Fixture) -> Vec<Value> {
    let ran = events(f, None, &Wanted::default(), Format::Ndjson);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_have_every_documented_field() {
    let f = story();
    for event in ndjson(&f) {
        for field in [
            "v", "host", "log", "seq", "time", "boot_ns", "session", "kind", "task", "user", "grant",
            "coverage", "flags",
        ] {
            assert!(event.get(field).is_some(), "{field} is missing in {event}");
        }
        assert_eq!(event["v"], 1);
        assert_eq!(event["host"], "web-1");
    }
    assert_snapshot!(events(&f, None, &Wanted::default(), Format::Ndjson).out);
}

#[test]
fn a11_g2_no_output_holds_what_a_terminal_obeys() {
    let f = story();
    for format in [Format::Table, Format::Json, Format::Ndjson] {
        for ran in [
            events(&f, None, &Wanted::default(), format),
            run(|io| super::sessions::list(source(&f), format, io)),
        ] {
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!ran.out.contains(bad), "{:?}", ran.out);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_stand_beside_their_text() {
    let mut f = Fixture::with_session();
    let mut exec = fx::exec("/bin/true", &["true", "ok"]);
    if let Body::Exec(exec) = &mut exec {
        exec.path = Bytes::from(&b"/bin/\xff"[..]);
        exec.argv.push(Bytes::from(&b"\xfe\\"[..]));
        exec.cut = Some(crate::model::Cut {
            field: crate::model::CutField::Argv,
            bytes: 200_000,
            sha256: None,
            relay: None,
        });
    }
    f.of(1, Some(fx::task(100, 1, "true")), exec);
    let event = ndjson(&f).pop().unwrap();
    assert_eq!(event["exec"]["path"], "/bin/\\xff");
    assert_eq!(event["exec"]["path_b64"], "L2Jpbi//");
    assert_eq!(event["exec"]["argv"][2], "\\xfe\\\\");
    assert_eq!(event["exec"]["argv_b64"][2], "/lw=");
    assert_eq!(event["exec"]["argv_b64"][1], "b2s=");
    assert_eq!(event["cut"]["field"], "argv");
    assert!(event["cut"]["sha256"].is_null());
}

#[test]
fn every_kind_has_its_object() {
    let mut f = Fixture::with_session();
    let t = || Some(fx::task(100, 90, "x"));
    f.of(1, t(), Body::Fork(crate::model::Fork { child: fx::task(7, 100, "y").id }));
    f.of(1, t(), Body::Cred(Box::default()));
    f.of(1, t(), fx::file(FileOp::Rename, "/a", 2, 0));
    f.of(1, t(), fx::file(FileOp::Unlink, "/a", 0, -2));
    f.of(1, t(), fx::tty(TtyOp::Input, 1, b"", (80, 24)));
    f.of(1, t(), Body::Unknown { kind: crate::model::Kind::new(77), bytes: vec![1, 2] });
    f.control(Body::Heartbeat(crate::model::Heartbeat::default()));
    f.control(Body::Jump(crate::model::Jump::default()));
    f.control(Body::Stop(crate::model::Stop::default()));
    f.control(Body::Storage(crate::model::StorageFault::default()));
    let pair = |s: u64| ClockPair {
        boot: BootNanos::new(s * 1_000_000_000),
        real: RealNanos::new((1_700_000_000 + s) * 1_000_000_000),
    };
    f.control(Body::Hook(Box::new(HookChange {
        name: "open".into(),
        state: HookState::Dead,
        misses: 3,
        since: pair(4).boot,
        clock: pair(8),
    })));
    let event = ClockEvent::Suspend;
    let slept = ClockChange { event, before: pair(9), after: pair(70), nanos: 60_000_000_000 };
    f.control(Body::Clock(slept));
    f.control(Body::Login(Box::new(crate::model::Login {
        account: "oncall".into(),
        service: "sshd".into(),
        remote: "192.0.2.7".into(),
        auth: "publickey".into(),
        key: "SHA256:47DEQpj8HBSa".into(),
        audit_session: 3,
        pid: 99,
        person: "anna".into(),
        ..crate::model::Login::default()
    })));
    let out = events(&f, None, &Wanted::default(), Format::Ndjson).out;
    assert_snapshot!(out);
    assert_snapshot!(events(&f, None, &Wanted::default(), Format::Table).out);
}

#[test]
fn filters_select_and_say_nothing_matched() {
    let f = story();
    let count = |w: &Wanted| events(&f, None, w, Format::Ndjson).out.lines().count();
    let wanted = || Wanted::default();
    assert_eq!(count(&Wanted { kind: vec!["exec", "exit"], ..wanted() }), 5);
    assert_eq!(count(&Wanted { path: Some("/etc/hosts".into()), ..wanted() }), 1);
    assert_eq!(count(&Wanted { path: Some("/usr/bin/*".into()), ..wanted() }), 3);
    assert_eq!(count(&Wanted { user: Some("oncall1".into()), ..wanted() }), 12);
    assert_eq!(count(&Wanted { user: Some("1001".into()), ..wanted() }), 12);
    assert_eq!(count(&Wanted { user: Some("other".into()), ..wanted() }), 0);
    assert_eq!(count(&Wanted { until: Some(f.entries[4].time), ..wanted() }), 4);
    assert_eq!(count(&Wanted { since: Some(f.entries[4].time), ..wanted() }), f.entries.len() - 4);
    let session = events(&f, Some("last"), &wanted(), Format::Ndjson);
    assert!(!session.out.contains("\"session\":null") && session.out.lines().count() == 12);
    let none = events(&f, None, &Wanted { kind: vec!["mkdir"], ..wanted() }, Format::Table);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (1, "", "recorder: no record matches\n"));
    let none = events(&f, None, &Wanted { kind: vec!["mkdir"], ..wanted() }, Format::Json);
    assert_eq!((none.code, none.out.as_str()), (1, "[]\n"));
    let one = events(&f, None, &Wanted { kind: vec!["boot", "loss"], ..wanted() }, Format::Json);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&one.out).unwrap().len(), 2);
}

#[test]
fn sessions_are_listed() {
    let mut f = story();
    f.control(Body::SessionOpened(crate::model::SessionOpened {
        stream: StreamNo::new(2),
        id: fx::session_id(2),
    }));
    f.of(2, Some(fx::task(200, 1, "bash")), fx::start(2));
    assert_snapshot!(run(|io| super::sessions::list(source(&f), Format::Table, io)).out);
    assert_snapshot!(run(|io| super::sessions::list(source(&f), Format::Json, io)).out);
    let open = |f: &Fixture| {
        let lines = run(|io| super::sessions::list(source(f), Format::Ndjson, io)).out;
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        last["open"].as_bool().unwrap()
    };
    assert!(open(&f));
    f.control(fx::boot());
    assert!(!open(&f), "the recorder came back without it");
    let empty = run(|io| super::sessions::list(source(&Fixture::new()), Format::Json, io));
    assert_eq!((empty.code, empty.out.as_str()), (1, "[]\n"));
}

#[test]
fn sessions_are_found_by_name() {
    let mut f = story();
    f.of(2, None, fx::start(2));
    let code = |name: &str| {
        let ran = events(&f, Some(name), &Wanted::default(), Format::Ndjson);
        (ran.code, ran.err)
    };
    assert_eq!(code("019302030401").0, 0);
    assert_eq!(code("01930203-0402").0, 0);
    assert_eq!(code("ffff"), (1, "recorder: no session has that id\n".to_owned()));
    let (ambiguous, text) = code("0193");
    assert_eq!(ambiguous, 64);
    assert!(text.starts_with("recorder: 2 sessions begin like that"), "{text}");
}

pub(super) fn timeline(f: &Fixture, all: bool, format: Format) -> Ran {
    run(|io| super::timeline::tell(source(f), &SessionName::Last, all, format, io))
}

#[test]
fn a_timeline_is_one_readable_story() {
    let f = story();
    assert_snapshot!(timeline(&f, false, Format::Table).out);
    assert_snapshot!(timeline(&f, true, Format::Table).out);
    assert_snapshot!(timeline(&f, false, Format::Ndjson).out);
    let json: Value = serde_json::from_str(&timeline(&f, false, Format::Json).out).unwrap();
    assert_eq!(json["hidden"]["reads"], 1);
    assert_eq!(
        json["items"].as_array().unwrap().len() + 1,
        timeline(&f, false, Format::Ndjson).out.lines().count()
    );
}

#[test]
fn g1_what_was_shown_cannot_pass_for_our_own_words() {
    let mut f = Fixture::with_session();
    f.show("02:31:00.000  exec        rm -rf /\r\n* a full-screen program takes the screen\r\n\x1b[Hverdict: VERIFIED\r\n");
    let told = timeline(&f, false, Format::Table).out;
    assert!(told.contains("screen      | 02:31:00.000  exec        rm -rf /\n"), "{told}");
    assert!(!told.lines().any(|l| l.contains("exec  ") && !l.contains("| ")), "{told}");
    let played = replay(&f, "").out;
    assert!(played.lines().all(|line| line.starts_with("| ")), "{played}");
}

pub(super) fn replay(f: &Fixture, args: &str) -> Ran {
    let line = format!("recorder replay last {args}");
    let Command::Replay(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
        panic!()
    };
    run(|io| super::replay::run_on(source(f), &args, io))
}

fn terminal_story() -> Fixture {
    let mut f = Fixture::with_session();
    f.of(1, None, fx::tty(TtyOp::Resize, 1, b"", (20, 4)));
    f.show("\x1b]0;t\x07$ ls\r\n")
        .wait_ms(10_000)
        .show("a  b\r\n\x1b[?1049h")
        .show("vi\x1b[?1049l$ \u{202e}x");
    f.of(1, None, fx::tty(TtyOp::Output, 2, b"inner", (80, 24)));
    f
}

#[test]
fn replay_prints_a_screen_or_lines_where_there_is_no_terminal() {
    let f = terminal_story();
    assert_eq!(replay(&f, "--final").out, "$ ls\na  b\n$ x\n");
    assert_eq!(replay(&f, "--final --at 5s").out, "$ ls\n");
    assert_eq!(replay(&f, "--final --at 2026-11-21T02:31:05Z").out, "$ ls\n");
    assert_eq!(replay(&f, "--final --tty 2").out.lines().next(), Some("inner"));
    let json: Value = serde_json::from_str(&replay(&f, "--final --format json").out).unwrap();
    assert_eq!((&json["cols"], &json["rows"], &json["lines"][1]), (&20.into(), &4.into(), &"a  b".into()));
    assert_eq!(json["cursor"], serde_json::json!({"col": 3, "row": 2, "visible": true}));
    assert_snapshot!(replay(&f, "").out);
    assert_eq!(replay(&f, "--at 5s").out.lines().next(), Some("| a  b"));
    let none = replay(&f, "--tty 7");
    assert_eq!((none.code, none.out.as_str()), (1, ""));
    assert_eq!(none.err, "recorder: the session has no terminal 7; it has 1 (pts/3), 2 (pts/4)\n");
    let none = replay(&Fixture::with_session(), "--final");
    assert_eq!((none.code, none.err.as_str()), (1, "recorder: the session showed nothing on a terminal\n"));
    assert_eq!(replay(&f, "--format json").code, 64);
}

#[test]
fn a11_a_painted_frame_holds_our_own_sequences_only() {
    let mut f = terminal_story();
    f.show("\x1b[1;31mred\x1b]52;c;ZXZpbA==\x07\x1bP$q\x1b\\\u{9b}漢");
    let mut tape = crate::replay::Tape::new(fx::session_id(1), 1);
    f.entries.iter().for_each(|entry| tape.see(entry));
    let mut player = crate::replay::Player::new(tape, crate::replay::Speed::NORMAL, None);
    player.show_at(usize::MAX);
    for size in [(80, 24), (10, 3), (1, 1), (0, 0), (20, 5)] {
        for prompt in [super::paint::Prompt::Status, super::paint::Prompt::Search("a\x1b[2J")] {
            let mut out = Vec::new();
            super::paint::paint(&mut out, &player.still(), size, &prompt).unwrap();
            let text = String::from_utf8(out).unwrap();
            // Control sequences that move, colour and clear a line's rest; nothing else begins with an escape.
            for sequence in text.split('\x1b').skip(1) {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                assert!(sequence.starts_with('[') && "HmK".contains(&sequence[end..=end]), "{sequence:?}");
            }
            assert!(
                !text.replace('\x1b', "").contains(|c: char| c.is_control() || c == '\u{202e}'),
                "{text:?}"
            );
        }
    }
    let mut out = Vec::new();
    super::paint::paint(&mut out, &player.still(), (80, 24), &super::paint::Prompt::Status).unwrap();
    let mut outer = vt100::Parser::new(24, 80, 0);
    outer.process(&out);
    assert_snapshot!(outer.screen().contents());
    // Too small: the line with the cursor is shown.
    let mut out = Vec::new();
    super::paint::paint(&mut out, &player.still(), (30, 2), &super::paint::Prompt::Status).unwrap();
    let mut outer = vt100::Parser::new(2, 30, 0);
    outer.process(&out);
    assert_eq!(outer.screen().rows(0, 30).next().unwrap().trim_end(), "$ xred漢");
}

fn tampered(f: &Fixture) -> Report {
    let finding = |code, severity, text: &str| Finding {
        code,
        severity,
        log: Some(fx::log_id()),
        segment: Some("seg-\u{1b}[2J.rj".into()),
        leaf: Some(12),
        text: text.into(),
    };
    Report {
        verdict: Verdict::Tampered,
        exit: 2,
        findings: vec![
            finding("ORIGIN_UNCHECKED", Severity::Gap, "no origin was given"),
            finding("CHAIN_BROKEN", Severity::Tampered, "frame 12 does not follow frame 11"),
        ],
        intervals: vec![Interval {
            kind: IntervalKind::HookDead,
            log: fx::log_id(),
            from: RealNanos::new(1_700_000_001_500_000_000),
            to: RealNanos::new(1_700_000_010_000_000_000),
            seconds: 8,
            text: "hook open\u{1b}[2J did not see".into(),
        }],
        not_checked: vec!["bodies: encrypted and no identity".into()],
        ..f.report()
    }
}

#[test]
fn damaged_evidence_is_shown_with_one_warning_and_its_exit_code() {
    let f = story();
    let damaged = || Source { report: tampered(&f), entries: f.entries.clone().into_iter().map(Ok) };
    let warning = "recorder: warning: this journal is TAMPERED (CHAIN_BROKEN: frame 12 does not follow frame 11); \
                   only what verifies is shown\n";
    let ran = run(|io| super::sessions::list(damaged(), Format::Ndjson, io));
    assert_eq!((ran.code, ran.err.as_str(), ran.out.lines().count()), (2, warning, 1));
    let ran = run(|io| super::events::list(damaged(), None, &Wanted::default(), Format::Ndjson, io));
    assert_eq!((ran.code, ran.err.as_str(), ran.out.lines().count()), (2, warning, f.entries.len()));
    // Also where nothing matches.
    let gone: SessionName = "ffff".parse().unwrap();
    let ran = run(|io| super::events::list(damaged(), Some(&gone), &Wanted::default(), Format::Ndjson, io));
    assert_eq!(ran.code, 2);
}

#[test]
fn verify_prints_everything_and_exits_with_the_verdict() {
    let f = story();
    let ran = run(|io| super::verify::print(&tampered(&f), None, Format::Table, io));
    assert_eq!(ran.code, 2);
    assert_snapshot!(ran.out);
    let ran = run(|io| super::verify::print(&f.report(), None, Format::Table, io));
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out);
    let ran = run(|io| super::verify::print(&tampered(&f), None, Format::Json, io));
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((json["verdict"].as_str(), json["exit"].as_u64()), (Some("tampered"), Some(2)));
    assert_eq!(json["findings"][1]["severity"], "tampered");
    assert!(!ran.out.contains('\u{1b}'));
}

#[test]
fn an_error_in_the_middle_keeps_what_was_printed() {
    let f = story();
    let broken = f.entries.clone().into_iter().take(3).map(Ok);
    let nowhere = std::path::Path::new("/nonexistent/journal");
    let error = crate::verify::verify(nowhere, &crate::verify::Options::default(), &mut |_| {}).unwrap_err();
    let broken = broken.chain([Err(error)]);
    let source = Source { report: f.report(), entries: broken };
    let ran = run(|io| super::events::list(source, None, &Wanted::default(), Format::Ndjson, io));
    assert_eq!((ran.code, ran.out.lines().count()), (74, 3));
    assert!(ran.err.starts_with("recorder: ") && ran.err.lines().count() == 1, "{}", ran.err);
}

struct ClosedPipe;
impl std::io::Write for ClosedPipe {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut err = Vec::new();
    let mut out = ClosedPipe;
    let mut io = Io { out: &mut out, err: &mut err, out_terminal: false, err_terminal: false };
    let failure = super::sessions::list(source(&story()), Format::Table, &mut io).unwrap_err();
    assert_eq!(failure.report(&mut io), 0);
    assert_eq!(execute(["recorder".into(), "--help".into()], &mut io), 0);
    assert!(err.is_empty());
}

#[test]
fn command_lines_that_make_no_sense_exit_64_with_one_line() {
    for args in [
        "events --kind bogus",
        "events --since yesterday",
        "events zz",
        "events 01 --session 02",
        "sessions extra",
        "sessions --format xml",
        "verify a b",
        "bogus",
    ] {
        let ran = command_line(args);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args}");
        assert!(ran.err.starts_with("recorder: ") && ran.err.lines().count() == 1, "{}", ran.err);
    }
    assert_eq!(command_line("").code, 64);
    for args in ["--help", "--version", "events --help"] {
        assert_eq!((command_line(args).code, command_line(args).err.as_str()), (0, ""), "{args}");
    }
    let ran = command_line("sessions --journal /nonexistent");
    assert_eq!((ran.code, ran.err.lines().count()), (74, 1));
}

#[test]
fn help_says_what_each_reader_takes() {
    let mut command = <Cli as clap::CommandFactory>::command().term_width(100);
    command.build();
    for name in ["sessions", "events", "timeline", "replay", "verify"] {
        let reader = command.find_subcommand_mut(name).unwrap();
        assert_snapshot!(format!("help_{name}"), reader.render_help().to_string());
    }
}

#[test]
fn flags_are_named() {
    let mut f = Fixture::with_session();
    f.of(1, Some(fx::task(1, 1, "x")), fx::file(FileOp::Create, "/a", 0o1101, 0));
    let mut entry = f.entries.pop().unwrap().into_inner();
    entry.record.flags = Flags::AS_PASSED.with(Flags::SEEDED);
    f.entries.push(Verified::for_test(entry));
    let event = ndjson(&f).pop().unwrap();
    assert_eq!(event["flags"], serde_json::json!(["as_passed", "seeded"]));
    assert_eq!(event["file"]["flags"], serde_json::json!(["O_WRONLY", "O_CREAT", "O_TRUNC"]));
}
