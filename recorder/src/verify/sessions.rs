//! Streams: every session's frames in a row, opened once, closed once, with the counts that its closing record states.

use std::collections::{BTreeMap, HashSet};

use super::finding::{self as f, Findings};
use super::report::SessionVerdict;
use crate::journal::retain::StreamPart;
use crate::model::{EndReason, SessionClosed, SessionId, SessionOpened, StreamNo};

/// Streams without an opening that are told one by one: more than findings of one code are listed.
const STRAYS: usize = 2 * f::LISTED;

#[derive(Debug)]
struct Stream {
    id: SessionId,
    frames: u64,
    records: u64,
    closed: Option<u64>,
    cut: bool,
    /// Some of it lay in a segment that was deleted by permission.
    expired: bool,
}

/// All streams of a log.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    streams: BTreeMap<u64, Stream>,
    broken: HashSet<u64>,
    /// Streams that have frames and were never opened, the first of them.
    strays: HashSet<u64>,
    next: u64,
    /// Frames so far of the log's own sealed stream, which is never opened or closed.
    own: u64,
}

impl Sessions {
    pub(super) fn opened(&mut self, o: SessionOpened, segment: &str, leaf: u64, out: &mut Findings) {
        if o.stream.get() == 0 || o.stream.get() < self.next {
            out.add(
                f::STREAM_BROKEN,
                Some(segment),
                Some(leaf),
                format!("stream {} is opened again", o.stream),
            );
            return;
        }
        self.next = o.stream.get().saturating_add(1);
        let stream = Stream { id: o.id, frames: 0, records: 0, closed: None, cut: false, expired: false };
        self.streams.insert(o.stream.get(), stream);
        if self.strays.contains(&o.stream.get()) {
            self.broken.insert(o.stream.get());
        }
    }

    /// Data frames of a stream with the running numbers `seq`, `seq` + 1, … A stream that broke once counts no more.
    pub(super) fn frames(
        &mut self,
        no: u64,
        (seq, frames): (u64, u64),
        records: u64,
        segment: &str,
        leaf: u64,
        out: &mut Findings,
    ) {
        match self.streams.get_mut(&no) {
            None if no == 0 && self.own == seq => self.own = self.own.saturating_add(frames),
            Some(s) if s.closed.is_none() && !s.cut && s.frames == seq && !self.broken.contains(&no) => {
                s.frames = s.frames.saturating_add(frames);
                s.records = s.records.saturating_add(records);
            }
            known => {
                let first = if known.is_some() {
                    self.broken.insert(no)
                } else {
                    // Numbers that nobody opened can be any: what was told of them is remembered within bounds.
                    self.strays.len() < STRAYS && self.strays.insert(no)
                };
                if first {
                    let text = format!("frame {seq} of stream {no} does not continue it");
                    out.add(f::STREAM_BROKEN, Some(segment), Some(leaf), text);
                }
            }
        }
    }

    pub(super) fn closed(&mut self, c: &SessionClosed, segment: &str, leaf: u64, out: &mut Findings) {
        let no = c.stream.get();
        match self.streams.get_mut(&no) {
            Some(s) if s.closed.is_none() && !s.cut && s.id == c.id => {
                s.closed = Some(c.losses);
                if (s.frames, s.records) != (c.frames, c.records) && self.broken.insert(no) {
                    let text = format!(
                        "stream {no} closes with {} frames and {} records, {} and {} are there",
                        c.frames, c.records, s.frames, s.records
                    );
                    out.add(f::SESSION_COUNT_MISMATCH, Some(segment), Some(leaf), text);
                }
            }
            _ => {
                out.add(f::STREAM_BROKEN, Some(segment), Some(leaf), format!("stream {no} is not open"));
            }
        }
    }

    /// Takes what a stub says of a stream.
    pub(super) fn expired(&mut self, part: &StreamPart, segment: &str, leaf: u64, out: &mut Findings) {
        let no = part.stream;
        if no == 0 {
            // The log's own sealed stream is no session; its numbers go on.
            if part.frames > 0 {
                self.frames(no, (part.first, part.frames), part.records, segment, leaf, out);
            }
            return;
        }
        if let Some(id) = part.session.filter(|_| part.opened) {
            self.opened(SessionOpened { stream: StreamNo::new(no), id }, segment, leaf, out);
        }
        match self.streams.get_mut(&no) {
            Some(s) if part.frames == 0 => s.expired = true,
            Some(s) if s.closed.is_none() && !s.cut && s.frames == part.first => {
                s.frames = s.frames.saturating_add(part.frames);
                s.records = s.records.saturating_add(part.records);
                s.expired = true;
            }
            _ => {
                if self.broken.insert(no) {
                    let text = format!("frame {} of stream {no} does not continue it", part.first);
                    out.add(f::STREAM_BROKEN, Some(segment), Some(leaf), text);
                }
            }
        }
        if let (Some((frames, records, losses)), Some(id)) = (part.closed, part.session) {
            let (stream, reason) = (StreamNo::new(no), EndReason::Unknown(0));
            let closed = SessionClosed { stream, id, reason, frames, records, losses };
            self.closed(&closed, segment, leaf, out);
        }
    }

    /// The recorder's process ended: what is open stays without its end. `next` is the first stream of the new one.
    pub(super) fn interrupted(&mut self, next: u64) {
        self.own = 0;
        for s in self.streams.values_mut().filter(|s| s.closed.is_none()) {
            s.cut = true;
        }
        self.next = self.next.max(next);
    }

    /// What can be said of each session. `whole`: the log was vouched for to its end.
    pub(super) fn verdicts(&self, whole: bool) -> Vec<SessionVerdict> {
        let judge = |no: &u64, s: &Stream| match s.closed {
            _ if self.broken.contains(no) || s.cut => "incomplete",
            Some(_) if s.expired => "expired",
            Some(0) => "complete",
            Some(_) => "complete_with_loss",
            None if whole => "open",
            None => "incomplete",
        };
        let of = |(no, s): (&u64, &Stream)| SessionVerdict {
            id: s.id,
            completeness: judge(no, s),
            records: s.records,
            losses: s.closed.unwrap_or(0),
        };
        self.streams.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(no: u64) -> SessionOpened {
        SessionOpened { stream: StreamNo::new(no), id: SessionId::new([1; 16]) }
    }

    fn close(no: u64, frames: u64, records: u64) -> SessionClosed {
        let stream = StreamNo::new(no);
        let id = SessionId::new([1; 16]);
        SessionClosed { stream, id, reason: EndReason::LastTask, frames, records, losses: 0 }
    }

    fn run(steps: impl Fn(&mut Sessions, &mut Findings)) -> (Vec<&'static str>, &'static str) {
        let (mut s, mut out) = (Sessions::default(), Findings::new(None));
        s.opened(open(1), "seg", 0, &mut out);
        s.frames(1, (0, 1), 5, "seg", 1, &mut out);
        steps(&mut s, &mut out);
        (out.list.iter().map(|f| f.code).collect(), s.verdicts(true)[0].completeness)
    }

    #[test]
    fn a_stream_is_opened_once_runs_in_order_and_closes_with_its_counts() {
        let ok = run(|s, out| {
            s.frames(1, (1, 1), 2, "seg", 2, out);
            s.closed(&close(1, 2, 7), "seg", 3, out);
        });
        assert_eq!(ok, (vec![], "complete"));
        let lies = run(|s, out| s.closed(&close(1, 1, 6), "seg", 3, out));
        assert_eq!(lies, (vec!["SESSION_COUNT_MISMATCH"], "incomplete"));
        let hole = run(|s, out| s.frames(1, (2, 1), 2, "seg", 2, out));
        assert_eq!(hole, (vec!["STREAM_BROKEN"], "incomplete"));
        let unknown = run(|s, out| s.frames(2, (0, 1), 2, "seg", 2, out));
        assert_eq!(unknown, (vec!["STREAM_BROKEN"], "open"));
        let again = run(|s, out| s.opened(open(1), "seg", 2, out));
        assert_eq!(again.0, ["STREAM_BROKEN"]);
        let late = run(|s, out| {
            s.closed(&close(1, 1, 5), "seg", 2, out);
            s.frames(1, (1, 1), 1, "seg", 3, out);
        });
        assert_eq!(late, (vec!["STREAM_BROKEN"], "incomplete"));
        let revived = run(|s, out| {
            s.interrupted(2);
            s.frames(1, (1, 1), 1, "seg", 3, out);
        });
        assert_eq!(revived, (vec!["STREAM_BROKEN"], "incomplete"));
    }
}
