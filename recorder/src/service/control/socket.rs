//! The socket's file, and the mark beside it that outlives a dead daemon (docs/control.md).

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use crate::sys::socket;

/// The file beside the socket that tells PAM and sudo to refuse while nobody answers.
const FAIL_CLOSED: &str = "fail_closed";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon has it.
    #[error("somebody listens on {path} already: another recorder runs", path = path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody's file lies there; it is not ours to remove.
    #[error("{path} is no socket", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system's word.
    #[error("cannot listen on {path}: {source}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another's file of that name is left alone.
    identity: (u64, u64),
}

impl Socket {
    /// Takes the place of a dead daemon's socket, never of a living one's.
    pub(super) fn bind(path: &Path) -> Result<Self, SocketError> {
        let fault = |source| SocketError::Io { path: path.into(), source };
        if let Some(dir) = path.parent() {
            make_reachable(dir).map_err(fault)?;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(SocketError::Foreign { path: path.into() });
            }
            Ok(_) => match socket::reach(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(fault)?;
                }
                // A full queue is a living daemon's too.
                Ok(_) => return Err(SocketError::InUse { path: path.into() }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(SocketError::InUse { path: path.into() });
                }
                Err(error) => return Err(fault(error)),
            },
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(fault)?;
        // Whatever the umask: who asks is told by the kernel, not by who may connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(fault)?;
        let meta = fs::symlink_metadata(path).map_err(fault)?;
        Ok(Self { listener, path: path.into(), identity: (meta.dev(), meta.ino()) })
    }

    /// For the runtime that the caller is in.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }

    /// Makes or removes the mark.
    pub(super) fn mark_fail_closed(&self, wanted: bool) -> Result<(), SocketError> {
        let path = self.path.with_file_name(FAIL_CLOSED);
        let done = if wanted {
            fs::write(&path, "").and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
        } else {
            fs::remove_file(&path)
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => Ok(()),
            done => done.map_err(|source| SocketError::Io { path, source }),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let same = |meta: fs::Metadata| (meta.dev(), meta.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes what is missing of a directory, for everybody to pass through: the service's umask would shut it.
fn make_reachable(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        make_reachable(above)?;
    }
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn everybody_may_connect_and_the_file_goes_with_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/control.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(
            (mode(&path), mode(&dir.path().join("a")), mode(&dir.path().join("a/b"))),
            (0o666, 0o755, 0o755)
        );
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead daemon leaves its file");
        let living = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse { .. })));
        assert!(socket::reach(&path).is_ok(), "the refused one left it alone");
        drop(living);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::Foreign { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn the_mark_stays_when_the_daemon_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mark) = (dir.path().join("control.sock"), dir.path().join(FAIL_CLOSED));
        let socket = Socket::bind(&path).unwrap();
        socket.mark_fail_closed(false).unwrap();
        socket.mark_fail_closed(true).unwrap();
        drop(socket);
        assert_eq!((mode(&mark), fs::read(&mark).unwrap().len()), (0o644, 0));
        Socket::bind(&path).unwrap().mark_fail_closed(false).unwrap();
        assert!(!mark.exists());
    }
}
