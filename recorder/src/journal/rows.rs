//! Tables of equal rows as byte columns, and the front-coded string table: what makes a frame compress well.
//!
//! Column k holds byte k of every row. With `delta` each byte is stored as the difference to the row before, so that
//! constant and slowly rising fields become zeros.

use super::bytes::{Cursor, Short, narrow32, put16, put32, wide32};

/// Appends `rows` (a whole number of rows of `width` bytes) as columns.
pub(crate) fn put_columns(out: &mut Vec<u8>, rows: &[u8], width: usize, delta: bool) {
    for k in 0..width {
        let column = rows.get(k..).unwrap_or_default().iter().step_by(width);
        if delta {
            let mut last = 0u8;
            out.extend(column.map(|b| b.wrapping_sub(std::mem::replace(&mut last, *b))));
        } else {
            out.extend(column);
        }
    }
}

/// Takes `count` rows of `width` bytes back.
pub(crate) fn take_columns(
    c: &mut Cursor<'_>,
    count: usize,
    width: usize,
    delta: bool,
) -> Result<Vec<u8>, Short> {
    let stored = c.take(count.checked_mul(width).ok_or(Short)?)?;
    let mut rows = vec![0u8; stored.len()];
    if count == 0 {
        return Ok(rows);
    }
    for (k, column) in stored.chunks_exact(count).enumerate() {
        let mut last = 0u8;
        let cells = rows.get_mut(k..).unwrap_or_default().iter_mut().step_by(width);
        for (cell, b) in cells.zip(column) {
            last = if delta { last.wrapping_add(*b) } else { *b };
            *cell = last;
        }
    }
    Ok(rows)
}

/// Strings of one frame: each once, in the order of first use.
#[derive(Debug, Default)]
pub(crate) struct StringTable {
    arena: Vec<u8>,
    spans: Vec<(usize, usize)>,
    seen: std::collections::HashMap<u64, u32>,
}

/// Cheap and not collision-proof: a collision only stores a string twice.
fn weak_hash(bytes: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        h = (h.rotate_left(5) ^ u64::from_le_bytes(*chunk)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    for b in rest {
        h = (h.rotate_left(5) ^ u64::from(*b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    h ^ (h >> 29)
}

impl StringTable {
    /// Number of the string.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> u32 {
        let hash = weak_hash(bytes);
        if let Some(no) = self.seen.get(&hash)
            && self.get(*no) == Some(bytes)
        {
            return *no;
        }
        let no = wide32(self.spans.len());
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.spans.push((start, self.arena.len()));
        self.seen.insert(hash, no);
        no
    }

    fn get(&self, no: u32) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(narrow32(no))?;
        self.arena.get(start..end)
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.spans.clear();
        self.seen.clear();
    }

    /// Appends the table: columns of (shared with the string before: u16, own: u32), then the own bytes.
    pub(crate) fn put(&self, out: &mut Vec<u8>, rows: &mut Vec<u8>) {
        rows.clear();
        let mut tail = Vec::new();
        let mut before: &[u8] = &[];
        for (start, end) in &self.spans {
            let now = self.arena.get(*start..*end).unwrap_or_default();
            let shared =
                before.iter().zip(now).take_while(|(a, b)| a == b).count().min(usize::from(u16::MAX));
            let own = now.get(shared..).unwrap_or_default();
            put16(rows, u16::try_from(shared).unwrap_or(u16::MAX));
            put32(rows, wide32(own.len()));
            tail.extend_from_slice(own);
            before = now;
        }
        put_columns(out, rows, 6, false);
        out.extend_from_slice(&tail);
    }
}

/// Strings of a frame that was read.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    arena: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

impl Strings {
    /// Takes `count` strings; together they may have at most `limit` bytes.
    pub(crate) fn take(c: &mut Cursor<'_>, count: usize, limit: usize) -> Result<Self, Short> {
        let rows = take_columns(c, count, 6, false)?;
        let mut r = Cursor::new(&rows);
        let mut strings = Self::default();
        let (mut start, mut end) = (0, 0);
        for _ in 0..count {
            let shared = usize::from(r.u16()?);
            let own = c.take(narrow32(r.u32()?))?;
            if shared > end - start || strings.arena.len().saturating_add(shared + own.len()) > limit {
                return Err(Short);
            }
            let from = start;
            start = strings.arena.len();
            strings.arena.extend_from_within(from..from + shared);
            strings.arena.extend_from_slice(own);
            end = strings.arena.len();
            strings.spans.push((start, end));
        }
        Ok(strings)
    }

    /// A string by number.
    pub(crate) fn get(&self, no: u32) -> Result<&[u8], Short> {
        let (start, end) = *self.spans.get(narrow32(no)).ok_or(Short)?;
        self.arena.get(start..end).ok_or(Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_strings_come_back() {
        let rows: Vec<u8> = (0..60u8).map(|n| n.wrapping_mul(37)).collect();
        for delta in [false, true] {
            let mut out = Vec::new();
            put_columns(&mut out, &rows, 6, delta);
            assert_eq!(take_columns(&mut Cursor::new(&out), 10, 6, delta).unwrap(), rows);
        }
        let mut table = StringTable::default();
        let words: [&[u8]; 4] = [b"/usr/lib/a", b"/usr/lib/b", b"", b"/usr"];
        let numbers: Vec<u32> = words.iter().chain(&words).map(|w| table.intern(w)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 0, 1, 2, 3]);
        let mut out = Vec::new();
        table.put(&mut out, &mut Vec::new());
        let back = Strings::take(&mut Cursor::new(&out), 4, 1000).unwrap();
        for (n, w) in (0..).zip(words) {
            assert_eq!(back.get(n).unwrap(), w);
        }
        assert!(back.get(4).is_err());
        assert!(Strings::take(&mut Cursor::new(&out), 4, 20).is_err(), "the limit counts whole strings");
    }
}
