//! Acts on files, on the system and on sockets in a few words.

use std::fmt::Write as _;

use super::table;
use crate::model::{Allocate, Call, File, FileOp, Reads, Sent, Setattr, Socket, Xattr};

/// A file act.
pub(crate) fn act(op: FileOp, file: &File) -> String {
    let mut text = file.path.escaped();
    if let Some(to) = &file.to {
        text.push_str(" -> ");
        text.push_str(&to.escaped());
    }
    if matches!(op, FileOp::Open | FileOp::Write) {
        text.push_str(match file.flags & 3 {
            0 => " (read)",
            1 => " (write)",
            _ => " (read, write)",
        });
    }
    if op == FileOp::Mknod && (file.flags != 0) {
        let _ = write!(text, " (device {}:{})", file.flags >> 20, file.flags & 0xf_ffff);
    }
    if file.count > 1 {
        let _ = write!(text, " x{}", file.count);
    }
    text + &failed(file.result)
}

/// Opens for reading that were told before.
pub(super) fn reads(reads: &Reads) -> String {
    let times = if reads.count == 1 { "once".to_owned() } else { format!("{} times", reads.count) };
    let span = table::duration(reads.last.since(reads.first));
    format!("{} (read) {times} more within {span}", reads.path.escaped())
}

fn failed(result: i32) -> String {
    if result < 0 { format!(" failed: {}", errno(result)) } else { String::new() }
}

/// A change of what a file is.
pub(super) fn setattr(set: &Setattr) -> String {
    let mut text = set.path.escaped();
    if let Some(mode) = set.mode {
        let _ = write!(text, " mode {:04o}", mode & 0o7777);
    }
    if let Some(uid) = set.uid {
        let _ = write!(text, " owner {uid}");
    }
    if let Some(gid) = set.gid {
        let _ = write!(text, " group {gid}");
    }
    if let Some(size) = set.size {
        let _ = write!(text, " cut to {size} bytes");
    }
    for (name, time) in [("atime", set.atime), ("mtime", set.mtime)] {
        if let Some(time) = time {
            let _ = write!(text, ", {name} {}", time.text());
        }
    }
    text + &failed(set.result)
}

/// An extended attribute.
pub(super) fn xattr(set: &Xattr) -> String {
    let (path, name) = (set.path.escaped(), set.name.escaped());
    let text = match &set.value {
        Some(value) => format!("{path} {name} = {}", value.escaped().chars().take(120).collect::<String>()),
        None => format!("{path} {name} removed"),
    };
    text + &failed(set.result)
}

/// Space of a file.
pub(super) fn allocate(done: &Allocate) -> String {
    const PUNCH: u32 = 2;
    let what = match done.flags {
        flags if flags & PUNCH != 0 => "punched out",
        0 | 1 => "allocated",
        _ => "moved or zeroed",
    };
    let text = format!("{} {what}: {} bytes from {}", done.path.escaped(), done.len, done.offset);
    text + &failed(done.result)
}

/// `No such file or directory`, in the words of the C library.
fn errno(result: i32) -> String {
    let text = std::io::Error::from_raw_os_error(result.saturating_neg()).to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// A change of the system.
pub(super) fn call(call: &Call) -> String {
    let mut text = call.name.escaped();
    for (name, value) in &call.args {
        let _ = write!(text, " {}={}", name.escaped(), value.escaped());
    }
    text + &failed(i32::try_from(call.result).unwrap_or(0))
}

/// An act on a socket.
pub(super) fn socket(socket: &Socket) -> String {
    let shown = |end: &crate::model::Bytes| if end.is_empty() { "-".to_owned() } else { end.escaped() };
    let text = format!("{} -> {}", shown(&socket.local), shown(&socket.remote));
    text + &failed(socket.result)
}

/// What was sent without a connection.
pub(super) fn sent(sent: &Sent) -> String {
    let datagrams =
        if sent.count == 1 { "one datagram".to_owned() } else { format!("{} datagrams", sent.count) };
    format!("{}: {datagrams}, {}", socket(&sent.socket), table::bytes(sent.bytes))
}
