//! What capture hands to session tracking.

use std::sync::Arc;

use super::{
    Allocate, BootNanos, Bytes, Call, CallOp, Capability, Caps, Confidence, Delegation, EnforcementAct, Exec,
    Exit, File, FileOp, Flags, Folded, Guard, Ids, Loss, Mark, Script, Sent, Setattr, Setting, Socket,
    SocketOp, Task, TaskId, Trigger, TtyOp, Xattr,
};

/// One item from the kernel, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Captured {
    /// Something happened.
    Event(Box<KernelEvent>),
    /// Something happened and is missing.
    Lost(Loss),
}

/// A decoded event.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelEvent {
    /// When.
    pub boot_ns: BootNanos,
    /// On which processor.
    pub cpu: u16,
    /// The session's mark.
    pub mark: Mark,
    /// What is special about it.
    pub flags: Flags,
    /// Who.
    pub task: Arc<Task>,
    /// Where he lives.
    pub place: Place,
    /// What.
    pub act: Act,
}

/// Inode numbers of a task's namespaces and the id of its cgroup in the default hierarchy; 0 where they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Cgroup.
    pub cgroup: u64,
    /// Mount namespace.
    pub mnt_ns: u32,
    /// Process namespace.
    pub pid_ns: u32,
    /// User namespace.
    pub user_ns: u32,
    /// Cgroup namespace.
    pub cgroup_ns: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A cgroup of a task of a session was seen for the first time: no act of anybody's.
    Cgroup {
        /// Its id.
        id: u64,
        /// Its path below the hierarchy's root.
        path: Bytes,
    },
    /// A session begins with this task.
    Elevated(Elevated),
    /// A program was not to run.
    Refused {
        /// `Refused` or `Stopped`.
        act: EnforcementAct,
        /// The program.
        path: Bytes,
    },
    /// Found running at start as part of a session; the first of a session opens it.
    Seeded(Elevated),
    /// Something starts that may have been asked for.
    Branch(Branch),
    /// A session spoke to a socket.
    Request(Request),
    /// Somebody handed his terminal to a server; of people who are not recorded too.
    Shared(Shared),
    /// What the job that is about to start reads.
    Stdin {
        /// Device, major and minor.
        dev: (u32, u32),
        /// Inode.
        ino: u64,
        /// Its path.
        path: Bytes,
    },
    /// A session got hold of somebody else's process.
    Reached(Reached),
    /// What started is known to be somebody's: the session begins.
    Handed(Box<Handed>),
    /// A session asked for something.
    Asked(Box<Delegation>),
    /// A program was started.
    Exec(Exec),
    /// The program that was just started gives rights.
    Passed {
        /// Its device.
        dev: (u32, u32),
        /// Its inode number.
        ino: u64,
        /// Bits of `Passed::how`.
        how: u16,
        /// It gave some that the task did not have.
        gained: bool,
    },
    /// A capability was used by a program for the first time, or refused to it.
    Capability(Box<Capability>),
    /// The program that was just started is the interpreter of a script.
    Script(Box<Script>),
    /// Somebody tried something with the recorder itself: of nobody's session, whoever it was.
    Guard(Box<Guard>),
    /// Something that the kernel side counts happened for the first time.
    Folded(Folded),
    /// A process was made.
    Fork(TaskId),
    /// A process ended.
    Exit(Exit),
    /// Credentials changed.
    Cred {
        /// Before.
        old: (Ids, Caps),
        /// After.
        new: (Ids, Caps),
    },
    /// A file was touched.
    File(FileOp, File),
    /// What a file is was changed.
    Setattr(Box<Setattr>),
    /// An extended attribute was changed.
    Xattr(Box<Xattr>),
    /// One of the kernel's settings was written.
    Setting(Box<Setting>),
    /// A file's space was changed.
    Allocate(Box<Allocate>),
    /// The system itself was changed.
    Call(CallOp, Box<Call>),
    /// Something was done with a socket.
    Socket(SocketOp, Box<Socket>),
    /// Somebody was sent something without a connection.
    Sent {
        /// One datagram.
        sent: Box<Sent>,
        /// The kernel side counts what is sent to him, this one included.
        counted: bool,
    },
    /// A terminal showed, took or changed something.
    Tty(TtyOp, TtyAct),
    /// Bytes of a standard stream that were not taken along.
    Streamed(Streamed),
}

/// Why something that starts is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchCause {
    /// A manager that was asked for something made a control group.
    Unit,
    /// A daemon that runs jobs made a process.
    Job,
    /// A program runs that a session wrote.
    Plant,
    /// A script runs that a session wrote.
    Script,
    /// A container engine that was asked for something has a runtime start or enter a container.
    Engine,
}

/// Something that starts and may have been asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Why.
    pub cause: BranchCause,
    /// Of a unit: a request to its manager was on its way and not told of yet.
    pub is_ahead: bool,
    /// The session that may be behind it, if one is known.
    pub parent: Option<Mark>,
    /// The control group's id or the program's inode; 0 for a script that is known by its path.
    pub object: u64,
    /// Device of a planted program, major and minor.
    pub device: (u32, u32),
    /// The same in the kernel's internal encoding.
    pub dev: u32,
    /// Generation of its inode.
    pub generation: u32,
    /// The control group's path, or a script's as it was asked for; empty for others.
    pub path: Bytes,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestWhat {
    /// A connection.
    Connect,
    /// Bytes.
    Send,
    /// Bytes from the memory of the sender, as the kernel's own could not be read: what he says that he sent.
    Retold,
    /// Bytes that the receiver had before they could be read.
    Opaque,
    /// The descriptor of a terminal; the bytes are the path of its device.
    Terminal,
    /// Another descriptor; the bytes are the path of its file.
    Passed {
        /// Its position among those of the message.
        which: u32,
        /// How many there are.
        of: u32,
    },
}

/// A session spoke to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it did.
    pub what: RequestWhat,
    /// Since when a message was on its way; `None`: not known.
    pub since: Option<BootNanos>,
    /// Tells connections apart while they live.
    pub connection: u64,
    /// The process that listens.
    pub peer: u32,
    /// The socket's name; an abstract one begins with a zero byte.
    pub to: Bytes,
    /// What was sent, or the path of a file that was.
    pub bytes: Bytes,
    /// So many bytes are missing behind these.
    pub missing: u32,
}

/// A terminal that was handed to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The process behind the socket.
    pub server: u32,
    /// The socket's name.
    pub to: Bytes,
    /// The device.
    pub terminal: Bytes,
}

/// A process that a session got hold of, by ptrace or one of its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The process; its start is 0 where only the number is known.
    pub target: TaskId,
    /// The session that it belongs to, as far as the kernel side knows.
    pub of: Option<Mark>,
    /// Number of the system call.
    pub call: u32,
}

/// What ties something that started to who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The session; `None`: nobody's that is recorded, a job of the host.
    pub from: Option<Mark>,
    /// By what means.
    pub trigger: Trigger,
    /// How sure.
    pub confidence: Confidence,
    /// The daemon that started it.
    pub to: Bytes,
    /// What was asked for.
    pub what: Bytes,
    /// What ties both.
    pub evidence: Bytes,
}

/// Something that was nobody's: the kernel side is to forget it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Its mark.
    pub mark: Mark,
    /// Its control group, if it is one.
    pub cgroup: Option<u64>,
    /// The planted program that is not to be looked at again: inode, device, generation.
    pub plant: Option<(u64, u32, u32)>,
    /// The path of a planted script that is not to be looked at again.
    pub script: Option<Bytes>,
    /// Its processes, as far as they are known.
    pub tasks: Vec<TaskId>,
}

/// The kernel's view of an elevation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elevated {
    /// Before.
    pub old: Ids,
    /// After.
    pub new: Ids,
    /// Capabilities after.
    pub caps: Caps,
    /// Audit's session id.
    pub audit_session: u32,
    /// How: a `Via` number.
    pub via: u16,
}

/// What went through a standard stream that is no terminal and was not taken along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// As [`TtyAct::key`] of its bytes.
    pub key: u64,
    /// The descriptor: 0 is read, the others are written.
    pub fd: u32,
    /// Bytes since the stream was first seen.
    pub away: u64,
}

/// A terminal event before the session has given the terminal a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtyAct {
    /// The kernel's address of the terminal: an identity within the session while it lives, never shown.
    pub key: u64,
    /// It was just made: another one may have had its address and its name.
    pub is_new: bool,
    /// Name, such as `pts/3`.
    pub name: Bytes,
    /// The bytes.
    pub data: Bytes,
    /// Typed bytes not kept.
    pub hidden: u32,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}
