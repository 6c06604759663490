//! JSON text that is safe on a terminal: what a terminal would obey or hide goes out as `\uNNNN`.
//!
//! `serde_json` escapes the ASCII controls below 0x20 and nothing else; this adds DEL, the C1 controls, bidirectional
//! overrides and invisible characters. Which characters those are is told by [`Bytes::escaped`], so that there is one table.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::model::Bytes;

/// True for a character that must not reach a terminal as it is.
pub(crate) fn is_hostile(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let mut raw = [0u8; 4];
    let text: &str = c.encode_utf8(&mut raw);
    Bytes::from(text).escaped() != text
}

struct Safe<F>(F);

impl<F: Formatter> Formatter for Safe<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0u16; 2];
        let mut raw = [0u8; 4];
        for c in fragment.chars() {
            if is_hostile(c) {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut raw).as_bytes())?;
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }
    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }
    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }
}

/// One value on one line, with the line's end.
pub fn write_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe(CompactFormatter)))?;
    out.write_all(b"\n")
}

/// One value over several lines, for people who look at JSON.
pub fn write_pretty(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe(PrettyFormatter::new())))?;
    out.write_all(b"\n")
}

/// One value as text without a line's end.
pub fn to_string(value: &impl Serialize) -> io::Result<String> {
    let mut raw = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut raw, Safe(CompactFormatter)))?;
    String::from_utf8(raw).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_g2_json_holds_nothing_that_a_terminal_obeys_and_parses_back() {
        let hostile = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}txt\u{200b}\u{e0041}é漢\"\\\n";
        let json = to_string(&hostile).unwrap();
        assert!(json.chars().all(|c| !is_hostile(c)), "{json}");
        assert!(json.contains("\\u202e") && json.contains("\\udb40\\udc41") && json.contains("\\u009b"));
        assert!(json.contains("é漢"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
