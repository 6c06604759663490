//! One terminal's screen: vt100 behind the filter, its panics contained, its cells made safe.
//!
//! vt100 0.16 subtracts and unwraps where a wide character meets a narrow screen or a resize. Sizes are kept between 2
//! and 1000 columns and 1 and 1000 rows; every call runs contained, and after a panic a fresh emulator goes on with the
//! text that stood there. What is lost then are the attributes of the cells and at most [`PIECE`] bytes.

use std::cell::Cell as Flag;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

pub use vt100::Color;

use super::filter::{Filter, Step};
use crate::model::Bytes;

/// Bytes that go to the emulator at once.
const PIECE: usize = 256;
const MAX_SIDE: u16 = 1000;

thread_local! {
    static CONTAINED: Flag<bool> = const { Flag::new(false) };
}

/// Keeps panics that a [`Screen`] contains off standard error. Called once by `main`; other panics print as before.
pub fn quiet_contained_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                before(info);
            }
        }));
    });
}

fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(false);
    result.ok()
}

/// One cell as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the attributes of a cell, not states")]
pub struct Cell {
    /// A character with its combining marks; a blank where nothing is; what must not be shown is
    /// left out, or U+FFFD if it stands alone.
    pub text: String,
    /// True if it takes two columns: the next cell is then left out.
    pub wide: bool,
    /// Foreground.
    pub fg: Color,
    /// Background.
    pub bg: Color,
    /// Bold.
    pub bold: bool,
    /// Dim.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Foreground and background exchanged.
    pub inverse: bool,
}

/// The screen of one recorded terminal.
pub struct Screen {
    parser: vt100::Parser,
    filter: Filter,
    out: Vec<u8>,
    faults: u32,
}

/// A screen at rest, to go back to.
#[derive(Clone)]
pub(super) struct Saved(vt100::Screen, u32);

impl Saved {
    /// About how much memory it takes (a cell is 32 bytes, and there are two grids).
    pub(super) fn bytes(&self) -> usize {
        let (rows, cols) = self.0.size();
        usize::from(rows) * usize::from(cols) * 64 + 1024
    }
}

fn clamp((cols, rows): (u16, u16)) -> (u16, u16) {
    let cols = if cols == 0 { 80 } else { cols };
    let rows = if rows == 0 { 24 } else { rows };
    (cols.clamp(2, MAX_SIDE), rows.min(MAX_SIDE))
}

impl Screen {
    /// A blank screen; 0 stands for a terminal that has no size.
    pub fn new(size: (u16, u16)) -> Self {
        let (cols, rows) = clamp(size);
        let parser = vt100::Parser::new(rows, cols, 0);
        Self { parser, filter: Filter::default(), out: Vec::with_capacity(PIECE + 64), faults: 0 }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        let (rows, cols) = self.parser.screen().size();
        (cols, rows)
    }

    /// Cursor as column and row, inside the screen.
    pub fn cursor(&self) -> (u16, u16) {
        let (row, col) = self.parser.screen().cursor_position();
        let (cols, rows) = self.size();
        (col.min(cols - 1), row.min(rows - 1))
    }

    /// True if the program shows the cursor.
    pub fn cursor_visible(&self) -> bool {
        !self.parser.screen().hide_cursor()
    }

    /// True while a full-screen program has the alternate screen.
    pub fn alternate(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// How often the emulator gave up and was replaced.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// A recorded resize.
    pub fn resize(&mut self, size: (u16, u16)) {
        let (cols, rows) = clamp(size);
        if (cols, rows) == self.size() {
            return;
        }
        self.cut_wide_cells(cols);
        let parser = &mut self.parser;
        if contain(|| parser.screen_mut().set_size(rows, cols)).is_none() {
            self.replace((cols, rows));
        }
    }

    /// Blanks what would stand on the new edge with one half only: vt100 panics at such a cell later.
    fn cut_wide_cells(&mut self, cols: u16) {
        let edge = cols - 1;
        let wide = |screen: &vt100::Screen, row| screen.cell(row, edge).is_some_and(vt100::Cell::is_wide);
        let rows: Vec<u16> = (0..self.size().1).filter(|row| wide(self.parser.screen(), *row)).collect();
        if rows.is_empty() {
            return;
        }
        let (row, col) = self.parser.screen().cursor_position();
        for row in rows {
            self.emit(format!("\x1b[{};{}H\x1b[1X", u32::from(row) + 1, u32::from(edge) + 1).as_bytes());
        }
        self.emit(format!("\x1b[{};{}H", u32::from(row) + 1, u32::from(col) + 1).as_bytes());
    }

    /// Recorded output.
    pub fn feed(&mut self, data: &[u8]) {
        self.feed_lines(data, &mut |_| ControlFlow::Continue(()));
    }

    /// Recorded output, line by line: at each line feed the line under the cursor, with the rows it was wrapped from, goes
    /// to `line`. If that breaks, feeding ends behind that line feed. Returns how many bytes were taken.
    pub fn feed_lines(&mut self, data: &[u8], line: &mut dyn FnMut(&Self) -> ControlFlow<()>) -> usize {
        let size = self.size();
        let mut taken = 0;
        for byte in data {
            taken += 1;
            if self.filter.step(*byte, size, &mut self.out) == Step::LineFeed {
                self.flush();
                let stop = line(self).is_break();
                self.out.push(*byte);
                if stop {
                    break;
                }
            } else if self.out.len() >= PIECE {
                self.flush();
            }
        }
        self.flush();
        taken
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            self.emit(&out);
            self.out = out;
            self.out.clear();
        }
    }

    fn emit(&mut self, data: &[u8]) {
        let parser = &mut self.parser;
        if contain(|| parser.process(data)).is_none() {
            self.replace(self.size());
        }
    }

    /// A fresh emulator with the text of the old one.
    fn replace(&mut self, size: (u16, u16)) {
        self.faults = self.faults.saturating_add(1);
        let (cursor, rows) = (self.cursor(), self.rows());
        self.parser = vt100::Parser::new(size.1, size.0, 0);
        let mut text = Vec::new();
        for (row, line) in (1..=size.1).zip(&rows) {
            // One column stays free, so that nothing wraps; wide characters are not worth another panic.
            let line: String = line.chars().filter(char::is_ascii).take(usize::from(size.0) - 1).collect();
            text.extend_from_slice(format!("\x1b[{row};1H{line}").as_bytes());
        }
        text.extend_from_slice(format!("\x1b[{};{}H", cursor.1 + 1, cursor.0 + 1).as_bytes());
        let parser = &mut self.parser;
        if contain(|| parser.process(&text)).is_none() {
            self.parser = vt100::Parser::new(size.1, size.0, 0);
        }
    }

    /// The cell at a column and row; `None` outside.
    pub fn cell(&self, col: u16, row: u16) -> Option<Cell> {
        let cell = self.parser.screen().cell(row, col)?;
        let wide = cell.is_wide() && col + 1 < self.size().0;
        let mut text = String::new();
        push_shown(cell, wide, &mut text);
        Some(Cell {
            text,
            wide,
            fg: cell.fgcolor(),
            bg: cell.bgcolor(),
            bold: cell.bold(),
            dim: cell.dim(),
            italic: cell.italic(),
            underline: cell.underline(),
            inverse: cell.inverse(),
        })
    }

    /// A row's text, blanks at its end left out.
    pub fn row(&self, row: u16) -> String {
        let mut text = String::new();
        self.push_row(row, &mut text);
        text.truncate(text.trim_end_matches(' ').len());
        text
    }

    fn push_row(&self, row: u16, text: &mut String) {
        let (screen, cols) = (self.parser.screen(), self.size().0);
        let mut col = 0;
        while let Some(cell) = screen.cell(row, col) {
            let wide = cell.is_wide() && col + 1 < cols;
            push_shown(cell, wide, text);
            col += if wide { 2 } else { 1 };
        }
    }

    /// All rows.
    pub fn rows(&self) -> Vec<String> {
        (0..self.size().1).map(|row| self.row(row)).collect()
    }

    /// The line under the cursor, with the rows it was wrapped from.
    pub fn line(&self) -> String {
        let screen = self.parser.screen();
        let last = self.cursor().1;
        let first = (0..last).rev().take_while(|row| screen.row_wrapped(*row)).last().unwrap_or(last);
        let mut text = String::new();
        (first..=last).for_each(|row| self.push_row(row, &mut text));
        text.truncate(text.trim_end_matches(' ').len());
        text
    }

    /// A copy to go back to; `None` in the middle of a sequence.
    pub(super) fn save(&self) -> Option<Saved> {
        self.filter.at_rest().then(|| Saved(self.parser.screen().clone(), self.faults))
    }

    /// Goes back.
    pub(super) fn restore(saved: &Saved) -> Self {
        let (rows, cols) = saved.0.size();
        let mut screen = Self::new((cols, rows));
        *screen.parser.screen_mut() = saved.0.clone();
        screen.faults = saved.1;
        screen
    }
}

/// Adds a cell's text as it may be shown.
fn push_shown(cell: &vt100::Cell, wide: bool, out: &mut String) {
    let text = cell.contents();
    match text.as_bytes() {
        [] => out.push(' '),
        [b] if (0x20..0x7f).contains(b) => out.push_str(text),
        _ if is_hostile(text) => {
            // What hides or turns is left out, so that the rest is seen and found as the person saw it.
            let mut raw = [0; 4];
            let before = out.len();
            out.extend(text.chars().filter(|c| !is_hostile(c.encode_utf8(&mut raw))));
            if out.len() == before {
                out.push_str(if wide { "\u{fffd} " } else { "\u{fffd}" });
            }
        }
        _ => out.push_str(text),
    }
}

/// True for text that must not reach a terminal as it is; the table is that of [`Bytes::escaped`].
fn is_hostile(text: &str) -> bool {
    text != "\\" && Bytes::from(text).escaped() != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_taken_between_sequences_only_and_goes_on_like_the_original() {
        let mut screen = Screen::new((20, 3));
        screen.feed(b"a\x1b[31");
        assert!(screen.save().is_none());
        screen.feed("mb漢\r\n".as_bytes());
        let mut copy = Screen::restore(&screen.save().unwrap());
        for screen in [&mut screen, &mut copy] {
            screen.feed(b"c");
        }
        assert_eq!((copy.rows(), copy.cursor()), (screen.rows(), screen.cursor()));
        assert_eq!(copy.cell(0, 1).unwrap().fg, Color::Idx(1));
    }
}
