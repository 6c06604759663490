//! With which permissions a session worked, and where its tasks live, as JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use super::bodies::{Fields, Obj};
use super::json::{put_bytes, put_opt};
use crate::model::{ActedAs, BootNanos, Bytes, Capability, Passed, Permissions, TaskContext, TaskId};

pub(super) fn file<M: SerializeMap>(map: &mut M, dev: (u32, u32), ino: u64) -> Result<(), M::Error> {
    map.serialize_entry("dev", &format!("{}:{}", dev.0, dev.1))?;
    map.serialize_entry("ino", &ino)
}

pub(super) fn first<M: SerializeMap>(map: &mut M, by: TaskId, at: BootNanos) -> Result<(), M::Error> {
    map.serialize_entry("pid", &by.pid)?;
    map.serialize_entry("start_ns", &by.start.get())?;
    map.serialize_entry("first_ns", &at.get())
}

impl Fields for Capability {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "program", "program_b64", &self.program)?;
        file(map, self.dev, self.ino)?;
        map.serialize_entry("number", &self.number)?;
        map.serialize_entry("name", &self.name())?;
        map.serialize_entry("granted", &(self.granted != 0))?;
        map.serialize_entry("inner", &(self.inner != 0))?;
        map.serialize_entry("count", &self.count)?;
        first(map, self.by, self.first)?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}

impl Fields for ActedAs {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("uid", &(self.uid != u32::MAX).then_some(self.uid))?;
        put_bytes(map, "program", "program_b64", &self.program)?;
        first(map, self.by, self.first)?;
        map.serialize_entry("count", &self.count)
    }
}

impl Fields for Passed {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        file(map, self.dev, self.ino)?;
        map.serialize_entry("how", &self.names().collect::<Vec<_>>())?;
        first(map, self.by, self.first)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("gained", &self.gained)
    }
}

impl Fields for Permissions {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("users", &Objs(&self.users))?;
        map.serialize_entry("programs", &Objs(&self.programs))
    }
}

impl Fields for TaskContext {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let some = |bytes: &Bytes| Some(bytes.clone()).filter(|b| !b.is_empty());
        map.serialize_entry("engine", &self.engine.name())?;
        put_opt(map, "container", "container_b64", some(&self.container).as_ref())?;
        map.serialize_entry("own", &self.own_names().collect::<Vec<_>>())?;
        map.serialize_entry("mnt_ns", &self.mnt_ns)?;
        map.serialize_entry("pid_ns", &self.pid_ns)?;
        map.serialize_entry("user_ns", &self.user_ns)?;
        map.serialize_entry("cgroup_ns", &self.cgroup_ns)?;
        map.serialize_entry("cgroup", &self.cgroup)?;
        put_opt(map, "cgroup_path", "cgroup_path_b64", some(&self.path).as_ref())
    }
}

/// A list of objects.
pub(crate) struct Objs<'a, T>(pub(crate) &'a [T]);

impl<T: Fields> Serialize for Objs<'_, T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut seq = s.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|item| seq.serialize_element(&Obj(item)))?;
        seq.end()
    }
}
