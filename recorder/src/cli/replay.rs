//! `recorder replay`: the terminal of a session. On a terminal it plays; elsewhere it prints what was shown as lines, or
//! one screen with `--final`. Recorded bytes themselves are never printed.

use std::str::FromStr;

use serde::Serialize;

use super::args::{Format, FormatArgs, JournalArgs, SessionName, parse_duration, parse_time};
use super::journal::{self, Source};
use super::{Failure, Io, play};
use crate::export::json::rfc3339;
use crate::export::{write_line, write_pretty};
use crate::model::{Body, RealNanos, SessionId, TtyOp};
use crate::replay::{Player, Shown, Speed, Tape, Transcript};
use crate::verify::{Entry, Report, Verified, VerifyError};

/// Arguments of `recorder replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session: an id, its first digits, or `last`
    #[arg(value_name = "SESSION")]
    name: SessionName,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    view: View,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct View {
    /// Print the last screen instead of playing; with --at, the screen at that moment
    #[arg(long = "final")]
    pub(super) last: bool,
    /// Start at this moment: an offset such as 90s or 1h2m, or a time
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<At>,
    /// Which terminal of the session; 1 is what the person saw
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) tty: u32,
    /// Speed factor, 0.1 to 100
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_speed)]
    pub(super) speed: Speed,
    /// Shorten pauses to this, such as 2s
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    pub(super) idle_limit: Option<u64>,
}

/// A place on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Nanoseconds after the terminal's first record.
    Offset(u64),
    /// Wall clock.
    Time(RealNanos),
}

impl FromStr for At {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match parse_duration(text.strip_prefix('+').unwrap_or(text)) {
            Some(offset) => Ok(Self::Offset(offset)),
            None => parse_time(text).map(Self::Time),
        }
    }
}

fn parse_limit(text: &str) -> Result<u64, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 500ms or 2s".to_owned())
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let percent = || {
        let digits = part.bytes().all(|b| b.is_ascii_digit()) && whole.bytes().all(|b| b.is_ascii_digit());
        let hundredths: String = part.chars().chain("00".chars()).take(2).collect();
        let whole = if whole.is_empty() && !part.is_empty() { 0 } else { whole.parse::<u32>().ok()? };
        let percent = whole.checked_mul(100)?.checked_add(hundredths.parse().ok()?)?;
        digits.then_some(percent)
    };
    percent().and_then(Speed::new).ok_or_else(|| "expected a factor from 0.1 to 100".to_owned())
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    check(args)?;
    run_on(journal::open_content(&args.journal)?, args, io)
}

/// What clap can't say.
fn check(args: &Args) -> Result<(), Failure> {
    if !args.view.last && args.format.format != Format::Table {
        return Err(Failure::Usage("--format json needs --final".to_owned()));
    }
    Ok(())
}

pub(super) fn run_on(
    source: Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>>>,
    args: &Args,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    check(args)?;
    show(source, &args.name, &args.view, args.format.format, io)
}

fn show(
    source: Source<impl Iterator<Item = Result<Verified<Entry>, VerifyError>>>,
    name: &SessionName,
    view: &View,
    format: Format,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let Source { report, entries } = source;
    journal::warn(&report, io);
    let id = match journal::find(&report, name, io)? {
        Ok(id) => id,
        Err(code) => return Ok(code),
    };
    if !view.last && !io.out_terminal {
        return transcript(id, entries, view, &report, io);
    }
    let mut tape = Tape::new(id, view.tty);
    for entry in entries {
        tape.see(&entry?);
    }
    if tape.is_empty() {
        let others: Vec<_> = tape.terminals().map(|t| format!("{} ({})", t.no, t.name.escaped())).collect();
        return nothing(&others, view, &report, io);
    }
    let start = view.at.map(|at| match at {
        At::Offset(nanos) => tape.steps_within(nanos),
        At::Time(time) => tape.steps_until(time),
    });
    let mut player = Player::new(tape, view.speed, view.idle_limit);
    if view.last {
        player.show_at(start.unwrap_or(usize::MAX));
        print_screen(&mut player, view.tty, format, io)?;
    } else {
        player.go_to(start.unwrap_or(0));
        play::run(&mut player, io)?;
    }
    Ok(journal::exit(&report, 0))
}

fn nothing(others: &[String], view: &View, report: &Report, io: &mut Io<'_>) -> Result<u8, Failure> {
    let text = match others {
        [] => "the session showed nothing on a terminal".to_owned(),
        some => format!("the session has no terminal {}; it has {}", view.tty, some.join(", ")),
    };
    if report.exit >= 2 {
        io.warn(&text);
        return Ok(report.exit);
    }
    Err(Failure::Nothing(text))
}

#[derive(Serialize)]
struct ScreenJson {
    time: Option<String>,
    tty: u32,
    cols: u16,
    rows: u16,
    cursor: CursorJson,
    lines: Vec<String>,
    lost: u64,
    folded: u64,
}

#[derive(Serialize)]
struct CursorJson {
    col: u16,
    row: u16,
    visible: bool,
}

fn print_screen(player: &mut Player, tty: u32, format: Format, io: &mut Io<'_>) -> Result<(), Failure> {
    let frame = player.still();
    let screen = frame.screen;
    let lines = screen.rows();
    if format == Format::Table {
        // The empty rest of a screen says nothing to a person; JSON has every row.
        let used = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
        lines.iter().take(used).try_for_each(|line| writeln!(io.out, "{line}"))?;
        return Ok(());
    }
    let ((cols, rows), (col, row)) = (screen.size(), screen.cursor());
    let cursor = CursorJson { col, row, visible: screen.cursor_visible() };
    let (time, lost, folded) = (frame.time.map(rfc3339), frame.lost, frame.folded);
    let json = ScreenJson { time, tty, cols, rows, cursor, lines, lost, folded };
    match format {
        Format::Json => write_pretty(io.out, &json)?,
        _ => write_line(io.out, &json)?,
    }
    Ok(())
}

/// Lines as they were finished. What was shown stands behind a bar, our own words behind a star, so that nobody can print
/// what looks like them.
fn transcript(
    id: SessionId,
    entries: impl Iterator<Item = Result<Verified<Entry>, VerifyError>>,
    view: &View,
    report: &Report,
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let mut transcript = Transcript::default();
    let (mut first, mut others, mut ended) = (None, Vec::new(), false);
    for entry in entries {
        let entry = entry?;
        let own = entry.session == Some(id);
        match &entry.record.body {
            Body::SessionEnd(_) if own => ended = true,
            Body::Tty(op, tty) if own && tty.no == view.tty => {
                let start = *first.get_or_insert(entry.record.boot_ns);
                let due = view.at.is_none_or(|at| match at {
                    At::Offset(nanos) => entry.record.boot_ns.since(start) >= nanos,
                    At::Time(time) => entry.time >= time,
                });
                match op {
                    TtyOp::Resize => transcript.resize((tty.cols, tty.rows)),
                    TtyOp::Output => {
                        if let (folded @ 1.., true) = (tty.folded(), due) {
                            let has_hash = tty.cut.as_ref().is_some_and(|cut| cut.sha256.is_some());
                            let where_it_is = match tty.relay() {
                                Some(relay) => format!("they stand on terminal {}", relay.no),
                                None if has_hash => "only their hash is kept".to_owned(),
                                None => "only their number is kept".to_owned(),
                            };
                            writeln!(io.out, "* {folded} bytes are folded here, {where_it_is}")?;
                        }
                        let mut lines = Vec::new();
                        transcript.feed(&tty.as_shown(), &mut |shown| lines.push(shown));
                        for shown in lines.iter().filter(|_| due) {
                            print_shown(shown, io)?;
                        }
                    }
                    TtyOp::Input => {}
                }
            }
            Body::Tty(_, tty) if own => {
                let other = format!("{} ({})", tty.no, tty.name.escaped());
                if others.len() < 100 && !others.contains(&other) {
                    others.push(other);
                }
            }
            Body::Loss(loss) if first.is_some() && !ended && loss.class.as_slice() == b"tty" => {
                writeln!(io.out, "* {}", super::brief::loss(loss))?;
            }
            _ => {}
        }
    }
    if first.is_none() {
        return nothing(&others, view, report, io);
    }
    let mut lines = Vec::new();
    transcript.finish(&mut |shown| lines.push(shown));
    lines.iter().try_for_each(|shown| print_shown(shown, io))?;
    Ok(journal::exit(report, 0))
}

fn print_shown(shown: &Shown, io: &mut Io<'_>) -> Result<(), Failure> {
    match shown {
        Shown::Line(text) => writeln!(io.out, "{}", format!("| {text}").trim_end())?,
        Shown::FullScreen => writeln!(io.out, "* a full-screen program takes the screen")?,
        Shown::Back(bytes) => {
            writeln!(io.out, "* ... and gives it back after {}", super::table::bytes(*bytes))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_places_are_read() {
        let percent = |text| parse_speed(text).ok().map(Speed::percent);
        for (text, want) in
            [("1", Some(100)), ("0.5", Some(50)), (".25", Some(25)), ("16", Some(1600)), ("1.257", Some(125))]
        {
            assert_eq!(percent(text), want, "{text}");
        }
        for wrong in ["", ".", "-1", "0", "0.05", "101", "x", "1.x", "1,5", "+2"] {
            assert_eq!(percent(wrong), None, "{wrong}");
        }
        assert_eq!("90s".parse(), Ok(At::Offset(90_000_000_000)));
        assert_eq!("+1m".parse(), Ok(At::Offset(60_000_000_000)));
        assert_eq!("@5".parse(), Ok(At::Time(RealNanos::new(5_000_000_000))));
        assert!("soon".parse::<At>().is_err());
    }
}
