//! Bounds what a flooding terminal costs: `cat` of 50 GB is not 50 GB of journal.
//!
//! A session may show so many bytes at once, and so many more each second. What goes beyond is counted and hashed, and its
//! end is kept: the record holds the last part, `cut` the length and the SHA-256 of everything since the record before. The
//! first part stands before it, whole. docs/sessions.md, Bulk data.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::Tracked;
use crate::model::{Body, BootNanos, Bytes, Cut, CutField, Digest, Flags, Mark, Record, Tty, TtyOp};

/// A terminal that was silent for so long has stopped flooding.
const QUIET_NS: u64 = 1_000_000_000;
/// One that goes on is shown again when so many seconds of the rate have come together.
const SECONDS: u64 = 4;
/// A flood that lasts is told so often: what a crash may take with it.
const TELL_NS: u64 = 10_000_000_000;
/// The end of a flood that is kept, and that of each further terminal where many of a session flood at once.
const TAIL: usize = 16 * 1024;
const SHORT_TAIL: usize = 1024;
const LONG_TAILS: usize = 16;
const SECOND_NS: u128 = 1_000_000_000;

/// What a session's terminals may show before they are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes at once.
    pub burst: u64,
    /// Bytes more each second.
    pub rate: u64,
}

/// Folds the floods of all sessions; stands behind the tracker.
#[derive(Debug)]
pub struct Flood {
    allowed: Allowance,
    sessions: BTreeMap<Mark, Session>,
}

#[derive(Debug)]
struct Session {
    left: u64,
    /// When `left` was right.
    at: BootNanos,
    /// By the terminal's number.
    folds: BTreeMap<u32, Fold>,
}

/// What a terminal showed and is not kept.
#[derive(Debug)]
struct Fold {
    /// Since the last record: when it began, its length and hash.
    since: BootNanos,
    bytes: u64,
    hash: Sha256,
    tail: Vec<u8>,
    /// Bytes of it that are kept.
    keep: usize,
    /// The last record that was folded, without its bytes.
    last: Record,
}

impl Flood {
    /// With the same allowance for each session.
    pub fn new(allowed: Allowance) -> Self {
        Self { allowed, sessions: BTreeMap::new() }
    }

    /// Takes what the tracker gave out and leaves what is to be written.
    pub fn pass(&mut self, now: BootNanos, tracked: &mut Vec<Tracked>) {
        // What is before the first one that matters here stays where it is.
        let from = tracked.iter().position(concerns).unwrap_or(tracked.len());
        for item in tracked.split_off(from) {
            match item {
                Tracked::Event { mark, record } => match &record.body {
                    Body::Tty(TtyOp::Output, tty) if tty.cut.is_some() => {
                        // What a relay copied costs nothing; what the terminal showed before it stands before it.
                        let fold = self.sessions.get_mut(&mark).and_then(|s| s.folds.remove(&tty.no));
                        tracked.extend(fold.and_then(|fold| fold.told(mark, record.boot_ns)));
                        tracked.push(Tracked::Event { mark, record });
                    }
                    Body::Tty(TtyOp::Output, _) => self.output(mark, record, tracked),
                    Body::SessionEnd(_) => {
                        let at = record.boot_ns;
                        let over = self.sessions.remove(&mark).into_iter().flat_map(|session| session.folds);
                        tracked.extend(over.filter_map(|(_, fold)| fold.told(mark, at)));
                        tracked.push(Tracked::Event { mark, record });
                    }
                    _ => tracked.push(Tracked::Event { mark, record }),
                },
                other => tracked.push(other),
            }
        }
        for (mark, session) in &mut self.sessions {
            session.tell(*mark, now, tracked);
        }
    }

    fn output(&mut self, mark: Mark, record: Record, out: &mut Vec<Tracked>) {
        let (at, allowed) = (record.boot_ns, self.allowed);
        let Body::Tty(_, Tty { no, data, .. }) = &record.body else { return };
        let (no, len) = (*no, u64::try_from(data.len()).unwrap_or(u64::MAX));
        let new = || Session { left: allowed.burst, at, folds: BTreeMap::new() };
        let session = self.sessions.entry(mark).or_insert_with(new);
        session.refill(allowed, at);
        let enough = allowed.rate.saturating_mul(SECONDS).min(allowed.burst).max(len);
        if session.folds.get(&no).is_some_and(|fold| fold.is_over(at) || session.left >= enough)
            && let Some(fold) = session.folds.remove(&no)
        {
            out.extend(fold.told(mark, at));
        }
        if let Some(fold) = session.folds.get_mut(&no) {
            fold.take(record);
        } else if let Some(left) = session.left.checked_sub(len) {
            session.left = left;
            out.push(Tracked::Event { mark, record });
        } else {
            let keep = if session.folds.len() < LONG_TAILS { TAIL } else { SHORT_TAIL };
            session.folds.insert(no, Fold::of(record, keep));
        }
    }
}

fn concerns(item: &Tracked) -> bool {
    let Tracked::Event { record, .. } = item else { return false };
    matches!(record.body, Body::Tty(TtyOp::Output, _) | Body::SessionEnd(_))
}

impl Session {
    fn refill(&mut self, allowed: Allowance, now: BootNanos) {
        let more = u128::from(now.since(self.at)) * u128::from(allowed.rate) / SECOND_NS;
        // Less than a byte is not lost: time goes on only when it brought one.
        if more > 0 {
            self.at = now;
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.left = self.left.saturating_add(more).min(allowed.burst);
        }
    }

    /// Floods that are over, and what others came to meanwhile.
    fn tell(&mut self, mark: Mark, now: BootNanos, out: &mut Vec<Tracked>) {
        let ended = self.folds.iter().filter(|(_, fold)| fold.is_over(now));
        let ended: Vec<u32> = ended.map(|(no, _)| *no).collect();
        for fold in ended.into_iter().filter_map(|no| self.folds.remove(&no)) {
            out.extend(fold.told(mark, now));
        }
        for fold in self.folds.values_mut().filter(|fold| now.since(fold.since) >= TELL_NS) {
            out.extend(fold.next(now).told(mark, now));
        }
    }
}

impl Fold {
    fn of(record: Record, keep: usize) -> Self {
        let mut fold = Self::empty(record.boot_ns, keep, record.clone());
        fold.take(record);
        fold
    }

    fn empty(since: BootNanos, keep: usize, last: Record) -> Self {
        Self { since, bytes: 0, hash: Sha256::new(), tail: Vec::new(), keep, last }
    }

    fn is_over(&self, now: BootNanos) -> bool {
        now.since(self.last.boot_ns) >= QUIET_NS
    }

    fn take(&mut self, mut record: Record) {
        if let Body::Tty(_, tty) = &mut record.body {
            let data = std::mem::take(&mut tty.data);
            self.bytes = self.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            self.hash.update(data.as_slice());
            // Twice the length before it is moved: each byte is moved once.
            self.tail.extend_from_slice(data.as_slice());
            if self.tail.len() > 2 * self.keep {
                self.tail.drain(..self.tail.len() - self.keep);
            }
        }
        self.last = record;
    }

    /// Begins anew and gives what there was.
    fn next(&mut self, now: BootNanos) -> Self {
        let next = Self::empty(now, self.keep, self.last.clone());
        std::mem::replace(self, next)
    }

    /// As a record: what is short enough stands in it whole. `None` if nothing was shown since the one before.
    fn told(self, mark: Mark, at: BootNanos) -> Option<Tracked> {
        let Self { bytes, hash, mut tail, keep, last: mut record, .. } = self;
        if bytes == 0 {
            return None;
        }
        (record.boot_ns, record.cpu) = (at, u16::MAX);
        if tail.len() > keep {
            tail.drain(..tail.len() - keep);
        }
        if let Body::Tty(_, tty) = &mut record.body {
            if u64::try_from(tail.len()).is_ok_and(|kept| kept < bytes) {
                // A line that is there in part would look like one that was shown; a long one is better than nothing.
                if let Some(end) = tail.iter().take(keep / 4).position(|byte| *byte == b'\n') {
                    tail.drain(..=end);
                }
                let sha256 = Some(Digest::new(hash.finalize().into()));
                tty.cut = Some(Cut { field: CutField::Tty, bytes, sha256, relay: None });
                record.flags = record.flags.with(Flags::TRUNCATED);
            }
            tty.data = Bytes::new(tail);
        }
        Some(Tracked::Event { mark, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EndReason, SessionEnd};

    const ALLOWED: Allowance = Allowance { burst: 1000, rate: 100 };

    fn show(tenths: u64, no: u32, data: &[u8]) -> Tracked {
        let tty = Tty { no, data: Bytes::from(data), ..Tty::default() };
        of(tenths, Body::Tty(TtyOp::Output, tty))
    }

    fn of(tenths: u64, body: Body) -> Tracked {
        let record = Record { boot_ns: at(tenths), cpu: 0, flags: Flags::default(), task: None, body };
        Tracked::Event { mark: Mark::new(1), record }
    }

    fn at(tenths: u64) -> BootNanos {
        BootNanos::new(tenths * 100_000_000)
    }

    /// Kept bytes, and the length and hash of what they stand for.
    type Told = (Vec<u8>, Option<(u64, Digest)>);

    fn told(flood: &mut Flood, now: u64, items: Vec<Tracked>) -> Vec<Told> {
        let mut tracked = items;
        flood.pass(at(now), &mut tracked);
        let tty = |item| match item {
            Tracked::Event { record: Record { body: Body::Tty(_, tty), flags, .. }, .. } => {
                assert_eq!(flags.has(Flags::TRUNCATED), tty.cut.is_some());
                Some((
                    tty.data.as_slice().to_vec(),
                    tty.cut.map(|cut| (cut.bytes, cut.sha256.expect("a hash"))),
                ))
            }
            _ => None,
        };
        tracked.into_iter().filter_map(tty).collect()
    }

    fn hash(data: &[u8]) -> Digest {
        Digest::new(Sha256::digest(data).into())
    }

    #[test]
    fn a_flood_leaves_its_first_and_last_part_its_length_and_its_hash() {
        let mut flood = Flood::new(ALLOWED);
        let line = b"0123456789abcdef0123456789abcdef0123456789abcdef\r\n";
        let many = line.repeat(2000);
        assert_eq!(told(&mut flood, 10, vec![show(10, 1, &many[..1000])]), [(many[..1000].to_vec(), None)]);
        let pieces = many[1000..].chunks(4096).map(|piece| show(10, 1, piece)).collect();
        assert_eq!(told(&mut flood, 10, pieces), [], "nothing is told while it goes on");
        let end = told(&mut flood, 30, vec![]);
        let [(kept, Some(whole))] = end.as_slice() else { panic!("{} records", end.len()) };
        assert_eq!(*whole, (99_000, hash(&many[1000..])));
        assert!(many.ends_with(kept) && kept.starts_with(b"0123") && kept.len() > TAIL - 60);
        // Two seconds brought 200 bytes more.
        assert_eq!(told(&mut flood, 30, vec![show(30, 1, b"$ ")]), [(b"$ ".to_vec(), None)]);
    }

    #[test]
    fn a_flood_that_lasts_is_told_now_and_then_and_at_the_end_of_its_session() {
        let mut flood = Flood::new(ALLOWED);
        let piece = vec![b'x'; 30_000];
        let mut whole = Vec::new();
        for tenths in (10..=250).step_by(5) {
            for (_, cut) in told(&mut flood, tenths, vec![show(tenths, 1, &piece)]) {
                whole.push(cut.expect("a cut"));
            }
        }
        let lengths: Vec<u64> = whole.iter().map(|(bytes, _)| *bytes).collect();
        assert_eq!(lengths, [630_000, 600_000], "{lengths:?}");
        assert_eq!(whole[1].1, hash(&piece.repeat(20)));
        let end = SessionEnd {
            reason: EndReason::LastTask,
            code: None,
            signal: 0,
            execs: 0,
            files: 0,
            tty_bytes: 0,
        };
        let mut last = vec![of(250, Body::SessionEnd(end))];
        flood.pass(at(250), &mut last);
        let kinds: Vec<_> = last
            .iter()
            .map(|item| match item {
                Tracked::Event { record: Record { body: Body::Tty(_, tty), .. }, .. } => {
                    tty.cut.as_ref().map(|cut| cut.bytes)
                }
                _ => None,
            })
            .collect();
        assert_eq!(kinds, [Some(240_000), None], "what was folded stands before the end");
        assert!(flood.sessions.is_empty());
    }

    #[test]
    fn a_terminal_that_goes_on_is_shown_again_as_fast_as_is_allowed() {
        let mut flood = Flood::new(ALLOWED);
        let mut kept = 0;
        assert_eq!(
            told(&mut flood, 10, vec![show(10, 1, &[b'x'; 1000]), show(10, 1, &[b'x'; 9000])]).len(),
            1
        );
        // Never silent for a second, 20 bytes each second, of 100 that are allowed.
        for tenths in (15..=1015).step_by(5) {
            let records = told(&mut flood, tenths, vec![show(tenths, 1, b"0123456789")]);
            kept +=
                records.iter().filter(|(_, cut)| cut.is_none()).map(|(data, _)| data.len()).sum::<usize>();
        }
        assert!(kept > 1900, "{kept} bytes of 2010 are kept");
    }

    #[test]
    fn a_flood_of_one_long_line_leaves_its_end_too() {
        let mut flood = Flood::new(Allowance { burst: 10, rate: 1 });
        let line = [vec![b'x'; 50_000], b"the end\n".to_vec()].concat();
        let _ = told(&mut flood, 10, vec![show(10, 1, &line)]);
        let end = told(&mut flood, 30, vec![]);
        let [(kept, Some(_))] = end.as_slice() else { panic!("{} records", end.len()) };
        assert_eq!(kept.len(), TAIL);
        assert!(kept.ends_with(b"xthe end\n"));
        assert_eq!(told(&mut flood, 300, vec![]), [], "nothing more is told of it");
    }

    #[test]
    fn the_allowance_is_the_sessions_and_comes_back_with_time() {
        let mut flood = Flood::new(ALLOWED);
        let some = vec![b'y'; 600];
        assert_eq!(told(&mut flood, 10, vec![show(10, 1, &some)]).len(), 1);
        // The other terminal has no allowance of its own; what is short stands whole in the record.
        assert_eq!(told(&mut flood, 10, vec![show(10, 2, &some)]), []);
        assert_eq!(told(&mut flood, 30, vec![]), [(some.clone(), None)]);
        assert_eq!(told(&mut flood, 110, vec![show(110, 2, &some)]), [(some, None)]);
    }

    #[test]
    fn what_a_relay_copied_passes_behind_what_was_folded_before_it() {
        let mut flood = Flood::new(Allowance { burst: 10, rate: 0 });
        let relay = Some(crate::model::Relay { no: 1, from: 0 });
        let cut = Cut { field: CutField::Tty, bytes: 5000, sha256: Some(hash(b"")), relay };
        let copied = of(10, Body::Tty(TtyOp::Output, Tty { no: 2, cut: Some(cut), ..Tty::default() }));
        let mut items = vec![show(10, 2, &[b'x'; 20]), copied.clone(), show(10, 2, b"0123456789")];
        flood.pass(at(10), &mut items);
        assert_eq!(items, [folded_short(10, 2, &[b'x'; 20]), copied, show(10, 2, b"0123456789")]);
    }

    /// What was short enough to stand in a fold's record whole.
    fn folded_short(tenths: u64, no: u32, data: &[u8]) -> Tracked {
        match show(tenths, no, data) {
            Tracked::Event { mark, record } => {
                Tracked::Event { mark, record: Record { cpu: u16::MAX, ..record } }
            }
            other => other,
        }
    }

    #[test]
    fn other_sessions_and_other_records_pass_as_they_are() {
        let mut flood = Flood::new(Allowance { burst: 0, rate: 0 });
        let mut items = vec![show(1, 1, b"a"), of(1, Body::Tty(TtyOp::Input, Tty::default()))];
        flood.pass(at(1), &mut items);
        assert_eq!(items, [of(1, Body::Tty(TtyOp::Input, Tty::default()))]);
    }
}
