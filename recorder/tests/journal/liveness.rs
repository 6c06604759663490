//! Time without a recorder that saw everything: what verification makes of stops, crashes, boots, silence, sleep and deaf
//! hooks.

use crate::common::*;
use recorder::journal::{RealDisk, Writer};
use recorder::model::*;
use recorder::verify::{Interval, IntervalKind, Report};

fn control(seconds: u64, body: Body) -> Record {
    Record { boot_ns: at(seconds).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

fn hook(seconds: u64, name: &str, state: HookState, since: u64) -> Record {
    let (name, since, clock) = (Bytes::from(name), at(since).boot, at(seconds));
    control(seconds, Body::Hook(Box::new(HookChange { name, state, misses: 3, since, clock })))
}

fn boot_record(seconds: u64) -> Record {
    let body = Boot {
        boot_id: boot(1),
        clock: at(seconds),
        host: Bytes::from("web-1"),
        kernel: Bytes::default(),
        cmdline_sha256: Digest::default(),
        object_sha256: Digest::default(),
        recorder_sha256: Digest::default(),
        config_sha256: Digest::default(),
        version: Bytes::default(),
        backend: Bytes::default(),
        hooks: Vec::new(),
        blind: Vec::new(),
        lsm: Vec::new(),
        lockdown: Bytes::default(),
        previous_end: PreviousEnd::Stop,
    };
    control(seconds, Body::Boot(Box::new(body)))
}

/// Kind, and from and to as seconds of the test's clock.
fn told(report: &Report) -> Vec<(&'static str, u64, u64)> {
    let second = |t: RealNanos| t.get() / SECOND - 1_700_000_000;
    report.intervals.iter().map(|i| (i.kind.name(), second(i.from), second(i.to))).collect()
}

fn count(report: &Report, code: &str) -> usize {
    codes(report).iter().filter(|c| **c == code).count()
}

fn beat(w: &mut Real, seconds: u64) {
    w.append(StreamNo::LOG, heartbeat(seconds));
    w.commit(at(seconds)).unwrap();
}

#[test]
fn e9_e11_stops_crashes_and_boots_are_intervals_from_seal_to_boot_record() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    beat(&mut w, 1);
    w.stop(stop(5)).unwrap();
    // Opened at 10, but the hooks answered at 12.
    let (mut w, _) = open(dir.path(), 1 << 16, 2, 10);
    w.append(StreamNo::LOG, boot_record(12));
    beat(&mut w, 13);
    drop(w);
    let (mut w, _) = open(dir.path(), 1 << 16, 3, 20);
    beat(&mut w, 21);
    drop(w);
    let reopened = Writer::open(config(dir.path(), 1 << 16), RealDisk, Dice(4), boot(2), at(90)).unwrap();
    let mut w = reopened.0;
    beat(&mut w, 91);
    w.stop(stop(92)).unwrap();
    let report = verify(dir.path());
    assert_eq!(told(&report), [("stopped", 5, 12), ("crashed", 13, 20), ("rebooted", 21, 90)]);
    assert_eq!(report.intervals.iter().map(|i| i.seconds).collect::<Vec<_>>(), [7, 7, 69]);
    let Interval { kind, text, .. } = &report.intervals[2];
    assert_eq!(*kind, IntervalKind::Rebooted);
    assert!(text.contains(&boot(1).to_string()) && text.contains(&boot(2).to_string()), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    let first = &json["intervals"][0];
    assert_eq!(
        (&first["kind"], &first["from"]),
        (&"stopped".into(), &"2023-11-14T22:13:25.000000000Z".into())
    );
    assert!(is_whole(report.verdict));
}

#[test]
fn e5_a_deaf_hook_is_an_interval_from_its_last_answer_to_its_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    w.append(StreamNo::LOG, hook(8, "open", HookState::Dead, 5));
    w.append(StreamNo::LOG, hook(8, "rename", HookState::Dead, 5));
    w.append(StreamNo::LOG, hook(9, "a at b", HookState::LinkMissing, 8));
    w.commit(at(9)).unwrap();
    w.append(StreamNo::LOG, hook(14, "open", HookState::Back, 5));
    w.append(StreamNo::LOG, hook(14, "tty_output", HookState::Back, 5));
    w.commit(at(14)).unwrap();
    w.stop(stop(20)).unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 2, 30);
    beat(&mut w, 31);
    w.append(StreamNo::LOG, hook(34, "exec", HookState::Dead, 31));
    w.commit(at(35)).unwrap();
    let report = verify(dir.path());
    assert_eq!(
        told(&report),
        [
            ("hook_dead", 5, 14),
            ("hook_dead", 5, 20),
            ("hook_dead", 8, 20),
            ("stopped", 20, 30),
            ("hook_dead", 31, 35)
        ]
    );
    assert_eq!(count(&report, "HOOK_DEAD"), 4, "{:#?}", report.findings);
    assert_eq!(report.exit, 1);
    drop(w);
}

#[test]
fn f4_sleep_explains_silence_and_a_slew_is_a_finding() {
    let suspend = |from: u64, to: u64| {
        let nanos = i64::try_from((to - from) * SECOND).unwrap();
        Body::Clock(ClockChange { event: ClockEvent::Suspend, before: at(from), after: at(to), nanos })
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    beat(&mut w, 1);
    // What was under way is sealed before the recorder has looked at its clocks.
    beat(&mut w, 600);
    w.append(StreamNo::LOG, control(600, suspend(2, 600)));
    beat(&mut w, 601);
    let event = ClockEvent::Slew;
    let slew = ClockChange { event, before: at(601), after: at(611), nanos: -70_000_000 };
    w.append(StreamNo::LOG, control(611, Body::Clock(slew)));
    beat(&mut w, 611);
    // Asleep for a part of the silence only.
    w.append(StreamNo::LOG, control(720, suspend(640, 650)));
    beat(&mut w, 720);
    w.stop(stop(721)).unwrap();
    let report = verify(dir.path());
    assert_eq!(told(&report), [("suspended", 2, 600), ("silent", 611, 720), ("suspended", 640, 650)]);
    assert_eq!(["SUSPEND", "SLEW", "GAP"].map(|code| count(&report, code)), [2, 1, 1]);
    assert_eq!(report.exit, 1);
}

#[test]
fn silence_is_an_interval_in_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 3072, 1, 0);
    let s = w.open_session(session(1), at(1).boot);
    let mut now = 1;
    while segments(&log_dir(dir.path())).len() < 3 {
        now += 100;
        w.append(s, exec(now, 1));
        w.commit(at(now)).unwrap();
    }
    let report = verify(dir.path());
    assert_eq!(count(&report, "GAP"), report.intervals.len());
    // Each commit is 100 s behind the one before it, the first one 101 behind the start.
    assert_eq!(told(&report).iter().map(|(_, from, to)| to - from).sum::<u64>(), now, "{:?}", told(&report));
}

#[test]
fn a_log_that_goes_on_in_another_incarnation_is_an_interval() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, _) = open(dir.path(), 1 << 16, 1, 0);
    beat(&mut w, 7);
    drop(w);
    std::fs::remove_file(log_dir(dir.path()).join("recovery.key")).unwrap();
    let (mut w, opened) = open(dir.path(), 1 << 16, 9, 40);
    assert!(opened.enrolled);
    beat(&mut w, 41);
    drop(w);
    assert_eq!(told(&verify(dir.path())), [("crashed", 7, 40)]);
}
