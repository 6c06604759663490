//! The interactive player: keys in, frames out. What it shows comes from [`super::paint`], what it means from
//! [`crate::replay::Player`].

use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::{cursor, queue, terminal};

use super::paint::{Prompt, paint};
use super::{Failure, Io};
use crate::replay::{Input, Player};

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(16);
const SECOND: i64 = 1_000_000_000;

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Quit,
    Prompt,
    Input(Input),
    None,
}

fn act(key: KeyEvent) -> Act {
    match key.code {
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Act::Quit,
        KeyCode::Char('q') => Act::Quit,
        KeyCode::Char('/') => Act::Prompt,
        KeyCode::Char(' ') => Act::Input(Input::Pause),
        KeyCode::Char('.') => Act::Input(Input::Step),
        KeyCode::Char('[') => Act::Input(Input::Slower),
        KeyCode::Char(']') => Act::Input(Input::Faster),
        KeyCode::Char('n') => Act::Input(Input::Next),
        KeyCode::Left => Act::Input(Input::Seek(-5 * SECOND)),
        KeyCode::Right => Act::Input(Input::Seek(5 * SECOND)),
        KeyCode::Down => Act::Input(Input::Seek(-60 * SECOND)),
        KeyCode::Up => Act::Input(Input::Seek(60 * SECOND)),
        KeyCode::Home => Act::Input(Input::Seek(i64::MIN)),
        KeyCode::End => Act::Input(Input::Seek(i64::MAX)),
        KeyCode::Esc => Act::Input(Input::Cancel),
        _ => Act::None,
    }
}

/// Gives the terminal back, also when something fails.
struct Raw;

impl Raw {
    fn enter(io: &mut Io<'_>) -> std::io::Result<Self> {
        terminal::enable_raw_mode()?;
        let raw = Self;
        let mut codes = Vec::new();
        queue!(codes, terminal::EnterAlternateScreen, terminal::DisableLineWrap, cursor::Hide)?;
        io.out.write_all(&codes)?;
        Ok(raw)
    }

    fn leave(io: &mut Io<'_>) {
        let mut codes = Vec::new();
        let _ = queue!(codes, cursor::Show, terminal::EnableLineWrap, terminal::LeaveAlternateScreen);
        let _ = io.out.write_all(&codes).and_then(|()| io.out.flush());
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

/// Plays until somebody quits.
pub(super) fn run(player: &mut Player, io: &mut Io<'_>) -> Result<(), Failure> {
    let raw = Raw::enter(io).map_err(|e| Failure::Io(format!("cannot use the terminal: {e}")))?;
    let result = watch(player, io);
    Raw::leave(io);
    drop(raw);
    result
}

fn watch(player: &mut Player, io: &mut Io<'_>) -> Result<(), Failure> {
    let start = Instant::now();
    let mut input = None;
    let mut typed: Option<String> = None;
    let mut picture = Vec::new();
    loop {
        let size = terminal::size()?;
        let frame = player.step(start.elapsed(), input.take());
        let wake = frame.wake;
        picture.clear();
        let prompt = typed.as_deref().map_or(Prompt::Status, Prompt::Search);
        paint(&mut picture, &frame, size, &prompt)?;
        io.out.write_all(&picture)?;
        io.out.flush()?;
        let wait = match wake {
            // There is work to do: look for a key and go on.
            Some(Duration::ZERO) => Duration::ZERO,
            other => other.unwrap_or(Duration::from_hours(1)).max(FRAME),
        };
        if !event::poll(wait)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        if let Some(text) = &mut typed {
            match key.code {
                KeyCode::Enter => input = typed.take().map(Input::Search),
                KeyCode::Esc => typed = None,
                KeyCode::Backspace => drop(text.pop()),
                KeyCode::Char(c) => text.push(c),
                _ => {}
            }
            continue;
        }
        match act(key) {
            Act::Quit => return Ok(()),
            Act::Prompt => typed = Some(String::new()),
            Act::Input(wanted) => input = Some(wanted),
            Act::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_manual_says() {
        let key = |code| act(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char('q')), Act::Quit);
        assert_eq!(act(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Act::Quit);
        assert_eq!(key(KeyCode::Left), Act::Input(Input::Seek(-5_000_000_000)));
        assert_eq!(key(KeyCode::Up), Act::Input(Input::Seek(60_000_000_000)));
        assert_eq!(key(KeyCode::Char('c')), Act::None);
    }
}
