//! Digests of programs and of what sessions change: stands in the pump behind the tracker, holds the ends of sessions back for a bounded
//! time until their files are read. docs/sessions.md, File semantics.

mod files;
mod hand;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use self::hand::{Hand, Pace};
use crate::{
    content::{Ledger, Limits, Look, Rules},
    model::{Body, Bytes, ClockPair, Mark},
    session::Tracked,
    sys::clock,
};

/// The end of a session waits so long for what it left, while each of these brings an answer ...
const STALLED: Duration = Duration::from_secs(1);
/// ... and so long at most.
const LONGEST: Duration = Duration::from_secs(8);
/// While the recorder stops.
const NAP: Duration = Duration::from_millis(2);

/// What of the configuration this goes by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) rules: Rules,
    /// Bytes read in a second.
    pub(super) rate: u64,
    /// Files of a session.
    pub(super) files: usize,
    /// Looks that wait.
    pub(super) looks: usize,
}

/// The pass in the pump; `None`: nothing is looked at.
#[derive(Debug)]
pub(super) struct Contents(Option<Pass>);

impl Contents {
    /// Starts the thread that reads, if there is something to go by.
    pub(super) fn start(settings: Option<Settings>) -> Self {
        Self(settings.map(Pass::begin))
    }

    /// Takes what is to be written of sessions, adds what was seen in files, and keeps ends back that wait for it. At the last pass it
    /// waits itself.
    pub(super) fn pass(&mut self, now: ClockPair, tracked: &mut Vec<Tracked>, last: bool) {
        if let Some(pass) = &mut self.0 {
            pass.pass(now, tracked, last);
        }
    }
}

#[derive(Debug)]
struct Pass {
    ledger: Ledger,
    hand: Hand,
    /// Ends of sessions that wait.
    ends: BTreeMap<Mark, End>,
    looks: Vec<Look>,
}

/// The last records of a session.
#[derive(Debug)]
struct End {
    items: Vec<Tracked>,
    since: Instant,
    /// When something of it was last answered.
    answered: Instant,
}

impl Pass {
    fn begin(settings: Settings) -> Self {
        let Settings { rules, rate, files, looks } = settings;
        Self {
            ledger: Ledger::new(Limits { files, looks }),
            hand: Hand::start(Pace { rules, rate }),
            ends: BTreeMap::new(),
            looks: Vec::new(),
        }
    }

    fn pass(&mut self, now: ClockPair, tracked: &mut Vec<Tracked>, last: bool) {
        // Most records pass: they are looked at where they lie, up to the first one that may have to wait.
        let from = tracked.iter().position(|item| !self.passes(item, now)).unwrap_or(tracked.len());
        for item in tracked.split_off(from) {
            self.take(item, now, tracked);
        }
        self.turn(now, tracked);
        while last && !self.ends.is_empty() {
            std::thread::sleep(NAP);
            self.turn(clock::pair(), tracked);
        }
    }

    /// Looks at what goes on at once; false: it was not looked at, and [`Self::take`] has to.
    fn passes(&mut self, item: &Tracked, now: ClockPair) -> bool {
        match item {
            Tracked::Event { mark, record } => {
                if !self.ends.is_empty() || matches!(record.body, Body::SessionEnd(_)) {
                    return false;
                }
                self.looks.extend(self.ledger.see(*mark, record, now));
                true
            }
            Tracked::Lost { .. } => true,
            Tracked::Opened { .. } | Tracked::Closed { .. } => false,
        }
    }

    fn take(&mut self, item: Tracked, now: ClockPair, tracked: &mut Vec<Tracked>) {
        match item {
            Tracked::Event { mark, record } => {
                if matches!(record.body, Body::SessionEnd(_)) {
                    self.ledger.end(mark);
                    let here = Instant::now();
                    let items = vec![Tracked::Event { mark, record }];
                    self.ends.insert(mark, End { items, since: here, answered: here });
                    return;
                }
                self.looks.extend(self.ledger.see(mark, &record, now));
                match self.ends.get_mut(&mark) {
                    Some(end) => end.items.push(Tracked::Event { mark, record }),
                    None => tracked.push(Tracked::Event { mark, record }),
                }
            }
            Tracked::Closed { mark, .. } => {
                if let Some(end) = self.ends.get_mut(&mark) {
                    end.items.push(item);
                } else {
                    self.ledger.close(mark, now.boot);
                    tracked.push(item);
                }
            }
            // The kernel's name for a session comes again: the one that waits is over first.
            Tracked::Opened { mark, .. } => {
                self.finish(mark, now, tracked);
                self.ledger.begin(mark);
                tracked.push(item);
            }
            Tracked::Lost { .. } => tracked.push(item),
        }
    }

    /// Hands out what is due, takes what was seen, ends what is done.
    fn turn(&mut self, now: ClockPair, tracked: &mut Vec<Tracked>) {
        let mut looks = std::mem::take(&mut self.looks);
        looks.extend(self.ledger.due(now));
        let mut answers = Vec::new();
        self.hand.exchange(looks, !self.ends.is_empty(), &mut answers);
        let here = Instant::now();
        for (id, seen) in answers {
            let Some((mark, record)) = self.ledger.answer(id, seen, now.boot) else { continue };
            tracked.push(Tracked::Event { mark, record });
            if let Some(end) = self.ends.get_mut(&mark) {
                end.answered = here;
            }
        }
        let over = |(mark, end): (&Mark, &End)| {
            let waited =
                here.duration_since(end.since) >= LONGEST || here.duration_since(end.answered) >= STALLED;
            (waited || self.ledger.is_done(*mark)).then_some(*mark)
        };
        let over: Vec<Mark> = self.ends.iter().filter_map(over).collect();
        for mark in over {
            self.finish(mark, now, tracked);
        }
    }

    fn finish(&mut self, mark: Mark, now: ClockPair, tracked: &mut Vec<Tracked>) {
        let Some(end) = self.ends.remove(&mark) else { return };
        let late = self.ledger.close(mark, now.boot);
        tracked.extend(late.into_iter().map(|record| Tracked::Event { mark, record }));
        tracked.extend(end.items);
    }
}

/// What the configuration says; `None`: nothing is looked at.
pub(super) fn settings(config: &crate::config::Config) -> Option<Settings> {
    let content = config.content.digests.then_some(&config.content)?;
    let bytes = |path: &std::path::Path| Bytes::from(path.as_os_str().as_encoded_bytes());
    let mut own =
        vec![bytes(&config.journal_dir), Bytes::from("/etc/recorder"), Bytes::from("/usr/bin/recorder")];
    own.extend(config.path.as_deref().map(bytes));
    own.extend(std::env::current_exe().ok().as_deref().map(bytes));
    let rules = Rules {
        trees: content.trees.iter().map(|tree| bytes(tree)).collect(),
        secret: content.secret.iter().map(|pattern| Bytes::from(pattern.as_str())).collect(),
        own,
        max_file: content.max_file,
    };
    let files = usize::try_from(content.files).unwrap_or(usize::MAX);
    Some(Settings { rules, rate: content.rate, files, looks: 4096 })
}
