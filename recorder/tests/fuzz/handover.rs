//! What sessions say to service managers and to container engines: bytes that the recorded person chose, straight into the daemon.

use std::sync::Arc;

use recorder::{
    model::{
        Act, BootNanos, Bytes, Captured, Flags, KernelEvent, Mark, Place, Request, RequestWhat, Task, TaskId,
    },
    session::{Container, Files, Handover},
};

/// A host on which nothing can be read.
struct Nothing;

impl Files for Nothing {
    fn read(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn alias(&self, _: &str) -> Option<String> {
        None
    }

    fn container(&self, _: &str) -> Option<Container> {
        None
    }
}

fn sent(to: &str, bytes: &[u8], missing: u32) -> Captured {
    let task = Task {
        id: TaskId { pid: 7, start: BootNanos::new(1) },
        tid: 7,
        ppid: 1,
        comm: Bytes::from("busctl"),
        auid: 1000,
        uid: 0,
        euid: 0,
    };
    let request = Request {
        what: RequestWhat::Send,
        since: None,
        connection: 1,
        peer: 1,
        to: Bytes::from(to),
        bytes: Bytes::from(bytes),
        missing,
    };
    Captured::Event(Box::new(KernelEvent {
        boot_ns: BootNanos::new(2),
        cpu: 0,
        mark: Mark::new(9),
        flags: Flags::default(),
        task: Arc::new(task),
        place: Place::default(),
        act: Act::Request(request),
    }))
}

/// What was understood.
fn heard(parts: impl Iterator<Item = Captured>) -> Vec<Captured> {
    let (mut rules, mut out, mut let_go) = (Handover::new(true), Vec::new(), Vec::new());
    for part in parts {
        rules.step(part, &Nothing, &mut out, &mut let_go);
    }
    out
}

/// A bus, and what is no bus.
pub(crate) fn requests(input: &[u8]) -> Result<(), String> {
    said("/run/systemd/private", input)
}

/// HTTP, and what is none; the same bytes to an engine that is only listened to for ids.
pub(crate) fn engines(input: &[u8]) -> Result<(), String> {
    said("/run/docker.sock", input)?;
    said("/run/containerd/containerd.sock", input)
}

/// First byte: into parts of which length the rest is cut; second byte: with so many bytes missing behind the whole. However it is
/// cut, the same is understood; only where a stream ends, as it is none of its kind or somebody's input from there, a later part may
/// begin another.
fn said(to: &str, input: &[u8]) -> Result<(), String> {
    let [size, missing, rest @ ..] = input else { return Ok(()) };
    let whole = heard(std::iter::once(sent(to, rest, 0)));
    // Each part is an event, which costs more than its bytes: a long input is cut into longer ones.
    let size = usize::from(*size).max(1 + rest.len() / 256);
    let split = heard(rest.chunks(size).map(|part| sent(to, part, 0)));
    if !split.starts_with(&whole) {
        return Err(format!("{} calls in one piece, {} in pieces of {size}", whole.len(), split.len()));
    }
    heard([sent(to, rest, u32::from(*missing)), sent(to, rest, 0)].into_iter());
    Ok(())
}

fn field(out: &mut Vec<u8>, code: u8, kind: u8, text: &str) {
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend([code, 1, kind, 0]);
    let len = u8::try_from(text.len()).unwrap();
    if kind == b'g' {
        out.push(len);
    } else {
        out.extend(u32::from(len).to_le_bytes());
    }
    out.extend(text.as_bytes());
    out.push(0);
}

fn strings(texts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    out
}

fn message(member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    field(&mut fields, 1, b'o', "/org/freedesktop/systemd1");
    field(&mut fields, 2, b's', "org.freedesktop.systemd1.Manager");
    field(&mut fields, 3, b's', member);
    field(&mut fields, 6, b's', "org.freedesktop.systemd1");
    field(&mut fields, 8, b'g', signature);
    let mut out = vec![b'l', 1, 0, 1];
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out.extend(7u32.to_le_bytes());
    out.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
    out.extend(fields);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}

/// A connection that begins, one that is there already, arrays, variants, the other byte order, no D-Bus at all.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let start = message("StartUnit", "ss", &strings(&["nginx.service", "replace"]));
    let mut body = strings(&["run-u5.service", "fail"]);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(40u32.to_le_bytes());
    body.resize(body.len().next_multiple_of(8), 0);
    body.extend(strings(&["Description"]));
    body.extend([1, b's', 0]);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(strings(&["x"]));
    body.resize(body.len().next_multiple_of(8), 0);
    body.extend(0u32.to_le_bytes());
    let transient = message("StartTransientUnit", "ssa(sv)a(sa(sv))", &body);
    let auth = b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".to_vec();
    let big = b"B\x01\0\x01\0\0\0\x04\0\0\0\x01\0\0\0\x10\x03\x01s\0\0\0\0\x04Ping\0\0\0\0abcd".to_vec();
    let joined = [auth.clone(), start.clone(), transient.clone(), start.clone()].concat();
    [start, transient, auth, big, joined, b"GET /containers/json HTTP/1.1\r\n\r\n".to_vec()]
        .into_iter()
        .enumerate()
        .map(|(n, bytes)| [vec![u8::try_from(n * 9 + 1).unwrap(), u8::try_from(n).unwrap()], bytes].concat())
        .collect()
}

/// What docker's client says: a run, an upload in chunks, a process whose input follows; and a message to containerd.
pub(crate) fn engine_seeds() -> Vec<Vec<u8>> {
    let id = "0123456789abcdef".repeat(4);
    let run = format!(
        "HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\nPOST /v1.41/containers/create?name=w%65b HTTP/1.1\r\nContent-Length: 15\r\n\r\n{{\"Image\":\"box\"}}\
         POST /v1.41/containers/{id}/wait HTTP/1.1\r\n\r\nPOST /v1.41/containers/{id}/start HTTP/1.1\r\n\r\n"
    );
    let load = "POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0a;x\r\n0123456789\r\n0\r\nA: b\r\n\r\nDELETE /images/x HTTP/1.1\r\n\r\n";
    let exec = format!(
        "POST /exec/{id}/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{{}}GET it\nPOST /containers/x/kill HTTP/1.1\r\n\r\n"
    );
    let detached = format!("POST /exec/{id}/start HTTP/1.1\r\n\r\n").repeat(2);
    let grpc = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\u{4}\u{1}opencontainers/runtime-spec\u{3}web".to_owned();
    [run, load.to_owned(), exec, grpc, detached]
        .into_iter()
        .enumerate()
        .map(|(n, text)| {
            [vec![u8::try_from(n * 9 + 1).unwrap(), u8::try_from(n).unwrap()], text.into_bytes()].concat()
        })
        .collect()
}
