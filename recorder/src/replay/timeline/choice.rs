//! Which file acts a person wants to read by default.

use super::Hidden;
use crate::model::{File, FileOp, Socket};

const EPERM: i32 = -1;
const ENOENT: i32 = -2;
const ENOTDIR: i32 = -20;
const EACCES: i32 = -13;
const EROFS: i32 = -30;
/// `O_ACCMODE` (0 = for reading), `O_TRUNC` and `O_PATH` of the generic kernel ABI.
const O_ACCMODE: u32 = 3;
const O_TRUNC: u32 = 0o1000;
const O_PATH: u32 = 0o10_000_000;

/// True if the act is worth a line; else it was counted.
pub(super) fn wanted(op: FileOp, file: &File, hidden: &mut Hidden) -> bool {
    let count = u64::from(file.count.max(1));
    let missing = matches!(file.result, ENOENT | ENOTDIR);
    let reads = op == FileOp::Open && (file.flags & O_PATH != 0 || file.flags & (O_ACCMODE | O_TRUNC) == 0);
    let counter = if missing && (reads || op == FileOp::Unlink) {
        &mut hidden.lookups
    } else if reads && !matches!(file.result, EPERM | EACCES | EROFS) {
        &mut hidden.reads
    } else if op == FileOp::Open && file.result >= 0 && is_sink(file.path.as_slice()) {
        &mut hidden.devices
    } else {
        return true;
    };
    *counter = counter.saturating_add(count);
    false
}

/// Every program speaks to services of its own host, and what it asks of the managers among them is a record of its own.
pub(super) fn is_local(socket: &Socket) -> bool {
    const AF_UNIX: u16 = 1;
    const AF_NETLINK: u16 = 16;
    matches!(socket.family, AF_UNIX | AF_NETLINK)
}

/// Devices that every program writes to and that keep nothing, or are recorded as terminals.
fn is_sink(path: &[u8]) -> bool {
    matches!(path, b"/dev/null" | b"/dev/zero" | b"/dev/full" | b"/dev/tty" | b"/dev/ptmx" | b"/dev/pts/ptmx")
        || path.strip_prefix(b"/dev/pts/").is_some_and(|no| no.iter().all(u8::is_ascii_digit))
}
