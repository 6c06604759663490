//! What the kernel saw, in the form in which it is stored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{Bytes, Digest, TaskId, stream_name};

/// User and group ids of a task, as the initial user namespace sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Saved user id.
    pub suid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
}

/// Capability sets, one bit a capability (`capability.h` numbers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caps {
    /// Effective set.
    pub effective: u64,
    /// Permitted set.
    pub permitted: u64,
}

/// Who did it. Shared by all records of a task until something in it changes; the journal stores it once a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// The process.
    pub id: TaskId,
    /// The thread.
    pub tid: u32,
    /// The parent process (0 if unknown).
    pub ppid: u32,
    /// The kernel's 16-byte name, without the zeros: chosen by the program, no evidence.
    pub comm: Bytes,
    /// Audit's login uid (`u32::MAX` if none was set): a witness, root can rewrite it.
    pub auid: u32,
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
}

/// A field that is stored shorter than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Which field.
    pub field: CutField,
    /// Its full length in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole; `None` where the whole was never seen.
    pub sha256: Option<Digest>,
    /// Where the whole stands as well, byte for byte; only together with `sha256`.
    pub relay: Option<Relay>,
}

/// The terminal on which something else relayed the bytes of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relay {
    /// Its number in the same session.
    pub no: u32,
    /// Bytes that it had shown (of input: that were typed there and kept) before the first of these.
    pub from: u64,
}

codes! {
    /// Field names of [`Cut`].
    CutField {
        /// Arguments.
        Argv = 1, "argv";
        /// A path.
        Path = 2, "path";
        /// Terminal bytes.
        Tty = 3, "tty";
        /// Working directory.
        Cwd = 4, "cwd";
        /// An attribute's value.
        Value = 5, "value";
    }
}

/// A program was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The executed file as the kernel resolved it.
    pub path: Bytes,
    /// Arguments as the new image got them.
    pub argv: Vec<Bytes>,
    /// Working directory.
    pub cwd: Bytes,
    /// Device of the file, major and minor.
    pub dev: (u32, u32),
    /// Inode number of the file.
    pub ino: u64,
    /// What was cut.
    pub cut: Option<Cut>,
    /// How much there was, of what was seen to run. No part of the record: [`Arguments`](super::Arguments) say it.
    pub extent: ArgvExtent,
}

/// How many arguments there were, and how much of them is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgvExtent {
    /// Arguments as the kernel counted them.
    pub argc: u32,
    /// All bytes, with the zeros that end them.
    pub bytes: u64,
    /// So many of them are kept, before secrets were taken out.
    pub kept: u64,
}

/// A process was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The child.
    pub child: TaskId,
}

/// The last thread of a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status (0 if killed).
    pub code: u8,
    /// The signal that killed it, or 0.
    pub signal: u8,
    /// 1 if a core was dumped.
    pub core: u8,
}

/// Credentials changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cred {
    /// Ids before.
    pub old: Ids,
    /// Ids after.
    pub new: Ids,
    /// Capabilities before.
    pub old_caps: Caps,
    /// Capabilities after.
    pub new_caps: Caps,
}

/// Operations of [`File`]; the record's kind says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileOp {
    /// An existing file was opened, or an open failed.
    Open,
    /// A file was created by open.
    Create,
    /// A name was moved.
    Rename,
    /// A name was removed.
    Unlink,
    /// A file got another name.
    Link,
    /// A symbolic link was made.
    Symlink,
    /// A directory was made.
    Mkdir,
    /// A device, a pipe, a socket or a file was made other than by open.
    Mknod,
    /// A file was written to that the session is not known to have opened for writing: told once.
    Write,
}

/// An act on a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The path: resolved by the kernel unless the record's flags say `as_passed`.
    pub path: Bytes,
    /// The new path of a rename or link; what a symbolic link says, as it was written.
    pub to: Option<Bytes>,
    /// Open flags (`O_*`), rename flags (`RENAME_*`), or of a node the device that it stands for (major << 20 | minor).
    pub flags: u32,
    /// Inode mode after the act; 0 if unknown.
    pub mode: u32,
    /// 0 or the negated errno.
    pub result: i32,
    /// Device, major and minor; (0, 0) if unknown.
    pub dev: (u32, u32),
    /// Inode number; 0 if unknown.
    pub ino: u64,
    /// How many equal acts this record stands for.
    pub count: u32,
    /// What was cut.
    pub cut: Option<Cut>,
}

/// What a terminal record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TtyOp {
    /// Bytes that the screen showed, after the line discipline.
    Output,
    /// Bytes that were typed; empty with a count where the input must not be kept.
    Input,
    /// The window's size, at first sight and at each change.
    Resize,
}

/// A terminal act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    /// Name, such as `pts/3`. Reused by the system: `no` tells terminals of one session apart.
    pub name: Bytes,
    /// The terminal's number in its session, from 1, in order of appearance; 1 is the main one.
    pub no: u32,
    /// The bytes; where `cut` says that they are not all, the last ones.
    pub data: Bytes,
    /// Typed bytes that were not kept (no echo, or not in line mode).
    pub hidden: u32,
    /// Columns at that moment.
    pub cols: u16,
    /// Rows at that moment.
    pub rows: u16,
    /// What was cut.
    pub cut: Option<Cut>,
}

impl Tty {
    /// Bytes that were shown or typed, with those that are not kept.
    pub fn shown(&self) -> u64 {
        let kept = u64::try_from(self.data.len()).unwrap_or(u64::MAX);
        self.cut.as_ref().map_or(kept, |cut| cut.bytes.max(kept))
    }

    /// The bytes as a terminal would have to get them: a pipe has no line discipline that returns to the left edge.
    pub fn as_shown(&self) -> Cow<'_, [u8]> {
        let data = self.data.as_slice();
        if ![1, 2].map(stream_name).iter().any(|stream| stream.as_bytes() == self.name.as_slice()) {
            return Cow::Borrowed(data);
        }
        let mut out = Vec::with_capacity(data.len());
        for byte in data {
            if *byte == b'\n' {
                out.push(b'\r');
            }
            out.push(*byte);
        }
        Cow::Owned(out)
    }

    /// The terminal that shows what is not kept here, if it was a relay's copy.
    pub fn relay(&self) -> Option<Relay> {
        self.cut.as_ref().and_then(|cut| cut.relay)
    }

    /// Bytes that are not kept: those before `data`, of which only the end is there.
    pub fn folded(&self) -> u64 {
        self.shown().saturating_sub(u64::try_from(self.data.len()).unwrap_or(u64::MAX))
    }
}
