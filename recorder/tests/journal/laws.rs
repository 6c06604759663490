//! Laws of the record codec: what is encoded comes back, and hostile bytes do no harm.
use std::sync::Arc;

use proptest::prelude::*;
use recorder::journal::pack::{Packer, Unpacker};
use recorder::journal::record::{Encoder, decode};
use recorder::model::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        "[a-c/]{0,12}".prop_map(|s| Bytes::from(s.as_str())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::new),
    ]
}

fn cut() -> impl Strategy<Value = Option<Cut>> {
    // Where the whole stands is known only of what was hashed.
    let whole = (any::<[u8; 32]>(), proptest::option::of(any::<(u32, u64)>()));
    let some = (any::<u16>(), any::<u64>(), proptest::option::of(whole));
    proptest::option::of(some.prop_map(|(f, bytes, whole)| Cut {
        field: CutField::from_code(f),
        bytes,
        sha256: whole.map(|(sha256, _)| Digest::new(sha256)),
        relay: whole.and_then(|(_, relay)| relay).map(|(no, from)| Relay { no, from }),
    }))
}

fn body() -> impl Strategy<Value = Body> {
    let op = proptest::sample::select(vec![
        FileOp::Open,
        FileOp::Create,
        FileOp::Rename,
        FileOp::Unlink,
        FileOp::Link,
        FileOp::Symlink,
        FileOp::Mkdir,
        FileOp::Mknod,
        FileOp::Write,
    ]);
    let file =
        (op, bytes(), proptest::option::of(bytes()), any::<[u32; 5]>(), any::<i32>(), any::<u64>(), cut());
    let tty_op = prop_oneof![Just(TtyOp::Output), Just(TtyOp::Input), Just(TtyOp::Resize)];
    let exec = (
        bytes(),
        proptest::collection::vec(bytes(), 0..5),
        bytes(),
        any::<(u32, u32)>(),
        any::<u64>(),
        cut(),
    );
    prop_oneof![
        exec.prop_map(|(path, argv, cwd, dev, ino, cut)| Body::Exec(Exec {
            path,
            argv,
            cwd,
            dev,
            ino,
            cut,
            ..Exec::default()
        })),
        file.prop_map(|(op, path, to, [flags, mode, major, minor, count], result, ino, cut)| {
            Body::File(op, File { path, to, flags, mode, result, dev: (major, minor), ino, count, cut })
        }),
        (tty_op, bytes(), bytes(), any::<[u32; 2]>(), any::<[u16; 2]>(), cut()).prop_map(
            |(op, name, data, [no, hidden], [cols, rows], cut)| {
                Body::Tty(op, Tty { name, no, data, hidden, cols, rows, cut })
            }
        ),
        (any::<u32>(), any::<u64>()).prop_map(|(pid, start)| {
            Body::Fork(Fork { child: TaskId { pid, start: BootNanos::new(start) } })
        }),
        any::<[u8; 3]>().prop_map(|[code, signal, core]| Body::Exit(Exit { code, signal, core })),
        (any::<u64>(), bytes()).prop_map(|(count, class)| Body::Loss(Loss {
            class,
            ring: Bytes::default(),
            cpu: 0,
            from: 1,
            to: 2,
            count,
            reason: LossReason::RingFull
        })),
        (proptest::collection::vec(bytes(), 9), any::<u64>(), any::<[u32; 2]>()).prop_map(
            |(words, serial, [audit_session, pid])| {
                let mut words = words.into_iter();
                let mut next = || words.next().unwrap_or_default();
                Body::Login(Box::new(Login {
                    account: next(),
                    service: next(),
                    remote: next(),
                    tty: next(),
                    auth: next(),
                    key: next(),
                    certificate: next(),
                    serial,
                    authority: next(),
                    audit_session,
                    pid,
                    person: next(),
                    kept: Digest::default(),
                }))
            }
        ),
        liveness(),
        attributes(),
        system(),
        permissions(),
        (1000u16.., bytes())
            .prop_map(|(kind, b)| Body::Unknown { kind: Kind::new(kind), bytes: b.as_slice().to_vec() }),
    ]
}

/// What was done to the system and with sockets.
fn system() -> impl Strategy<Value = Body> {
    use {CallOp::*, SocketOp::*};
    let call = proptest::sample::select(vec![Mount, Umount, Module, Bpf, Namespace, Kernel]);
    let socket = proptest::sample::select(vec![Connect, Bind, Listen, Accept]);
    prop_oneof![
        (call, bytes(), proptest::collection::vec((bytes(), bytes()), 0..4), any::<i64>())
            .prop_map(|(op, name, args, result)| Body::Call(op, Box::new(Call { name, args, result }))),
        (socket, any::<[u16; 3]>(), bytes(), bytes(), any::<i32>(), any::<u64>()).prop_map(
            |(op, [family, kind, protocol], local, remote, result, ino)| {
                Body::Socket(op, Box::new(Socket { family, kind, protocol, local, remote, result, ino }))
            }
        ),
    ]
}

/// What files are; each value may be there or not.
fn attributes() -> impl Strategy<Value = Body> {
    let file = || (bytes(), any::<(u32, u32)>(), any::<u64>(), any::<i32>());
    let number = || proptest::option::of(any::<u32>());
    let time = || proptest::option::of(any::<(i64, u32, u8)>());
    let time_of = |(seconds, nanos, now)| FileTime { seconds, nanos, now };
    prop_oneof![
        (
            file(),
            any::<u32>(),
            [number(), number(), number()],
            proptest::option::of(any::<u64>()),
            [time(), time()]
        )
            .prop_map(
                move |((path, dev, ino, result), inode_mode, [mode, uid, gid], size, times)| {
                    let [atime, mtime] = times.map(|time| time.map(time_of));
                    let set =
                        Setattr { path, dev, ino, inode_mode, result, mode, uid, gid, size, atime, mtime };
                    Body::Setattr(set.op(), Box::new(set))
                }
            ),
        (file(), bytes(), proptest::option::of(bytes()), cut()).prop_map(
            |((path, dev, ino, result), name, value, cut)| {
                Body::Xattr(Box::new(Xattr { path, dev, ino, result, name, value, cut }))
            }
        ),
        (file(), any::<u32>(), any::<[u64; 2]>()).prop_map(
            |((path, dev, ino, result), flags, [offset, len])| {
                Body::Allocate(Box::new(Allocate { path, dev, ino, result, flags, offset, len }))
            }
        ),
    ]
}

/// What the recorder says of its own hooks and clocks; unknown states are kept.
fn liveness() -> impl Strategy<Value = Body> {
    let pair = |[boot, real]: [u64; 2]| ClockPair { boot: BootNanos::new(boot), real: RealNanos::new(real) };
    prop_oneof![
        (bytes(), any::<u16>(), any::<[u64; 4]>()).prop_map(move |(name, state, [misses, since, a, b])| {
            let state = HookState::from_code(state);
            let since = BootNanos::new(since);
            Body::Hook(Box::new(HookChange { name, state, misses, since, clock: pair([a, b]) }))
        }),
        (any::<u16>(), any::<[u64; 4]>(), any::<i64>()).prop_map(move |(event, [a, b, c, d], nanos)| {
            let event = ClockEvent::from_code(event);
            Body::Clock(ClockChange { event, before: pair([a, b]), after: pair([c, d]), nanos })
        }),
    ]
}

/// With which permissions, and where; what a newer recorder says is kept.
fn permissions() -> impl Strategy<Value = Body> {
    let by = |pid| TaskId { pid, start: BootNanos::new(3) };
    let first = BootNanos::new(4);
    prop_oneof![
        (bytes(), any::<[u32; 4]>(), any::<[u64; 4]>(), any::<[u8; 2]>()).prop_map(
            move |(program, [major, minor, pid, number], [ino, count, a, b], [granted, inner])| {
                let (first, last) = (BootNanos::new(a), BootNanos::new(b));
                let (by, dev) = (by(pid), (major, minor));
                let used = Capability { program, dev, ino, by, number, granted, inner, count, first, last };
                Body::Capability(Box::new(used))
            }
        ),
        (bytes(), any::<[u32; 4]>(), any::<[u64; 4]>(), any::<u16>()).prop_map(
            move |(path, [major, minor, pid, errno], [ino, count, a, b], how)| {
                let (first, last) = (BootNanos::new(a), BootNanos::new(b));
                let (by, dev) = (by(pid), (major, minor));
                if how % 3 == 0 {
                    let argv = vec![path.clone(), Bytes::default(), path];
                    let (argc, kept_argc, from) = (major, minor, pid);
                    let (bytes, kept) = (count, a);
                    Body::Arguments(Box::new(Arguments { argc, bytes, kept_argc, kept, from, argv }))
                } else if how % 5 == 1 {
                    Body::Script(Box::new(Script { path, dev, ino }))
                } else if how % 3 == 1 {
                    Body::ExecFailed(Box::new(ExecFailed { path, errno, by, count, first, last }))
                } else {
                    Body::Mapped(Box::new(Mapped {
                        path,
                        dev,
                        ino,
                        generation: 0,
                        how,
                        by,
                        count,
                        first,
                        last,
                    }))
                }
            }
        ),
        proptest::collection::vec((bytes(), any::<[u32; 2]>(), any::<[u64; 3]>(), any::<u16>()), 0..5)
            .prop_map(move |all| {
                let users = all.iter().cloned().map(|(program, [uid, pid], [count, ..], _)| ActedAs {
                    uid,
                    program,
                    by: by(pid),
                    first,
                    count,
                });
                let programs = all.iter().cloned().map(|(path, [major, pid], [ino, count, gained], how)| {
                    Passed { path, dev: (major, 1), ino, how, by: by(pid), first, count, gained }
                });
                let folded = Permissions { users: users.collect(), programs: programs.collect() };
                Body::Permissions(Box::new(folded))
            }),
        (bytes(), bytes(), any::<[u32; 4]>(), any::<u64>(), any::<[u16; 2]>()).prop_map(
            |(path, container, [mnt_ns, pid_ns, user_ns, cgroup_ns], cgroup, [own, engine])| {
                let engine = Engine::from_code(engine);
                Body::Context(Arc::new(TaskContext {
                    own,
                    mnt_ns,
                    pid_ns,
                    user_ns,
                    cgroup_ns,
                    cgroup,
                    path,
                    engine,
                    container,
                }))
            }
        ),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let task = (0..4u32, bytes()).prop_map(|(n, comm)| {
        Arc::new(Task { id: TaskId { pid: n, start: BootNanos::new(5) }, comm, ..Task::default() })
    });
    (any::<u64>(), any::<u16>(), any::<u16>(), proptest::option::of(task), body()).prop_map(
        |(at, cpu, flags, task, body)| Record {
            boot_ns: BootNanos::new(at),
            cpu,
            flags: Flags::new(flags),
            task,
            body,
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(records in proptest::collection::vec(record(), 1..40)) {
        let mut encoder = Encoder::default();
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        for _ in 0..2 {
            for r in &records {
                encoder.push(r);
            }
            let mut plain = Vec::new();
            let summary = encoder.finish(&mut plain);
            prop_assert_eq!(summary.count as usize, records.len());
            let mut stored = Vec::new();
            let compression = packer.pack(&plain, &mut stored);
            let back = decode(unpacker.unpack(compression, &stored).unwrap()).unwrap();
            prop_assert_eq!(&back, &records);
        }
    }

    #[test]
    fn f7_hostile_bodies_are_errors_at_worst(
        records in proptest::collection::vec(record(), 1..10),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut encoder = Encoder::default();
        for r in &records {
            encoder.push(r);
        }
        let mut plain = Vec::new();
        encoder.finish(&mut plain);
        for (at, b) in hits {
            let at = at.index(plain.len());
            plain[at] = b;
        }
        let _ = decode(&plain);
        let _ = Unpacker::default().unpack(1, &plain);
    }
}

#[test]
fn f7_bombs_stay_small() {
    // A zstd frame that says 1 MiB at most but holds 64 MiB of zeros.
    let mut bomb = (1u32 << 20).to_le_bytes().to_vec();
    bomb.extend(zstd::bulk::compress(&vec![0u8; 64 << 20], 1).unwrap());
    assert!(bomb.len() < 10_000);
    assert!(Unpacker::default().unpack(1, &bomb).is_err());
    bomb[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Unpacker::default().unpack(1, &bomb).is_err());
    // Counts that promise more than there is.
    let mut plain = vec![0xffu8; 24];
    assert!(decode(&plain).is_err());
    plain[..12].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]);
    assert!(decode(&plain).is_err());
}

#[test]
fn grants_and_coverage_survive_the_codec() {
    let id = Digest::new([7; 32]);
    let grant = Grant {
        act: GrantAct::Refused,
        document: id,
        request: Digest::new([8; 32]),
        bytes: Bytes::from("kind = \"request\"\n"),
        signature: Bytes::from("-----BEGIN SSH SIGNATURE-----"),
        received: RealNanos::new(7),
        text: Bytes::from("why"),
        ..Grant::default()
    };
    let change = CoverageChange {
        from: BootNanos::new(3),
        coverage: Coverage::Covered { grant: id },
        person: Bytes::from("anna"),
        incident: Bytes::from("pagerduty:PD-7"),
    };
    let task = TaskId { pid: 9, start: BootNanos::new(1) };
    let overdue = Overdue { task, grant: id, since: BootNanos::new(5), reason: Uncovered::Revoked };
    let enforcement = Enforcement {
        act: EnforcementAct::HungUp,
        coverage: Coverage::Uncovered { reason: Uncovered::Late },
        task,
        count: 3,
        text: Bytes::from("/usr/bin/bash"),
    };
    let token = Token {
        act: TokenAct::Refused,
        token: Digest::new([9; 32]),
        grant: id,
        person: Bytes::from("anna"),
        host: Bytes::from("web-1"),
        until: RealNanos::new(9),
        text: Bytes::from("spent"),
        bytes: Bytes::from("kind = \"token\"\n"),
        ..Token::default()
    };
    let bodies = [
        Body::Token(Box::new(token)),
        Body::Grant(Box::new(grant)),
        Body::Coverage(Box::new(change)),
        Body::Overdue(overdue),
        Body::Enforcement(Box::new(enforcement)),
    ];
    let mut encoder = Encoder::default();
    for body in bodies.clone() {
        let (boot_ns, flags) = (BootNanos::new(1), Flags::default());
        encoder.push(&Record { boot_ns, cpu: 0, flags, task: None, body });
    }
    let mut plain = Vec::new();
    encoder.finish(&mut plain);
    let back: Vec<Body> = decode(&plain).unwrap().into_iter().map(|record| record.body).collect();
    assert_eq!(back, bodies);
}
