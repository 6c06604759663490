//! Acts on files, from bytes into words.

use recorder_common::{AllocateEvent, Attribute, FileEvent, Flag, Kind, SetattrEvent, XattrEvent};

use super::decode::{DecodeError, Reader, below, dev, joined};
use crate::model::{
    Act, Allocate, Bytes, Cut, CutField, File, FileOp, FileTime, Flags, Setattr, Setting, Xattr,
};

/// `UTIME_NOW` of include/uapi/linux/stat.h.
const NOW: u32 = (1 << 30) - 1;

/// An act on a name.
pub(super) fn file(kind: u16, flags: u16, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: FileEvent = r.get()?;
    let dir = r.take(e.path_len)?;
    let to_dir = r.take(e.to_len)?;
    let name = r.take(e.name_len)?;
    let to_name = r.take(e.to_name_len)?;
    let passed = flags & Flag::AS_PASSED != 0;
    let op = match kind {
        Kind::CREATE => FileOp::Create,
        Kind::RENAME => FileOp::Rename,
        Kind::UNLINK => FileOp::Unlink,
        Kind::LINK => FileOp::Link,
        Kind::SYMLINK => FileOp::Symlink,
        Kind::MKDIR => FileOp::Mkdir,
        Kind::MKNOD => FileOp::Mknod,
        Kind::WRITE => FileOp::Write,
        _ => FileOp::Open,
    };
    let path = if passed || e.name_len > 0 { below(dir, name) } else { joined(dir) };
    let to = match op {
        FileOp::Rename | FileOp::Link if passed => Some(below(to_dir, to_name)),
        FileOp::Rename | FileOp::Link => Some(joined(to_dir)),
        // What a link says is what somebody wrote into it, not where it leads.
        FileOp::Symlink => Some(Bytes::from(to_name)),
        _ => None,
    };
    let (dev, ino) = (dev(e.dev), e.ino);
    let file =
        File { path, to, flags: e.flags, mode: e.mode, result: e.result, dev, ino, count: 1, cut: None };
    Ok(Act::File(op, file))
}

/// The path of something that was named by a path or by a descriptor.
fn path(flags: u16, (dir, name): (&[u8], &[u8])) -> Bytes {
    if flags & Flag::AS_PASSED != 0 && !name.is_empty() { below(dir, name) } else { joined(dir) }
}

/// Mode, owner, length, times.
pub(super) fn setattr(flags: u16, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: SetattrEvent = r.get()?;
    let path = path(flags, (r.take(e.path_len)?, r.take(e.name_len)?));
    let is_set = |bit| e.set & bit != 0;
    let time = |seconds, nanos| match nanos {
        NOW => FileTime { now: 1, ..FileTime::default() },
        nanos => FileTime { seconds, nanos, now: 0 },
    };
    Ok(Act::Setattr(Box::new(Setattr {
        path,
        dev: dev(e.dev),
        ino: e.ino,
        inode_mode: e.inode_mode,
        result: e.result,
        mode: is_set(Attribute::MODE).then_some(e.mode),
        uid: is_set(Attribute::UID).then_some(e.uid),
        gid: is_set(Attribute::GID).then_some(e.gid),
        size: is_set(Attribute::SIZE).then_some(e.size),
        atime: is_set(Attribute::ATIME).then(|| time(e.atime, e.atime_ns)),
        mtime: is_set(Attribute::MTIME).then(|| time(e.mtime, e.mtime_ns)),
    })))
}

/// An access list in one form, whether it was passed or is the kernel's: entries that are of no user and no group have no id, and
/// either may have left anything there (include/uapi/linux/posix_acl_xattr.h).
fn listed(name: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    const USER: u8 = 2;
    const GROUP: u8 = 8;
    if name.starts_with(b"system.posix_acl_") {
        for entry in value.get_mut(4..).into_iter().flat_map(|entries| entries.chunks_exact_mut(8)) {
            if let [USER | GROUP, 0, ..] = entry {
                continue;
            }
            entry.iter_mut().skip(4).for_each(|byte| *byte = 0xff);
        }
    }
    value
}

/// An extended attribute. With the flag that says what else is special.
pub(super) fn xattr(flags: u16, r: &mut Reader<'_>) -> Result<(Act, Flags), DecodeError> {
    let e: XattrEvent = r.get()?;
    let path = path(flags, (r.take(e.path_len)?, r.take(e.name_len)?));
    let name = Bytes::from(r.take(e.attribute_len)?);
    let value = r.take(e.value_len)?;
    let is_cut = u64::from(e.value_len) < e.size;
    let cut = is_cut.then_some(Cut { field: CutField::Value, bytes: e.size, sha256: None, relay: None });
    let more = if is_cut { Flags::TRUNCATED } else { Flags::default() };
    let value = (e.removed == 0).then(|| Bytes::from(listed(name.as_slice(), value.to_vec())));
    let xattr = Xattr { path, dev: dev(e.dev), ino: e.ino, result: e.result, name, value, cut };
    Ok((Act::Xattr(Box::new(xattr)), more))
}

/// What was written to one of the kernel's settings, wherever /proc is mounted; `None`: to another file there.
pub(super) fn setting(r: &mut Reader<'_>) -> Result<Option<(Act, Flags)>, DecodeError> {
    let e: FileEvent = r.get()?;
    let path = joined(r.take(e.path_len)?);
    let value = Bytes::from(r.take(e.name_len)?);
    let names: Vec<&[u8]> = path.as_slice().split(|byte| *byte == b'/').collect();
    let is_one = names.contains(&&b"sys"[..]) || names.last() == Some(&&b"sysrq-trigger"[..]);
    if !is_one {
        return Ok(None);
    }
    let bytes = u64::try_from(e.result).unwrap_or(0);
    let more = if u64::from(e.name_len) < bytes { Flags::TRUNCATED } else { Flags::default() };
    let setting = Setting { path, dev: dev(e.dev), ino: e.ino, value, bytes };
    Ok(Some((Act::Setting(Box::new(setting)), more)))
}

/// Space of a file.
pub(super) fn allocate(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: AllocateEvent = r.get()?;
    let path = joined(r.take(e.path_len)?);
    let AllocateEvent { ino, offset, len, flags, result, .. } = e;
    Ok(Act::Allocate(Box::new(Allocate { path, dev: dev(e.dev), ino, result, flags, offset, len })))
}

#[cfg(test)]
mod tests {
    use recorder_common::EventHeader;
    use zerocopy::IntoBytes;

    use super::{super::decode::Decoder, *};

    fn decoded(kind: u16, flags: u16, payload: &[u8], tail: &[u8]) -> (Act, Flags) {
        let head = EventHeader { kind, flags, ..EventHeader::default() };
        let raw = [head.as_bytes(), payload, tail].concat();
        for len in size_of::<EventHeader>()..raw.len() {
            assert_eq!(Decoder::new(32).decode(raw.get(..len).unwrap()), Err(DecodeError::Cut), "{len}");
        }
        let event = Decoder::new(32).decode(&raw).unwrap().unwrap();
        (event.act, event.flags)
    }

    fn named(kind: u16, flags: u16, e: FileEvent, tail: &[u8]) -> (FileOp, String, Option<String>) {
        match decoded(kind, flags, e.as_bytes(), tail).0 {
            Act::File(op, file) => (op, file.path.escaped(), file.to.map(|to| to.escaped())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_made_from_what_is_known_of_them() {
        let both = FileEvent { path_len: 4, to_len: 4, ..FileEvent::default() };
        let walked = named(Kind::LINK, 0, both, b"b\0a\0d\0c\0");
        assert_eq!(walked, (FileOp::Link, "/a/b".into(), Some("/c/d".into())));
        let both = FileEvent { path_len: 2, to_len: 2, name_len: 1, to_name_len: 2, ..FileEvent::default() };
        let passed = named(Kind::LINK, Flag::AS_PASSED, both, b"a\0c\0b/d");
        assert_eq!(passed, (FileOp::Link, "/a/b".into(), Some("/d".into())));
        // What a link says stays as it is, wherever that leads.
        let e = FileEvent { path_len: 4, to_name_len: 4, ..FileEvent::default() };
        let link = named(Kind::SYMLINK, 0, e, b"b\0a\0../x");
        assert_eq!(link, (FileOp::Symlink, "/a/b".into(), Some("../x".into())));
        let e = FileEvent { path_len: 2, name_len: 1, ..FileEvent::default() };
        assert_eq!(named(Kind::MKDIR, Flag::AS_PASSED, e, b"a\0b"), (FileOp::Mkdir, "/a/b".into(), None));
        assert_eq!(named(Kind::MKNOD, Flag::AS_PASSED, e, b"a\0b"), (FileOp::Mknod, "/a/b".into(), None));
    }

    #[test]
    fn only_what_was_set_is_told() {
        let e = SetattrEvent {
            set: Attribute::MODE | Attribute::MTIME | Attribute::ATIME,
            mode: 0o4755,
            uid: 7,
            mtime: 1_000_000_000,
            mtime_ns: 5,
            atime_ns: NOW,
            path_len: 2,
            ..SetattrEvent::default()
        };
        let (act, _) = decoded(Kind::SETATTR, 0, e.as_bytes(), b"a\0");
        let Act::Setattr(set) = act else { panic!("{act:?}") };
        assert_eq!(
            (set.path.escaped().as_str(), set.mode, set.uid, set.size),
            ("/a", Some(0o4755), None, None)
        );
        assert_eq!(set.mtime.map(FileTime::text).as_deref(), Some("2001-09-09T01:46:40.000000005Z"));
        assert_eq!(set.atime.map(FileTime::text).as_deref(), Some("now"));
    }

    #[test]
    fn of_proc_only_settings_count() {
        let of = |path: &[u8], value: &[u8], bytes| {
            let [path_len, name_len] = [path, value].map(|part| u32::try_from(part.len()).unwrap());
            let e = FileEvent { path_len, name_len, result: bytes, ..FileEvent::default() };
            let head = EventHeader { kind: Kind::SETTING, ..EventHeader::default() };
            let raw = [head.as_bytes(), e.as_bytes(), path, value].concat();
            Decoder::new(4).decode(&raw).unwrap()
        };
        let event = of(b"ip_forward\0net\0sys\0proc\0", b"1\n", 2).unwrap();
        let Act::Setting(set) = &event.act else { panic!("{event:?}") };
        assert_eq!(
            (set.path.escaped().as_str(), set.value.clone(), set.bytes),
            ("/proc/sys/net/ip_forward", Bytes::from("1\n"), 2)
        );
        assert!(!event.flags.has(Flags::TRUNCATED));
        assert!(of(b"x\0sys\0proc\0other\0", b"12", 300).unwrap().flags.has(Flags::TRUNCATED));
        assert!(of(b"sysrq-trigger\0proc\0", b"b", 1).is_some());
        assert_eq!(of(b"comm\0self\0proc\0", b"x", 1), None);
    }

    #[test]
    fn access_lists_have_one_form() {
        // The owner and, by number, a user and a group: the kernel leaves 0 where no number belongs, programs -1.
        let [kernel, passed] = [[0; 4], [0xff; 4]].map(|none| {
            let entry = |tag: u8, id: [u8; 4]| [[tag, 0, 6, 0], id].concat();
            [vec![2, 0, 0, 0], entry(1, none), entry(2, [7, 0, 0, 0]), entry(8, [9, 0, 0, 0])].concat()
        });
        assert_eq!(listed(b"system.posix_acl_default", kernel.clone()), passed);
        assert_eq!(listed(b"system.posix_acl_default", passed.clone()), passed);
        assert_eq!(listed(b"user.x", kernel.clone()), kernel);
        assert_eq!(listed(b"system.posix_acl_access", vec![2, 0, 0]), [2, 0, 0]);
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let e = XattrEvent { size: 9, path_len: 2, attribute_len: 6, value_len: 3, ..XattrEvent::default() };
        let (act, flags) = decoded(Kind::SETXATTR, 0, e.as_bytes(), b"a\0user.xabc");
        let Act::Xattr(set) = act else { panic!("{act:?}") };
        assert_eq!((set.name.escaped().as_str(), set.value), ("user.x", Some(Bytes::from("abc"))));
        assert_eq!(set.cut.map(|cut| (cut.field, cut.bytes)), Some((CutField::Value, 9)));
        assert!(flags.has(Flags::TRUNCATED));
        let e = XattrEvent { removed: 1, path_len: 2, attribute_len: 6, ..XattrEvent::default() };
        let (act, _) = decoded(Kind::SETXATTR, 0, e.as_bytes(), b"a\0user.x");
        let Act::Xattr(set) = act else { panic!("{act:?}") };
        assert_eq!((set.value, set.cut), (None, None));
    }
}
