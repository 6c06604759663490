//! Where a checkpoint goes without being answered: a file, syslog, a command.

use std::{
    fs, io,
    io::Write,
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram, process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use crate::{
    journal::checkpoint::{Head, to_word},
    model::LogId,
};

const SYSLOG: &str = "/dev/log";
/// Facility authpriv, severity notice.
const PRIORITY: u32 = 10 * 8 + 5;

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SinkError {
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The command's words name what nobody handed over.
    #[error("its words name $CREDENTIALS_DIRECTORY, and systemd gave none")]
    NoCredentials,
    /// The command ended otherwise than with 0.
    #[error("it ended with {0}")]
    Ended(ExitStatus),
    /// The command did not end.
    #[error("it was ended: it took longer than {0:?}")]
    Late(Duration),
}

/// Puts the note in the place of the one before it: whoever reads the file has a whole one.
pub(super) fn keep(file: &Path, note: &str) -> Result<(), SinkError> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).create(dir)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    let _ = fs::remove_file(&temporary);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
    new.write_all(note.as_bytes())?;
    new.sync_all()?;
    fs::rename(&temporary, file)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(())
}

/// One line to syslog; `None` if nobody asked for it and there is none.
pub(super) fn syslog(
    wanted: Option<bool>,
    log: LogId,
    head: Head,
    note: &str,
) -> Option<Result<(), SinkError>> {
    if wanted == Some(false) || (wanted.is_none() && !Path::new(SYSLOG).exists()) {
        return None;
    }
    Some(line_to(Path::new(SYSLOG), log, head, note))
}

fn line_to(path: &Path, log: LogId, head: Head, note: &str) -> Result<(), SinkError> {
    let line = format!(
        "<{PRIORITY}>recorder[{}]: checkpoint of log {log} at {} leaves: {}",
        std::process::id(),
        head.size,
        to_word(note)
    );
    let socket = UnixDatagram::unbound()?;
    // A syslog that hangs costs one line, not the thread.
    socket.set_nonblocking(true)?;
    socket.send_to(line.as_bytes(), path)?;
    Ok(())
}

/// Gives the note to a program on its standard input and waits for its end.
pub(super) fn command(
    program: &str,
    arguments: &[String],
    note: &str,
    patience: Duration,
) -> Result<(), SinkError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A note fits into a pipe's buffer, so this does not wait; a program that reads nothing says so by its end.
        let _ = input.write_all(note.as_bytes());
    }
    if !ends_within(&child, patience)? {
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        return Err(SinkError::Late(patience));
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(SinkError::Ended(status)) }
}

fn ends_within(child: &Child, patience: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let fd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&limit))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::checkpoint::{Piece, find_all},
        model::Digest,
    };

    #[test]
    fn the_file_always_holds_one_whole_note() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/checkpoint");
        keep(&file, "one\n").unwrap();
        keep(&file, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_line_of_syslog_holds_the_note() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = LogId::new([7; 16]);
        let note = "recorder-journal/v1/07070707070707070707070707070707\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} x AAAAAAAA\n";
        line_to(&path, log, Head { size: 5, root: Digest::default() }, note).unwrap();
        let mut raw = [0; 2048];
        let n = socket.recv(&mut raw).unwrap();
        let found = find_all(&raw[..n]);
        assert!(matches!(found.as_slice(), [Piece::Anchor(c, _)] if c.head.size == 5), "{found:?}");
        assert_eq!(std::str::from_utf8(&raw[..n]).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_command_gets_the_note_and_no_more_time_than_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("got").display().to_string();
        let shell = |script: &str, patience| {
            command("/bin/sh", &["-c".into(), script.into()], "the note\n", patience)
        };
        shell(&format!("cat > {file}"), Duration::from_mins(1)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "the note\n");
        assert!(
            matches!(shell("exit 3", Duration::from_mins(1)), Err(SinkError::Ended(s)) if s.code() == Some(3))
        );
        assert!(matches!(shell("sleep 600", Duration::from_millis(50)), Err(SinkError::Late(_))));
        assert!(matches!(command("/nowhere", &[], "", PATIENCE), Err(SinkError::Io(_))));
    }

    const PATIENCE: Duration = Duration::from_secs(5);
}
