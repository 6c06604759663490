//! Plain columns for people. Cells are escaped by whoever makes them from untrusted bytes.

use std::io::{self, Write};

/// Prints a header and rows, columns as wide as their widest cell, the last one ragged.
pub(crate) fn print(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|h| h.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `1.5 KiB`, `200 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenth) = (n, 0);
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while whole >= 1024 {
        let Some(next) = units.next() else { break };
        (whole, tenth, unit) = (whole / 1024, whole % 1024 * 10 / 1024, next);
    }
    if tenth == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

/// `850ms`, `12.3s`, `4m10s`, `2h05m`, `3d04h`.
pub(crate) fn duration(nanos: u64) -> String {
    let (millis, seconds) = (nanos / 1_000_000, nanos / 1_000_000_000);
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// `2026-11-21 02:31:00`, UTC.
pub(crate) fn time(time: crate::model::RealNanos) -> String {
    let text = crate::export::json::rfc3339(time);
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    seconds.replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!([0, 1023, 1536, 200 << 20].map(bytes), ["0 B", "1023 B", "1.5 KiB", "200 MiB"]);
        let s = 1_000_000_000;
        assert_eq!(
            [s / 2, 12 * s, 250 * s, 7500 * s, 100 * 3600 * s].map(duration),
            ["500ms", "12.0s", "4m10s", "2h05m", "4d04h"]
        );
    }
}
