//! What was taken out of records, and the key of the hashes that are left of it, as JSON.

use std::fmt::Write as _;

use serde::ser::SerializeMap;

use super::bodies::{Fields, Obj};
use super::json::{Shown, put_bytes};
use crate::model::{Redacted, Redaction, RedactionKey};

impl Fields for Redacted {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("kind", self.of.name())?;
        let places: Vec<_> = self.places.iter().map(Obj).collect();
        map.serialize_entry("places", &places)
    }
}

impl Fields for Redaction {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("field", self.field.name())?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("offset", &self.offset)?;
        map.serialize_entry("bytes", &self.bytes)?;
        put_bytes(map, "rule", "rule_b64", &self.rule)?;
        map.serialize_entry("hash", &self.hash.as_ref().map(Shown))
    }
}

impl Fields for RedactionKey {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let hex = self.key.as_slice().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        map.serialize_entry("key", &(!hex.is_empty()).then_some(hex))
    }
}
