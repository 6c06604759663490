//! Changes of what a file is, not of what is in it.

use serde::{Deserialize, Serialize};

use super::{Bytes, Cut, RealNanos};

/// What an act on attributes was asked for; it may have set others besides (a new owner takes set-user-id away).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetattrOp {
    /// Mode.
    Chmod,
    /// Owner or group.
    Chown,
    /// Length.
    Truncate,
    /// Times.
    Utimes,
}

/// A time that was given to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTime {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanos: u32,
    /// 1: the time of the act, and the other fields are 0.
    pub now: u8,
}

impl FileTime {
    /// RFC 3339 where that can say it, else seconds since 1970; `now` for the time of the act.
    pub fn text(self) -> String {
        if self.now != 0 {
            return "now".to_owned();
        }
        let nanos = u64::try_from(self.seconds).ok().and_then(|s| s.checked_mul(1_000_000_000));
        match nanos.and_then(|nanos| nanos.checked_add(u64::from(self.nanos))) {
            Some(nanos) => RealNanos::new(nanos).rfc3339(),
            None => self.seconds.to_string(),
        }
    }
}

impl Setattr {
    /// What it was asked for, by what it set.
    pub const fn op(&self) -> SetattrOp {
        if self.size.is_some() {
            SetattrOp::Truncate
        } else if self.uid.is_some() || self.gid.is_some() {
            SetattrOp::Chown
        } else if self.mode.is_some() {
            SetattrOp::Chmod
        } else {
            SetattrOp::Utimes
        }
    }
}

/// Mode, owner, length or times of a file were changed, by one act; `None` is what it left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setattr {
    /// The file.
    pub path: Bytes,
    /// Device, major and minor; (0, 0) if unknown.
    pub dev: (u32, u32),
    /// Inode number; 0 if unknown.
    pub ino: u64,
    /// Inode mode after the act; 0 if unknown.
    pub inode_mode: u32,
    /// 0 or the negated errno.
    pub result: i32,
    /// New mode.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New length in bytes.
    pub size: Option<u64>,
    /// New time of the last access.
    pub atime: Option<FileTime>,
    /// New time of the last change.
    pub mtime: Option<FileTime>,
}

/// An extended attribute, a capability of a file or an access list was set or taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// The file.
    pub path: Bytes,
    /// Device, major and minor; (0, 0) if unknown.
    pub dev: (u32, u32),
    /// Inode number; 0 if unknown.
    pub ino: u64,
    /// 0 or the negated errno.
    pub result: i32,
    /// The attribute's name, such as `security.capability` or `system.posix_acl_access`.
    pub name: Bytes,
    /// Its new value, the first 1023 bytes of it; `None` where it was taken away.
    pub value: Option<Bytes>,
    /// What was cut.
    pub cut: Option<Cut>,
}

/// Space of a file was allocated, punched or moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocate {
    /// The file.
    pub path: Bytes,
    /// Device, major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// 0 or the negated errno.
    pub result: i32,
    /// `FALLOC_FL_*`; 0 allocates.
    pub flags: u32,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}
