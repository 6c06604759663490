use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::model::{EndReason, File, FileOp, Flags, Heartbeat, LossReason, Reads, SessionEnd};

const PAGE: usize = 64 << 10;

fn of(body: Body) -> Record {
    Record { boot_ns: BootNanos::new(1), cpu: 0, flags: Flags::default(), task: None, body }
}

fn open(mark: u64, bytes: usize) -> Tracked {
    let file = File { path: Bytes::new(vec![b'x'; bytes]), ..File::default() };
    Tracked::Event { mark: Mark::new(mark), record: of(Body::File(FileOp::Open, file)) }
}

fn opened(mark: u64) -> Tracked {
    Tracked::Opened { mark: Mark::new(mark), id: SessionId::new([1; 16]), at: BootNanos::new(1) }
}

fn closed(mark: u64) -> Tracked {
    Tracked::Closed { mark: Mark::new(mark), reason: EndReason::LastTask, losses: 0, at: BootNanos::new(2) }
}

fn ended(mark: u64) -> Tracked {
    let end =
        SessionEnd { reason: EndReason::LastTask, code: None, signal: 0, execs: 0, files: 0, tty_bytes: 0 };
    Tracked::Event { mark: Mark::new(mark), record: of(Body::SessionEnd(end)) }
}

fn batch(tracked: impl IntoIterator<Item = Tracked>) -> Batch {
    Batch { tracked: tracked.into_iter().collect(), ..Batch::default() }
}

/// An outbox whose writer took one batch long ago, and nothing since.
fn hanging() -> (Outbox, Receiver<Batch>, Instant) {
    let (to_writer, from_pump) = sync_channel(1);
    let mut outbox = Outbox::new(to_writer);
    let start = Instant::now();
    outbox.send(batch([opened(1)]), start).unwrap();
    outbox.send(batch([open(1, 1)]), start).unwrap();
    assert!(!outbox.hangs(start));
    let now = start + PATIENCE;
    assert!(outbox.hangs(now));
    (outbox, from_pump, now)
}

/// Everything that comes until nothing more does.
fn taken(outbox: &mut Outbox, writer: &Receiver<Batch>, now: Instant) -> Vec<Batch> {
    let mut got = Vec::new();
    while let Ok(batch) = writer.try_recv() {
        got.push(Batch { load: Load::default(), ..batch });
        outbox.flush(now).unwrap();
    }
    got
}

fn sum(got: &[Batch], kind: Kind) -> (u64, u64) {
    let of_kind =
        |item: &&Tracked| matches!(item, Tracked::Event { record, .. } if record.body.kind() == kind);
    let kept = got.iter().flat_map(|b| &b.tracked).filter(of_kind).map(|_| 1).sum();
    (kept, got.iter().filter_map(|b| b.unkept.kinds.get(&kind)).sum())
}

#[test]
fn f3_memory_is_bounded_while_the_writer_hangs_and_every_record_is_there_or_counted() {
    let (mut outbox, writer, now) = hanging();
    let rounds = 10_000u64;
    for _ in 0..rounds {
        outbox.send(batch([open(1, PAGE), open(1, PAGE)]), now).unwrap();
    }
    assert!(
        outbox.bytes < strain::WAITING + 2 * PAGE && outbox.waiting.len() < 300,
        "{}",
        outbox.waiting.len()
    );
    outbox.send(batch([ended(1), closed(1)]), now).unwrap();
    let got = taken(&mut outbox, &writer, now);
    let (kept, unkept) = sum(&got, Kind::OPEN);
    assert_eq!(kept + unkept, 2 * rounds + 1);
    assert!(kept > 200 && unkept > 2 * rounds - 300, "{kept} {unkept}");
    assert_eq!(got.iter().filter_map(|b| b.unkept.sessions.get(&Mark::new(1))).sum::<u64>(), unkept);
    assert_eq!(sum(&got, Kind::SESSION_END), (1, 0), "edges outlast the noise");
    let last = got.last().unwrap();
    assert!(
        matches!(last.tracked.last(), Some(Tracked::Closed { .. })) && last.unkept.is_empty(),
        "counts come before the end"
    );
    assert_eq!((outbox.bytes, outbox.full), (0, None));
}

#[test]
fn f3_sessions_that_find_no_place_are_opened_when_there_is_room_and_counted_if_they_are_over() {
    let (mut outbox, writer, now) = hanging();
    while strain::has_room(Kind::SESSION_END, outbox.bytes) {
        // What is essential has twice the room.
        outbox.push(batch([open(1, PAGE)]));
    }
    outbox.send(batch([opened(2), opened(3), open(2, 1), open(3, 1), closed(3)]), now).unwrap();
    let got = taken(&mut outbox, &writer, now);
    let tracked: Vec<&Tracked> = got.iter().flat_map(|b| &b.tracked).collect();
    let begun =
        |mark| tracked.iter().any(|t| matches!(t, Tracked::Opened { mark: m, .. } if *m == Mark::new(mark)));
    assert!(begun(2) && !begun(3));
    assert_eq!(sum(&got, Kind::SESSION_OPENED).1, 1);
    assert_eq!(sum(&got, Kind::OPEN).1, 2);
}

#[test]
fn f3_declared_losses_stay_declared_and_signs_of_life_are_nothing_lost() {
    let (mut outbox, writer, now) = hanging();
    while strain::has_room(Kind::LOSS, outbox.bytes) {
        outbox.push(batch([open(1, PAGE)]));
    }
    let loss = Loss {
        class: Bytes::from("exec"),
        ring: Bytes::from("critical"),
        cpu: 0,
        from: 1,
        to: 7,
        count: 7,
        reason: LossReason::RingFull,
    };
    let lost = Tracked::Lost { at: BootNanos::new(1), loss: loss.clone() };
    let control = vec![of(Body::Heartbeat(Heartbeat::default())), of(Body::Loss(loss))];
    outbox.send(Batch { control, ..batch([lost]) }, now).unwrap();
    let got = taken(&mut outbox, &writer, now);
    let losses = got.iter().filter_map(|b| b.unkept.losses.get(&Bytes::from("exec"))).sum::<u64>();
    assert_eq!(losses, 14);
    assert!(got.iter().all(|b| !b.unkept.kinds.contains_key(&Kind::HEARTBEAT)));
}

#[test]
fn when_the_last_was_taken_is_told_whatever_else_there_is() {
    let last = || Batch { until: Some(crate::model::ClockPair::default()), ..Batch::default() };
    let (to_writer, writer) = sync_channel(1);
    let mut outbox = Outbox::new(to_writer);
    outbox.send(last(), Instant::now()).unwrap();
    assert!(writer.try_recv().is_ok_and(|batch| batch.until.is_some()));
    let (mut outbox, writer, now) = hanging();
    outbox.send(last(), now).unwrap();
    let got = taken(&mut outbox, &writer, now);
    assert!(got.last().is_some_and(|batch| batch.until.is_some()));
}

#[test]
fn a_writer_that_comes_round_is_waited_for_and_nothing_is_lost() {
    let (to_writer, from_pump) = sync_channel(1);
    let mut outbox = Outbox::new(to_writer);
    let start = Instant::now();
    let soon = start + PATIENCE / 2;
    for _ in 0..1000 {
        outbox.send(batch([open(1, PAGE)]), start).unwrap();
    }
    assert!(outbox.is_crowded(soon), "the pump waits, and the rings fill");
    assert!(!outbox.is_crowded(start + PATIENCE), "but not for ever");
    from_pump.recv().unwrap();
    outbox.flush(soon).unwrap();
    assert!(outbox.is_crowded(start + PATIENCE), "it came round");
    assert_eq!(sum(&taken(&mut outbox, &from_pump, soon), Kind::OPEN), (999, 0));
    drop(from_pump);
    assert_eq!(outbox.send(batch([open(1, 1)]), soon), Err(Gone));
}

#[test]
fn f3_what_is_on_its_way_is_bounded_by_bytes_too() {
    let (to_writer, from_pump) = sync_channel(64);
    let mut outbox = Outbox::new(to_writer);
    let now = Instant::now();
    for _ in 0..64 {
        outbox.send(batch((0..16).map(|_| open(1, PAGE))), now).unwrap();
    }
    let got: Vec<Batch> = from_pump.try_iter().collect();
    assert_eq!(got.len(), 4, "a megabyte each");
    // It is the writer's when it has taken what is in them, not when it has them.
    outbox.flush(now).unwrap();
    assert!(from_pump.try_recv().is_err());
    drop(got);
    outbox.flush(now).unwrap();
    assert_eq!(from_pump.try_iter().count(), 4);
}

#[test]
fn what_stands_for_many_acts_is_lost_as_many() {
    let (mut outbox, writer, now) = hanging();
    let reads = |count| {
        let body = Body::Reads(Box::new(Reads { count, ..Reads::default() }));
        Tracked::Event { mark: Mark::new(1), record: of(body) }
    };
    for _ in 0..1000 {
        outbox.send(batch([open(1, PAGE)]), now).unwrap();
    }
    outbox.send(batch([reads(1000), reads(0)]), now).unwrap();
    assert_eq!(sum(&taken(&mut outbox, &writer, now), Kind::READS), (0, 1001));
}
