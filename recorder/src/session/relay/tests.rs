//! What goes in comes out, once: laws over everything that terminals can show, and the cases that people meet.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::model::{Bytes, Digest, EndReason, Flags, SessionEnd};

fn at(micros: u64) -> BootNanos {
    BootNanos::new(micros * 1000)
}

fn of(micros: u64, body: Body) -> Tracked {
    let record = Record { boot_ns: at(micros), cpu: 0, flags: Flags::default(), task: None, body };
    Tracked::Event { mark: Mark::new(1), record }
}

fn terminal(micros: u64, op: TtyOp, no: u32, data: &[u8]) -> Tracked {
    of(micros, Body::Tty(op, Tty { no, data: Bytes::from(data), ..Tty::default() }))
}

fn show(micros: u64, no: u32, data: &[u8]) -> Tracked {
    terminal(micros, TtyOp::Output, no, data)
}

fn act(micros: u64) -> Tracked {
    of(micros, Body::Exec(crate::model::Exec::default()))
}

fn end(micros: u64) -> Tracked {
    let (reason, code, signal) = (EndReason::LastTask, None, 0);
    of(micros, Body::SessionEnd(SessionEnd { reason, code, signal, execs: 0, files: 0, tty_bytes: 0 }))
}

/// Two terminals that have shown nothing yet.
fn opened() -> Relay {
    let mut relay = Relay::default();
    let mut first = vec![terminal(1, TtyOp::Resize, 1, b""), terminal(2, TtyOp::Resize, 2, b"")];
    relay.pass(at(2), &mut first);
    assert_eq!(first.len(), 2, "sizes do not wait");
    relay
}

fn pass(relay: &mut Relay, now: u64, mut items: Vec<Tracked>) -> Vec<Record> {
    relay.pass(at(now), &mut items);
    let record = |item| match item {
        Tracked::Event { record, .. } => Some(record),
        _ => None,
    };
    items.into_iter().filter_map(record).collect()
}

/// Number, bytes as they are, and what was left out: outer terminal, its place there, length.
type Told = (u32, Vec<u8>, Option<(u32, u64, u64)>);

fn told(records: &[Record]) -> Vec<Told> {
    let tty = |record: &Record| match &record.body {
        Body::Tty(_, tty) => {
            let cut = tty.cut.as_ref().map(|cut| (cut.relay.expect("a place"), cut.bytes));
            Some((tty.no, tty.data.as_slice().to_vec(), cut.map(|(place, n)| (place.no, place.from, n))))
        }
        _ => None,
    };
    records.iter().filter_map(tty).collect()
}

/// The streams of all terminals, what was left out taken from where it stands.
fn streams(records: &[Record], op: TtyOp) -> BTreeMap<u32, Vec<u8>> {
    let mut streams = BTreeMap::<u32, Vec<u8>>::new();
    let numbers: std::collections::BTreeSet<u32> = records.iter().filter_map(number).collect();
    for no in numbers {
        let mut stream = Vec::new();
        for record in records {
            let Body::Tty(of, tty) = &record.body else { continue };
            if (*of, tty.no) != (op, no) {
                continue;
            }
            if let Some(cut) = &tty.cut {
                let place = cut.relay.expect("a place");
                assert!(place.no < no && tty.data.is_empty() && record.flags.has(Flags::TRUNCATED));
                let from = usize::try_from(place.from).unwrap();
                let part = &streams[&place.no][from..from + usize::try_from(cut.bytes).unwrap()];
                assert_eq!(cut.sha256, Some(Digest::new(Sha256::digest(part).into())));
                stream.extend_from_slice(part);
            }
            stream.extend_from_slice(tty.data.as_slice());
        }
        streams.insert(no, stream);
    }
    streams
}

const PROMPT: &[u8] =
    b"\x1b]0;root@host: ~\x07root@host:~# ls -l /etc/systemd\r\ntotal 60\r\n-rw-r--r-- 1 root";

#[test]
fn what_a_relay_copies_is_left_out_with_its_hash_and_its_place() {
    let mut relay = opened();
    let first = pass(&mut relay, 10, vec![show(10, 1, b"hello "), show(20, 2, PROMPT)]);
    assert_eq!(told(&first), [(1, b"hello ".to_vec(), None)], "the inner terminal waits");
    let outer = pass(&mut relay, 500, vec![show(400, 1, PROMPT)]);
    assert_eq!(told(&outer), [(1, PROMPT.to_vec(), None)]);
    // Typing goes byte for byte, long after.
    let mut all = [first, outer].concat();
    for n in 1..100 {
        let now = n * 1_000_000;
        all.extend(pass(&mut relay, now + 5, vec![show(now, 2, b"x"), show(now + 1, 1, b"x")]));
    }
    assert!(all.iter().all(|record| number(record) == Some(1) || shown(record).is_empty()));
    let last = pass(&mut relay, 200_000_000, vec![end(200_000_000)]);
    all.extend(last);
    let folds: Vec<_> = told(&all).into_iter().filter_map(|(no, _, cut)| Some((no, cut?))).collect();
    let before = u64::try_from(PROMPT.len()).unwrap();
    assert_eq!(
        folds,
        [(2, (1, 6, before + 61)), (2, (1, 6 + before + 61, 38))],
        "one a minute, one at the end"
    );
    let streams = streams(&all, TtyOp::Output);
    assert_eq!(streams[&2], [PROMPT, &[b'x'; 99]].concat());
    assert!(relay.sessions.is_empty());
}

#[test]
fn what_never_comes_out_is_given_out_in_its_place() {
    let mut relay = opened();
    let waiting =
        pass(&mut relay, 100_000, vec![show(10, 2, PROMPT), show(20, 1, b"another thing altogether")]);
    assert!(waiting.is_empty());
    let given = pass(&mut relay, 250_010, vec![]);
    assert_eq!(told(&given), [(2, PROMPT.to_vec(), None), (1, b"another thing altogether".to_vec(), None)]);
    // tmux: after some tries it is not waited for any more.
    for n in 1..20u64 {
        pass(&mut relay, n * 1_000_000, vec![show(n * 1_000_000, 2, PROMPT)]);
        pass(&mut relay, n * 1_000_000 + 400_000, vec![]);
    }
    assert_eq!(pass(&mut relay, 30_000_000, vec![show(30_000_000, 2, PROMPT)]).len(), 1);
}

#[test]
fn an_act_waits_for_a_moment_only_and_nothing_passes_it() {
    let mut relay = opened();
    assert!(pass(&mut relay, 19_000, vec![show(10, 2, PROMPT), act(30)]).is_empty());
    let given = pass(&mut relay, 20_031, vec![]);
    assert!(matches!(given[0].body, Body::Tty(..)) && matches!(given[1].body, Body::Exec(_)));
    // The copy that comes too late is known as such: what follows it is left out.
    let more = b"drwxr-xr-x 2 root root 4096 Nov 22 08:00 system.conf.d and so on";
    let later = vec![show(30_000, 1, PROMPT), show(40_000, 2, more), show(41_000, 1, more)];
    let kept = told(&pass(&mut relay, 41_000, later));
    assert_eq!(kept, [(1, PROMPT.to_vec(), None), (1, more.to_vec(), None)]);
    // With nothing that waits nothing else does.
    assert_eq!(pass(&mut relay, 41_001, vec![act(41_001)]).len(), 1);
}

#[test]
fn a_relay_that_begins_to_differ_is_stored_from_there_on() {
    let mut relay = opened();
    pass(&mut relay, 20, vec![show(10, 2, PROMPT), show(20, 1, PROMPT)]);
    let differing = vec![show(30, 2, b"the inner one shows this"), show(40, 1, b"the outer one shows that")];
    let mut all = pass(&mut relay, 40, differing);
    all.extend(pass(&mut relay, 300_000, vec![end(300_000)]));
    let len = u64::try_from(PROMPT.len()).unwrap();
    let kept: Vec<Told> = told(&all).into_iter().filter(|(no, ..)| *no == 2).collect();
    assert_eq!(kept, [(2, vec![], Some((1, 0, len + 4))), (2, b"inner one shows this".to_vec(), None)]);
}

#[test]
fn others_may_write_on_the_outer_terminal_in_between() {
    let mut relay = opened();
    let mut all = pass(&mut relay, 20, vec![show(10, 2, PROMPT), show(20, 1, PROMPT)]);
    let wall = b"\r\nBroadcast message from root@host\r\n";
    let items = vec![show(30, 1, wall), show(31, 2, b"# "), show(40, 1, b"# "), end(50)];
    all.extend(pass(&mut relay, 50, items));
    let len = u64::try_from(PROMPT.len()).unwrap();
    let folds: Vec<_> = told(&all).into_iter().filter_map(|(_, _, cut)| cut).collect();
    assert_eq!(folds, [(1, 0, len), (1, len + u64::try_from(wall.len()).unwrap(), 2)]);
}

#[test]
fn typed_bytes_are_left_out_if_they_were_typed_outside_and_never_if_they_are_hidden() {
    let mut relay = opened();
    let mut all = Vec::new();
    let typed = |micros, no, data: &[u8]| terminal(micros, TtyOp::Input, no, data);
    let hidden = |micros, no| of(micros, Body::Tty(TtyOp::Input, Tty { no, hidden: 3, ..Tty::default() }));
    // Not before it is known that one is the other's relay.
    all.extend(pass(&mut relay, 6, vec![typed(5, 1, b"early"), typed(6, 2, b"early")]));
    all.extend(pass(&mut relay, 20, vec![show(10, 2, PROMPT), show(20, 1, PROMPT)]));
    assert_eq!(told(&all).len(), 3);
    let items = vec![typed(30, 1, b"secret"), typed(31, 1, b"ls\r"), typed(32, 2, b"ls\r"), hidden(33, 2)];
    all.extend(pass(&mut relay, 40, items));
    // Of the outer only the number is known: what the inner one took in line mode stays.
    all.extend(pass(&mut relay, 50, vec![hidden(41, 1), typed(42, 2, b"cat")]));
    all.extend(pass(&mut relay, 600_000, vec![typed(500_000, 2, b"secret"), end(600_000)]));
    let kept: Vec<_> = told(&all).into_iter().filter(|(no, _, _)| *no == 2).collect();
    let len = u64::try_from(PROMPT.len()).unwrap();
    let expected: [Told; 6] = [
        (2, b"early".to_vec(), None),
        (2, vec![], None),
        (2, vec![], Some((1, 11, 3))),
        (2, b"cat".to_vec(), None),
        (2, b"secret".to_vec(), None),
        (2, vec![], Some((1, 0, len))),
    ];
    assert_eq!(kept, expected);
    assert_eq!(streams(&all, TtyOp::Input)[&2], b"earlyls\rcatsecret");
}

/// One step of a story.
#[derive(Clone, Debug)]
enum Step {
    /// Something is shown on the innermost terminal.
    Show(Vec<u8>),
    /// The relay of a terminal copies so many bytes to the one around it.
    Copy(u32, usize),
    /// Somebody else writes on a terminal.
    Other(u32, Vec<u8>),
    Act,
    /// Nothing is given in for so long, microseconds.
    Wait(u64),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        // Of few letters, so that much is found where it is not.
        proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 1..60),
        proptest::collection::vec(any::<u8>(), 1..400),
        (1..3000usize).prop_map(|n| b"ab\r\n".repeat(n)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => text().prop_map(Step::Show),
        12 => (2..4u32, prop_oneof![1..9usize, Just(4096), Just(1 << 20)]).prop_map(|(no, n)| Step::Copy(no, n)),
        1 => (1..4u32, text()).prop_map(|(no, data)| Step::Other(no, data)),
        2 => Just(Step::Act),
        3 => prop_oneof![1..3000u64, 1..400_000u64].prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_passes(steps in proptest::collection::vec(step(), 1..120), turn in 1..9usize) {
        let mut relay = opened();
        let (mut now, mut items, mut out, mut acts) = (10, Vec::new(), Vec::new(), 0);
        let mut truth = BTreeMap::from([(1, Vec::new()), (2, Vec::new()), (3, Vec::new())]);
        let mut behind = BTreeMap::from([(2, Vec::new()), (3, Vec::new())]);
        for (n, step) in steps.into_iter().enumerate() {
            now += 7;
            let mut shows = |no: u32, data: &[u8]| {
                truth.get_mut(&no).unwrap().extend_from_slice(data);
                if let Some(behind) = behind.get_mut(&no) {
                    behind.extend_from_slice(data);
                }
                items.push(show(now, no, data));
            };
            match step {
                Step::Show(data) => shows(3, &data),
                Step::Other(no, data) => shows(no, &data),
                Step::Copy(no, most) => {
                    let all = std::mem::take(behind.get_mut(&no).unwrap());
                    let (data, rest) = all.split_at(most.min(all.len()));
                    behind.insert(no, rest.to_vec());
                    if !data.is_empty() {
                        truth.get_mut(&(no - 1)).unwrap().extend_from_slice(data);
                        behind.entry(no - 1).or_default().extend_from_slice(data);
                        items.push(show(now, no - 1, data));
                    }
                }
                Step::Act => {
                    acts += 1;
                    items.push(act(now));
                }
                Step::Wait(micros) => now += micros,
            }
            if n % turn == 0 {
                out.extend(pass(&mut relay, now, std::mem::take(&mut items)));
                for session in relay.sessions.values() {
                    let held: usize = session.queue.iter().filter(|s| s.waits).map(|s| shown(&s.record).len()).sum();
                    prop_assert_eq!(session.held, held);
                    prop_assert!(held <= HELD);
                    let waits = |no: u32| session.queue.iter().filter(move |s| s.waits && number(&s.record) == Some(no));
                    for (no, screen) in &session.screens {
                        let len: usize = waits(*no).map(|slot| shown(&slot.record).len()).sum();
                        prop_assert_eq!(screen.pending.len(), screen.out + len);
                        prop_assert!(screen.matched <= screen.pending.len());
                    }
                    let late = session.queue.iter().filter(|s| !matches!(s.record.body, Body::Tty(..)));
                    let late = late.filter(|slot| at(now).since(slot.record.boot_ns) >= BEHIND_NS).count();
                    prop_assert_eq!(late, 0, "an act waits");
                }
            }
        }
        items.push(end(now + 1));
        out.extend(pass(&mut relay, now + 1, items));
        prop_assert!(relay.sessions.is_empty());
        let streams = streams(&out, TtyOp::Output);
        for (no, bytes) in &truth {
            prop_assert_eq!(streams.get(no).cloned().unwrap_or_default(), bytes.clone(), "terminal {}", no);
        }
        prop_assert_eq!(out.iter().filter(|r| matches!(r.body, Body::Exec(_))).count(), acts);
        // But for what tells of what was left out, everything stands in the order in which it came.
        let kept = out.iter().filter(|r| !matches!(&r.body, Body::Tty(_, tty) if tty.cut.is_some()));
        let times: Vec<BootNanos> = kept.map(|record| record.boot_ns).collect();
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn a_plain_relay_is_left_out_whole(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 64..2000), 1..40),
        chunk in 16..5000usize,
    ) {
        let mut relay = opened();
        let (mut out, mut now) = (Vec::new(), 10);
        for piece in &pieces {
            now += 30_000;
            let mut items = vec![show(now, 2, piece)];
            items.extend(piece.chunks(chunk).enumerate().map(|(n, part)| show(now + 1 + u64::try_from(n).unwrap(), 1, part)));
            out.extend(pass(&mut relay, now + 1000, items));
        }
        out.extend(pass(&mut relay, now + 2000, vec![end(now + 2000)]));
        let all = pieces.concat();
        prop_assert_eq!(&streams(&out, TtyOp::Output)[&2], &all);
        let kept = told(&out).into_iter().filter(|(no, ..)| *no == 2).map(|(_, data, _)| data.len()).sum::<usize>();
        prop_assert_eq!(kept, 0);
    }
}
