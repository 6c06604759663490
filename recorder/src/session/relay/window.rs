//! What a terminal showed or took in a moment ago, by its place in all that it did.

use std::collections::VecDeque;

use crate::model::BootNanos;

/// Bytes that are kept at least, if so many came in the time that counts, and at most twice as many.
const KEPT: usize = 256 * 1024;

/// The end of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// All bytes so far.
    end: u64,
    bytes: Vec<u8>,
    /// Where each record begins, and its time.
    marks: VecDeque<(u64, BootNanos)>,
}

impl Window {
    /// Only counts: nobody will ask.
    pub(super) fn skip(&mut self, len: usize) {
        self.end = self.end.saturating_add(wide(len));
        self.bytes.clear();
        self.marks.clear();
    }

    /// Takes a record, and forgets what is older than `keep_ns` before it.
    pub(super) fn push(&mut self, at: BootNanos, data: &[u8], keep_ns: u64) {
        self.marks.push_back((self.end, at));
        self.bytes.extend_from_slice(data);
        self.end = self.end.saturating_add(wide(data.len()));
        let is_old = |next: Option<&(u64, BootNanos)>| next.is_some_and(|(_, t)| at.since(*t) > keep_ns);
        let mut first = self.marks.front().map_or(self.end, |(from, _)| *from);
        while is_old(self.marks.get(1)) || self.end - first > wide(2 * KEPT) {
            let Some((from, _)) = self.marks.get(1) else { break };
            first = *from;
            self.marks.pop_front();
        }
        let gone = usize::try_from(first - self.start()).unwrap_or(usize::MAX).min(self.bytes.len());
        // Now and then at once: each byte is moved once or twice.
        if gone > self.bytes.len() / 2 {
            self.bytes.drain(..gone);
        }
    }

    fn start(&self) -> u64 {
        self.end.saturating_sub(wide(self.bytes.len()))
    }

    /// Bytes so far.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Where the first record that is not older than this begins.
    pub(super) fn since(&self, at: BootNanos) -> u64 {
        self.marks.iter().find(|(_, t)| *t >= at).map_or(self.end, |(from, _)| *from)
    }

    /// Where the first record behind this place begins.
    pub(super) fn next(&self, place: u64) -> u64 {
        self.marks.iter().map(|(from, _)| *from).find(|from| *from > place).unwrap_or(self.end)
    }

    /// The bytes from there on; nothing if they are forgotten.
    pub(super) fn from(&self, place: u64) -> &[u8] {
        let skipped = place.checked_sub(self.start()).and_then(|n| usize::try_from(n).ok());
        skipped.and_then(|n| self.bytes.get(n..)).unwrap_or_default()
    }

    /// Where these bytes stand first, from a place on.
    pub(super) fn find(&self, place: u64, wanted: &[u8]) -> Option<u64> {
        let place = place.max(self.start());
        let (first, rest) = wanted.split_first()?;
        let hay = self.from(place);
        let mut at = 0;
        while let Some(tail) = hay.get(at..) {
            at += tail.iter().position(|byte| byte == first)?;
            if hay.get(at + 1..).is_some_and(|tail| tail.starts_with(rest)) {
                return Some(place.saturating_add(wide(at)));
            }
            at += 1;
        }
        None
    }
}

pub(super) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootNanos {
        BootNanos::new(ms * 1_000_000)
    }

    #[test]
    fn places_count_from_the_first_byte_and_old_ones_are_forgotten() {
        let mut window = Window::default();
        window.skip(5);
        window.push(at(1), b"abc", 1000);
        window.push(at(2), b"abd", 1000);
        assert_eq!((window.end(), window.since(at(2)), window.since(at(3)), window.next(5)), (11, 8, 11, 8));
        assert_eq!(window.find(0, b"abd"), Some(8));
        assert_eq!(window.find(6, b"ab"), Some(8));
        assert_eq!((window.find(0, b"abx"), window.find(0, b"")), (None, None));
        assert_eq!(window.from(9), b"bd");
        window.push(at(3), b"e", 0);
        assert_eq!(window.from(11), b"e");
        window.push(at(4), b"f", 0);
        assert_eq!((window.from(12), window.from(8)), (&b"f"[..], &b""[..]));
        assert_eq!(window.from(13), b"");
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::default();
        for _ in 0..1000 {
            window.push(at(1), &[b'x'; 8192], u64::MAX);
            assert!(window.bytes.len() <= 4 * KEPT + 8192, "{}", window.bytes.len());
        }
        assert!(window.from(window.end() - wide(KEPT)).len() == KEPT);
    }
}
