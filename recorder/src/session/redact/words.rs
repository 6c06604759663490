//! A shell's line as words: what programs would get, and where it stands in the line. No expansion: `$X` stays `$X`.

use std::ops::Range;

/// A word without its quotes.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// What a program gets.
    pub(super) bytes: Vec<u8>,
    /// Where each of them begins and ends in the line; behind a backslash, with it.
    at: Vec<(usize, usize)>,
    /// Where the quote stands that each of them is in, from 1; 0 in none.
    quote: Vec<usize>,
    /// All of it, with quotes.
    span: Range<usize>,
}

/// A simple command.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    /// What the one before it prints goes into it.
    pub(super) is_fed: bool,
    /// Index of the word that a here-string feeds into it.
    pub(super) here: Option<usize>,
}

impl Word {
    /// The part of the line that these bytes of the word take, such that what is left of the quotes still closes; all of the
    /// word where nothing less does.
    pub(super) fn locate(&self, range: &Range<usize>, line: &[u8]) -> Range<usize> {
        let last = range.end.saturating_sub(1);
        let (Some((start, _)), Some((_, end))) = (self.at.get(range.start), self.at.get(last)) else {
            return self.span.clone();
        };
        let quote = |of: usize| self.quote.get(of).copied().unwrap_or_default();
        let (first, behind) = (quote(range.start), quote(last));
        if first == behind {
            return *start..*end;
        }
        let opening = match first {
            0 => Some(*start),
            // The quote itself stands right before its first byte.
            open => (open == *start).then(|| open.saturating_sub(1)),
        };
        let closing = match behind {
            0 => Some(*end),
            open => {
                let mark = line.get(open.saturating_sub(1));
                (mark.is_some() && line.get(*end) == mark).then(|| end.saturating_add(1))
            }
        };
        match (opening, closing) {
            (Some(start), Some(end)) => start..end,
            _ => self.span.clone(),
        }
    }

    /// True if these bytes are what the shell puts another value in the place of.
    pub(super) fn is_reference(&self, range: &Range<usize>, line: &[u8]) -> bool {
        let value = self.bytes.get(range.clone()).unwrap_or_default();
        let open = self.quote.get(range.start).copied().unwrap_or_default();
        let escaped = self.at.get(range.start).is_some_and(|(start, end)| end.saturating_sub(*start) > 1);
        let literal = escaped || (open > 0 && line.get(open.saturating_sub(1)) == Some(&b'\''));
        !literal && is_reference(value)
    }

    fn push(&mut self, byte: u8, at: (usize, usize), quote: usize) {
        self.bytes.push(byte);
        self.at.push(at);
        self.quote.push(quote);
    }
}

/// `$X`, `${X}`, `$(command)`, `` `command` ``, `{{ x }}`: the name of a value, not the value.
pub(super) fn is_reference(value: &[u8]) -> bool {
    let of_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    match value {
        [b'$', b'{', rest @ .., b'}'] => rest.iter().all(of_name),
        [b'$'] | [b'$', b'(', ..] | [b'{', b'{', .., b'}', b'}'] | [b'`', ..] => true,
        [b'$', first, rest @ ..] => {
            (first.is_ascii_alphabetic() || *first == b'_') && rest.iter().all(of_name)
        }
        _ => false,
    }
}

#[derive(Debug, Default)]
struct Splitter {
    done: Vec<Command>,
    command: Command,
    word: Option<Word>,
    here: bool,
}

impl Splitter {
    fn word(&mut self, at: usize) -> &mut Word {
        self.word.get_or_insert_with(|| Word { span: at..at, ..Word::default() })
    }

    fn end_word(&mut self, at: usize) {
        if let Some(mut word) = self.word.take() {
            word.span.end = at;
            if std::mem::take(&mut self.here) {
                self.command.here = Some(self.command.words.len());
            }
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self, at: usize, feeds: bool) {
        self.end_word(at);
        let next = Command { is_fed: feeds, ..Command::default() };
        let command = std::mem::replace(&mut self.command, next);
        if !command.words.is_empty() {
            self.done.push(command);
        }
    }
}

/// The simple commands of a line. Quotes that are not closed go to the end.
pub(super) fn commands(line: &[u8]) -> Vec<Command> {
    let mut out = Splitter::default();
    let mut at = 0;
    while let Some(byte) = line.get(at).copied() {
        let next = line.get(at.saturating_add(1)).copied();
        match (byte, next) {
            (b'\\', Some(b'\n')) => at += 1,
            (b'\\', Some(escaped)) => {
                out.word(at).push(escaped, (at, at.saturating_add(2)), 0);
                at += 1;
            }
            // $'...' and $"...": the dollar is no part of the word.
            (b'$', Some(b'\'' | b'"')) => {
                out.word(at);
            }
            (b'\'' | b'"', _) => at = quoted(line, at, out.word(at)),
            (b'<', _) if line.get(at..).is_some_and(|rest| rest.starts_with(b"<<<")) => {
                out.end_word(at);
                out.here = true;
                at += 2;
            }
            (b' ' | b'\t' | b'\r' | b'<' | b'>', _) => out.end_word(at),
            (b'|', Some(b'|')) | (b'&', Some(b'&')) => {
                out.end_command(at, false);
                at += 1;
            }
            (b'|', _) => out.end_command(at, true),
            (b'\n' | b';' | b'&' | b'(' | b')' | b'`', _) => out.end_command(at, false),
            _ => out.word(at).push(byte, (at, at.saturating_add(1)), 0),
        }
        at = at.saturating_add(1);
    }
    out.end_command(line.len(), false);
    out.done
}

/// Takes what stands in quotes from `open` on; gives where they close.
fn quoted(line: &[u8], open: usize, word: &mut Word) -> usize {
    let mark = line.get(open).copied().unwrap_or_default();
    let quote = open.saturating_add(1);
    let mut at = quote;
    while let Some(byte) = line.get(at).copied() {
        if byte == mark {
            return at;
        }
        let next = line.get(at.saturating_add(1)).copied();
        match next {
            Some(escaped) if byte == b'\\' && mark == b'"' && b"\"\\$`".contains(&escaped) => {
                word.push(escaped, (at, at.saturating_add(2)), quote);
                at = at.saturating_add(1);
            }
            _ => word.push(byte, (at, at.saturating_add(1)), quote),
        }
        at = at.saturating_add(1);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<Vec<String>> {
        let text = |word: &Word| String::from_utf8_lossy(&word.bytes).into_owned();
        commands(line.as_bytes()).iter().map(|c| c.words.iter().map(text).collect()).collect()
    }

    #[test]
    fn a_line_becomes_what_programs_get() {
        assert_eq!(told("a 'b c' d\\ e \"f\\\"g\""), [["a", "b c", "d e", "f\"g"]]);
        assert_eq!(
            told("a b|c;d&&e $(f g) `h`"),
            [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e", "$"], vec!["f", "g"], vec!["h"]]
        );
        assert_eq!(told("x 'open"), [["x", "open"]]);
        let here = commands(b"chpasswd <<< 'a:b'");
        assert_eq!((here[0].here, here[0].words.len()), (Some(1), 2));
        assert!(commands(b"a | b")[1].is_fed && !commands(b"a || b")[1].is_fed);
    }

    #[test]
    fn a_part_of_a_word_leaves_no_open_quote() {
        for (line, word, range, left) in [
            ("m --p='a b' x", 1, 4..7, "m --p='#' x"),
            ("m \"--p=a b\" x", 1, 4..7, "m \"--p=#\" x"),
            ("m -p'se'cret", 1, 2..8, "m -p#"),
            ("m '-pse'cret y", 1, 2..8, "m # y"),
            ("m -pse\"cret\" y", 1, 2..8, "m -p# y"),
            ("m -p\\'a", 1, 2..4, "m -p#"),
        ] {
            let commands = commands(line.as_bytes());
            let at = commands[0].words[word].locate(&range, line.as_bytes());
            assert_eq!(format!("{}#{}", &line[..at.start], &line[at.end..]), left, "{line}");
        }
    }

    #[test]
    fn references_are_told_from_values() {
        let is = |line: &str| {
            let commands = commands(line.as_bytes());
            let word = &commands[0].words[0];
            word.is_reference(&(0..word.bytes.len()), line.as_bytes())
        };
        assert!(
            is("$PASS")
                && is("\"${PASS}\"")
                && !is("'$PASS'")
                && !is("\\$PASS")
                && !is("$PASS-x")
                && !is("pass")
        );
    }
}
