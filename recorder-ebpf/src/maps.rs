//! All maps and read-only globals.

use core::ptr::null;

use aya_ebpf::{
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use recorder_common::{
    Allow, Armed, CapKey, CapUse, ControlKey, CpuCounters, FailedKey, Gate, GuardKey, GuardSettings,
    GuardUse, MapKey, Offsets, PlantKey, RestKey, SCRATCH, SCRATCH_SLOTS, ScriptName, SendKey, SendUse,
    Settings, SocketName, State, StreamKey, StreamState, TaskMark, TtyState, TurnKey,
};

/// Filled by the loader from BTF; frozen, so the verifier sees constants.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::UNKNOWN;
/// Filled by the loader from the configuration; frozen.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings { all_logins: 0, tty_input: 0, argv_parts: 0 };

/// What the guard is told; frozen.
#[unsafe(no_mangle)]
pub static GUARD: GuardSettings = GuardSettings {
    mode: 0,
    pid: 0,
    start: 0,
    parent: 0,
    parent_start: 0,
    host_mounts: 0,
    own_mounts: 0,
    setattr: 0,
};

/// Code in which a check of a capability is no act: begin and end of up to four functions. Filled by the loader where the
/// hook does not tell; frozen.
#[unsafe(no_mangle)]
pub static PROBES: [u64; 8] = [0; 8];

/// aya-ebpf 0.2 has no task storage: a BTF map definition by hand (type 29, no preallocation).
#[repr(C)]
pub struct TaskStorage<V> {
    r#type: *const [i32; 29],
    key: *const i32,
    value: *const V,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 1],
}
// SAFETY: the pointers are placeholders for BTF; nothing reads through them.
unsafe impl<V> Sync for TaskStorage<V> {}
impl<V> TaskStorage<V> {
    const fn new() -> Self {
        Self { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() }
    }
}

#[btf_map]
pub static TASKS: TaskStorage<TaskMark> = TaskStorage::new();

/// An act of a task that has begun (trampoline backend).
#[repr(C)]
pub struct Flight {
    /// The mount that the task may write to now; 0 for none.
    pub mnt: u64,
    /// Old directory of a rename.
    pub dir: u64,
    /// Length of its old name.
    pub name_len: u64,
    pub name: [u8; 256],
}
#[btf_map]
pub static FLIGHTS: TaskStorage<Flight> = TaskStorage::new();
/// What a task is about to run, where it is of a session or a session wrote it (trampoline backend). It is the task's own, so that no
/// other one's execs can push it out.
#[btf_map]
pub static SCRIPTS: TaskStorage<PlantKey> = TaskStorage::new();

/// Rare and valuable events.
#[map]
pub static CRITICAL: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
/// Everything else. The service sets both sizes.
#[map]
pub static BULK: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

#[map]
pub static COUNTERS: PerCpuArray<CpuCounters> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static SCRATCHES: PerCpuArray<[u8; SCRATCH]> = PerCpuArray::with_max_entries(SCRATCH_SLOTS as u32, 0);
#[map]
pub static STATE: Array<u32> = Array::with_max_entries(State::LEN, 0);
/// Next session mark; set by the service to the boot time, so that marks rise over restarts.
#[map]
pub static NEXT_MARK: Array<u64> = Array::with_max_entries(1, 0);

/// Who may elevate, by user id or audit session. Written by the service; read only while `State::GATE` is set.
#[map]
pub static GATES: HashMap<u64, Gate> = HashMap::with_max_entries(16384, 0);
/// What may be run by whom is not allowed everything.
#[map]
pub static ALLOWED: HashMap<Allow, u64> = HashMap::with_max_entries(65536, 0);

/// How often which program of which session used which capability, or was refused it.
#[map]
pub static CAPS: HashMap<CapKey, CapUse> = HashMap::with_max_entries(16384, 0);

/// How often which session could not start which program, and why.
#[map]
pub static FAILED: HashMap<FailedKey, CapUse> = HashMap::with_max_entries(4096, 0);
/// The same by the reason alone, of sessions that tried more names than are kept.
#[map]
pub static FAILED_REST: HashMap<RestKey, CapUse> = HashMap::with_max_entries(4096, 0);
/// How often which session mapped which file to be executed.
#[map]
pub static MAPPED: HashMap<MapKey, CapUse> = HashMap::with_max_entries(16384, 0);
/// What sessions send without a connection, by socket and peer.
#[map]
pub static SENDS: HashMap<SendKey, SendUse> = HashMap::with_max_entries(16384, 0);

/// Cgroups whose path was told.
#[map]
pub static CGROUPS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// Recorded terminals by the address of the slave's tty_struct.
#[map]
pub static TTYS: HashMap<u64, TtyState> = HashMap::with_max_entries(4096, 0);
/// Standard streams of sessions that are no terminals.
#[map]
pub static STREAMS: HashMap<StreamKey, StreamState> = HashMap::with_max_entries(4096, 0);
/// Process groups that belong to a session. Read only to decide whether a terminal that also serves the person's
/// ordinary shell is in the session's hands.
#[map]
pub static PGRPS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(32768, 0);
/// Writers that are between entry and return of a write to a master whose slave echoes lines.
#[map]
pub static TYPING: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// Sockets whose messages are read if a session sends them; the value is the key of the manager that it arms, or 0. Written by
/// the service.
#[map]
pub static SOCKETS: HashMap<SocketName, u64> = HashMap::with_max_entries(1024, 0);
/// Managers that were asked for something.
#[map]
pub static ARMED: LruHashMap<u64, Armed> = LruHashMap::with_max_entries(1024, 0);
/// Threads of sessions that are between entry and end of a send to such a manager: since when, `CLOCK_BOOTTIME` nanoseconds.
#[map]
pub static SENDING: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);
/// Control groups that such managers made: the mark of what starts in them.
#[map]
pub static PENDING: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);
/// Regular files that sessions wrote, and which session.
#[map]
pub static PLANTED: LruHashMap<PlantKey, u64> = LruHashMap::with_max_entries(65536, 0);
/// Files that more than one session writes, by those that are known to.
#[map]
pub static TURNS: LruHashMap<TurnKey, u32> = LruHashMap::with_max_entries(16384, 0);
/// Scripts by their path, and which session wrote them. Written by the service where inodes are not seen (tracepoint backend).
#[map]
pub static SCRIPT_NAMES: LruHashMap<ScriptName, u64> = LruHashMap::with_max_entries(16384, 0);
/// Which session got hold of which process by which call, as far as it was told.
#[map]
pub static CONTROLLED: LruHashMap<ControlKey, u64> = LruHashMap::with_max_entries(4096, 0);
/// What is guarded, and as what: inodes that the recorder opened to say so, and files that it made since.
#[map]
pub static GUARDED: HashMap<PlantKey, u32> = HashMap::with_max_entries(16384, 0);
/// The maps of these programs by their ids. Written by the service before the guard is attached.
#[map]
pub static GUARD_MAPS: HashMap<u32, u32> = HashMap::with_max_entries(128, 0);
/// How often who tried what with the recorder.
#[map]
pub static GUARD_SEEN: HashMap<GuardKey, GuardUse> =
    HashMap::with_max_entries(GuardKey::APART + GuardKey::REST, 0);
