//! Text forms that several documents share.

use std::fmt::Write as _;

/// A TOML basic string.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_quoted_is_read_back_as_it_was() {
        let every: String = (0..0x250).filter_map(char::from_u32).chain("\u{202e}日本語😀".chars()).collect();
        for text in ["", "plain", "a \"b\" \\c\\", "line\nline\ttab\r\u{7f}\u{85}\0", &every] {
            let quoted = quoted(text);
            assert!(!quoted.chars().any(char::is_control), "{quoted:?}");
            let read: toml::Table = format!("key = {quoted}").parse().unwrap();
            assert_eq!(read.get("key").and_then(toml::Value::as_str), Some(text));
        }
    }
}
