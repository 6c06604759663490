//! System calls that change the system, and sockets, from bytes into words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use recorder_common::{CallEvent, SocketEvent};

use super::decode::{DecodeError, Reader, joined};
use crate::model::{Act, Bytes, Call, CallOp, Socket, SocketOp};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// What an argument is.
#[derive(Clone, Copy)]
enum What {
    /// Says nothing by itself.
    Skip,
    /// The path of a descriptor, where the kernel side looked.
    Descriptor,
    /// A string.
    Text,
    /// Bits with names.
    Bits(&'static [(u64, &'static str)]),
    /// One of several, with a name.
    Choice(&'static [(u64, &'static str)]),
    /// A number.
    Number,
    /// Seconds, of the struct that it points to.
    Seconds,
    /// The first half word of the struct that it points to.
    First,
}

struct Known {
    nr: u32,
    op: CallOp,
    name: &'static str,
    args: &'static [(&'static str, What)],
}

/// include/uapi/linux/mount.h.
const MOUNT_FLAGS: &[(u64, &str)] = &[
    (1, "MS_RDONLY"),
    (2, "MS_NOSUID"),
    (4, "MS_NODEV"),
    (8, "MS_NOEXEC"),
    (16, "MS_SYNCHRONOUS"),
    (32, "MS_REMOUNT"),
    (1 << 10, "MS_NOATIME"),
    (1 << 12, "MS_BIND"),
    (1 << 13, "MS_MOVE"),
    (1 << 14, "MS_REC"),
    (1 << 15, "MS_SILENT"),
    (1 << 17, "MS_UNBINDABLE"),
    (1 << 18, "MS_PRIVATE"),
    (1 << 19, "MS_SLAVE"),
    (1 << 20, "MS_SHARED"),
    (1 << 21, "MS_RELATIME"),
];
const UMOUNT_FLAGS: &[(u64, &str)] =
    &[(1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW")];
const FSCONFIG: &[(u64, &str)] = &[
    (0, "SET_FLAG"),
    (1, "SET_STRING"),
    (2, "SET_BINARY"),
    (3, "SET_PATH"),
    (4, "SET_PATH_EMPTY"),
    (5, "SET_FD"),
    (6, "CMD_CREATE"),
    (7, "CMD_RECONFIGURE"),
];
const TREE_FLAGS: &[(u64, &str)] = &[(1, "OPEN_TREE_CLONE"), (0x8000, "AT_RECURSIVE")];
/// include/uapi/linux/sched.h.
const NAMESPACES: &[(u64, &str)] = &[
    (0x80, "CLONE_NEWTIME"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
];
const BPF: &[(u64, &str)] = &[
    (5, "PROG_LOAD"),
    (6, "OBJ_PIN"),
    (8, "PROG_ATTACH"),
    (9, "PROG_DETACH"),
    (17, "RAW_TRACEPOINT_OPEN"),
    (28, "LINK_CREATE"),
    (34, "LINK_DETACH"),
];
const REBOOT: &[(u64, &str)] = &[
    (0x0123_4567, "RESTART"),
    (0xcdef_0123, "HALT"),
    (0x4321_fedc, "POWER_OFF"),
    (0xa1b2_c3d4, "RESTART2"),
    (0x4558_4543, "KEXEC"),
    (0x89ab_cdef, "CAD_ON"),
    (0, "CAD_OFF"),
];

use What::{Bits, Choice, Descriptor, First, Number, Seconds, Skip, Text};

/// By their numbers on x86-64.
const KNOWN: &[Known] = &[
    call(155, CallOp::Mount, "pivot_root", &[("root", Text), ("put_old", Text)]),
    call(161, CallOp::Mount, "chroot", &[("root", Text)]),
    call(
        165,
        CallOp::Mount,
        "mount",
        &[("source", Text), ("target", Text), ("type", Text), ("flags", Bits(MOUNT_FLAGS))],
    ),
    call(428, CallOp::Mount, "open_tree", &[("", Skip), ("path", Text), ("flags", Bits(TREE_FLAGS))]),
    call(
        429,
        CallOp::Mount,
        "move_mount",
        &[("from", Descriptor), ("from_path", Text), ("", Skip), ("target", Text)],
    ),
    call(430, CallOp::Mount, "fsopen", &[("type", Text)]),
    call(
        431,
        CallOp::Mount,
        "fsconfig",
        &[("", Skip), ("command", Choice(FSCONFIG)), ("key", Text), ("value", Text)],
    ),
    call(432, CallOp::Mount, "fsmount", &[]),
    call(433, CallOp::Mount, "fspick", &[("", Skip), ("path", Text)]),
    call(442, CallOp::Mount, "mount_setattr", &[("", Skip), ("path", Text)]),
    call(166, CallOp::Umount, "umount", &[("target", Text), ("flags", Bits(UMOUNT_FLAGS))]),
    call(175, CallOp::Module, "init_module", &[("", Skip), ("bytes", Number), ("parameters", Text)]),
    call(176, CallOp::Module, "delete_module", &[("module", Text)]),
    call(313, CallOp::Module, "finit_module", &[("file", Descriptor), ("parameters", Text)]),
    call(321, CallOp::Bpf, "bpf", &[("command", Choice(BPF)), ("type", First)]),
    call(272, CallOp::Namespace, "unshare", &[("flags", Bits(NAMESPACES))]),
    call(308, CallOp::Namespace, "setns", &[("to", Descriptor), ("flags", Bits(NAMESPACES))]),
    call(159, CallOp::Kernel, "adjtimex", &[("modes", First)]),
    call(163, CallOp::Kernel, "acct", &[("file", Text)]),
    call(164, CallOp::Kernel, "settimeofday", &[("seconds", Seconds)]),
    call(167, CallOp::Kernel, "swapon", &[("file", Text)]),
    call(168, CallOp::Kernel, "swapoff", &[("file", Text)]),
    call(169, CallOp::Kernel, "reboot", &[("", Skip), ("", Skip), ("command", Choice(REBOOT))]),
    call(170, CallOp::Kernel, "sethostname", &[("name", Text)]),
    call(171, CallOp::Kernel, "setdomainname", &[("name", Text)]),
    call(227, CallOp::Kernel, "clock_settime", &[("clock", Number), ("seconds", Seconds)]),
    call(246, CallOp::Kernel, "kexec_load", &[("entry", Number), ("segments", Number)]),
    call(305, CallOp::Kernel, "clock_adjtime", &[("clock", Number), ("modes", First)]),
    call(425, CallOp::IoUring, "io_uring_setup", &[("entries", Number)]),
    call(
        320,
        CallOp::Kernel,
        "kexec_file_load",
        &[("file", Descriptor), ("", Skip), ("", Skip), ("command_line", Text)],
    ),
];

const fn call(nr: u32, op: CallOp, name: &'static str, args: &'static [(&'static str, What)]) -> Known {
    Known { nr, op, name, args }
}

/// Names of the bits that are set, the rest as one number.
fn bits(mut value: u64, names: &[(u64, &str)]) -> String {
    let mut words = Vec::new();
    for (bit, name) in names {
        if value & bit == *bit {
            words.push((*name).to_owned());
            value &= !bit;
        }
    }
    if value != 0 || words.is_empty() {
        words.push(format!("{value:#x}"));
    }
    words.join("|")
}

/// A change of the system.
pub(super) fn call_of(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: CallEvent = r.get()?;
    let path = r.take(e.path_len)?;
    let mut strings = Vec::new();
    for len in e.lens {
        strings.push(r.take(len)?);
    }
    let Some(known) = KNOWN.iter().find(|known| known.nr == e.nr) else { return Err(DecodeError::Cut) };
    let mut strings = strings.into_iter();
    let mut args = Vec::new();
    for ((name, what), value) in known.args.iter().zip(e.args) {
        let [first, _] = e.extra;
        let text = match what {
            Skip => continue,
            // The kernel side takes the strings in the order of the arguments, whether there is one or none.
            Text => {
                let text = strings.next().unwrap_or_default();
                // These two have no end of their own: their length is the next argument.
                let [_, length, ..] = e.args;
                let limit = if matches!(known.nr, 170 | 171) { length } else { u64::MAX };
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                Bytes::from(text.get(..limit).unwrap_or(text))
            }
            Descriptor if path.is_empty() => continue,
            Descriptor => joined(path),
            Bits(names) => Bytes::from(bits(value & 0xffff_ffff, names).as_str()),
            Choice(names) => {
                let value = value & 0xffff_ffff;
                let known = names.iter().find(|(number, _)| *number == value);
                Bytes::from(known.map_or_else(|| value.to_string(), |(_, name)| (*name).to_owned()).as_str())
            }
            Number => Bytes::from(value.to_string().as_str()),
            Seconds => Bytes::from(first.cast_signed().to_string().as_str()),
            First => Bytes::from(format!("{:#x}", first & 0xffff_ffff).as_str()),
        };
        if !text.is_empty() {
            args.push((Bytes::from(*name), text));
        }
    }
    Ok(Act::Call(known.op, Box::new(Call { name: Bytes::from(known.name), args, result: e.result })))
}

pub(super) fn end(family: u16, address: [u8; 16], port: u16) -> Bytes {
    let [a, b, c, d, ..] = address;
    let ip: IpAddr =
        if family == AF_INET { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(address).into() };
    if ip.is_unspecified() && port == 0 {
        return Bytes::default();
    }
    Bytes::from(SocketAddr::new(ip, port).to_string().as_str())
}

/// An address as it was passed; the machines that this runs on count from the low byte.
fn passed(raw: &[u8]) -> Option<(u16, Bytes)> {
    let (family, rest) = raw.split_first_chunk::<2>()?;
    let family = u16::from_le_bytes(*family);
    let text = match family {
        AF_INET => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (four, _) = rest.split_first_chunk::<4>()?;
            let mut address = [0; 16];
            if let Some(head) = address.first_chunk_mut() {
                *head = *four;
            }
            end(family, address, u16::from_be_bytes(*port))
        }
        AF_INET6 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (_, rest) = rest.split_first_chunk::<4>()?;
            end(family, *rest.first_chunk()?, u16::from_be_bytes(*port))
        }
        AF_UNIX => match rest.split_first() {
            None => Bytes::default(),
            // An abstract name: zeros count, and where it ends the length said.
            Some((0, name)) => Bytes::new([b"@", name].concat()),
            Some(_) => Bytes::from(rest.split(|b| *b == 0).next().unwrap_or_default()),
        },
        _ => Bytes::default(),
    };
    Some((family, text))
}

/// An act on a socket.
pub(super) fn socket(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: SocketEvent = r.get()?;
    let address = passed(r.take(e.address_len)?);
    let op = match e.nr {
        42 => SocketOp::Connect,
        49 => SocketOp::Bind,
        50 => SocketOp::Listen,
        _ => SocketOp::Accept,
    };
    let is_ip = matches!(e.family, AF_INET | AF_INET6);
    let [mut local, mut remote] = if is_ip {
        [end(e.family, e.local, e.local_port), end(e.family, e.remote, e.remote_port)]
    } else {
        Default::default()
    };
    // What the socket itself says goes before what was passed, which another thread may have changed since.
    let mut family = e.family;
    if let Some((named, text)) = address {
        let place = if op == SocketOp::Bind { &mut local } else { &mut remote };
        if place.is_empty() || (op == SocketOp::Connect && e.result < 0) {
            *place = text;
        }
        if e.ino == 0 {
            family = named;
        }
    }
    let socket =
        Socket { family, kind: e.kind, protocol: e.protocol, local, remote, result: e.result, ino: e.ino };
    Ok(Act::Socket(op, Box::new(socket)))
}

#[cfg(test)]
mod tests {
    use recorder_common::{EventHeader, Kind};
    use zerocopy::IntoBytes;

    use super::{super::decode::Decoder, *};

    fn decoded(kind: u16, payload: &[u8], tail: &[u8]) -> Act {
        let head = EventHeader { kind, ..EventHeader::default() };
        let raw = [head.as_bytes(), payload, tail].concat();
        for len in size_of::<EventHeader>()..raw.len() {
            assert_eq!(Decoder::new(32).decode(raw.get(..len).unwrap()), Err(DecodeError::Cut), "{len}");
        }
        Decoder::new(32).decode(&raw).unwrap().unwrap().act
    }

    fn call(e: CallEvent, tail: &[u8]) -> (CallOp, String, Vec<(String, String)>) {
        match decoded(Kind::CALL, e.as_bytes(), tail) {
            Act::Call(op, call) => {
                let args = call.args.iter().map(|(name, value)| (name.escaped(), value.escaped()));
                (op, call.name.escaped(), args.collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn calls_are_told_in_the_words_of_the_headers() {
        let e =
            CallEvent { nr: 165, args: [1, 2, 3, 1 << 12 | 1, 0], lens: [3, 2, 0], ..CallEvent::default() };
        let told = named(&[("source", "src"), ("target", "/t"), ("flags", "MS_RDONLY|MS_BIND")]);
        assert_eq!(call(e, b"src/t"), (CallOp::Mount, "mount".into(), told));
        let e = CallEvent { nr: 308, args: [5, 0, 0, 0, 0], path_len: 6, ..CallEvent::default() };
        let told = named(&[("to", "/p/net"), ("flags", "0x0")]);
        assert_eq!(call(e, b"net\0p\0"), (CallOp::Namespace, "setns".into(), told));
        // A name without an end of its own.
        let e = CallEvent { nr: 170, args: [1, 3, 0, 0, 0], lens: [5, 0, 0], ..CallEvent::default() };
        assert_eq!(call(e, b"webxx"), (CallOp::Kernel, "sethostname".into(), named(&[("name", "web")])));
        let e =
            CallEvent { nr: 321, args: [5, 1, 0, 0, 0], extra: [0x1a | 7 << 32, 0], ..CallEvent::default() };
        let told = named(&[("command", "PROG_LOAD"), ("type", "0x1a")]);
        assert_eq!(call(e, b""), (CallOp::Bpf, "bpf".into(), told));
    }

    fn socket(e: SocketEvent, tail: &[u8]) -> (SocketOp, String, String) {
        let e = SocketEvent { address_len: u32::try_from(tail.len()).unwrap(), ..e };
        match decoded(Kind::SOCKET, e.as_bytes(), tail) {
            Act::Socket(op, socket) => (op, socket.local.escaped(), socket.remote.escaped()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_at_the_other_end_says_the_socket_itself() {
        let mut e =
            SocketEvent { nr: 42, family: AF_INET, ino: 9, remote_port: 443, ..SocketEvent::default() };
        e.remote[..4].copy_from_slice(&[192, 0, 2, 7]);
        // Somebody rewrote what he had passed.
        let lie = [&AF_INET.to_le_bytes()[..], &[0, 80, 203, 0, 113, 9]].concat();
        assert_eq!(socket(e, &lie), (SocketOp::Connect, String::new(), "192.0.2.7:443".into()));
        // A connection that failed has no other end; what was asked for is all there is.
        let failed = SocketEvent { result: -111, remote: [0; 16], remote_port: 0, ..e };
        assert_eq!(socket(failed, &lie).2, "203.0.113.9:80");
        let mut v6 = [0u8; 26];
        v6[..4].copy_from_slice(&[10, 0, 0, 22]);
        v6[23] = 1;
        let e = SocketEvent { nr: 42, family: AF_INET6, ino: 9, result: -1, ..SocketEvent::default() };
        assert_eq!(socket(e, &v6).2, "[::1]:22");
        let e = SocketEvent { nr: 49, family: AF_UNIX, ino: 9, ..SocketEvent::default() };
        assert_eq!(socket(e, b"\x01\0/run/x\0junk").1, "/run/x");
        assert_eq!(socket(e, b"\x01\0\0abs").1, "@abs");
        let listens = SocketEvent { nr: 50, family: AF_INET, local_port: 22, ..SocketEvent::default() };
        assert_eq!(socket(listens, b""), (SocketOp::Listen, "0.0.0.0:22".into(), String::new()));
    }

    #[test]
    fn odd_addresses_are_no_faults() {
        for raw in [&b""[..], b"\x02", b"\x02\0\0", b"\x0a\0\0\0\0\0\0\0\0", b"\x01\0", b"\x63\0zzz"] {
            socket(SocketEvent { nr: 42, ..SocketEvent::default() }, raw);
        }
    }
}
