//! Records of the log itself. They are stored in clear and hold ids, times, counts, digests and states only.

use serde::{Deserialize, Serialize};

use super::codes::codes;
use super::{BootId, BootNanos, Bytes, Digest, RealNanos, SessionId, StreamNo};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPair {
    /// Since boot.
    pub boot: BootNanos,
    /// Since 1970.
    pub real: RealNanos,
}

codes! {
    /// How the recorder's last run on this log ended.
    PreviousEnd {
        /// With a stop record.
        Stop = 1, "stop";
        /// Without one.
        Crash = 2, "crash";
        /// There was none.
        None = 0, "none";
    }
}

/// The recorder started and its hooks answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// This boot.
    pub boot_id: BootId,
    /// Both clocks.
    pub clock: ClockPair,
    /// Host name.
    pub host: Bytes,
    /// `uname -r`.
    pub kernel: Bytes,
    /// SHA-256 of /proc/cmdline.
    pub cmdline_sha256: Digest,
    /// SHA-256 of the BPF object.
    pub object_sha256: Digest,
    /// SHA-256 of the recorder binary.
    pub recorder_sha256: Digest,
    /// SHA-256 of the effective configuration.
    pub config_sha256: Digest,
    /// Recorder version.
    pub version: Bytes,
    /// Backend: `tracepoint` or `trampoline`.
    pub backend: Bytes,
    /// Live hooks.
    pub hooks: Vec<Bytes>,
    /// What this backend can't see.
    pub blind: Vec<Bytes>,
    /// Active security modules.
    pub lsm: Vec<Bytes>,
    /// Lockdown state as the kernel prints it.
    pub lockdown: Bytes,
    /// How the last run ended.
    pub previous_end: PreviousEnd,
}

/// A sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Both clocks.
    pub clock: ClockPair,
    /// Sessions open now.
    pub sessions: u32,
    /// Kernel events taken over since start.
    pub events: u64,
    /// Kernel events lost since start (each is also in a loss record).
    pub lost: u64,
    /// Free bytes of the journal's file system.
    pub free_bytes: u64,
    /// Canaries sent since start.
    pub canaries: u64,
    /// Canaries that did not come back since start.
    pub canaries_missed: u64,
    /// Live hooks (bit n = hook n of the boot record).
    pub hooks_live: u64,
}

/// The wall clock and the boot clock disagree with the last pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// The pair before.
    pub before: ClockPair,
    /// The pair after.
    pub after: ClockPair,
}

codes! {
    /// Where a loss happened.
    LossReason {
        /// The ring had no room.
        RingFull = 1, "ring_full";
        /// All scratch buffers of the processor were in use.
        ScratchBusy = 2, "scratch_busy";
        /// The event could not be decoded.
        Undecodable = 3, "undecodable";
        /// A task could not be marked: its descendants may be unseen.
        MarkFailed = 4, "mark_failed";
        /// A kernel map was full.
        MapFull = 5, "map_full";
        /// Memory could not be read.
        ReadFault = 6, "read_fault";
        /// Unacknowledged at a storage fault.
        Storage = 7, "storage";
        /// The kernel did not run a program (the class), because it ran already on that processor; whether a session's act was
        /// behind it is not known.
        Skipped = 8, "skipped";
    }
}

/// Events that happened and are not in the journal, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Class: `exec`, `fork`, `exit`, `cred`, `session`, `file`, `tty`, ...
    pub class: Bytes,
    /// Ring or stage: `critical`, `bulk`, `user`.
    pub ring: Bytes,
    /// Processor.
    pub cpu: u16,
    /// First missing sequence number of that processor and ring (0 if it has none).
    pub from: u64,
    /// Last missing sequence number.
    pub to: u64,
    /// How many events of this class.
    pub count: u64,
    /// Why.
    pub reason: LossReason,
}

/// A session's stream begins (clear twin of the session's own start record).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Its stream in this log.
    pub stream: StreamNo,
    /// Its id.
    pub id: SessionId,
}

codes! {
    /// Why a session ended.
    EndReason {
        /// The last task of the lineage is gone.
        LastTask = 1, "last_task";
        /// The recorder stopped while it ran.
        RecorderStop = 2, "recorder_stop";
        /// Exit events were lost; a look at the live processes found nobody.
        Reconciled = 3, "reconciled";
    }
}

/// A session's stream is closed: nothing more will come on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClosed {
    /// Its stream in this log.
    pub stream: StreamNo,
    /// Its id.
    pub id: SessionId,
    /// Why.
    pub reason: EndReason,
    /// Data frames of the stream.
    pub frames: u64,
    /// Records of the stream.
    pub records: u64,
    /// Losses declared while it was open.
    pub losses: u64,
}

/// The recorder stopped on request; the log is whole up to its clock: what happens later is taken from the kernel by nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Both clocks.
    pub clock: ClockPair,
    /// Signal that asked for it (0 = internal).
    pub signal: u8,
    /// Sessions that were still open.
    pub open_sessions: u32,
}

/// A write or sync failed; the chain was restarted elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFault {
    /// The operation that failed.
    pub operation: Bytes,
    /// Its errno.
    pub errno: i32,
    /// Records that were not yet acknowledged and are repeated in the new segment.
    pub repeated: u64,
}
