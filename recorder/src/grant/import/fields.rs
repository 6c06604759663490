//! Fields of JSON by pointer (RFC 6901), each with its place in the error; times and durations, read strictly.

use jiff::Timestamp;
use serde_json::Value;

use super::ImportError;
use crate::model::RealNanos;

const SECOND: u64 = 1_000_000_000;

/// A JSON value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    at: String,
    value: &'a Value,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(value: &'a Value) -> Self {
        Self { at: String::new(), value }
    }

    fn place(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.at)
    }

    pub(super) fn wrong(&self, pointer: &str, why: impl Into<String>) -> ImportError {
        ImportError::Value { at: self.place(pointer), why: why.into() }
    }

    pub(super) fn state(&self, pointer: &str, found: impl Into<String>, wanted: &'static str) -> ImportError {
        ImportError::State { at: self.place(pointer), found: found.into(), wanted }
    }

    pub(super) fn no_end(&self, pointer: &str) -> ImportError {
        ImportError::NoEnd { at: self.place(pointer) }
    }

    /// `None` if it is not there, or null.
    fn get(&self, pointer: &str) -> Option<&'a Value> {
        self.value.pointer(pointer).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, pointer: &str) -> bool {
        self.get(pointer).is_some()
    }

    /// What lies there, as fields of its own.
    pub(super) fn inside(&self, pointer: &str) -> Option<Self> {
        Some(Self { at: self.place(pointer), value: self.get(pointer)? })
    }

    /// The only element of a list; what is no list is taken as it is.
    pub(super) fn only(&self, pointer: &str, what: &str) -> Result<Self, ImportError> {
        match self.get(pointer) {
            None => Err(ImportError::Missing { at: self.place(pointer) }),
            Some(Value::Array(items)) => match items.as_slice() {
                [one] => Ok(Self { at: self.place(&format!("{pointer}/0")), value: one }),
                several => Err(self.wrong(pointer, format!("{} {what}, expected one", several.len()))),
            },
            Some(one) => Ok(Self { at: self.place(pointer), value: one }),
        }
    }

    /// The elements of a list; none if it is not there.
    pub(super) fn each(&self, pointer: &str) -> Result<Vec<Self>, ImportError> {
        match self.get(pointer) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items
                .iter()
                .enumerate()
                .map(|(n, value)| Self { at: self.place(&format!("{pointer}/{n}")), value })
                .collect()),
            Some(_) => Err(self.wrong(pointer, "expected a list")),
        }
    }

    pub(super) fn text(&self, pointer: &str) -> Result<String, ImportError> {
        self.optional(pointer)?.ok_or_else(|| ImportError::Missing { at: self.place(pointer) })
    }

    /// A text, `None` if it is not there or empty.
    pub(super) fn optional(&self, pointer: &str) -> Result<Option<String>, ImportError> {
        match self.get(pointer) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong(pointer, "expected a text")),
        }
    }

    /// The first of several that is there.
    pub(super) fn first(&self, pointers: &[&str]) -> Result<String, ImportError> {
        for pointer in pointers {
            if let Some(text) = self.optional(pointer)? {
                return Ok(text);
            }
        }
        Err(ImportError::Missing { at: self.place(pointers.first().unwrap_or(&"")) })
    }

    /// A text or a whole number, as a text.
    pub(super) fn word(&self, pointer: &str) -> Result<String, ImportError> {
        match self.get(pointer) {
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => self.text(pointer),
        }
    }

    /// A text, or a list of texts; a `*` in the pointer is every element of a list.
    pub(super) fn texts(&self, pointer: &str) -> Result<Vec<String>, ImportError> {
        if let Some((list, rest)) = pointer.split_once("/*") {
            let mut found = Vec::new();
            // One star only: a mapping is no query.
            for item in self.each(list)? {
                found.push(item.text(rest)?);
            }
            return Ok(found);
        }
        match self.get(pointer) {
            Some(Value::Array(_)) => self.each(pointer)?.iter().map(|item| item.text("")).collect(),
            _ => Ok(self.optional(pointer)?.into_iter().collect()),
        }
    }

    pub(super) fn time(&self, pointer: &str) -> Result<RealNanos, ImportError> {
        self.time_if(pointer)?.ok_or_else(|| ImportError::Missing { at: self.place(pointer) })
    }

    /// A time, `None` if it is not there or the zero time of Go, which means the same.
    pub(super) fn time_if(&self, pointer: &str) -> Result<Option<RealNanos>, ImportError> {
        let Some(text) = self.optional(pointer)? else { return Ok(None) };
        if text == "0001-01-01T00:00:00Z" {
            return Ok(None);
        }
        let wrong = || self.wrong(pointer, format!("{text:?} is no time such as 2026-11-21T02:31:00Z"));
        parse_time(&text).map(Some).ok_or_else(wrong)
    }

    /// A duration, `None` if it is not there.
    pub(super) fn span_if(&self, pointer: &str) -> Result<Option<u64>, ImportError> {
        let Some(text) = self.optional(pointer)? else { return Ok(None) };
        let wrong = || self.wrong(pointer, format!("{text:?} is no duration such as PT4H"));
        parse_span(&text).map(Some).ok_or_else(wrong)
    }
}

/// RFC 3339 with a zone: no other of the many forms, no 60th second.
fn parse_time(text: &str) -> Option<RealNanos> {
    let (civil, rest) = text.split_at_checked(19)?;
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s })
    };
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            (1..=9).contains(&digits).then(|| fraction.get(digits..)).flatten()?
        }
    };
    let zone = rest.as_bytes();
    let zoned = zone == b"Z" || fits(zone, b"+dd:dd") || fits(zone, b"-dd:dd");
    if !fits(civil.as_bytes(), shape) || !zoned || civil.ends_with("60") {
        return None;
    }
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok().map(RealNanos::new)
}

/// ISO 8601 in days, hours, minutes and seconds; a month has no length. In nanoseconds.
fn parse_span(text: &str) -> Option<u64> {
    let body = text.strip_prefix('P')?;
    let (days, times) = body.split_once('T').map_or((body, None), |(days, times)| (days, Some(times)));
    let mut sum = 0u64;
    let mut any = false;
    for (part, units) in
        [(days, &[('D', 86400)][..]), (times.unwrap_or(""), &[('H', 3600), ('M', 60), ('S', 1)])]
    {
        let (mut rest, mut units) = (part, units.iter());
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, behind) = rest.split_at_checked(at)?;
            let unit = behind.chars().next()?;
            // In this order, each once.
            let (_, seconds) = units.find(|(name, _)| *name == unit)?;
            let nanos = digits.parse::<u64>().ok()?.checked_mul(*seconds)?.checked_mul(SECOND)?;
            sum = sum.checked_add(nanos)?;
            any = true;
            rest = behind.get(1..)?;
        }
    }
    (any && times != Some("")).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_form() {
        let second = |text: &str| parse_time(text).map(|time| time.get() / SECOND);
        assert_eq!(second("2026-11-21T02:31:00Z"), Some(1_795_228_260));
        assert_eq!(second("2026-11-21T03:31:00+01:00"), Some(1_795_228_260));
        assert_eq!(second("2026-11-20T21:31:00.1234567-05:00"), Some(1_795_228_260));
        for wrong in [
            "2026-11-21",
            "2026-11-21T02:31Z",
            "2026-11-21T02:31:00",
            "2026-11-21 02:31:00Z",
            "2026-11-21t02:31:00z",
            "2026-11-21T02:31:60Z",
            "2026-11-21T02:31:00.Z",
            "2026-11-21T02:31:00.1234567890Z",
            "2026-11-21T02:31:00+0100",
            "2026-11-21T02:31:00+01:00[Europe/Berlin]",
            "2026-02-30T02:31:00Z",
            "1969-12-31T23:59:59Z",
            "1795228260",
            " 2026-11-21T02:31:00Z",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_have_one_form() {
        assert_eq!(parse_span("PT4H"), Some(4 * 3600 * SECOND));
        assert_eq!(parse_span("P1DT1H30M5S"), Some((86400 + 5405) * SECOND));
        for wrong in [
            "",
            "P",
            "PT",
            "P1DT",
            "4H",
            "PT1.5H",
            "P1M",
            "PT1M1H",
            "PT1H1H",
            "P-1D",
            "PTH",
            "P99999999999999D",
            "PT1H ",
        ] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }
}
