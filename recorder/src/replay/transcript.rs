//! What a terminal showed, as lines of text: each line as it stood when it was finished, full-screen programs in one word.
//!
//! Text that is painted elsewhere on the screen and never ended by a line feed is not here; the player shows it.

use std::ops::ControlFlow;

use super::screen::Screen;

/// A piece of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A finished line, safe characters only.
    Line(String),
    /// A full-screen program took the screen.
    FullScreen,
    /// ... and gave it back after so many bytes.
    Back(u64),
}

/// Makes lines of one terminal's output.
pub struct Transcript {
    screen: Screen,
    full: Option<u64>,
}

impl Default for Transcript {
    fn default() -> Self {
        Self { screen: Screen::new((0, 0)), full: None }
    }
}

impl Transcript {
    /// A recorded resize.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.screen.resize(size);
    }

    /// Recorded output.
    pub fn feed(&mut self, data: &[u8], emit: &mut dyn FnMut(Shown)) {
        let full = &mut self.full;
        self.screen.feed_lines(data, &mut |screen| {
            turn(screen, full, emit);
            if full.is_none() {
                emit(Shown::Line(screen.line()));
            }
            ControlFlow::Continue(())
        });
        turn(&self.screen, full, emit);
        if let Some(bytes) = full {
            *bytes = bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
    }

    /// The end: what stands on the unfinished line.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Shown)) {
        if let Some(bytes) = self.full.take() {
            emit(Shown::Back(bytes));
        } else {
            let line = self.screen.line();
            if !line.is_empty() {
                emit(Shown::Line(line));
            }
        }
    }
}

fn turn(screen: &Screen, full: &mut Option<u64>, emit: &mut dyn FnMut(Shown)) {
    match (screen.alternate(), full.take()) {
        (true, None) => {
            *full = Some(0);
            emit(Shown::FullScreen);
        }
        (true, before) => *full = before,
        (false, Some(bytes)) => emit(Shown::Back(bytes)),
        (false, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> Vec<Shown> {
        let (mut transcript, mut shown) = (Transcript::default(), Vec::new());
        for chunk in chunks {
            transcript.feed(chunk.as_bytes(), &mut |s| shown.push(s));
        }
        transcript.finish(&mut |s| shown.push(s));
        shown
    }

    fn line(text: &str) -> Shown {
        Shown::Line(text.to_owned())
    }

    #[test]
    fn lines_are_what_stood_there_when_they_ended() {
        assert_eq!(
            lines(&["# lx\x08s\r", "\n\x1b[31mred\x1b[m\r\n10 %\r100 %\r\n# "]),
            [line("# ls"), line("red"), line("100 %"), line("#")]
        );
        let long = "x".repeat(200);
        assert_eq!(lines(&[&long, "\r\n"]), [line(&long)]);
    }

    #[test]
    fn full_screen_programs_are_summed_up() {
        let shown = lines(&["# vi\r\n", "\x1b[?1049h~\r\n~\r\n", "more\n", "\x1b[?1049l# \r\n"]);
        assert_eq!(shown[..2], [line("# vi"), Shown::FullScreen]);
        assert!(matches!(shown[2], Shown::Back(_)) && shown[3..] == [line("#")], "{shown:?}");
    }

    #[test]
    fn g1_g2_lines_hold_no_control_and_no_deceptive_character() {
        let shown = lines(&["\x1b]0;recorder: VERIFIED\x07a\u{202e}b\u{200b}\x07\x00\u{9b}2Jc\r\n"]);
        assert_eq!(shown, [line("ab2Jc")]);
    }
}
