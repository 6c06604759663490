//! What the journal stores: a time, a task, a body with an explicit kind.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Allocate, Arguments, Boot, BootNanos, Call, CallOp, Capability, Changed, ClockChange, ConfigChange,
    Cosigned, CoverageChange, Cred, Delegation, Digested, Enforcement, Exec, ExecFailed, Exit, File, FileOp,
    Fork, Grant, Guard, Heartbeat, HookChange, Jump, Login, Loss, Mapped, Overdue, Participant, Permissions,
    Reads, Redacted, RedactionKey, Script, Sent, SessionClosed, SessionEnd, SessionOpened, SessionStart,
    Setattr, SetattrOp, Setting, Socket, SocketOp, Stop, StorageFault, Task, TaskContext, Token, Tombstone,
    Tty, TtyOp, Xattr,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A record's kind: an explicit number that never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct Kind(u16);
        impl Kind {
            $($(#[$doc])* pub const $name: Self = Self($code);)*
            /// Every kind this version knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Name in JSON and in `--kind`.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "unknown",
                }
            }
            /// The kind with that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// A program was started.
    EXEC = 1, "exec";
    /// A process was made.
    FORK = 2, "fork";
    /// A process ended.
    EXIT = 3, "exit";
    /// Credentials changed.
    CRED = 4, "cred";
    /// A file was opened, or could not be.
    OPEN = 16, "open";
    /// A file was created by open.
    CREATE = 17, "create";
    /// A name was moved.
    RENAME = 18, "rename";
    /// A name was removed.
    UNLINK = 19, "unlink";
    /// A file got another name.
    LINK = 20, "link";
    /// A symbolic link was made.
    SYMLINK = 21, "symlink";
    /// A directory was made.
    MKDIR = 22, "mkdir";
    /// A device, a pipe, a socket or a file was made other than by open.
    MKNOD = 23, "mknod";
    /// A file's mode was set.
    CHMOD = 24, "chmod";
    /// A file's owner or group was set.
    CHOWN = 25, "chown";
    /// A file's length was set.
    TRUNCATE = 26, "truncate";
    /// A file's times were set.
    UTIMES = 27, "utimes";
    /// An extended attribute was set or taken away.
    XATTR = 28, "xattr";
    /// Space of a file was allocated, punched or moved.
    FALLOCATE = 29, "fallocate";
    /// Programs could not be started: how often so far.
    EXEC_FAILED = 30, "exec_failed";
    /// A file was mapped to be executed: how often so far.
    MAPPED = 31, "mapped";
    /// A file was written to that the session is not known to have opened for writing.
    WRITE = 38, "write";
    /// A ring was made through which acts are asked for without system calls of their own.
    IO_URING = 39, "io_uring";
    /// A file was opened for reading again, so many times.
    READS = 40, "reads";
    /// One of the kernel's settings was written.
    SETTING = 41, "setting";
    /// Something was mounted, moved, or made somebody's root.
    MOUNT = 64, "mount";
    /// A mount was taken away.
    UMOUNT = 65, "umount";
    /// A module came or went.
    MODULE = 66, "module";
    /// A BPF program was loaded, attached, detached or pinned.
    BPF = 67, "bpf";
    /// A process went into other namespaces.
    NAMESPACE = 68, "namespace";
    /// Clocks, names, swap, accounting, another kernel, a reboot.
    KERNEL = 69, "kernel";
    /// The other end of a socket was chosen.
    CONNECT = 80, "connect";
    /// A socket's own address was chosen.
    BIND = 81, "bind";
    /// A socket waits for others.
    LISTEN = 82, "listen";
    /// Somebody else's connection was taken.
    ACCEPT = 83, "accept";
    /// Somebody was sent something without a connection.
    SEND = 84, "send";
    /// The screen showed bytes.
    TTY_OUTPUT = 32, "tty_output";
    /// Bytes were typed.
    TTY_INPUT = 33, "tty_input";
    /// A terminal appeared or changed its size.
    TTY_RESIZE = 34, "tty_resize";
    /// More arguments of an exec, or how much of them is missing.
    ARGUMENTS = 35, "arguments";
    /// What was executed is the interpreter of a script.
    SCRIPT = 36, "script";
    /// A session began.
    SESSION_START = 48, "session_start";
    /// A session ended.
    SESSION_END = 49, "session_end";
    /// Whether a grant allows what the session does changed.
    COVERAGE = 50, "coverage";
    /// A process outlives the grant that it was started under.
    OVERDUE = 51, "overdue";
    /// What was done because no grant allowed it.
    ENFORCEMENT = 52, "enforcement";
    /// Work was handed to somebody else's process, or came from another session.
    DELEGATION = 53, "delegation";
    /// A capability was exercised, or refused: how often so far.
    CAPABILITY = 54, "capability";
    /// A process lives in other namespaces than the host's, or in a container.
    CONTEXT = 55, "context";
    /// As which users a session acted, and which programs gave it rights.
    PERMISSIONS = 56, "permissions";
    /// Somebody sits at the session through a server of terminals.
    PARTICIPANT = 57, "participant";
    /// What lay in a program that a session ran.
    DIGEST = 59, "digest";
    /// What a session left in a file.
    CHANGED = 60, "changed";
    /// What was taken out of the record before it, because it is a secret.
    REDACTED = 58, "redacted";
    /// The recorder started.
    BOOT = 256, "boot";
    /// The recorder lives.
    HEARTBEAT = 257, "heartbeat";
    /// Events are missing, counted.
    LOSS = 258, "loss";
    /// A clock stepped.
    JUMP = 259, "jump";
    /// The recorder stopped.
    STOP = 260, "stop";
    /// A stream began.
    SESSION_OPENED = 261, "session_opened";
    /// A stream ended.
    SESSION_CLOSED = 262, "session_closed";
    /// Storage failed.
    STORAGE = 263, "storage";
    /// A grant's document came, or its state changed.
    GRANT = 264, "grant";
    /// Somebody logged in.
    LOGIN = 265, "login";
    /// A token was used, or refused.
    TOKEN = 266, "token";
    /// Witnesses signed a checkpoint of this log.
    CHECKPOINT = 267, "checkpoint";
    /// A hook fell silent, or answers again.
    HOOK = 269, "hook";
    /// A clock ran off, or the host slept.
    CLOCK = 270, "clock";
    /// A segment was deleted by permission.
    TOMBSTONE = 268, "tombstone";
    /// The key of the hashes that redactions leave.
    REDACTION_KEY = 271, "redaction_key";
    /// The configuration was read again.
    CONFIG = 300, "config";
    /// Somebody tried something with the recorder itself.
    GUARD = 320, "guard";
}

impl Kind {
    /// From the stored number.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The stored number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// True for records of the log itself: stored in clear, in control frames.
    pub const fn is_control(self) -> bool {
        self.0 >= 256
    }

    /// True for what must reach the disk with the next commit.
    pub const fn is_critical(self) -> bool {
        matches!(
            self,
            Self::EXEC
                | Self::ARGUMENTS
                | Self::SCRIPT
                | Self::CRED
                | Self::MOUNT
                | Self::UMOUNT
                | Self::MODULE
                | Self::BPF
                | Self::NAMESPACE
                | Self::KERNEL
                | Self::SETTING
                | Self::SESSION_START
                | Self::SESSION_END
                | Self::COVERAGE
                | Self::OVERDUE
                | Self::DELEGATION
                | Self::PARTICIPANT
                | Self::REDACTED
                | Self::ENFORCEMENT
                | Self::BOOT
                | Self::LOSS
                | Self::JUMP
                | Self::STOP
                | Self::SESSION_OPENED
                | Self::SESSION_CLOSED
                | Self::STORAGE
                | Self::GRANT
                | Self::LOGIN
                | Self::TOKEN
                | Self::HOOK
                | Self::CLOCK
                | Self::TOMBSTONE
                | Self::REDACTION_KEY
                | Self::CONFIG
                | Self::GUARD
        )
    }
}

/// Bits that say how much a record's content can be trusted or what is special about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags(u16);

impl Flags {
    /// Something was cut; `cut` says what.
    pub const TRUNCATED: Self = Self(1);
    /// The path is what the program passed, not what the kernel resolved.
    pub const AS_PASSED: Self = Self(2);
    /// The mount could not be determined: the path is relative to its file system's root.
    pub const MOUNT_UNKNOWN: Self = Self(4);
    /// Memory of the program could not be read: content is missing.
    pub const UNREADABLE: Self = Self(8);
    /// The task was found running when the recorder started.
    pub const SEEDED: Self = Self(16);
    /// The file's name was already removed.
    pub const DELETED: Self = Self(32);
    /// The task lies outside the caller's root directory (chroot, detached mount).
    pub const UNREACHABLE: Self = Self(64);

    /// The clear twin of a record that stands whole in the log's sealed stream: its content is left out here.
    pub const LEFT_OUT: Self = Self(128);

    /// Secrets were taken out; the record behind it says where.
    pub const REDACTED: Self = Self(256);

    const NAMES: [(Self, &'static str); 9] = [
        (Self::TRUNCATED, "truncated"),
        (Self::AS_PASSED, "as_passed"),
        (Self::MOUNT_UNKNOWN, "mount_unknown"),
        (Self::UNREADABLE, "unreadable"),
        (Self::SEEDED, "seeded"),
        (Self::DELETED, "deleted"),
        (Self::UNREACHABLE, "unreachable"),
        (Self::LEFT_OUT, "left_out"),
        (Self::REDACTED, "redacted"),
    ];

    /// From the stored bits; unknown bits are kept.
    pub const fn new(bits: u16) -> Self {
        Self(bits)
    }

    /// The stored bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.has(*bit)).map(|(_, name)| name)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened.
    pub boot_ns: BootNanos,
    /// On which processor (`u16::MAX` where it has no meaning).
    pub cpu: u16,
    /// What is special about it.
    pub flags: Flags,
    /// Who did it; `None` for records of the log itself.
    pub task: Option<Arc<Task>>,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant holds the struct of the same name")]
pub enum Body {
    Exec(Exec),
    ExecFailed(Box<ExecFailed>),
    Arguments(Box<Arguments>),
    Script(Box<Script>),
    Mapped(Box<Mapped>),
    Fork(Fork),
    Exit(Exit),
    Cred(Box<Cred>),
    File(FileOp, File),
    Reads(Box<Reads>),
    Setattr(SetattrOp, Box<Setattr>),
    Xattr(Box<Xattr>),
    Allocate(Box<Allocate>),
    Call(CallOp, Box<Call>),
    Socket(SocketOp, Box<Socket>),
    Sent(Box<Sent>),
    Setting(Box<Setting>),
    Tty(TtyOp, Tty),
    SessionStart(Box<SessionStart>),
    SessionEnd(SessionEnd),
    Boot(Box<Boot>),
    Heartbeat(Heartbeat),
    Loss(Loss),
    Jump(Jump),
    Stop(Stop),
    SessionOpened(SessionOpened),
    SessionClosed(SessionClosed),
    Storage(StorageFault),
    Coverage(Box<CoverageChange>),
    Overdue(Overdue),
    Delegation(Box<Delegation>),
    Participant(Box<Participant>),
    Digest(Box<Digested>),
    Changed(Box<Changed>),
    Redacted(Box<Redacted>),
    Enforcement(Box<Enforcement>),
    Capability(Box<Capability>),
    Context(Arc<TaskContext>),
    Permissions(Box<Permissions>),
    Grant(Box<Grant>),
    Login(Box<Login>),
    Token(Box<Token>),
    Checkpoint(Box<Cosigned>),
    Hook(Box<HookChange>),
    Clock(ClockChange),
    Tombstone(Tombstone),
    RedactionKey(Box<RedactionKey>),
    Config(Box<ConfigChange>),
    Guard(Box<Guard>),
    /// A kind that this version doesn't know, as stored.
    Unknown {
        kind: Kind,
        bytes: Vec<u8>,
    },
}

impl Body {
    /// So many acts are lost with it: what is told by number stands for that many.
    pub fn acts(&self) -> u64 {
        match self {
            Self::Reads(reads) => reads.count.max(1),
            Self::Sent(sent) => sent.count.max(1),
            _ => 1,
        }
    }

    /// The stored kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Exec(_) => Kind::EXEC,
            Self::ExecFailed(_) => Kind::EXEC_FAILED,
            Self::Script(_) => Kind::SCRIPT,
            Self::Arguments(_) => Kind::ARGUMENTS,
            Self::Mapped(_) => Kind::MAPPED,
            Self::Fork(_) => Kind::FORK,
            Self::Exit(_) => Kind::EXIT,
            Self::Cred(_) => Kind::CRED,
            Self::File(FileOp::Open, _) => Kind::OPEN,
            Self::File(FileOp::Create, _) => Kind::CREATE,
            Self::File(FileOp::Rename, _) => Kind::RENAME,
            Self::File(FileOp::Unlink, _) => Kind::UNLINK,
            Self::File(FileOp::Link, _) => Kind::LINK,
            Self::File(FileOp::Symlink, _) => Kind::SYMLINK,
            Self::File(FileOp::Mkdir, _) => Kind::MKDIR,
            Self::File(FileOp::Mknod, _) => Kind::MKNOD,
            Self::File(FileOp::Write, _) => Kind::WRITE,
            Self::Reads(_) => Kind::READS,
            Self::Setattr(SetattrOp::Chmod, _) => Kind::CHMOD,
            Self::Setattr(SetattrOp::Chown, _) => Kind::CHOWN,
            Self::Setattr(SetattrOp::Truncate, _) => Kind::TRUNCATE,
            Self::Setattr(SetattrOp::Utimes, _) => Kind::UTIMES,
            Self::Xattr(_) => Kind::XATTR,
            Self::Allocate(_) => Kind::FALLOCATE,
            Self::Call(CallOp::Mount, _) => Kind::MOUNT,
            Self::Call(CallOp::Umount, _) => Kind::UMOUNT,
            Self::Call(CallOp::Module, _) => Kind::MODULE,
            Self::Call(CallOp::Bpf, _) => Kind::BPF,
            Self::Call(CallOp::Namespace, _) => Kind::NAMESPACE,
            Self::Call(CallOp::Kernel, _) => Kind::KERNEL,
            Self::Call(CallOp::IoUring, _) => Kind::IO_URING,
            Self::Socket(SocketOp::Connect, _) => Kind::CONNECT,
            Self::Socket(SocketOp::Bind, _) => Kind::BIND,
            Self::Socket(SocketOp::Listen, _) => Kind::LISTEN,
            Self::Socket(SocketOp::Accept, _) => Kind::ACCEPT,
            Self::Sent(_) => Kind::SEND,
            Self::Setting(_) => Kind::SETTING,
            Self::Tty(TtyOp::Output, _) => Kind::TTY_OUTPUT,
            Self::Tty(TtyOp::Input, _) => Kind::TTY_INPUT,
            Self::Tty(TtyOp::Resize, _) => Kind::TTY_RESIZE,
            Self::SessionStart(_) => Kind::SESSION_START,
            Self::SessionEnd(_) => Kind::SESSION_END,
            Self::Boot(_) => Kind::BOOT,
            Self::Heartbeat(_) => Kind::HEARTBEAT,
            Self::Loss(_) => Kind::LOSS,
            Self::Jump(_) => Kind::JUMP,
            Self::Stop(_) => Kind::STOP,
            Self::SessionOpened(_) => Kind::SESSION_OPENED,
            Self::SessionClosed(_) => Kind::SESSION_CLOSED,
            Self::Storage(_) => Kind::STORAGE,
            Self::Coverage(_) => Kind::COVERAGE,
            Self::Overdue(_) => Kind::OVERDUE,
            Self::Delegation(_) => Kind::DELEGATION,
            Self::Participant(_) => Kind::PARTICIPANT,
            Self::Digest(_) => Kind::DIGEST,
            Self::Changed(_) => Kind::CHANGED,
            Self::Redacted(_) => Kind::REDACTED,
            Self::Enforcement(_) => Kind::ENFORCEMENT,
            Self::Capability(_) => Kind::CAPABILITY,
            Self::Context(_) => Kind::CONTEXT,
            Self::Permissions(_) => Kind::PERMISSIONS,
            Self::Grant(_) => Kind::GRANT,
            Self::Login(_) => Kind::LOGIN,
            Self::Token(_) => Kind::TOKEN,
            Self::Checkpoint(_) => Kind::CHECKPOINT,
            Self::Hook(_) => Kind::HOOK,
            Self::Clock(_) => Kind::CLOCK,
            Self::Tombstone(_) => Kind::TOMBSTONE,
            Self::RedactionKey(_) => Kind::REDACTION_KEY,
            Self::Config(_) => Kind::CONFIG,
            Self::Guard(_) => Kind::GUARD,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}
