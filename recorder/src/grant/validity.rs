//! The times of a list of signers, read as ssh-keygen reads them (misc.c, V_9_2_P1, with glibc's strptime and mktime).

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Dst, TimeZone},
};

/// `YYYYMMDD`, `YYYYMMDDHHMM`, `YYYYMMDDHHMMSS` and `Z` or `UTC` behind it, in seconds since 1970.
///
/// Without `Z` it is local time, and always standard time: ssh-keygen gives mktime no hint of summer. A time before
/// 1970, and 1970-01-01T00:00:00Z itself, is refused.
pub(super) fn parse(text: &[u8], zone: &TimeZone) -> Option<u64> {
    let suffix = |len: usize| text.len().checked_sub(len).and_then(|at| text.split_at_checked(at));
    let (digits, utc) = match (suffix(1), suffix(3)) {
        (Some((head, tail)), _) if !head.is_empty() && tail.eq_ignore_ascii_case(b"Z") => (head, true),
        (_, Some((head, tail))) if !head.is_empty() && tail.eq_ignore_ascii_case(b"UTC") => (head, true),
        _ => (text, false),
    };
    let (date, time) = digits.split_at_checked(8)?;
    let (year, rest) = date.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let mut pairs = time.chunks(2);
    let mut pair = |most: i64| pairs.next().map_or(Some(0), |digits| number(digits, 0, most));
    if !matches!(time.len(), 0 | 4 | 6) {
        return None;
    }
    let (year, month, day) = (number(year, 0, 9999)?, number(month, 1, 12)?, number(day, 1, 31)?);
    let (hour, minute, second) = (pair(23)?, pair(59)?, pair(61)?);
    // The 31st of a month with 30 days is the 1st of the next one, as mktime has it.
    let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
    let midnight = first.to_datetime(jiff::civil::Time::midnight()).to_zoned(TimeZone::UTC).ok()?;
    let civil = midnight.timestamp().as_second() + (day - 1) * 86400 + hour * 3600 + minute * 60 + second;
    let seconds = if utc { civil } else { civil - standard_offset(civil, zone)? };
    u64::try_from(seconds).ok().filter(|seconds| *seconds != 0)
}

/// Blanks in front and then digits only, as strptime takes them.
fn number(text: &[u8], least: i64, most: i64) -> Option<i64> {
    let digits = std::str::from_utf8(text).ok()?.trim_start_matches(' ');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|n| (least..=most).contains(n))
}

/// Seconds east of Greenwich of the zone's standard time around a local time.
///
/// Where summer time is in force, mktime looks in both directions, in steps of about a week, for a moment that has
/// standard time (glibc 2.36, time/mktime.c).
fn standard_offset(civil: i64, zone: &TimeZone) -> Option<i64> {
    const STEP: i64 = 601_200;
    const FARTHEST: i64 = 536_454_000 / 2;
    let info = |second: i64| {
        let info = zone.to_offset_info(Timestamp::from_second(second).ok()?);
        Some((i64::from(info.offset().seconds()), info.dst() == Dst::Yes))
    };
    let (guess, _) = info(civil)?;
    let (near, summer) = info(civil - guess)?;
    if !summer {
        // An offset that changed in between is looked up once more; then it stands still.
        return info(civil - near).map(|(offset, summer)| if summer { near } else { offset });
    }
    let at = civil - near;
    let mut delta = STEP;
    while delta < FARTHEST {
        for moment in [at - delta, at + delta] {
            if let Some((offset, false)) = info(moment) {
                return Some(offset);
            }
        }
        delta += STEP;
    }
    Some(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> Option<u64> {
        parse(text.as_bytes(), &TimeZone::UTC)
    }

    #[test]
    fn times_in_utc() {
        assert_eq!(utc("20261121Z"), Some(1_795_219_200));
        assert_eq!(utc("202611210231Z"), Some(1_795_228_260));
        assert_eq!(utc("20261121023105utc"), Some(1_795_228_265));
        assert_eq!(utc("20260231z"), utc("20260303Z"));
        assert_eq!(utc("19700101000001Z"), Some(1));
        for wrong in [
            "",
            "Z",
            "UTC",
            "2026",
            "2026112",
            "2026112102Z",
            "202611210231055Z",
            "20261321Z",
            "20261132Z",
            "20261100Z",
            "202611212431Z",
            "202611210260Z",
            "20261121023162Z",
            "19700101Z",
            "19691231Z",
            "2026-1-1",
            "+0261121",
            "2026112١",
            "20261121 Z",
        ] {
            assert_eq!(utc(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn local_times_are_standard_times() {
        let Ok(berlin) = TimeZone::get("Europe/Berlin") else { return };
        assert_eq!(parse(b"202601150000", &berlin), utc("202601142300Z"));
        assert_eq!(parse(b"202607150000", &berlin), utc("202607142300Z"));
        // The hour that summer time leaves out, and the one that it repeats.
        assert_eq!(parse(b"202603290230", &berlin), utc("202603290130Z"));
        assert_eq!(parse(b"202610250230", &berlin), utc("202610250130Z"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>(), near in "[0-9 ]{0,15}(Z|UTC)?") {
            parse(&bytes, &TimeZone::UTC);
            parse(near.as_bytes(), &TimeZone::UTC);
        }
    }
}
