//! Acts on files as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;

use super::bodies::{Fields, Obj, device};
use super::json::{put_bytes, put_opt};
use crate::model::{Allocate, Bytes, File, FileOp, FileTime, Reads, Setattr, Xattr};

impl Fields for (FileOp, &File) {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (op, file) = self;
        put_bytes(map, "path", "path_b64", &file.path)?;
        put_opt(map, "to", "to_b64", file.to.as_ref())?;
        map.serialize_entry("flags", &file_flags(*op, file.flags))?;
        // The device that a node stands for, not the one that it lies on.
        if *op == FileOp::Mknod {
            map.serialize_entry("device", &device((file.flags >> 20, file.flags & 0xf_ffff)))?;
        }
        map.serialize_entry("mode", &file.mode)?;
        map.serialize_entry("result", &file.result)?;
        map.serialize_entry("dev", &device(file.dev))?;
        map.serialize_entry("ino", &file.ino)?;
        map.serialize_entry("count", &file.count)
    }
}

/// Open flags by the numbers of the generic kernel ABI (`include/uapi/asm-generic/fcntl.h`), which x86 follows.
/// `O_SYNC` contains `O_DSYNC` and `O_TMPFILE` contains `O_DIRECTORY`: the larger comes first and takes both bits.
const OPEN_FLAGS: &[(u32, &str)] = &[
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o4_010_000, "O_SYNC"),
    (0o10000, "O_DSYNC"),
    (0o20000, "FASYNC"),
    (0o40000, "O_DIRECT"),
    (0o100_000, "O_LARGEFILE"),
    (0o20_200_000, "O_TMPFILE"),
    (0o200_000, "O_DIRECTORY"),
    (0o400_000, "O_NOFOLLOW"),
    (0o1_000_000, "O_NOATIME"),
    (0o2_000_000, "O_CLOEXEC"),
    (0o10_000_000, "O_PATH"),
];

const RENAME_FLAGS: &[(u32, &str)] =
    &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")];

fn file_flags(op: FileOp, bits: u32) -> Vec<String> {
    let mut names = Vec::new();
    let (mut rest, table): (u32, &[(u32, &str)]) = match op {
        FileOp::Open | FileOp::Create | FileOp::Write => {
            let access = match bits & 3 {
                0 => "O_RDONLY",
                1 => "O_WRONLY",
                2 => "O_RDWR",
                _ => "O_ACCMODE",
            };
            names.push(access.to_owned());
            (bits & !3, OPEN_FLAGS)
        }
        FileOp::Rename => (bits, RENAME_FLAGS),
        FileOp::Unlink => (bits, &[(0x200, "AT_REMOVEDIR")]),
        FileOp::Link | FileOp::Symlink | FileOp::Mkdir | FileOp::Mknod => (0, &[]),
    };
    names.extend(named(&mut rest, table));
    names
}

/// The names of the bits that are set, and what is left as a number.
fn named(rest: &mut u32, table: &[(u32, &str)]) -> Vec<String> {
    let mut names = Vec::new();
    for (bit, name) in table {
        if *rest & bit == *bit {
            names.push((*name).to_owned());
            *rest &= !bit;
        }
    }
    if *rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names
}

/// The fields that acts on files have in common.
struct Common<'a> {
    path: &'a Bytes,
    flags: Vec<String>,
    mode: u32,
    result: i32,
    dev: (u32, u32),
    ino: u64,
    count: u64,
}

impl Common<'_> {
    fn put<M: SerializeMap>(self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", self.path)?;
        map.serialize_entry("to", &None::<()>)?;
        map.serialize_entry("flags", &self.flags)?;
        map.serialize_entry("mode", &self.mode)?;
        map.serialize_entry("result", &self.result)?;
        map.serialize_entry("dev", &device(self.dev))?;
        map.serialize_entry("ino", &self.ino)?;
        map.serialize_entry("count", &self.count)
    }
}

impl Fields for Setattr {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { path, inode_mode: mode, result, dev, ino, .. } = self;
        let (mode, result, dev, ino) = (*mode, *result, *dev, *ino);
        Common { path, flags: Vec::new(), mode, result, dev, ino, count: 1 }.put(map)?;
        map.serialize_entry("set", &Obj(&Set(self)))
    }
}

struct Set<'a>(&'a Setattr);

impl Fields for Set<'_> {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let set = self.0;
        map.serialize_entry("mode", &set.mode)?;
        map.serialize_entry("uid", &set.uid)?;
        map.serialize_entry("gid", &set.gid)?;
        map.serialize_entry("size", &set.size)?;
        map.serialize_entry("atime", &set.atime.map(FileTime::text))?;
        map.serialize_entry("mtime", &set.mtime.map(FileTime::text))
    }
}

impl Fields for Xattr {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { path, result, dev, ino, .. } = self;
        let (result, dev, ino) = (*result, *dev, *ino);
        Common { path, flags: Vec::new(), mode: 0, result, dev, ino, count: 1 }.put(map)?;
        put_bytes(map, "name", "name_b64", &self.name)?;
        map.serialize_entry("value", &self.value.as_ref().map(|value| STANDARD.encode(value.as_slice())))
    }
}

impl Fields for Reads {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { path, flags, mode, dev, ino, count, .. } = self;
        let common = Common {
            path,
            flags: file_flags(FileOp::Open, *flags),
            mode: *mode,
            result: 0,
            dev: *dev,
            ino: *ino,
            count: *count,
        };
        common.put(map)?;
        map.serialize_entry("first_ns", &self.first.get())?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}

const FALLOC_FLAGS: &[(u32, &str)] = &[
    (1, "FALLOC_FL_KEEP_SIZE"),
    (2, "FALLOC_FL_PUNCH_HOLE"),
    (4, "FALLOC_FL_NO_HIDE_STALE"),
    (8, "FALLOC_FL_COLLAPSE_RANGE"),
    (16, "FALLOC_FL_ZERO_RANGE"),
    (32, "FALLOC_FL_INSERT_RANGE"),
    (64, "FALLOC_FL_UNSHARE_RANGE"),
];

impl Fields for Allocate {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { path, result, flags, dev, ino, .. } = self;
        let (mut flags, result, dev, ino) = (*flags, *result, *dev, *ino);
        let flags = named(&mut flags, FALLOC_FLAGS);
        Common { path, flags, mode: 0, result, dev, ino, count: 1 }.put(map)?;
        map.serialize_entry("offset", &self.offset)?;
        map.serialize_entry("len", &self.len)
    }
}
