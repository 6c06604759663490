//! What lay in programs and files.

use serde::Serializer;
use serde::ser::{Serialize, SerializeMap};

use super::bodies::{Fields, Obj, device};
use super::json::{Shown, put_bytes, put_opt, rfc3339};
use crate::model::{Changed, Diff, Digested, Found, acts};

/// Both times are the file system's: wall clock, as whoever owns the host sets it.
impl Fields for Found {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("size", &self.size)?;
        map.serialize_entry("mode", &self.mode)?;
        map.serialize_entry("uid", &self.uid)?;
        map.serialize_entry("gid", &self.gid)?;
        map.serialize_entry("mtime", &rfc3339(self.mtime))?;
        map.serialize_entry("ctime", &rfc3339(self.ctime))?;
        map.serialize_entry("file_caps", &(self.caps != 0))?;
        map.serialize_entry("sha256", &self.sha256.map(Shown))
    }
}

impl Fields for Digested {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        map.serialize_entry("dev", &device(self.dev))?;
        map.serialize_entry("ino", &self.ino)?;
        map.serialize_entry("sha256", &self.found.as_ref().and_then(|found| found.sha256).map(Shown))?;
        map.serialize_entry("why", &self.why.name())?;
        map.serialize_entry("found", &self.found.as_ref().map(Obj))?;
        map.serialize_entry("other_device", &(self.device != 0))?;
        map.serialize_entry("count", &self.count)
    }
}

impl Fields for Diff {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "text", "text_b64", &self.text)?;
        map.serialize_entry("bytes", &self.bytes)
    }
}

struct Names(u16);

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(acts::names(self.0))
    }
}

impl Fields for Changed {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        put_opt(map, "other", "other_b64", self.other.as_ref())?;
        map.serialize_entry("acts", &Names(self.acts))?;
        map.serialize_entry("class", &self.class.name())?;
        map.serialize_entry("dev", &device(self.dev))?;
        map.serialize_entry("ino", &self.ino)?;
        put_opt(map, "link", "link_b64", self.link.as_ref())?;
        map.serialize_entry("sha256", &self.after.as_ref().and_then(|found| found.sha256).map(Shown))?;
        map.serialize_entry("why", &self.why.name())?;
        map.serialize_entry("after", &self.after.as_ref().map(Obj))?;
        map.serialize_entry("before", &self.before.as_ref().map(Obj))?;
        map.serialize_entry("diff", &self.diff.as_ref().map(Obj))?;
        map.serialize_entry("no_diff", &self.no_diff.name())?;
        map.serialize_entry("untouched", &(self.untouched != 0))?;
        map.serialize_entry("count", &self.count)
    }
}
