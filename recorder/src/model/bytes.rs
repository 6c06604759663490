//! Untrusted bytes: paths, arguments, terminal data. They stay bytes; text is made only to be shown.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// Bytes chosen by a recorded person.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Takes the bytes as they are.
    pub fn new(raw: impl Into<Vec<u8>>) -> Self {
        Self(raw.into())
    }

    /// The exact bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, more: &Self) {
        self.0.extend_from_slice(&more.0);
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes as text if they are valid UTF-8.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Text that is safe to print: controls, bidirectional overrides, invisible characters and bytes that are not
    /// UTF-8 become `\xNN` or `\u{NNNN}`; a backslash becomes `\\`, so that the form can't be imitated.
    pub fn escaped(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                push_escaped(&mut out, c);
            }
            for b in chunk.invalid() {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
        out
    }
}

/// True for characters that change how the text around them is shown without being seen themselves.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if c.is_control() || is_deceptive(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escaped())
    }
}

impl From<&[u8]> for Bytes {
    fn from(raw: &[u8]) -> Self {
        Self(raw.to_vec())
    }
}

impl From<&str> for Bytes {
    fn from(raw: &str) -> Self {
        Self(raw.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(raw: Vec<u8>) -> Self {
        Self(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_fool_a_terminal() {
        assert_eq!(Bytes::from(&b"a\x1b[2Jb\xff\xfe\\n"[..]).escaped(), "a\\x1b[2Jb\\xff\\xfe\\\\n");
        assert_eq!(Bytes::from("x\u{202e}y\u{9b}z\n").escaped(), "x\\u{202e}y\\u{9b}z\\n");
        assert_eq!(Bytes::from("plain é 漢").escaped(), "plain é 漢");
    }
}
