//! Standard output and error as values, so that every command can be tested; and how a command fails.

use std::io::{self, BufWriter, IsTerminal, Write};

use crate::model::Bytes;
use crate::verify::VerifyError;

/// Where a command prints.
pub(crate) struct Io<'a> {
    /// Standard output, buffered.
    pub(crate) out: &'a mut dyn Write,
    /// Standard error.
    pub(crate) err: &'a mut dyn Write,
    /// True if standard output is a terminal.
    pub(crate) out_terminal: bool,
    /// True if standard error is a terminal.
    pub(crate) err_terminal: bool,
}

impl Io<'_> {
    /// Runs with the process's own streams. Standard error is not locked for good: other threads log to it.
    pub(crate) fn with_process<T>(run: impl FnOnce(&mut Io<'_>) -> T) -> T {
        let (out, mut err) = (io::stdout(), io::stderr());
        let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
        let mut out = BufWriter::with_capacity(1 << 16, out.lock());
        run(&mut Io { out: &mut out, err: &mut err, out_terminal, err_terminal })
    }

    /// True if colours may go to standard output.
    pub(crate) fn color(&self) -> bool {
        self.out_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
    }

    /// One line `recorder: warning: …`. A lost warning must not stop the work.
    pub(crate) fn warn(&mut self, text: &str) {
        let _ = writeln!(self.err, "recorder: warning: {}", one_line(text));
    }
}

/// Why a command did not do its job; becomes one line and an exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit 64.
    Usage(String),
    /// Exit 1: nothing matched.
    Nothing(String),
    /// Exit 6: the content is sealed, and nothing that was given opens it.
    Sealed(String),
    /// Exit 69: a privilege or kernel feature is missing, and it says which.
    Missing(String),
    /// Exit 74: nothing is said about the evidence.
    Io(String),
    /// The reader of our output went away: exit 0, silently.
    Closed,
}

impl Failure {
    /// Prints the line and gives the exit code.
    pub(crate) fn report(&self, io: &mut Io<'_>) -> u8 {
        let (code, text) = match self {
            Self::Closed => return 0,
            Self::Usage(text) => (super::USAGE, text),
            Self::Nothing(text) => (1, text),
            Self::Sealed(text) => (6, text),
            Self::Missing(text) => (69, text),
            Self::Io(text) => (74, text),
        };
        let _ = writeln!(io.err, "recorder: {}", one_line(text));
        code
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Io(format!("cannot write: {error}"))
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::Io(error.to_string())
    }
}

/// Messages may name files: a name with a line's end or an escape sequence stays in its line.
pub(super) fn one_line(text: &str) -> String {
    let mut raw = [0; 4];
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' {
            line.push(c);
        } else {
            line.push_str(&Bytes::from(&*c.encode_utf8(&mut raw)).escaped());
        }
    }
    line
}
