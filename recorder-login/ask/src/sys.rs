//! System calls without a safe wrapper in the standard library.
#![expect(unsafe_code, reason = "sockets with a deadline on connect, the user database, syslog")]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    io, mem,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

/// An entry of the user database (names of many groups are not in it) is far smaller.
const MAX_ENTRY: usize = 64 * 1024;

/// A unix stream socket that no other program inherits.
pub(crate) fn stream() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Connects. A full queue is waited for as long as the socket's write timeout says (unix(7), net/unix/af_unix.c).
pub(crate) fn connect(socket: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    // SAFETY: sockaddr_un is plain bytes, for which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).map_err(io::Error::other)?;
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero.
    let room = address.sun_path.len() - 1;
    if bytes.len() > room || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket's path is too long"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = c_char::from_le_bytes([*from]);
    }
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).map_err(io::Error::other)?;
    // SAFETY: `address` is a sockaddr_un of `length` bytes that outlives the call.
    let r = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends some of the bytes. Without SIGPIPE: its default would end the program that loaded us.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length during the call.
    let count =
        unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Who listens at the other end (who called listen(2), by the kernel).
pub(crate) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: the option is a ucred; `peer` has room for `length` bytes and both outlive the call.
    let r = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if r == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing and can't fail.
    unsafe { libc::geteuid() }
}

/// The account with this uid.
pub(crate) fn name_of(uid: u32) -> Option<Vec<u8>> {
    lookup(|entry, buffer, size, found| {
        // SAFETY: `lookup` gives pointers to an entry, a buffer of `size` bytes and a place for the result.
        unsafe { libc::getpwuid_r(uid, entry, buffer, size, found) }
    })
    .map(|(name, _)| name)
}

/// The uid of this account.
pub(crate) fn uid_of(name: &[u8]) -> Option<u32> {
    let name = CString::new(name).ok()?;
    lookup(|entry, buffer, size, found| {
        // SAFETY: as in `name_of`; `name` ends with a zero and outlives the call.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, size, found) }
    })
    .map(|(_, uid)| uid)
}

type Find<'a> = dyn Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int + 'a;

fn lookup(
    find: impl Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int,
) -> Option<(Vec<u8>, u32)> {
    let find: &Find<'_> = &find;
    let mut size = 1024;
    while size <= MAX_ENTRY {
        let mut buffer: Vec<c_char> = vec![0; size];
        // SAFETY: passwd is integers and pointers, for which zero is valid.
        let mut entry: libc::passwd = unsafe { mem::zeroed() };
        let mut found: *mut libc::passwd = ptr::null_mut();
        let error = find(&raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found);
        if error == libc::ERANGE {
            size *= 2;
            continue;
        }
        if error != 0 || found.is_null() || entry.pw_name.is_null() {
            return None;
        }
        // SAFETY: the call has filled `entry`; its name is a C string in `buffer`, which lives.
        let name = unsafe { CStr::from_ptr(entry.pw_name) };
        return Some((name.to_bytes().to_vec(), entry.pw_uid));
    }
    None
}

/// A warning for the administrator, in the log of logins.
pub fn log(message: &str) {
    let clean: String = message.chars().map(|c| if c.is_control() { '?' } else { c }).take(1000).collect();
    let Ok(text) = CString::new(format!("recorder: {clean}")) else { return };
    // SAFETY: the format takes one C string, and `text` is one.
    unsafe { libc::syslog(libc::LOG_AUTHPRIV | libc::LOG_WARNING, c"%s".as_ptr(), text.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_both_ways() {
        assert_eq!(name_of(0), Some(b"root".to_vec()));
        assert_eq!(uid_of(b"root"), Some(0));
        assert_eq!(uid_of(b"no such user, surely"), None);
        assert_eq!(uid_of(b"ro\0ot"), None);
        assert_eq!(name_of(4_000_000_000), None);
    }
}
