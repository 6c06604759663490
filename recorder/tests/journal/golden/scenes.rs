//! Journals as the recorder writes them: one for each way a log goes on or ends.

use std::path::Path;

use super::forge::Forger;
use crate::common::*;
use crate::fake::FakeDisk;
use recorder::journal::{Encryption, RealDisk, Writer, WriterConfig};
use recorder::model::*;

/// Whose journals the sealed fixtures are; good for nothing else.
pub(crate) const READER: &str = "AGE-SECRET-KEY-1FAAXKXJAN07QQF5W8CA0ELLJXS5EH8X6NWWV9G293DLLQEM7F3SQAGES2A";
/// Somebody else.
pub(crate) const STRANGER: &str =
    "AGE-SECRET-KEY-17G3XDWE0UK5AT4SLYVQUR07LN0P8W0A42ZW8JWKY3EQ3V2ST2C5Q548QTC";

pub(crate) fn control(seconds: u64, body: Body) -> Record {
    Record { boot_ns: at(seconds).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

/// One commit, clean stop.
pub(crate) fn short(dir: &Path) {
    let mut w = Forger::new(dir, 100, 4096).open(0);
    w.append(StreamNo::LOG, heartbeat(1));
    w.commit(at(1)).unwrap();
    w.stop(stop(2)).unwrap();
}

/// Two rotations, a session, a clean stop: the patient of most operations. All keys are known.
pub(crate) fn patient(dir: &Path) -> Forger {
    let mut forger = Forger::new(dir, 200, 3072);
    let mut w = forger.open(0);
    let s = w.open_session(session(1), at(1).boot);
    for n in 0..4 {
        w.append(s, exec(1 + u64::from(n), n));
        w.append(s, opened_file(1 + u64::from(n), &format!("/etc/conf.d/{n}")));
        w.append(StreamNo::LOG, heartbeat(1 + u64::from(n)));
        w.commit(at(1 + u64::from(n))).unwrap();
    }
    w.close_session(s, EndReason::LastTask, 0, at(6).boot);
    w.commit(at(6)).unwrap();
    w.stop(stop(7)).unwrap();
    forger
}

/// A crash with a session open, and nothing after it.
pub(crate) fn crashed(dir: &Path) -> Forger {
    let mut forger = Forger::new(dir, 300, 4096);
    let mut w = forger.open(0);
    let s = w.open_session(session(1), at(1).boot);
    for n in 0..3 {
        w.append(s, exec(1 + u64::from(n), n));
        w.commit(at(1 + u64::from(n))).unwrap();
    }
    forger
}

/// A crash whose last commit is half on the disk, then a restart, then a stop and a resume in another boot.
pub(crate) fn torn(dir: &Path) -> Forger {
    let mut forger = crashed(dir);
    tear(&forger, 1);
    let mut w = forger.open(20);
    w.append(StreamNo::LOG, heartbeat(21));
    w.commit(at(21)).unwrap();
    w.stop(stop(22)).unwrap();
    let mut w = forger.open_in(2, 3);
    w.append(StreamNo::LOG, heartbeat(4));
    w.commit(at(4)).unwrap();
    w.stop(stop(5)).unwrap();
    forger
}

/// Damages the newest segment's last seal but `back`, so that a commit is remains and no more.
pub(crate) fn tear(forger: &Forger, back: usize) {
    let path = forger.files().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let seals: Vec<_> =
        super::forge::frames(&bytes).into_iter().filter(|f| bytes[f.start + 5] == 3).collect();
    let seal = &seals[seals.len() - back];
    bytes[seal.start + 200..seal.end].fill(0);
    std::fs::write(&path, bytes).unwrap();
}

/// Interleaved sessions: closed, closed with a loss, cut by a crash, resumed under another number, left open.
pub(crate) fn sessions(dir: &Path) {
    let mut forger = Forger::new(dir, 400, 4096);
    let mut w = forger.open(0);
    let first = w.open_session(session(1), at(1).boot);
    let second = w.open_session(session(2), at(1).boot);
    for n in 0..3 {
        w.append(first, exec(2, n));
        w.append(second, opened_file(2, &format!("/srv/{n}")));
        w.append(first, exec(3, n));
    }
    w.commit(at(3)).unwrap();
    w.close_session(first, EndReason::LastTask, 0, at(4).boot);
    let third = w.open_session(session(3), at(4).boot);
    w.append(third, exec(4, 1));
    w.close_session(second, EndReason::Reconciled, 2, at(5).boot);
    w.commit(at(5)).unwrap();
    drop(w);
    let mut w = forger.open(10);
    let last = w.open_session(session(4), at(11).boot);
    w.append(last, exec(11, 1));
    w.commit(at(11)).unwrap();
}

/// What is declared: losses, a clock that jumped, a silence, a record too large, a kind nobody knows.
pub(crate) fn declared(dir: &Path) {
    let mut w = Forger::new(dir, 500, 4096).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let loss = |class: &str, count| Loss {
        class: Bytes::from(class),
        ring: Bytes::from("bulk"),
        cpu: 1,
        from: 9,
        to: 17,
        count,
        reason: LossReason::RingFull,
    };
    w.append(StreamNo::LOG, control(1, Body::Loss(loss("file", 8))));
    w.append(StreamNo::LOG, control(1, Body::Loss(loss("tty", 1))));
    w.commit(at(1)).unwrap();
    let mut after = at(2);
    after.real = RealNanos::new(after.real.get() + 3600 * SECOND);
    w.append(StreamNo::LOG, control(2, Body::Jump(Jump { before: at(1), after })));
    w.append(s, exec(2, 1));
    w.append(StreamNo::LOG, control(2, Body::Unknown { kind: Kind::new(900), bytes: vec![1, 2, 3] }));
    w.commit(at(2)).unwrap();
    let huge = Tty { data: Bytes::new(vec![7u8; 600 << 10]), ..Tty::default() };
    w.append(s, Record { body: Body::Tty(TtyOp::Output, huge), ..exec(3, 1) });
    w.commit(at(3)).unwrap();
    w.append(StreamNo::LOG, heartbeat(60));
    w.close_session(s, EndReason::LastTask, 2, at(60).boot);
    w.commit(at(60)).unwrap();
    w.stop(stop(61)).unwrap();
}

/// A terminal inside a terminal: of the inner one only length, hash and place are stored.
pub(crate) fn relayed(dir: &Path) {
    let mut w = Forger::new(dir, 601, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let mut show = |n: u64, no, data: &[u8], cut| {
        let tty = Tty { name: Bytes::from("pts/3"), no, data: Bytes::from(data), cut, ..Tty::default() };
        w.append(s, Record { body: Body::Tty(TtyOp::Output, tty), ..exec(n, 1) });
    };
    show(2, 1, b"before ", None);
    show(3, 1, b"copied\r\n", None);
    let sha256 = Some(Digest::new([0xab; 32]));
    let relay = Some(Relay { no: 1, from: 7 });
    show(4, 2, b"", Some(Cut { field: CutField::Tty, bytes: 8, sha256, relay }));
    w.commit(at(9)).unwrap();
}

/// Bodies of every form of the codec, with bytes that are not UTF-8, cuts, and enough of them to be compressed.
pub(crate) fn kinds(dir: &Path) {
    let mut w = Forger::new(dir, 600, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let odd = || Bytes::from(&b"/tmp/\xff\xfe\n\x1b[31m\\x"[..]);
    let cut = |field, sha: bool| {
        Some(Cut { field, bytes: 70_000, sha256: sha.then(|| Digest::new([0xab; 32])), relay: None })
    };
    let by = |n: u32, boot: u64, body| Record {
        boot_ns: BootNanos::new(boot),
        cpu: (n % 4) as u16,
        flags: Flags::new(1 << (n % 8)),
        task: (!n.is_multiple_of(5)).then(|| task(n % 7)),
        body,
    };
    let file = |n: u32, path: Bytes| File {
        path,
        flags: 0o101 + n,
        mode: 0o100_644,
        result: -(n as i32),
        dev: (254, n),
        ino: u64::from(n) << 33,
        count: 1 + n,
        ..File::default()
    };
    let mut records = Vec::new();
    for n in 0..40u32 {
        // Times go back, too: order on the processors is not order in the frame.
        let now = SECOND * (10 + u64::from(n)) - u64::from(n % 3) * 5 * SECOND;
        let path = if n % 7 == 0 { odd() } else { Bytes::from(format!("/usr/share/doc/{n}/x").as_str()) };
        let mut exec_body = Exec {
            path: path.clone(),
            argv: (0..n % 4).map(|k| Bytes::from(format!("-{k}").as_str())).chain([odd()]).collect(),
            cwd: Bytes::from("/root"),
            dev: (8, 1),
            ino: 9,
            ..Exec::default()
        };
        if n % 9 == 0 {
            exec_body.cut = cut(CutField::Argv, n % 2 == 0);
        }
        records.push(by(n, now, Body::Exec(exec_body)));
        let op = [FileOp::Open, FileOp::Create, FileOp::Rename, FileOp::Unlink][n as usize % 4];
        let mut f = file(n, path);
        if matches!(op, FileOp::Rename) {
            f.to = Some(Bytes::from("/etc/passwd"));
        }
        if n % 11 == 0 {
            f.cut = cut(CutField::Path, true);
        }
        records.push(by(n + 1, now + 1, Body::File(op, f)));
        let child = TaskId { pid: 5000 + n, start: BootNanos::new(now) };
        records.push(by(n + 2, now + 2, Body::Fork(Fork { child })));
        records.push(by(
            n + 3,
            now + 3,
            Body::Exit(Exit { code: n as u8, signal: (n % 3) as u8 * 9, core: 0 }),
        ));
        let op = [TtyOp::Output, TtyOp::Input, TtyOp::Resize][n as usize % 3];
        let tty = Tty {
            name: Bytes::from("pts/3"),
            no: 1,
            data: if n % 2 == 0 { odd() } else { Bytes::from("ls -l\r\n") },
            hidden: n,
            cols: 80,
            rows: 24,
            cut: if n == 20 { cut(CutField::Tty, false) } else { None },
        };
        records.push(by(n + 4, now + 4, Body::Tty(op, tty)));
    }
    let ids = Ids { uid: 1001, euid: 0, suid: 1, fsuid: 2, gid: 3, egid: 4 };
    let caps = Caps { effective: 1, permitted: u64::MAX };
    let cred = Cred { old: ids, new: Ids { euid: 7, ..ids }, old_caps: caps, new_caps: caps };
    records.push(by(1, 60 * SECOND, Body::Cred(Box::new(cred))));
    for record in records {
        w.append(s, record);
    }
    w.commit(at(9)).unwrap();
    session_words(&mut w, s);
    log_words(&mut w);
    w.close_session(s, EndReason::LastTask, 0, at(12).boot);
    w.commit(at(12)).unwrap();
    w.stop(stop(13)).unwrap();
}

fn session_words(w: &mut Writer<recorder::journal::RealDisk, super::forge::Overheard>, s: StreamNo) {
    let grant = Digest::new([5; 32]);
    let ids = Ids { uid: 1001, ..Ids::default() };
    let elevation = Elevation {
        from: ids,
        to: Ids::default(),
        caps: Caps::default(),
        via: Via::Setuid,
        path: Bytes::from("/usr/bin/sudo"),
    };
    let login = LoginWitness {
        auid: 1001,
        audit_session: 3,
        user: Bytes::from("oncall1"),
        tty: Bytes::from("pts/3"),
        remote: Bytes::default(),
    };
    let root = TaskId { pid: 1000, start: BootNanos::new(7) };
    let start = SessionStart { id: session(1), root, login, elevation, seeded: 0 };
    w.append(s, Record { body: Body::SessionStart(Box::new(start)), ..exec(10, 0) });
    let coverage = Coverage::Covered { grant };
    let change = CoverageChange {
        from: at(10).boot,
        coverage,
        person: Bytes::from("anna"),
        incident: Bytes::from("pd:1"),
    };
    w.append(s, Record { body: Body::Coverage(Box::new(change)), ..exec(10, 0) });
    let overdue = Overdue { task: root, grant, since: at(11).boot, reason: Uncovered::Late };
    w.append(s, Record { body: Body::Overdue(overdue), ..exec(11, 0) });
    let act = EnforcementAct::Killed;
    let text = Bytes::from("sleep");
    let enforcement = Enforcement { act, coverage, task: root, count: 2, text };
    w.append(s, Record { body: Body::Enforcement(Box::new(enforcement)), ..exec(11, 0) });
    let end = SessionEnd {
        reason: EndReason::LastTask,
        code: Some(3),
        signal: 0,
        execs: 40,
        files: 40,
        tty_bytes: 99,
    };
    w.append(s, Record { body: Body::SessionEnd(end), ..exec(12, 0) });
    w.commit(at(11)).unwrap();
}

fn log_words(w: &mut Writer<recorder::journal::RealDisk, super::forge::Overheard>) {
    let words = |list: &[&str]| list.iter().map(|w| Bytes::from(*w)).collect::<Vec<_>>();
    let boot_record = Boot {
        boot_id: boot(1),
        clock: at(11),
        host: Bytes::from("web-1"),
        kernel: Bytes::from("6.12.0"),
        cmdline_sha256: Digest::new([1; 32]),
        object_sha256: Digest::new([2; 32]),
        recorder_sha256: Digest::new([3; 32]),
        config_sha256: Digest::new([4; 32]),
        version: Bytes::from("0.1.0"),
        backend: Bytes::from("tracepoint"),
        hooks: words(&["exec", "file"]),
        blind: words(&[]),
        lsm: words(&["lockdown", "bpf"]),
        lockdown: Bytes::from("[none]"),
        previous_end: PreviousEnd::None,
    };
    w.append(StreamNo::LOG, control(11, Body::Boot(Box::new(boot_record))));
    let grant = Grant { kind: Bytes::from("request"), text: Bytes::from("active"), ..Grant::default() };
    w.append(StreamNo::LOG, control(11, Body::Grant(Box::new(grant))));
    let login = Login { account: Bytes::from("oncall1"), serial: 7, ..Login::default() };
    w.append(StreamNo::LOG, control(11, Body::Login(Box::new(login))));
    w.append(StreamNo::LOG, control(11, Body::Token(Box::default())));
    w.commit(at(11)).unwrap();
}

/// A failing write, in the middle of a life: the chain goes on in the spare directory, or beside where there is none.
/// `fail` is the operation of the disk that fails.
pub(crate) fn fault(dir: &Path, spare: bool, fail: usize) {
    let disk = FakeDisk::default();
    disk.fail_at(fail);
    let config =
        WriterConfig { spare_dir: spare.then(|| "/spare".into()), ..config(Path::new("/journal"), 4096) };
    let (mut w, _) = Writer::open(config, disk.clone(), Dice(3), boot(1), at(0)).unwrap();
    let s = w.open_session(session(1), at(0).boot);
    for n in 0..8u32 {
        let now = u64::from(n) * 20;
        w.append(s, exec(now, n));
        // An error leaves everything waiting: the next commit takes it along.
        let _ = w.commit(at(now));
    }
    w.stop(stop(160)).unwrap();
    disk.after_power_cut(dir, true, |_| true);
}

/// A sealed journal: segments, a stop, a restart, a session, and content of the log's own. `reader` is who is to read it.
fn sealed_for(dir: &Path, reader: &str) {
    let key: age::x25519::Identity = READER.parse().unwrap();
    let recipients = vec![key.to_public().to_string().parse().unwrap()];
    let config =
        WriterConfig { encryption: Encryption::To(recipients), ..config(&dir.join("journal"), 3072) };
    for run in 0..2 {
        let now = run * 100;
        let (mut w, _) = Writer::open(config.clone(), RealDisk, Dice(run + 11), boot(1), at(now)).unwrap();
        let s = w.open_session(session(run as u8 + 1), at(now).boot);
        for n in 0..5 {
            w.append(s, exec(now, n));
            w.append(s, opened_file(now, &format!("/etc/conf.d/{n}")));
            let login = Login { account: Bytes::from("oncall1"), pid: n, ..Login::default() };
            w.append_sealed(&control(now, Body::Login(Box::new(login))));
            let twin = Login { pid: n, kept: Digest::new([7; 32]), ..Login::default() };
            w.append(
                StreamNo::LOG,
                Record { flags: Flags::LEFT_OUT, ..control(now, Body::Login(Box::new(twin))) },
            );
            w.commit(at(now)).unwrap();
        }
        w.close_session(s, EndReason::LastTask, 0, at(now + 1).boot);
        w.stop(stop(now + 2)).unwrap();
    }
    std::fs::write(dir.join("identity"), format!("# for this fixture only\n{reader}\n")).unwrap();
}

pub(crate) fn sealed(dir: &Path) {
    sealed_for(dir, READER);
}

pub(crate) fn sealed_to_others(dir: &Path) {
    sealed_for(dir, STRANGER);
}

/// Hooks that fall silent, clocks that run off, a host that sleeps: what is declared of time.
pub(crate) fn liveness(dir: &Path) {
    let mut forger = Forger::new(dir, 1200, 8192);
    let mut w = forger.open(0);
    let hook = |now: u64, name: &str, state| {
        let change =
            HookChange { name: Bytes::from(name), state, misses: 3, since: at(now - 3).boot, clock: at(now) };
        control(now, Body::Hook(Box::new(change)))
    };
    let clock = |before, after, event, nanos| {
        control(after, Body::Clock(ClockChange { event, before: at(before), after: at(after), nanos }))
    };
    for record in [
        hook(10, "exec", HookState::Dead),
        hook(12, "exec", HookState::Back),
        hook(20, "file", HookState::LinkMissing),
        clock(15, 30, ClockEvent::Slew, 70_000_000),
    ] {
        let now = record.boot_ns.get() / SECOND;
        w.append(StreamNo::LOG, record);
        w.commit(at(now)).unwrap();
    }
    // Asleep for most of one silence, and for nothing of the other.
    w.append(StreamNo::LOG, clock(30, 100, ClockEvent::Suspend, 60_000_000_000));
    w.commit(at(100)).unwrap();
    w.append(StreamNo::LOG, heartbeat(200));
    w.commit(at(200)).unwrap();
    drop(w);
    let mut w = forger.open(300);
    w.append(StreamNo::LOG, heartbeat(301));
    w.commit(at(301)).unwrap();
    w.stop(stop(302)).unwrap();
}

/// Commits over five minutes, in one segment: the recovery key changes each minute.
pub(crate) fn minutes(dir: &Path) -> Forger {
    let mut forger = Forger::new(dir, 700, 16384);
    let mut w = forger.open(0);
    for n in 0..10 {
        w.append(StreamNo::LOG, heartbeat(n * 30));
        w.commit(at(n * 30)).unwrap();
    }
    forger
}

/// Zeros behind the newest segment's `keep`-th seal from the end, as somebody leaves it who cuts back what was recorded.
pub(crate) fn cut_back(forger: &Forger, keep: usize) {
    let path = forger.files().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let frames = super::forge::frames(&bytes);
    let seals: Vec<usize> = frames.iter().filter(|f| bytes[f.start + 5] == 3).map(|f| f.end).collect();
    bytes[seals[seals.len() - 1 - keep]..].fill(0);
    std::fs::write(&path, bytes).unwrap();
}
