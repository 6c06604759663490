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

pub(super) const TRAMPOLINES: [Typed; 12] = [
    Typed { program: "do_filp_open", target: "do_filp_open" },
    Typed { program: "commit_creds", target: "commit_creds" },
    Typed { program: "path_unlink", target: "security_path_unlink" },
    Typed { program: "path_rmdir", target: "security_path_rmdir" },
    Typed { program: "vfs_unlink", target: "vfs_unlink" },
    Typed { program: "vfs_rmdir", target: "vfs_rmdir" },
    Typed { program: "path_rename", target: "security_path_rename" },
    Typed { program: "vfs_rename", target: "vfs_rename" },
    Typed { program: "bprm_check", target: "security_bprm_check" },
    Typed { program: "ptrace_access", target: "security_ptrace_access_check" },
    Typed { program: "pty_write_enter", target: "pty_write" },
    Typed { program: "pty_write", target: "pty_write" },
];

/// Terminals that are no ptys. Each kind is a driver that a kernel may be built without; then nobody can log in there.
pub(super) struct Line {
    /// What it shows, and its echo where the driver has a way of its own for single bytes.
    pub(super) programs: &'static [Typed],
    /// What is said where one of them can't be attached.
    pub(super) blind: &'static str,
}

pub(super) const LINES: [Line; 3] = [
    Line {
        programs: &[
            Typed { program: "con_write", target: "con_write" },
            Typed { program: "con_put_char", target: "con_put_char" },
        ],
        blind: "virtual terminals (VT)",
    },
    Line {
        programs: &[
            Typed { program: "uart_write", target: "uart_write" },
            Typed { program: "uart_put_char", target: "uart_put_char" },
        ],
        blind: "serial lines",
    },
    Line {
        programs: &[Typed { program: "hvc_write", target: "hvc_write" }],
        blind: "hypervisor consoles (hvc)",
    },
];

/// Standard streams that are no terminals.
pub(super) const STREAMS: [Typed; 4] = [
    Typed { program: "vfs_read", target: "vfs_read" },
    Typed { program: "vfs_write", target: "vfs_write" },
    Typed { program: "vfs_readv", target: "vfs_readv" },
    Typed { program: "vfs_writev", target: "vfs_writev" },
];

pub(super) const SYSCALLS: [Syscalls; 12] = [
    Syscalls {
        program: "sys_exit_open",
        events: &["sys_exit_open", "sys_exit_openat", "sys_exit_openat2", "sys_exit_creat"],
    },
    Syscalls {
        program: "sys_exit_unlink",
        events: &["sys_exit_unlink", "sys_exit_unlinkat", "sys_exit_rmdir"],
    },
    Syscalls {
        program: "sys_exit_rename",
        events: &["sys_exit_rename", "sys_exit_renameat", "sys_exit_renameat2"],
    },
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
