//! The terminals of one session, and its standard streams that are none: which number each has, and what it showed.

use std::collections::HashMap;

use crate::model::{Bytes, Cut, CutField, Streamed, Tty, TtyAct, TtyOp, stream_name};

#[derive(Debug, Default)]
struct Terminal {
    no: u32,
    name: Bytes,
    /// Of a stream: bytes that were not taken along, as far as records say.
    away: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Terminals {
    known: HashMap<u64, Terminal>,
    count: u32,
    shown: u64,
}

impl Terminals {
    /// Bytes that they showed in all.
    pub(super) const fn shown(&self) -> u64 {
        self.shown
    }

    fn at(&mut self, key: u64, name: &Bytes, is_new: bool) -> &mut Terminal {
        let known = self.known.entry(key).or_default();
        // Addresses are used again, and names, and both together.
        if is_new || known.no == 0 || known.name != *name {
            self.count += 1;
            *known = Terminal { no: self.count, name: name.clone(), away: 0 };
        }
        known
    }

    pub(super) fn take(&mut self, op: TtyOp, act: TtyAct) -> Tty {
        if op == TtyOp::Output {
            self.shown = self.shown.saturating_add(u64::try_from(act.data.len()).unwrap_or(0));
        }
        Tty {
            no: self.at(act.key, &act.name, act.is_new).no,
            name: act.name,
            data: act.data,
            hidden: act.hidden,
            cols: act.cols,
            rows: act.rows,
            cut: None,
        }
    }

    /// What a stream moved and was not taken along since that was last said.
    pub(super) fn missing(&mut self, streamed: Streamed) -> Option<(TtyOp, Tty)> {
        let name = Bytes::from(stream_name(streamed.fd));
        let known = self.at(streamed.key, &name, false);
        let more = streamed.away.saturating_sub(known.away);
        known.away = known.away.max(streamed.away);
        let tty = Tty { no: known.no, name, ..Tty::default() };
        if more == 0 {
            return None;
        }
        if streamed.fd == 0 {
            return Some((TtyOp::Input, Tty { hidden: u32::try_from(more).unwrap_or(u32::MAX), ..tty }));
        }
        self.shown = self.shown.saturating_add(more);
        let cut = Some(Cut { field: CutField::Tty, bytes: more, sha256: None, relay: None });
        Some((TtyOp::Output, Tty { cut, ..tty }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Streamed = Streamed { key: 9 << 2 | 1, fd: 1, away: 0 };

    fn shows(terminals: &mut Terminals, name: &str, key: u64, data: &str) -> Tty {
        let (name, data) = (Bytes::from(name), Bytes::from(data));
        terminals.take(TtyOp::Output, TtyAct { key, is_new: false, name, data, hidden: 0, cols: 0, rows: 0 })
    }

    #[test]
    fn a_terminal_that_is_made_anew_at_the_same_place_has_a_number_of_its_own() {
        let mut all = Terminals::default();
        let made = |all: &mut Terminals| {
            let name = Bytes::from("pts/3");
            let act =
                TtyAct { key: 4, is_new: true, name, data: Bytes::default(), hidden: 0, cols: 80, rows: 24 };
            all.take(TtyOp::Resize, act).no
        };
        assert_eq!((made(&mut all), shows(&mut all, "pts/3", 4, "a").no), (1, 1));
        assert_eq!((made(&mut all), shows(&mut all, "pts/3", 4, "b").no), (2, 2));
        assert_eq!(shows(&mut all, "pts/4", 4, "c").no, 3);
    }

    #[test]
    fn what_a_stream_leaves_out_is_said_once_and_counted() {
        let mut all = Terminals::default();
        assert_eq!(shows(&mut all, "stdout", OUT.key, "abc").no, 1);
        let cut = |bytes| Some(Cut { field: CutField::Tty, bytes, sha256: None, relay: None });
        let tty = |cut| Tty { name: Bytes::from("stdout"), no: 1, cut, ..Tty::default() };
        assert_eq!(all.missing(Streamed { away: 100, ..OUT }), Some((TtyOp::Output, tty(cut(100)))));
        assert_eq!(all.missing(Streamed { away: 100, ..OUT }), None, "the kernel tells the sum");
        assert_eq!(all.missing(Streamed { away: 107, ..OUT }), Some((TtyOp::Output, tty(cut(7)))));
        // A late word says nothing new.
        assert_eq!(all.missing(Streamed { away: 90, ..OUT }), None);
        assert_eq!(all.shown(), 110);
    }

    #[test]
    fn what_was_read_is_a_number_of_hidden_bytes() {
        let mut all = Terminals::default();
        let read = Streamed { key: 9 << 2, fd: 0, away: u64::MAX };
        let (op, tty) = all.missing(read).unwrap();
        assert_eq!((op, tty.hidden, tty.name.as_slice()), (TtyOp::Input, u32::MAX, &b"stdin"[..]));
        assert_eq!(all.shown(), 0);
    }
}
