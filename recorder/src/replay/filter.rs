//! Stands between recorded bytes and the emulator.
//!
//! It follows the escape state machine (the states of vte 0.15, the emulator's own parser) and
//! - drops strings: OSC, DCS, SOS, PM and APC, which only titles, clipboards, palettes and queries need;
//! - limits the counts of sequences that insert, delete, scroll or erase to the size of the screen: vt100 0.16 loops that
//!   often, and `CSI 65535 @` takes it seconds;
//! - drops control sequences longer than any real one;
//! - passes whole UTF-8 characters only: vte 0.15 loses the character behind one that was split between two calls, and
//!   rubbish bytes show nothing anyway;
//! - says where a line ends, and whether it stands between two sequences (only there may a keyframe be taken).

/// Longest control sequence that is passed on: 38;2;r;g;b twice with attributes stays well below.
const MAX_SEQUENCE: usize = 128;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    EscapeIntermediate,
    Csi,
    /// Ended by ESC, CAN, SUB and, for OSC, BEL.
    Osc,
    String,
}

/// What a byte led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to do but go on.
    On,
    /// A line feed comes next, and is not yet in the output.
    LineFeed,
}

/// The state machine, one for each terminal.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    state: State,
    /// Bytes of the control sequence that is being read, without its introducer.
    sequence: Vec<u8>,
    /// The beginning of a UTF-8 character.
    partial: Vec<u8>,
}

impl Filter {
    /// True between sequences and characters.
    pub(super) fn at_rest(&self) -> bool {
        self.state == State::Ground && self.partial.is_empty()
    }

    /// Takes a byte; what the emulator shall see is added to `out`.
    pub(super) fn step(&mut self, byte: u8, (cols, rows): (u16, u16), out: &mut Vec<u8>) -> Step {
        match (self.state, byte) {
            (State::Ground, b'\n' | 0x0b | 0x0c) => {
                self.partial.clear();
                return Step::LineFeed;
            }
            (State::Ground, 0x1b) => {
                self.partial.clear();
                self.state = State::Escape;
            }
            (State::Ground, 0x00..=0x7f) => {
                self.partial.clear();
                out.push(byte);
            }
            (State::Ground, _) => self.character(byte, out),
            // Anywhere: start again, or give up.
            (_, 0x1b) => self.enter(State::Escape),
            // A character set (an intermediate) is not passed either: the emulator has none.
            (_, 0x18 | 0x1a)
            | (State::Osc, 0x07)
            | (State::String, 0x9c)
            | (State::EscapeIntermediate, 0x30..=0x7e) => self.enter(State::Ground),
            (State::Osc | State::String, _) => {}
            // Controls inside a sequence act at once, as on a real terminal.
            (_, 0x00..=0x1f) => out.push(byte),
            (State::Escape, b'[') => self.enter(State::Csi),
            (State::Escape, b']') => self.enter(State::Osc),
            (State::Escape, b'P' | b'X' | b'^' | b'_') => self.enter(State::String),
            (State::Escape, 0x20..=0x2f) => self.enter(State::EscapeIntermediate),
            (State::Escape, 0x30..=0x7e) => {
                out.extend([0x1b, byte]);
                self.enter(State::Ground);
            }
            (State::Csi, 0x40..=0x7e) => {
                self.finish(byte, cols, rows, out);
                self.enter(State::Ground);
            }
            (State::Csi, 0x20..=0x3f) if self.sequence.len() <= MAX_SEQUENCE => self.sequence.push(byte),
            _ => {}
        }
        Step::On
    }

    fn character(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte >= 0xc0 {
            self.partial.clear();
        } else if self.partial.is_empty() {
            return;
        }
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(_) => out.append(&mut self.partial),
            Err(e) if e.error_len().is_some() => self.partial.clear(),
            Err(_) => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.sequence.clear();
        self.state = state;
    }

    fn finish(&mut self, last: u8, cols: u16, rows: u16, out: &mut Vec<u8>) {
        if self.sequence.len() > MAX_SEQUENCE {
            return;
        }
        let limit = match last {
            b'@' | b'P' | b'X' => cols,
            b'L' | b'M' | b'S' | b'T' => rows,
            _ => {
                out.extend_from_slice(b"\x1b[");
                out.extend_from_slice(&self.sequence);
                out.push(last);
                return;
            }
        };
        // Private or malformed parameters: the emulator knows none for these.
        let Ok(text) = std::str::from_utf8(&self.sequence) else { return };
        let first = text.split([';', ':']).next().unwrap_or_default();
        if !first.bytes().all(|b| b.is_ascii_digit()) {
            return;
        }
        let count =
            first.parse::<u16>().unwrap_or(if first.is_empty() { 1 } else { u16::MAX }).clamp(1, limit);
        out.extend_from_slice(format!("\x1b[{count}{}", char::from(last)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(data: &[u8]) -> (String, Filter) {
        let (mut filter, mut out) = (Filter::default(), Vec::new());
        for byte in data {
            if filter.step(*byte, (80, 24), &mut out) == Step::LineFeed {
                out.push(b'|');
            }
        }
        (String::from_utf8_lossy(&out).into_owned(), filter)
    }

    #[test]
    fn a11_strings_do_not_pass() {
        for hostile in [
            "\x1b]0;title\x07",
            "\x1b]52;c;cm0gLXJm\x1b\\",
            "\x1bP$q\"p\x1b\\",
            "\x1bXsos\x1b\\",
            "\x1b^pm\x1b\\",
            "\x1b_apc\n\x1b\\",
            "\x1bP1;2|never ended\x18",
        ] {
            let (out, filter) = through(format!("a{hostile}b").as_bytes());
            assert_eq!(out.replace("\x1b\\", ""), "ab", "{hostile:?}");
            assert!(filter.at_rest());
        }
    }

    #[test]
    fn counts_are_limited_and_the_rest_passes() {
        assert_eq!(through(b"\x1b[65535@").0, "\x1b[80@");
        assert_eq!(through(b"\x1b[99999999L").0, "\x1b[24L");
        assert_eq!(through(b"\x1b[T\x1b[0S\x1b[?5S").0, "\x1b[1T\x1b[1S");
        assert_eq!(
            through(b"\x1b[38;2;1;2;3mx\x1b[?1049h\x1b7\x1b(B").0,
            "\x1b[38;2;1;2;3mx\x1b[?1049h\x1b7"
        );
        assert_eq!(through(&[b"\x1b[".as_slice(), &[b'1'; 4096], b"mx"].concat()).0, "x");
    }

    #[test]
    fn lines_and_rest_are_known() {
        assert_eq!(through(b"a\nb").0, "a|b");
        assert_eq!(through(b"\x1b]0;a\nb\x07").0, "");
        for open in [&b"\x1b"[..], b"\x1b[1", b"\x1b]0", b"\x1b(", b"\xe6\xbc"] {
            assert!(!through(open).1.at_rest(), "{open:?}");
        }
        assert!(through("漢".as_bytes()).1.at_rest());
    }

    #[test]
    fn only_whole_characters_pass() {
        assert_eq!(through(b"a\xe6\xbcb\xe6\xbc\xa2\x9b31m\xff\xc0\x80\xf0\x9f\x1b[m").0, "ab漢31m\x1b[m");
    }
}
