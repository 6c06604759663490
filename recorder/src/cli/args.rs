//! Arguments that several commands share.

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::{Timestamp, civil};

use super::identity::IdentityArgs;
use crate::model::{RealNanos, SessionId};

/// Which journal.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JournalArgs {
    /// Directory of the journal [default: $RECORDER_JOURNAL, else the configured one]
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

impl JournalArgs {
    /// True if the command line names a directory.
    pub(crate) const fn is_named(&self) -> bool {
        self.journal.is_some()
    }

    /// The directory: flag, else environment, else the default.
    pub(crate) fn dir(&self) -> PathBuf {
        let environment =
            || std::env::var_os("RECORDER_JOURNAL").filter(|dir| !dir.is_empty()).map(Into::into);
        self.journal.clone().or_else(environment).unwrap_or_else(crate::config::journal_dir)
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON value
    Json,
    /// One JSON value a line
    Ndjson,
}

/// Format of a command that lists.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FormatArgs {
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// A session as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionName {
    /// The newest one.
    Last,
    /// Lower-case hex digits, dashes removed.
    Prefix(String),
}

impl std::str::FromStr for SessionName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(Self::Last);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("expected `last`, a session id or the first digits of one".to_owned());
        }
        Ok(Self::Prefix(digits))
    }
}

impl SessionName {
    /// True if the session has this name; `Last` is nobody's name.
    pub(crate) fn names(&self, id: SessionId) -> bool {
        match self {
            Self::Last => false,
            Self::Prefix(digits) => id.to_string().replace('-', "").starts_with(digits.as_str()),
        }
    }
}

/// A moment: RFC 3339, a UTC date or date and time, `@seconds` since 1970, or an age such as `90s`, `15m`, `2h`, `3d`.
pub(crate) fn parse_time(text: &str) -> Result<RealNanos, String> {
    let now = Timestamp::now();
    parse_time_at(text, now).ok_or_else(|| {
        "expected a time such as 2026-11-21T02:31:00Z, 2026-11-21, @1795228260, or an age such as 15m, 2h, 3d".to_owned()
    })
}

/// A moment that may lie ahead: as [`parse_time`], but `now` instead of an age, which would be read as the past.
pub(crate) fn parse_moment(text: &str) -> Result<RealNanos, String> {
    let now = Timestamp::now();
    let time = if text == "now" { Some(now) } else { None };
    let read = || if parse_duration(text).is_some() { None } else { parse_time_at(text, now) };
    time.map(|t| t.as_second().unsigned_abs().saturating_mul(1_000_000_000))
        .map(RealNanos::new)
        .or_else(read)
        .ok_or_else(|| {
            "expected `now` or a time such as 2026-11-21T02:31:00Z, 2026-11-21 02:31 (UTC), @1795228260"
                .to_owned()
        })
}

/// Nanoseconds of a length of time such as `90s`, `15m`, `1h30m`, `3d`; more than nothing.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    parse_duration(text)
        .filter(|nanos| *nanos > 0)
        .ok_or_else(|| "expected a length of time such as 30m, 2h, 1h30m, 3d".to_owned())
}

fn parse_time_at(text: &str, now: Timestamp) -> Option<RealNanos> {
    let nanos = if let Some(seconds) = text.strip_prefix('@') {
        i128::from(seconds.parse::<i64>().ok()?).checked_mul(1_000_000_000)?
    } else if let Some(age) = parse_duration(text) {
        now.as_nanosecond().checked_sub(i128::from(age))?
    } else if let Ok(time) = text.parse::<Timestamp>() {
        time.as_nanosecond()
    } else if let Ok(time) = text.replacen(' ', "T", 1).parse::<civil::DateTime>() {
        utc(time)?.as_nanosecond()
    } else {
        utc(text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0))?.as_nanosecond()
    };
    u64::try_from(nanos).ok().map(RealNanos::new)
}

fn utc(time: civil::DateTime) -> Option<Timestamp> {
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Nanoseconds of `1500ms`, `90s`, `15m`, `2h`, `1h30m`, `3d`.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_len)?;
        let nanos: u64 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60 * 1_000_000_000,
            "h" => 3600 * 1_000_000_000,
            "d" => 86400 * 1_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(nanos)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let now: Timestamp = "2026-11-21T02:31:00Z".parse().unwrap();
        let at = |text| parse_time_at(text, now).map(|t| t.get() / 1_000_000_000);
        assert_eq!(at("2026-11-21T02:31:00Z"), Some(1_795_228_260));
        assert_eq!(at("2026-11-21T03:31:00+01:00"), Some(1_795_228_260));
        assert_eq!(at("2026-11-21T02:31:00"), Some(1_795_228_260));
        assert_eq!(at("2026-11-21 02:31"), Some(1_795_228_260));
        assert_eq!(at("2026-11-21"), Some(1_795_219_200));
        assert_eq!(at("@1795228260"), Some(1_795_228_260));
        assert_eq!(at("1m30s"), Some(1_795_228_170));
        for wrong in ["", "yesterday", "15", "15x", "@x", "-5m", "9999999999999999999d"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_moment_ahead_is_no_age() {
        assert_eq!(parse_moment("2026-11-21T02:31:00Z"), Ok(RealNanos::new(1_795_228_260_000_000_000)));
        assert_eq!(parse_moment("now").unwrap().get() % 1_000_000_000, 0);
        assert!(parse_moment("2h").is_err());
        assert_eq!(parse_span("1h30m"), Ok(5_400_000_000_000));
        assert!(parse_span("0s").is_err() && parse_span("now").is_err() && parse_span("").is_err());
    }

    #[test]
    fn sessions_are_named_by_prefix() {
        let id = SessionId::from_hex("01930203-0405-7607-8809-0a0b0c0d0eff").unwrap();
        for good in ["0193", "01930203-0405", "01930203-0405-7607-8809-0a0b0c0d0eff", "0193020304057607"] {
            assert!(good.parse::<SessionName>().unwrap().names(id), "{good}");
        }
        assert!(!"0194".parse::<SessionName>().unwrap().names(id));
        for wrong in ["", "-", "latest", "xyz", "01930203040576078809 0a0b0c0d0eff0"] {
            assert!(wrong.parse::<SessionName>().is_err(), "{wrong}");
        }
    }
}
