//! From a frame to bytes for the outer terminal. Every byte here is ours: recorded text arrives as safe cells.

use std::io::{self, Write};

use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::style::{
    Attribute, Color, Print, ResetColor, SetAttribute, SetBackgroundColor, SetForegroundColor,
};
use crossterm::terminal::{Clear, ClearType};

use super::table;
use crate::export::json::rfc3339;
use crate::replay::{Cell, Color as Recorded, Frame, Screen};

/// What stands on the last line.
pub(super) enum Prompt<'a> {
    /// Position and keys.
    Status,
    /// A search that is being typed.
    Search(&'a str),
}

/// Paints a frame into a terminal of this size, columns and rows; the last row is the status line.
pub(super) fn paint(
    out: &mut impl Write,
    frame: &Frame<'_>,
    size: (u16, u16),
    prompt: &Prompt<'_>,
) -> io::Result<()> {
    let (cols, rows) = (size.0, size.1.saturating_sub(1));
    let (width, height) = frame.screen.size();
    // Where not all rows fit, the ones around the cursor are worth more: the line that somebody types is often the last.
    let top = (frame.screen.cursor().1 + 1).saturating_sub(rows).min(height.saturating_sub(rows));
    for row in 0..rows {
        queue!(out, MoveTo(0, row), SetAttribute(Attribute::Reset), ResetColor)?;
        let filled = row + top < height;
        if filled {
            paint_row(out, frame.screen, (row + top, row), cols.min(width))?;
        }
        if !filled || width < cols {
            queue!(out, SetAttribute(Attribute::Reset), ResetColor, Clear(ClearType::UntilNewLine))?;
        }
    }
    let clipped = (cols < width || rows < height).then(|| format!("clipped from {width}x{height}"));
    let text = match prompt {
        Prompt::Search(text) => format!("/{text}"),
        Prompt::Status => status(frame, clipped),
    };
    let text: String = super::io::one_line(&text).chars().take(cols.into()).collect();
    queue!(
        out,
        MoveTo(0, rows),
        SetAttribute(Attribute::Reset),
        ResetColor,
        SetAttribute(Attribute::Reverse)
    )?;
    queue!(out, Print(text), Clear(ClearType::UntilNewLine), SetAttribute(Attribute::Reset))
}

/// Paints one row of the screen at a row of the outer terminal.
fn paint_row(out: &mut impl Write, screen: &Screen, (row, at): (u16, u16), cols: u16) -> io::Result<()> {
    let cursor = screen.cursor_visible().then(|| screen.cursor());
    let (mut col, mut style) = (0, None);
    while col < cols {
        let Some(mut cell) = screen.cell(col, row) else { break };
        cell.inverse ^= cursor == Some((col, row));
        let width = if cell.wide { 2 } else { 1 };
        if col + width > cols {
            " ".clone_into(&mut cell.text);
        }
        let wanted = (cell.fg, cell.bg, cell.bold, cell.dim, cell.italic, cell.underline, cell.inverse);
        if style != Some(wanted) {
            set_style(out, &cell)?;
            style = Some(wanted);
        }
        queue!(out, Print(&cell.text))?;
        col += width;
        // Terminals differ in how wide they think a character is.
        if !cell.text.is_ascii() && col < cols {
            queue!(out, MoveTo(col, at))?;
        }
    }
    Ok(())
}

fn set_style(out: &mut impl Write, cell: &Cell) -> io::Result<()> {
    queue!(out, SetAttribute(Attribute::Reset))?;
    queue!(out, SetForegroundColor(color(cell.fg)), SetBackgroundColor(color(cell.bg)))?;
    for (on, attribute) in [
        (cell.bold, Attribute::Bold),
        (cell.dim, Attribute::Dim),
        (cell.italic, Attribute::Italic),
        (cell.underline, Attribute::Underlined),
        (cell.inverse, Attribute::Reverse),
    ] {
        if on {
            queue!(out, SetAttribute(attribute))?;
        }
    }
    Ok(())
}

const fn color(color: Recorded) -> Color {
    match color {
        Recorded::Default => Color::Reset,
        Recorded::Idx(n) => Color::AnsiValue(n),
        Recorded::Rgb(r, g, b) => Color::Rgb { r, g, b },
    }
}

fn status(frame: &Frame<'_>, clipped: Option<String>) -> String {
    let state = match (frame.ended, frame.paused) {
        (true, _) => "END",
        (false, true) => "PAUSE",
        (false, false) => "PLAY",
    };
    let time = frame.time.map_or_else(String::new, |t| rfc3339(t).chars().take(19).collect());
    let (position, total) = (table::duration(frame.position), table::duration(frame.total));
    let percent = frame.speed.percent();
    let speed = format!("x{}.{:02}", percent / 100, percent % 100);
    let mut parts = vec![format!("{state} {time}Z"), format!("{position}/{total}"), speed];
    if frame.lost > 0 {
        parts.push(format!("{} EVENTS LOST", frame.lost));
    }
    if frame.folded > 0 {
        parts.push(format!("{} FOLDED", table::bytes(frame.folded)));
    }
    parts.extend(frame.message.clone());
    parts.extend(clipped);
    if frame.message.is_none() {
        parts.push("space . [ ] arrows / n q".to_owned());
    }
    format!(" {} ", parts.join("  "))
}
