//! What people do, in records of every form.

use std::path::Path;

use super::forge::Forger;
use super::scenes::control;
use crate::common::*;
use recorder::model::*;

/// Names made other than by open, with and without a cut; modes, owners, times, attributes, space; the system; sockets.
pub(crate) fn changes(dir: &Path) {
    let mut w = Forger::new(dir, 602, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let mut seconds = 1;
    let mut add = |body| {
        seconds += 1;
        w.append(s, Record { body, ..exec(seconds, 1) });
    };
    let (path, odd) = (Bytes::from("/etc/odd"), Bytes::from(&b"/tmp/\xff\n"[..]));
    let file =
        File { path: path.clone(), dev: (254, 1), ino: 77, mode: 0o100_644, count: 1, ..File::default() };
    let to = |to: &Bytes| File { to: Some(to.clone()), ..file.clone() };
    add(Body::File(FileOp::Link, to(&odd)));
    add(Body::File(FileOp::Symlink, to(&Bytes::from("../a"))));
    add(Body::File(FileOp::Mkdir, File { result: -17, ..file.clone() }));
    let cut = |field| Some(Cut { field, bytes: 70_000, sha256: None, relay: None });
    add(Body::File(FileOp::Mknod, File { flags: 8 << 20 | 1, cut: cut(CutField::Path), ..file.clone() }));
    let (dev, ino) = (file.dev, file.ino);
    let set = Setattr { path: path.clone(), dev, ino, inode_mode: 0o104_755, ..Setattr::default() };
    let time = |seconds, now| Some(FileTime { seconds, nanos: 5, now });
    let owned = Setattr { mode: Some(0o4755), uid: Some(0), gid: Some(7), ..set.clone() };
    for op in [SetattrOp::Chmod, SetattrOp::Chown, SetattrOp::Utimes] {
        add(Body::Setattr(op, Box::new(owned.clone())));
    }
    let cut_off = Setattr { size: Some(1 << 40), atime: time(-1, 0), mtime: time(0, 1), ..set };
    add(Body::Setattr(SetattrOp::Truncate, Box::new(cut_off)));
    let named = Xattr { path: odd, dev, ino, name: Bytes::from("user.x"), ..Xattr::default() };
    let value = Some(Bytes::from(&b"\0\xff"[..]));
    add(Body::Xattr(Box::new(Xattr { value, cut: cut(CutField::Value), ..named.clone() })));
    add(Body::Xattr(Box::new(Xattr { result: -95, ..named })));
    let done = Allocate { path, dev, ino, result: 0, flags: 3, offset: 4096, len: 1 << 33 };
    add(Body::Allocate(Box::new(done)));
    let args =
        vec![(Bytes::from("source"), Bytes::from(&b"/\xfe"[..])), (Bytes::from("type"), Bytes::default())];
    let call = Call { name: Bytes::from("mount"), args, result: -1 };
    for op in [CallOp::Mount, CallOp::Umount, CallOp::Module, CallOp::Bpf, CallOp::Namespace, CallOp::Kernel]
    {
        add(Body::Call(op, Box::new(call.clone())));
    }
    let remote = Bytes::from("192.0.2.7:443");
    let socket =
        Socket { family: 2, kind: 1, protocol: 6, remote, result: -111, ino: 9, ..Socket::default() };
    for op in [SocketOp::Connect, SocketOp::Bind, SocketOp::Listen, SocketOp::Accept] {
        add(Body::Socket(op, Box::new(socket.clone())));
    }
    add(Body::Socket(SocketOp::Bind, Box::new(Socket { family: 99, local: Bytes::from("@a"), ..socket })));
    w.commit(at(29)).unwrap();
}

/// Writes to descriptors from elsewhere, with and without a cut; rings; opens for reading that are told by their number.
pub(crate) fn by_number(dir: &Path) {
    let mut w = Forger::new(dir, 603, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let (path, odd) = (Bytes::from("/etc/odd"), Bytes::from(&b"/tmp/\xff\n"[..]));
    let file = File { path, dev: (254, 1), ino: 77, flags: 0o102_001, mode: 0o100_644, ..File::default() };
    let cut = Some(Cut { field: CutField::Path, bytes: 70_000, sha256: None, relay: None });
    let reads = Reads {
        path: odd.clone(),
        dev: (254, 1),
        ino: 78,
        mode: 0o100_600,
        flags: 0o2_100_000,
        count: 1 << 40,
        first: at(2).boot,
        last: at(6).boot,
    };
    let args = vec![(Bytes::from("entries"), Bytes::from("8"))];
    let bodies = [
        Body::File(FileOp::Write, File { count: 1, ..file.clone() }),
        Body::File(FileOp::Write, File { path: odd, count: 2, cut, ..file }),
        Body::Call(CallOp::IoUring, Box::new(Call { name: Bytes::from("io_uring_setup"), args, result: 5 })),
        Body::Reads(Box::new(reads)),
        Body::Reads(Box::default()),
    ];
    for (n, body) in (2..).zip(bodies) {
        w.append(s, Record { body, ..exec(n, 1) });
    }
    w.commit(at(9)).unwrap();
}

/// What the kernel's settings were set to; a secret was taken out of one.
pub(crate) fn settings(dir: &Path) {
    let mut w = Forger::new(dir, 605, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let set = |path: &[u8], value: &[u8], bytes| {
        let (path, value) = (Bytes::from(path), Bytes::from(value));
        Body::Setting(Box::new(Setting { path, dev: (0, 22), ino: 41, value, bytes }))
    };
    w.append(s, Record { body: set(b"/proc/sys/net/ipv4/ip_forward", b"1\n", 2), ..exec(2, 1) });
    w.append(
        s,
        Record { flags: Flags::TRUNCATED, body: set(b"/proc/\xff", &[0xfe; 255], 1 << 33), ..exec(3, 1) },
    );
    let body = set(b"/proc/sys/kernel/core_pattern", b"|/x --token [redacted]", 24);
    w.append(s, Record { flags: Flags::REDACTED, body, ..exec(4, 1) });
    let field = RedactedField::Value;
    let places =
        vec![Redaction { field, index: 0, offset: 12, bytes: 12, rule: Bytes::from("option"), hash: None }];
    w.append(
        s,
        Record { body: Body::Redacted(Box::new(Redacted { of: Kind::SETTING, places })), ..exec(4, 1) },
    );
    w.append(s, Record { body: Body::Setting(Box::default()), ..exec(5, 1) });
    w.commit(at(9)).unwrap();
}

/// What was sent without a connection.
pub(crate) fn sent(dir: &Path) {
    let mut w = Forger::new(dir, 604, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let (local, remote) = (Bytes::from("0.0.0.0:4321"), Bytes::from("[2001:db8::1]:53"));
    let socket = Socket { family: 10, kind: 2, protocol: 17, local, remote, result: 0, ino: 9 };
    let first = Sent { socket, count: 1, bytes: 33, first: at(2).boot, last: at(2).boot };
    let rest = Sent { count: 1 << 33, bytes: 1 << 40, last: at(4).boot, ..first.clone() };
    w.append(s, Record { body: Body::Sent(Box::new(first)), ..exec(2, 1) });
    w.append(s, control(5, Body::Sent(Box::new(rest))));
    w.append(s, control(6, Body::Sent(Box::default())));
    w.commit(at(9)).unwrap();
}

/// What lay in programs and files: digests, reasons, diffs, counts.
pub(crate) fn contents(dir: &Path) {
    let mut w = Forger::new(dir, 1300, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let found = |n: u64, sha: bool| Found {
        size: 1000 + n,
        mode: 0o100_644,
        uid: 0,
        gid: 42,
        mtime: RealNanos::new(1_700_000_000 * SECOND),
        ctime: RealNanos::new(1_700_000_000 * SECOND + n),
        caps: (n % 2) as u8,
        sha256: sha.then(|| Digest::new([n as u8; 32])),
    };
    let by = |now: u64, body| Record { task: Some(task(3)), ..control(now, body) };
    let program = |n: u64, found: Option<Found>, why| Digested {
        path: Bytes::from(&b"/tmp/\xff\x1b[2J"[..]),
        dev: (254, 1),
        ino: 77 + n,
        found,
        why,
        device: (n % 2) as u8,
        count: 1,
    };
    for (n, found, why) in [
        (1, Some(found(1, true)), Why::None),
        (2, Some(found(2, false)), Why::TooLarge),
        (3, None, Why::Gone),
    ] {
        w.append(s, by(2 + n, Body::Digest(Box::new(program(n, found, why)))));
    }
    let many = Digested { count: 17, why: Why::QueueFull, ..Digested::default() };
    w.append(s, control(6, Body::Digest(Box::new(many))));
    let changed = Changed {
        path: Bytes::from("/etc/ssh/sshd_config"),
        other: Some(Bytes::from("/etc/ssh/.new")),
        acts: acts::RENAMED,
        class: Class::Sshd,
        dev: (0, 41),
        ino: 99,
        after: Some(found(5, true)),
        before: Some(found(6, true)),
        diff: Some(Diff { text: Bytes::from("@@ -1 +1 @@\n-a\n+\x1b[2Jb\n"), bytes: 70_000 }),
        count: 1,
        ..Changed::default()
    };
    let secret = Changed {
        path: Bytes::from("/etc/shadow"),
        no_diff: Why::Secret,
        diff: None,
        untouched: 1,
        ..changed.clone()
    };
    let link =
        Changed { link: Some(Bytes::from("../x")), other: None, before: None, diff: None, ..changed.clone() };
    let newer =
        Changed { class: Class::Unknown(900), why: Why::Unknown(901), acts: 0x8000, ..Changed::default() };
    for (n, body) in [changed, secret, link, newer].into_iter().enumerate() {
        w.append(s, by(7 + n as u64, Body::Changed(Box::new(body))));
    }
    w.commit(at(12)).unwrap();
    w.close_session(s, EndReason::LastTask, 0, at(12).boot);
    w.stop(stop(13)).unwrap();
}

/// Programs beyond their execs: failed ones, mapped ones, arguments that one record can't hold.
pub(crate) fn programs(dir: &Path) {
    let mut w = Forger::new(dir, 3000, 16384).open(0);
    let s = w.open_session(session(1), at(1).boot);
    let odd = Bytes::from(&b"/tmp/\xff\x1b[2J"[..]);
    let (by, first) = (TaskId { pid: 9, start: BootNanos::new(7) }, BootNanos::new(2 * SECOND));
    let failed = ExecFailed { path: odd.clone(), errno: 13, by, count: 1, first, last: first };
    let mapped = Mapped {
        path: odd.clone(),
        dev: (254, 1),
        generation: 0,
        ino: 77,
        how: Mapped::MMAP,
        by,
        count: 1,
        first,
        last: first,
    };
    let own = |now: u64, body| Record { body, ..exec(now, 1) };
    w.append(s, own(2, Body::ExecFailed(Box::new(failed.clone()))));
    w.append(s, own(3, Body::Mapped(Box::new(mapped.clone()))));
    // Counts without a task; names that were too many.
    let last = BootNanos::new(1 << 40);
    let counted = ExecFailed { count: 1 << 33, last, ..failed.clone() };
    w.append(s, control(4, Body::ExecFailed(Box::new(counted))));
    w.append(
        s,
        control(4, Body::ExecFailed(Box::new(ExecFailed { path: Bytes::default(), count: 9, ..failed }))),
    );
    for how in [Mapped::MPROTECT, 7] {
        let mapped = Mapped { how, count: 3, path: Bytes::default(), last, ..mapped.clone() };
        w.append(s, control(5, Body::Mapped(Box::new(mapped))));
    }
    let cut = Some(Cut { field: CutField::Argv, bytes: 2 << 20, sha256: None, relay: None });
    let start =
        Exec { path: Bytes::from("/usr/bin/true"), argv: vec![Bytes::from("true")], cut, ..Exec::default() };
    w.append(s, own(6, Body::Exec(start)));
    w.append(s, own(6, Body::Script(Box::new(Script { path: odd.clone(), dev: (254, 1), ino: 78 }))));
    let argv = vec![odd, Bytes::default(), Bytes::from(vec![b'x'; 4000])];
    let more = Arguments { argc: 70_000, bytes: 2 << 20, kept_argc: 5, kept: 4100, from: 1, argv };
    w.append(s, own(6, Body::Arguments(Box::new(more.clone()))));
    w.append(s, own(6, Body::Arguments(Box::new(Arguments { from: 4, argv: Vec::new(), ..more }))));
    w.commit(at(7)).unwrap();
}
