//! What a session sent without a connection: the first datagram to somebody is told at once, all others by their number.

use std::collections::BTreeMap;

use crate::model::{Bytes, Sent};

/// Socket and whom it was sent to.
type Key = (u64, u16, u16, Bytes);

#[derive(Debug, Default)]
pub(super) struct Sends(BTreeMap<Key, Told>);

#[derive(Debug, Default)]
struct Told {
    count: u64,
    bytes: u64,
    local: Bytes,
}

fn key(sent: &Sent) -> Key {
    (sent.socket.ino, sent.socket.kind, sent.socket.protocol, sent.socket.remote.clone())
}

impl Sends {
    /// One datagram; what the kernel counts has it, too. False if a count that came first has told of it.
    pub(super) fn first(&mut self, sent: &Sent) -> bool {
        let told = self.0.entry(key(sent)).or_default();
        told.local = sent.socket.local.clone();
        if told.count > 0 {
            return false;
        }
        (told.count, told.bytes) = (sent.count, sent.bytes);
        true
    }

    /// Of what the kernel counted so far that which no record tells.
    pub(super) fn news(&mut self, mut so_far: Sent) -> Option<Sent> {
        let told = self.0.entry(key(&so_far)).or_default();
        let count = so_far.count.saturating_sub(told.count);
        let bytes = so_far.bytes.saturating_sub(told.bytes);
        if count == 0 {
            return None;
        }
        (told.count, told.bytes) = (told.count.saturating_add(count), told.bytes.saturating_add(bytes));
        (so_far.count, so_far.bytes) = (count, bytes);
        so_far.socket.local = told.local.clone();
        Some(so_far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Socket;

    fn sent(count: u64, remote: &str, local: &str) -> Sent {
        let (remote, local) = (Bytes::from(remote), Bytes::from(local));
        let socket = Socket { remote, local, ino: 7, ..Socket::default() };
        Sent { socket, count, bytes: count * 10, ..Sent::default() }
    }

    #[test]
    fn what_is_told_is_told_once() {
        let mut sends = Sends::default();
        assert!(sends.first(&sent(1, "a", "me")));
        assert_eq!(sends.news(sent(1, "a", "")), None, "the first was told");
        assert_eq!(sends.news(sent(5, "a", "")), Some(sent(4, "a", "me")));
        assert_eq!(sends.news(sent(5, "a", "")), None);
        // Its first word was lost.
        assert_eq!(sends.news(sent(3, "b", "")), Some(sent(3, "b", "")));
        assert_eq!(sends.news(sent(6, "a", "")), Some(sent(1, "a", "me")));
        // Its first word came behind its count.
        assert!(!sends.first(&sent(1, "b", "me")));
        assert_eq!(sends.news(sent(3, "b", "")), None);
    }
}
