//! Names that are made other than by open, and changes of what a file is: mode, owner, length, times, attributes, space.

use recorder_common::{
    AllocateEvent, Attribute, Class, FileEvent, Flag, Hook, Kind, Ring, SetattrEvent, XATTR_MOST, XattrEvent,
};

use crate::{
    emit::Event,
    file::{AT_FDCWD, Base, base, of_inode, recorded, two_names},
    flight,
    kernel::{self, Args, InodeId, Place, TaskPtr, off},
};

/// System call numbers of x86-64.
mod nr {
    pub const TRUNCATE: u64 = 76;
    pub const FTRUNCATE: u64 = 77;
    pub const MKDIR: u64 = 83;
    pub const LINK: u64 = 86;
    pub const SYMLINK: u64 = 88;
    pub const CHMOD: u64 = 90;
    pub const FCHMOD: u64 = 91;
    pub const CHOWN: u64 = 92;
    pub const FCHOWN: u64 = 93;
    pub const LCHOWN: u64 = 94;
    pub const UTIME: u64 = 132;
    pub const MKNOD: u64 = 133;
    pub const FSETXATTR: u64 = 190;
    pub const REMOVEXATTR: u64 = 197;
    pub const LREMOVEXATTR: u64 = 198;
    pub const FREMOVEXATTR: u64 = 199;
    pub const UTIMES: u64 = 235;
    pub const MKDIRAT: u64 = 258;
    pub const MKNODAT: u64 = 259;
    pub const FCHOWNAT: u64 = 260;
    pub const FUTIMESAT: u64 = 261;
    pub const UTIMENSAT: u64 = 280;
    pub const SETXATTRAT: u64 = 463;
    pub const REMOVEXATTRAT: u64 = 466;
}

/// `vfs_xattr`: the attribute is taken away. No value is as long.
pub const REMOVED: u64 = u64::MAX;
/// `ATTR_OPEN`, include/linux/fs.h: a part of an open, whose flags say it.
const ATTR_OPEN: u64 = 1 << 15;
/// The bits of a mode that are rights.
const RIGHTS: u32 = 0o7777;
/// `FMODE_NOACCOUNT`, include/linux/fs.h: a file that a file system opened for itself (overlayfs on a layer).
const FMODE_NOACCOUNT: u32 = 1 << 29;
/// An owner or group that stays.
const KEEP: u32 = u32::MAX;
/// include/uapi/linux/stat.h: the time of the call, and the time that was there.
const UTIME_NOW: u32 = (1 << 30) - 1;
const UTIME_OMIT: u32 = (1 << 30) - 2;

#[inline(always)]
fn id_of(dentry: u64) -> InodeId {
    kernel::inode_id(kernel::read(dentry, off!(dentry_inode)))
}

/// fexit `vfs_link(old_dentry, _, dir, new_dentry, _)`: both lie in one mount.
#[inline(always)]
pub fn vfs_link(old: u64, new: u64, ret: i32) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::LINK) else { return };
    let Some(place) = flight::place(task, new) else { return };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(Place { dentry: old, mnt: place.mnt });
    let to_len = event.path(place);
    let id = id_of(old);
    let payload = FileEvent { path_len, to_len, ..of_inode(id, ret) };
    event.send(Kind::LINK, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_symlink(_, dir, dentry, oldname)`.
#[inline(always)]
pub fn vfs_symlink(dentry: u64, target: u64, ret: i32) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::LINK) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let to_name_len = event.kernel_str(target);
    let id = id_of(dentry);
    let payload = FileEvent { path_len, to_name_len, ..of_inode(id, ret) };
    event.send(Kind::SYMLINK, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_mkdir(_, dir, dentry, mode)` and `vfs_mknod(_, dir, dentry, mode, device)`. What is returned is an int, a dentry, or
/// an error in a pointer's place.
#[inline(always)]
pub fn vfs_made(dentry: u64, device: u64, ret: u64, node: bool) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::LINK) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let id = id_of(dentry);
    let is_int = ret >> 32 == 0 || ret > u64::MAX - 4096;
    let result = if is_int { ret as i32 } else { 0 };
    let payload = FileEvent { flags: device as u32, path_len, ..of_inode(id, result) };
    event.send(if node { Kind::MKNOD } else { Kind::MKDIR }, Ring::BULK, session, payload, 0);
}

/// fexit `notify_change(_, dentry, attr, _)`: mode, owner, times; lengths pass `do_truncate`.
#[inline(always)]
pub fn notify_change(dentry: u64, attr: u64, ret: i32) {
    let task = kernel::current();
    let valid: u32 = kernel::read(attr, off!(attr_valid));
    if valid & Attribute::SIZE != 0 || valid & Attribute::ALL == 0 {
        return;
    }
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<SetattrEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let id = id_of(dentry);
    let [atime, mtime] = [off!(attr_atime), off!(attr_mtime)];
    let payload = SetattrEvent {
        ino: id.ino,
        dev: id.dev,
        set: valid & Attribute::ALL,
        mode: u32::from(kernel::read::<u16>(attr, off!(attr_mode))) & RIGHTS,
        uid: kernel::read(attr, off!(attr_uid)),
        gid: kernel::read(attr, off!(attr_gid)),
        atime: kernel::read(attr, atime),
        mtime: kernel::read(attr, mtime),
        atime_ns: kernel::read(attr, atime + 8),
        mtime_ns: kernel::read(attr, mtime + 8),
        inode_mode: id.mode,
        result: ret,
        path_len,
        ..SetattrEvent::default()
    };
    event.send(Kind::SETATTR, Ring::BULK, session, payload, 0);
}

/// fexit `do_truncate(_, dentry, length, time_attrs, file)`; `file` is null where a path was passed.
#[inline(always)]
pub fn truncated(dentry: u64, len: u64, times: u64, file: u64, ret: i32) {
    if times & ATTR_OPEN != 0 {
        return;
    }
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let place = if file != 0 { Some(Place::of_file(file)) } else { flight::place(task, dentry) };
    let Some(place) = place else { return };
    let Some(mut event) = Event::new::<SetattrEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let id = id_of(dentry);
    let payload = SetattrEvent {
        ino: id.ino,
        dev: id.dev,
        set: Attribute::SIZE,
        size: len,
        inode_mode: id.mode,
        result: ret,
        path_len,
        ..SetattrEvent::default()
    };
    event.send(Kind::SETATTR, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_setxattr(_, dentry, name, value, size, _)`, and with `REMOVED` `vfs_removexattr(_, dentry, name)`.
#[inline(always)]
pub fn vfs_xattr(dentry: u64, name: u64, value: u64, size: u64, ret: i32) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<XattrEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let attribute_len = event.kernel_str(name);
    let removed = size == REMOVED;
    let value_len = if removed { 0 } else { event.kernel_bytes::<XATTR_MOST>(value, kept(size)) };
    let id = id_of(dentry);
    let payload = XattrEvent {
        ino: id.ino,
        size: if removed { 0 } else { size },
        dev: id.dev,
        removed: u32::from(removed),
        result: ret,
        path_len,
        name_len: 0,
        attribute_len,
        value_len,
        inode_mode: id.mode,
    };
    event.send(Kind::SETXATTR, Ring::BULK, session, payload, 0);
}

#[inline(always)]
fn kept(size: u64) -> usize {
    if size > XATTR_MOST as u64 { XATTR_MOST } else { size as usize }
}

/// fexit `vfs_set_acl(_, dentry, name, acl)`: the entries are those of the attribute's value, behind its version.
#[inline(always)]
pub fn vfs_set_acl(dentry: u64, name: u64, acl: u64, ret: i32) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<XattrEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let attribute_len = event.kernel_str(name);
    // POSIX_ACL_XATTR_VERSION, as four bytes.
    event.byte(2);
    event.byte(0);
    event.byte(0);
    event.byte(0);
    let count: u32 = kernel::read(acl, off!(acl_count));
    let entries = u64::from(count) * 8;
    let value_len = 4 + event.kernel_bytes::<XATTR_MOST>(acl + off!(acl_entries) as u64, kept(entries));
    let id = id_of(dentry);
    let payload = XattrEvent {
        ino: id.ino,
        size: 4 + entries,
        dev: id.dev,
        removed: 0,
        result: ret,
        path_len,
        name_len: 0,
        attribute_len,
        value_len,
        inode_mode: id.mode,
    };
    event.send(Kind::SETXATTR, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_fallocate(file, mode, offset, len)`.
#[inline(always)]
pub fn allocated(file: u64, mode: u64, offset: u64, len: u64, ret: i32) {
    let task = kernel::current();
    if kernel::read::<u32>(file, off!(file_mode)) & FMODE_NOACCOUNT != 0 {
        return;
    }
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let Some(mut event) = Event::new::<AllocateEvent>(Class::FILE) else { return };
    let path_len = event.path(Place::of_file(file));
    let id = kernel::inode_id(kernel::read(file, off!(file_inode)));
    let payload =
        AllocateEvent { ino: id.ino, offset, len, dev: id.dev, flags: mode as u32, result: ret, path_len };
    event.send(Kind::ALLOCATE, Ring::BULK, session, payload, 0);
}

/// `sys_exit_link`, `linkat`.
#[inline(always)]
pub fn sys_exit_link(id: u64, ret: i64) {
    two_names(Kind::LINK, Hook::LINK, id == nr::LINK, ret);
}

/// `sys_exit_symlink`, `symlinkat`.
#[inline(always)]
pub fn sys_exit_symlink(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::LINK) else { return };
    let args = Args::new(task);
    let (dfd, name) =
        if id == nr::SYMLINK { (AT_FDCWD as u64, args.second()) } else { (args.second(), args.third()) };
    let target = args.first();
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    let path_len = base(&mut event, task, Base::of(dfd));
    let name_len = event.user_str(name);
    let to_name_len = event.user_str(target);
    let payload = FileEvent { result: ret as i32, path_len, name_len, to_name_len, ..FileEvent::default() };
    event.send(Kind::SYMLINK, Ring::BULK, session, payload, 0);
}

/// A device as programs pass it, in the kernel's own encoding (`new_decode_dev`, include/linux/kdev_t.h).
#[inline(always)]
fn device(passed: u64) -> u32 {
    let passed = passed as u32;
    let major = (passed & 0xfff00) >> 8;
    let minor = passed & 0xff | passed >> 12 & 0xfff00;
    major << 20 | minor
}

/// `sys_exit_mkdir`, `mkdirat`, `mknod`, `mknodat`.
#[inline(always)]
pub fn sys_exit_make(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::LINK) else { return };
    let args = Args::new(task);
    let cwd = AT_FDCWD as u64;
    let (dfd, name, mode, node) = match id {
        nr::MKDIR => (cwd, args.first(), 0, 0),
        nr::MKDIRAT => (args.first(), args.second(), 0, 0),
        nr::MKNOD => (cwd, args.first(), args.second(), args.third()),
        _ => (args.first(), args.second(), args.third(), args.fourth()),
    };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    let path_len = base(&mut event, task, Base::of(dfd));
    let name_len = event.user_str(name);
    let makes_node = id == nr::MKNOD || id == nr::MKNODAT;
    let payload = FileEvent {
        flags: if makes_node { device(node) } else { 0 },
        // The rights depend on the umask and are not known; the kind of node is.
        mode: mode as u32 & kernel::S_IFMT,
        result: ret as i32,
        path_len,
        name_len,
        ..FileEvent::default()
    };
    event.send(if makes_node { Kind::MKNOD } else { Kind::MKDIR }, Ring::BULK, session, payload, 0);
}

/// What a system call names: a path, or with no string the descriptor itself.
#[inline(always)]
fn target(event: &mut Event, task: TaskPtr, dfd: u64, name: u64) -> (u32, u32, InodeId) {
    if name == 0 {
        let file = kernel::file_of(task, dfd as u32);
        let id = kernel::inode_id(kernel::read(file, off!(file_inode)));
        return (event.path(Place::of_file(file)), 0, id);
    }
    event.flags |= Flag::AS_PASSED;
    let path_len = base(event, task, Base::of(dfd));
    (path_len, event.user_str(name), InodeId::default())
}

/// `sys_exit_chmod`, `chown`, `truncate`, `utime` and their kin.
#[inline(always)]
pub fn sys_exit_setattr(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let args = Args::new(task);
    let (a, b, c, d) = (args.first(), args.second(), args.third(), args.fourth());
    let cwd = AT_FDCWD as u64;
    let owner = Attribute::UID | Attribute::GID;
    let both = Attribute::ATIME | Attribute::MTIME;
    let (dfd, name, x, y, what) = match id {
        nr::CHMOD => (cwd, a, b, 0, Attribute::MODE),
        nr::FCHMOD => (a, 0, b, 0, Attribute::MODE),
        nr::CHOWN | nr::LCHOWN => (cwd, a, b, c, owner),
        nr::FCHOWN => (a, 0, b, c, owner),
        nr::FCHOWNAT => (a, b, c, d, owner),
        nr::TRUNCATE => (cwd, a, b, 0, Attribute::SIZE),
        nr::FTRUNCATE => (a, 0, b, 0, Attribute::SIZE),
        nr::UTIME | nr::UTIMES => (cwd, a, b, 0, both),
        nr::FUTIMESAT | nr::UTIMENSAT => (a, b, c, 0, both),
        // fchmodat, fchmodat2
        _ => (a, b, c, 0, Attribute::MODE),
    };
    let Some(mut event) = Event::new::<SetattrEvent>(Class::FILE) else { return };
    let (path_len, name_len, inode) = target(&mut event, task, dfd, name);
    // SAFETY: the payload's place in the scratch.
    let payload = unsafe { &mut *event.payload::<SetattrEvent>() };
    *payload = SetattrEvent {
        ino: inode.ino,
        dev: inode.dev,
        size: x,
        mode: x as u32 & RIGHTS,
        uid: x as u32,
        gid: y as u32,
        set: what,
        inode_mode: inode.mode,
        result: ret as i32,
        path_len,
        name_len,
        ..SetattrEvent::default()
    };
    if what == owner {
        if x as u32 == KEEP {
            payload.set &= !Attribute::UID;
        }
        if y as u32 == KEEP {
            payload.set &= !Attribute::GID;
        }
    } else if what == both {
        times(payload, id, x);
    }
    event.send_as_is(Kind::SETATTR, Ring::BULK, session, 0);
}

/// The times that were passed: two of seconds and nanoseconds, or of seconds and microseconds, or of seconds; none is now.
#[inline(always)]
fn times(payload: &mut SetattrEvent, id: u64, at: u64) {
    let [atime, atime_ns, mtime, mtime_ns] = if at == 0 {
        [0, u64::from(UTIME_NOW), 0, u64::from(UTIME_NOW)]
    } else if id == nr::UTIME {
        let [atime, mtime] = kernel::user::<[u64; 2]>(at).unwrap_or_default();
        [atime, 0, mtime, 0]
    } else {
        let [atime, a, mtime, m] = kernel::user::<[u64; 4]>(at).unwrap_or_default();
        let unit = if id == nr::UTIMENSAT { 1 } else { 1000 };
        [atime, a * unit, mtime, m * unit]
    };
    payload.atime = atime as i64;
    payload.mtime = mtime as i64;
    payload.atime_ns = atime_ns as u32;
    payload.mtime_ns = mtime_ns as u32;
    if payload.atime_ns == UTIME_OMIT {
        payload.set &= !Attribute::ATIME;
    }
    if payload.mtime_ns == UTIME_OMIT {
        payload.set &= !Attribute::MTIME;
    }
}

/// `sys_exit_setxattr`, `removexattr` and their kin.
#[inline(always)]
pub fn sys_exit_xattr(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::ATTRIBUTE) else { return };
    let args = Args::new(task);
    let (a, b, c, d) = (args.first(), args.second(), args.third(), args.fourth());
    let cwd = AT_FDCWD as u64;
    let (dfd, name, attribute, value, size) = match id {
        nr::FSETXATTR => (a, 0, b, c, d),
        nr::FREMOVEXATTR => (a, 0, b, 0, REMOVED),
        nr::REMOVEXATTR | nr::LREMOVEXATTR => (cwd, a, b, 0, REMOVED),
        nr::REMOVEXATTRAT => (a, b, d, 0, REMOVED),
        nr::SETXATTRAT => {
            // struct xattr_args: value, then size and flags of 32 bits each.
            let [value, size] = kernel::user::<[u64; 2]>(args.fifth()).unwrap_or_default();
            (a, b, d, value, size & 0xffff_ffff)
        }
        // setxattr, lsetxattr
        _ => (cwd, a, b, c, d),
    };
    let Some(mut event) = Event::new::<XattrEvent>(Class::FILE) else { return };
    let (path_len, name_len, inode) = target(&mut event, task, dfd, name);
    let attribute_len = event.user_str(attribute);
    let removed = size == REMOVED;
    let value_len = if removed { 0 } else { event.user_bytes::<XATTR_MOST>(value, kept(size)) };
    let payload = XattrEvent {
        ino: inode.ino,
        size: if removed { 0 } else { size },
        dev: inode.dev,
        removed: u32::from(removed),
        result: ret as i32,
        path_len,
        name_len,
        attribute_len,
        value_len,
        inode_mode: inode.mode,
    };
    event.send(Kind::SETXATTR, Ring::BULK, session, payload, 0);
}

/// `sys_exit_fallocate`.
#[inline(always)]
pub fn sys_exit_fallocate(ret: i64) {
    let task = kernel::current();
    let args = Args::new(task);
    let file = kernel::file_of(task, args.first() as u32);
    allocated(file, args.second(), args.third(), args.fourth(), ret as i32);
}
