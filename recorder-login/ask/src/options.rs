//! What an administrator writes behind the module's name: `socket=PATH`, `fail_closed`, `quiet`.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::sys;

const SOCKET: &str = "/run/recorder/control.sock";
/// The file beside the socket that a daemon leaves which wants nobody to pass without it.
const MARKER: &str = "fail_closed";

/// A module's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    socket: PathBuf,
    fail_closed: bool,
    quiet: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { socket: PathBuf::from(SOCKET), fail_closed: false, quiet: false }
    }
}

impl Options {
    /// Reads them. A word that makes no sense is logged and otherwise ignored: it must not lock anybody out.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut options = Self::default();
        for word in words {
            match word {
                b"fail_closed" => options.fail_closed = true,
                b"quiet" => options.quiet = true,
                _ => match word.strip_prefix(b"socket=").map(|path| Path::new(OsStr::from_bytes(path))) {
                    Some(path) if path.is_absolute() => options.socket = path.to_path_buf(),
                    _ => sys::log(&format!("unknown argument {:?}", String::from_utf8_lossy(word))),
                },
            }
        }
        options
    }

    /// The recorder's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether nobody passes while no recorder answers.
    pub(crate) fn fails_closed(&self) -> bool {
        let marker = self.socket.with_file_name(MARKER);
        // A marker that can't be looked at (no directory, no right to) is none: that is a machine without a recorder.
        self.fail_closed || fs::symlink_metadata(marker).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let options = Options::parse([b"socket=/x/y.sock".as_slice(), b"fail_closed", b"quiet"]);
        assert_eq!(options, Options { socket: "/x/y.sock".into(), fail_closed: true, quiet: true });
        assert_eq!(Options::parse([]), Options::default());
    }

    #[test]
    fn nonsense_changes_nothing() {
        let words: [&[u8]; 5] = [b"socket=relative", b"socket=", b"Quiet", b"fail_closed=no", b"\xff%s%n"];
        assert_eq!(Options::parse(words), Options::default());
    }
}
