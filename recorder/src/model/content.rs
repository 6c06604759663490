//! What lay in the programs that a session ran and in the files that it changed.

use serde::{Deserialize, Serialize};

use super::codes::codes_or_none;
use super::{Bytes, Digest, RealNanos};

codes_or_none! {
    /// Why there is no digest, or no diff.
    #[derive(PartialOrd, Ord)]
    Why {
        /// Nothing lies there any more.
        Gone = 1, "gone";
        /// Another file lies there than the one that the session had.
        Replaced = 2, "replaced";
        /// It changed each time that it was read, or since it was executed.
        Changing = 3, "changed";
        /// Longer than is read.
        TooLarge = 4, "too_large";
        /// It could not be opened or read.
        Unreadable = 5, "unreadable";
        /// Too many waited to be read.
        QueueFull = 6, "queue_full";
        /// The session, or the recorder, ended before it was read.
        Late = 7, "late";
        /// Beyond the number of files of one session.
        Beyond = 8, "beyond";
        /// No regular file.
        Special = 9, "special";
        /// Content of secrets is not kept, by rule.
        Secret = 10, "secret";
        /// No text.
        Binary = 11, "binary";
        /// What lay there before is not known.
        NoBaseline = 12, "no_baseline";
    }
}

codes_or_none! {
    /// What a change means for the host.
    #[derive(PartialOrd, Ord)]
    Class {
        /// A program gives rights that it did not give before.
        Setuid = 1, "setuid";
        /// Who may log in by key.
        AuthorizedKeys = 2, "authorized_keys";
        /// A unit of systemd, or a drop-in.
        Unit = 3, "unit";
        /// Jobs of cron or at.
        Cron = 4, "cron";
        /// Who may use sudo.
        Sudoers = 5, "sudoers";
        /// How people are authenticated.
        Pam = 6, "pam";
        /// Users, passwords, groups.
        Passwd = 7, "passwd";
        /// What is loaded into every program.
        Preload = 8, "preload";
        /// What shells run when they start.
        Profile = 9, "profile";
        /// How people log in over the network.
        Sshd = 10, "sshd";
        /// Modules of the kernel.
        Modules = 11, "modules";
        /// What runs when devices come.
        Udev = 12, "udev";
        /// The recorder itself.
        Recorder = 13, "recorder";
    }
}

/// A regular file as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content last changed, by the wall clock; whoever owns the file can choose it.
    pub mtime: RealNanos,
    /// Content or attributes last changed, by the wall clock.
    pub ctime: RealNanos,
    /// 1 if the file gives capabilities.
    pub caps: u8,
    /// SHA-256 of all its bytes; `None` if it was not read.
    pub sha256: Option<Digest>,
}

impl Found {
    /// True if content, permissions and owner are the same, whenever they came to be so.
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |f: &Self| (f.size, f.mode, f.uid, f.gid, f.caps, f.sha256);
        of(self) == of(other)
            && (self.sha256.is_some() || (self.mtime, self.ctime) == (other.mtime, other.ctime))
    }
}

/// The program that a session executed. The record's task is the first that did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// Its path as executed; empty where `count` programs are told together.
    pub path: Bytes,
    /// Device as the kernel told, major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// What was found.
    pub found: Option<Found>,
    /// Why there is no digest.
    pub why: Why,
    /// 1 if the file system shows another device number to programs than the kernel told (btrfs, overlay): the inode number and the path
    /// agree.
    pub device: u8,
    /// Programs that the record stands for.
    pub count: u64,
}

/// What a session did to a file, as [`Changed::acts`].
pub mod acts {
    /// Opened for writing.
    pub const WRITTEN: u16 = 1;
    /// Created.
    pub const CREATED: u16 = 2;
    /// Another name was moved here.
    pub const RENAMED: u16 = 4;
    /// It was moved away from here.
    pub const MOVED: u16 = 8;
    /// Removed.
    pub const REMOVED: u16 = 16;
    /// Attributes: mode, owner, links, length.
    pub const OTHER: u16 = 32;

    const NAMES: [(u16, &str); 6] = [
        (WRITTEN, "written"),
        (CREATED, "created"),
        (RENAMED, "renamed"),
        (MOVED, "moved"),
        (REMOVED, "removed"),
        (OTHER, "other"),
    ];

    /// Names of the bits that are set.
    pub fn names(acts: u16) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(bit, _)| acts & bit != 0).map(|(_, name)| name)
    }
}

/// A unified diff of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Its first bytes: hunks without file names.
    pub text: Bytes,
    /// Its full length in bytes.
    pub bytes: u64,
}

/// What lies at a path after a session did something to it. The record's task is the last that did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The path; empty where `count` files are told together.
    pub path: Bytes,
    /// The path that was moved here, or to which it was moved.
    pub other: Option<Bytes>,
    /// What the session did since the record before: bits of [`acts`].
    pub acts: u16,
    /// What it means.
    pub class: Class,
    /// Device of what was found, as programs see it, major and minor.
    pub dev: (u32, u32),
    /// Inode number of what was found; 0 if nothing was.
    pub ino: u64,
    /// A symbolic link's target.
    pub link: Option<Bytes>,
    /// What lies there now; of a link the digest is its target's text; `None`: nothing, or no regular file.
    pub after: Option<Found>,
    /// Why there is no digest of it.
    pub why: Why,
    /// What lay there before, where that is known.
    pub before: Option<Found>,
    /// What changed in a text.
    pub diff: Option<Diff>,
    /// Why there is no diff.
    pub no_diff: Why,
    /// 1 if what was found is older than what the session did: it seems untouched.
    pub untouched: u8,
    /// Files that the record stands for.
    pub count: u64,
}
