//! Attempts on the recorder itself, as JSON.

use serde::ser::SerializeMap;

use super::bodies::Fields;
use super::json::{Shown, put_bytes, put_opt};
use crate::model::{Guard, GuardAct, SessionId};

impl Fields for Guard {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("act", self.act.name())?;
        map.serialize_entry("object", self.object.name())?;
        map.serialize_entry("denied", &(self.denied != 0))?;
        map.serialize_entry("signal", &self.signal())?;
        map.serialize_entry("resource", &(self.act == GuardAct::Limit).then_some(self.detail))?;
        put_bytes(map, "path", "path_b64", &self.path)?;
        put_opt(map, "to", "to_b64", (!self.to.is_empty()).then_some(&self.to))?;
        let session = (self.session != SessionId::NOBODY).then_some(Shown(self.session));
        map.serialize_entry("session", &session)?;
        map.serialize_entry("pid", &self.by.pid)?;
        map.serialize_entry("start_ns", &self.by.start.get())?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("first_ns", &self.first.get())?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}
