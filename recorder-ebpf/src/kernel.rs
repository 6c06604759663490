//! The only file that knows kernel struct layouts: typed loads, probe reads.
//!
//! Two ways to read. `load` is a direct load at a constant offset: the verifier follows the BTF types from `current`
//! or a typed argument, costs one instruction and can't fault. `read` goes through the probe helper, for addresses
//! that the verifier knows nothing about. Offsets come from read-only data (docs/kernel.md).

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::helpers::{
    bpf_get_current_task_btf, bpf_probe_read_kernel,
    generated::{bpf_probe_read_user, bpf_task_pt_regs},
};
use recorder_common::Creds;

/// Position of a kernel struct member, a constant for the verifier.
macro_rules! off {
    ($field:ident) => {{
        // SAFETY: reads a static of this object.
        unsafe { core::ptr::read_volatile(core::ptr::addr_of!($crate::maps::OFFSETS.$field)) as usize }
    }};
}
pub(crate) use off;

/// Hides a bound from LLVM, which otherwise proves masks away that the verifier of 6.1 needs.
#[inline(always)]
pub fn opaque(x: usize) -> usize {
    let v = x;
    // SAFETY: reads a local.
    unsafe { read_volatile(addr_of!(v)) }
}

/// A task the verifier knows the type of.
pub type TaskPtr = *const u8;

#[inline(always)]
pub fn current() -> TaskPtr {
    // SAFETY: no arguments; never null.
    unsafe { bpf_get_current_task_btf() as TaskPtr }
}

/// Direct load from a typed pointer.
#[inline(always)]
pub fn load<T: Copy>(p: *const u8, off: usize) -> T {
    // SAFETY: the verifier accepts the load only if `p` is a typed kernel pointer and the offset lies in its type.
    unsafe { read_volatile(p.add(off).cast::<T>()) }
}

/// Probe read from an address; zero on a fault.
#[inline(always)]
pub fn read<T: Copy + Default>(address: u64, off: usize) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((address as *const u8).add(off).cast::<T>()) }.unwrap_or_default()
}

#[inline(always)]
pub fn tgid(task: TaskPtr) -> u32 {
    load(task, off!(task_tgid))
}

#[inline(always)]
pub fn tid(task: TaskPtr) -> u32 {
    load(task, off!(task_pid))
}

#[inline(always)]
pub fn leader(task: TaskPtr) -> TaskPtr {
    load(task, off!(task_leader))
}

#[inline(always)]
pub fn comm(task: TaskPtr) -> [u8; 16] {
    load(task, off!(task_comm))
}

#[inline(always)]
pub fn loginuid(task: TaskPtr) -> u32 {
    if off!(task_loginuid) == u32::MAX as usize { u32::MAX } else { load(task, off!(task_loginuid)) }
}

#[inline(always)]
pub fn creds(task: TaskPtr) -> Creds {
    let cred: *const u8 = load(task, off!(task_cred));
    Creds {
        uid: load(cred, off!(cred_uid)),
        gid: load(cred, off!(cred_gid)),
        suid: load(cred, off!(cred_suid)),
        sgid: load(cred, off!(cred_sgid)),
        euid: load(cred, off!(cred_euid)),
        egid: load(cred, off!(cred_egid)),
        fsuid: load(cred, off!(cred_fsuid)),
        fsgid: load(cred, off!(cred_fsgid)),
        cap_permitted: load(cred, off!(cred_permitted)),
        cap_effective: load(cred, off!(cred_effective)),
    }
}

/// How deep the user namespace lies in which the capabilities of `task` hold; 0 is the host's.
#[inline(always)]
pub fn user_ns_level(task: TaskPtr) -> u32 {
    let cred: *const u8 = load(task, off!(task_cred));
    let ns: *const u8 = load(cred, off!(cred_user_ns));
    read(ns as u64, off!(user_ns_level))
}

/// True if the capabilities of `task` mean anything beyond himself: the initial user namespace, or one that is mapped
/// to more than one id.
#[inline(always)]
pub fn caps_reach_out(task: TaskPtr) -> bool {
    let cred: *const u8 = load(task, off!(task_cred));
    let ns: *const u8 = load(cred, off!(cred_user_ns));
    let level: u32 = read(ns as u64, off!(user_ns_level));
    if level == 0 {
        return true;
    }
    let map = off!(user_ns_uid_map);
    let extents: u32 = read(ns as u64, map + off!(uid_map_nr));
    let count: u32 = read(ns as u64, map + off!(uid_map_count));
    extents > 1 || (extents == 1 && count > 1)
}

#[inline(always)]
pub fn signal(task: TaskPtr) -> u64 {
    let signal: *const u8 = load(task, off!(task_signal));
    signal as u64
}

/// Number of the task's process group in the initial pid namespace. `enum pid_type`: PID, TGID, PGID, SID.
#[inline(always)]
pub fn pgid(task: TaskPtr) -> u32 {
    let pid: u64 = read(signal(task), off!(signal_pids) + 2 * 8);
    pid_number(pid)
}

/// `struct pid` to its number in the initial namespace; 0 for none.
#[inline(always)]
pub fn pid_number(pid: u64) -> u32 {
    if pid == 0 { 0 } else { read(pid, off!(pid_numbers)) }
}

/// Kinds of files in an inode's mode (include/uapi/linux/stat.h).
pub const S_IFMT: u32 = 0o170_000;
pub const S_IFIFO: u32 = 0o010_000;
pub const S_IFCHR: u32 = 0o020_000;
pub const S_IFBLK: u32 = 0o060_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFSOCK: u32 = 0o140_000;

/// Inode number, device and mode.
#[derive(Clone, Copy, Default)]
pub struct InodeId {
    pub ino: u64,
    pub dev: u32,
    pub mode: u32,
}

#[inline(always)]
pub fn inode_id(inode: u64) -> InodeId {
    if inode == 0 {
        return InodeId::default();
    }
    let sb: u64 = read(inode, off!(inode_sb));
    InodeId {
        ino: read(inode, off!(inode_ino)),
        dev: read(sb, off!(sb_dev)),
        mode: u32::from(read::<u16>(inode, off!(inode_mode))),
    }
}

/// The file behind a descriptor of the current task.
#[inline(always)]
pub fn file_of(task: TaskPtr, fd: u32) -> u64 {
    let files: *const u8 = load(task, off!(task_files));
    if files.is_null() {
        return 0;
    }
    let fdt: u64 = read(files as u64, off!(files_fdt));
    let max: u32 = read(fdt, off!(fdt_max));
    if fd >= max {
        return 0;
    }
    let array: u64 = read(fdt, off!(fdt_fd));
    read(array + u64::from(fd) * 8, 0)
}

/// A byte of the current task's memory; 0 if it can't be read.
#[inline(always)]
pub fn user_byte(at: u64) -> u8 {
    let mut byte = 0u8;
    // SAFETY: one byte into a local; the helper checks the source.
    let r = unsafe { bpf_probe_read_user((&raw mut byte).cast(), 1, at as *const core::ffi::c_void) };
    if r == 0 { byte } else { 0 }
}

/// As much of the current task's memory as `T` holds; `None` if it can't be read.
#[inline(always)]
pub fn user<T: Copy + Default>(at: u64) -> Option<T> {
    let mut value = T::default();
    let to = (&raw mut value).cast();
    // SAFETY: a local of that size, of plain numbers; the helper checks the source.
    let r = unsafe { bpf_probe_read_user(to, size_of::<T>() as u32, at as *const core::ffi::c_void) };
    if r == 0 { Some(value) } else { None }
}

/// The arguments of the system call that is about to return.
pub struct Args(*const u8);

impl Args {
    #[inline(always)]
    pub fn new(task: TaskPtr) -> Self {
        // SAFETY: `task` is a typed task pointer; the helper returns its user registers.
        Self(unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as *const u8)
    }
    #[inline(always)]
    pub fn first(&self) -> u64 {
        load(self.0, off!(regs_di))
    }
    #[inline(always)]
    pub fn second(&self) -> u64 {
        load(self.0, off!(regs_si))
    }
    #[inline(always)]
    pub fn third(&self) -> u64 {
        load(self.0, off!(regs_dx))
    }
    /// The number of the system call.
    #[inline(always)]
    pub fn call(&self) -> u64 {
        load(self.0, off!(regs_call))
    }
    #[inline(always)]
    pub fn fourth(&self) -> u64 {
        load(self.0, off!(regs_r10))
    }
    #[inline(always)]
    pub fn fifth(&self) -> u64 {
        load(self.0, off!(regs_r8))
    }
}

/// A place in the file system: `struct dentry *` and `struct vfsmount *`.
#[derive(Clone, Copy)]
pub struct Place {
    pub dentry: u64,
    pub mnt: u64,
}

impl Place {
    /// Of an open file.
    #[inline(always)]
    pub fn of_file(file: u64) -> Self {
        Self { dentry: read(file, off!(file_path_dentry)), mnt: read(file, off!(file_path_mnt)) }
    }

    /// The working directory of `task`; nowhere in an exiting task.
    #[inline(always)]
    pub fn of_cwd(task: TaskPtr) -> Self {
        let fs: *const u8 = load(task, off!(task_fs));
        let fs = fs as u64;
        Self { dentry: read(fs, off!(fs_pwd_dentry)), mnt: read(fs, off!(fs_pwd_mnt)) }
    }
}
