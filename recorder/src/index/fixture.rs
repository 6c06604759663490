//! A made-up journal for tests of the readers.

use std::sync::Arc;

use crate::model::*;
use crate::verify::{Entry, LogSummary, Report, SessionVerdict, Verdict, Verified};

/// 2026-11-21T02:31:00Z.
pub(crate) const START: u64 = 1_795_228_260_000_000_000;
/// Boot clock at that moment.
pub(crate) const BOOT_NS: u64 = 5_000_000_000_000;

pub(crate) struct Fixture {
    now: u64,
    seq: u64,
    pub(crate) entries: Vec<Verified<Entry>>,
}

pub(crate) fn session_id(n: u8) -> SessionId {
    SessionId::new([1, 0x93, 2, 3, 4, n, 0x76, 7, 0x88, 9, 10, 11, 12, 13, 14, n])
}

pub(crate) fn log_id() -> LogId {
    LogId::new([0x7f; 16])
}

pub(crate) fn task(pid: u32, ppid: u32, comm: &str) -> Arc<Task> {
    Arc::new(Task {
        id: TaskId { pid, start: BootNanos::new(u64::from(pid) * 1000) },
        tid: pid,
        ppid,
        comm: comm.into(),
        auid: 1001,
        uid: 0,
        euid: 0,
    })
}

pub(crate) fn exec(path: &str, argv: &[&str]) -> Body {
    Body::Exec(Exec {
        path: path.into(),
        argv: argv.iter().map(|a| Bytes::from(*a)).collect(),
        cwd: "/root".into(),
        dev: (254, 0),
        ino: 1234,
        ..Exec::default()
    })
}

pub(crate) fn file(op: FileOp, path: &str, flags: u32, result: i32) -> Body {
    let file = File {
        path: path.into(),
        flags,
        result,
        mode: 0o100_644,
        dev: (254, 0),
        ino: 77,
        count: 1,
        ..File::default()
    };
    Body::File(op, file)
}

pub(crate) fn tty(op: TtyOp, no: u32, data: &[u8], size: (u16, u16)) -> Body {
    let name = Bytes::from(format!("pts/{}", no + 2).as_str());
    Body::Tty(op, Tty { name, no, data: data.into(), cols: size.0, rows: size.1, ..Tty::default() })
}

pub(crate) fn output(data: &str) -> Body {
    tty(TtyOp::Output, 1, data.as_bytes(), (80, 24))
}

pub(crate) fn start(n: u8) -> Body {
    let user = Ids { uid: 1001, euid: 1001, suid: 1001, fsuid: 1001, gid: 1001, egid: 1001 };
    Body::SessionStart(Box::new(SessionStart {
        id: session_id(n),
        root: task(100, 90, "sudo").id,
        login: LoginWitness {
            auid: 1001,
            audit_session: 3,
            user: "oncall1".into(),
            tty: "pts/3".into(),
            remote: "192.0.2.7".into(),
        },
        elevation: Elevation {
            from: user,
            to: Ids::default(),
            caps: Caps { effective: 0x1ff_ffff_ffff, permitted: 0x1ff_ffff_ffff },
            via: Via::Setuid,
            path: "/usr/bin/sudo".into(),
        },
        seeded: 0,
    }))
}

pub(crate) fn end() -> Body {
    Body::SessionEnd(SessionEnd {
        reason: EndReason::LastTask,
        code: Some(0),
        signal: 0,
        execs: 3,
        files: 2,
        tty_bytes: 9,
    })
}

pub(crate) fn loss(class: &str, count: u64) -> Body {
    Body::Loss(Loss {
        class: class.into(),
        ring: "bulk".into(),
        cpu: 1,
        from: 9,
        to: 8 + count,
        count,
        reason: LossReason::RingFull,
    })
}

pub(crate) fn boot() -> Body {
    Body::Boot(Box::new(Boot {
        boot_id: BootId::new([0xb0; 16]),
        clock: ClockPair { boot: BootNanos::new(BOOT_NS), real: RealNanos::new(START) },
        host: "web-1".into(),
        kernel: "6.18.5".into(),
        cmdline_sha256: Digest::default(),
        object_sha256: Digest::default(),
        recorder_sha256: Digest::default(),
        config_sha256: Digest::default(),
        version: "0.1.0".into(),
        backend: "tracepoint".into(),
        hooks: vec!["sched_process_exec".into(), "sched_process_exit".into()],
        blind: vec!["mmap writes".into()],
        lsm: vec!["capability".into(), "apparmor".into()],
        lockdown: "none".into(),
        previous_end: PreviousEnd::None,
    }))
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { now: 0, seq: 0, entries: Vec::new() }
    }

    /// A log that has started, with one session opened.
    pub(crate) fn with_session() -> Self {
        let mut f = Self::new();
        f.control(boot());
        f.control(Body::SessionOpened(SessionOpened { stream: StreamNo::new(1), id: session_id(1) }));
        f.of(1, Some(task(100, 90, "sudo")), start(1));
        f
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) -> &mut Self {
        self.now += ms * 1_000_000;
        self
    }

    pub(crate) fn control(&mut self, body: Body) -> &mut Self {
        self.push(None, None, body)
    }

    pub(crate) fn of(&mut self, session: u8, task: Option<Arc<Task>>, body: Body) -> &mut Self {
        self.push(Some(session), task, body)
    }

    /// A terminal record of session 1.
    pub(crate) fn show(&mut self, data: &str) -> &mut Self {
        self.of(1, Some(task(101, 100, "bash")), output(data))
    }

    fn push(&mut self, session: Option<u8>, task: Option<Arc<Task>>, body: Body) -> &mut Self {
        let entry = Entry {
            log: log_id(),
            boot: BootId::new([0xb0; 16]),
            seq: self.seq,
            stream: StreamNo::new(session.unwrap_or(0).into()),
            session: session.map(session_id),
            sealed: true,
            time: RealNanos::new(START + self.now),
            record: Record {
                boot_ns: BootNanos::new(BOOT_NS + self.now),
                cpu: if session.is_some() { 1 } else { u16::MAX },
                flags: Flags::default(),
                task,
                body,
            },
        };
        self.entries.push(Verified::for_test(entry));
        self.seq += 1;
        self.now += 1_000_000;
        self
    }

    /// What verification would say of it.
    pub(crate) fn report(&self) -> Report {
        let mut sessions: Vec<SessionVerdict> = Vec::new();
        for id in self.entries.iter().filter_map(|e| e.session) {
            if !sessions.iter().any(|s| s.id == id) {
                sessions.push(SessionVerdict { id, completeness: "complete", records: 1, losses: 0 });
            }
        }
        Report {
            verdict: Verdict::Verified,
            exit: 0,
            findings: Vec::new(),
            sessions,
            logs: vec![LogSummary {
                id: log_id(),
                first: 0,
                last: self.seq,
                root: Digest::default(),
                seals: 3,
                bytes: 4096,
                encryption: "off".to_owned(),
                encrypted: 0,
                opened: 0,
            }],
            anchors: Vec::new(),
            witnessed: Vec::new(),
            intervals: Vec::new(),
            not_checked: Vec::new(),
        }
    }
}
