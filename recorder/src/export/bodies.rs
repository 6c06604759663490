//! The part of the event JSON that depends on the kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json::{Shown, auid, put_bytes, put_list, put_opt, rfc3339};
use crate::model::{
    Body, Boot, Caps, ClockPair, Cosigned, CoverageChange, Cred, Cut, Elevation, Enforcement, Exec, Exit,
    Grant, Heartbeat, Ids, Jump, Login, LoginWitness, Loss, Overdue, SessionClosed, SessionEnd, SessionStart,
    StorageFault, TaskId, Token, Tombstone, Tty, Uncovered,
};

/// What was cut in a record, wherever its kind keeps that.
pub(super) fn cut(body: &Body) -> Option<&Cut> {
    match body {
        Body::Exec(exec) => exec.cut.as_ref(),
        Body::File(_, file) => file.cut.as_ref(),
        Body::Xattr(xattr) => xattr.cut.as_ref(),
        Body::Tty(_, tty) => tty.cut.as_ref(),
        _ => None,
    }
}

/// Puts the object that is named after the kind; file kinds share `file`, tty kinds `tty`.
pub(crate) fn put<M: SerializeMap>(map: &mut M, body: &Body) -> Result<(), M::Error> {
    match body {
        Body::Exec(b) => map.serialize_entry("exec", &Obj(b)),
        Body::ExecFailed(b) => map.serialize_entry("exec_failed", &Obj(&**b)),
        Body::Script(b) => map.serialize_entry("script", &Obj(&**b)),
        Body::Arguments(b) => map.serialize_entry("arguments", &Obj(&**b)),
        Body::Mapped(b) => map.serialize_entry("mapped", &Obj(&**b)),
        Body::Fork(b) => map.serialize_entry("fork", &Obj(&b.child)),
        Body::Exit(b) => map.serialize_entry("exit", &Obj(b)),
        Body::Cred(b) => map.serialize_entry("cred", &Obj(&**b)),
        Body::File(op, b) => map.serialize_entry("file", &Obj(&(*op, b))),
        Body::Reads(b) => map.serialize_entry("file", &Obj(&**b)),
        Body::Setattr(_, b) => map.serialize_entry("file", &Obj(&**b)),
        Body::Xattr(b) => map.serialize_entry("file", &Obj(&**b)),
        Body::Allocate(b) => map.serialize_entry("file", &Obj(&**b)),
        Body::Call(_, b) => map.serialize_entry("call", &Obj(&**b)),
        Body::Socket(_, b) => map.serialize_entry("socket", &Obj(&**b)),
        Body::Setting(b) => map.serialize_entry("setting", &Obj(&**b)),
        Body::Sent(b) => map.serialize_entry("socket", &Obj(&**b)),
        Body::Tty(_, b) => map.serialize_entry("tty", &Obj(b)),
        Body::SessionStart(b) => map.serialize_entry("session_start", &Obj(&**b)),
        Body::SessionEnd(b) => map.serialize_entry("session_end", &Obj(b)),
        Body::Boot(b) => map.serialize_entry("boot", &Obj(&**b)),
        Body::Heartbeat(b) => map.serialize_entry("heartbeat", &Obj(b)),
        Body::Loss(b) => map.serialize_entry("loss", &Obj(b)),
        Body::Jump(b) => map.serialize_entry("jump", &Obj(b)),
        Body::Stop(b) => map.serialize_entry("stop", &Obj(b)),
        Body::SessionOpened(b) => map.serialize_entry("session_opened", &Obj(b)),
        Body::SessionClosed(b) => map.serialize_entry("session_closed", &Obj(b)),
        Body::Storage(b) => map.serialize_entry("storage", &Obj(b)),
        // The keys `grant` and `coverage` of every event say which one held; these are the changes themselves.
        Body::Coverage(b) => map.serialize_entry("coverage_change", &Obj(&**b)),
        Body::Delegation(b) => map.serialize_entry("delegation", &Obj(&**b)),
        Body::Participant(b) => map.serialize_entry("participant", &Obj(&**b)),
        Body::Digest(b) => map.serialize_entry("digest", &Obj(&**b)),
        Body::Changed(b) => map.serialize_entry("changed", &Obj(&**b)),
        Body::Redacted(b) => map.serialize_entry("redacted", &Obj(&**b)),
        Body::Config(b) => map.serialize_entry("config", &Obj(&**b)),
        Body::Guard(b) => map.serialize_entry("guard", &Obj(&**b)),
        Body::RedactionKey(b) => map.serialize_entry("redaction_key", &Obj(&**b)),
        Body::Overdue(b) => map.serialize_entry("overdue", &Obj(b)),
        Body::Enforcement(b) => map.serialize_entry("enforcement", &Obj(&**b)),
        // The key `context` of every event says where its process lives; this is the change itself.
        Body::Context(b) => map.serialize_entry("context_change", &Obj(&**b)),
        Body::Capability(b) => map.serialize_entry("capability", &Obj(&**b)),
        Body::Permissions(b) => map.serialize_entry("permissions", &Obj(&**b)),
        Body::Grant(b) => map.serialize_entry("grant_change", &Obj(&**b)),
        Body::Login(b) => map.serialize_entry("login", &Obj(&**b)),
        Body::Token(b) => map.serialize_entry("token_use", &Obj(&**b)),
        Body::Checkpoint(b) => map.serialize_entry("checkpoint", &Obj(&**b)),
        Body::Hook(b) => map.serialize_entry("hook", &Obj(&**b)),
        Body::Clock(b) => map.serialize_entry("clock", &Obj(b)),
        Body::Tombstone(b) => map.serialize_entry("tombstone", &Obj(b)),
        Body::Unknown { kind, bytes } => {
            map.serialize_entry("unknown", &Obj(&(kind.code(), bytes.as_slice())))
        }
    }
}

/// Writes its fields into an object.
pub(crate) trait Fields {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// Serializes as an object.
pub(crate) struct Obj<'a, T>(pub(crate) &'a T);

impl<T: Fields> Serialize for Obj<'_, T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        self.0.fields(&mut map)?;
        map.end()
    }
}

fn hex(bits: u64) -> String {
    format!("{bits:#x}")
}

pub(super) fn device(dev: (u32, u32)) -> String {
    format!("{}:{}", dev.0, dev.1)
}

fn signal(raw: u8) -> Option<u8> {
    (raw != 0).then_some(raw)
}

impl Fields for Exec {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        put_list(map, "argv", "argv_b64", &self.argv)?;
        put_bytes(map, "cwd", "cwd_b64", &self.cwd)?;
        map.serialize_entry("dev", &device(self.dev))?;
        map.serialize_entry("ino", &self.ino)
    }
}

impl Fields for CoverageChange {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("from_ns", &self.from.get())?;
        map.serialize_entry("state", self.coverage.name())?;
        map.serialize_entry("reason", &self.coverage.reason().map(Uncovered::name))?;
        map.serialize_entry("grant", &self.coverage.grant().map(Shown))?;
        put_bytes(map, "person", "person_b64", &self.person)?;
        put_bytes(map, "incident", "incident_b64", &self.incident)
    }
}

impl Fields for Enforcement {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("act", self.act.name())?;
        map.serialize_entry("coverage", self.coverage.name())?;
        map.serialize_entry("reason", &self.coverage.reason().map(Uncovered::name))?;
        map.serialize_entry("grant", &self.coverage.grant().map(Shown))?;
        map.serialize_entry("pid", &self.task.pid)?;
        map.serialize_entry("start_ns", &self.task.start.get())?;
        map.serialize_entry("count", &self.count)?;
        put_bytes(map, "text", "text_b64", &self.text)
    }
}

impl Fields for Overdue {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("pid", &self.task.pid)?;
        map.serialize_entry("start_ns", &self.task.start.get())?;
        map.serialize_entry("grant", &Shown(self.grant))?;
        map.serialize_entry("since_ns", &self.since.get())?;
        map.serialize_entry("reason", self.reason.name())
    }
}

impl Fields for Grant {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("act", self.act.name())?;
        map.serialize_entry("document", &Shown(self.document))?;
        map.serialize_entry("grant", &Shown(self.request))?;
        put_bytes(map, "kind", "kind_b64", &self.kind)?;
        put_bytes(map, "signer", "signer_b64", &self.signer)?;
        put_bytes(map, "person", "person_b64", &self.person)?;
        put_bytes(map, "key", "key_b64", &self.key)?;
        map.serialize_entry("received", &rfc3339(self.received))?;
        put_bytes(map, "text", "text_b64", &self.text)?;
        put_bytes(map, "bytes", "bytes_b64", &self.bytes)?;
        put_bytes(map, "signature", "signature_b64", &self.signature)
    }
}

impl Fields for Tombstone {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("permit", &Shown(self.permit))?;
        map.serialize_entry("stub", &Shown(self.stub))?;
        map.serialize_entry("first", &self.first)?;
        map.serialize_entry("leaves", &self.leaves)?;
        map.serialize_entry("applied", &rfc3339(self.applied))
    }
}

impl Fields for Token {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("act", self.act.name())?;
        map.serialize_entry("token", &Shown(self.token))?;
        map.serialize_entry("grant", &Shown(self.grant))?;
        put_bytes(map, "person", "person_b64", &self.person)?;
        put_bytes(map, "host", "host_b64", &self.host)?;
        put_bytes(map, "signer", "signer_b64", &self.signer)?;
        put_bytes(map, "key", "key_b64", &self.key)?;
        map.serialize_entry("received", &rfc3339(self.received))?;
        map.serialize_entry("until", &rfc3339(self.until))?;
        put_bytes(map, "text", "text_b64", &self.text)?;
        put_bytes(map, "bytes", "bytes_b64", &self.bytes)?;
        put_bytes(map, "signature", "signature_b64", &self.signature)
    }
}

impl Fields for Login {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "account", "account_b64", &self.account)?;
        put_bytes(map, "service", "service_b64", &self.service)?;
        for (name, name_b64, bytes) in [
            ("remote", "remote_b64", &self.remote),
            ("tty", "tty_b64", &self.tty),
            ("auth", "auth_b64", &self.auth),
            ("key", "key_b64", &self.key),
            ("certificate", "certificate_b64", &self.certificate),
        ] {
            put_opt(map, name, name_b64, Some(bytes).filter(|b| !b.is_empty()))?;
        }
        let certified = !self.certificate.is_empty() || !self.authority.is_empty();
        map.serialize_entry("serial", &certified.then_some(self.serial))?;
        put_opt(map, "authority", "authority_b64", Some(&self.authority).filter(|b| !b.is_empty()))?;
        map.serialize_entry("audit_session", &auid(self.audit_session))?;
        map.serialize_entry("pid", &self.pid)?;
        put_opt(map, "person", "person_b64", Some(&self.person).filter(|b| !b.is_empty()))
    }
}

impl Fields for TaskId {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("pid", &self.pid)?;
        map.serialize_entry("start_ns", &self.start.get())
    }
}

impl Fields for Exit {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("code", &(self.signal == 0).then_some(self.code))?;
        map.serialize_entry("signal", &signal(self.signal))?;
        map.serialize_entry("core", &(self.core != 0))
    }
}

impl Fields for Ids {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("uid", &self.uid)?;
        map.serialize_entry("euid", &self.euid)?;
        map.serialize_entry("suid", &self.suid)?;
        map.serialize_entry("fsuid", &self.fsuid)?;
        map.serialize_entry("gid", &self.gid)?;
        map.serialize_entry("egid", &self.egid)
    }
}

impl Fields for Caps {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("effective", &hex(self.effective))?;
        map.serialize_entry("permitted", &hex(self.permitted))
    }
}

impl Fields for Cred {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("old", &Obj(&self.old))?;
        map.serialize_entry("new", &Obj(&self.new))?;
        map.serialize_entry("old_caps", &Obj(&self.old_caps))?;
        map.serialize_entry("new_caps", &Obj(&self.new_caps))
    }
}

impl Fields for Tty {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "name", "name_b64", &self.name)?;
        map.serialize_entry("no", &self.no)?;
        map.serialize_entry("data", &STANDARD.encode(self.data.as_slice()))?;
        map.serialize_entry("text", &String::from_utf8_lossy(self.data.as_slice()))?;
        map.serialize_entry("hidden", &self.hidden)?;
        map.serialize_entry("cols", &self.cols)?;
        map.serialize_entry("rows", &self.rows)
    }
}

impl Fields for LoginWitness {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("auid", &auid(self.auid))?;
        map.serialize_entry("audit_session", &auid(self.audit_session))?;
        put_bytes(map, "user", "user_b64", &self.user)?;
        put_opt(map, "tty", "tty_b64", Some(&self.tty).filter(|t| !t.is_empty()))?;
        put_opt(map, "remote", "remote_b64", Some(&self.remote).filter(|r| !r.is_empty()))
    }
}

impl Fields for Elevation {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("from", &self.from.euid)?;
        map.serialize_entry("to", &self.to.euid)?;
        map.serialize_entry("via", self.via.name())?;
        put_bytes(map, "path", "path_b64", &self.path)?;
        map.serialize_entry("from_ids", &Obj(&self.from))?;
        map.serialize_entry("to_ids", &Obj(&self.to))?;
        map.serialize_entry("caps", &Obj(&self.caps))
    }
}

/// `elevation` of a session, as events and session lists show it.
#[derive(Clone, Copy, Debug)]
pub struct ElevationJson<'a>(pub &'a Elevation);

impl Serialize for ElevationJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Obj(self.0).serialize(s)
    }
}

impl Fields for SessionStart {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("id", &Shown(self.id))?;
        map.serialize_entry("root", &Obj(&self.root))?;
        map.serialize_entry("login", &Obj(&self.login))?;
        map.serialize_entry("elevation", &Obj(&self.elevation))?;
        map.serialize_entry("seeded", &(self.seeded != 0))
    }
}

impl Fields for SessionEnd {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("reason", self.reason.name())?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("signal", &signal(self.signal))?;
        map.serialize_entry("execs", &self.execs)?;
        map.serialize_entry("files", &self.files)?;
        map.serialize_entry("tty_bytes", &self.tty_bytes)
    }
}

impl Fields for ClockPair {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("boot_ns", &self.boot.get())?;
        map.serialize_entry("time", &rfc3339(self.real))
    }
}

impl Fields for Boot {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("boot_id", &Shown(self.boot_id))?;
        map.serialize_entry("clock", &Obj(&self.clock))?;
        put_bytes(map, "host", "host_b64", &self.host)?;
        put_bytes(map, "kernel", "kernel_b64", &self.kernel)?;
        put_bytes(map, "version", "version_b64", &self.version)?;
        put_bytes(map, "backend", "backend_b64", &self.backend)?;
        put_list(map, "hooks", "hooks_b64", &self.hooks)?;
        put_list(map, "blind", "blind_b64", &self.blind)?;
        put_list(map, "lsm", "lsm_b64", &self.lsm)?;
        put_bytes(map, "lockdown", "lockdown_b64", &self.lockdown)?;
        map.serialize_entry("previous_end", self.previous_end.name())?;
        map.serialize_entry("cmdline_sha256", &Shown(self.cmdline_sha256))?;
        map.serialize_entry("object_sha256", &Shown(self.object_sha256))?;
        map.serialize_entry("recorder_sha256", &Shown(self.recorder_sha256))?;
        map.serialize_entry("config_sha256", &Shown(self.config_sha256))
    }
}

impl Fields for Heartbeat {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("clock", &Obj(&self.clock))?;
        map.serialize_entry("sessions", &self.sessions)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("lost", &self.lost)?;
        map.serialize_entry("free_bytes", &self.free_bytes)?;
        map.serialize_entry("canaries", &self.canaries)?;
        map.serialize_entry("canaries_missed", &self.canaries_missed)?;
        map.serialize_entry("hooks_live", &hex(self.hooks_live))
    }
}

impl Fields for Loss {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "class", "class_b64", &self.class)?;
        put_bytes(map, "ring", "ring_b64", &self.ring)?;
        map.serialize_entry("cpu", &self.cpu)?;
        map.serialize_entry("from", &self.from)?;
        map.serialize_entry("to", &self.to)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("reason", self.reason.name())
    }
}

impl Fields for Jump {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("before", &Obj(&self.before))?;
        map.serialize_entry("after", &Obj(&self.after))
    }
}

impl Fields for crate::model::Stop {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("clock", &Obj(&self.clock))?;
        map.serialize_entry("signal", &signal(self.signal))?;
        map.serialize_entry("open_sessions", &self.open_sessions)
    }
}

impl Fields for crate::model::SessionOpened {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("stream", &self.stream.get())?;
        map.serialize_entry("id", &Shown(self.id))
    }
}

impl Fields for SessionClosed {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("stream", &self.stream.get())?;
        map.serialize_entry("id", &Shown(self.id))?;
        map.serialize_entry("reason", self.reason.name())?;
        map.serialize_entry("frames", &self.frames)?;
        map.serialize_entry("records", &self.records)?;
        map.serialize_entry("losses", &self.losses)
    }
}

impl Fields for StorageFault {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "operation", "operation_b64", &self.operation)?;
        map.serialize_entry("errno", &self.errno)?;
        map.serialize_entry("repeated", &self.repeated)
    }
}

impl Fields for Cosigned {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("size", &self.size)?;
        map.serialize_entry("root", &Shown(self.root))?;
        put_bytes(map, "note", "note_b64", &self.note)
    }
}

impl Fields for (u16, &[u8]) {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("code", &self.0)?;
        map.serialize_entry("data", &STANDARD.encode(self.1))
    }
}
