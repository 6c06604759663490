//! The ABI between kernel and user space: what lies in the ring buffers and maps, byte for byte.
//!
//! Rules: `repr(C)`, no padding (zerocopy refuses it), no `bool`, no enum fields; sizes are asserted. Kernel and
//! service are always built together, so this ABI has no version; the journal has.
#![no_std]
#![forbid(unsafe_code)]

mod call;
mod cap;
mod context;
mod deleg;
mod exec;
mod file;
mod fold;
mod gate;
mod guard;
mod header;
mod limits;
mod loss;
mod offsets;
mod tty;

pub use call::{CALL_STRINGS, CallEvent, SendEvent, SendKey, SendUse, SocketEvent};
pub use cap::{CapEvent, CapKey, CapUse, PassedEvent};
pub use context::{CgroupEvent, Place};
pub use deleg::{
    Armed, BranchEvent, ControlEvent, ControlKey, PASSED_FILES, PlantKey, REQUEST_PART, REQUEST_PARTS,
    RequestEvent, SCRIPT_NAME, SUN_PATH, ScriptName, SocketName, StdinEvent, TurnKey,
};
pub use exec::{ArgvPart, CredEvent, Creds, ExecEvent, ExitEvent, ForkEvent, MarkEvent, ScriptEvent};
pub use file::{AllocateEvent, Attribute, FileEvent, SetattrEvent, XattrEvent};
pub use fold::{FAILED_NAME, FAILED_NAMES, FailedEvent, FailedKey, MapEvent, MapKey, RestKey};
pub use gate::{Allow, Gate, RefusedEvent};
pub use guard::{GuardAct, GuardEvent, GuardKey, GuardSettings, GuardUse, Guarded};
pub use header::{EventHeader, Flag, Hook, Kind, Ring};
pub use limits::{
    ARGV_CORE, ARGV_PART, ARGV_PARTS, CLASSES, PATH_PARTS, PATH_ROOM, RINGS, SCRATCH, SCRATCH_SLOTS,
    SETTING_MOST, STR_MAX, TTY_CHUNK, XATTR_MOST,
};
pub use loss::{Class, CpuCounters, MarkFlag, Settings, State, TaskMark, TtyState};
pub use offsets::{MEMBERS, Member, Offsets};
pub use tty::{StreamEvent, StreamKey, StreamState, TtyEvent};
