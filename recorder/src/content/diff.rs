//! What changed in a text: a unified diff, bounded.

use std::time::{Duration, Instant};

use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices_deadline, group_diff_ops};

use crate::model::{Bytes, Diff, Why};

/// Bytes of a diff that are kept.
const KEPT: usize = 64 * 1024;
/// Lines around a change.
const AROUND: usize = 3;
/// After so long the rest is told as replaced, which is true of any two texts.
const LONG: Duration = Duration::from_millis(500);
/// One byte in so many may be no UTF-8 in a text: other encodings have letters like that.
const ODD: usize = 10;

/// True of bytes that people read as lines.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let odd: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    !bytes.contains(&0) && odd.saturating_mul(ODD) <= bytes.len()
}

/// The diff of two texts; `Why::Binary` if one of them is none.
pub(super) fn unified(before: &[u8], after: &[u8]) -> Result<Diff, Why> {
    if !is_text(before) || !is_text(after) {
        return Err(Why::Binary);
    }
    let (old, new) = (lines(before), lines(after));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(Instant::now() + LONG));
    let mut text = Vec::new();
    for group in group_diff_ops(ops, AROUND) {
        hunk(&group, &old, &new, &mut text);
    }
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    text.truncate(KEPT);
    Ok(Diff { text: Bytes::from(text), bytes })
}

/// With their ends, so that the last one's missing end shows.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

fn hunk(group: &[DiffOp], old: &[&[u8]], new: &[&[u8]], out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let span = |from: usize, to: usize| match to.saturating_sub(from) {
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        n => format!("{},{n}", from + 1),
    };
    let was = span(first.old_range().start, last.old_range().end);
    let is = span(first.new_range().start, last.new_range().end);
    out.extend_from_slice(format!("@@ -{was} +{is} @@\n").as_bytes());
    for change in group.iter().flat_map(|op| op.iter_changes(old, new)) {
        out.push(match change.tag() {
            ChangeTag::Equal => b' ',
            ChangeTag::Delete => b'-',
            ChangeTag::Insert => b'+',
        });
        let line: &[u8] = change.value();
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_changed_line_stands_between_its_neighbours() {
        let before = b"a\nb\nc\nd\ne\nf\ng\nh\n";
        let diff = unified(before, b"a\nb\nc\nd\nE\nf\ng\nh").unwrap();
        let text = diff.text.as_utf8().unwrap().to_owned();
        assert_eq!(
            text,
            "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n-h\n+h\n\\ No newline at end of file\n"
        );
        assert_eq!(usize::try_from(diff.bytes), Ok(text.len()));
        assert_eq!(unified(b"", b"x\n").unwrap().text.as_slice(), b"@@ -0,0 +1 @@\n+x\n");
    }

    #[test]
    fn binaries_have_none_and_odd_letters_are_text() {
        assert_eq!(unified(b"a\0", b"b"), Err(Why::Binary));
        assert_eq!(unified(b"a", &[0xff; 40]), Err(Why::Binary));
        assert!(is_text(b"caf\xe9 au lait, and more of it\n"));
    }

    #[test]
    fn a_long_diff_is_cut_and_says_how_long_it_was() {
        let long: Vec<u8> = (0..20_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let diff = unified(b"", &long).unwrap();
        assert_eq!(diff.text.len(), KEPT);
        assert!(diff.bytes > 200_000);
    }

    /// The text after, from the text before and the diff.
    fn applied(before: &[u8], diff: &[u8]) -> Vec<u8> {
        let (old, mut at, mut out) = (lines(before), 0, Vec::new());
        let mut rest = lines(diff).into_iter().peekable();
        while let Some(line) = rest.next() {
            if let Some(head) = line.strip_prefix(b"@@ -") {
                let words = String::from_utf8_lossy(head);
                let (from, count) = words
                    .split(' ')
                    .next()
                    .unwrap()
                    .split_once(',')
                    .unwrap_or((words.split(' ').next().unwrap(), "1"));
                let from: usize = from.parse().unwrap();
                let from = if count == "0" { from } else { from - 1 };
                old[at..from].iter().for_each(|line| out.extend_from_slice(line));
                at = from;
                continue;
            }
            let (tag, mut text) = (line[0], line[1..].to_vec());
            if rest.peek().is_some_and(|next| next.starts_with(b"\\ ")) {
                rest.next();
                text.pop();
            }
            if tag != b'+' {
                assert_eq!(old[at], text);
                at += 1;
            }
            if tag != b'-' {
                out.extend_from_slice(&text);
            }
        }
        old[at..].iter().for_each(|line| out.extend_from_slice(line));
        out
    }

    proptest! {
        #[test]
        fn a_diff_makes_the_one_text_of_the_other(
            before in "([a-c]{0,2}\n){0,30}[a-c]{0,2}", after in "([a-c]{0,2}\n){0,30}[a-c]{0,2}"
        ) {
            let diff = unified(before.as_bytes(), after.as_bytes()).unwrap();
            prop_assert_eq!(applied(before.as_bytes(), diff.text.as_slice()), after.as_bytes());
        }
    }
}
