//! What could not be started and what was mapped to be executed, as JSON.

use serde::ser::SerializeMap;

use super::bodies::Fields;
use super::json::{put_bytes, put_list};
use super::permissions::{file, first};
use crate::model::{Arguments, ExecFailed, Mapped, Script};

impl Fields for ExecFailed {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        map.serialize_entry("errno", &self.errno)?;
        map.serialize_entry("count", &self.count)?;
        first(map, self.by, self.first)?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}

impl Fields for Arguments {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("argc", &self.argc)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("kept_argc", &self.kept_argc)?;
        map.serialize_entry("kept_bytes", &self.kept)?;
        map.serialize_entry("from", &self.from)?;
        put_list(map, "argv", "argv_b64", &self.argv)
    }
}

impl Fields for Script {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        file(map, self.dev, self.ino)
    }
}

impl Fields for Mapped {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        file(map, self.dev, self.ino)?;
        map.serialize_entry("how", self.how())?;
        map.serialize_entry("count", &self.count)?;
        first(map, self.by, self.first)?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}
