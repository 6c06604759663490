//! The lines that terminals showed, folded where they flood.

use std::collections::{BTreeMap, VecDeque};

use super::{Hidden, Item, What};
use crate::model::RealNanos;
use crate::replay::transcript::{Shown, Transcript};

/// Lines of one burst that are kept at its beginning and at its end. A burst lasts until something else happens.
const HEAD: u64 = 40;
const TAIL: usize = 10;

#[derive(Default)]
struct Terminal {
    transcript: Transcript,
    full_since: Option<(RealNanos, u64)>,
    burst: u64,
    tail: VecDeque<Item>,
    folded: u64,
    /// What it showed last stands on another terminal: the line that is not finished here is not there either.
    relayed: bool,
}

/// All terminals of a session.
#[derive(Default)]
pub(super) struct Screens {
    terminals: BTreeMap<u32, Terminal>,
    all: bool,
}

/// When something was shown.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) time: RealNanos,
    pub(super) boot: u64,
}

impl Screens {
    pub(super) fn new(all: bool) -> Self {
        Self { terminals: BTreeMap::new(), all }
    }

    /// A size. True if the terminal is new.
    pub(super) fn resize(&mut self, tty: u32, size: (u16, u16)) -> bool {
        let new = !self.terminals.contains_key(&tty);
        self.terminals.entry(tty).or_default().transcript.resize(size);
        new
    }

    /// Output; its lines go to `items` at once or, in a flood, when it is over.
    pub(super) fn feed(&mut self, tty: u32, data: &[u8], now: Moment, items: &mut Vec<Item>) {
        let all = self.all;
        let Terminal { transcript, full_since, burst, tail, folded, relayed } =
            self.terminals.entry(tty).or_default();
        *relayed = false;
        transcript.feed(data, &mut |shown| {
            let item = item(tty, shown, now, full_since);
            let Some(item) = item.filter(|item| all || !is_blank(item)) else { return };
            *burst += 1;
            if all || *burst <= HEAD {
                items.push(item);
                return;
            }
            tail.push_back(item);
            if tail.len() > TAIL {
                tail.pop_front();
                *folded += 1;
            }
        });
    }

    /// A relay copies it.
    pub(super) fn relayed(&mut self, tty: u32) {
        self.terminals.entry(tty).or_default().relayed = true;
    }

    /// Something else happened: bursts are over.
    pub(super) fn settle(&mut self, hidden: &mut Hidden, items: &mut Vec<Item>) {
        for (tty, terminal) in &mut self.terminals {
            terminal.burst = 0;
            let Some(first) = terminal.tail.front() else { continue };
            let lines = std::mem::take(&mut terminal.folded);
            if lines > 0 {
                hidden.lines = hidden.lines.saturating_add(lines);
                items.push(Item {
                    time: first.time,
                    pid: None,
                    depth: 0,
                    place: None,
                    what: What::Folded { tty: *tty, lines },
                });
            }
            items.extend(terminal.tail.drain(..));
        }
    }

    /// The end of the session.
    pub(super) fn finish(&mut self, now: Moment, items: &mut Vec<Item>) {
        for (tty, terminal) in &mut self.terminals {
            let Terminal { transcript, full_since, relayed, .. } = terminal;
            if *relayed && !self.all {
                continue;
            }
            transcript.finish(&mut |shown| items.extend(item(*tty, shown, now, full_since)));
        }
    }
}

fn is_blank(item: &Item) -> bool {
    matches!(&item.what, What::Line { text, .. } if text.is_empty())
}

fn item(tty: u32, shown: Shown, now: Moment, full_since: &mut Option<(RealNanos, u64)>) -> Option<Item> {
    let at = |time, what| Some(Item { time, pid: None, depth: 0, place: None, what });
    match shown {
        Shown::Line(text) => at(now.time, What::Line { tty, text }),
        Shown::FullScreen => {
            *full_since = Some((now.time, now.boot));
            None
        }
        Shown::Back(bytes) => {
            let (_, since) = full_since.take()?;
            at(now.time, What::FullScreen { tty, nanos: now.boot.saturating_sub(since), bytes })
        }
    }
}
