//! Writes a line on somebody's terminal without disturbing what runs there.
//!
//! Never waits: a stopped terminal (Ctrl-S) would hold the daemon for ever. A program that draws the whole screen keeps
//! it: only the top row changes, and the cursor goes back to where it was.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::{Errno, write},
    termios::{LocalModes, tcgetattr, tcgetwinsize},
};

use crate::model::LoginWitness;

/// Where somebody sits: a terminal, as long as it is his.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// `pts/3`, `tty1`; empty if there is none.
    name: String,
    /// Who logged in.
    uid: u32,
}

impl Seat {
    /// Of a login.
    pub(super) fn of(login: &LoginWitness) -> Self {
        Self { name: login.tty.as_utf8().unwrap_or_default().to_owned(), uid: login.auid }
    }

    /// Shows a line there. What the text holds is shown, not obeyed. Not shown: where there is no terminal, on one that is
    /// stopped, and on one that has become somebody else's since.
    pub(super) fn tell(&self, text: &str) -> bool {
        if self.name.is_empty() {
            return false;
        }
        let shown = self.show(text);
        if let Err(error) = &shown {
            tracing::debug!(tty = self.name, %error, "a notice could not be shown");
        }
        shown.is_ok()
    }

    fn show(&self, text: &str) -> io::Result<()> {
        let fd = open_terminal(&self.name)?;
        // Names are used again: the work that is spoken of may outlive its terminal.
        let owner = fstat(&fd)?.st_uid;
        if owner != self.uid && owner != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let columns = if tcgetattr(&fd)?.local_modes.contains(LocalModes::ICANON) {
            None
        } else {
            Some(tcgetwinsize(&fd).map_or(80, |size| size.ws_col))
        };
        let bytes = framed(&text, columns);
        match write(&fd, &bytes)? {
            n if n == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn open_terminal(name: &str) -> io::Result<OwnedFd> {
    let known = ["pts/", "tty"].iter().any(|prefix| name.starts_with(prefix));
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/');
    if !known || !plain {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match open(format!("/dev/{name}"), flags, Mode::empty()) {
        // The unit gives us a /dev of our own with the host's ptys, and without consoles.
        Err(Errno::NOENT) if name.starts_with("tty") => {
            open(format!("/proc/1/root/dev/{name}"), flags, Mode::empty())?
        }
        opened => opened?,
    };
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::CharacterDevice {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(fd)
}

/// A line of its own where the terminal works in lines, else the top row of so many columns in reverse.
fn framed(text: &str, columns: Option<u16>) -> Vec<u8> {
    let Some(columns) = columns else { return format!("\r\n{text}\r\n").into_bytes() };
    // A row that is full would make the next character wrap.
    let text: String = text.chars().take(usize::from(columns.saturating_sub(3))).collect();
    // Save cursor, go home, reverse, text, normal, clear the row's rest, restore cursor.
    format!("\x1b7\x1b[1;1H\x1b[7m {text} \x1b[0m\x1b[K\x1b8").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_program_keeps_its_cursor_and_all_rows_but_one() {
        let mut screen = vt100::Parser::new(5, 40, 0);
        screen.process(b"\x1b[2J\x1b[1;1Hone\r\ntwo\r\nthree");
        let before = screen.screen().cursor_position();
        screen.process(&framed("the grant ends in 5 minutes", Some(40)));
        let rows: Vec<String> = screen.screen().rows(0, 40).collect();
        assert_eq!(
            rows.iter().map(String::as_str).take(3).collect::<Vec<_>>(),
            [" the grant ends in 5 minutes ", "two", "three"]
        );
        assert_eq!(screen.screen().cursor_position(), before);
        screen.process(&framed(&"long ".repeat(40), Some(40)));
        assert_eq!(screen.screen().rows(0, 40).nth(1).as_deref(), Some("two"));
        assert_eq!(screen.screen().cursor_position(), before);
    }

    #[test]
    fn a_terminal_that_has_become_somebody_elses_is_left_alone() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let _open = open(path.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let name = path.trim_start_matches("/dev/").to_owned();
        let me = rustix::process::getuid().as_raw();
        assert!(Seat { name: name.clone(), uid: me }.tell("yours"));
        let mut shown = [0; 64];
        let n = rustix::io::read(&master, &mut shown[..]).unwrap();
        assert!(String::from_utf8_lossy(&shown[..n]).contains("yours"));
        rustix::fs::chown(path.as_str(), Some(rustix::fs::Uid::from_raw(65_534)), None).unwrap();
        assert!(!Seat { name, uid: me }.tell("not yours"));
    }

    #[test]
    fn only_terminals_are_written_to() {
        for name in ["null", "pts/../null", "tty/../null", "pts/../../etc/passwd", "", "ttyx y"] {
            assert!(open_terminal(name).is_err(), "{name}");
        }
    }
}
