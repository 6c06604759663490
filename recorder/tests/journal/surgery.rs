//! Surgery.
use std::ops::Range;
/// Frames of a segment's bytes.
pub fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"RJF1") {
        let body = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let end = at + recorder::journal::frame::frame_len(body);
        list.push(at..end);
        at = end;
    }
    list
}
