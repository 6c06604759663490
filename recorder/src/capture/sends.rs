//! What sessions send without a connection: the kernel's counts.

use aya::maps::{HashMap as BpfHashMap, MapData};
use recorder_common::{SendEvent, SendKey, SendUse};
use zerocopy::transmute;

use super::{
    decode::{DecodeError, Reader},
    system::end,
};
use crate::model::{Act, BootNanos, Bytes, Mark, Sent, Socket};

/// The kernel's table.
pub(super) struct Sends(BpfHashMap<MapData, [u8; 40], [u8; 32]>);

impl Sends {
    pub(super) fn new(map: BpfHashMap<MapData, [u8; 40], [u8; 32]>) -> Self {
        Self(map)
    }

    /// What these sessions sent so far, exact. Own addresses are not known here.
    pub(super) fn of(&self, sessions: &[Mark]) -> Vec<(Mark, Sent)> {
        let entries = self.0.iter().filter_map(Result::ok);
        let entries =
            entries.map(|(key, value)| -> (SendKey, SendUse) { (transmute!(key), transmute!(value)) });
        let mut own: Vec<_> = entries.filter(|(key, _)| sessions.contains(&Mark::new(key.mark))).collect();
        // A map has no order of its own.
        own.sort_unstable_by_key(|(key, value)| (value.first_ns, *key));
        own.iter().map(|(key, value)| (Mark::new(key.mark), sent(key, value))).collect()
    }

    /// Makes room: the sessions are over.
    pub(super) fn forget(&mut self, sessions: &[Mark]) {
        let keys = self.0.keys().filter_map(Result::ok);
        let stale: Vec<[u8; 40]> = keys
            .filter(|key| {
                let key: SendKey = transmute!(*key);
                sessions.contains(&Mark::new(key.mark))
            })
            .collect();
        for key in stale {
            let _ = self.0.remove(&key);
        }
    }
}

fn sent(key: &SendKey, value: &SendUse) -> Sent {
    let socket = Socket {
        family: key.family,
        kind: key.kind,
        protocol: key.protocol,
        local: Bytes::default(),
        remote: end(key.family, key.remote, key.port),
        result: 0,
        ino: key.ino,
    };
    Sent {
        socket,
        count: value.datagrams,
        bytes: value.bytes,
        first: BootNanos::new(value.first_ns),
        last: BootNanos::new(value.last_ns),
    }
}

/// The first datagram to somebody.
pub(super) fn first(at: u64, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: SendEvent = r.get()?;
    let mut sent = sent(&e.key, &SendUse { datagrams: 1, bytes: e.bytes, first_ns: at, last_ns: at });
    sent.socket.local = end(e.own, e.local, e.local_port);
    Ok(Act::Sent { sent: Box::new(sent), counted: e.counted != 0 })
}

#[cfg(test)]
mod tests {
    use recorder_common::{EventHeader, Kind};
    use zerocopy::IntoBytes;

    use super::{super::decode::Decoder, *};

    #[test]
    fn a_datagram_says_from_where_to_where() {
        let key = SendKey { family: 2, kind: 2, protocol: 17, port: 53, ino: 9, ..SendKey::default() };
        let mut e =
            SendEvent { key, bytes: 33, own: 2, local_port: 4321, counted: 1, ..SendEvent::default() };
        e.key.remote[..4].copy_from_slice(&[192, 0, 2, 7]);
        let head = EventHeader { kind: Kind::SENT, boot_ns: 5, ..EventHeader::default() };
        let raw = [head.as_bytes(), e.as_bytes()].concat();
        let Act::Sent { sent, counted } = Decoder::new(32).decode(&raw).unwrap().unwrap().act else {
            panic!()
        };
        assert_eq!(
            (sent.socket.remote.escaped(), sent.socket.local.escaped()),
            ("192.0.2.7:53".into(), "0.0.0.0:4321".into())
        );
        assert_eq!((sent.count, sent.bytes, sent.first.get(), counted), (1, 33, 5, true));
    }
}
