//! The two ways to look into a kernel, and what each can't see.

/// What the kernel side can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// fentry and fexit: outcomes from inside the kernel.
    Trampoline,
    /// System call tracepoints, where trampolines are refused.
    Tracepoint,
}

impl Backend {
    /// Name in the boot record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trampoline => "trampoline",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// What this backend can't see.
    pub const fn blind(self) -> &'static [&'static str] {
        match self {
            Self::Trampoline => &[
                "typed input on terminals other than ptys (what they echo is in their output)",
                "terminals other than ptys, VTs, serial lines of the kernel's core, and hvc (USB serial)",
                "standard streams that are no terminals: what moves by splice, sendfile, sendmsg or io_uring",
                "links, directories, nodes and attributes that were refused before the file system was asked",
                "io_uring: connect, bind, listen, accept",
                "writes by descriptors from elsewhere (older than the session, handed over): those by splice, sendfile, copy_file_range, io_submit, reflinks, io_uring or a mapping",
                "connections that are made by sending (TCP fast open, SCTP)",
                "32-bit system calls: mounts, namespaces, modules, BPF, clocks, sockets, execs that fail",
                "memory that is executed and of no file, or of System V shared memory",
                "what is sent without a connection by other sockets than UDP and raw IP (unix, packet, netlink, ICMP echo)",
                "input of shells without exec (internal-sftp)",
            ],
            Self::Tracepoint => &[
                "io_uring: opens, renames, removals, links, directories, attributes, sockets, terminal bytes",
                "32-bit system calls (execs and forks of such programs are seen)",
                "executable mappings: what the kernel maps for an exec (ld.so), and what is made executable later; the file is what the descriptor names by then",
                "memory that is executed and of no file, or of System V shared memory",
                "writes by descriptors from elsewhere (older than the session, handed over): those by other calls than write and writev",
                "connections that are made by sending (TCP fast open, SCTP)",
                "renames, removals, links, directories, nodes, attributes and failed opens show the path as passed, after its directory",
                "scripts that sessions wrote and others run: known by their path alone, the newest 8192",
                "terminal bytes read by splice, recvmsg or io_uring",
                "standard streams that are no terminals: what moves by splice, sendfile, sendmsg or io_uring",
                "terminals other than ptys: what recorded tasks write there, as passed; no echo, no typed input",
                "what is sent without a connection by other sockets than UDP and raw IP (unix, packet, netlink), by io_uring, or as one of more than 16 messages of one call",
                "input of shells without exec (internal-sftp)",
            ],
        }
    }
}

/// Which backend to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best that answers.
    Auto,
    /// This one or none.
    Only(Backend),
}
