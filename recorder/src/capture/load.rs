//! Loads and attaches the programs of one backend, and lets the canaries decide whether they see.

use std::{collections::HashMap, io, time::Duration};

use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, Map, RingBuf},
    programs::{Program, links::FdLink},
};

use super::{
    arguments,
    backend::{Backend, BackendChoice},
    btf,
    canary::{self, Canary},
    caps,
    guard::{self, GuardMode},
    kernel_log::{self, KernelLog},
    links::{self, Hold},
    offsets,
    programs::{
        BOTH, CGROUPS, LISTS, NEWER, PARTS, REQUESTS, REQUESTS_BEFORE, SCHED, SYSCALLS, Syscalls,
        TRAMPOLINES, Typed,
    },
};
use crate::{
    model::BootNanos,
    sys::{clock, perf, tracefs::TraceFs},
};

/// The object that `cargo xtask build-ebpf` made; empty if the recorder was built without it.
pub static OBJECT: &[u8] = include_bytes_aligned!("recorder.bpf.o");

macro_rules! include_bytes_aligned {
    ($name:literal) => {{
        /// ELF readers cast: the bytes need the alignment of the largest field.
        #[repr(C, align(32))]
        struct Aligned<T: ?Sized>(T);
        static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name)));
        &ALIGNED.0
    }};
}
use include_bytes_aligned;

/// What to keep of typed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputMode {
    /// Counts only.
    Off,
    /// Bytes while the terminal echoes in line mode, else counts.
    Redacted,
    /// All bytes.
    Full,
}

/// What capture needs to know.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// Backend.
    pub backend: BackendChoice,
    /// Typed input.
    pub tty_input: InputMode,
    /// Record every login, not only elevated sessions.
    pub all_logins: bool,
    /// Bytes of the critical ring, a power of two.
    pub critical_ring: u32,
    /// Bytes of the bulk ring, a power of two.
    pub bulk_ring: u32,
    /// Bytes of a program's arguments that are kept.
    pub arguments: u64,
    /// Let the kernel programs log what they decide.
    pub kernel_log: bool,
    /// Elevation without a grant will be refused.
    pub enforce: bool,
    /// What follows from attempts on the recorder itself.
    pub guard: GuardMode,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary was built without kernel programs.
    #[error("this recorder was built without its BPF object; build it with `cargo xtask build`")]
    NoObject,
    /// Not allowed.
    #[error("loading BPF programs needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN): {0}")]
    Privilege(String),
    /// Too old.
    #[error("kernel {release} is too old: {missing} is missing; Linux 5.15 or later is needed")]
    TooOld {
        /// `uname -r`.
        release: String,
        /// What the programs need and this kernel lacks.
        missing: &'static str,
    },
    /// Types are missing or lack a member.
    #[error(transparent)]
    Offsets(#[from] offsets::OffsetError),
    /// The kernel refused something.
    #[error("{what}: {reason}")]
    Refused {
        /// Program or map.
        what: String,
        /// The kernel's words.
        reason: String,
    },
    /// The kernel has no such function or tracepoint.
    #[error("{what}: not in this kernel")]
    Unknown {
        /// Program and what it hooks.
        what: String,
    },
    /// Attached, but blind.
    #[error("the {backend} backend attached but does not see: no answer from {hooks}")]
    Blind {
        /// Backend.
        backend: &'static str,
        /// Hooks whose canary did not come back.
        hooks: String,
    },
}

pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(aya::programs::ProgramError) -> LoadError {
    let what = what.into();
    move |e| {
        if let aya::programs::ProgramError::Btf(_) = &e {
            return LoadError::Unknown { what };
        }
        let mut reason = e.to_string();
        if let aya::programs::ProgramError::LoadError { io_error, verifier_log } = &e {
            let log = verifier_log.to_string();
            let tail: Vec<&str> = log.lines().rev().take(6).collect();
            reason =
                format!("{io_error}; verifier: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | "));
        }
        LoadError::Refused { what, reason }
    }
}

/// Loaded, attached and seen to work.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) backend: Backend,
    pub(super) attached: Vec<Hold>,
    /// There from the first round on.
    pub(super) canary: Option<Canary>,
    pub(super) critical: RingBuf<aya::maps::MapData>,
    pub(super) bulk: RingBuf<aya::maps::MapData>,
    pub(super) state: Array<aya::maps::MapData, u32>,
    pub(super) tasks: Map,
    /// Events that came while the canaries were awaited.
    pub(super) early: Vec<Vec<u8>>,
    /// Why a better backend was not taken.
    pub(super) refused: Option<String>,
    /// The programs' debug log, if it was asked for.
    pub(super) kernel_log: Option<KernelLog>,
    /// Why elevation can't be refused with an error and is ended by a signal instead, if it is to be refused at all.
    pub(super) no_lsm: Option<String>,
    /// Why there is no guard; `None`: there is, or none is wanted.
    pub(super) no_guard: Option<String>,
    /// Names of our maps by their ids, as far as there is a guard.
    pub(super) guard_maps: HashMap<u32, String>,
    /// Checks of capabilities are seen.
    pub(super) caps: bool,
    /// What this kernel does not show, beyond what the backend can't see.
    pub(super) blind: Vec<&'static str>,
}

/// Loads the best backend that the choice allows and whose canaries come back.
pub(super) fn load(config: &CaptureConfig, object: &[u8]) -> Result<Loaded, LoadError> {
    if object.is_empty() {
        return Err(LoadError::NoObject);
    }
    // The parsed types are needed twice and dropped with this frame.
    let table = {
        let types = btf::Btf::of_kernel().map_err(offsets::OffsetError::from)?;
        let setattr = types.parameters("bpf_lsm_inode_setattr").unwrap_or(0);
        (offsets::resolve(&types)?, guard::settings(config.guard, setattr))
    };
    let btf = Btf::from_sys_fs()
        .map_err(|e| LoadError::Refused { what: "type information".into(), reason: e.to_string() })?;
    match config.backend {
        BackendChoice::Only(backend) => attempt(backend, config, object, &table, &btf),
        BackendChoice::Auto => match attempt(Backend::Trampoline, config, object, &table, &btf) {
            Ok(loaded) => Ok(loaded),
            Err(why @ (LoadError::Refused { .. } | LoadError::Unknown { .. } | LoadError::Blind { .. })) => {
                let mut loaded = attempt(Backend::Tracepoint, config, object, &table, &btf)?;
                loaded.refused = Some(why.to_string());
                Ok(loaded)
            }
            Err(other) => Err(other),
        },
    }
}

fn attempt(
    backend: Backend,
    config: &CaptureConfig,
    object: &[u8],
    (table, guarded): &(Vec<u32>, [u64; 8]),
    btf: &Btf,
) -> Result<Loaded, LoadError> {
    let settings = [
        u32::from(config.all_logins),
        match config.tty_input {
            InputMode::Off => 0,
            InputMode::Redacted => 1,
            InputMode::Full => 2,
        },
        arguments::parts(config.arguments),
    ];
    let mut loader = EbpfLoader::new();
    if !config.kernel_log {
        loader.map_max_entries("AYA_LOGS", kernel_log::UNUSED_RING);
    }
    let mut ebpf = loader
        .btf(Some(btf))
        .verifier_log_level(VerifierLogLevel::STATS)
        .allow_unsupported_maps()
        .override_global("OFFSETS", table.as_slice(), true)
        .override_global("SETTINGS", settings.as_slice(), true)
        .override_global("GUARD", guarded.as_slice(), true)
        .override_global("PROBES", caps::probes().as_slice(), true)
        .override_global(aya_log::LEVEL, &kernel_log::level(config.kernel_log), true)
        .map_max_entries("CRITICAL", config.critical_ring)
        .map_max_entries("BULK", config.bulk_ring)
        .load(object)
        .map_err(|e| map_error(&e))?;
    let critical = ring(&mut ebpf, "CRITICAL")?;
    let bulk = ring(&mut ebpf, "BULK")?;
    let state =
        ebpf.take_map("STATE").and_then(|m| Array::try_from(m).ok()).ok_or_else(|| missing("STATE"))?;
    let tasks = ebpf.take_map("TASKS").ok_or_else(|| missing("TASKS"))?;
    set_first_mark(&mut ebpf, clock::boot())?;
    let kernel_log = if config.kernel_log { Some(KernelLog::open(&mut ebpf)?) } else { None };
    let mut loaded = Loaded {
        ebpf,
        backend,
        attached: Vec::new(),
        canary: None,
        critical,
        bulk,
        state,
        tasks,
        early: Vec::new(),
        refused: None,
        kernel_log,
        no_lsm: None,
        no_guard: None,
        guard_maps: HashMap::new(),
        caps: false,
        blind: Vec::new(),
    };
    loaded.attach(btf)?;
    let silent = canary::silent_hooks(&mut loaded, Duration::from_secs(5))
        .map_err(|e| LoadError::Refused { what: "canary".into(), reason: e.to_string() })?;
    if silent.is_empty() {
        if config.enforce {
            loaded.no_lsm = loaded.attach_gate(btf).err();
        }
        if config.guard != GuardMode::Off {
            loaded.no_guard = guard::attach(&mut loaded, btf).err();
            loaded.without_half_a_guard();
            if loaded.no_guard.is_some() {
                loaded.witness(btf);
            }
        }
        Ok(loaded)
    } else {
        Err(LoadError::Blind { backend: backend.name(), hooks: silent.join(", ") })
    }
}

fn map_error(e: &aya::EbpfError) -> LoadError {
    use std::error::Error;
    let mut text = e.to_string();
    let mut cause = e.source();
    let mut privilege = false;
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            privilege = io.raw_os_error() == Some(libc::EPERM);
        }
        cause = inner.source();
    }
    if privilege {
        LoadError::Privilege(text)
    } else {
        LoadError::Refused { what: "BPF maps".into(), reason: text }
    }
}

fn missing(map: &str) -> LoadError {
    LoadError::Refused { what: format!("map {map}"), reason: "not in the object".into() }
}

fn ring(ebpf: &mut Ebpf, name: &str) -> Result<RingBuf<aya::maps::MapData>, LoadError> {
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    RingBuf::try_from(map)
        .map_err(|e| LoadError::Refused { what: format!("ring {name}"), reason: e.to_string() })
}

/// Marks rise over restarts of the service within one boot.
fn set_first_mark(ebpf: &mut Ebpf, now: BootNanos) -> Result<(), LoadError> {
    let mut next: Array<_, u64> = ebpf
        .map_mut("NEXT_MARK")
        .and_then(|m| Array::try_from(m).ok())
        .ok_or_else(|| missing("NEXT_MARK"))?;
    next.set(0, now.get(), 0)
        .map_err(|e| LoadError::Refused { what: "map NEXT_MARK".into(), reason: e.to_string() })
}

impl Loaded {
    /// What was attached before something failed must not judge while nobody is told that there is a guard.
    pub(super) fn without_half_a_guard(&mut self) {
        if self.no_guard.is_some() {
            links::release(self.attached.extract_if(.., |hold| hold.is_of("guard_")).collect());
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        links::release(std::mem::take(&mut self.attached));
    }
}

impl Loaded {
    fn attach(&mut self, btf: &Btf) -> Result<(), LoadError> {
        // Trampolines first: if the kernel refuses them, nothing else was done in vain.
        if self.backend == Backend::Trampoline {
            for t in &TRAMPOLINES {
                self.attach_typed(t, btf)?;
            }
            for t in &LISTS {
                if let Err(error) = self.attach_typed(t, btf) {
                    tracing::debug!(%error, "access lists are attributes here");
                }
            }
            self.attach_parts(btf);
        } else {
            self.attach_syscalls(&SYSCALLS)?;
        }
        self.attach_syscalls(&BOTH)?;
        for t in SCHED.iter().chain(&CGROUPS) {
            self.attach_typed(t, btf)?;
        }
        self.attach_caps(btf)?;
        self.attach_requests(btf)
    }

    /// What the kernel may lack, which is then said.
    fn attach_parts(&mut self, btf: &Btf) {
        for part in &PARTS {
            for t in part.programs {
                if let Err(error) = self.attach_typed(t, btf) {
                    tracing::debug!(%error, "not seen: {}", part.blind);
                    self.blind.push(part.blind);
                    break;
                }
            }
        }
    }

    /// What sessions ask of managers; a kernel that shows it in neither way is blind to it, and says so.
    fn attach_requests(&mut self, btf: &Btf) -> Result<(), LoadError> {
        match self.attach_typed(&REQUESTS, btf) {
            Err(_) if self.backend == Backend::Trampoline => self.attach_typed(&REQUESTS_BEFORE, btf),
            Err(_) => {
                self.blind.push("what sessions ask service managers for (needs fentry, or Linux 6.3)");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn program(&mut self, name: &str) -> Result<&mut Program, LoadError> {
        self.ebpf.program_mut(name).ok_or_else(|| LoadError::Refused {
            what: format!("program {name}"),
            reason: "not in the object".into(),
        })
    }

    pub(super) fn attach_typed(&mut self, t: &Typed, btf: &Btf) -> Result<(), LoadError> {
        let fail = || refused(format!("{} on {}", t.program, t.target));
        match self.program(t.program)? {
            Program::BtfTracePoint(p) => {
                p.load(t.target, btf).map_err(fail())?;
                let link = p.attach().and_then(|id| p.take_link(id)).map_err(fail())?;
                self.hold(t.program, t.target, link.into())
            }
            Program::FExit(p) => {
                p.load(t.target, btf).map_err(fail())?;
                let link = p.attach().and_then(|id| p.take_link(id)).map_err(fail())?;
                self.hold(t.program, t.target, link.into())
            }
            Program::FEntry(p) => {
                p.load(t.target, btf).map_err(fail())?;
                let link = p.attach().and_then(|id| p.take_link(id)).map_err(fail())?;
                self.hold(t.program, t.target, link.into())
            }
            _ => Err(missing(t.program)),
        }
    }

    /// Keeps what holds a program, to be looked at while it runs.
    pub(super) fn hold(&mut self, program: &str, target: &str, link: FdLink) -> Result<(), LoadError> {
        let id = self.program(program)?.info().map_err(refused(program))?.id();
        self.attached.push(Hold::link(format!("{program} at {target}"), id, link));
        Ok(())
    }

    /// The hook that refuses a program before it starts.
    fn attach_gate(&mut self, btf: &Btf) -> Result<(), String> {
        if !super::probe().lsm.iter().any(|name| name == "bpf") {
            return Err("the bpf LSM is not switched on (lsm=…,bpf on the kernel's command line)".to_owned());
        }
        let Ok(Program::Lsm(program)) = self.program("gate_exec") else {
            return Err("not in the object".to_owned());
        };
        program.load("bprm_check_security", btf).map_err(|e| refused("gate_exec")(e).to_string())?;
        let link = program.attach().and_then(|id| program.take_link(id));
        let link = link.map_err(|e| refused("gate_exec")(e).to_string())?;
        self.hold("gate_exec", "bprm_check_security", link.into()).map_err(|e| e.to_string())
    }

    fn attach_syscalls(&mut self, programs: &[Syscalls]) -> Result<(), LoadError> {
        let io = |what: String| move |e: io::Error| LoadError::Refused { what, reason: e.to_string() };
        let tracefs = TraceFs::open().map_err(io("tracefs".into()))?;
        for s in programs {
            let Program::TracePoint(program) = self.program(s.program)? else {
                return Err(missing(s.program));
            };
            program.load().map_err(refused(s.program))?;
            let number = program.info().map_err(refused(s.program))?.id();
            let fd = program.fd().map_err(refused(s.program))?;
            let mut links = Vec::new();
            for event in s.events {
                let id = match tracefs.id(&format!("syscalls/{event}")) {
                    Err(e) if NEWER.contains(event) && e.kind() == io::ErrorKind::NotFound => continue,
                    id => id.map_err(io(format!("tracepoint {event}")))?,
                };
                let fd = std::os::fd::AsFd::as_fd(fd);
                let attached = perf::attach_tracepoint(fd, id).map_err(io(format!("attach to {event}")))?;
                links.push(Hold::event(format!("{} at {event}", s.program), number, attached));
            }
            self.attached.append(&mut links);
        }
        Ok(())
    }
}
