//! Opens, creations, renames, removals: outcomes, not intentions.

use recorder_common::{Class, FileEvent, Flag, Hook, Kind, Ring};

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
pub const AT_FDCWD: i32 = -100;
const AT_REMOVEDIR: u64 = 0x200;

/// System call numbers of x86-64.
pub mod nr {
    pub const OPEN: u64 = 2;
    pub const RENAME: u64 = 82;
    pub const RMDIR: u64 = 84;
    pub const CREAT: u64 = 85;
    pub const UNLINK: u64 = 87;
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
        deleg::written(session, inode);
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
    let place = match base {
        Base::Cwd => Place::of_cwd(task),
        Base::Fd(fd) => Place::of_file(kernel::file_of(task, fd)),
    };
    event.path(place)
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
}

impl Name {
    #[inline(always)]
    fn append(self, event: &mut Event) -> u32 {
        match self {
            Self::User(p) => event.user_str(p),
            Self::Kernel(p) => event.kernel_str(p),
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
        nr::OPEN => (AT_FDCWD as u64, args.first(), args.second() as u32),
        nr::CREAT => (AT_FDCWD as u64, args.first(), 0o1101),
        nr::OPENAT2 => (args.first(), args.second(), 0),
        _ => (args.first(), args.second(), args.third() as u32),
    };
    let result = if ret < 0 { ret as i32 } else { 0 };
    failed_open(task, session, dfd, Name::User(name), flags, result);
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
        let name: u64 = kernel::read(pathname, off!(filename_name));
        failed_open(task, session, dfd, Name::Kernel(name), flags, ret as i32);
    } else {
        opened(session, ret);
    }
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
