//! Hooks and clocks in the event JSON.

use serde::ser::SerializeMap;

use super::bodies::{Fields, Obj};
use super::json::put_bytes;
use crate::model::{ClockChange, HookChange};

impl Fields for HookChange {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "name", "name_b64", &self.name)?;
        map.serialize_entry("state", self.state.name())?;
        map.serialize_entry("misses", &self.misses)?;
        map.serialize_entry("since_ns", &self.since.get())?;
        map.serialize_entry("clock", &Obj(&self.clock))
    }
}

impl Fields for ClockChange {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("event", self.event.name())?;
        map.serialize_entry("before", &Obj(&self.before))?;
        map.serialize_entry("after", &Obj(&self.after))?;
        map.serialize_entry("nanos", &self.nanos)
    }
}
