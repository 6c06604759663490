//! Opens, creations, renames, removals: outcomes, not intentions.

use recorder_common::{Class, FileEvent, Flag, Hook, Kind, Ring, SETTING_MOST};

use crate::{
    deleg,
    emit::Event,
    flight,
    kernel::{self, Args, Place, TaskPtr, off},
    scope, tty,
};

/// `FMODE_CREATED`, include/linux/fs.h (unchanged since it came in 4.19).
const FMODE_CREATED: u32 = 0x10_0000;
/// `FMODE_WRITE`.
const FMODE_WRITE: u32 = 2;
/// `__FMODE_EXEC`: opened by exec, which has its own event.
const FMODE_EXEC: u32 = 0x20;
/// `LOOKUP_CACHED`, include/linux/namei.h (since 5.12).
const LOOKUP_CACHED: u32 = 0x20_0000;
const EAGAIN: i32 = 11;
/// include/uapi/linux/magic.h.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// Vectors of one write that a setting's value is put together from.
const VECTORS: u64 = 4;
pub const AT_FDCWD: i32 = -100;
const AT_REMOVEDIR: u64 = 0x200;

/// System call numbers of x86-64.
pub mod nr {
    pub const OPEN: u64 = 2;
    pub const RENAME: u64 = 82;
    pub const RMDIR: u64 = 84;
    pub const CREAT: u64 = 85;
    pub const UNLINK: u64 = 87;
    pub const OPEN_BY_HANDLE_AT: u64 = 304;
    pub const OPENAT2: u64 = 437;
}

/// The session of the current task, if it is recorded; a canary is answered.
#[inline(always)]
pub fn recorded(task: TaskPtr, hook: u32) -> Option<u64> {
    if scope::is_canary(task) {
        scope::answer(hook);
        return None;
    }
    match scope::session_of(task) {
        0 => None,
        session => Some(session),
    }
}

/// An act on a known file, without its names.
#[inline(always)]
pub fn of_inode(id: kernel::InodeId, result: i32) -> FileEvent {
    FileEvent { ino: id.ino, dev: id.dev, mode: id.mode, result, ..FileEvent::default() }
}

/// A file was opened: path and identity from the file itself.
#[inline(always)]
fn opened(session: u64, file: u64) {
    tty::adopt_opened(file, session);
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(Place::of_file(file));
    let inode: u64 = kernel::read(file, off!(file_inode));
    let id = kernel::inode_id(inode);
    let mode: u32 = kernel::read(file, off!(file_mode));
    if mode & FMODE_WRITE != 0 {
        deleg::written(session, inode, id);
    }
    let payload = FileEvent {
        ino: id.ino,
        dev: id.dev,
        flags: kernel::read(file, off!(file_flags)),
        mode: id.mode,
        path_len,
        ..FileEvent::default()
    };
    let kind = if mode & FMODE_CREATED != 0 { Kind::CREATE } else { Kind::OPEN };
    event.send(kind, Ring::BULK, session, payload, 0);
}

/// A session wrote to a file. It is told once for each file that the session is not known to have opened for writing: the descriptor is
/// older than the session, or somebody handed it over.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wrote(file: u64, session: u64) -> u32 {
    let inode: u64 = kernel::read(file, off!(file_inode));
    let id = kernel::inode_id(inode);
    if !deleg::written(session, inode, id) {
        return 0;
    }
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    let flags: u32 = kernel::read(file, off!(file_flags));
    let payload = FileEvent { flags, path_len, ..of_inode(id, 0) };
    u32::from(event.send(Kind::WRITE, Ring::BULK, session, payload, 0))
}

/// A session wrote `bytes` to a file of /proc, from a buffer or (`count` not zero) from so many vectors: among those files are the
/// kernel's settings, of which the value counts.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn set(file: u64, session: u64, from: u64, count: u64, bytes: u64) -> u32 {
    let inode: u64 = kernel::read(file, off!(file_inode));
    let sb: u64 = kernel::read(inode, off!(inode_sb));
    let magic: u64 = kernel::read(sb, off!(sb_magic));
    if magic != PROC_SUPER_MAGIC {
        return 0;
    }
    let Some(mut event) = Event::new::<FileEvent>(Class::SYSTEM) else { return 0 };
    let path_len = event.path(Place::of_file(file));
    let name_len =
        if count == 0 { value(&mut event, from, bytes) } else { values(&mut event, from, count, bytes) };
    let written = if bytes > i32::MAX as u64 { i32::MAX } else { bytes as i32 };
    let payload = FileEvent { path_len, name_len, ..of_inode(kernel::inode_id(inode), written) };
    u32::from(event.send(Kind::SETTING, Ring::BULK, session, payload, 0))
}

/// Appends the first bytes of what lies in a buffer; returns how many.
#[inline(always)]
fn value(event: &mut Event, from: u64, bytes: u64) -> u32 {
    let kept = if bytes > SETTING_MOST as u64 { SETTING_MOST as u64 } else { bytes };
    event.user_bytes::<SETTING_MOST>(from, kept as usize)
}

/// The same of the first vectors (stdio of musl writes two).
#[inline(always)]
fn values(event: &mut Event, vectors: u64, count: u64, bytes: u64) -> u32 {
    let mut left = if bytes > SETTING_MOST as u64 { SETTING_MOST as u64 } else { bytes };
    let mut kept = 0;
    let mut i = 0;
    while i < VECTORS {
        if left == 0 || i >= count {
            break;
        }
        let at = vectors + i * 16;
        let Some(base) = kernel::user::<u64>(at) else { break };
        let Some(len) = kernel::user::<u64>(at + 8) else { break };
        let n = if len < left { len } else { left };
        kept += event.user_bytes::<SETTING_MOST>(base, n as usize);
        left -= n;
        i += 1;
    }
    kept
}

/// Where a relative path starts.
#[derive(Clone, Copy)]
pub enum Base {
    Cwd,
    Fd(u32),
}

impl Base {
    #[inline(always)]
    pub fn of(dfd: u64) -> Self {
        if dfd as i32 == AT_FDCWD { Self::Cwd } else { Self::Fd(dfd as u32) }
    }
}

/// Appends the directory that a passed path is relative to.
#[inline(always)]
pub fn base(event: &mut Event, task: TaskPtr, base: Base) -> u32 {
    event.path(place(task, base))
}

#[inline(always)]
pub fn place(task: TaskPtr, base: Base) -> Place {
    match base {
        Base::Cwd => Place::of_cwd(task),
        Base::Fd(fd) => Place::of_file(kernel::file_of(task, fd)),
    }
}

/// A failed open: nothing but the passed string.
#[inline(always)]
fn failed_open(task: TaskPtr, session: u64, dfd: u64, name: Name, flags: u32, result: i32) {
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    let path_len = base(&mut event, task, Base::of(dfd));
    let name_len = name.append(&mut event);
    let payload = FileEvent { flags, result, path_len, name_len, ..FileEvent::default() };
    event.send(Kind::OPEN, Ring::BULK, session, payload, 0);
}

#[derive(Clone, Copy)]
enum Name {
    User(u64),
    Kernel(u64),
    None,
}

impl Name {
    #[inline(always)]
    fn append(self, event: &mut Event) -> u32 {
        match self {
            Self::User(p) => event.user_str(p),
            Self::Kernel(p) => event.kernel_str(p),
            Self::None => 0,
        }
    }
}

/// `sys_exit_open*`, `sys_exit_creat`.
#[inline(always)]
pub fn sys_exit_open(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::OPEN) else { return };
    if ret >= 0 {
        let file = kernel::file_of(task, ret as u32);
        if file != 0 {
            opened(session, file);
            return;
        }
    }
    let args = Args::new(task);
    let (dfd, name, flags) = match id {
        nr::OPEN => (AT_FDCWD as u64, Name::User(args.first()), args.second() as u32),
        nr::CREAT => (AT_FDCWD as u64, Name::User(args.first()), 0o1101),
        nr::OPENAT2 => (args.first(), Name::User(args.second()), 0),
        // A handle is no name: what is known is the mount that it was to lie in.
        nr::OPEN_BY_HANDLE_AT => (args.first(), Name::None, args.third() as u32),
        _ => (args.first(), Name::User(args.second()), args.third() as u32),
    };
    let result = if ret < 0 { ret as i32 } else { 0 };
    failed_open(task, session, dfd, name, flags, result);
}

/// `sys_exit_unlink`, `unlinkat`, `rmdir`.
#[inline(always)]
pub fn sys_exit_unlink(id: u64, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::UNLINK) else { return };
    let args = Args::new(task);
    let (dfd, name, flags) = match id {
        nr::UNLINK => (AT_FDCWD as u64, args.first(), 0),
        nr::RMDIR => (AT_FDCWD as u64, args.first(), AT_REMOVEDIR),
        _ => (args.first(), args.second(), args.third()),
    };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    let path_len = base(&mut event, task, Base::of(dfd));
    let name_len = event.user_str(name);
    let payload =
        FileEvent { flags: flags as u32, result: ret as i32, path_len, name_len, ..FileEvent::default() };
    event.send(Kind::UNLINK, Ring::BULK, session, payload, 0);
}

/// `sys_exit_rename*`.
#[inline(always)]
pub fn sys_exit_rename(id: u64, ret: i64) {
    two_names(Kind::RENAME, Hook::RENAME, id == nr::RENAME, ret);
}

/// A call that was given an old and a new path; `bare`: without the directories that they may be relative to.
#[inline(always)]
pub fn two_names(kind: u16, hook: u32, bare: bool, ret: i64) {
    let task = kernel::current();
    let Some(session) = recorded(task, hook) else { return };
    let args = Args::new(task);
    let (from_dfd, from, to_dfd, to) = if bare {
        (AT_FDCWD as u64, args.first(), AT_FDCWD as u64, args.second())
    } else {
        (args.first(), args.second(), args.third(), args.fourth())
    };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    // The bytes lie in the order of the lengths: both directories, then both strings.
    let path_len = base(&mut event, task, Base::of(from_dfd));
    let to_len = base(&mut event, task, Base::of(to_dfd));
    let name_len = event.user_str(from);
    let to_name_len = event.user_str(to);
    let payload =
        FileEvent { result: ret as i32, path_len, to_len, name_len, to_name_len, ..FileEvent::default() };
    event.send(kind, Ring::BULK, session, payload, 0);
}

/// fexit `do_filp_open(dfd, pathname, op)`: failures and io_uring included.
#[inline(always)]
pub fn filp_open(dfd: u64, pathname: u64, op: u64, ret: u64) {
    let task = kernel::current();
    let flags: u32 = kernel::read(op, off!(open_flags_flag));
    if flags & FMODE_EXEC != 0 {
        return;
    }
    let Some(session) = recorded(task, Hook::OPEN) else { return };
    // IS_ERR: the last page of the address space.
    if ret > u64::MAX - 4096 {
        // io_uring tries what is in the caches first, and again where that was not enough: the second is the act.
        let lookup: u32 = kernel::read(op, off!(open_flags_lookup));
        if ret as i32 == -EAGAIN && lookup & LOOKUP_CACHED != 0 {
            return;
        }
        let name: u64 = kernel::read(pathname, off!(filename_name));
        failed_open(task, session, dfd, Name::Kernel(name), flags, ret as i32);
    } else {
        opened(session, ret);
    }
}

/// fexit `do_file_open_root(root, name, op)`: by a handle, which has no name.
#[inline(always)]
pub fn opened_at(root: u64, name: u64, op: u64, ret: u64) {
    let task = kernel::current();
    let session = scope::session_of(task);
    if session == 0 {
        return;
    }
    if ret <= u64::MAX - 4096 {
        opened(session, ret);
        return;
    }
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    event.flags |= Flag::AS_PASSED;
    let place =
        Place { dentry: kernel::read(root, off!(path_dentry)), mnt: kernel::read(root, off!(path_mnt)) };
    let path_len = event.path(place);
    let name_len = event.kernel_str(name);
    let flags: u32 = kernel::read(op, off!(open_flags_flag));
    let payload = FileEvent { flags, result: ret as i32, path_len, name_len, ..FileEvent::default() };
    event.send(Kind::OPEN, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_unlink(_, dir, dentry, _)` and `vfs_rmdir(_, dir, dentry)`: the dentry keeps name and parent.
#[inline(always)]
pub fn vfs_unlink(dentry: u64, ret: i32, directory: bool) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::UNLINK) else { return };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(place);
    let id = kernel::inode_id(kernel::read(dentry, off!(dentry_inode)));
    let payload =
        FileEvent { flags: if directory { AT_REMOVEDIR as u32 } else { 0 }, path_len, ..of_inode(id, ret) };
    event.send(Kind::UNLINK, Ring::BULK, session, payload, 0);
}

/// fexit `vfs_rename(rd)`: after success the old dentry carries the new name. Both lie in one mount.
#[inline(always)]
pub fn vfs_rename(data: u64, ret: i32) {
    let task = kernel::current();
    let Some(session) = recorded(task, Hook::RENAME) else { return };
    let dentry: u64 = if ret == 0 {
        kernel::read(data, off!(rename_old_dentry))
    } else {
        kernel::read(data, off!(rename_new_dentry))
    };
    let Some(place) = flight::place(task, dentry) else { return };
    let Some((old, name, name_len)) = flight::renamed(task) else { return };
    let Some(mut event) = Event::new::<FileEvent>(Class::FILE) else { return };
    let path_len = event.path(old);
    let to_len = event.path(place);
    let name_len = event.kernel_bytes::<0xff>(name, name_len);
    let id = kernel::inode_id(kernel::read(dentry, off!(dentry_inode)));
    let payload = FileEvent {
        flags: kernel::read(data, off!(rename_flags)),
        path_len,
        to_len,
        name_len,
        ..of_inode(id, ret)
    };
    event.send(Kind::RENAME, Ring::BULK, session, payload, 0);
}
