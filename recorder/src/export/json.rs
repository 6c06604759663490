//! The event JSON: one object for each record. The law is docs/cli.md; docs/events.md describes every field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::bodies;
use crate::model::{Bytes, CoverageChange, Cut, RealNanos, Task, TaskContext};
use crate::verify::{Entry, Verified};

/// What a record alone doesn't say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Host name of the newest boot record before it.
    pub host: Option<&'a Bytes>,
    /// Name in the login witness of its session.
    pub user: Option<&'a Bytes>,
    /// The last word of its session about its coverage.
    pub coverage: Option<&'a CoverageChange>,
    /// Where its process lives, if not with the host's.
    pub place: Option<&'a TaskContext>,
}

/// One record as an object; serialize it with [`super::write_line`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    entry: &'a Entry,
    context: Context<'a>,
}

/// Joins a verified entry with its context.
pub fn event<'a>(entry: &'a Verified<Entry>, context: Context<'a>) -> Event<'a> {
    Event { entry, context }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Entry { log, boot, seq, session, sealed, time, record, .. } = self.entry;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("v", &1)?;
        put_opt(&mut map, "host", "host_b64", self.context.host)?;
        map.serialize_entry("log", &Shown(log))?;
        map.serialize_entry("seq", seq)?;
        map.serialize_entry("time", &rfc3339(*time))?;
        map.serialize_entry("boot_ns", &record.boot_ns.get())?;
        map.serialize_entry("session", &session.as_ref().map(Shown))?;
        map.serialize_entry("kind", record.body.kind().name())?;
        map.serialize_entry("task", &record.task.as_deref().map(TaskJson))?;
        let user = record.task.as_deref().map(|task| UserJson { task, name: self.context.user });
        map.serialize_entry("user", &user)?;
        let coverage = self.context.coverage;
        map.serialize_entry("grant", &coverage.and_then(|c| c.coverage.grant()).map(Shown))?;
        map.serialize_entry("coverage", &coverage.map(|c| c.coverage.name()))?;
        map.serialize_entry("context", &self.context.place.map(bodies::Obj))?;
        map.serialize_entry("flags", &record.flags.names().collect::<Vec<_>>())?;
        map.serialize_entry("cut", &bodies::cut(&record.body).map(CutJson))?;
        map.serialize_entry("boot_id", &Shown(boot))?;
        map.serialize_entry("cpu", &(record.cpu != u16::MAX).then_some(record.cpu))?;
        map.serialize_entry("sealed", sealed)?;
        bodies::put(&mut map, &record.body)?;
        map.end()
    }
}

struct TaskJson<'a>(&'a Task);

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("pid", &self.0.id.pid)?;
        map.serialize_entry("tid", &self.0.tid)?;
        map.serialize_entry("ppid", &self.0.ppid)?;
        map.serialize_entry("start_ns", &self.0.id.start.get())?;
        put_bytes(&mut map, "comm", "comm_b64", &self.0.comm)?;
        map.end()
    }
}

struct UserJson<'a> {
    task: &'a Task,
    name: Option<&'a Bytes>,
}

impl Serialize for UserJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("auid", &auid(self.task.auid))?;
        map.serialize_entry("uid", &self.task.uid)?;
        map.serialize_entry("euid", &self.task.euid)?;
        put_opt(&mut map, "name", "name_b64", self.name.filter(|n| !n.is_empty()))?;
        map.end()
    }
}

struct CutJson<'a>(&'a Cut);

impl Serialize for CutJson<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("field", self.0.field.name())?;
        map.serialize_entry("bytes", &self.0.bytes)?;
        map.serialize_entry("sha256", &self.0.sha256.as_ref().map(Shown))?;
        map.serialize_entry("relay", &self.0.relay)?;
        map.end()
    }
}

/// A login uid; `None` where none was set.
pub fn auid(raw: u32) -> Option<u32> {
    (raw != u32::MAX).then_some(raw)
}

/// RFC 3339 in UTC with nine digits: `2026-11-21T02:31:00.123456789Z`.
pub fn rfc3339(time: RealNanos) -> String {
    time.rfc3339()
}

/// Anything with a `Display` as a string.
#[derive(Debug)]
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

/// The text of the bytes: as they are if UTF-8, else the escaped form.
pub(crate) fn text(bytes: &Bytes) -> std::borrow::Cow<'_, str> {
    bytes.as_utf8().map_or_else(|| bytes.escaped().into(), Into::into)
}

/// Puts bytes as a string, with the exact bytes beside it where they are not UTF-8.
pub(crate) fn put_bytes<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    key_b64: &'static str,
    value: &Bytes,
) -> Result<(), M::Error> {
    map.serialize_entry(key, &text(value))?;
    if value.as_utf8().is_none() {
        map.serialize_entry(key_b64, &STANDARD.encode(value.as_slice()))?;
    }
    Ok(())
}

/// Like [`put_bytes`], null where there is nothing.
pub(crate) fn put_opt<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    key_b64: &'static str,
    value: Option<&Bytes>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => put_bytes(map, key, key_b64, value),
        None => map.serialize_entry(key, &None::<()>),
    }
}

/// Puts a list; if one of its strings is not UTF-8, the exact bytes of all of them stand beside it.
pub(crate) fn put_list<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    key_b64: &'static str,
    values: &[Bytes],
) -> Result<(), M::Error> {
    map.serialize_entry(key, &List(values, |b| text(b).into_owned()))?;
    if values.iter().any(|v| v.as_utf8().is_none()) {
        map.serialize_entry(key_b64, &List(values, |b| STANDARD.encode(b.as_slice())))?;
    }
    Ok(())
}

struct List<'a>(&'a [Bytes], fn(&Bytes) -> String);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut seq = s.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            seq.serialize_element(&(self.1)(value))?;
        }
        seq.end()
    }
}
