//! A configuration that was read again, as JSON.

use serde::ser::SerializeMap;

use super::bodies::{Fields, Obj};
use super::json::{Shown, put_bytes, put_opt};
use crate::model::{ConfigChange, ConfigKey, Digest};

impl Fields for ConfigChange {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("act", self.act.name())?;
        map.serialize_entry("before", &Shown(self.before))?;
        map.serialize_entry("after", &(self.after != Digest::default()).then_some(Shown(self.after)))?;
        let keys: Vec<_> = self.keys.iter().map(Obj).collect();
        map.serialize_entry("keys", &keys)?;
        put_bytes(map, "text", "text_b64", &self.text)
    }
}

impl Fields for ConfigKey {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "key", "key_b64", &self.key)?;
        put_opt(map, "before", "before_b64", self.before.as_ref())?;
        put_opt(map, "after", "after_b64", self.after.as_ref())?;
        map.serialize_entry("takes", self.takes.name())
    }
}
