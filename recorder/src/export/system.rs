//! Changes of the system and acts on sockets as JSON.

use serde::ser::SerializeMap;

use super::bodies::{Fields, Obj, device};
use super::json::{put_bytes, put_opt};
use crate::model::{Bytes, Call, Sent, Setting, Socket};

impl Fields for Call {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "name", "name_b64", &self.name)?;
        map.serialize_entry("args", &self.args.iter().map(Obj).collect::<Vec<_>>())?;
        map.serialize_entry("result", &self.result)
    }
}

impl Fields for (Bytes, Bytes) {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "name", "name_b64", &self.0)?;
        put_bytes(map, "value", "value_b64", &self.1)
    }
}

const FAMILIES: &[(u16, &str)] =
    &[(1, "unix"), (2, "inet"), (10, "inet6"), (16, "netlink"), (17, "packet"), (38, "alg"), (40, "vsock")];
const KINDS: &[(u16, &str)] = &[(1, "stream"), (2, "dgram"), (3, "raw"), (4, "rdm"), (5, "seqpacket")];

/// Its name, or the number of what has none here.
fn word(number: u16, names: &[(u16, &'static str)]) -> String {
    let known = names.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

impl Fields for Setting {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        put_bytes(map, "path", "path_b64", &self.path)?;
        map.serialize_entry("dev", &device(self.dev))?;
        map.serialize_entry("ino", &self.ino)?;
        put_bytes(map, "value", "value_b64", &self.value)?;
        map.serialize_entry("bytes", &self.bytes)
    }
}

impl Fields for Sent {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.socket.fields(map)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("first_ns", &self.first.get())?;
        map.serialize_entry("last_ns", &self.last.get())
    }
}

impl Fields for Socket {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let some = |bytes: &Bytes| Some(bytes.clone()).filter(|b| !b.is_empty());
        map.serialize_entry("family", &word(self.family, FAMILIES))?;
        map.serialize_entry("type", &word(self.kind, KINDS))?;
        map.serialize_entry("protocol", &self.protocol)?;
        put_opt(map, "local", "local_b64", some(&self.local).as_ref())?;
        put_opt(map, "remote", "remote_b64", some(&self.remote).as_ref())?;
        map.serialize_entry("result", &self.result)?;
        map.serialize_entry("ino", &self.ino)
    }
}
