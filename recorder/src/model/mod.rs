//! The words of the recorder: ids, times, digests, events, sessions. No I/O, no clock, no kernel.
//!
//! Everything here is either a newtype that makes a mix-up a compile error or a plain struct that the journal
//! stores. Bytes that come from a recorded person stay bytes ([`Bytes`]) until somebody looks at them.

mod attribute;
mod bytes;
mod captured;
mod checkpoint;
mod codes;
mod config;
mod content;
mod context;
mod control;
mod coverage;
mod delegation;
mod enforcement;
mod event;
mod grant;
mod guard;
mod id;
mod lived;
mod liveness;
mod login;
mod participant;
mod permissions;
mod programs;
mod reads;
mod record;
mod redaction;
mod retention;
mod terminal;
mod text;
mod token;

pub use attribute::{Allocate, FileTime, Setattr, SetattrOp, Xattr};
pub use bytes::Bytes;
pub use captured::{
    Act, Branch, BranchCause, Captured, Dropped, Elevated, Handed, KernelEvent, Place, Reached, Request,
    RequestWhat, Shared, Streamed, TtyAct,
};
pub use checkpoint::Cosigned;
pub use config::{ConfigAct, ConfigChange, ConfigKey, Takes};
pub use content::{Changed, Class, Diff, Digested, Found, Why, acts};
pub use context::{Engine, Places, TaskContext};
pub use control::{
    Boot, ClockPair, EndReason, Heartbeat, Jump, Loss, LossReason, PreviousEnd, SessionClosed, SessionOpened,
    Stop, StorageFault,
};
pub use coverage::{Coverage, CoverageChange, Overdue, Uncovered};
pub use delegation::{Confidence, Delegation, DelegationRole, Trigger};
pub use enforcement::{Enforcement, EnforcementAct};
pub use event::{
    ArgvExtent, Caps, Cred, Cut, CutField, Exec, Exit, File, FileOp, Fork, Ids, Relay, Task, Tty, TtyOp,
};
pub use grant::{Grant, GrantAct};
pub use guard::{Guard, GuardAct, GuardObject};
pub use id::{BootId, BootNanos, Digest, LogId, Mark, RealNanos, SessionId, StreamNo, TaskId};
pub use lived::{Came, Lived};
pub use liveness::{ClockChange, ClockEvent, HookChange, HookState};
pub use login::Login;
pub use participant::Participant;
pub use permissions::{ActedAs, Capability, Passed, Permissions};
pub use programs::{Arguments, Attempt, ExecFailed, Folded, Mapped, Script};
pub use reads::Reads;
pub use record::{Body, Flags, Kind, Record};
pub use redaction::{REDACTED, Redacted, RedactedField, Redaction, RedactionKey};
pub use retention::Tombstone;
pub use terminal::{stream_name, terminal_name};
pub use text::quoted;
pub use token::{Token, TokenAct};

mod session;
mod system;
pub use session::{Elevation, LoginWitness, SessionEnd, SessionStart, Via};
pub use system::{Call, CallOp, Sent, Setting, Socket, SocketOp};
