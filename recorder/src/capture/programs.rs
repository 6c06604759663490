//! Which program goes where: the tables of both backends.

/// A BTF-typed program: name in the object and what it hooks.
pub(super) struct Typed {
    pub(super) program: &'static str,
    pub(super) target: &'static str,
}

/// A system call tracepoint program and its events.
pub(super) struct Syscalls {
    pub(super) program: &'static str,
    pub(super) events: &'static [&'static str],
}

pub(super) const SCHED: [Typed; 3] = [
    Typed { program: "on_fork", target: "sched_process_fork" },
    Typed { program: "on_exec", target: "sched_process_exec" },
    Typed { program: "on_exit", target: "sched_process_exit" },
];

/// What managers start, seen on every kernel that has control groups.
pub(super) const CGROUPS: [Typed; 2] = [
    Typed { program: "on_cgroup", target: "cgroup_mkdir" },
    Typed { program: "on_attach", target: "cgroup_attach_task" },
];

/// What is sent to sockets: the tracepoint (6.3) or the function that it stands in.
pub(super) const REQUESTS: Typed = Typed { program: "on_data_ready", target: "sk_data_ready" };
pub(super) const REQUESTS_BEFORE: Typed = Typed { program: "def_readable", target: "sock_def_readable" };

pub(super) const TRAMPOLINES: [Typed; 24] = [
    Typed { program: "do_filp_open", target: "do_filp_open" },
    Typed { program: "file_open_root", target: "do_file_open_root" },
    Typed { program: "commit_creds", target: "commit_creds" },
    Typed { program: "want_write", target: "mnt_want_write" },
    Typed { program: "want_write_file", target: "mnt_want_write_file" },
    Typed { program: "drop_write", target: "mnt_drop_write" },
    Typed { program: "drop_write_file", target: "mnt_drop_write_file" },
    Typed { program: "vfs_link", target: "vfs_link" },
    Typed { program: "vfs_symlink", target: "vfs_symlink" },
    Typed { program: "vfs_mkdir", target: "vfs_mkdir" },
    Typed { program: "vfs_mknod", target: "vfs_mknod" },
    Typed { program: "notify_change", target: "notify_change" },
    Typed { program: "do_truncate", target: "do_truncate" },
    Typed { program: "vfs_setxattr", target: "vfs_setxattr" },
    Typed { program: "vfs_removexattr", target: "vfs_removexattr" },
    Typed { program: "vfs_fallocate", target: "vfs_fallocate" },
    Typed { program: "vfs_unlink", target: "vfs_unlink" },
    Typed { program: "vfs_rmdir", target: "vfs_rmdir" },
    Typed { program: "path_rename", target: "security_path_rename" },
    Typed { program: "vfs_rename", target: "vfs_rename" },
    Typed { program: "bprm_check", target: "security_bprm_check" },
    Typed { program: "ptrace_access", target: "security_ptrace_access_check" },
    Typed { program: "pty_write_enter", target: "pty_write" },
    Typed { program: "pty_write", target: "pty_write" },
];

/// Access lists, where they go a way of their own (6.2); before, they are attributes like all others.
pub(super) const LISTS: [Typed; 2] = [
    Typed { program: "vfs_set_acl", target: "vfs_set_acl" },
    Typed { program: "vfs_remove_acl", target: "vfs_remove_acl" },
];

/// What a kernel may be built without, or have in another place; nothing else depends on it.
pub(super) struct Part {
    pub(super) programs: &'static [Typed],
    /// What is said where one of them can't be attached.
    pub(super) blind: &'static str,
}

pub(super) const PARTS: [Part; 7] = [
    // Messages before they are queued; unix sockets may be a module.
    Part {
        programs: &[Typed { program: "unix_send", target: "unix_stream_sendmsg" }],
        blind: "what service managers start before a request is seen",
    },
    // Terminals that are no ptys: what each kind shows, and its echo where the driver has a way of its own for single bytes.
    Part {
        programs: &[
            Typed { program: "con_write", target: "con_write" },
            Typed { program: "con_put_char", target: "con_put_char" },
        ],
        blind: "virtual terminals (VT)",
    },
    Part {
        programs: &[
            Typed { program: "uart_write", target: "uart_write" },
            Typed { program: "uart_put_char", target: "uart_put_char" },
        ],
        blind: "serial lines",
    },
    Part {
        programs: &[Typed { program: "hvc_write", target: "hvc_write" }],
        blind: "hypervisor consoles (hvc)",
    },
    // Standard streams that are no terminals.
    Part {
        programs: &[
            Typed { program: "vfs_read", target: "vfs_read" },
            Typed { program: "vfs_write", target: "vfs_write" },
            Typed { program: "vfs_readv", target: "vfs_readv" },
            Typed { program: "vfs_writev", target: "vfs_writev" },
        ],
        blind: "a part of what sessions show through pipes instead of terminals",
    },
    // Mmap in every width and what an exec maps, and mappings that are made executable later.
    Part {
        programs: &[
            Typed { program: "vm_mmap", target: "vm_mmap_pgoff" },
            Typed { program: "file_mprotect", target: "security_file_mprotect" },
        ],
        blind: "a part of the files that are mapped to be executed",
    },
    // What is sent without a connection; IPv6 may be a module.
    Part {
        programs: &[
            Typed { program: "udp_sendmsg", target: "udp_sendmsg" },
            Typed { program: "udpv6_sendmsg", target: "udpv6_sendmsg" },
            Typed { program: "raw_sendmsg", target: "raw_sendmsg" },
            Typed { program: "rawv6_sendmsg", target: "rawv6_sendmsg" },
        ],
        blind: "a part of what is sent without a connection (UDP, raw IP)",
    },
];

/// System calls that came later than the oldest kernel or that a kernel may be built without; where there is none, nobody can call it.
pub(super) const NEWER: [&str; 14] = [
    "sys_exit_fchmodat2",
    "sys_exit_setxattrat",
    "sys_exit_removexattrat",
    "sys_exit_open_by_handle_at",
    "sys_exit_io_uring_setup",
    "sys_exit_init_module",
    "sys_exit_finit_module",
    "sys_exit_delete_module",
    "sys_exit_swapon",
    "sys_exit_swapoff",
    "sys_exit_acct",
    "sys_exit_kexec_load",
    "sys_exit_kexec_file_load",
    "sys_exit_reboot",
];

/// What both backends see at system calls alone.
pub(super) const BOTH: [Syscalls; 3] = [
    Syscalls { program: "sys_exit_exec", events: &["sys_exit_execve", "sys_exit_execveat"] },
    Syscalls {
        program: "sys_exit_system",
        events: &[
            "sys_exit_mount",
            "sys_exit_umount",
            "sys_exit_pivot_root",
            "sys_exit_chroot",
            "sys_exit_open_tree",
            "sys_exit_move_mount",
            "sys_exit_fsopen",
            "sys_exit_fsconfig",
            "sys_exit_fsmount",
            "sys_exit_fspick",
            "sys_exit_mount_setattr",
            "sys_exit_unshare",
            "sys_exit_setns",
            "sys_exit_io_uring_setup",
            "sys_exit_init_module",
            "sys_exit_finit_module",
            "sys_exit_delete_module",
            "sys_exit_bpf",
            "sys_exit_adjtimex",
            "sys_exit_clock_adjtime",
            "sys_exit_clock_settime",
            "sys_exit_settimeofday",
            "sys_exit_sethostname",
            "sys_exit_setdomainname",
            "sys_exit_swapon",
            "sys_exit_swapoff",
            "sys_exit_acct",
            "sys_exit_kexec_load",
            "sys_exit_kexec_file_load",
            "sys_exit_reboot",
        ],
    },
    Syscalls {
        program: "sys_exit_socket",
        events: &[
            "sys_exit_connect",
            "sys_exit_bind",
            "sys_exit_listen",
            "sys_exit_accept",
            "sys_exit_accept4",
        ],
    },
];

pub(super) const SYSCALLS: [Syscalls; 21] = [
    Syscalls { program: "sys_exit_mmap", events: &["sys_exit_mmap"] },
    Syscalls {
        program: "sys_exit_open",
        events: &[
            "sys_exit_open",
            "sys_exit_openat",
            "sys_exit_openat2",
            "sys_exit_open_by_handle_at",
            "sys_exit_creat",
        ],
    },
    Syscalls {
        program: "sys_exit_unlink",
        events: &["sys_exit_unlink", "sys_exit_unlinkat", "sys_exit_rmdir"],
    },
    Syscalls {
        program: "sys_exit_rename",
        events: &["sys_exit_rename", "sys_exit_renameat", "sys_exit_renameat2"],
    },
    Syscalls { program: "sys_exit_link", events: &["sys_exit_link", "sys_exit_linkat"] },
    Syscalls { program: "sys_exit_symlink", events: &["sys_exit_symlink", "sys_exit_symlinkat"] },
    Syscalls {
        program: "sys_exit_make",
        events: &["sys_exit_mkdir", "sys_exit_mkdirat", "sys_exit_mknod", "sys_exit_mknodat"],
    },
    Syscalls {
        program: "sys_exit_setattr",
        events: &[
            "sys_exit_chmod",
            "sys_exit_fchmod",
            "sys_exit_fchmodat",
            "sys_exit_fchmodat2",
            "sys_exit_chown",
            "sys_exit_fchown",
            "sys_exit_lchown",
            "sys_exit_fchownat",
            "sys_exit_truncate",
            "sys_exit_ftruncate",
            "sys_exit_utime",
            "sys_exit_utimes",
            "sys_exit_futimesat",
            "sys_exit_utimensat",
        ],
    },
    Syscalls {
        program: "sys_exit_xattr",
        events: &[
            "sys_exit_setxattr",
            "sys_exit_lsetxattr",
            "sys_exit_fsetxattr",
            "sys_exit_setxattrat",
            "sys_exit_removexattr",
            "sys_exit_lremovexattr",
            "sys_exit_fremovexattr",
            "sys_exit_removexattrat",
        ],
    },
    Syscalls { program: "sys_exit_fallocate", events: &["sys_exit_fallocate"] },
    Syscalls {
        program: "sys_exit_cred",
        events: &[
            "sys_exit_setuid",
            "sys_exit_setreuid",
            "sys_exit_setresuid",
            "sys_exit_setfsuid",
            "sys_exit_setgid",
            "sys_exit_setregid",
            "sys_exit_setresgid",
            "sys_exit_setfsgid",
            "sys_exit_capset",
        ],
    },
    Syscalls {
        program: "sys_enter_send",
        events: &["sys_enter_sendto", "sys_enter_sendmsg", "sys_enter_sendmmsg"],
    },
    Syscalls {
        program: "sys_exit_send",
        events: &["sys_exit_sendto", "sys_exit_sendmsg", "sys_exit_sendmmsg"],
    },
    Syscalls { program: "sys_exit_ptrace", events: &["sys_exit_ptrace"] },
    Syscalls {
        program: "sys_exit_process_vm",
        events: &["sys_exit_process_vm_readv", "sys_exit_process_vm_writev"],
    },
    Syscalls { program: "sys_exit_pidfd_getfd", events: &["sys_exit_pidfd_getfd"] },
    Syscalls { program: "sys_exit_read", events: &["sys_exit_read"] },
    Syscalls { program: "sys_exit_readv", events: &["sys_exit_readv"] },
    Syscalls { program: "sys_enter_write", events: &["sys_enter_write", "sys_enter_writev"] },
    Syscalls { program: "sys_exit_write", events: &["sys_exit_write"] },
    Syscalls { program: "sys_exit_writev", events: &["sys_exit_writev"] },
];
