//! Exact losses. A hole in the sequence numbers of a processor and ring is a loss; counters in a map say of which
//! class. Preempted programs can swap neighbours, so a hole counts only when it stays.

use std::{
    cmp::Ordering,
    collections::HashMap,
    time::{Duration, Instant},
};

use recorder_common::{CLASSES, Class, CpuCounters, RINGS};

use crate::model::{Bytes, Loss, LossReason};

/// How long a hole may wait for a late number.
const PATIENCE: Duration = Duration::from_millis(200);

/// Files of sessions that the kernel side remembers at least; some less than its map holds, which forgets in advance.
const PLANTS: u64 = 60_000;

const RING_NAMES: [&str; RINGS] = ["critical", "bulk"];

#[derive(Clone, Copy, Debug)]
struct Hole {
    from: u64,
    to: u64,
    since: Instant,
}

impl Hole {
    const fn len(&self) -> u64 {
        self.to - self.from + 1
    }
}

#[derive(Default)]
struct Lane {
    next: u64,
    holes: Vec<Hole>,
}

/// Follows all sequence numbers.
#[derive(Default)]
pub(super) struct LossTracker {
    lanes: HashMap<(u16, u16), Lane>,
    last: Vec<CpuCounters>,
    undecodable: u64,
    /// Files of sessions that were forgotten, as far as it was told.
    plants: u64,
}

impl LossTracker {
    /// Notes the number of an event that arrived.
    pub(super) fn seen(&mut self, cpu: u16, ring: u16, seq: u64, now: Instant) {
        let lane = self.lanes.entry((cpu, ring)).or_default();
        match seq.cmp(&lane.next) {
            Ordering::Equal => lane.next += 1,
            Ordering::Greater => {
                lane.holes.push(Hole { from: lane.next, to: seq - 1, since: now });
                lane.next = seq + 1;
            }
            Ordering::Less => lane.fill(seq),
        }
    }

    /// Notes an event that arrived and made no sense.
    pub(super) fn undecodable(&mut self) {
        self.undecodable += 1;
    }

    /// True if there is a hole that may have to be declared.
    pub(super) fn has_holes(&self) -> bool {
        self.undecodable > 0 || self.lanes.values().any(|l| !l.holes.is_empty())
    }

    /// True if something that was numbered by then has not arrived and is not known to have found no room.
    pub(super) fn awaits(&self, counters: &[CpuCounters]) -> bool {
        let none = CpuCounters::default();
        counters.iter().enumerate().any(|(cpu, then)| {
            let (cpu, old) = (u16::try_from(cpu).unwrap_or(u16::MAX), self.last.get(cpu).unwrap_or(&none));
            let rings = (0_u16..).zip(then.seq).zip(then.ring_full.iter().zip(&old.ring_full));
            let mut missing = rings.map(|((ring, end), (new, old))| {
                let lane = self.lanes.get(&(cpu, ring));
                let holes: u64 = lane.iter().flat_map(|lane| &lane.holes).map(Hole::len).sum();
                let coming = end.saturating_sub(lane.map_or(0, |lane| lane.next));
                let full: u64 = new.iter().zip(old).map(|(new, old)| new.saturating_sub(*old)).sum();
                (holes + coming).saturating_sub(full)
            });
            missing.any(|count| count > 0)
        })
    }

    /// Declares the holes that stayed (all of them if `all`) and whatever the counters say beyond them.
    pub(super) fn declare(&mut self, counters: &[CpuCounters], now: Instant, all: bool) -> Vec<Loss> {
        let mut out = Vec::new();
        self.last.resize(counters.len(), CpuCounters::default());
        for (cpu, (new, old)) in counters.iter().zip(self.last.iter_mut()).enumerate() {
            let cpu = u16::try_from(cpu).unwrap_or(u16::MAX);
            for (ring, name) in (0_u16..).zip(RING_NAMES) {
                let at = usize::from(ring);
                let lane = self.lanes.entry((cpu, ring)).or_default();
                let mut ripe: Vec<Hole> =
                    lane.holes.extract_if(.., |h| all || now.duration_since(h.since) > PATIENCE).collect();
                // Numbers at the end that never arrived.
                let end = new.seq.get(at).copied().unwrap_or(0);
                if all && end > lane.next {
                    ripe.push(Hole { from: lane.next, to: end - 1, since: now });
                    lane.next = end;
                }
                if !ripe.is_empty() {
                    out.extend(classed(&ripe, cpu, name, new, old, at));
                }
            }
            unnumbered(cpu, new, old, &mut out);
        }
        let plants: u64 = counters.iter().map(|one| one.plants).sum();
        let forgotten = plants / PLANTS * PLANTS;
        let count = forgotten.saturating_sub(self.plants);
        if count > 0 {
            out.push(Loss { count, ..loss("plant", LossReason::MapFull) });
            self.plants = forgotten;
        }
        if self.undecodable > 0 {
            out.push(Loss {
                count: std::mem::take(&mut self.undecodable),
                ..loss("unknown", LossReason::Undecodable)
            });
        }
        out
    }
}

impl Lane {
    fn fill(&mut self, seq: u64) {
        let Some(at) = self.holes.iter().position(|h| h.from <= seq && seq <= h.to) else { return };
        let hole = self.holes.swap_remove(at);
        if hole.from < seq {
            self.holes.push(Hole { to: seq - 1, ..hole });
        }
        if seq < hole.to {
            self.holes.push(Hole { from: seq + 1, ..hole });
        }
    }
}

fn loss(class: &str, reason: LossReason) -> Loss {
    Loss {
        class: Bytes::from(class),
        ring: Bytes::from("kernel"),
        cpu: u16::MAX,
        from: 0,
        to: 0,
        count: 0,
        reason,
    }
}

/// Holes of one processor and ring, told apart by the classes that the counters name.
fn classed(
    holes: &[Hole],
    cpu: u16,
    ring: &str,
    new: &CpuCounters,
    old: &mut CpuCounters,
    at: usize,
) -> Vec<Loss> {
    let from = holes.iter().map(|h| h.from).min().unwrap_or(0);
    let to = holes.iter().map(|h| h.to).max().unwrap_or(0);
    let mut missing: u64 = holes.iter().map(Hole::len).sum();
    let mut out = Vec::new();
    let entry = |class: &str, count| Loss {
        ring: Bytes::from(ring),
        cpu,
        from,
        to,
        count,
        ..loss(class, LossReason::RingFull)
    };
    if let (Some(new), Some(old)) = (new.ring_full.get(at), old.ring_full.get_mut(at)) {
        for ((name, n), o) in Class::NAMES.iter().zip(new).zip(old.iter_mut()) {
            // The counter may already know of a hole that is not ripe; it is declared with that one.
            let count = n.saturating_sub(*o).min(missing);
            if count > 0 {
                out.push(entry(name, count));
                *o += count;
                missing -= count;
            }
        }
    }
    if missing > 0 {
        out.push(entry("unknown", missing));
    }
    out
}

/// Losses that have no sequence number.
fn unnumbered(cpu: u16, new: &CpuCounters, old: &mut CpuCounters, out: &mut Vec<Loss>) {
    let mut push = |class: &str, n: u64, o: &mut u64, reason| {
        if n > *o {
            out.push(Loss { cpu, count: n - *o, ..loss(class, reason) });
            *o = n;
        }
    };
    for class in 0..CLASSES {
        if let (Some(name), Some(n), Some(o)) =
            (Class::NAMES.get(class), new.scratch_busy.get(class), old.scratch_busy.get_mut(class))
        {
            push(name, *n, o, LossReason::ScratchBusy);
        }
    }
    push("session", new.mark_failed, &mut old.mark_failed, LossReason::MarkFailed);
    push("tty", new.map_full, &mut old.map_full, LossReason::MapFull);
    push("capability", new.caps_full, &mut old.caps_full, LossReason::MapFull);
    push("exec_failed", new.failed_full, &mut old.failed_full, LossReason::MapFull);
    push("mapped", new.mapped_full, &mut old.mapped_full, LossReason::MapFull);
    push("guard", new.guard_full, &mut old.guard_full, LossReason::MapFull);
    push("tty_bytes", new.unread_tty_bytes, &mut old.unread_tty_bytes, LossReason::ReadFault);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(file: u64, tty: u64) -> Vec<CpuCounters> {
        let mut c = CpuCounters::default();
        c.ring_full[1][Class::FILE] = file;
        c.ring_full[1][Class::TTY] = tty;
        vec![c]
    }

    #[test]
    fn a_hole_that_stays_is_declared_once_with_its_classes() {
        let t0 = Instant::now();
        let mut l = LossTracker::default();
        for seq in [0, 1, 5, 6] {
            l.seen(0, 1, seq, t0);
        }
        assert!(l.has_holes());
        assert_eq!(l.declare(&counters(2, 1), t0, false), []);
        let late = t0 + PATIENCE * 2;
        let out = l.declare(&counters(2, 1), late, false);
        let told: Vec<_> = out.iter().map(|x| (x.class.escaped(), x.from, x.to, x.count)).collect();
        assert_eq!(told, [("file".into(), 2, 4, 2), ("tty".into(), 2, 4, 1)]);
        assert_eq!(l.declare(&counters(2, 1), late, false), []);
    }

    #[test]
    fn swapped_neighbours_are_no_loss() {
        let t0 = Instant::now();
        let mut l = LossTracker::default();
        for seq in [0, 2, 3, 1, 6, 5, 4] {
            l.seen(0, 1, seq, t0);
        }
        assert!(!l.has_holes());
        assert_eq!(l.declare(&counters(0, 0), t0 + PATIENCE * 2, false), []);
    }

    #[test]
    fn numbers_missing_at_the_end_are_declared_at_the_end() {
        let t0 = Instant::now();
        let mut l = LossTracker::default();
        l.seen(0, 1, 0, t0);
        let mut c = counters(3, 0);
        c[0].seq[1] = 4;
        let out = l.declare(&c, t0, true);
        assert_eq!((out[0].from, out[0].to, out[0].count, out.len()), (1, 3, 3, 1));
    }

    #[test]
    fn what_is_on_its_way_is_awaited_and_what_found_no_room_is_not() {
        let t0 = Instant::now();
        let mut l = LossTracker::default();
        let mut c = counters(0, 0);
        assert!(!l.awaits(&c));
        c[0].seq[1] = 5;
        for seq in [0, 2, 3] {
            l.seen(0, 1, seq, t0);
        }
        assert!(l.awaits(&c));
        l.seen(0, 1, 4, t0);
        assert!(l.awaits(&c), "1 is missing");
        let mut full = c.clone();
        full[0].ring_full[1][Class::FILE] = 1;
        assert!(!l.awaits(&full));
        // One that was told as lost accounts for nothing else.
        assert_eq!(l.declare(&full, t0 + PATIENCE * 2, false).len(), 1);
        full[0].seq[1] = 6;
        assert!(l.awaits(&full));
        l.seen(0, 1, 5, t0);
        assert!(!l.awaits(&full));
    }

    #[test]
    fn a_hole_before_numbers_that_never_arrived_is_declared_with_them() {
        let t0 = Instant::now();
        let mut l = LossTracker::default();
        for seq in [0, 1, 7] {
            l.seen(0, 1, seq, t0);
        }
        let mut c = counters(7, 0);
        c[0].seq[1] = 10;
        let out = l.declare(&c, t0, true);
        assert_eq!((out[0].from, out[0].to, out[0].count, out.len()), (2, 9, 7, 1));
    }

    #[test]
    fn files_of_sessions_that_were_forgotten_are_told_each_time_the_map_turned_over() {
        let mut tracker = LossTracker::default();
        let mut told = |first, second| -> Vec<_> {
            let mut c = vec![CpuCounters::default(), CpuCounters::default()];
            (c[0].plants, c[1].plants) = (first, second);
            let out = tracker.declare(&c, Instant::now(), false);
            out.into_iter().map(|x| (x.class.escaped(), x.count)).collect()
        };
        assert_eq!(told(59_999, 0), []);
        assert_eq!(told(59_999, 1), [("plant".to_owned(), 60_000)]);
        assert_eq!(told(59_999, 60_000), []);
        assert_eq!(told(90_000, 95_000), [("plant".to_owned(), 120_000)]);
    }

    #[test]
    fn checks_that_found_no_room_in_the_map_are_counted() {
        let mut c = counters(0, 0);
        c[0].caps_full = 5;
        let out = LossTracker::default().declare(&c, Instant::now(), false);
        let told: Vec<_> = out.iter().map(|x| (x.class.escaped(), x.count, x.reason)).collect();
        assert_eq!(told, [("capability".to_owned(), 5, LossReason::MapFull)]);
    }
}
