use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    model::{Act, EndReason, KernelEvent, SessionEnd, Task},
    sys::clock,
};

const FLOODS: Mark = Mark::new(7);
const OTHER: Mark = Mark::new(8);

/// Who was told what, in order; true: to stop.
#[derive(Clone, Default)]
struct Hand {
    sent: Arc<Mutex<Vec<(u32, bool)>>>,
    members: Vec<Candidate>,
    /// It sleeps in the kernel.
    deaf: Option<u32>,
}

impl Hand {
    fn sent(&self) -> Vec<(u32, bool)> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

impl Reach for Hand {
    fn candidates(&self, mark: Mark) -> Vec<Candidate> {
        if mark == FLOODS { self.members.clone() } else { Vec::new() }
    }

    fn signal(&self, id: TaskId, signal: Signal) -> bool {
        self.sent.lock().unwrap().push((id.pid, signal == Signal::STOP));
        true
    }

    fn has_stopped(&self, id: TaskId) -> bool {
        self.deaf != Some(id.pid)
    }
}

fn task(pid: u32) -> TaskId {
    TaskId { pid, start: BootNanos::new(u64::from(pid)) }
}

fn one(pid: u32, parent: u32) -> Candidate {
    Candidate { id: task(pid), parent, is_stopped: false, is_traced: false }
}

fn came(mark: Mark) -> Captured {
    Captured::Event(Box::new(KernelEvent {
        boot_ns: BootNanos::new(1),
        cpu: 0,
        mark,
        flags: Flags::default(),
        task: Arc::new(Task::default()),
        place: crate::model::Place::default(),
        act: Act::Fork(task(1)),
    }))
}

struct Scene {
    hand: Hand,
    pause: Pause,
    start: Instant,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(members: Vec<Candidate>) -> Self {
        let hand = Hand { members, ..Hand::default() };
        let dir = tempfile::tempdir().unwrap();
        let pause = Pause::with(Box::new(hand.clone()), dir.path().join(NAME));
        Self { hand, pause, start: Instant::now(), dir }
    }

    /// After so many milliseconds so many of 1600 bytes wait, and one in ten events is of somebody else.
    fn step(&mut self, millis: u64, bytes: usize) -> Vec<(EnforcementAct, u32, String)> {
        let came: Vec<Captured> = (0..10).map(|n| came(if n == 0 { OTHER } else { FLOODS })).collect();
        let now = self.start + Duration::from_millis(millis);
        let waiting = Waiting { bytes, room: 1600 };
        told(&self.pause.step(waiting, &came, (clock::pair(), now)))
    }
}

fn told(acts: &[Tracked]) -> Vec<(EnforcementAct, u32, String)> {
    let of = |item: &Tracked| match item {
        Tracked::Event { mark: FLOODS, record: Record { body: Body::Enforcement(done), .. } } => {
            (done.act, done.count, done.text.escaped())
        }
        other => panic!("{other:?}"),
    };
    acts.iter().map(of).collect()
}

#[test]
fn parents_are_stopped_first_and_go_on_last() {
    let mut scene = Scene::new(vec![one(30, 20), one(10, 5), one(20, 10)]);
    assert_eq!(scene.step(0, 400), [], "not full yet");
    assert_eq!(scene.hand.sent(), []);
    let acts = scene.step(1, 401);
    assert_eq!(acts, [(EnforcementAct::Paused, 3, "the journal can't keep up".to_owned())]);
    assert_eq!(scene.hand.sent(), [(10, true), (20, true), (30, true)]);
    assert_eq!(scene.step(2, 500), [], "they are stopped");
    assert_eq!(scene.step(3, 100), [], "not empty enough");
    assert_eq!(scene.hand.sent(), []);
    assert_eq!(scene.step(21, 99), []);
    assert_eq!(scene.hand.sent(), [(30, false), (20, false), (10, false)]);
    assert_eq!(scene.step(30, 401), [], "told once");
    assert_eq!(scene.step(40, 0), []);
    let acts = scene.step(2_040, 0);
    assert_eq!(acts, [(EnforcementAct::Resumed, 3, "stopped 2 times, 30 ms in all".to_owned())]);
    assert_eq!(scene.step(9_000, 0), []);
}

#[test]
fn who_made_little_is_not_what_fills_it_however_little_came() {
    let mut scene = Scene::new(vec![one(10, 5)]);
    let full = Waiting { bytes: 600 << 10, room: 2 << 20 };
    let at = |millis| (clock::pair(), scene.start + Duration::from_millis(millis));
    // All that was taken before it filled, and all for a while.
    assert_eq!(told(&scene.pause.step(full, &[came(OTHER)], at(0))), []);
    scene.pause.press(full, at(1));
    assert!(scene.pause.floods.is_empty(), "he was looked for");
    let flood: Vec<Captured> = (0..5_000).map(|_| came(FLOODS)).collect();
    assert_eq!(told(&scene.pause.step(full, &flood, at(2))).len(), 1);
    // A flood is over, and somebody works.
    let free = Waiting { bytes: 0, ..full };
    let work: Vec<Captured> = (0..200).map(|_| came(OTHER)).collect();
    for millis in [900, 1_000, 1_100] {
        assert_eq!(told(&scene.pause.step(free, &work, at(millis))), []);
    }
    assert_eq!(told(&scene.pause.step(full, &[], at(1_101))), [], "nobody makes that much now");
    assert!(!scene.pause.floods.contains_key(&OTHER));
}

#[test]
fn who_is_traced_is_left_alone_and_what_is_below() {
    let traced = Candidate { is_traced: true, ..one(20, 10) };
    let mut scene = Scene::new(vec![one(30, 20), one(10, 5), traced, one(15, 10)]);
    assert_eq!(scene.step(1, 401).len(), 1);
    assert_eq!(scene.hand.sent(), [(10, true), (15, true)]);
    // Where nobody is left it is not looked for at each step.
    let mut scene = Scene::new(vec![Candidate { is_traced: true, ..one(20, 10) }]);
    assert_eq!(scene.step(1, 401), []);
    assert!(scene.pause.floods.values().all(|flood| flood.is_spent) && scene.pause.floods.len() == 1);
    assert_eq!(scene.step(2, 0), []);
    assert_eq!(scene.step(9_000, 0), []);
    assert!(scene.pause.floods.is_empty());
}

#[test]
fn nobody_is_stopped_below_a_parent_that_is_not() {
    let mut scene = Scene::new(vec![one(30, 20), one(20, 10), one(10, 5)]);
    scene.hand.deaf = Some(20);
    scene.pause.reach = Box::new(scene.hand.clone());
    scene.step(0, 800);
    assert_eq!(scene.hand.sent(), [(10, true), (20, true), (20, false), (10, false)]);
    scene.step(1, 800);
    assert_eq!(scene.hand.sent(), [], "not tried again before there is room");
    // One that has nobody below it stops when it stops.
    let mut scene = Scene::new(vec![one(20, 10), one(10, 5)]);
    scene.hand.deaf = Some(20);
    scene.pause.reach = Box::new(scene.hand.clone());
    scene.step(0, 800);
    assert_eq!(scene.hand.sent(), [(10, true), (20, true)]);
}

#[test]
fn who_was_stopped_before_stays_so() {
    let stopped = Candidate { is_stopped: true, ..one(20, 10) };
    let mut scene = Scene::new(vec![one(10, 5), stopped]);
    scene.step(0, 800);
    scene.step(1, 0);
    assert_eq!(scene.hand.sent(), [(10, true), (10, false)]);
}

#[test]
fn nobody_is_stopped_for_long() {
    let mut scene = Scene::new(vec![one(10, 5)]);
    scene.step(0, 1600);
    assert_eq!(scene.hand.sent(), [(10, true)]);
    scene.step(2_000, 1600);
    assert_eq!(scene.hand.sent(), [(10, false)]);
    scene.step(2_001, 1600);
    assert_eq!(scene.hand.sent(), [], "nor again at once: a recorder that is stuck holds nobody up");
    scene.step(2_002, 99);
    scene.step(2_003, 1600);
    assert_eq!(scene.hand.sent(), [(10, true)]);
}

#[test]
fn while_nothing_is_taken_the_last_makers_are_stopped() {
    let mut scene = Scene::new(vec![one(10, 5)]);
    scene.step(0, 0);
    scene.pause.press(Waiting { bytes: 401, room: 1600 }, (clock::pair(), scene.start));
    assert_eq!(scene.hand.sent(), [(10, true)]);
    let acts = scene.step(1, 300);
    assert_eq!(acts, [(EnforcementAct::Paused, 1, "the journal can't keep up".to_owned())]);
}

#[test]
fn an_end_is_told_after_what_was_done() {
    let mut scene = Scene::new(vec![one(10, 5)]);
    scene.step(0, 1600);
    scene.step(5, 0);
    let end =
        SessionEnd { reason: EndReason::LastTask, code: None, signal: 0, execs: 0, files: 0, tty_bytes: 0 };
    let record = Record {
        boot_ns: BootNanos::new(2),
        cpu: u16::MAX,
        flags: Flags::default(),
        task: None,
        body: Body::SessionEnd(end),
    };
    let mut tracked = vec![Tracked::Event { mark: FLOODS, record }];
    scene.pause.see(&mut tracked, (clock::pair(), scene.start + Duration::from_millis(6)));
    assert_eq!(tracked.len(), 2);
    assert_eq!(
        told(&tracked[..1]),
        [(EnforcementAct::Resumed, 1, "stopped 1 times, 5 ms in all".to_owned())]
    );
    assert_eq!(scene.step(9_000, 0), [], "and not again");
}

#[test]
fn whoever_ends_leaves_nobody_stopped() {
    let mut scene = Scene::new(vec![one(10, 5)]);
    scene.step(0, 1600);
    assert!(scene.dir.path().join(NAME).exists(), "the next run must know");
    scene.hand.sent();
    let acts = scene.pause.end(clock::pair(), scene.start + Duration::from_millis(5));
    assert_eq!(told(&acts), [(EnforcementAct::Resumed, 1, "stopped 1 times, 5 ms in all".to_owned())]);
    assert_eq!(scene.hand.sent(), [(10, false)]);
    assert!(!scene.dir.path().join(NAME).exists());

    let hand = {
        let mut scene = Scene::new(vec![one(11, 5)]);
        scene.step(0, 1600);
        scene.hand.clone()
    };
    assert_eq!(hand.sent(), [(11, true), (11, false)], "a panic drops it");
}

#[test]
fn what_an_earlier_run_had_stopped_goes_on() {
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let job = process::job(child.id()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(NAME);
    let stranger = Written { pid: std::process::id(), start: 1 };
    let text =
        serde_json::to_vec(&[Written { pid: child.id(), start: job.id.start.get() }, stranger]).unwrap();
    fs::write(&file, text).unwrap();
    let is_stopped = |wanted: bool| {
        let end = Instant::now() + Duration::from_secs(10);
        while process::job(child.id()).unwrap().is_stopped != wanted {
            assert!(Instant::now() < end, "stopped: {}", !wanted);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    sweep::send(&bpf::open_process(child.id()).unwrap(), Signal::STOP);
    is_stopped(true);
    relent(&file);
    is_stopped(false);
    assert!(!file.exists());
    child.kill().unwrap();
    child.wait().unwrap();
}
