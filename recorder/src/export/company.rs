//! Who a session handed work to, and who sits at it besides, as JSON.

use serde::ser::SerializeMap;

use super::bodies::Fields;
use super::json::{Shown, auid, put_bytes, put_opt};
use crate::model::{Bytes, Coverage, Delegation, Participant, SessionId, Uncovered};

impl Fields for Delegation {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("role", self.role.name())?;
        map.serialize_entry("trigger", self.trigger.name())?;
        map.serialize_entry("confidence", self.confidence.name())?;
        let session = (self.session != SessionId::NOBODY).then_some(Shown(self.session));
        map.serialize_entry("session", &session)?;
        map.serialize_entry("peer", &self.peer)?;
        put_bytes(map, "to", "to_b64", &self.to)?;
        put_bytes(map, "what", "what_b64", &self.what)?;
        put_bytes(map, "evidence", "evidence_b64", &self.evidence)
    }
}

impl Fields for Participant {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let text = |bytes: &Bytes| Some(bytes.clone()).filter(|b| !b.is_empty());
        let session = (self.session != SessionId::NOBODY).then_some(Shown(self.session));
        map.serialize_entry("session", &session)?;
        map.serialize_entry("auid", &auid(self.login.auid))?;
        put_opt(map, "user", "user_b64", text(&self.login.user).as_ref())?;
        put_opt(map, "person", "person_b64", text(&self.person).as_ref())?;
        put_opt(map, "remote", "remote_b64", text(&self.login.remote).as_ref())?;
        put_bytes(map, "terminal", "terminal_b64", &self.terminal)?;
        map.serialize_entry("pid", &self.server.pid)?;
        map.serialize_entry("start_ns", &self.server.start.get())?;
        put_bytes(map, "program", "program_b64", &self.program)?;
        map.serialize_entry("coverage", &self.coverage.map(Coverage::name))?;
        map.serialize_entry("reason", &self.coverage.and_then(Coverage::reason).map(Uncovered::name))?;
        map.serialize_entry("grant", &self.coverage.and_then(Coverage::grant).map(Shown))
    }
}
